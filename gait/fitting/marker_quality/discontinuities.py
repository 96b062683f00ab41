"""Find discontinuities of marker trajectories, without a body model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DISCONTINUITY_M = 0.015
"""Minimum deviation from the position predicted by the velocity; ``DISCONTINUITY_M_S2`` adds to it."""
DISCONTINUITY_M_S2 = 50.0
"""Acceleration, about that of a foot, whose displacement within the time between two frames is added to the minimum."""


def find_discontinuities(
    positions_m: NDArray[np.float64], visible: NDArray[np.bool_], rate_hz: float
) -> NDArray[np.bool_]:
    """Find the frames in which a marker is suddenly displaced.

    A step between two frames is a discontinuity if it deviates from the mean velocity before and after it by more than
    a threshold; of adjacent steps only the largest counts. Steps across gaps have a larger threshold, according to
    their duration. Returns (T, M), True in the first frame after each discontinuity, from positions (T, M, 3), of any
    value where not visible.
    """
    T, M = visible.shape
    sudden = np.zeros((T, M), dtype=bool)
    if T < 4:
        return sudden
    complete = visible.all(axis=0)
    sudden[:, complete] = _sudden_steps(positions_m[:, complete], np.full(T - 1, 1 / rate_hz))
    for m in np.flatnonzero(~complete):
        rows = np.flatnonzero(visible[:, m])
        if len(rows) >= 4:
            sudden[rows, m] = _sudden_steps(positions_m[rows, m, None], np.diff(rows) / rate_hz)[:, 0]
    return sudden


def _sudden_steps(x: NDArray[np.float64], dt_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find discontinuities (T, M) of trajectories without gaps (T, M, 3); ``dt_s`` (T − 1,) are the time steps."""
    step = np.diff(x, axis=0)  # (T-1, M, 3)
    velocity = step / dt_s[:, None, None]
    expected = np.zeros_like(velocity)
    expected[1:-1] = (velocity[:-2] + velocity[2:]) / 2
    expected[0], expected[-1] = (velocity[1] + velocity[2]) / 2, (velocity[-2] + velocity[-3]) / 2
    deviation = np.linalg.norm(step - expected * dt_s[:, None, None], axis=-1)  # (T-1, M)
    adjacent = np.maximum(np.pad(deviation[1:], ((0, 1), (0, 0))), np.pad(deviation[:-1], ((1, 0), (0, 0))))
    limit = DISCONTINUITY_M + DISCONTINUITY_M_S2 * dt_s**2
    sudden = (deviation > limit[:, None]) & (deviation >= 0.75 * adjacent)
    return np.concatenate([np.zeros((1, x.shape[1]), dtype=bool), sudden])
