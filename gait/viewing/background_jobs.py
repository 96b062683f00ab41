"""Background jobs: one at a time in a thread; the drawing thread collects the results between two frames."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gait.errors import GaitError


class _CancelledError(Exception):
    """The result of the job is no longer needed."""


@dataclass(eq=False)
class _Job:
    title: str
    work: Callable[[], Any]
    on_done: Callable[[Any], None]
    supersedes: str
    cancelled: bool = False
    progress: float = 0.0  # 0 to 1


class Jobs:
    """A queue of jobs that run one after another. The error of a job becomes a message, and the next job starts."""

    def __init__(self) -> None:
        self.messages: list[str] = []  # for the user, the newest last
        self.errors: list[str] = []  # the messages that are errors
        self._waiting: list[_Job] = []
        self._running: _Job | None = None
        self._done: queue.SimpleQueue[tuple[_Job, Any, BaseException | None]] = queue.SimpleQueue()

    @property
    def current_job(self) -> str:
        """Title of the running job; "" if there is none."""
        return self._running.title if self._running else ""

    @property
    def progress(self) -> float:
        """Fraction of the running job that is done, 0 to 1; 0 for a job that does not report it."""
        return self._running.progress if self._running else 0.0

    def report_progress(self, done: int, count: int) -> None:
        """Record that ``done`` of ``count`` steps are done. Called by the work; it raises if the job is cancelled."""
        job = self._running
        if job is None or job.cancelled:
            raise _CancelledError
        job.progress = done / max(count, 1)

    def start(self, title: str, work: Callable[[], Any], on_done: Callable[[Any], None], supersedes: str = "") -> None:
        """Queue ``work`` for the thread; ``poll`` calls ``on_done`` with its result.

        Args:
            title: shown to the user while the job runs.
            work: runs in the thread, so it must not change anything that is drawn.
            on_done: runs in the thread that calls ``poll``, so it may.
            supersedes: kind of the job. Waiting jobs of the same kind are dropped, and a running one is cancelled when
                it next calls ``report_progress``.
        """
        if supersedes and self._running is not None and self._running.supersedes == supersedes:
            self._running.cancelled = True
        self._waiting = [job for job in self._waiting if not supersedes or job.supersedes != supersedes]
        self._waiting.append(_Job(title, work, on_done, supersedes))
        self._next()

    def poll(self) -> bool:
        """Collect the results of finished jobs; return whether there were any. Call it between two frames."""
        any_done = False
        while not self._done.empty():
            job, result, error = self._done.get()
            self._running = None
            any_done = True
            if error is None:
                try:
                    job.on_done(result)
                except GaitError as refused:
                    error = refused
            if error is not None and not isinstance(error, _CancelledError):
                self.report_error(_error_message(job, error))
            self._next()
        return any_done

    def report_error(self, message: str) -> None:
        """Add an error message."""
        self.errors.append(str(GaitError(message)))
        self.messages.append(self.errors[-1])

    def wait(self) -> None:
        """Wait until all jobs are done.

        Raises:
            GaitError: a job failed; the message is that of the first one.
        """
        while self._running is not None:
            self.poll()
            time.sleep(0.002)
        if self.errors:
            raise GaitError(self.errors[0])

    def close(self) -> None:
        """Drop the waiting jobs and cancel the running one at its next report of progress."""
        self._waiting.clear()
        if self._running is not None:
            self._running.cancelled = True

    def _next(self) -> None:
        if self._running is None and self._waiting:
            job = self._running = self._waiting.pop(0)
            # Not a daemon thread: if Python ends while one is inside torch, the process crashes.
            threading.Thread(target=self._run, args=(job,), name=job.title).start()

    def _run(self, job: _Job) -> None:
        try:
            self._done.put((job, job.work(), None))
        except Exception as error:  # no error of a job may close the window
            self._done.put((job, None, error))


def _error_message(job: _Job, error: BaseException) -> str:
    if isinstance(error, GaitError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"{job.title}: not enough memory; close other programs and try again."
    return str(GaitError(f"{job.title}: {type(error).__name__}: {error}"))
