"""Build the run report: fits, networks, attributions of all subjects, example trials and pages of them that move."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gait.errors import GaitError
from gait.explaining.attribution import TrialAttribution
from gait.explaining.attribution_files import EXPLANATION_FILE, read_explanation
from gait.explaining.cohort_paths import cohort_files
from gait.explaining.evidence.counterfactual import find_counterfactual
from gait.explaining.evidence.export_evidence import SegmentEvidence, export_evidence
from gait.explaining.explain_cohort import CohortSummary, explain_cohort
from gait.explaining.export_trial import export_trial
from gait.explaining.options import EvidenceOptions, ExplainOptions
from gait.explaining.trained_network import TrainedNetwork, load_network
from gait.files.atomic_write import atomic_file
from gait.files.fingerprint import fingerprint, hash_files
from gait.files.step_cache import StepCache, StepOutput
from gait.learning.cross_validation_summary import pool_folds
from gait.learning.fold_result import result_file
from gait.learning.networks import NETWORKS
from gait.motion.dataset import Trial, read_dataset
from gait.motion.pose_npz import POSES_FILE
from gait.motion.trial_paths import HEALTHY, LABEL_NOUNS, SICK
from gait.report.cohort_figure import write_cohort_figure
from gait.report.evidence.write_page import PAGE_FILE as EVIDENCE_PAGE
from gait.report.evidence.write_page import write_evidence_pages
from gait.report.run.fit_summary import read_cohort_fits
from gait.report.run.model import NetworkSection, RunReport, TrialSection, WalkSection
from gait.report.run.page import run_page, viewer_commands
from gait.report.run.settings import PAGE_FILE, RunSettings
from gait.report.training.write_report import folds_of_experiment, page_file
from gait.report.walk_page.export import make_walk_page, write_page
from gait.report.walk_page.still_picture import still_picture
from gait.report.write_explanation_figures import FIGURE_FILE, write_explanation_figures
from gait.viewing.file_backend import FileBackend, ProgressCallback
from gait.viewing.loaded_trial import LoadedTrial

# Frames between the explained windows of a single trial; a larger stride gives stripes in its heatmap.
TRIAL_STRIDE = 1
_LABELS = (HEALTHY, SICK)

Result = TypeVar("Result")


@dataclass(frozen=True)
class RunReportResult:
    """The page, and the text to print at the end."""

    page: Path
    commands: tuple[str, ...]  # each opens the viewer on one trial; the last one is the best example
    problems: tuple[str, ...]  # one message per missing part


def build_run_report(
    settings: RunSettings, progress: Callable[[str], object], gait_page: Path | None = None
) -> RunReportResult:
    """Explain the networks, write the walk pages and the page; parts that fail are listed on it.

    ``progress`` is called with one line when a step ends; ``gait_page``, the gait analysis of the same subjects, is
    linked.

    Raises:
        GaitError: there is neither a fit nor a training, or the page cannot be written.
    """
    steps = _Steps(settings, progress)
    fits = steps.attempt(lambda: read_cohort_fits(settings.poses))
    if fits is not None:
        steps.problems += fits.problems
    networks = list(_read_networks(settings, steps))
    if fits is None and not networks:
        raise GaitError(steps.problems[0])
    explained = [_with_attribution(network, settings, steps) for network in networks]
    walks = [
        walk
        for network in sorted(explained, key=_balanced_accuracy, reverse=True)
        for walk in _walk_page(network, settings, steps)
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
    )
    with atomic_file(page) as partial:
        partial.write_text(run_page(report), encoding="utf-8", errors="replace")
    return RunReportResult(page, viewer_commands(report), report.problems)


class _Steps:
    """Runner of the steps: skips finished ones and collects problems and remarks."""

    def __init__(self, settings: RunSettings, progress: Callable[[str], object]) -> None:
        self.problems: list[str] = []
        self.remarks: list[str] = []  # parts that are present but incomplete, such as a skeleton in place of a body
        self._finished = StepCache(settings.export)
        self._overwrite = settings.overwrite
        self._progress = progress

    def attempt(self, action: Callable[[], Result]) -> Result | None:
        """Return the result of ``action``, or None if it raises GaitError, which is recorded as a problem."""
        try:
            return action()
        except GaitError as error:
            self.problems.append(str(error))
            return None

    def run_step(
        self,
        name: str,
        inputs: Mapping[str, Any],
        files: Sequence[Path],
        action: Callable[[], tuple[StepOutput, Sequence[str], bool]],
    ) -> StepOutput | None:
        """Run a step unless it is finished; return its output, or None if it fails.

        ``action`` returns its output, its problems, and whether a repetition would give the same result. Without
        problems and if so, the step counts as finished, as long as the fingerprint ``inputs`` and its files are the
        same.
        """
        start = time.perf_counter()
        try:
            output = None if self._overwrite else self._finished.get(name, inputs, files)
            if output is not None:
                self._progress(f"{name}: already finished")
            else:
                output, problems, repeatable = action()
                if repeatable and not problems:
                    self._finished.store(name, inputs, output)
                self.problems += problems
                self._progress(f"{name}: {time.perf_counter() - start:.0f} s")
        except GaitError as error:
            self.problems.append(str(error))
            self._progress(f"{name}: failed: {error}")
            return None
        self.remarks += output.remarks
        return output


def _read_networks(settings: RunSettings, steps: _Steps) -> Iterator[NetworkSection]:
    """Return the results of the trainings, one per kind of network."""
    found: dict[str, Path] = {}
    for folder in settings.trained:
        kinds = [kind for kind in NETWORKS if any(folder.glob(f"result_{kind}_fold*.npz"))]
        if not kinds:
            steps.problems.append(
                f"{folder}: no trained network in it; train one with train_multi_mlp.py or train_transformer.py, and "
                "name its save folder."
            )
        for kind in kinds:
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


def _with_attribution(network: NetworkSection, settings: RunSettings, steps: _Steps) -> NetworkSection:
    """Return the section with the cohort explanation, and with one control and one patient explained."""
    kind, folder, export = network.kind, network.folder, settings.export
    files = cohort_files(export, kind)

    def explain() -> tuple[StepOutput, Sequence[str], bool]:
        options = ExplainOptions(stride=settings.stride)
        cohort = explain_cohort(folder, kind, settings.poses, options, export, EvidenceOptions())
        return StepOutput(asdict(write_cohort_figure(cohort, files[0])), cohort.notes), cohort.problems, True

    sources = [*settings.poses.rglob(POSES_FILE)]
    for fold in network.summary.folds:
        sources += [result_file(folder, kind, fold.fold.index), network.file(fold.fold.index)]
    output = steps.run_step(
        f"Cohort attribution of the {network.title}", _inputs(sources, stride=settings.stride), files, explain
    )
    if output is None:
        return network
    cohort = CohortSummary(**output.result)
    first = network.summary.folds[0]
    dataset = partial(read_dataset, settings.poses, first.frame_rate_hz, **first.dataset_options)
    trials = steps.attempt(lambda: dataset().trials) or ()
    explained = [
        trial
        for label in (_LABELS if trials else ())
        if (one := cohort.representative.get(label))
        if (trial := _explain_longest_trial(network, one, trials, settings, steps))
    ]
    return replace(network, cohort_figure=files[0], cohort=cohort, trials=tuple(explained))


def _explain_longest_trial(
    network: NetworkSection, one: Mapping[str, Any], trials: Sequence[Trial], settings: RunSettings, steps: _Steps
) -> TrialSection | None:
    """Explain the longest trial of a representative subject by the network that was not trained on this subject."""
    own = [trial for trial in trials if trial.subject_id == one["subject"]]
    if not own:
        steps.problems.append(f"{one['subject']}: no trial among the poses in {settings.poses}.")
        return None
    trial = max(own, key=lambda trial: len(trial.joints_m))
    label, checkpoint = SICK if trial.sick else HEALTHY, network.file(one["fold"])
    folder = settings.export / f"{network.kind}_{label}"

    computed: list[SegmentEvidence] = []

    def explain() -> tuple[StepOutput, Sequence[str], bool]:
        options = ExplainOptions(stride=TRIAL_STRIDE)
        result = export_trial(load_network(checkpoint), trial.folder, folder, options)
        notes = write_explanation_figures(result, settings.bodies)
        found = export_evidence(result, options, find_counterfactual=find_counterfactual)
        computed.extend(found.segments)
        notes = tuple(dict.fromkeys((*notes, *write_evidence_pages(found, settings.bodies))))
        pages = [str((each.folder / EVIDENCE_PAGE).relative_to(folder)) for each in found.segments]
        # A repetition may succeed in rendering what failed now.
        return StepOutput({"evidence": pages}, (*notes, *found.notes)), result.problems, not notes

    files = folder / FIGURE_FILE, folder / EXPLANATION_FILE
    output = steps.run_step(
        f"Attribution of the {network.title} in {trial.trial_id}",
        # The evidence compares the trial with all controls.
        _inputs([checkpoint, *settings.poses.rglob(POSES_FILE)], stride=TRIAL_STRIDE, bodies=settings.bodies),
        files,
        explain,
    )
    if output is None:
        return None
    explanation = steps.attempt(lambda: read_explanation(files[1]))
    if explanation is None:
        return None
    pages = tuple(folder / name for name in (output.result or {}).get("evidence", ()) if (folder / name).is_file())
    evidence = computed[0] if len(computed) == 1 else None
    return TrialSection(label, trial.trial_id, trial.folder, checkpoint, explanation, files[0], pages, evidence)


def _walk_page(network: NetworkSection, settings: RunSettings, steps: _Steps) -> Iterator[WalkSection]:
    """Write the page of the explained patient, beside the control, if the network classified such correctly."""
    missing = [label for label in _LABELS if label not in {trial.label for trial in network.trials}]
    if missing:
        if network.cohort_figure is not None:
            steps.remarks.append(
                f"There is no walk page of the {network.title}: no correctly classified "
                f"{' and no '.join(LABEL_NOUNS[label] for label in missing)} is explained."
            )
        return
    control, patient = network.trials
    file, picture = (settings.export / f"walk_{network.kind}.{ending}" for ending in ("html", "png"))
    method = patient.explanation.attribution.method
    backend = _PrecomputedBackend(
        settings.bodies,
        options=ExplainOptions(method=method, stride=TRIAL_STRIDE),
        known={trial.folder: trial.explanation.attribution for trial in network.trials},
    )

    def write() -> tuple[StepOutput, Sequence[str], bool]:
        page, problems = make_walk_page(
            backend,
            patient.folder,
            network=load_network(patient.network),
            beside=control.folder,
            evidence=EvidenceOptions(no_counterfactual=True),
            known=patient.evidence,
        )
        write_page(file, page)
        with atomic_file(picture) as partial:
            partial.write_bytes(still_picture(page))
        return StepOutput(remarks=problems), (), not problems

    sources = [patient.network, *settings.poses.rglob(POSES_FILE)]
    output = steps.run_step(
        f"Walk page of the {network.title}",
        _inputs(sources, stride=TRIAL_STRIDE, method=method, bodies=settings.bodies, control=control.name),
        (file, picture),
        write,
    )
    if output is not None:
        yield WalkSection(network, patient, control, file, picture)


@dataclass(frozen=True)
class _PrecomputedBackend(FileBackend):
    """Viewer backend with attributions that are already computed."""

    known: Mapping[Path, TrialAttribution] = field(default_factory=dict)  # by folder of the trial

    def explain(
        self, network: TrainedNetwork, trial: LoadedTrial, method: str, progress: ProgressCallback
    ) -> TrialAttribution:
        """Return the known attribution of the trial."""
        return self.known[trial.folder]


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
