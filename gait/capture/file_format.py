"""Definition of one file format of recordings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gait.capture.raw_recording import RawRecording


@dataclass(frozen=True)
class FileFormat:
    """One file format of recordings."""

    name: str
    title: str  # shown to users, e.g. "C3D"
    suffixes: tuple[str, ...]  # lower case, with the dot
    read: Callable[[Path], RawRecording]  # raises GaitError if the file is missing, damaged or of another format
    read_after_crash: Callable[[Path], RawRecording] | None = None  # another parser, for files that crash the first
