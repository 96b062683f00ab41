"""The type of arrays in signatures, the vertical axis, runs of a mask, and values between frames."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
"""Array of any shape; shape and unit stand beside it."""

UP = np.array([0.0, 1.0, 0.0])
"""The vertical axis of all positions."""


def true_runs(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return each run of consecutive true values of a mask (T,), in order."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return tuple(slice(first, end) for first, end in edges.reshape(-1, 2).tolist())


def interpolate_frames(values: NDArray[Any], frames: NDArray[np.floating]) -> NDArray[Any]:
    """Interpolate values (T, ...) linearly at frames (S,), with fractions, (S, ...); NaN next to a NaN."""
    before = np.clip(np.floor(frames).astype(np.int64), 0, len(values) - 1)
    after = np.minimum(before + 1, len(values) - 1)
    t = (frames - before).reshape(-1, *[1] * (values.ndim - 1))
    between = values[before] * (1 - t) + values[after] * t
    return np.where(t == 0, values[before], between)  # exactly on a frame, a NaN in the next one does not count
