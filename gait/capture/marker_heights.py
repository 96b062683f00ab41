"""Relative height of each marker on an upright body: 0 is the floor, 1 the top of the head.

From these the up axis and the stature are estimated for almost any marker set, without a fit: in each frame the marker
positions are regressed on the relative heights, and the slope is the vector from the floor to the top of the head.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gait.marker_sets import MARKERS

# Patterns of names that no marker set has. Arms are excluded because they are raised and swing.
_PATTERNS = tuple(
    (re.compile(pattern), height)
    for pattern, height in (
        (r"HEAD|^[LR]?HD|SKULL", 0.93),
        (r"NECK", 0.86),
        (r"SHOULDER|CLAVIC|ACROM", 0.82),
        (r"STERN|CHEST", 0.74),
        (r"SCAP|THORAX", 0.75),
        (r"^[LR]?_?PV\d|PELV|ILIAC|ILCR|CREST", 0.57),
        (r"FTC$|GRT$|TROCH", 0.49),
        (r"^[LR][._]?TH\d|THIGH", 0.40),
        (r"KNEE|TTC$|TTU$|TTB$|TUB$|FAX$|HFB$", 0.26),
        (r"^[LR][._]?(SK|TB|SH)\d|SHANK|TIBIA", 0.17),
        (r"ANKLE|MALL", 0.05),
        (r"^[LR][._]?FT\d|FOOT|HEEL|CALC|METATARS|TOE|HALLUX|^[LR][._]?(MT|FM)\d", 0.03),
    )
)


def relative_marker_heights(labels: Sequence[str]) -> NDArray[np.float64]:
    """Return the relative height of each marker, (M,): 0 floor, 1 top of the head; NaN if its name is unknown."""

    def relative_height(label: str) -> float:
        if label in MARKERS and (height := MARKERS[label].height) is not None:
            return height
        return next((height for pattern, height in _PATTERNS if pattern.search(label)), np.nan)

    return np.array([relative_height(label) for label in labels], dtype=np.float64)


def visible_mask(positions: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the mask of visible samples of ``positions`` (T, M, 3): (T, M), False where a coordinate is not finite."""
    return np.asarray(np.isfinite(positions).all(axis=2), dtype=np.bool_)


def marker_bounds(positions: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest coordinates (T', 3) of the markers in the frames with most markers."""
    count = visible_mask(positions).sum(axis=1)
    rich = positions[count >= max(1.0, 0.7 * count.max())]
    present = np.isfinite(rich)
    return np.where(present, rich, np.inf).min(axis=1), np.where(present, rich, -np.inf).max(axis=1)


def stature_vector(labels: Sequence[str], positions: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the vector from the floor to the top of the head, (3,), in the unit and axes of ``positions`` (T, M, 3).

    Its length is the stature to about 20 % (bent legs and inexact relative heights shorten it). None if no frame has at
    least three visible markers of known and different heights.
    """
    heights = relative_marker_heights(labels)
    known = np.isfinite(heights)
    if known.sum() < 3:
        return None
    positions, heights = positions[:, known], heights[known]
    visible = visible_mask(positions)  # (T, K)
    count = visible.sum(axis=1)
    mean_height = (visible * heights).sum(axis=1) / np.maximum(count, 1)
    offsets = np.where(visible, heights - mean_height[:, None], 0.0)  # (T, K)
    spread = (offsets**2).sum(axis=1)
    usable = (count >= 3) & (spread >= 0.04)
    if not usable.any():
        return None
    filled = np.where(visible[..., None], positions, 0.0)
    slopes = np.einsum("tk,tkc->tc", offsets, filled)[usable] / spread[usable, None]
    # Only frames with many markers count: few markers (a subject leaving the capture volume) tilt the slope.
    rich = spread[usable] >= 0.5 * spread[usable].max()
    return np.asarray(np.median(slopes[rich], axis=0))
