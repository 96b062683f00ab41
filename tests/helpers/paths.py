"""Paths of the checkout and of the open body."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
OPEN_BODY = REPOSITORY / "data" / "SUPR" / "open_neutral.npz"
CAPTURES = REPOSITORY.parent / "shared" / "captures"
