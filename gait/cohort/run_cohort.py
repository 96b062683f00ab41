"""Fit a cohort on several processes, local or on a cluster; one subject is one task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gait.capture.pose_formats import pose_format, trial_name
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.capture.sandboxed_reader import start_reader
from gait.cohort.cohort_file import Subject
from gait.cohort.finished_trials import find_finished_subject
from gait.cohort.fit_settings import FitSettings, subject_folder
from gait.cohort.trial_folder import TrialOutcome
from gait.errors import GaitError
from gait.files.folder_lock import cleanup
from gait.parallel.task_queue import Crashed, Executor, run_tasks


@dataclass(frozen=True)
class FitTask:
    """Task of fitting one subject; yields the outcome of each trial."""

    subject: Subject
    settings: FitSettings
    recordings: Mapping[Path, Recording] = field(default_factory=dict)  # already read

    @property
    def name(self) -> str:
        """Name of the subject."""
        return self.subject.name

    def run(self) -> Iterator[TrialOutcome]:
        """Fit the subject."""
        from gait.cohort.fit_subject import fit_subject  # a slow import, so only in the process that fits

        return fit_subject(self.subject, self.settings, self.recordings)

    def cleanup(self) -> None:
        """Remove temporary files of an interrupted fit."""
        cleanup(subject_folder(self.settings.save_folder, self.subject))

    def absolute(self) -> FitTask:
        """Return the same task with absolute paths."""
        file, settings = self.subject.marker_layout_file, self.settings
        return FitTask(
            replace(
                self.subject,
                trials=tuple(path.resolve() for path in self.subject.trials),
                marker_layout_file=None if file is None else file.resolve(),
            ),
            replace(settings, model_folder=settings.model_folder.resolve(), save_folder=settings.save_folder.resolve()),
        )


def read_ahead(task: FitTask) -> Iterator[FitTask]:
    """Read the recordings of a subject; yield the task with the first, with the first two, and so on.

    It ends at a recording that cannot be read: the process that fits reads it again and reports it.
    """
    start_reader()  # in the calling thread: the iterator may run in another one, beside changes of the environment
    return _read_recordings(task)


def _read_recordings(task: FitTask) -> Iterator[FitTask]:
    recordings: dict[Path, Recording] = {}
    for path in task.subject.trials:
        if pose_format(path) is None:
            try:
                recordings[path] = read_recording(path, subject_index=task.subject.subject_index)
            except (GaitError, OSError):
                return
            yield replace(task, recordings=dict(recordings))


def run_cohort(
    subjects: Sequence[Subject], settings: FitSettings, executor: Executor, log: Callable[[str], None]
) -> Iterator[TrialOutcome]:
    """Fit all subjects; yield one outcome per trial as soon as it is known, in any order.

    Subjects that are finished are found here, before any process starts.
    """
    tasks = []
    for subject in subjects:
        if finished := find_finished_subject(subject, settings):
            cleanup(subject_folder(settings.save_folder, subject))
            yield from finished
        else:
            tasks.append(FitTask(subject, settings))
    reported: set[tuple[str, str]] = set()  # (subject, trial); a subject that is fitted again repeats outcomes
    for task, result in run_tasks(tasks, executor, log):
        name = task.name
        outcomes = [result]
        if isinstance(result, Crashed):
            message = f"{name}: {result.message}."
            outcomes = [TrialOutcome(name, trial_name(trial), "failed", message) for trial in task.subject.trials]
        for outcome in outcomes:
            if (name, outcome.trial) not in reported:
                reported.add((name, outcome.trial))
                yield outcome
