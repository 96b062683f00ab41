"""Independent tasks, several at a time: what a task is, who works on them, and how all of them are brought to an end.

A person of a cohort that is fitted is one task, a fold of a network that is trained another.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from gait.errors import GaitError

LOOK_AGAIN_S = 1.0
"""How often a run looks whether another one has let go of a task."""


class LockedError(GaitError):
    """Another run is at this task; to be tried again later."""


class Task(Protocol):
    """Work that is done in one process, where nothing else of this one is known; it is sent there as a pickle."""

    @property
    def name(self) -> str:
        """Different for each task of a run; the user's lines begin with it."""

    def run(self) -> Iterable[Any]:
        """Do it; tells of each result when it is on the disk.

        Raises:
            TakenError: another run is at it; nothing was told.
        """

    def tidy(self) -> None:
        """Remove what a process that is gone was writing."""

    def absolute(self) -> Task:
        """The same with absolute paths, for a worker that runs elsewhere."""


SomeTask = TypeVar("SomeTask", bound=Task)


@dataclass(frozen=True)
class Finished:
    """All results of a task have been told of."""


@dataclass(frozen=True)
class Locked:
    """Another run is at this task."""

    line: str


@dataclass(frozen=True)
class Crashed:
    """What was at this task ended without a word."""

    line: str


class Executor(Protocol):
    """Does tasks, several at a time."""

    places: int  # tasks at a time
    tries: int  # of a task whose process dies

    def begin(self, task: Task) -> None:
        """Start on a task."""

    def news(self, seconds: float) -> list[tuple[Task, Any]]:
        """What has happened; waits for something up to so many seconds. Done, Taken and Died end a task."""


def run_tasks(tasks: Sequence[SomeTask], crew: Executor, tell: Callable[[str], None]) -> Iterator[tuple[SomeTask, Any]]:
    """Do all tasks; yields each with its results as soon as they are known, in any order, and Died where it failed.

    Tasks that another run is at come last, and one whose process died is tried again when nothing else runs: memory
    that was too little for several may do for one. What it had told of may then be told of again.

    Args:
        tasks: with different names.
        crew: does the work.
        tell: takes a line for the user.
    """
    given = {task.name: task for task in tasks}
    waiting, alone = deque(tasks), deque[SomeTask]()
    taken: list[SomeTask] = []
    running: set[str] = set()
    deaths: dict[str, int] = {}
    told_taken: set[str] = set()
    look_again = 0.0
    while waiting or running or taken or alone:
        if taken and not waiting and time.monotonic() >= look_again:
            waiting.extend(taken)
            taken.clear()
        if alone and not (waiting or running or taken):
            waiting.append(alone.popleft())
        while waiting and len(running) < crew.places:
            task = waiting.popleft()
            running.add(task.name)
            crew.begin(task)
        if not running:
            time.sleep(max(look_again - time.monotonic(), 0))
            continue
        for its, what in crew.news(LOOK_AGAIN_S):
            task = given[its.name]
            if isinstance(what, Locked):
                running.discard(task.name)
                taken.append(task)
                look_again = time.monotonic() + LOOK_AGAIN_S
                if task.name not in told_taken:
                    told_taken.add(task.name)
                    tell(f"{what.line} Looked at again later.")
            elif isinstance(what, Crashed):
                running.discard(task.name)
                deaths[task.name] = deaths.get(task.name, 0) + 1
                if deaths[task.name] < crew.tries:
                    alone.append(task)
                    tell(f"{task.name}: {what.line}; tried once more at the end, alone.")
                else:
                    yield task, what
            elif isinstance(what, Finished):
                running.discard(task.name)
            else:
                yield task, what
