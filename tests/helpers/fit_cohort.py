"""Fit a cohort as shape_optimizer.py does, but in the process of the test."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gait.cohort.cohort_file import Subject
from gait.cohort.fit_settings import FitSettings
from gait.cohort.run_cohort import run_cohort
from gait.cohort.trial_folder import TrialOutcome
from gait.files.folder_lock import LockedError
from gait.parallel.task_queue import Finished, Locked, Task


class InlineExecutor:
    """Executor that runs one task at a time, in this process."""

    slots = max_attempts = 1

    def submit(self, task: Task) -> None:
        self.task = task

    def poll(self, seconds: float) -> list[tuple[Task, Any]]:
        try:
            return [*((self.task, result) for result in self.task.run()), (self.task, Finished())]
        except LockedError as error:
            return [(self.task, Locked(str(error)))]


def fit_cohort(
    subjects: Sequence[Subject], settings: FitSettings, log: Callable[[str], None] = print
) -> Iterator[TrialOutcome]:
    """Fit one subject after the other; yield one outcome per trial."""
    return run_cohort(subjects, settings, InlineExecutor(), log)
