"""The file formats of recordings: each module of this package holds one, as ``FORMAT``."""

from __future__ import annotations

from pathlib import Path

from gait.capture.file_format import FileFormat
from gait.registry import discover

FORMATS: dict[str, FileFormat] = discover(__name__, "FORMAT")
"""By name. Never call ``FileFormat.read`` on a user's file: a damaged file can hang or crash its parser, so
``gait.capture.sandboxed_reader`` reads in a separate process."""

RECORDING_SUFFIXES: tuple[str, ...] = tuple(suffix for known in FORMATS.values() for suffix in known.suffixes)
if len(set(RECORDING_SUFFIXES)) < len(RECORDING_SUFFIXES):
    raise ValueError(f"two formats of {__name__} share a suffix: {', '.join(sorted(RECORDING_SUFFIXES))}")


def file_format(path: Path) -> FileFormat | None:
    """Return the format of a file by its suffix, in upper or lower case; None if it is no recording."""
    return next((known for known in FORMATS.values() if path.suffix.lower() in known.suffixes), None)
