"""Breaks in the tracks of markers: between two frames a marker is suddenly elsewhere. No body is needed to see them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BREAK_M = 0.015
"""A marker that is so far from where its speed was taking it has jumped, ..."""
BREAK_M_S2 = 50.0
"""... and so much more as a foot's acceleration can make of the time between two frames."""


def track_breaks(positions_m: NDArray[np.float64], visible: NDArray[np.bool_], rate_hz: float) -> NDArray[np.bool_]:
    """Frames in which a marker begins to be elsewhere.

    A step from frame a to b is judged by what is left of it when the mean of the speeds before and after is taken away;
    of neighbouring steps the largest counts. A gap is stepped over, with as much more room as its length asks for.

    Args:
        positions_m: (T, M, 3) anything where not visible.
        visible: (T, M)
        rate_hz: frames a second.

    Returns:
        (T, M) True in the first frame after each break.
    """
    T, M = visible.shape
    broken = np.zeros((T, M), dtype=bool)
    if T < 4:
        return broken
    whole = visible.all(axis=0)
    broken[:, whole] = _breaks(positions_m[:, whole], np.full(T - 1, 1 / rate_hz))
    for m in np.flatnonzero(~whole):
        rows = np.flatnonzero(visible[:, m])
        if len(rows) >= 4:
            broken[rows, m] = _breaks(positions_m[rows, m, None], np.diff(rows) / rate_hz)[:, 0]
    return broken


def _breaks(x: NDArray[np.float64], dt_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(T, M) breaks of gapless tracks (T, M, 3) whose frames are ``dt_s`` (T − 1,) apart."""
    step = np.diff(x, axis=0)  # (T-1, M, 3)
    speed = step / dt_s[:, None, None]
    usual = np.zeros_like(speed)
    usual[1:-1] = (speed[:-2] + speed[2:]) / 2
    usual[0], usual[-1] = (speed[1] + speed[2]) / 2, (speed[-2] + speed[-3]) / 2
    left = np.linalg.norm(step - usual * dt_s[:, None, None], axis=-1)  # (T-1, M)
    beside = np.maximum(np.pad(left[1:], ((0, 1), (0, 0))), np.pad(left[:-1], ((1, 0), (0, 0))))
    limit = BREAK_M + BREAK_M_S2 * dt_s**2
    sudden = (left > limit[:, None]) & (left >= 0.75 * beside)
    return np.concatenate([np.zeros((1, x.shape[1]), dtype=bool), sudden])
