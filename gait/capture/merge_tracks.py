"""Merge the tracks of one marker: points of one name that complement each other in time.

Reconstruction software starts a new trajectory when it loses a marker. A file can then hold several points of one name,
each for some of the frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gait.capture.marker_heights import marker_bounds, visible_mask

_MAX_SHARED_FRAMES = 3
"""Two tracks of one marker are visible at different positions in no more frames than this."""
_MAX_DISTANCE = 0.003
"""Positions closer than this fraction of the body's extent are equal: about 5 mm."""
_MAX_SPEED_PER_S = 8.0
"""No marker moves faster from the end of one track to the start of the next, in extents of the body: about 12 m/s."""


def merge_tracks(
    tracks: Mapping[str, Sequence[int]], positions: NDArray[np.float64], rate_hz: float
) -> tuple[NDArray[np.float64], dict[str, tuple[int, ...]]]:
    """Merge those tracks of each marker that complement each other into its first one.

    Two tracks complement each other if each is visible in frames in which the other is not, if they are visible at
    different positions in at most three frames, and if the marker could move from one to the other in the time between.

    Args:
        tracks: columns of each marker's points, the preferred one first.
        positions: (T, P, 3) in any unit, NaN where missing; not changed.
        rate_hz: frames per second.

    Returns:
        The positions with the merged tracks in their first columns, and the columns merged into them by marker.
    """
    merged: dict[str, tuple[int, ...]] = {}
    several = {marker: columns for marker, columns in tracks.items() if len(columns) > 1}
    if not several:
        return positions, merged
    lowest, highest = marker_bounds(positions[:, sorted(k for columns in tracks.values() for k in columns)])
    extent = float(np.median(np.linalg.norm(highest - lowest, axis=1)))
    positions = positions.copy()
    for marker, (first, *others) in several.items():
        for other in others:
            if _complement(positions[:, first], positions[:, other], extent, rate_hz):
                lacking = np.isnan(positions[:, first, 0])
                positions[lacking, first] = positions[lacking, other]
                merged[marker] = (*merged.get(marker, ()), other)
    return positions, merged


def _complement(a: NDArray[np.float64], b: NDArray[np.float64], extent: float, rate_hz: float) -> bool:
    """Return True if the tracks ``a`` and ``b``, (T, 3), are one marker that ``b`` shows in further frames."""
    in_a, in_b = visible_mask(np.stack([a, b], axis=1)).T
    if not (in_b & ~in_a).any() or not (in_a & ~in_b).any():
        return False
    shared = np.linalg.norm(a - b, axis=1)[in_a & in_b]
    if (shared > _MAX_DISTANCE * extent).sum() > _MAX_SHARED_FRAMES:
        return False
    frames = np.flatnonzero(in_a | in_b)
    joined = np.where(in_a[:, None], a, b)[frames]
    change = in_a[frames[1:]] != in_a[frames[:-1]]  # from one track to the other
    step = np.linalg.norm(np.diff(joined, axis=0), axis=1)[change]
    return bool((step * rate_hz <= _MAX_SPEED_PER_S * extent * np.diff(frames)[change]).all())
