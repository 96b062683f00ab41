"""Time series downsampled to the pixel columns of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def downsample_mean(values: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Average (T, ...) values over equal intervals of time, one per column: (min(T, columns), ...).

    NaN values are ignored; an interval of NaN only gives NaN.
    """
    columns = min(columns, len(values))
    starts = np.linspace(0, len(values), columns + 1).astype(np.intp)[:-1]
    valid = ~np.isnan(values)
    total = np.add.reduceat(np.where(valid, values, 0.0), starts, axis=0)
    count = np.add.reduceat(valid.astype(np.float64), starts, axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
