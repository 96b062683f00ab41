"""How the solver turns joints: free ones by a small rotation, hinged ones by their angles.

Both trees offer the solver three unknowns a joint. A free joint takes a rotation vector in world axes; a hinged one
takes the angles of its one or two hinges, and the unknowns that it lacks move nothing. So everything else that the
solver does is the same for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gait.body.body import Body
from gait.body.constrained_tree import PoseParameterRole
from gait.body.rotations import (
    PoseFeature,
    axis_angle_to_matrix,
    hamilton_product,
    matrix_feature,
    matrix_to_axis_angle,
    quaternion_feature,
    skew,
)

MOST_STEP_RAD = 0.6
"""A joint turns by no more than this in one iteration; beyond it the linear model says nothing."""


@dataclass(frozen=True, eq=False)
class ConstrainedJoints:
    """Which of the solver's J joints are hinged, and how (``gait.body.constrained_tree``)."""

    hinged: Tensor  # (J,) bool
    double: Tensor  # (J,) bool
    first: Tensor  # (J, 3) unit axis of the hinge, or of the first of two; zero for free joints
    second: Tensor  # (J, 3) unit axis of the second hinge
    number: Tensor  # (J, 2) which number of the pose each hinge is

    def to(self, dtype: torch.dtype) -> ConstrainedJoints:
        """The same in another precision."""
        return replace(self, first=self.first.to(dtype), second=self.second.to(dtype))

    def rotations(self, angles: Tensor) -> Tensor:
        """(T, J, 3, 3) of angles (T, J, 2): Rodrigues(u₁, a₁)ᵀ·Rodrigues(u₂, a₂)ᵀ."""
        a, b = (angles[..., k : k + 1] * axis for k, axis in enumerate((self.first, self.second)))
        return axis_angle_to_matrix(-a) @ axis_angle_to_matrix(-b)

    def axes(self, angles: Tensor) -> Tensor:
        """(T, J, 3, 3) columns: the axis, in the parent's frame, about which each unknown turns the joint."""
        first = axis_angle_to_matrix(-angles[..., :1] * self.first)
        second = -(first @ self.second[..., None])[..., 0]
        return torch.stack([-self.first.expand_as(second), second, torch.zeros_like(second)], dim=-1)

    def feature_and_change(self, angles: Tensor) -> tuple[Tensor, Tensor]:
        """Feature (T, J, 4) and its change (T, J, 4, 3) with the unknowns; a double hinge has f₂·f₁."""
        half = angles / 2
        f = [
            torch.cat([half[..., k : k + 1].sin() * axis, half[..., k : k + 1].cos() - 1], dim=-1)
            for k, axis in enumerate((self.first, self.second))
        ]
        df = [
            0.5 * torch.cat([half[..., k : k + 1].cos() * axis, -half[..., k : k + 1].sin()], dim=-1)
            for k, axis in enumerate((self.first, self.second))
        ]
        double = self.double[:, None]
        feature = torch.where(double, hamilton_product(f[1], f[0]), f[0])
        by_first = torch.where(double, hamilton_product(f[1], df[0]), df[0])
        by_second = torch.where(double, hamilton_product(df[1], f[0]), torch.zeros_like(df[1]))
        return feature, torch.stack([by_first, by_second, torch.zeros_like(by_first)], dim=-1)


def hinged_joints(body: Body, num_joints: int, dtype: torch.dtype) -> ConstrainedJoints | None:
    """The first ``num_joints`` joints of a body with a hinge tree; None for the free tree."""
    if body.hinges is None:
        return None
    number = torch.zeros(num_joints, 2, dtype=torch.long)
    axes = torch.zeros(num_joints, 2, 3, dtype=dtype)
    kind = torch.zeros(num_joints, 2, dtype=torch.bool)
    slot = {
        int(PoseParameterRole.HINGE): 0,
        int(PoseParameterRole.FIRST_HINGE): 0,
        int(PoseParameterRole.SECOND_HINGE): 1,
    }
    for index, (joint, role) in enumerate(
        zip(body.hinges.pose_joint.tolist(), body.hinges.pose_role.tolist(), strict=True)
    ):
        if 0 <= joint < num_joints and role in slot:
            number[joint, slot[role]] = index
            axes[joint, slot[role]] = body.hinges.pose_axis[index].to(dtype).cpu()
            kind[joint, slot[role]] = True
    moved = (t.to(body.device) for t in (kind[:, 0], kind[:, 1], axes[:, 0], axes[:, 1], number))
    return ConstrainedJoints(*moved)


@dataclass(frozen=True)
class Pose:
    """The pose of T frames, as the solver holds it."""

    rotations: Tensor  # (T, J, 3, 3) each joint relative to its parent
    translation: Tensor  # (T, 3) metres
    angles: Tensor | None = None  # (T, J, 2) of hinged joints; None for the free tree

    @property
    def frames(self) -> int:
        """T."""
        return len(self.rotations)

    def __getitem__(self, frames: Tensor | slice) -> Pose:
        """The pose of some frames."""
        angles = None if self.angles is None else self.angles[frames]
        return Pose(self.rotations[frames], self.translation[frames], angles)

    def with_frames(self, frames: Tensor, other: Pose) -> Pose:
        """The same, with some frames taken from ``other``, which has just those."""
        angles = None
        if self.angles is not None and other.angles is not None:
            angles = self.angles.index_copy(0, frames, other.angles)
        return Pose(
            self.rotations.index_copy(0, frames, other.rotations),
            self.translation.index_copy(0, frames, other.translation),
            angles,
        )

    @staticmethod
    def joined(parts: Sequence[Pose]) -> Pose:
        """Poses one after another in time."""
        angles = [part.angles for part in parts if part.angles is not None]
        return Pose(
            torch.cat([part.rotations for part in parts]),
            torch.cat([part.translation for part in parts]),
            torch.cat(angles) if angles else None,
        )


def resting_pose(rotations: Tensor, hinges: ConstrainedJoints | None, frames: int) -> Pose:
    """T frames of one pose (J, 3, 3), unmoved; hinged joints at angle zero."""
    still = rotations.new_zeros(frames, 3)
    rotations = rotations.expand(frames, -1, -1, -1).clone()
    if hinges is None:
        return Pose(rotations, still)
    rotations[:, hinges.hinged] = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    return Pose(rotations, still, rotations.new_zeros(frames, rotations.shape[1], 2))


def unknowns_in_world(pose: Pose, parent_world: Tensor, hinges: ConstrainedJoints | None) -> Tensor | None:
    """(T, J, 3, 3) columns: the world rotation vector that each unknown stands for; None: the world's axes."""
    if hinges is None or pose.angles is None:
        return None
    free = torch.eye(3, dtype=parent_world.dtype, device=parent_world.device)
    return torch.where(hinges.hinged[:, None, None], parent_world @ hinges.axes(pose.angles), free)


def turned(pose: Pose, parent_world: Tensor, step: Tensor, hinges: ConstrainedJoints | None) -> Pose:
    """Turn every joint and shift the body.

    Args:
        pose: T frames.
        parent_world: (T, J, 3, 3) world rotation of each joint's parent (identity for the root).
        step: (T, 3·J + 3) the joints' unknowns, then the shift in metres.
        hinges: of a constrained tree.
    """
    J = pose.rotations.shape[1]
    turn = step[:, : 3 * J].unflatten(-1, (J, 3))
    turn = turn * (MOST_STEP_RAD / turn.norm(dim=-1, keepdim=True).clamp_min(1e-12)).clamp(max=1.0)
    local = (parent_world.mT @ turn[..., None])[..., 0]
    rotations = axis_angle_to_matrix(local) @ pose.rotations
    translation = pose.translation + step[:, 3 * J :]
    if hinges is None or pose.angles is None:
        return Pose(rotations, translation)
    angles = pose.angles + torch.where(hinges.hinged[:, None], turn[..., :2], torch.zeros_like(turn[..., :2]))
    return Pose(torch.where(hinges.hinged[:, None, None], hinges.rotations(angles), rotations), translation, angles)


def feature_and_change(
    pose: Pose, parent_world: Tensor, hinges: ConstrainedJoints | None, kind: PoseFeature
) -> tuple[Tensor, Tensor]:
    """Pose feature of every joint (T, J, F) and its change with the joint's unknowns (T, J, F, 3).

    A turn d from the left changes a matrix R by skew(d)·R, and a quaternion (v, w) by ½(w·d + d×v, −d·v), of which
    the feature is (x, y, z, w−1).
    """
    if kind is PoseFeature.MATRIX:
        unknowns = unknowns_in_world(pose, parent_world, hinges)
        in_parent = parent_world.mT if unknowns is None else parent_world.mT @ unknowns
        turns = skew(in_parent.mT) @ pose.rotations[:, :, None]  # (T, J, 3 unknowns, 3, 3)
        return matrix_feature(pose.rotations), turns.flatten(-2).mT
    feature = quaternion_feature(matrix_to_axis_angle(pose.rotations))
    v, w = feature[..., :3], feature[..., 3:] + 1
    eye = torch.eye(3, dtype=v.dtype, device=v.device)
    change = 0.5 * torch.cat([w[..., None] * eye - skew(v), -v[..., None, :]], dim=-2) @ parent_world.mT
    if hinges is not None and pose.angles is not None:
        hinge_feature, hinge_change = hinges.feature_and_change(pose.angles)
        feature = torch.where(hinges.hinged[:, None], hinge_feature, feature)
        change = torch.where(hinges.hinged[:, None, None], hinge_change, change)
    return feature, change


def pose_numbers(body: Body, pose: Pose, hinges: ConstrainedJoints | None) -> Tensor:
    """(T, P) the body's own pose numbers: axis-angle joint by joint, or a hinge tree's; the other joints at rest."""
    T, J = pose.rotations.shape[:2]
    vectors = matrix_to_axis_angle(pose.rotations)
    numbers = vectors.new_zeros(T, body.num_pose)
    if body.hinges is None or hinges is None or pose.angles is None:
        numbers[:, : 3 * J] = vectors.flatten(1)
        return numbers
    joint_of = body.hinges.pose_joint.tolist()
    for rows in body.hinges.spherical.tolist():
        if joint_of[rows[0]] < J:
            numbers[:, rows] = vectors[:, joint_of[rows[0]]]
    for slot, has in enumerate((hinges.hinged, hinges.double)):
        joints = has.nonzero()[:, 0]
        numbers[:, hinges.number[joints, slot]] = pose.angles[:, joints, slot]
    return numbers
