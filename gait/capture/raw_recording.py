"""The points of a recording file as they are stored: in the unit, axes and labels of the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.capture.recording import GaitEvent
from gait.errors import GaitError

_MAX_POINTS = 10_000
_MAX_NAME_LENGTH = 255  # the limit of C3D
RATE_RANGE_HZ = (1.0, 10_000.0)
MAX_FRAME_NUMBER = 1 << 31
_MAX_CELLS_PER_SAMPLE, _MAX_CELLS_UNCHECKED = 20, 1_000_000


@dataclass(frozen=True, eq=False)
class RawForcePlate:
    """Forces and moments of one plate in the plate's axes, lengths in the unit of the file."""

    number: int  # of the plate in the file, from 1
    corners: Vector  # (4, 3) in the axes and unit of the file
    origin: Vector  # (3,) from the point of the moments to the centre of the surface, in the plate's axes
    force_n: Vector  # (S, 3)
    moment: Vector  # (S, 3) about that point, N times ``moment_unit``
    moment_unit: str  # as stored for its channels, e.g. "Nmm"; "" if not stored, then that of the points
    rate_hz: float  # samples per second


@dataclass(frozen=True)
class RawRecording:
    """Output of the reader of one file format. Never print it: label prefixes may be names of subjects."""

    path: Path
    labels: tuple[str, ...]  # (P,) as stored, with prefixes
    positions: NDArray[np.float64]  # (T, P, 3) in the unit and axes of the file; NaN where missing
    rate_hz: float
    first_frame: int  # 1-based
    unit: str | None  # as stored; None if the format or the file has none
    y_screen: str = ""  # POINT:Y_SCREEN
    listed_outputs: frozenset[str] = frozenset()  # points declared as angles, forces, ... (without prefix)
    modeled_markers: frozenset[str] = frozenset()  # points declared as computed positions (without prefix)
    events: tuple[GaitEvent, ...] = ()
    event_subjects: tuple[str, ...] = ()  # one per event; may be a subject's name: never print it
    force_plates: tuple[RawForcePlate, ...] = ()
    notes: tuple[str, ...] = ()  # irregularities without consequence, one sentence each
    warnings: tuple[str, ...] = ()  # what was lost, guessed or overruled, one sentence each


def mask_missing(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``positions`` (T, P, 3) with NaN in all three coordinates of every missing sample.

    A sample is missing if a coordinate is not finite, if it is the exact origin (most systems write this for "not
    visible"), or if a coordinate is 1e7 or more (a sentinel outside the range of any unit).
    """
    with np.errstate(invalid="ignore"):
        outside = ~np.isfinite(positions) | (np.abs(positions) >= 1e7)
        missing = outside.any(axis=2) | (positions == 0.0).all(axis=2)
    return np.where(missing[..., None], np.nan, positions)


def check_raw_recording(raw: RawRecording) -> None:
    """Raise GaitError if the recording is empty or has values that no camera system produces."""
    path, (frames, points) = raw.path, raw.positions.shape[:2]
    if not frames or not points or len(raw.labels) != points:
        raise GaitError(f"{path}: holds no points ({frames} frames, {points} markers); no body can be fitted to it.")
    if points > _MAX_POINTS:
        raise GaitError(f"{path}: has {points} points, more than {_MAX_POINTS}; it is damaged, export it again.")
    longest = max(map(len, (*raw.labels, *raw.listed_outputs, *raw.modeled_markers, raw.unit or "", raw.y_screen)))
    if longest > _MAX_NAME_LENGTH:
        raise GaitError(f"{path}: has a name of {longest} characters; it is damaged, export it again.")
    low, high = RATE_RANGE_HZ
    if not low <= raw.rate_hz <= high:
        rate = f"{raw.rate_hz:g} frames per second, not {low:g} to {high:g}"
        raise GaitError(f"{path}: has a rate of {rate}; export it with its camera rate.")
    if not 0 <= raw.first_frame <= MAX_FRAME_NUMBER:
        raise GaitError(f"{path}: begins with frame {raw.first_frame:.4g}; it is damaged, export it again.")


def check_density(path: Path, frames: int, points: int, samples: int) -> None:
    """Raise GaitError if a text file has few ``samples`` for its frames × points; call before allocating memory."""
    if frames * points > _MAX_CELLS_PER_SAMPLE * samples + _MAX_CELLS_UNCHECKED:
        found = f"{samples} marker positions for {frames} frames of {points} markers"
        raise GaitError(f"{path}: has {found}; it is damaged, export it again.")
