"""Read marker files in JSON, in metres: ``{"Frames": {"0": {"C7": [x, y, z], ...}, ...}, "framerate": 60}``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gait.capture.file_format import FileFormat
from gait.capture.raw_recording import MAX_FRAME_NUMBER, RawRecording, check_density, mask_missing
from gait.errors import GaitError
from gait.files.read_json import read_json

_MAX_NUMBER = 1e300  # integers of JSON are unlimited, floats are not


def read_marker_json(path: Path) -> RawRecording:
    """Read the points of a JSON marker file; a marker that is absent or ``null`` in a frame is not visible there.

    Raises:
        GaitError: the file is missing, is not JSON, or has another layout.
    """
    content = read_json(path, "marker file", max_bytes=None)  # the reading process has a memory limit
    frames = content.get("Frames") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(frames, dict) or not frames:
        form = '"Frames": {"0": {"C7": [x, y, z], ...}, ...} and "framerate"'
        raise GaitError(f"{path}: is not a marker file; it needs {form}.")
    rate_hz = content.get("framerate")
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, int | float) or abs(rate_hz) > _MAX_NUMBER:
        raise GaitError(f'{path}: "framerate" must be a number of frames per second.')
    numbers = _frame_numbers(path, frames)
    labels = list(dict.fromkeys(label for frame in frames.values() for label in _markers(path, frame)))
    index = {label: k for k, label in enumerate(labels)}
    check_density(path, numbers[-1] - numbers[0] + 1, len(labels), sum(map(len, frames.values())))
    positions = np.full((numbers[-1] - numbers[0] + 1, len(labels), 3), np.nan)
    for key, frame in frames.items():
        for label, value in frame.items():
            positions[int(key) - numbers[0], index[label]] = _position(path, key, label, value)
    stated = content.get("nFrames")
    warnings: tuple[str, ...] = ()
    if isinstance(stated, int) and stated != len(frames):
        warnings = (f"The file states {stated if stated < 1e9 else 'more'} frames; it has {len(frames)}.",)
    return RawRecording(
        path=path,
        labels=tuple(labels),
        positions=mask_missing(positions),
        rate_hz=float(rate_hz),
        first_frame=numbers[0] + 1,
        unit="m",
        warnings=warnings,
    )


def _frame_numbers(path: Path, frames: dict[str, Any]) -> list[int]:
    try:
        numbers = sorted(int(key) for key in frames)
    except ValueError as error:  # the key is not shown: it may be a subject's name
        raise GaitError(f'{path}: the keys of "Frames" must be frame numbers.') from error
    if len(set(numbers)) < len(numbers) or not 0 <= numbers[0] <= numbers[-1] <= MAX_FRAME_NUMBER:
        raise GaitError(f'{path}: the keys of "Frames" must be distinct numbers from 0.')
    if numbers[-1] - numbers[0] >= 10 * len(numbers) + 1000:
        numbered = f"{len(numbers)} frames, numbered {numbers[0]} to {numbers[-1]}"
        raise GaitError(f'{path}: "Frames" has {numbered}; number them in order.')
    return numbers


def _markers(path: Path, frame: Any) -> dict[str, Any]:
    if not isinstance(frame, dict):
        raise GaitError(f'{path}: each entry of "Frames" must be an object of markers, not {type(frame).__name__}.')
    return frame


def _position(path: Path, frame: str, label: str, value: Any) -> list[float]:
    if value is None:
        return [np.nan] * 3
    if isinstance(value, list) and len(value) == 3:
        numbers = [np.nan if number is None else number for number in value]
        if all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
            return [float(number) if abs(number) <= _MAX_NUMBER else np.nan for number in numbers]
    name = label.rpartition(":")[2]
    raise GaitError(f"{path}, frame {frame}: marker {name} must be [x, y, z] in metres or null.")


FORMAT = FileFormat("marker_json", "marker JSON", (".json",), read_marker_json)
