"""Forward kinematics of the virtual markers, and their derivatives with respect to pose and shape."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gait.body.rotations import PoseFeature
from gait.fitting.joint_parametrization import Pose, parameter_axes_world, pose_feature_and_jacobian
from gait.fitting.per_frame import PerFrame
from gait.fitting.reduced_body import ReducedBody, descendant_matrix


@dataclass(frozen=True)
class SubjectModel:
    """The body of one subject: a reduced body model with a shape and marker offsets."""

    reduced_body: ReducedBody
    betas: Tensor  # (B,)
    offset: Tensor  # (M, 3) offset of each marker from the layout in rest axes, metres; or (T, M, 3) per frame

    @staticmethod
    def mean(reduced_body: ReducedBody) -> SubjectModel:
        """Return the mean body, with its markers where the layout has them."""
        zeros = reduced_body.marker_template.new_zeros
        return SubjectModel(reduced_body, zeros(reduced_body.num_betas), zeros(reduced_body.num_markers, 3))

    @property
    def rest_joints(self) -> Tensor:
        """Joints at rest (J, 3), metres."""
        return self.reduced_body.joint_template + self.reduced_body.joint_shapedirs @ self.betas

    @property
    def rest_markers(self) -> Tensor:
        """Markers at rest (M, 3) or (T, M, 3), metres, without pose-corrective blend shapes."""
        return self.reduced_body.marker_template + self.reduced_body.marker_shapedirs @ self.betas + self.offset


@dataclass(frozen=True)
class MarkerKinematics(PerFrame):
    """Virtual markers and joints of T frames, and the quantities from which their derivatives are computed."""

    markers: Tensor  # (T, M, 3) virtual markers, metres
    joints: Tensor  # (T, J, 3) posed joints, metres
    world: Tensor  # (T, J, 3, 3) world rotation of each joint
    parent_world: Tensor  # (T, J, 3, 3) world rotation of each joint's parent
    contributions: Tensor  # (T, M, K, 3) weighted contribution of each skin joint to the marker position
    blended_rotations: Tensor  # (T, M, 3, 3) skinning-weighted world rotation at each marker
    rest_markers: Tensor  # (T or 1, M, 3) with pose-corrective blend shapes
    parameter_axes: Tensor | None  # (T, J, 3, 3) rotation axis of each pose parameter; None: the world axes
    feature_jacobian: Tensor | None  # (T, J, F, 3) derivative of each joint's pose feature


def compute_marker_kinematics(subject: SubjectModel, pose: Pose) -> MarkerKinematics:
    """Compute the virtual markers of a subject at T poses by linear blend skinning of the markers alone."""
    reduced_body = subject.reduced_body
    T, J = pose.rotations.shape[:2]
    rest = subject.rest_joints
    parent = reduced_body.parent_index
    world = torch.empty_like(pose.rotations)
    joints = rest.new_empty(T, J, 3)
    world[:, 0] = pose.rotations[:, 0]
    joints[:, 0] = rest[0] + pose.translation
    bone = rest - rest[parent]
    for level in reduced_body.levels:
        above = parent[level]
        world[:, level] = world[:, above] @ pose.rotations[:, level]
        joints[:, level] = joints[:, above] + (world[:, above] @ bone[level, :, None])[..., 0]
    parent_world = world[:, parent].clone()
    parent_world[:, 0] = torch.eye(3, dtype=world.dtype, device=world.device)
    rest_markers = subject.rest_markers if subject.offset.ndim == 3 else subject.rest_markers[None]
    feature_jacobian = None
    if reduced_body.marker_posedirs is not None:
        kind = PoseFeature(reduced_body.marker_posedirs.shape[-1])
        feature, feature_jacobian = pose_feature_and_jacobian(pose, parent_world, reduced_body.hinges, kind)
        rest_markers = rest_markers + torch.einsum("mcjq,tjq->tmc", reduced_body.marker_posedirs, feature)
    shift = joints - (world @ rest[:, :, None])[..., 0]  # (T, J, 3): y = world·x + shift
    skin_joints = reduced_body.skin_joints
    weight = reduced_body.skin_joint_weights
    weighted_world = world[:, skin_joints] * weight[..., None, None]  # (T, M, K, 3, 3)
    contributions = (weighted_world @ rest_markers[:, :, None, :, None])[..., 0]
    contributions = contributions + shift[:, skin_joints] * weight[..., None]
    return MarkerKinematics(
        markers=contributions.sum(dim=2),
        joints=joints,
        world=world,
        parent_world=parent_world,
        contributions=contributions,
        blended_rotations=weighted_world.sum(dim=2),
        rest_markers=rest_markers,
        parameter_axes=parameter_axes_world(pose, parent_world, reduced_body.hinges),
        feature_jacobian=feature_jacobian,
    )


def pose_jacobian(subject: SubjectModel, kinematics: MarkerKinematics) -> Tensor:
    """Return the derivative of every marker with respect to the pose parameters.

    A joint that rotates by a small vector d in world axes moves a point y attached to it by d × (y − joint). A marker
    moves by the skinning-weighted mean of this over its skin joints that descend from the joint.

    Returns:
        (T, 3·M, 3·J + 3): rows are the markers' x, y, z; columns are the parameters of the joints
        (``joint_parametrization``), then the translation.
    """
    reduced_body = subject.reduced_body
    T, M = kinematics.markers.shape[:2]
    J = reduced_body.num_joints
    lever_arm = torch.einsum("mjk,tmkc->tmjc", reduced_body.is_descendant, kinematics.contributions)
    weight = torch.einsum("mjk,mk->mj", reduced_body.is_descendant, reduced_body.skin_joint_weights)
    lever_arm = lever_arm - weight[None, :, :, None] * kinematics.joints[:, None]
    by_rotation = _rotation_jacobian(lever_arm, kinematics.parameter_axes)
    if reduced_body.marker_posedirs is not None and kinematics.feature_jacobian is not None:
        blendshapes = torch.einsum("mcjq,tjqd->tmcjd", reduced_body.marker_posedirs, kinematics.feature_jacobian)
        by_rotation = by_rotation + torch.einsum("tmac,tmcjd->tmajd", kinematics.blended_rotations, blendshapes)
    by_translation = torch.eye(3, dtype=lever_arm.dtype, device=lever_arm.device).repeat(M, 1).expand(T, 3 * M, 3)
    return torch.cat([by_rotation.reshape(T, 3 * M, 3 * J), by_translation], dim=-1)


def shape_jacobian(subject: SubjectModel, kinematics: MarkerKinematics) -> Tensor:
    """Return the derivative of every marker with respect to the shape: (T, M, 3, B), metres per unit coefficient."""
    reduced_body = subject.reduced_body
    shift = joint_shape_jacobian(subject, kinematics) - kinematics.world @ reduced_body.joint_shapedirs  # (T, J, 3, B)
    by_joints = torch.einsum("mj,tjcb->tmcb", reduced_body.skinning_weights, shift)
    return kinematics.blended_rotations @ reduced_body.marker_shapedirs + by_joints


def joint_shape_jacobian(subject: SubjectModel, kinematics: MarkerKinematics) -> Tensor:
    """Return the derivative of every joint with respect to the shape: (T, J, 3, B), metres per unit coefficient."""
    reduced_body = subject.reduced_body
    jacobian = kinematics.world.new_empty(len(kinematics.joints), reduced_body.num_joints, 3, reduced_body.num_betas)
    jacobian[:, 0] = reduced_body.joint_shapedirs[0]
    for level in reduced_body.levels:
        above = reduced_body.parent_index[level]
        bone = reduced_body.joint_shapedirs[level] - reduced_body.joint_shapedirs[above]
        jacobian[:, level] = jacobian[:, above] + kinematics.world[:, above] @ bone
    return jacobian


def joint_pose_jacobian(subject: SubjectModel, kinematics: MarkerKinematics) -> Tensor:
    """Return the derivative of every joint with respect to the pose parameters: (T, 3·J, 3·J + 3).

    The columns are those of ``pose_jacobian``. A joint is moved by its ancestors, not by its own rotation.
    """
    T, J = kinematics.joints.shape[:2]
    above = descendant_matrix(subject.reduced_body.parents).T.to(kinematics.joints)
    lever_arm = (kinematics.joints[:, :, None] - kinematics.joints[:, None]) * above[..., None]
    by_rotation = _rotation_jacobian(lever_arm, kinematics.parameter_axes)
    by_translation = torch.eye(3, dtype=lever_arm.dtype, device=lever_arm.device).repeat(J, 1).expand(T, 3 * J, 3)
    return torch.cat([by_rotation.reshape(T, 3 * J, 3 * J), by_translation], dim=-1)


def orientation_jacobian(subject: SubjectModel, kinematics: MarkerKinematics) -> Tensor:
    """Return the derivative of every joint's orientation with respect to the pose parameters: (T, 3·J, 3·J + 3).

    The rows are small rotation vectors in the joint's own axes, its axes at rest turned with it. They are those against
    the laboratory, so a joint turns with its ancestors. The columns are those of ``pose_jacobian``.
    """
    T, J = kinematics.joints.shape[:2]
    above = descendant_matrix(subject.reduced_body.parents).T.to(kinematics.joints)
    own = kinematics.world.mT[:, :, None]  # (T, J, 1, 3, 3)
    turns = own.expand(T, J, J, 3, 3) if kinematics.parameter_axes is None else own @ kinematics.parameter_axes[:, None]
    turns = (turns * above[..., None, None]).permute(0, 1, 3, 2, 4).reshape(T, 3 * J, 3 * J)
    return torch.cat([turns, turns.new_zeros(T, 3 * J, 3)], dim=-1)


def _rotation_jacobian(lever_arm: Tensor, parameter_axes: Tensor | None) -> Tensor:
    """Return the derivative d × lever arm (T, P, 3, J, 3) of P points in the joints' parameters.

    Lever arms are (T, P, J, 3), metres; axes (T, J, 3, 3), or None for the world axes.
    """
    T, P, J = lever_arm.shape[:3]
    by_rotation = lever_arm.new_zeros(T, P, 3, J, 3)
    by_rotation[:, :, 0, :, 1], by_rotation[:, :, 0, :, 2] = lever_arm[..., 2], -lever_arm[..., 1]
    by_rotation[:, :, 1, :, 0], by_rotation[:, :, 1, :, 2] = -lever_arm[..., 2], lever_arm[..., 0]
    by_rotation[:, :, 2, :, 0], by_rotation[:, :, 2, :, 1] = lever_arm[..., 1], -lever_arm[..., 0]
    return by_rotation if parameter_axes is None else torch.einsum("tmcjw,tjwd->tmcjd", by_rotation, parameter_axes)
