"""Cubic splines, without ``scipy.interpolate``: to import it takes longer than to solve the poses of a short trial."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from gait.arrays import Vector


class CubicSpline:
    """Interpolating spline of values (N, ...) at increasing positions (N,), as ``scipy.interpolate.CubicSpline``."""

    def __init__(
        self,
        positions: NDArray[np.floating] | NDArray[np.integer],
        values: NDArray[np.floating],
        ends: Literal["not-a-knot", "natural"] = "not-a-knot",
    ):
        """Interpolate; the third derivative is continuous next to the ends, or the second one is zero there."""
        self._positions, self._values = np.asarray(positions, dtype=np.float64), np.asarray(values, dtype=np.float64)
        self._bending = _second_derivatives(self._positions, self._values.reshape(len(positions), -1), ends)

    def __call__(self, at: NDArray[np.floating] | NDArray[np.integer], derivative: Literal[0, 1] = 0) -> Vector:
        """Return the values, or their first derivatives, at any positions (K,): (K, ...)."""
        x = self._positions
        left = np.clip(np.searchsorted(x, at, side="right") - 1, 0, max(len(x) - 2, 0))
        right = np.minimum(left + 1, len(x) - 1)
        span = np.maximum(x[right] - x[left], np.finfo(np.float64).tiny)[:, None]
        t = (np.asarray(at, dtype=np.float64) - x[left])[:, None] / span
        y = self._values.reshape(len(x), -1)
        rise, bend_left, bend_right = y[right] - y[left], span**2 * self._bending[left], span**2 * self._bending[right]
        # y(t) = (1 − t)·y₀ + t·y₁ − t(1 − t)/6·((2 − t)·h²·y₀″ + (1 + t)·h²·y₁″)
        if derivative:
            found = rise + ((-2 + 6 * t - 3 * t**2) * bend_left + (-1 + 3 * t**2) * bend_right) / 6
            found /= span
        else:
            found = y[left] + t * rise - t * (1 - t) / 6 * ((2 - t) * bend_left + (1 + t) * bend_right)
        return found.reshape(len(t), *self._values.shape[1:])


def _second_derivatives(x: Vector, y: Vector, ends: str) -> Vector:
    """Return the second derivatives (N, C) of the spline of values (N, C): those with a continuous first derivative."""
    N = len(x)
    bending = np.zeros_like(y)
    if N < 3:
        return bending
    h = np.diff(x)
    slope = np.diff(y, axis=0) / h[:, None]
    bands = np.zeros((3, N - 2))  # upper, main and lower diagonal, of the inner second derivatives
    bands[0, 1:], bands[1], bands[2, :-1] = h[1:-1], 2 * (h[:-1] + h[1:]), h[1:-1]
    if ends == "not-a-knot" and N == 3:
        bands[1] += h[0] + h[1]  # a parabola
    elif ends == "not-a-knot":  # the end follows from its neighbours: y₀″ = (1 + r)·y₁″ − r·y₂″ with r = h₀/h₁
        for first, inner, own, other in ((h[0], h[1], 0, (0, 1)), (h[-1], h[-2], -1, (2, -2))):
            bands[1, own] += first * (1 + first / inner)
            bands[other] -= first**2 / inner
    bending[1:-1] = scipy.linalg.solve_banded((1, 1), bands, 6 * np.diff(slope, axis=0))
    if ends == "not-a-knot":
        for end, near, far, r in ((0, 1, 2, h[0] / h[1]), (-1, -2, -3, h[-1] / h[-2])):
            bending[end] = bending[near] if N == 3 else (1 + r) * bending[near] - r * bending[far]
    return bending
