"""Build the run report: fits, networks, attributions of all subjects, example trials and pages of them that move."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gait.errors import GaitError
from gait.explaining.attribution_files import EXPLANATION_FILE, FIGURE_FILE, read_explanation
from gait.explaining.cohort_paths import cohort_files
from gait.explaining.explain_cohort import CohortSummary
from gait.files.atomic_write import atomic_file
from gait.files.fingerprint import fingerprint, hash_files
from gait.files.step_cache import StepOutput
from gait.learning.cross_validation_summary import pool_folds
from gait.learning.fold_result import result_file, trained_kinds
from gait.learning.networks import NETWORKS
from gait.motion.dataset import Trial
from gait.motion.pose_npz import POSES_FILE
from gait.motion.read_dataset import read_dataset
from gait.motion.trial_paths import HEALTHY, LABEL_NOUNS, SICK
from gait.report.run.example import walk_page_file
from gait.report.run.explained import CohortStep, TrialStep
from gait.report.run.fit_summary import read_cohort_fits
from gait.report.run.model import NetworkSection, RunReport, TrialSection, WalkFiles, WalkSection
from gait.report.run.page import run_page, viewer_commands
from gait.report.run.settings import PAGE_FILE, RunSettings
from gait.report.run.steps import Step, StepRunner
from gait.report.training.write_report import folds_of_experiment, page_file

# Frames between the explained windows of a single trial; a larger stride gives stripes in its heatmap.
TRIAL_STRIDE = 1
_LABELS = (HEALTHY, SICK)


@dataclass(frozen=True)
class RunReportResult:
    """The page, and the text to print at the end."""

    page: Path
    commands: tuple[str, ...]  # each opens the viewer on one trial; the last one is the best example
    problems: tuple[str, ...]  # one message per missing part


def build_run_report(
    settings: RunSettings, progress: Callable[[str], None], gait_page: Path | None = None
) -> RunReportResult:
    """Explain the networks, write the walk pages and the page; parts that fail are listed on it.

    ``progress`` is called with one line when a step ends; ``gait_page``, the gait analysis of the same subjects, is
    linked.

    Raises:
        GaitError: there is neither a fit nor a training, or the page cannot be written.
    """
    steps = StepRunner(settings.export, progress, overwrite=settings.overwrite, workers=settings.workers)
    fits = steps.attempt(lambda: read_cohort_fits(settings.poses))
    if fits is not None:
        steps.problems += fits.problems
    networks = list(_read_networks(settings, steps))
    if fits is None and not networks:
        raise GaitError(steps.problems[0])
    explained = _explain(networks, settings, steps)
    walks = [
        WalkSection(network, trial)
        for network in sorted(explained, key=_balanced_accuracy, reverse=True)
        for trial in network.trials
        if trial.walk is not None
    ]
    page = settings.export / PAGE_FILE
    report = RunReport(
        fits=fits,
        networks=tuple(explained),
        walks=tuple(walks),
        notes=settings.notes,
        problems=tuple(dict.fromkeys(steps.problems)),
        remarks=tuple(dict.fromkeys(steps.remarks)),
        page=page,
        python=_python_command(),
        gait_page=gait_page,
        chosen=bool(settings.examples),
    )
    with atomic_file(page) as partial:
        partial.write_text(run_page(report), encoding="utf-8", errors="replace")
    return RunReportResult(page, viewer_commands(report), report.problems)


def _read_networks(settings: RunSettings, steps: StepRunner) -> Iterator[NetworkSection]:
    """Return the results of the trainings, one per kind of network."""
    found: dict[str, Path] = {}
    for folder in settings.trained:
        kinds = steps.attempt(partial(trained_kinds, folder)) or ()
        for kind in (kind for kind in NETWORKS if kind in kinds):
            if kind in found:
                steps.problems.append(f"{folder}: {found[kind]} already holds such a network; this one is excluded.")
                continue
            found[kind] = folder
            read = steps.attempt(partial(folds_of_experiment, folder, kind))
            if read is not None:
                results, excluded = read
                steps.problems += excluded
                report = page_file(folder, kind)
                yield NetworkSection(
                    kind, folder, pool_folds(results), tuple(pool_folds([one]) for one in results),
                    report if report.is_file() else None,
                )  # fmt: skip


@dataclass(frozen=True)
class _Chosen:
    """A trial that is to be explained, and where its files go."""

    network: NetworkSection
    fold: int  # whose network was not trained on the subject
    trial: Trial
    folder: Path
    walk: WalkFiles | None  # None: without a page on which it walks
    beside: Trial | None = None  # the one beside it on that page, unless a changed walk is

    @property
    def checkpoint(self) -> Path:
        return self.network.file(self.fold)


def _explain(networks: Sequence[NetworkSection], settings: RunSettings, steps: StepRunner) -> list[NetworkSection]:
    """Return the sections with the attribution of the cohort, and with trials that are explained."""
    examples = list(_examples(networks, settings, steps))
    first = [_cohort_step(network, settings) for network in networks]
    outputs = steps.run([*first, *(_trial_step(each, settings) for each in examples)])
    with_cohort = [
        _with_cohort(network, output, settings.export) for network, output in zip(networks, outputs, strict=False)
    ]
    chosen, found = examples, outputs[len(networks) :]
    if not settings.examples:
        chosen = [one for network in with_cohort for one in _representative(network, settings, steps)]
        found = steps.run([_trial_step(each, settings) for each in chosen])
    sections = [(each, _section(each, output, steps)) for each, output in zip(chosen, found, strict=True)]
    return [
        replace(network, trials=tuple(one for each, one in sections if one and each.network.kind == network.kind))
        for network in with_cohort
    ]


def _cohort_step(network: NetworkSection, settings: RunSettings) -> Step:
    """Return the step that explains the cohort by a network."""
    kind, folder, export = network.kind, network.folder, settings.export
    sources = [*settings.poses.rglob(POSES_FILE)]
    for fold in network.summary.folds:
        sources += [result_file(folder, kind, fold.fold.index), network.file(fold.fold.index)]
    return Step(
        f"Cohort attribution of the {network.title}",
        _inputs(sources, stride=settings.stride),
        cohort_files(export, kind),
        CohortStep(folder, kind, settings.poses, export, settings.stride),
    )


def _with_cohort(network: NetworkSection, output: StepOutput | None, export: Path) -> NetworkSection:
    """Return the section with the attribution of the cohort."""
    if output is None:
        return network
    return replace(network, cohort_figure=cohort_files(export, network.kind)[0], cohort=CohortSummary(**output.result))


def _trial_step(chosen: _Chosen, settings: RunSettings) -> Step:
    """Return the step that explains a trial."""
    walk, beside = chosen.walk, chosen.beside
    return Step(
        f"Attribution of the {chosen.network.title} in {chosen.trial.trial_id}",
        # The evidence compares the trial with all controls.
        _inputs(
            [chosen.checkpoint, *settings.poses.rglob(POSES_FILE)],
            stride=TRIAL_STRIDE,
            bodies=settings.bodies,
            walk=walk is not None,
            beside="" if beside is None else beside.trial_id,
        ),
        (chosen.folder / FIGURE_FILE, chosen.folder / EXPLANATION_FILE, *([] if walk is None else walk)),
        TrialStep(
            chosen.checkpoint,
            chosen.trial.folder,
            chosen.folder,
            walk,
            None if beside is None else beside.folder,
            TRIAL_STRIDE,
            settings.bodies,
        ),
    )


def _examples(networks: Sequence[NetworkSection], settings: RunSettings, steps: StepRunner) -> Iterator[_Chosen]:
    """Yield the trials of the subjects that the settings name, of the first network."""
    if not networks or not settings.examples:
        return
    network = networks[0]
    subjects = [(name, fold.fold.index) for fold in network.summary.folds for name in fold.fold.evaluation]
    trials = _trials(network, settings, steps)
    for asked in settings.examples:
        known = [(name, fold) for name, fold in subjects if asked in (name, name.partition("/")[2])]
        trial = _longest(trials, known[0][0]) if len(known) == 1 else None
        if trial is None:
            reason = f"no such subject was classified by the {network.title}"
            if known:
                reason = f"no trial among the poses in {settings.poses}"
            if len(known) > 1:
                reason = "two subjects have this name; add healthy/ or sick/"
            steps.problems.append(f"--examples {asked}: {reason}.")
            continue
        name, fold = known[0]
        stem = name.partition("/")[2] if name.startswith(SICK) else name.replace("/", "_")
        folder = settings.export / f"{network.kind}_{stem}"
        yield _Chosen(network, fold, trial, folder, _walk_files(settings.export, stem))


def _representative(network: NetworkSection, settings: RunSettings, steps: StepRunner) -> Iterator[_Chosen]:
    """Yield a trial of the most representative control and of the most representative patient of a network."""
    if network.cohort is None:
        return
    trials = _trials(network, settings, steps)
    control: Trial | None = None
    for label in _LABELS if trials else ():
        one = network.cohort.representative.get(label)
        if one is None:
            continue
        trial = _longest(trials, one["subject"])
        if trial is None:
            steps.problems.append(f"{one['subject']}: no trial among the poses in {settings.poses}.")
            continue
        folder = settings.export / f"{network.kind}_{label}"
        if label == HEALTHY:
            control = trial
            yield _Chosen(network, one["fold"], trial, folder, None)
        else:
            yield _Chosen(network, one["fold"], trial, folder, _walk_files(settings.export, network.kind), control)
    if SICK not in network.cohort.representative:
        steps.remarks.append(
            f"There is no walk page of the {network.title}: no correctly classified {LABEL_NOUNS[SICK]} is explained."
        )


def _walk_files(export: Path, stem: str) -> WalkFiles:
    page = walk_page_file(export, stem)
    return WalkFiles(page, page.with_suffix(".png"))


def _trials(network: NetworkSection, settings: RunSettings, steps: StepRunner) -> Sequence[Trial]:
    """Return the trials among the poses, as a network sees them."""
    first = network.summary.folds[0]
    dataset = partial(read_dataset, settings.poses, first.frame_rate_hz, **first.dataset_options)
    return steps.attempt(lambda: dataset().trials) or ()


def _longest(trials: Sequence[Trial], subject: str) -> Trial | None:
    """Return the longest trial of a subject; None if there is none."""
    own = [trial for trial in trials if trial.subject_id == subject]
    return max(own, key=lambda trial: len(trial.joints_m), default=None)


def _section(chosen: _Chosen, output: StepOutput | None, steps: StepRunner) -> TrialSection | None:
    """Return what the page shows of an explained trial; None if it failed."""
    if output is None:
        return None
    explanation = steps.attempt(lambda: read_explanation(chosen.folder / EXPLANATION_FILE))
    if explanation is None:
        return None
    pages = tuple(chosen.folder / name for name in output.result["evidence"] if (chosen.folder / name).is_file())
    return TrialSection(
        SICK if chosen.trial.sick else HEALTHY,
        chosen.trial.trial_id,
        chosen.trial.folder,
        chosen.checkpoint,
        explanation,
        chosen.folder / FIGURE_FILE,
        pages,
        output.result["change"],
        chosen.walk,
        output.result["beside"],
    )


def _inputs(files: Sequence[Path], **settings: object) -> dict[str, Any]:
    """Return the fingerprint of a step that explains and draws."""
    plain = {name: repr(value) for name, value in settings.items()}
    return fingerprint("windows", "explanation", "page", files=hash_files(files, full_path=True), **plain)


def _balanced_accuracy(network: NetworkSection) -> float:
    value = network.summary.network.subject_metrics["balanced_accuracy"].value
    return value if value == value else -1.0


def _python_command() -> str:
    """Return the command that starts this Python from the current folder."""
    python, here = Path(sys.executable), Path.cwd()
    return shlex.quote(str(python.relative_to(here))) if python.is_relative_to(here) else "python"
