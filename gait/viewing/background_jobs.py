"""Work beside the drawing: a job at a time in a thread, its result handed over between two pictures."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gait.errors import GaitError


class _BrokenOffError(Exception):
    """Nobody wants the result any more."""


@dataclass(eq=False)
class _Job:
    what: str
    work: Callable[[], Any]
    then: Callable[[Any], None]
    replaces: str
    broken_off: bool = False
    share: float = 0.0  # done


class Jobs:
    """Jobs in their order. An error of one is a line in ``lines``, and the next goes on."""

    def __init__(self) -> None:
        self.lines: list[str] = []  # for whoever looks, the newest last
        self.failures: list[str] = []  # those of them that say why a job failed
        self._waiting: list[_Job] = []
        self._running: _Job | None = None
        self._done: queue.SimpleQueue[tuple[_Job, Any, BaseException | None]] = queue.SimpleQueue()

    @property
    def busy(self) -> str:
        """What is being done now, in words; "" if nothing is."""
        return self._running.what if self._running else ""

    @property
    def share(self) -> float:
        """How much of that is done, 0 to 1; 0 as long as it does not say."""
        return self._running.share if self._running else 0.0

    def told(self, done: int, count: int) -> None:
        """What work calls from time to time: how many of its steps are done. Ends it where nobody wants it any more."""
        job = self._running
        if job is None or job.broken_off:
            raise _BrokenOffError
        job.share = done / max(count, 1)

    def start(self, what: str, work: Callable[[], Any], then: Callable[[Any], None], replaces: str = "") -> None:
        """Do ``work`` in a thread, and then call ``then`` with its result from ``poll``.

        Args:
            what: in words, for whoever waits.
            work: must touch nothing that is drawn from.
            then: may.
            replaces: waiting jobs of this kind are dropped, and a running one is broken off at its next call of
                ``told``; the newest wish counts.
        """
        if replaces and self._running is not None and self._running.replaces == replaces:
            self._running.broken_off = True
        self._waiting = [job for job in self._waiting if not replaces or job.replaces != replaces]
        self._waiting.append(_Job(what, work, then, replaces))
        self._next()

    def poll(self) -> bool:
        """Hand over what is finished; whether there was anything. Call it between two pictures."""
        any_done = False
        while not self._done.empty():
            job, result, error = self._done.get()
            self._running = None
            any_done = True
            if error is None:
                try:
                    job.then(result)
                except GaitError as refused:
                    error = refused
            if error is not None and not isinstance(error, _BrokenOffError):
                self.refuse(_line(job, error))
            self._next()
        return any_done

    def refuse(self, line: str) -> None:
        """What somebody wants cannot be done, which is known at once."""
        self.failures.append(str(GaitError(line)))
        self.lines.append(self.failures[-1])

    def finish(self) -> None:
        """Wait until nothing is left to do.

        Raises:
            GaitError: a job failed; what the first of them said.
        """
        while self._running is not None:
            self.poll()
            time.sleep(0.002)
        if self.failures:
            raise GaitError(self.failures[0])

    def close(self) -> None:
        """Drop what waits, and break off what runs as soon as it can be."""
        self._waiting.clear()
        if self._running is not None:
            self._running.broken_off = True

    def _next(self) -> None:
        if self._running is None and self._waiting:
            job = self._running = self._waiting.pop(0)
            # No daemon: one that is amid torch when Python ends takes the process down with a crash.
            threading.Thread(target=self._do, args=(job,), name=job.what).start()

    def _do(self, job: _Job) -> None:
        try:
            self._done.put((job, job.work(), None))
        except Exception as error:  # whatever it is, the window stays
            self._done.put((job, None, error))


def _line(job: _Job, error: BaseException) -> str:
    if isinstance(error, GaitError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"{job.what}: there is not enough memory; close other programs and try again."
    return str(GaitError(f"{job.what}: {type(error).__name__}: {error}"))
