"""Write the pages and tables of a gait analysis: one page per subject, comparisons, and the page of the cohort."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gait.errors import GaitError, error_message
from gait.files.atomic_write import atomic_file
from gait.kinematics.norms import read_gdi_reference
from gait.kinematics.published_speed_change import PUBLISHED_BY_SPEED
from gait.motion.subject_trials import find_subject_folders
from gait.motion.trial_paths import parse_subject_id
from gait.parallel.process_pool import ProcessPool, allocate_cores
from gait.parallel.task_queue import Crashed, Task, run_tasks
from gait.report.gait.cohort_page import cohort_page
from gait.report.gait.comparison import Sample, compare, find_sample
from gait.report.gait.comparison_page import COMPARISON_COLUMNS, comparison_page, comparison_rows
from gait.report.gait.measured_subject import MeasuredSubject, measure_subject
from gait.report.gait.norm_set import (
    NormResults,
    NormSet,
    compare_subject,
    control_of,
    default_norms,
    find_controls,
    read_norm_set,
)
from gait.report.gait.subject_page import subject_page
from gait.report.gait.subject_summary import SubjectSummary, summarize_subject
from gait.report.gait.tables import write_cohort_tables, write_csv, write_subject_tables

PAGE_FILE = "gait.html"
"""The page of a subject, in the subject's folder."""
COMPARISON_PAGE = "comparison.html"
SUBJECTS_FOLDER = "subjects"
MODULE = "gait.report.gait.build"
"""Module that worker processes import in advance."""
_MIN_SUBJECTS_FOR_WORKERS = 16  # fewer are done before processes have started


@dataclass(frozen=True, kw_only=True)
class GaitPageSettings:
    """What the pages are made of, and where they are written."""

    poses: Path
    export: Path
    cohort_page: str = "index.html"  # name of the page of the cohort
    # names or files of norms, or one folder of fitted controls; None: ``default_norms``
    norms: tuple[str, ...] | None = None
    compare: tuple[str, ...] = ()  # two measurements or groups, as ``find_sample`` reads them
    workers: int | None = None  # subjects analysed at the same time; None: as many as there are cores


@dataclass(frozen=True)
class GaitPagesResult:
    """The page of the cohort, and what is missing on it."""

    page: Path
    num_subjects: int
    num_trials: int
    problems: tuple[str, ...]  # one line per trial or subject that could not be analysed


@dataclass(frozen=True)
class SubjectTask:
    """Task of analysing one subject; yields a ``SubjectSummary``, or the line that says why there is none."""

    folder: Path  # of the subject's fitted trials
    settings: GaitPageSettings
    norms: NormSet
    measured: MeasuredSubject | None = None  # None: not analysed yet

    @property
    def name(self) -> str:
        """The subject, "sick/P02"."""
        return parse_subject_id(self.folder / "trial")

    def run(self) -> Iterator[SubjectSummary | str]:
        """Analyse the subject and write its page and tables."""
        try:
            subject = self.measured or measure_subject(self.folder)
            yield write_subject(subject, compare_subject(subject, self.folder, self.norms), self.norms, self.settings)
        except Exception as error:
            yield error_message(error, self.name, "the gait analysis", "use fewer --workers")

    def cleanup(self) -> None:
        """Nothing: files are written as a whole."""

    def absolute(self) -> SubjectTask:
        """Return the same task with absolute paths."""
        settings = replace(self.settings, poses=self.settings.poses.resolve(), export=self.settings.export.resolve())
        return replace(self, folder=self.folder.resolve(), settings=settings)


@dataclass(frozen=True)
class ControlTask:
    """Task of analysing one control of a norm; yields it, or the line that says why it cannot be analysed."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder of the subject."""
        return str(self.folder)

    def run(self) -> Iterator[MeasuredSubject | str]:
        """Analyse the subject."""
        try:
            yield measure_subject(self.folder)
        except Exception as error:
            yield error_message(error, self.name, "the gait analysis", "use fewer --workers")

    def cleanup(self) -> None:
        """Nothing: no file is written."""

    def absolute(self) -> ControlTask:
        """Return the same task with an absolute path."""
        return ControlTask(self.folder.resolve())


def build_gait_pages(settings: GaitPageSettings, progress: Callable[[str], None]) -> GaitPagesResult:
    """Write all pages and tables into ``settings.export``; ``progress`` is called with a line per remark.

    Raises:
        GaitError: there is no fitted trial, none can be analysed, or a file cannot be written.
    """
    folders = find_subject_folders(settings.poses)
    problems: list[str] = []
    norms = NormSet(gdi=(read_gdi_reference(),))
    controls: dict[Path, MeasuredSubject] = {}
    try:
        norms, controls = _read_norms(settings, progress)
    except GaitError as error:
        problems.append(str(error))
    tasks = [SubjectTask(folder, settings, norms, controls.get(folder.resolve())) for folder in folders]
    results = dict(_results(tasks, settings.workers, progress))
    summaries = [result for task in tasks if isinstance(result := results[task.name], SubjectSummary)]
    problems += [line for each in results.values() for line in ([each] if isinstance(each, str) else each.problems)]
    if not summaries:
        raise GaitError(problems[0])
    page = settings.export / settings.cohort_page
    links = {summary.subject_id: _subject_folder(summary.subject_id) / PAGE_FILE for summary in summaries}
    comparison = None
    if settings.compare:
        try:
            comparison = _write_comparison(settings, summaries, {task.name: task.folder for task in tasks})
        except GaitError as error:
            problems.append(str(error))
    write_cohort_tables(summaries, settings.export)
    _write_page(page, cohort_page(summaries, norms, links, problems, comparison))
    return GaitPagesResult(page, len(summaries), sum(s.num_trials for s in summaries), tuple(problems))


def _read_norms(
    settings: GaitPageSettings, progress: Callable[[str], None]
) -> tuple[NormSet, dict[Path, MeasuredSubject]]:
    """Return the norms, and the analyses of the controls that they are of by resolved folder."""
    names = settings.norms if settings.norms is not None else default_norms(settings.poses)
    tasks = [ControlTask(folder) for folder in find_controls(names)]
    results = dict(_results(tasks, settings.workers, progress))
    for line in results.values():
        if isinstance(line, str):
            progress(f"--norms: {line}")
    found = {each.folder: result for each in tasks if isinstance(result := results[each.name], MeasuredSubject)}
    measured = {folder.resolve(): subject for folder, subject in found.items()}
    try:
        return read_norm_set(names, (control_of(subject, folder) for folder, subject in found.items())), measured
    except GaitError as error:
        if settings.norms is not None:
            raise
        progress(f"{error} The norm is {PUBLISHED_BY_SPEED}.")
        return read_norm_set((PUBLISHED_BY_SPEED,), ()), measured


def _write_comparison(
    settings: GaitPageSettings, subjects: Sequence[SubjectSummary], folders: Mapping[str, Path]
) -> str:
    """Write the page and the table of a comparison; return the name of the page."""

    def sample(name: str) -> Sample:
        return find_sample(name, subjects, lambda subject_id: measure_subject(folders[subject_id]))

    comparison = compare(*(sample(name) for name in settings.compare))
    write_csv(settings.export / "comparison.csv", COMPARISON_COLUMNS, comparison_rows(comparison))
    _write_page(settings.export / COMPARISON_PAGE, comparison_page(comparison, settings.cohort_page))
    return COMPARISON_PAGE


def write_subject(
    subject: MeasuredSubject, results: NormResults, norms: NormSet, settings: GaitPageSettings
) -> SubjectSummary:
    """Write the page and the tables of a subject; return what the cohort's page shows of it."""
    folder = settings.export / _subject_folder(subject.subject_id)
    files = write_subject_tables(subject, results, folder)
    up = "../" * len(_subject_folder(subject.subject_id).parts)
    content = subject_page(subject, results, norms, up + settings.cohort_page, [file.name for file in files])
    _write_page(folder / PAGE_FILE, content)
    return summarize_subject(subject, results)


def _results(tasks: Sequence[Task], workers: int | None, progress: Callable[[str], None]) -> Iterator[tuple[str, Any]]:
    """Yield the result of each task, in any order."""
    if workers == 1 or len(tasks) < _MIN_SUBJECTS_FOR_WORKERS:
        for task in tasks:
            for result in task.run():
                yield task.name, result
        return
    with ProcessPool(allocate_cores(len(tasks), workers), MODULE) as pool:
        for task, result in run_tasks(tasks, pool, progress):
            yield task.name, f"{task.name}: {result.message}." if isinstance(result, Crashed) else result


def _subject_folder(subject_id: str) -> Path:
    return Path(SUBJECTS_FOLDER) / subject_id


def _write_page(path: Path, content: str) -> None:
    with atomic_file(path) as partial:
        partial.write_text(content, encoding="utf-8", errors="replace")
