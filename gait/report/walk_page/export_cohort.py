"""The pages of a cohort: one per trial, by the network that was not trained on the subject, and their index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gait.errors import GaitError
from gait.explaining.evidence.controls import Cohort
from gait.explaining.evidence.find_cohort import find_cohort
from gait.explaining.options import EvidenceOptions, ExplainOptions
from gait.explaining.trained_network import TrainedNetwork, load_network
from gait.files.atomic_write import atomic_file
from gait.kinematics.norm_comparison import Deviation
from gait.learning.fold_result import FoldResult, read_results
from gait.learning.networks import NETWORKS
from gait.motion.subject_trials import FittedTrial, find_trial_folders, read_fitted_trial
from gait.report.walk_page.answer import describe
from gait.report.walk_page.curve_section import curve_section
from gait.report.walk_page.export import drawn_norm, explain_trial_overlays, with_evidence, write_page
from gait.report.walk_page.index_page import IndexRow, index_page
from gait.report.walk_page.walk_data import WalkPage
from gait.viewing.file_backend import FileBackend

INDEX_FILE = "index.html"


@dataclass(frozen=True)
class CohortPages:
    """The pages that were written."""

    index: Path
    num_pages: int
    problems: tuple[str, ...]  # one line per trial, part or network that failed


@dataclass(frozen=True)
class PageSettings:
    """What the pages of a cohort are made of."""

    trained: Path  # save folder of a training
    poses: Path  # save folder of the fit
    output: Path
    evidence: EvidenceOptions
    anonymous: bool = False


def export_cohort_pages(settings: PageSettings, backend: FileBackend, progress: Callable[[str], object]) -> CohortPages:
    """Write one page per trial of the evaluation subjects, and the index; of the first kind of network in the folder.

    ``progress`` is called with one line per page.

    Raises:
        GaitError: there is no training, no page can be written, or a file cannot be written.
    """
    kind = next((name for name in NETWORKS if any(settings.trained.glob(f"result_{name}_fold*.npz"))), None)
    if kind is None:
        raise GaitError(
            f"{settings.trained}: no training result, result_<network>_fold<k>.npz; name a training's save folder."
        )
    results, unreadable = read_results(settings.trained, kind)
    problems, rows = list(unreadable), list[IndexRow]()
    for result in results:
        try:
            network = load_network(settings.trained / f"fold{result.fold.index}" / f"{kind}.ckpt")
            cohort = None if settings.evidence.no_evidence else _cohort(network, settings, backend.options, problems)
        except GaitError as error:
            problems.append(str(error))
            continue
        for trial in _trials(result, settings.poses, problems):
            try:
                rows.append(_write(trial, network, result, cohort, settings, backend, len(rows) + 1, problems))
                progress(f"{settings.output / rows[-1].file}")
            except GaitError as error:
                problems.append(f"{trial.subject}/{trial.name}: {error}")
    if not rows:
        raise GaitError(problems[0] if problems else f"{settings.poses}: no subject of the trained folds is in it.")
    index = settings.output / INDEX_FILE
    title = f"{len(rows)} walks, by the {NETWORKS[kind].title}"
    norm = drawn_norm(settings.evidence.norms).source.title
    missing = [f"{len(problems)} parts, which the terminal named."] if settings.anonymous and problems else problems
    with atomic_file(index) as partial:
        partial.write_text(index_page(rows, title, norm, missing), encoding="utf-8", errors="replace")
    return CohortPages(index, len(rows), tuple(problems))


def _cohort(
    network: TrainedNetwork, settings: PageSettings, options: ExplainOptions, problems: list[str]
) -> Cohort | None:
    """Return what the subjects are compared with, as this network sees it."""
    try:
        return find_cohort(network, settings.poses, settings.evidence.norms, options)
    except GaitError as error:
        problems.append(f"No evidence: {error}")
        return None


def _trials(result: FoldResult, poses: Path, problems: list[str]) -> Iterator[FittedTrial]:
    """Yield the fitted trials of the evaluation subjects of a fold."""
    left_out = set(result.left_out.get("trials", ()))
    for subject in result.fold.evaluation:
        folder = poses / subject
        if not folder.is_dir():
            problems.append(f"{subject}: in the test set of the training, but not among the poses; it has no page.")
            continue
        for trial in find_trial_folders(folder):
            try:
                yield from (each for each in read_fitted_trial(trial) if f"{subject}/{each.name}" not in left_out)
            except GaitError as error:
                problems.append(str(error))


def _write(
    trial: FittedTrial,
    network: TrainedNetwork,
    result: FoldResult,
    cohort: Cohort | None,
    settings: PageSettings,
    backend: FileBackend,
    number: int,
    problems: list[str],
) -> IndexRow:
    """Write the page of a trial; return its row of the index."""
    loaded = backend.load_trial(trial.folder)
    own: list[str] = []
    page = WalkPage(loaded, explain_trial_overlays(backend, loaded, network, own), anonymous=settings.anonymous)
    if cohort is not None:
        try:
            page = with_evidence(page, cohort, backend.options)
        except GaitError as error:
            own.append(f"No evidence: {error}")
    if page.curves is None:
        page = replace(page, curves=curve_section(loaded, drawn_norm(settings.evidence.norms)))
    problems += [f"{trial.subject}/{trial.name}: {line}" for line in own]
    file = f"{number:04d}.html" if settings.anonymous else f"{trial.subject}/{trial.name}.html"
    write_page(settings.output / file, page)
    deviations = () if page.curves is None else page.curves.deviations
    return IndexRow(
        file=file,
        subject=f"Subject {_numbers(result, trial.subject)}" if settings.anonymous else trial.subject,
        trial=f"trial {number}" if settings.anonymous else trial.name,
        label=page.label,
        fold=result.fold.index,
        probability=page.overlays[0].attribution.trial_probability,
        verdict=_main_verdict(page),
        deviation=_largest(deviations),
        gps_deg=float("nan") if page.curves is None else page.curves.gps_deg,
        residual_mm=trial.residual_mean_mm,
    )


def _numbers(result: FoldResult, subject: str) -> str:
    """Return a number for a subject that does not name it: that of the fold, and its place there."""
    return f"{result.fold.index}.{list(result.fold.evaluation).index(subject) + 1}"


def _largest(deviations: Sequence[Deviation]) -> str:
    """Return where the curve that deviates most leaves its band; "" if none does."""
    return describe([each for each in deviations if _curve(each) == _curve(deviations[0])]) if deviations else ""


def _curve(deviation: Deviation) -> tuple[str, str]:
    return deviation.angle, deviation.side


def _main_verdict(page: WalkPage) -> str:
    """Return the verdict on the largest share of the evidence; "" without evidence."""
    shares: dict[str, float] = {}
    for finding in () if page.evidence is None else page.evidence.findings:
        shares[finding.verdict.value] = shares.get(finding.verdict.value, 0.0) + max(finding.share, 0.0)
    return max(shares, key=lambda verdict: shares[verdict]) if shares else ""
