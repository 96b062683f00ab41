"""The type of arrays in signatures, whose shape and unit stand beside it, and the runs of a mask."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
"""Array of any shape."""


def true_runs(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return each run of consecutive true values of a mask (T,), in order."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return tuple(slice(first, end) for first, end in edges.reshape(-1, 2).tolist())
