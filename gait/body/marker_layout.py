"""Positions of markers on the skin of a body model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import Joint
from gait.errors import GaitError
from gait.marker_sets import MARKER_BY_ALIAS, MARKER_SETS, MARKERS
from gait.marker_sets.marker_set import MarkerKind

_PLUG_IN_GAIT = frozenset(MARKER_SETS["plug_in_gait"].recorded)


def marker_kind(label: str) -> MarkerKind:
    """Return the kind of a marker; "technical" for a name that no marker set has."""
    return MARKER_BY_ALIAS[label].kind if label in MARKER_BY_ALIAS else "technical"


@dataclass(frozen=True)
class MarkerLayout:
    """A set of markers on the mesh of one body model.

    Marker m is at the barycentric point of its posed face plus ``height_above_skin_m`` along the face's unit normal;
    a joint centre is at its joint, and its face is not used.
    """

    labels: tuple[str, ...]  # (M,) unique names as in a recording
    face: NDArray[np.int64]  # (M,) rows of the body's faces
    barycentric: NDArray[np.float64]  # (M, 3) weights of the face's three vertices, summing to 1
    height_above_skin_m: NDArray[np.float64]  # (M,)
    kinds: tuple[MarkerKind, ...]  # (M,)
    source: str  # description of the origin, for messages
    # label -> factor on the expected residual, of the markers whose places come from the recordings
    solved: Mapping[str, float] = field(default_factory=dict)
    joints: Mapping[str, Joint] = field(
        default_factory=dict
    )  # of labels that are joint centres, not points on the skin

    @property
    def num_markers(self) -> int:
        """Number of markers M."""
        return len(self.labels)

    @property
    def approximate(self) -> frozenset[str]:
        """Labels of markers whose places are not known to some centimetres.

        They are the technical markers of marker sets, but for those of Plug-in Gait, and those solved from recordings.
        """
        technical = {label for label, kind in zip(self.labels, self.kinds, strict=True) if kind == "technical"}
        return frozenset((technical & MARKERS.keys()) - _PLUG_IN_GAIT) | self.solved.keys()

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
        return replace(
            self,
            labels=wanted,
            face=self.face[index],
            barycentric=self.barycentric[index],
            height_above_skin_m=self.height_above_skin_m[index],
            kinds=tuple(self.kinds[i] for i in index),
            solved={label: self.solved[label] for label in wanted if label in self.solved},
            joints={label: joint for label, joint in self.joints.items() if label in wanted},
        )
