"""Input of the pose solver: the observed markers, the data of each frame, and poses as quaternions."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ObservedMarkers:
    """Observed markers of T frames, in the order of the reduced body's markers."""

    markers: Tensor  # (T, M, 3) metres; any value where not visible
    visible: Tensor  # (T, M) bool

    def __getitem__(self, frames: Tensor | slice) -> ObservedMarkers:
        """Return the data of some frames."""
        return ObservedMarkers(self.markers[frames], self.visible[frames])


@dataclass(frozen=True)
class QuaternionPose:
    """Poses of T frames as unit quaternions, the form in which the solver computes (see ``Pose``)."""

    rotations: Tensor  # (4, J, T) unit quaternions x, y, z, w of each joint relative to its parent
    translation: Tensor  # (T, 3) metres, relative to the centroid of the frame's markers
    angles: Tensor | None  # (T, J, 2) angles of hinge joints, radians

    def __getitem__(self, frames: Tensor) -> QuaternionPose:
        """Return the poses of some frames."""
        angles = None if self.angles is None else self.angles[frames]
        return QuaternionPose(self.rotations[:, :, frames], self.translation[frames], angles)

    def with_frames(self, frames: Tensor, other: QuaternionPose) -> QuaternionPose:
        """Return the poses with some frames replaced by the frames of ``other``."""
        angles = None
        if self.angles is not None and other.angles is not None:
            angles = self.angles.index_copy(0, frames, other.angles)
        return QuaternionPose(
            self.rotations.index_copy(2, frames, other.rotations),
            self.translation.index_copy(0, frames, other.translation),
            angles,
        )


@dataclass(frozen=True)
class FrameData:
    """Observed markers of T frames and R reference rotations of each joint, prepared for the solver."""

    centroid: Tensor  # (T, 3) mean of the visible markers, metres, double precision
    markers: Tensor  # (T, 3, M) metres, relative to the centroid; zero where not visible
    marker_precision: Tensor  # (T, M) 1/m², zero where not visible
    reference_rotations: Tensor  # (4, R, J, T) inverse quaternions: identity, prior mean, those of the pose targets
    reference_precision: Tensor  # (3, R, J, T) 1/rad²: of the range of motion, of the prior, of the pose targets
    target_translations: Tensor  # (T, R − 2, 3) of the pose targets, metres, relative to the centroid
    translation_precision: Tensor  # (T, R − 2) 1/m²

    def __getitem__(self, rows: Tensor) -> FrameData:
        """Return the data of some frames."""
        return FrameData(
            self.centroid[rows],
            self.markers[rows],
            self.marker_precision[rows],
            self.reference_rotations[..., rows],
            self.reference_precision[..., rows],
            self.target_translations[rows],
            self.translation_precision[rows],
        )
