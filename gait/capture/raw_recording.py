"""The points of a file before anybody knows what they are: the file's own unit, axes and labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.capture.recording import Event
from gait.errors import GaitError

_MOST_POINTS = 10_000
_LONGEST_NAME = 255  # C3D writes none longer
_RATES_HZ = (1.0, 10_000.0)
_LAST_FRAME = 1 << 31
_SAMPLES_A_SAMPLE, _FREE_SAMPLES = 20, 1_000_000


@dataclass(frozen=True)
class RawRecording:
    """What a reader of one file format hands on. Never printed: labels may hold a person's name as prefix."""

    path: Path
    labels: tuple[str, ...]  # (P,) as written, prefixes included
    positions: NDArray[np.float64]  # (T, P, 3) the file's unit and axes; NaN where missing
    rate_hz: float
    first_frame: int  # 1-based
    unit: str | None  # as written; None where the format has no place for it or the file left it out
    y_screen: str = ""  # POINT:Y_SCREEN
    listed_outputs: frozenset[str] = frozenset()  # points that the file declares angles, forces, ... (no prefix)
    modeled_markers: frozenset[str] = frozenset()  # points that it declares computed positions (no prefix)
    events: tuple[Event, ...] = ()
    event_subjects: tuple[str, ...] = ()  # one an event; may be a person's name: never printed
    notes: tuple[str, ...] = field(default=())


def mask_missing(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """``positions`` (T, P, 3) with every sample that is not a place made NaN in all three coordinates.

    No place are: a coordinate that is not finite, the exact origin (how most systems write "not seen"), and
    sentinels far outside any unit (1e7 and more).
    """
    with np.errstate(invalid="ignore"):
        missing = (
            ~np.isfinite(positions).all(axis=2)
            | (positions == 0.0).all(axis=2)
            | (np.abs(positions) >= 1e7).any(axis=2)
        )
    return np.where(missing[..., None], np.nan, positions)


def check_points(raw: RawRecording) -> None:
    """Refuse what no camera system records, with a GaitError: it would only waste time and memory later."""
    path, (frames, points) = raw.path, raw.positions.shape[:2]
    if not frames or not points or len(raw.labels) != points:
        raise GaitError(f"{path}: holds no points ({frames} frames, {points} markers); nothing can be fitted to it.")
    if points > _MOST_POINTS:
        raise GaitError(f"{path}: names {points} points, more than {_MOST_POINTS}; it is damaged, export it again.")
    names = (*raw.labels, *raw.listed_outputs, *raw.modeled_markers, raw.unit or "", raw.y_screen)
    longest = max(map(len, names))
    if longest > _LONGEST_NAME:
        raise GaitError(f"{path}: holds a name of {longest} characters; it is damaged, export it again.")
    low, high = _RATES_HZ
    if not low <= raw.rate_hz <= high:
        raise GaitError(
            f"{path}: has a rate of {raw.rate_hz:g} frames a second, not {low:g} to {high:g}; "
            "export it with its camera rate."
        )
    if not 0 <= raw.first_frame <= _LAST_FRAME:
        raise GaitError(f"{path}: begins with frame {raw.first_frame:.4g}; it is damaged, export it again.")


def check_not_hollow(path: Path, frames: int, points: int, samples: int) -> None:
    """Refuse, before memory is given to it, a text file that spreads few ``samples`` over a huge table."""
    if frames * points > _SAMPLES_A_SAMPLE * samples + _FREE_SAMPLES:
        raise GaitError(
            f"{path}: has {samples} places of markers for {frames} frames of {points} markers; "
            "it is damaged, export it again."
        )
