"""Imports the libraries of the workers in the server process from which they are forked.

The server imports this module; the environment names the module that it imports in turn. Garbage collection takes a
tenth of the time of imports, which leave no garbage; what is imported stays, so later collections need not look at it,
and workers share its memory. A server whose parent has ended during the imports ends, too.
"""

from __future__ import annotations

import gc
import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PRELOAD_VARIABLE = "GAIT_PRELOAD"
"""Environment variable with the name of the module, a space and the number of the parent process."""

_WATCH_INTERVAL_S = 0.05


@contextmanager
def _exit_with(parent: int) -> Iterator[None]:
    """End this process during the context if its parent ends."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_WATCH_INTERVAL_S):
            if os.getppid() != parent:
                os._exit(1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()  # a process with one thread can be forked safely


if words := os.environ.get(PRELOAD_VARIABLE):
    name, process = words.split()
    gc.disable()
    with _exit_with(int(process)):
        importlib.import_module(name)
    gc.freeze()
    gc.enable()
