"""The map of joints by time as one picture: a cell a joint and frame, or a mean of frames where there are very many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import HEAD_TO_FEET
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.downsample import in_columns

MOST_COLUMNS = 8192
"""As wide as a picture may be on any graphics card."""


def map_pixels(explained: AttributionOverlay) -> NDArray[np.uint8]:
    """(22, columns, 3) colours, the head above, the first frame at the left."""
    columns = in_columns(explained.values.astype(np.float64), MOST_COLUMNS)
    return explained.scale.colours(columns[:, list(HEAD_TO_FEET)].T)
