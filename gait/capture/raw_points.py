"""The points of a file before anybody knows what they are: the file's own unit, axes and labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.capture.recording import Event


@dataclass(frozen=True)
class RawPoints:
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
