"""The pages of a cohort, each by a network that was not trained on the subject, and their index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gait.errors import GaitError
from gait.explaining.evidence.controls import Cohort
from gait.explaining.evidence.find_cohort import find_cohorts
from gait.explaining.options import EvidenceOptions, ExplainOptions
from gait.explaining.trained_network import TrainedNetwork, load_network
from gait.files.atomic_write import atomic_file
from gait.learning.fold_result import FoldResult, trained_kinds
from gait.learning.networks import NETWORKS
from gait.motion.subject_trials import FittedTrial, find_trial_folders, read_fitted_trial
from gait.report.training.write_report import folds_of_experiment
from gait.report.walk_page.curve_section import describe
from gait.report.walk_page.export import drawn_norm, load_beside, make_walk_page, write_page
from gait.report.walk_page.index_page import IndexRow, index_page
from gait.report.walk_page.walk_data import WalkPage
from gait.text import join_words, pluralize
from gait.viewing.file_backend import FileBackend
from gait.viewing.loaded_trial import LoadedTrial

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
    beside: Path | None = None  # second body of every page, as in ``export_walk_page``


@dataclass(frozen=True, eq=False)
class _Fold:
    """The network of one fold, and its subjects."""

    kind: str  # name of the network
    result: FoldResult
    network: TrainedNetwork


def export_cohort_pages(settings: PageSettings, backend: FileBackend, progress: Callable[[str], object]) -> CohortPages:
    """Write one page per trial of the evaluation subjects and kind of network in the folder, and the index.

    Each is what ``export_walk_page`` writes of that trial and network. ``progress`` is called with one line per page.

    Raises:
        GaitError: there is no training, no page can be written, or a file cannot be written.
    """
    problems: list[str] = []
    folds = [fold for kind in trained_kinds(settings.trained) for fold in _folds(kind, settings, problems)]
    beside = load_beside(backend, settings.beside)
    cohorts = _cohorts(folds, settings, backend.options, problems)
    writer = _PageWriter(settings, backend, beside, several=len({fold.kind for fold in folds}) > 1)
    for fold, cohort in zip(folds, cohorts, strict=True):
        for trial in _trials(fold.result, settings.poses, problems):
            try:
                row, missing = writer.write(trial, fold, cohort)
            except GaitError as error:
                missing = (str(error),)
            else:
                progress(f"{settings.output / row.file}")
            problems += [f"{trial.subject}/{trial.name}: {line}" for line in missing]
    problems = list(dict.fromkeys(problems))  # both kinds of networks may lack a subject
    if not writer.rows:
        raise GaitError(problems[0] if problems else f"{settings.poses}: no subject of the trained folds is in it.")
    index = settings.output / INDEX_FILE
    kinds = dict.fromkeys(f"the {NETWORKS[fold.kind].title}" for fold in folds)
    title = f"{pluralize(writer.num_trials, 'walk')}, by {join_words(list(kinds))}"
    norm = drawn_norm(settings.evidence.norms).source.title
    named = [f"{len(problems)} parts, which the terminal named."] if settings.anonymous and problems else problems
    with atomic_file(index) as partial:
        partial.write_text(index_page(writer.rows, title, norm, named), encoding="utf-8", errors="replace")
    return CohortPages(index, len(writer.rows), tuple(problems))


def _folds(kind: str, settings: PageSettings, problems: list[str]) -> Iterator[_Fold]:
    """Yield the networks of one kind that can be read."""
    try:
        results, excluded = folds_of_experiment(settings.trained, kind)
    except GaitError as error:
        problems.append(str(error))
        return
    problems += excluded
    for result in results:
        try:
            yield _Fold(kind, result, load_network(settings.trained / f"fold{result.fold.index}" / f"{kind}.ckpt"))
        except GaitError as error:
            problems.append(str(error))


def _cohorts(
    folds: Sequence[_Fold], settings: PageSettings, options: ExplainOptions, problems: list[str]
) -> Sequence[Cohort | None]:
    """Return what the subjects are compared with, as the network of each fold sees it."""
    if not settings.evidence.no_evidence:
        try:
            return find_cohorts([fold.network for fold in folds], settings.poses, settings.evidence.norms, options)
        except GaitError as error:
            problems.append(f"No evidence: {error}")
    return [None] * len(folds)


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


class _PageWriter:
    """Writes one page after another, and numbers trials and subjects where the pages are anonymous."""

    def __init__(self, settings: PageSettings, backend: FileBackend, beside: LoadedTrial | None, *, several: bool):
        self._settings, self._backend, self._beside = settings, backend, beside
        self._several = several  # kinds of networks
        self._trials: dict[str, int] = {}
        self._subjects: dict[str, int] = {}
        self.rows: list[IndexRow] = []

    @property
    def num_trials(self) -> int:
        """Number of trials that have a page."""
        return len(self._trials)

    def write(self, trial: FittedTrial, fold: _Fold, cohort: Cohort | None) -> tuple[IndexRow, tuple[str, ...]]:
        """Write the page of a trial; return its row of the index, and one line per part that failed.

        Raises:
            GaitError: it cannot be read, explained or written.
        """
        evidence, anonymous = self._settings.evidence, self._settings.anonymous
        page, missing = make_walk_page(
            self._backend, trial.folder, network=fold.network, beside=self._beside, anonymous=anonymous,
            evidence=evidence if cohort is not None else replace(evidence, no_evidence=True), cohort=cohort,
        )  # fmt: skip
        number = self._trials.setdefault(f"{trial.subject}/{trial.name}", len(self._trials) + 1)
        person = self._subjects.setdefault(trial.subject, len(self._subjects) + 1)
        file = f"{number:04d}.html" if anonymous else f"{trial.subject}/{trial.name}.html"
        file = f"{fold.kind}/{file}" if self._several else file
        write_page(self._settings.output / file, page)
        row = IndexRow(
            file=file,
            subject=f"Subject {person}" if anonymous else trial.subject,
            trial=f"trial {number}" if anonymous else trial.name,
            label=page.label,
            network=NETWORKS[fold.kind].title if self._several else "",
            fold=fold.result.fold.index,
            probability=page.overlays[0].attribution.trial_probability,
            verdict=_main_verdict(page),
            deviation=_largest(page),
            gps_deg=float("nan") if page.curves is None else page.curves.gps_deg,
            residual_mm=trial.residual_mean_mm,
        )
        self.rows.append(row)
        return row, missing


def _largest(page: WalkPage) -> str:
    """Return where the curve that deviates most leaves its band; "" if none does."""
    found = {} if page.curves is None else page.curves.deviations_by_curve
    return describe(next(iter(found.values()))) if found else ""


def _main_verdict(page: WalkPage) -> str:
    """Return the verdict on the largest share of the evidence; "" without evidence."""
    shares: dict[str, float] = {}
    for finding in () if page.evidence is None else page.evidence.findings:
        shares[finding.verdict.value] = shares.get(finding.verdict.value, 0.0) + max(finding.share, 0.0)
    return max(shares, key=lambda verdict: shares[verdict]) if shares else ""
