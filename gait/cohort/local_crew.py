"""The processes of this computer that fit a cohort's persons.

They are forked from one process that has loaded the libraries and nothing else, so that loading them (seconds) is paid
once and this process, which only waits, needs none of them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from gait.capture.cohort_file import Subject
from gait.cohort.cohort_run import Died, Done, News, Taken
from gait.cohort.fit_settings import FitSettings, person_folder
from gait.cohort.person_lock import PersonTakenError, tidy

MEMORY_OF_A_WORKER = 1.0e9
"""Bytes that a worker may need: walks of some thousand frames."""

_STOPS = (signal.SIGINT, signal.SIGTERM)  # both may be sent to the whole group


@dataclass(frozen=True)
class Share:
    """How a computer's cores are shared out."""

    workers: int
    threads: int  # of each


def share_of_cores(persons: int, workers: int | None, device: str = "cpu") -> Share:
    """So many workers as are asked for, else as many as cores, memory and persons allow; the cores divided by them.

    ``OMP_NUM_THREADS`` decides the threads of each where it is set.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(given) if given.isdecimal() and int(given) > 0 else None
    if workers is None:
        room = int(_memory_available() / MEMORY_OF_A_WORKER)
        workers = 1 if device != "cpu" else min(cores // (threads or 1), room)
    workers = max(1, min(workers, persons))
    return Share(workers, threads or max(1, cores // workers))


def _memory_available() -> float:
    """Bytes that new processes may use, infinite where the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    return float("inf")


@dataclass
class _Worker:
    process: ForkServerProcess
    line: Connection
    subject: Subject | None = None


class LocalCrew:
    """Owns the worker processes; a context manager, at whose end they are gone."""

    tries = 2

    def __init__(self, settings: FitSettings, share: Share):
        self._settings = settings
        self._threads = share.threads
        self.places = share.workers
        self._workers: list[_Worker] = []

    def __enter__(self) -> LocalCrew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.kill()  # what is on its way is whole or not at all
        for worker in self._workers:
            worker.process.join()
            if worker.subject is not None:
                self._clear(worker.subject)
        self._workers.clear()

    def begin(self, subject: Subject) -> None:
        """Start on a person, in a process that is idle or a new one."""
        worker = next((worker for worker in self._workers if worker.subject is None), None)
        if worker is None:
            worker = self._new_worker()
            self._workers.append(worker)
        worker.subject = subject
        with suppress(OSError):  # it has just died; its end of the line tells so
            worker.line.send(subject)

    def news(self, seconds: float) -> list[tuple[Subject, News]]:
        """What has happened since; waits for something up to so many seconds."""
        busy = {worker.line: worker for worker in self._workers if worker.subject is not None}
        there: list[tuple[Subject, News]] = []
        for line in connection.wait(list(busy), seconds):
            worker = busy[line]  # type: ignore[index]
            subject = worker.subject
            assert subject is not None
            try:
                what: News = worker.line.recv()
            except (EOFError, OSError):
                worker.process.join()
                self._workers.remove(worker)
                self._clear(subject)
                what = Died(_end_of(worker.process))
            if isinstance(what, Done | Taken):
                worker.subject = None
            there.append((subject, what))
        return there

    def _new_worker(self) -> _Worker:
        _start_fork_server()
        here, there = multiprocessing.Pipe()
        context = multiprocessing.get_context("forkserver")
        process = context.Process(target=_serve, args=(there, self._settings, self._threads))
        process.start()
        there.close()
        return _Worker(process, here)

    def _clear(self, subject: Subject) -> None:
        """Remove what a process that is gone was writing; a run that comes later would, too."""
        tidy(person_folder(self._settings.save_folder, subject))


def _end_of(process: ForkServerProcess) -> str:
    code = process.exitcode or 0
    if code >= 0:
        return f"the process that fitted this person ended with code {code}"
    return (
        f"the process that fitted this person was killed ({signal.Signals(-code).name}); "
        "if memory ran out, use fewer --workers"
    )


def _start_fork_server() -> None:
    """Start it with this program's own gait, one thread a library, and deaf to stops, which are for us to act on."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(["gait.cohort.fit_cohort"])
    libraries = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    with _environment({**dict.fromkeys(libraries, "1"), "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}):
        resource_tracker.ensure_running()  # the server would start it itself, and lift the mask in doing so
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(line: Connection, settings: FitSettings, threads: int) -> None:
    """The life of a worker: persons come, outcomes go."""
    for stop in _STOPS:
        signal.signal(stop, lambda *_: None)  # a mask, or one to ignore, would be inherited by what we start
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["LP_NUM_THREADS"] = str(threads)  # of the software that draws where no graphics card is
    import torch

    from gait.cohort.fit_cohort import fit_subject

    torch.set_num_threads(threads)
    with suppress(EOFError, OSError):  # the other end is gone
        while True:
            subject: Subject = line.recv()
            try:
                for outcome in fit_subject(subject, settings):
                    line.send(outcome)
            except PersonTakenError as taken:
                line.send(Taken(str(taken)))
            else:
                line.send(Done())


def _end_with_parent() -> None:
    """A worker whose parent was killed must not go on fitting behind the next run's back."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
