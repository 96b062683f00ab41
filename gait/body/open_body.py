"""Default folder of the body models: ``./data``, or beside or within this package."""

from __future__ import annotations

from pathlib import Path

OPEN_BODY = "open_neutral.npz"
"""File name of the open body, which this suite brings."""


def default_model_folder() -> Path:
    """Return ``data`` in the working directory if it has body models, else the folder with the open body."""
    return Path("data") if Path("data/SUPR").is_dir() else shipped_data_folder()


def shipped_data_folder() -> Path:
    """Return the folder ``data`` that this suite brings: of the checkout, or within an installed package."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "data"  # of a wheel
    return installed if installed.is_dir() else package.parent / "data"
