"""Background jobs: one at a time in a thread; the drawing thread collects the results between two frames."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from gait.errors import GaitError


@dataclass(eq=False)
class Job:
    """A job that waits, runs, or waits to be collected."""

    kind: str
    title: str  # shown to the user while it runs
    on_done: Callable[[Any], None]
    progress: float = 0.0  # fraction that is done, 0 to 1; 0 for a job that does not report it
    cancelled: bool = False
    future: Future[Any] = field(init=False)

    def cancel(self) -> bool:
        """Return whether the job was waiting and never starts; if it runs, its next report of progress ends it."""
        self.cancelled = True
        return self.future.cancel()


class Jobs:
    """A queue of jobs that run one after another. The error of a job becomes a message, and the next job starts."""

    def __init__(self) -> None:
        self.messages: list[str] = []  # for the user, the newest last
        self.errors: list[str] = []  # the messages that are errors
        self.on_finished: Callable[[], None] = lambda: None  # called in the thread when a job ends
        self._jobs: list[Job] = []  # not collected yet; the first is the current one
        self._running: Job | None = None  # set by the thread
        # Its thread is not a daemon: if Python ends while one is inside torch, the process crashes.
        self._thread = ThreadPoolExecutor(1)

    @property
    def current_job(self) -> Job | None:
        """The job that runs, if any."""
        return self._jobs[0] if self._jobs else None

    def report_progress(self, done: int, count: int) -> None:
        """Record that ``done`` of ``count`` steps are done. Called by the work; it raises if the job is cancelled."""
        job = self._running
        if job is None or job.cancelled:
            raise CancelledError
        job.progress = done / max(count, 1)

    def start(self, kind: str, title: str, work: Callable[[], Any], on_done: Callable[[Any], None]) -> None:
        """Queue ``work`` for the thread; ``poll`` calls ``on_done`` with its result.

        Args:
            kind: waiting jobs of the same kind are dropped, and a running one is cancelled when it next calls
                ``report_progress``.
            title: shown to the user.
            work: runs in the thread, so it must not change anything that is drawn.
            on_done: runs in the thread that calls ``poll``, so it may.
        """
        self._jobs = [job for job in self._jobs if not (job.kind == kind and job.cancel())]
        job = Job(kind, title, on_done)

        def run() -> Any:
            self._running = job
            return work()

        job.future = self._thread.submit(run)
        job.future.add_done_callback(lambda _: self.on_finished())
        self._jobs.append(job)

    def poll(self) -> bool:
        """Collect the results of finished jobs; return whether there were any. Call it between two frames."""
        finished = [job for job in self._jobs if job.future.done()]
        self._jobs = [job for job in self._jobs if job not in finished]
        for job in finished:
            try:
                job.on_done(job.future.result())
            except CancelledError:
                pass
            except MemoryError:
                self.report_error(f"{job.title}: not enough memory; close other programs and try again.")
            except GaitError as error:
                self.report_error(str(error))
            except Exception as error:  # no error of a job may close the window
                self.report_error(f"{job.title}: {type(error).__name__}: {error}")
        return bool(finished)

    def report_error(self, message: str) -> None:
        """Add an error message."""
        self.errors.append(str(GaitError(message)))
        self.messages.append(self.errors[-1])

    def wait(self) -> None:
        """Wait until all jobs are done.

        Raises:
            GaitError: a job failed; the message is that of the first one.
        """
        while self._jobs:
            wait([self._jobs[0].future])
            self.poll()
        if self.errors:
            raise GaitError(self.errors[0])

    def close(self) -> None:
        """Drop the waiting jobs and cancel the running one at its next report of progress."""
        self._jobs = [job for job in self._jobs if not job.cancel()]
        self._thread.shutdown(wait=False)
