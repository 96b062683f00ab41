"""Filters along the first axis, without ``scipy.ndimage``, which takes as long to import as a short trial to fit.

Values beyond the ends are those at the ends. Each function does the same as that of ``scipy.ndimage`` which it names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from gait.arrays import Vector


def moving_average(values: Vector, size: int) -> Vector:
    """Return the means of ``size`` values (T, ...) around each (``uniform_filter1d``)."""
    return np.asarray(_windows(values, size).mean(axis=-1))


def moving_median(values: Vector, size: int) -> Vector:
    """Return the medians of ``size`` values (T,) around each, of two middle ones the larger (``median_filter``)."""
    return np.asarray(np.partition(_windows(values, size), size // 2, axis=-1)[..., size // 2])


def gaussian_smooth(values: Vector, sigma: float) -> Vector:
    """Smooth values (T, ...) with a normal distribution, cut off at four of its ``sigma`` (``gaussian_filter1d``)."""
    radius = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(_windows(values, len(weights)) @ (weights / weights.sum()))


def close_gaps(mask: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    """Fill runs of False shorter than ``length`` in a mask (T, ...) (``binary_closing``, False beyond the ends)."""
    return _erode(_dilate(mask, length), length)


def remove_short_runs(mask: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    """Remove runs of True shorter than ``length`` in a mask (T, ...) (``binary_opening``, False beyond the ends)."""
    return _dilate(_erode(mask, length), length)


def _erode(mask: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    return np.asarray(_windows(mask, length, mode="constant").all(axis=-1))


def _dilate(mask: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    mirrored = _windows(mask[::-1], length, mode="constant")  # so that the window is that of the erosion, mirrored
    return np.flip(mirrored.any(axis=-1), axis=0).copy()


def _windows(values: NDArray[Any], size: int, mode: str = "edge") -> NDArray[Any]:
    """Return the ``size`` values around each of T: (T, ..., size); of an even number, the odd one comes before."""
    width = [(size // 2, size - 1 - size // 2), *[(0, 0)] * (values.ndim - 1)]
    return sliding_window_view(np.pad(values, width, mode=mode), size, axis=0)  # type: ignore[call-overload]
