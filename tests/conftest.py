"""Fixtures that several rooms' tests share."""

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
    """The folder of real recordings beside the checkout; skips where it is missing."""
    if not _CAPTURES.is_dir():
        pytest.skip("no real recordings: ../shared/captures is missing beside the checkout")
    return _CAPTURES


@pytest.fixture(scope="session")
def open_body() -> Body:
    """The body that the suite brings."""
    return load_body(_OPEN_BODY)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """The arrays are small: more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
