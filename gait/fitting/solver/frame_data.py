"""What the solver is given of each frame, and the poses that it moves."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ObservedMarkers:
    """Observed markers of T frames, in the wearer's order of markers."""

    markers: Tensor  # (T, M, 3) metres, anything where unseen
    seen: Tensor  # (T, M) bool

    def __getitem__(self, frames: Tensor | slice) -> ObservedMarkers:
        """Some of the frames."""
        return ObservedMarkers(self.markers[frames], self.seen[frames])


@dataclass(frozen=True)
class QuaternionPose:
    """Poses of T frames, as the equations hold them."""

    turn: Tensor  # (4, J, T) unit quaternions x, y, z, w of each joint relative to its parent
    place: Tensor  # (T, 3) metres, from the middle of the frame's markers
    angles: Tensor | None  # (T, J, 2) of hinged joints

    def __getitem__(self, frames: Tensor) -> QuaternionPose:
        """Those of some frames."""
        angles = None if self.angles is None else self.angles[frames]
        return QuaternionPose(self.turn[:, :, frames], self.place[frames], angles)

    def with_frames(self, frames: Tensor, other: QuaternionPose) -> QuaternionPose:
        """The same, with some frames taken from ``other``, which has just those."""
        angles = None
        if self.angles is not None and other.angles is not None:
            angles = self.angles.index_copy(0, frames, other.angles)
        return QuaternionPose(
            self.turn.index_copy(2, frames, other.turn), self.place.index_copy(0, frames, other.place), angles
        )


@dataclass(frozen=True)
class Frames:
    """What is known of T frames, and R rotations of each joint that the objective measures from."""

    middle: Tensor  # (T, 3) mean of the frame's markers, metres, in double precision
    markers: Tensor  # (T, 3, M) metres, from the middle; zero where unseen
    certainty: Tensor  # (T, M) 1/m², zero where unseen
    references: Tensor  # (4, R, J, T) conjugate quaternions: no rotation, the natural one, those of the leanings
    precision: Tensor  # (3, R, J, T) 1/rad² of the excess over the range of motion, and of the distance to the others
    places: Tensor  # (T, R − 2, 3) of the leanings, metres, from the middle
    place_precision: Tensor  # (T, R − 2) 1/m²

    def __getitem__(self, rows: Tensor) -> Frames:
        """Some of the frames."""
        return Frames(
            self.middle[rows],
            self.markers[rows],
            self.certainty[rows],
            self.references[..., rows],
            self.precision[..., rows],
            self.places[rows],
            self.place_precision[rows],
        )
