"""Parametrization of the joints: free joints by a rotation vector, hinge joints by their angles.

Every joint has three parameters. Those of a free joint are a small rotation vector in world axes; those of a hinge
joint are the angles of its one or two hinges, and its remaining parameters have no effect. So the rest of the solver is
the same for both.

The poses of a trial have three forms: ``Pose`` (rotation matrices, for the fit), ``QuaternionPose`` (for the solver)
and ``gait.body.pose_sequence.PoseSequence`` (the pose parameters of the body model, for files and everything after the
fit).
"""

from __future__ import annotations

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
from gait.fitting.per_frame import PerFrame

MAX_STEP_RAD = 0.6
"""Largest rotation of a joint in one iteration; the linear model does not hold for larger ones."""


@dataclass(frozen=True, eq=False)
class ConstrainedJoints:
    """Hinges among the J joints of the fit (``gait.body.constrained_tree``)."""

    hinged: Tensor  # (J,) bool: the joint has one or two hinges
    double: Tensor  # (J,) bool: it has two
    first_axis: Tensor  # (J, 3) unit axis of the first hinge; zero for free joints
    second_axis: Tensor  # (J, 3) unit axis of the second hinge
    pose_index: Tensor  # (J, 2) index of each hinge among the pose parameters of the body

    def to(self, dtype: torch.dtype) -> ConstrainedJoints:
        """Return the joints in another floating-point type."""
        return replace(self, first_axis=self.first_axis.to(dtype), second_axis=self.second_axis.to(dtype))

    def rotations(self, angles: Tensor) -> Tensor:
        """Return rotations (T, J, 3, 3) of angles (T, J, 2): Rodrigues(u₁, a₁)ᵀ·Rodrigues(u₂, a₂)ᵀ."""
        a, b = (angles[..., k : k + 1] * axis for k, axis in enumerate((self.first_axis, self.second_axis)))
        return axis_angle_to_matrix(-a) @ axis_angle_to_matrix(-b)

    def axes(self, angles: Tensor) -> Tensor:
        """Return the rotation axis of each parameter in the axes of the parent joint: (T, J, 3, 3), one per column."""
        first = axis_angle_to_matrix(-angles[..., :1] * self.first_axis)
        second = -(first @ self.second_axis[..., None])[..., 0]
        return torch.stack([-self.first_axis.expand_as(second), second, torch.zeros_like(second)], dim=-1)

    def pose_feature_and_jacobian(self, angles: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pose feature (T, J, 4) and its derivative (T, J, 4, 3); the feature of a double hinge is f₂·f₁."""
        half = angles / 2
        f = [
            torch.cat([half[..., k : k + 1].sin() * axis, half[..., k : k + 1].cos() - 1], dim=-1)
            for k, axis in enumerate((self.first_axis, self.second_axis))
        ]
        df = [
            0.5 * torch.cat([half[..., k : k + 1].cos() * axis, -half[..., k : k + 1].sin()], dim=-1)
            for k, axis in enumerate((self.first_axis, self.second_axis))
        ]
        double = self.double[:, None]
        feature = torch.where(double, hamilton_product(f[1], f[0]), f[0])
        by_first = torch.where(double, hamilton_product(f[1], df[0]), df[0])
        by_second = torch.where(double, hamilton_product(df[1], f[0]), torch.zeros_like(df[1]))
        return feature, torch.stack([by_first, by_second, torch.zeros_like(by_first)], dim=-1)


def constrained_joints(body: Body, num_joints: int, dtype: torch.dtype) -> ConstrainedJoints | None:
    """Return the hinges of the first ``num_joints`` joints of a body; None for a body without a constrained tree."""
    if body.constrained_tree is None:
        return None
    pose_index = torch.zeros(num_joints, 2, dtype=torch.long)
    axes = torch.zeros(num_joints, 2, 3, dtype=dtype)
    has_hinge = torch.zeros(num_joints, 2, dtype=torch.bool)
    slot = {
        int(PoseParameterRole.HINGE): 0,
        int(PoseParameterRole.FIRST_HINGE): 0,
        int(PoseParameterRole.SECOND_HINGE): 1,
    }
    for index, (joint, role) in enumerate(
        zip(body.constrained_tree.pose_joint.tolist(), body.constrained_tree.pose_role.tolist(), strict=True)
    ):
        if 0 <= joint < num_joints and role in slot:
            pose_index[joint, slot[role]] = index
            axes[joint, slot[role]] = body.constrained_tree.pose_axis[index].to(dtype).cpu()
            has_hinge[joint, slot[role]] = True
    moved = (t.to(body.device) for t in (has_hinge[:, 0], has_hinge[:, 1], axes[:, 0], axes[:, 1], pose_index))
    return ConstrainedJoints(*moved)


@dataclass(frozen=True)
class Pose(PerFrame):
    """Poses of T frames as rotation matrices."""

    rotations: Tensor  # (T, J, 3, 3) each joint relative to its parent
    translation: Tensor  # (T, 3) of the root, metres
    angles: Tensor | None = None  # (T, J, 2) angles of hinge joints, radians; None for a free tree

    @property
    def num_frames(self) -> int:
        """Number of frames T."""
        return len(self.rotations)


def neutral_pose(rotations: Tensor, hinges: ConstrainedJoints | None, frames: int) -> Pose:
    """Repeat one pose (J, 3, 3) for a number of frames, without translation and with all hinge angles zero."""
    still = rotations.new_zeros(frames, 3)
    rotations = rotations.expand(frames, -1, -1, -1).clone()
    if hinges is None:
        return Pose(rotations, still)
    rotations[:, hinges.hinged] = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    return Pose(rotations, still, rotations.new_zeros(frames, rotations.shape[1], 2))


def parameter_axes_world(pose: Pose, parent_world: Tensor, hinges: ConstrainedJoints | None) -> Tensor | None:
    """Return the rotation axis of each parameter in world axes (T, J, 3, 3), one per column; None: the world axes."""
    if hinges is None or pose.angles is None:
        return None
    free = torch.eye(3, dtype=parent_world.dtype, device=parent_world.device)
    return torch.where(hinges.hinged[:, None, None], parent_world @ hinges.axes(pose.angles), free)


def apply_step(pose: Pose, parent_world: Tensor, step: Tensor, hinges: ConstrainedJoints | None) -> Pose:
    """Rotate every joint and translate the body by a step (T, 3·J + 3): radians of the joints, then metres.

    ``parent_world`` (T, J, 3, 3) is the world rotation of each joint's parent (identity for the root).
    """
    J = pose.rotations.shape[1]
    turn = step[:, : 3 * J].unflatten(-1, (J, 3))
    turn = turn * (MAX_STEP_RAD / turn.norm(dim=-1, keepdim=True).clamp_min(1e-12)).clamp(max=1.0)
    local = (parent_world.mT @ turn[..., None])[..., 0]
    rotations = axis_angle_to_matrix(local) @ pose.rotations
    translation = pose.translation + step[:, 3 * J :]
    if hinges is None or pose.angles is None:
        return Pose(rotations, translation)
    angles = pose.angles + torch.where(hinges.hinged[:, None], turn[..., :2], torch.zeros_like(turn[..., :2]))
    return Pose(torch.where(hinges.hinged[:, None, None], hinges.rotations(angles), rotations), translation, angles)


def pose_feature_and_jacobian(
    pose: Pose, parent_world: Tensor, hinges: ConstrainedJoints | None, kind: PoseFeature
) -> tuple[Tensor, Tensor]:
    """Return the pose feature of every joint (T, J, F) and its derivative in the joint's parameters (T, J, F, 3).

    A small rotation d from the left changes a matrix R by skew(d)·R, and a quaternion (v, w), whose feature is
    (x, y, z, w−1), by ½(w·d + d×v, −d·v).
    """
    if kind is PoseFeature.MATRIX:
        axes = parameter_axes_world(pose, parent_world, hinges)
        in_parent = parent_world.mT if axes is None else parent_world.mT @ axes
        change = skew(in_parent.mT) @ pose.rotations[:, :, None]  # (T, J, 3 parameters, 3, 3)
        return matrix_feature(pose.rotations), change.flatten(-2).mT
    feature = quaternion_feature(matrix_to_axis_angle(pose.rotations))
    v, w = feature[..., :3], feature[..., 3:] + 1
    eye = torch.eye(3, dtype=v.dtype, device=v.device)
    change = 0.5 * torch.cat([w[..., None] * eye - skew(v), -v[..., None, :]], dim=-2) @ parent_world.mT
    if hinges is not None and pose.angles is not None:
        hinge_feature, hinge_change = hinges.pose_feature_and_jacobian(pose.angles)
        feature = torch.where(hinges.hinged[:, None], hinge_feature, feature)
        change = torch.where(hinges.hinged[:, None, None], hinge_change, change)
    return feature, change


def to_model_pose(body: Body, pose: Pose, hinges: ConstrainedJoints | None) -> Tensor:
    """Return the pose parameters (T, P) of the body model, radians; joints that are not fitted stay at rest."""
    T, J = pose.rotations.shape[:2]
    vectors = matrix_to_axis_angle(pose.rotations)
    parameters = vectors.new_zeros(T, body.num_pose)
    if body.constrained_tree is None or hinges is None or pose.angles is None:
        parameters[:, : 3 * J] = vectors.flatten(1)
        return parameters
    joint_of = body.constrained_tree.pose_joint.tolist()
    for rows in body.constrained_tree.spherical.tolist():
        if joint_of[rows[0]] < J:
            parameters[:, rows] = vectors[:, joint_of[rows[0]]]
    for slot, has in enumerate((hinges.hinged, hinges.double)):
        joints = has.nonzero()[:, 0]
        parameters[:, hinges.pose_index[joints, slot]] = pose.angles[:, joints, slot]
    return parameters
