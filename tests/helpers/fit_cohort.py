"""Fit a cohort as shape_optimizer.py does, but in the process of the test."""

import contextlib
import io
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import shape_optimizer
from gait.cli.arguments import parse
from gait.cli.exit_codes import run_main
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


def run_script_here(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run shape_optimizer.py in a working directory, without a new process for the script itself."""
    command, out, err = [str(word) for word in words], io.StringIO(), io.StringIO()

    def main() -> int:
        return shape_optimizer.main(parse(shape_optimizer.Arguments, shape_optimizer.__doc__ or "", command))

    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = run_main(main, "Stopped before the first fit.")
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())
