"""How high on an upright body each marker sits, as a share of its height.

That is enough to see which way is up and how tall the person is from almost any marker set, without fitting
anything: positions are regressed on levels, frame by frame, and the slope points up and is as long as the
person is tall.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_PAIRED_LEVELS = {
    **{"FHD": 0.94, "BHD": 0.93, "SHO": 0.83, "UPA": 0.72, "ELB": 0.64, "FRM": 0.57},
    **{"WRA": 0.50, "WRB": 0.49, "FIN": 0.45, "ASI": 0.56, "PSI": 0.57, "THI": 0.40},
    **{"KNE": 0.28, "KNM": 0.28, "TIB": 0.18, "ANK": 0.05, "MED": 0.06, "HEE": 0.03, "TOE": 0.02},
}
_LEVELS = {
    **{"C7": 0.85, "T10": 0.72, "CLAV": 0.81, "STRN": 0.71, "RBAK": 0.75, "SACR": 0.56},
    **{side + stem: level for stem, level in _PAIRED_LEVELS.items() for side in "LR"},
}
# Words and stems in names that Plug-in Gait does not know. Arms are left out: they hang, lift and swing.
_HINTS = tuple(
    (re.compile(pattern), level)
    for pattern, level in (
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


def marker_levels(labels: Sequence[str]) -> NDArray[np.float64]:
    """Level of every marker, (M,): 0 the floor, 1 the top of the head; NaN where the name says nothing."""

    def level(label: str) -> float:
        if label in _LEVELS:
            return _LEVELS[label]
        return next((level for pattern, level in _HINTS if pattern.search(label)), np.nan)

    return np.array([level(label) for label in labels], dtype=np.float64)


def seen_samples(positions: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which samples of ``positions`` (T, M, 3) are places: (T, M), False where any coordinate is NaN."""
    return np.asarray(np.isfinite(positions).all(axis=2), dtype=np.bool_)


def stature_vector(labels: Sequence[str], positions: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The vector from the sole to the top of the head, (3,), in the unit and axes of ``positions`` (T, M, 3).

    Its length is a person's height to about a fifth (bent legs and inexact levels shorten it). None where too
    few named markers, or markers of one height only, are seen together in any frame.
    """
    levels = marker_levels(labels)
    known = np.isfinite(levels)
    if known.sum() < 3:
        return None
    positions, levels = positions[:, known], levels[known]
    seen = seen_samples(positions)  # (T, K)
    count = seen.sum(axis=1)
    mean_level = (seen * levels).sum(axis=1) / np.maximum(count, 1)
    offsets = np.where(seen, levels - mean_level[:, None], 0.0)  # (T, K)
    spread = (offsets**2).sum(axis=1)
    usable = (count >= 3) & (spread >= 0.04)
    if not usable.any():
        return None
    filled = np.where(seen[..., None], positions, 0.0)
    slopes = np.einsum("tk,tkc->tc", offsets, filled)[usable] / spread[usable, None]
    # Frames with many markers tell more; those with hardly any (a person leaving the volume) tilt the slope.
    rich = spread[usable] >= 0.5 * spread[usable].max()
    return np.asarray(np.median(slopes[rich], axis=0))
