"""Tasks, executors, and the loop that runs all tasks of a command.

A task is, for example, fitting one subject of a cohort, or training one fold of a network.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

RETRY_INTERVAL_S = 1.0
"""Seconds between attempts to start a task that another run has locked."""


class Task(Protocol):
    """A unit of work for one process, to which it is sent as a pickle."""

    @property
    def name(self) -> str:
        """Unique among the tasks of a command; messages about the task begin with it."""

    def run(self) -> Iterable[Any]:
        """Run the task; yield each result after it is saved to disk.

        Raises:
            LockedError: another run has locked the task; no result was yielded.
        """

    def cleanup(self) -> None:
        """Remove the temporary files of a process that was killed during this task."""

    def absolute(self) -> Task:
        """Return the same task with absolute paths, for a worker with another working directory."""


SomeTask = TypeVar("SomeTask", bound=Task)


@dataclass(frozen=True)
class Finished:
    """The task has ended; all its results have been reported."""


@dataclass(frozen=True)
class Locked:
    """The task was not started because another run has locked it."""

    message: str


@dataclass(frozen=True)
class Crashed:
    """The process of the task ended before the task did."""

    message: str


class Executor(Protocol):
    """Runs several tasks at the same time."""

    slots: int  # maximum number of running tasks
    max_attempts: int  # per task, if its process crashes

    def submit(self, task: Task) -> None:
        """Start a task."""

    def poll(self, seconds: float) -> list[tuple[Task, Any]]:
        """Return new (task, result) pairs; wait up to ``seconds`` for the first.

        The last result of a task is Finished, Locked or Crashed.
        """


def run_tasks(
    tasks: Sequence[SomeTask], executor: Executor, log: Callable[[str], None]
) -> Iterator[tuple[SomeTask, Any]]:
    """Run all tasks and yield (task, result) pairs as they arrive, in any order; (task, Crashed) for a failed task.

    Tasks locked by another run are tried again after all others. A task whose process crashed is tried again when no
    other task is running, since the cause may have been lack of memory; its earlier results can then arrive twice.
    ``log`` shows a line to the user.
    """
    by_name = {task.name: task for task in tasks}
    waiting, run_alone = deque(tasks), deque[SomeTask]()
    locked: list[SomeTask] = []
    running: set[str] = set()
    num_crashes: dict[str, int] = {}
    reported_as_locked: set[str] = set()
    next_attempt = 0.0
    while waiting or running or locked or run_alone:
        if locked and not waiting and time.monotonic() >= next_attempt:
            waiting.extend(locked)
            locked.clear()
        if run_alone and not (waiting or running or locked):
            waiting.append(run_alone.popleft())
        while waiting and len(running) < executor.slots:
            task = waiting.popleft()
            running.add(task.name)
            executor.submit(task)
        if not running:
            time.sleep(max(next_attempt - time.monotonic(), 0))
            continue
        for submitted, result in executor.poll(RETRY_INTERVAL_S):
            task = by_name[submitted.name]
            if isinstance(result, Locked):
                running.discard(task.name)
                locked.append(task)
                next_attempt = time.monotonic() + RETRY_INTERVAL_S
                if task.name not in reported_as_locked:
                    reported_as_locked.add(task.name)
                    log(f"{result.message} Trying again later.")
            elif isinstance(result, Crashed):
                running.discard(task.name)
                num_crashes[task.name] = num_crashes.get(task.name, 0) + 1
                if num_crashes[task.name] < executor.max_attempts:
                    run_alone.append(task)
                    log(f"{task.name}: {result.message}; trying once more at the end, alone.")
                else:
                    yield task, result
            elif isinstance(result, Finished):
                running.discard(task.name)
            else:
                yield task, result
