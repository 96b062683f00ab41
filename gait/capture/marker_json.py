"""Plain-text marker files in metres: ``{"Frames": {"0": {"C7": [x, y, z], ...}, ...}, "framerate": 60}``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from gait.capture.raw_recording import RawRecording, check_not_hollow, mask_missing
from gait.errors import GaitError

_LARGEST_NUMBER = 1e300  # JSON's whole numbers have no end, a float's do
_LAST_FRAME = 1 << 31


def read_marker_json(path: Path) -> RawRecording:
    """The points of a plain-text marker file; a marker left out of a frame, or ``null`` there, was not seen.

    Raises GaitError where the file is missing, no JSON, or not of that layout.
    """
    content = _parsed(path)
    frames = content.get("Frames") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(frames, dict) or not frames:
        raise GaitError(
            f'{path}: is no marker file; it needs "Frames": {{"0": {{"C7": [x, y, z], ...}}, ...}} and "framerate".'
        )
    rate_hz = content.get("framerate")
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, int | float) or abs(rate_hz) > _LARGEST_NUMBER:
        raise GaitError(f'{path}: "framerate" must be a number of frames a second.')
    numbers = _frame_numbers(path, frames)
    labels = list(dict.fromkeys(label for frame in frames.values() for label in _markers(path, frame)))
    index = {label: k for k, label in enumerate(labels)}
    check_not_hollow(path, numbers[-1] - numbers[0] + 1, len(labels), sum(map(len, frames.values())))
    positions = np.full((numbers[-1] - numbers[0] + 1, len(labels), 3), np.nan)
    for key, frame in frames.items():
        for label, place in frame.items():
            positions[int(key) - numbers[0], index[label]] = _place(path, key, label, place)
    promised = content.get("nFrames")
    notes: tuple[str, ...] = ()
    if isinstance(promised, int) and promised != len(frames):
        notes = (f"The file promises {promised if promised < 1e9 else 'more'} frames; it holds {len(frames)}.",)
    return RawRecording(
        path=path,
        labels=tuple(labels),
        positions=mask_missing(positions),
        rate_hz=float(rate_hz),
        first_frame=numbers[0] + 1,
        unit="m",
        notes=notes,
    )


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise GaitError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
    except UnicodeDecodeError as error:
        raise GaitError(f"{path}: is no text (byte {error.start} is not UTF-8); give a JSON marker file.") from error
    except json.JSONDecodeError as error:
        raise GaitError(f"{path}, line {error.lineno}, column {error.colno}: is no JSON ({error.msg}).") from error
    except RecursionError as error:
        raise GaitError(f"{path}: is no marker file (nested too deeply).") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise GaitError(f"{path}: is no marker file (a number in it is too long).") from error


def _frame_numbers(path: Path, frames: dict[str, Any]) -> list[int]:
    try:
        numbers = sorted(int(key) for key in frames)
    except ValueError as error:  # a key may be a person's name
        raise GaitError(f'{path}: the keys of "Frames" must be frame numbers.') from error
    if len(set(numbers)) < len(numbers) or not 0 <= numbers[0] <= numbers[-1] <= _LAST_FRAME:
        raise GaitError(f'{path}: the keys of "Frames" must be different numbers from 0 up.')
    if numbers[-1] - numbers[0] >= 10 * len(numbers) + 1000:
        raise GaitError(f'{path}: "Frames" has {len(numbers)}, {numbers[0]} to {numbers[-1]}; number them in order.')
    return numbers


def _markers(path: Path, frame: Any) -> dict[str, Any]:
    if not isinstance(frame, dict):
        raise GaitError(f'{path}: each of "Frames" must be an object of markers, not {type(frame).__name__}.')
    return frame


def _place(path: Path, frame: str, label: str, place: Any) -> list[float]:
    if place is None:
        return [np.nan] * 3
    if isinstance(place, list) and len(place) == 3:
        numbers = [np.nan if value is None else value for value in place]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers):
            # What is too large is no place either way.
            return [float(value) if abs(value) <= _LARGEST_NUMBER else np.nan for value in numbers]
    name = label.rpartition(":")[2]
    raise GaitError(f"{path}, frame {frame}: marker {name} must be [x, y, z] in metres or null.")
