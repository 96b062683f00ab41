"""A course over time in as many columns as a picture has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def in_columns(values: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Means of (T, ...) over as many equal stretches of time as there are columns to draw, (min(T, columns), ...).

    What is NaN does not count; a stretch without anything else is NaN.
    """
    columns = min(columns, len(values))
    starts = np.linspace(0, len(values), columns + 1).astype(np.intp)[:-1]
    seen = ~np.isnan(values)
    total = np.add.reduceat(np.where(seen, values, 0.0), starts, axis=0)
    count = np.add.reduceat(seen.astype(np.float64), starts, axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
