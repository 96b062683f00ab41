"""Where markers sit on a body's skin."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gait.errors import GaitError

MarkerKind = Literal["anatomical", "technical"]
"""Anatomical markers stand on a bony landmark, technical ones anywhere along their segment."""

TECHNICAL_MARKERS = frozenset(["LTHI", "RTHI", "LTIB", "RTIB", "LUPA", "RUPA", "LFRM", "RFRM", "RBAK"])
"""Plug-in Gait markers without a landmark of their own (thigh, shank, upper arm, forearm, right back)."""

ANATOMICAL_MARKERS = frozenset(
    ["C7", "T10", "CLAV", "STRN", "SACR"]
    + [side + name for side in "LR" for name in ("FHD", "BHD", "SHO", "ELB", "WRA", "WRB", "FIN", "ASI", "PSI")]
    + [side + name for side in "LR" for name in ("KNE", "ANK", "HEE", "TOE", "MED", "KNM", "MKN", "MMA")]
)
"""Plug-in Gait markers that stand on a landmark, the medial ones of its static trial included."""


def marker_kind(label: str) -> MarkerKind:
    """What a marker of this name is; a name that Plug-in Gait does not know counts as technical."""
    return "anatomical" if label in ANATOMICAL_MARKERS else "technical"


@dataclass(frozen=True)
class MarkerLayout:
    """One set of markers on the mesh of one body.

    Marker m is at the barycentric point of its posed face plus ``distance_m`` along the face's unit normal.
    """

    labels: tuple[str, ...]  # (M,) names as in a recording, unique
    face: NDArray[np.int64]  # (M,) rows of the body's faces
    bary: NDArray[np.float64]  # (M, 3) weights of the face's three vertices, summing to 1
    distance_m: NDArray[np.float64]  # (M,) metres above the skin
    kinds: tuple[MarkerKind, ...]  # (M,)
    source: str  # where the placement comes from, for a person to read

    @property
    def num_markers(self) -> int:
        """Number of markers M."""
        return len(self.labels)

    @property
    def fewest_shared(self) -> int:
        """Markers that a recording must share: six, or 60 % of a smaller layout, never fewer than place a body."""
        return max(3, min(6, math.ceil(0.6 * self.num_markers)))

    def select(self, labels: Iterable[str]) -> MarkerLayout:
        """The layout of these markers alone, in this order.

        Raises GaitError naming the labels that this layout lacks.
        """
        wanted = tuple(labels)
        row = {label: i for i, label in enumerate(self.labels)}
        missing = [label for label in wanted if label not in row]
        if missing:
            raise GaitError(f"{self.source}: no marker named {', '.join(missing)}; it has {', '.join(self.labels)}.")
        index = np.array([row[label] for label in wanted], dtype=np.intp)
        return MarkerLayout(
            labels=wanted,
            face=self.face[index],
            bary=self.bary[index],
            distance_m=self.distance_m[index],
            kinds=tuple(self.kinds[i] for i in index),
            source=self.source,
        )
