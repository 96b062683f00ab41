"""Calls that a worker leaves to a second process, where a core is free for it.

A command with fewer tasks than cores has cores that wait. The second process is forked from the worker, so its
libraries are loaded, and ends with it.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, TypeVar

_allowed = False
_executor: ProcessPoolExecutor | None = None

T = TypeVar("T")


def allow() -> None:
    """Let this process, a worker with more than one core, start a second one; where the system can fork."""
    global _allowed
    _allowed = hasattr(os, "fork")


def start(prepare: Callable[[], Any]) -> bool:
    """Start the second process, where it is allowed, with a call that makes later ones faster; return if it starts now.

    The libraries of this process should then use one thread less: threads that wait for a core slow down the others.
    """
    global _executor
    if not _allowed or _executor is not None:
        return False
    _executor = ProcessPoolExecutor(1, multiprocessing.get_context("fork"), initializer=exit_with_parent)
    _executor.submit(prepare)
    return True


def call(function: Callable[..., T], *arguments: Any) -> Future[T]:
    """Start a call in the second process; without one, the call is made here and now.

    The future raises what the function raises, or BrokenProcessPool if the second process crashes; later calls are made
    here.
    """
    if _executor is not None:
        with suppress(BrokenProcessPool):  # an earlier call has crashed it
            return _executor.submit(function, *arguments)
    future: Future[T] = Future()
    try:
        future.set_result(function(*arguments))
    except Exception as error:
        future.set_exception(error)
    return future


def exit_with_parent() -> None:
    """Let this process end when its parent ends, so that it does not compete with the next run."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
