"""Input of the pose solver: the observed markers, the data of each frame, and poses as quaternions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gait.fitting.per_frame import PerFrame


@dataclass(frozen=True)
class ObservedMarkers(PerFrame):
    """Observed markers of T frames, in the order of the reduced body's markers."""

    markers: Tensor  # (T, M, 3) metres; any value where not visible
    visible: Tensor  # (T, M) bool


@dataclass(frozen=True)
class QuaternionPose(PerFrame):
    """Poses of T frames as unit quaternions, the form in which the solver computes (see ``Pose``)."""

    frame_axis: ClassVar = {"rotations": 2}

    rotations: Tensor  # (4, J, T) unit quaternions x, y, z, w of each joint relative to its parent
    translation: Tensor  # (T, 3) metres, relative to the centroid of the frame's markers
    angles: Tensor | None  # (T, J, 2) angles of hinge joints, radians


@dataclass(frozen=True)
class FrameData(PerFrame):
    """Observed markers of T frames and R reference rotations of each joint, prepared for the solver."""

    frame_axis: ClassVar = {"reference_rotations": 3, "reference_precision": 3}

    centroid: Tensor  # (T, 3) mean of the visible markers, metres, double precision
    markers: Tensor  # (T, 3, M) metres, relative to the centroid; zero where not visible
    marker_precision: Tensor  # (T, M) 1/m², zero where not visible
    reference_rotations: Tensor  # (4, R, J, T) inverse quaternions: identity, prior mean, those of the pose targets
    reference_precision: Tensor  # (3, R, J, T) 1/rad²: of the range of motion, of the prior, of the pose targets
    target_translations: Tensor  # (T, R − 2, 3) of the pose targets, metres, relative to the centroid
    translation_precision: Tensor  # (T, R − 2) 1/m²
