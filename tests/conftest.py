"""Fixtures shared by the tests of several packages."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from gait.body.body import Body
from gait.body.model_file import load_body
from tests.helpers.paths import CAPTURES, OPEN_BODY

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

SPLIT_MODULES = (
    "tests/benchmarks/test_benchmarks.py",
    "tests/benchmarks/test_cause.py",
    "tests/scripts/test_train_scripts.py",
)
"""Modules of long tests that share no costly fixture: their tests are spread over the processes of pytest-xdist."""

FIRST = (
    "tests/benchmarks/",
    "tests/scripts/test_shape_optimizer.py",
    "tests/scripts/test_train_",
    "tests/scripts/test_wheel.py",
)
"""The longest tests, which begin first: else one process would still run one of them when the others have ended."""

_OPEN_BODY = OPEN_BODY
_CAPTURES = CAPTURES


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "LoadScopeScheduling | None":
    """Keep the tests of a module in one process, as ``--dist loadscope`` does, but for ``SPLIT_MODULES``."""
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            module, _, test = nodeid.partition("::")
            return f"{module}::{test.partition('[')[0]}" if module in SPLIT_MODULES else module

    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of ``FIRST`` before all others."""
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of real recordings beside the checkout; the test is skipped if it is missing."""
    if not _CAPTURES.is_dir():
        pytest.skip("no real recordings: ../shared/captures is missing")
    return _CAPTURES


@pytest.fixture(scope="session")
def open_body() -> Body:
    """The open body model of this package."""
    return load_body(_OPEN_BODY)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Limit torch to one thread, since the arrays are too small to gain from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
