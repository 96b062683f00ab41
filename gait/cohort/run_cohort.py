"""A cohort on several processes, here or on a cluster: one person is one task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from gait.cohort.cohort_file import Subject
from gait.cohort.fit_settings import FitSettings, person_folder
from gait.cohort.trial_outcome import TrialOutcome
from gait.files.folder_lock import tidy
from gait.parallel.task_queue import Crashed, Executor, run_tasks

FIT_MODULE = "gait.cohort.fit_subject"
"""What a process that fits has to load."""


@dataclass(frozen=True)
class FitTask:
    """Fits one person; tells of each gait's outcome."""

    subject: Subject
    settings: FitSettings

    @property
    def name(self) -> str:
        """The person's."""
        return self.subject.name

    def run(self) -> Iterator[TrialOutcome]:
        """Fit the person."""
        from gait.cohort.fit_subject import fit_subject  # loads all of the suite, for seconds: where the work is

        return fit_subject(self.subject, self.settings)

    def tidy(self) -> None:
        """Remove what was being written."""
        tidy(person_folder(self.settings.save_folder, self.subject))

    def absolute(self) -> FitTask:
        """The same with absolute paths."""
        file, settings = self.subject.constraint_file, self.settings
        return FitTask(
            replace(
                self.subject,
                gaits=tuple(path.resolve() for path in self.subject.gaits),
                constraint_file=None if file is None else file.resolve(),
            ),
            replace(settings, model_folder=settings.model_folder.resolve(), save_folder=settings.save_folder.resolve()),
        )


def run_cohort(
    subjects: Sequence[Subject], settings: FitSettings, crew: Executor, tell: Callable[[str], None]
) -> Iterator[TrialOutcome]:
    """Fit all subjects; yields one outcome a gait as soon as it is known, in any order.

    Args:
        subjects: with different names.
        settings: of each.
        crew: does the work.
        tell: takes a line for the user.
    """
    known: set[tuple[str, str]] = set()  # (subject, gait); of a person tried again, some are
    for task, what in run_tasks([FitTask(subject, settings) for subject in subjects], crew, tell):
        name = task.name
        outcomes = [what]
        if isinstance(what, Crashed):
            line = f"{name}: {what.line}."
            outcomes = [TrialOutcome(name, gait.stem, "failed", line) for gait in task.subject.gaits]
        for outcome in outcomes:
            if (name, outcome.gait) not in known:
                known.add((name, outcome.gait))
                yield outcome
