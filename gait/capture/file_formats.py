"""The supported file formats of recordings and the reader of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from gait.capture.c3d import read_c3d
from gait.capture.marker_json import read_marker_json
from gait.capture.raw_recording import RawRecording
from gait.capture.trc import read_trc

READERS: Mapping[str, Callable[[Path], RawRecording]] = {
    ".c3d": read_c3d,
    ".trc": read_trc,
    ".json": read_marker_json,
}
"""Reader by file extension (lower case). Never call one directly on a user's file: a damaged file can hang or crash its
parser, so ``gait.capture.sandboxed_reader`` runs them in a separate process."""
