"""The processes of this computer that work on tasks.

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
from typing import Any

from gait.parallel.task_queue import Crashed, Finished, Locked, LockedError, Task

MEMORY_OF_A_WORKER = 1.0e9
"""Bytes that a worker may need: walks of some thousand frames."""

_STOPS = (signal.SIGINT, signal.SIGTERM)  # both may be sent to the whole group


@dataclass(frozen=True)
class CoreAllocation:
    """How a computer's cores are shared out."""

    workers: int
    threads: int  # of each


def share_of_cores(tasks: int, workers: int | None, device: str = "cpu") -> CoreAllocation:
    """So many workers as are asked for, else as many as cores, memory and tasks allow; the cores divided by them.

    ``OMP_NUM_THREADS`` decides the threads of each where it is set.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(given) if given.isdecimal() and int(given) > 0 else None
    if workers is None:
        room = int(_memory_available() / MEMORY_OF_A_WORKER)
        workers = 1 if device != "cpu" else min(cores // (threads or 1), room)
    workers = max(1, min(workers, tasks))
    return CoreAllocation(workers, threads or max(1, cores // workers))


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
    task: Task | None = None


class ProcessPool:
    """Owns the worker processes; a context manager, at whose end they are gone."""

    tries = 2

    def __init__(self, share: CoreAllocation, module: str):
        """Args:
        share: how many processes, and how many threads each.
        module: what the tasks need; loaded once, for all processes.
        """
        self._module = module
        self._threads = share.threads
        self.places = share.workers
        self._workers: list[_Worker] = []

    def __enter__(self) -> ProcessPool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.kill()  # what is on its way is whole or not at all
        for worker in self._workers:
            worker.process.join()
            if worker.task is not None:
                worker.task.tidy()
        self._workers.clear()

    def begin(self, task: Task) -> None:
        """Start on a task, in a process that is idle or a new one."""
        worker = next((worker for worker in self._workers if worker.task is None), None)
        if worker is None:
            worker = self._new_worker()
            self._workers.append(worker)
        worker.task = task
        with suppress(OSError):  # it has just died; its end of the line tells so
            worker.line.send(task)

    def news(self, seconds: float) -> list[tuple[Task, Any]]:
        """What has happened since; waits for something up to so many seconds."""
        busy = {worker.line: worker for worker in self._workers if worker.task is not None}
        there: list[tuple[Task, Any]] = []
        for line in connection.wait(list(busy), seconds):
            worker = busy[line]  # type: ignore[index]
            task = worker.task
            assert task is not None
            try:
                what = worker.line.recv()
            except (EOFError, OSError):
                worker.process.join()
                self._workers.remove(worker)
                task.tidy()
                what = Crashed(_end_of(worker.process))
            if isinstance(what, Finished | Locked):
                worker.task = None
            there.append((task, what))
        return there

    def _new_worker(self) -> _Worker:
        _start_fork_server(self._module)
        here, there = multiprocessing.Pipe()
        context = multiprocessing.get_context("forkserver")
        process = context.Process(target=_serve, args=(there, self._threads))
        process.start()
        there.close()
        return _Worker(process, here)


def _end_of(process: ForkServerProcess) -> str:
    code = process.exitcode or 0
    if code >= 0:
        return f"its process ended with code {code}"
    return f"its process was killed ({signal.Signals(-code).name}); if memory ran out, use fewer --workers"


def _start_fork_server(module: str) -> None:
    """Start it with this program's own gait, one thread a library, and deaf to stops, which are for us to act on."""
    multiprocessing.get_context("forkserver").set_forkserver_preload([module])
    libraries = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    with _environment({**dict.fromkeys(libraries, "1"), "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}):
        with _environment({"PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker"}):
            # Else the server starts it, and lifts the mask; and it would tell of all that killed workers leave.
            resource_tracker.ensure_running()
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


def _serve(line: Connection, threads: int) -> None:
    """The life of a worker: tasks come, results go."""
    for stop in _STOPS:
        signal.signal(stop, lambda *_: None)  # a mask, or one to ignore, would be inherited by what we start
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["LP_NUM_THREADS"] = str(threads)  # of the software that draws where no graphics card is
    import torch

    torch.set_num_threads(threads)
    with suppress(EOFError, OSError):  # the other end is gone
        while True:
            task: Task = line.recv()
            try:
                for result in task.run():
                    line.send(result)
            except LockedError as taken:
                line.send(Locked(str(taken)))
            else:
                line.send(Finished())


def _end_with_parent() -> None:
    """A worker whose parent was killed must not go on behind the next run's back."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
