"""The server process from which the workers of a command are forked.

It imports the libraries of the workers, which takes seconds, and does nothing else. A script that starts it first
imports its own modules and reads its files meanwhile, on another core.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from gait.constants import LIBRARY_THREADS
from gait.parallel import preload

CAN_FORK = hasattr(os, "fork")


def start_fork_server(module: str) -> None:
    """Start the server, which imports a module, if it does not run yet and this system can fork.

    SIGINT and SIGTERM are blocked in it; only the main process handles these signals.
    """
    if not CAN_FORK:
        return
    from multiprocessing import forkserver, resource_tracker

    multiprocessing.get_context("forkserver").set_forkserver_preload([preload.__name__])
    with _environment({"PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker"}):
        # If the server started the resource tracker, it would unblock the signals; and without this filter the
        # tracker would warn about everything that killed workers leave behind.
        resource_tracker.ensure_running()
    stop_signals = (signal.SIGINT, signal.SIGTERM)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)
    try:
        with worker_environment(), _environment({preload.PRELOAD_VARIABLE: f"{module} {os.getpid()}"}):
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def worker_environment() -> AbstractContextManager[None]:
    """Set the environment of a worker: this ``gait`` package, and one thread per library by default."""
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    return _environment({**dict.fromkeys(LIBRARY_THREADS, "1"), "PYTHONPATH": path, "PYTHONSAFEPATH": "1"})


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
