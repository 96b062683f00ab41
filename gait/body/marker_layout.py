"""Positions of markers on the skin of a body model."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gait.errors import GaitError

MarkerKind = Literal["anatomical", "technical"]
"""Anatomical markers are placed on a bony landmark, technical markers anywhere along their segment."""

TECHNICAL_MARKERS = frozenset(["LTHI", "RTHI", "LTIB", "RTIB", "LUPA", "RUPA", "LFRM", "RFRM", "RBAK"])
"""Plug-in Gait markers without a landmark: thigh, shank, upper arm, forearm, right back."""

ANATOMICAL_MARKERS = frozenset(
    ["C7", "T10", "CLAV", "STRN", "SACR"]
    + [side + name for side in "LR" for name in ("FHD", "BHD", "SHO", "ELB", "WRA", "WRB", "FIN", "ASI", "PSI")]
    + [side + name for side in "LR" for name in ("KNE", "ANK", "HEE", "TOE", "MED", "KNM", "MKN", "MMA")]
)
"""Plug-in Gait markers on a landmark, including the medial markers of its static trial."""


def marker_kind(label: str) -> MarkerKind:
    """Return the kind of a marker; "technical" for a name unknown in Plug-in Gait."""
    return "anatomical" if label in ANATOMICAL_MARKERS else "technical"


@dataclass(frozen=True)
class MarkerLayout:
    """A set of markers on the mesh of one body model.

    Marker m is at the barycentric point of its posed face plus ``height_above_skin_m`` along the face's unit normal.
    """

    labels: tuple[str, ...]  # (M,) unique names as in a recording
    face: NDArray[np.int64]  # (M,) rows of the body's faces
    barycentric: NDArray[np.float64]  # (M, 3) weights of the face's three vertices, summing to 1
    height_above_skin_m: NDArray[np.float64]  # (M,)
    kinds: tuple[MarkerKind, ...]  # (M,)
    source: str  # description of the origin, for messages

    @property
    def num_markers(self) -> int:
        """Number of markers M."""
        return len(self.labels)

    @property
    def min_shared_markers(self) -> int:
        """Number of markers that a recording must share: 6, or 60 % of a smaller layout, at least 3."""
        return max(3, min(6, math.ceil(0.6 * self.num_markers)))

    def select(self, labels: Iterable[str]) -> MarkerLayout:
        """Return a layout of only these markers, in this order; raise GaitError if some are missing."""
        wanted = tuple(labels)
        row = {label: i for i, label in enumerate(self.labels)}
        missing = [label for label in wanted if label not in row]
        if missing:
            raise GaitError(f"{self.source}: no marker named {', '.join(missing)}; it has {', '.join(self.labels)}.")
        index = np.array([row[label] for label in wanted], dtype=np.intp)
        return MarkerLayout(
            labels=wanted,
            face=self.face[index],
            barycentric=self.barycentric[index],
            height_above_skin_m=self.height_above_skin_m[index],
            kinds=tuple(self.kinds[i] for i in index),
            source=self.source,
        )
