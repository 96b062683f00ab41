"""Where the virtual markers are, and how they move when a joint turns: one evaluation of the fit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gait.body.rotations import PoseFeature
from gait.fitting.joint_parametrization import Pose, feature_and_change, unknowns_in_world
from gait.fitting.reduced_body import ReducedBody


@dataclass(frozen=True)
class SubjectModel:
    """One person's body under the markers: the skin of a body model with a shape and the markers' offsets."""

    skin: ReducedBody
    betas: Tensor  # (B,)
    offset: Tensor  # (M, 3) placement offset in rest axes, metres; or (T, M, 3), frame by frame

    @property
    def joint(self) -> Tensor:
        """(J, 3) rest joints, metres."""
        return self.skin.joint + self.skin.joint_shape @ self.betas

    @property
    def point(self) -> Tensor:
        """(M, 3) or (T, M, 3) rest markers, metres, without pose-corrective blend shapes."""
        return self.skin.point + self.skin.point_shape @ self.betas + self.offset


@dataclass(frozen=True)
class MarkerKinematics:
    """Markers of T frames and the pieces that their derivatives are made of."""

    markers: Tensor  # (T, M, 3) virtual markers, metres
    joints: Tensor  # (T, J, 3) posed joints, metres
    world: Tensor  # (T, J, 3, 3) world rotation of each joint
    parent_world: Tensor  # (T, J, 3, 3) world rotation of each joint's parent
    carried: Tensor  # (T, M, K, 3) each carrier's share of the marker
    mixed: Tensor  # (T, M, 3, 3) skinning-weighted world rotation at each marker
    point: Tensor  # (T or 1, M, 3) rest markers with pose-corrective blend shapes
    unknowns: Tensor | None  # (T, J, 3, 3) world rotation vector of each joint's unknowns; None: the world's axes
    feature_change: Tensor | None  # (T, J, F, 3) change of each joint's pose feature with its unknowns


def marker_motion(wearer: SubjectModel, pose: Pose) -> MarkerKinematics:
    """Pose a wearer: linear blend skinning (``formats.md``, step 4) of the markers alone."""
    skin = wearer.skin
    T, J = pose.rotations.shape[:2]
    rest = wearer.joint
    parent = skin.parent_index
    world = torch.empty_like(pose.rotations)
    joints = rest.new_empty(T, J, 3)
    world[:, 0] = pose.rotations[:, 0]
    joints[:, 0] = rest[0] + pose.translation
    bone = rest - rest[parent]
    for level in skin.levels:
        above = parent[level]
        world[:, level] = world[:, above] @ pose.rotations[:, level]
        joints[:, level] = joints[:, above] + (world[:, above] @ bone[level, :, None])[..., 0]
    parent_world = world[:, parent].clone()
    parent_world[:, 0] = torch.eye(3, dtype=world.dtype, device=world.device)
    point = wearer.point if wearer.offset.ndim == 3 else wearer.point[None]
    change = None
    if skin.point_pose is not None:
        kind = PoseFeature(skin.point_pose.shape[-1])
        feature, change = feature_and_change(pose, parent_world, skin.hinges, kind)
        point = point + torch.einsum("mcjq,tjq->tmc", skin.point_pose, feature)
    place = joints - (world @ rest[:, :, None])[..., 0]  # (T, J, 3): y = world·x + place
    carrier = skin.carriers
    weight = skin.carrier_weight
    weighted_world = world[:, carrier] * weight[..., None, None]  # (T, M, K, 3, 3)
    carried = (weighted_world @ point[:, :, None, :, None])[..., 0] + place[:, carrier] * weight[..., None]
    return MarkerKinematics(
        markers=carried.sum(dim=2),
        joints=joints,
        world=world,
        parent_world=parent_world,
        carried=carried,
        mixed=weighted_world.sum(dim=2),
        point=point,
        unknowns=unknowns_in_world(pose, parent_world, skin.hinges),
        feature_change=change,
    )


def pose_jacobian(wearer: SubjectModel, motion: MarkerKinematics) -> Tensor:
    """Change of every marker with every unknown of the pose.

    A joint that turns by a world vector d moves a point y that it carries by d × (y − joint); a marker moves by the
    skinning-weighted mean of that over its carriers below the joint.

    Returns:
        (T, 3·M, 3·J + 3): markers xyz by xyz; the joints' unknowns (``joint_turning``), then the shift.
    """
    skin = wearer.skin
    T, M = motion.markers.shape[:2]
    J = skin.num_joints
    arm = torch.einsum("mjk,tmkc->tmjc", skin.moves, motion.carried)
    share = torch.einsum("mjk,mk->mj", skin.moves, skin.carrier_weight)
    arm = arm - share[None, :, :, None] * motion.joints[:, None]
    turn = _turned_by(arm, motion.unknowns)
    if skin.point_pose is not None and motion.feature_change is not None:
        bulge = torch.einsum("mcjq,tjqd->tmcjd", skin.point_pose, motion.feature_change)
        turn = turn + torch.einsum("tmac,tmcjd->tmajd", motion.mixed, bulge)
    shift = torch.eye(3, dtype=arm.dtype, device=arm.device).repeat(M, 1).expand(T, 3 * M, 3)
    return torch.cat([turn.reshape(T, 3 * M, 3 * J), shift], dim=-1)


def shape_jacobian(wearer: SubjectModel, motion: MarkerKinematics) -> Tensor:
    """Change of every marker with the shape: (T, M, 3, B) metres a unit of each coefficient."""
    skin = wearer.skin
    place = joint_shape_jacobian(wearer, motion) - motion.world @ skin.joint_shape  # (T, J, 3, B)
    return motion.mixed @ skin.point_shape + torch.einsum("mj,tjcb->tmcb", skin.skinning_weights, place)


def joint_shape_jacobian(wearer: SubjectModel, motion: MarkerKinematics) -> Tensor:
    """Change of every joint with the shape: (T, J, 3, B) metres a unit of each coefficient."""
    skin = wearer.skin
    moved = motion.world.new_empty(len(motion.joints), skin.num_joints, 3, skin.num_betas)
    moved[:, 0] = skin.joint_shape[0]
    for level in skin.levels:
        above = skin.parent_index[level]
        moved[:, level] = moved[:, above] + motion.world[:, above] @ (skin.joint_shape[level] - skin.joint_shape[above])
    return moved


def joint_pose_jacobian(wearer: SubjectModel, motion: MarkerKinematics) -> Tensor:
    """Change of every joint with every unknown of the pose: (T, 3·J, 3·J + 3), as ``pose_jacobian`` has it.

    A joint is moved by those above it; its own turn leaves it where it is.
    """
    T, J = motion.joints.shape[:2]
    above = torch.zeros(J, J, dtype=motion.joints.dtype)
    for j, k in enumerate(wearer.skin.parents):
        while k >= 0:
            above[j, k] = 1.0
            k = wearer.skin.parents[k]
    arm = (motion.joints[:, :, None] - motion.joints[:, None]) * above.to(motion.joints.device)[..., None]
    turn = _turned_by(arm, motion.unknowns)
    shift = torch.eye(3, dtype=arm.dtype, device=arm.device).repeat(J, 1).expand(T, 3 * J, 3)
    return torch.cat([turn.reshape(T, 3 * J, 3 * J), shift], dim=-1)


def _turned_by(arm: Tensor, unknowns: Tensor | None) -> Tensor:
    """(T, P, 3, J, 3) how points (of T frames, P a frame) move with each joint's unknowns: d × arm of (T, P, J, 3)."""
    T, P, J = arm.shape[:3]
    turn = arm.new_zeros(T, P, 3, J, 3)
    turn[:, :, 0, :, 1], turn[:, :, 0, :, 2] = arm[..., 2], -arm[..., 1]
    turn[:, :, 1, :, 0], turn[:, :, 1, :, 2] = -arm[..., 2], arm[..., 0]
    turn[:, :, 2, :, 0], turn[:, :, 2, :, 1] = arm[..., 1], -arm[..., 0]
    return turn if unknowns is None else torch.einsum("tmcjw,tjwd->tmcjd", turn, unknowns)
