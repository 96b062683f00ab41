"""The heatmap of joints over time as one image: a cell per joint and frame, or per mean of frames if there are many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import HEAD_TO_FEET
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.downsample import downsample_mean

MAX_COLUMNS = 8192
"""Width of a texture that every graphics card supports."""


def heatmap_pixels(overlay: AttributionOverlay) -> NDArray[np.uint8]:
    """Return colours (22, columns, 3): the head at the top, the first frame at the left."""
    columns = downsample_mean(overlay.values.astype(np.float64), MAX_COLUMNS)
    return overlay.scale.colours(columns[:, list(HEAD_TO_FEET)].T)
