"""Fixtures that several rooms' tests share."""

from pathlib import Path

import pytest

_CAPTURES = Path(__file__).resolve().parents[2] / "shared" / "captures"


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of real recordings beside the checkout; skips where it is missing."""
    if not _CAPTURES.is_dir():
        pytest.skip("no real recordings: ../shared/captures is missing beside the checkout")
    return _CAPTURES
