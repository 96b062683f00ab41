"""Fixtures shared by the tests of several packages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gait.body.body import Body
from gait.body.model_file import load_body
from tests.helpers.paths import CAPTURES, OPEN_BODY

_OPEN_BODY = OPEN_BODY
_CAPTURES = CAPTURES


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
