"""Calls in the second process of a worker: where they run, their errors, and the end of the process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool

import pytest

from gait.errors import GaitError
from gait.parallel import spare_core

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the second process is forked")


@pytest.fixture
def second_process() -> Iterator[None]:
    spare_core.allow()
    assert spare_core.start(os.getpid)
    yield
    assert spare_core._executor is not None
    spare_core._executor.shutdown()
    spare_core._executor, spare_core._allowed = None, False


def fail() -> None:
    raise GaitError("cannot")


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_call_is_made_here_without_a_second_process() -> None:
    called = []
    assert not spare_core.start(lambda: called.append("prepared"))
    assert spare_core.call(os.getpid).result() == os.getpid()
    assert not called
    with pytest.raises(GaitError, match="cannot"):
        spare_core.call(fail).result()


def test_all_calls_are_made_in_one_second_process(second_process: None) -> None:
    assert not spare_core.start(os.getpid), "once"
    first, second = spare_core.call(os.getpid), spare_core.call(os.getpid)
    assert first.result() == second.result() != os.getpid()
    assert spare_core.call(pow, 2, 5).result() == 32
    with pytest.raises(GaitError, match="cannot"):
        spare_core.call(fail).result()


def test_crash_is_an_error_of_the_call(second_process: None) -> None:
    with pytest.raises(BrokenProcessPool):
        spare_core.call(end).result()
    assert spare_core.call(os.getpid).result() == os.getpid(), "later calls are made here"
