"""Classify a displacement of a marker: label swap, frozen, detached, ghost, jump or drift."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.constants import GRAVITY_M_S2
from gait.fitting.marker_quality.displacements import DisplacementInterval
from gait.fitting.marker_quality.marker_error import MarkerErrorKind

STATIONARY_M = 0.010
"""A marker whose distance from its median position in space stays below this does not move."""
MOVING_M = 0.040
"""The expected position of a marker moves if its range is larger than this."""
ON_FLOOR_M = 0.06
"""Maximum height above the floor of a marker that lies on it."""
MIN_DROP_M = 0.10
"""Minimum height that a detached marker has dropped, and minimum height of its expected position above the floor."""
SCATTER_M = 0.020
"""A ghost marker has a median second difference of its displacement above this: it is not one physical point."""
MAX_SWAP_FRAMES = 100
"""Maximum number of frames from which it is judged whether two labels are swapped."""
FREE_FALL_TOLERANCE_M_S2 = 3.0
"""Maximum difference from the acceleration of gravity in free fall."""


def find_swap_partner(
    marker: int, rows: NDArray[np.int64], observed_m: Vector, expected_m: Vector, visible: NDArray[np.bool_]
) -> int | None:
    """Find the column with which a displaced marker, a column, has swapped its label; None if there is none.

    Args:
        marker: the displaced marker.
        rows: (N,) frames in which it is displaced and visible.
        observed_m: (T, M, 3) observed positions.
        expected_m: (T, M, 3) usual positions of all markers on the fitted body.
        visible: (T, M).
    """
    rows = rows[np.linspace(0, len(rows) - 1, min(MAX_SWAP_FRAMES, len(rows))).astype(int)]
    expected = expected_m[rows]
    observed = np.where(visible[rows][..., None], observed_m[rows], np.nan)
    own = np.linalg.norm(observed[:, marker] - expected[:, marker], axis=-1)
    to_others = np.linalg.norm(observed[:, marker, None] - expected, axis=-1)  # (N, M) from each expected position
    from_others = np.linalg.norm(observed - expected[:, marker, None], axis=-1)  # each marker from this one's
    others_own = np.linalg.norm(observed - expected, axis=-1)
    both = np.isfinite(from_others).sum(axis=0) >= max(1, 0.5 * len(rows))
    both[marker] = False
    if not both.any():
        return None
    columns = np.flatnonzero(both)
    swapped = np.nanmedian(to_others[:, columns] + from_others[:, columns], axis=0)
    kept = np.nanmedian(own[:, None] + others_own[:, columns], axis=0)
    best = int(swapped.argmin())
    return int(columns[best]) if swapped[best] < 0.5 * kept[best] else None


def classify_error(
    interval: DisplacementInterval,
    observed_m: Vector,
    expected_m: Vector,
    displacement_m: Vector,
    visible: NDArray[np.bool_],
    floor_m: float,
    rate_hz: float,
) -> MarkerErrorKind:
    """Classify the displacement of a marker that has not swapped its label with another.

    Positions are (T, 3), ``visible`` (T,); ``displacement_m`` is observed − expected in the axes of the main joint.
    """
    rows = np.arange(interval.first, interval.last + 1)
    rows = rows[visible[rows]]
    observed, expected, displacement = observed_m[rows], expected_m[rows], displacement_m[rows]
    end = observed[-max(3, len(rows) // 3) :]
    rests = _spread(end) < STATIONARY_M and len(end) >= 3
    height = expected[-1, 1] - floor_m
    drop = expected[-1, 1] - observed[-1, 1]
    if drop > MIN_DROP_M and height > MIN_DROP_M:
        if rests and observed[-1, 1] - floor_m < ON_FLOOR_M:
            return "detached"
        acceleration = np.median(np.diff(observed[:, 1], 2)) * rate_hz**2 if len(rows) >= 5 else np.inf
        if np.abs(acceleration + GRAVITY_M_S2) < FREE_FALL_TOLERANCE_M_S2:
            return "detached"  # still in free fall at the end of the recording
    if len(rows) >= 3 and _spread(observed) < STATIONARY_M and np.ptp(expected, axis=0).max() > MOVING_M:
        return "frozen"
    if len(rows) <= 2 or np.median(np.linalg.norm(np.diff(displacement, 2, axis=0), axis=1)) > SCATTER_M:
        return "ghost"
    return "jump" if interval.sudden else "drift"


def _spread(points: Vector) -> float:
    """Return the 90 % quantile of the distances of points (N, 3) from their median."""
    return float(np.quantile(np.linalg.norm(points - np.median(points, axis=0), axis=1), 0.9))
