"""A pool of worker processes on this computer.

The workers are forked from a server process (``fork_server``), so that the libraries are imported once, and not in the
main process, which only waits. Windows cannot fork; there each worker imports the libraries itself.

``concurrent.futures.ProcessPoolExecutor`` does not fit here: if one of its workers is killed, for lack of memory for
example, the whole pool breaks and the tasks of all other workers are lost; and it returns the results of a task only at
its end, while a subject is a task whose trials are reported as they are saved.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from gait.files.folder_lock import LockedError
from gait.parallel import spare_core
from gait.parallel.fork_server import CAN_FORK, start_fork_server, worker_environment
from gait.parallel.task_queue import Crashed, Finished, Locked, Task

WORKER_MEMORY_BYTES = 1.0e9
"""Memory that one worker may need, for trials of some thousand frames."""

_READ_AHEAD_WAIT_S = 0.2  # for the file that is being read when the worker is ready
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # both can be sent to the whole process group


@dataclass(frozen=True)
class CoreAllocation:
    """Division of this computer's cores among workers."""

    workers: int
    threads: int  # per worker


def allocate_cores(tasks: int, workers: int | None, device: str = "cpu") -> CoreAllocation:
    """Choose the number of workers, at most one per task, and the threads per worker.

    ``OMP_NUM_THREADS``, if set, is the number of threads per worker; otherwise the cores are divided evenly. If the
    number of workers is None, it is as many as cores and memory allow, or one on a GPU.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(given) if given.isdecimal() and int(given) > 0 else None
    if workers is None:
        fit_in_memory = int(_memory_available() / WORKER_MEMORY_BYTES)
        workers = 1 if device != "cpu" else min(cores // (threads or 1), fit_in_memory)
    workers = max(1, min(workers, tasks))
    return CoreAllocation(workers, threads or max(1, cores // workers))


def _memory_available() -> float:
    """Return the bytes that new processes can use; infinity if the system does not report it."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    return float("inf")


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    task: Task | None = None


class ProcessPool:
    """Executor that owns worker processes; a context manager that kills them on exit."""

    max_attempts = 2

    def __init__(
        self, allocation: CoreAllocation, module: str, read_ahead: Callable[[Any], Iterator[Any]] | None = None
    ):
        """Prepare a pool; its processes start with the first tasks and import the module with the tasks only once.

        While the libraries are imported, the main process prepares the first task: it sends the last task that
        ``read_ahead(task)`` has yielded by then, each with more of its files read, in place of the task.
        """
        self._module = module
        self._read_ahead = read_ahead
        self._threads = allocation.threads
        self.slots = allocation.workers
        self._workers: list[_Worker] = []

    def __enter__(self) -> ProcessPool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.kill()  # safe at any time: results are written atomically
        for worker in self._workers:
            worker.process.join()
            if worker.task is not None:
                worker.task.cleanup()
        self._workers.clear()

    def submit(self, task: Task) -> None:
        """Start a task in an idle process, or in a new one."""
        worker = next((worker for worker in self._workers if worker.task is None), None)
        prepared = task
        if worker is None:
            with _prepare(self._read_ahead, task) as latest:
                worker = self._new_worker()
            prepared, self._read_ahead = latest[-1], None  # the next process starts without delay
            self._workers.append(worker)
        worker.task = task
        with suppress(OSError):  # the process has just died; ``poll`` will find its connection closed
            worker.connection.send(prepared)

    def poll(self, seconds: float) -> list[tuple[Task, Any]]:
        """Return new (task, result) pairs; wait up to ``seconds`` for the first."""
        busy = {worker.connection: worker for worker in self._workers if worker.task is not None}
        results: list[tuple[Task, Any]] = []
        for ready in connection.wait(list(busy), seconds):
            worker = busy[ready]  # type: ignore[index]
            task = worker.task
            assert task is not None
            try:
                result = worker.connection.recv()
            except (EOFError, OSError):
                worker.process.join()
                self._workers.remove(worker)
                task.cleanup()
                result = Crashed(_exit_reason(worker.process))
            if isinstance(result, Finished | Locked):
                worker.task = None
            results.append((task, result))
        return results

    def _new_worker(self) -> _Worker:
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("forkserver" if CAN_FORK else "spawn")
        process = context.Process(target=_worker_main, args=(theirs, self._threads))  # type: ignore[attr-defined]
        start_fork_server(self._module)
        with worker_environment():
            process.start()
        theirs.close()
        return _Worker(process, ours)


@contextmanager
def _prepare(read_ahead: Callable[[Any], Iterator[Any]] | None, task: Task) -> Iterator[list[Task]]:
    """Call ``read_ahead`` in a thread during the context; yield the list of the task and of what it yields."""
    found, ended = [task], threading.Event()
    if read_ahead is None:
        yield found
        return

    def work(better_tasks: Iterator[Task]) -> None:
        for better in better_tasks:
            found.append(better)
            if ended.is_set():
                return

    thread = threading.Thread(target=work, args=(read_ahead(task),), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
    thread.join(_READ_AHEAD_WAIT_S)


def _exit_reason(process: BaseProcess) -> str:
    code = process.exitcode or 0
    if code >= 0 or -code not in set(signal.Signals):
        return f"its process ended with code {code}"
    return f"its process was killed ({signal.Signals(-code).name}); if memory ran out, use fewer --workers"


def _worker_main(connection: Connection, threads: int) -> None:
    """Receive tasks and send their results, until the connection is closed."""
    for stop in _STOP_SIGNALS:
        signal.signal(stop, lambda *_: None)  # child processes would inherit a blocked or ignored signal
    if CAN_FORK:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    spare_core.exit_with_parent()
    os.environ["LP_NUM_THREADS"] = str(threads)  # of the software renderer that is used without a GPU
    if "torch" in sys.modules or not CAN_FORK:  # otherwise the tasks do without it
        import torch

        torch.set_num_threads(threads)
    if threads > 1:
        spare_core.allow()
    with suppress(EOFError, OSError):  # the main process has ended
        while True:
            task: Task = connection.recv()
            try:
                for result in task.run():
                    connection.send(result)
            except LockedError as error:
                connection.send(Locked(str(error)))
            else:
                connection.send(Finished())
