"""What happened to a marker that is away from its place: exchanged, stuck, fallen, ghost, jumped or slid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait.fitting.marker_quality.displacements import Stretch
from gait.fitting.marker_quality.leave_out_prediction import Expected
from gait.fitting.marker_quality.marker_error import FaultKind

Vector = NDArray[np.float64]

STILL_M = 0.010
"""What stays so near to one point of the room does not move."""
MOVES_M = 0.040
"""A body part that comes this far has moved."""
ON_FLOOR_M = 0.06
"""A marker so near to the floor may lie on it, ..."""
FALLEN_M = 0.10
"""... and has fallen if its place is so much higher."""
SCATTER_M = 0.020
"""What changes its way about its place by more from frame to frame is no single point."""
GRAVITY_M_S2 = 9.81
FREELY_M_S2 = 3.0
"""What falls so nearly with gravity's acceleration falls freely."""


def exchanged_with(
    marker: int, stretch: Stretch, observed_m: Vector, expected: Expected, place_m: Vector, seen: NDArray[np.bool_]
) -> int | None:
    """The marker whose place this one is at while the other is at this one's; None if there is none.

    Args:
        marker: column of the marker that is away.
        stretch: when.
        observed_m: (T, M, 3) all markers.
        expected: of all T frames.
        place_m: (M, 3) where each belongs, observed − expected in the carrying joints' axes.
        seen: (T, M)
    """
    rows = np.arange(stretch.first, stretch.last + 1)
    rows = rows[seen[rows, marker]]
    belongs = expected.moved(place_m)[rows]  # (N, M, 3)
    observed = np.where(seen[rows][..., None], observed_m[rows], np.nan)
    own = np.linalg.norm(observed[:, marker] - belongs[:, marker], axis=-1)
    here = np.linalg.norm(observed[:, marker, None] - belongs, axis=-1)  # (N, M) this one from every place
    there = np.linalg.norm(observed - belongs[:, marker, None], axis=-1)  # every other from this one's place
    others_own = np.linalg.norm(observed - belongs, axis=-1)
    both = np.isfinite(there).sum(axis=0) >= max(1, 0.5 * len(rows))
    both[marker] = False
    if not both.any():
        return None
    with np.errstate(invalid="ignore"):
        swapped = np.array([np.nanmedian(here[:, m] + there[:, m]) if both[m] else np.inf for m in range(len(both))])
        kept = np.array([np.nanmedian(own + others_own[:, m]) if both[m] else 0.0 for m in range(len(both))])
    best = int(swapped.argmin())
    return best if swapped[best] < 0.5 * kept[best] and others_own[:, best].size else None


def kind_of(
    stretch: Stretch,
    observed_m: Vector,
    belongs_m: Vector,
    away_m: Vector,
    seen: NDArray[np.bool_],
    floor_m: float,
    rate_hz: float,
) -> FaultKind:
    """What a marker did in a stretch.

    Args:
        stretch: when it was away.
        observed_m: (T, 3) where it was.
        belongs_m: (T, 3) where it belongs.
        away_m: (T, 3) the difference in the axes of the joint that carries it.
        seen: (T,)
        floor_m: height of the floor.
        rate_hz: frames a second.
    """
    rows = np.arange(stretch.first, stretch.last + 1)
    rows = rows[seen[rows]]
    observed, belongs, away = observed_m[rows], belongs_m[rows], away_m[rows]
    late = observed[-max(3, len(rows) // 3) :]
    rests = _spread(late) < STILL_M and len(late) >= 3
    above = belongs[-1, 1] - floor_m
    dropped = belongs[-1, 1] - observed[-1, 1]
    if dropped > FALLEN_M and above > FALLEN_M:
        if rests and observed[-1, 1] - floor_m < ON_FLOOR_M:
            return "fell"
        if len(rows) >= 5 and np.abs(np.median(np.diff(observed[:, 1], 2)) * rate_hz**2 + GRAVITY_M_S2) < FREELY_M_S2:
            return "fell"  # and is still falling where the recording ends
    if len(rows) >= 3 and _spread(observed) < STILL_M and np.ptp(belongs, axis=0).max() > MOVES_M:
        return "stuck"
    if len(rows) <= 2 or np.median(np.linalg.norm(np.diff(away, 2, axis=0), axis=1)) > SCATTER_M:
        return "ghost"
    return "jumped" if stretch.sudden else "slid"


def _spread(points: Vector) -> float:
    """How far most of (N, 3) points are from their middle."""
    return float(np.quantile(np.linalg.norm(points - np.median(points, axis=0), axis=1), 0.9))
