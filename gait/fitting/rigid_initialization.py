"""Initial poses: the body in the mean pose of the prior, rigidly aligned to the markers of each frame."""

from __future__ import annotations

import torch
from torch import Tensor

from gait.body.skeleton import Joint
from gait.fitting.joint_parametrization import Pose, neutral_pose
from gait.fitting.marker_kinematics import SubjectModel, compute_marker_kinematics
from gait.fitting.solver.frame_data import ObservedMarkers

_TRUNK = (
    Joint.PELVIS,
    Joint.SPINE1,
    Joint.SPINE2,
    Joint.SPINE3,
    Joint.NECK,
    Joint.LEFT_COLLAR,
    Joint.RIGHT_COLLAR,
)

MIN_MARKERS_PER_FRAME = 4
"""A frame with fewer visible markers does not determine a rigid alignment."""


def trunk_marker_weights(subject: SubjectModel) -> Tensor:
    """Return the weight (M,) of each marker in the rigid alignment: 1 on the trunk, 0.03 on limbs, which swing."""
    reduced_body = subject.reduced_body
    on_trunk = torch.isin(
        reduced_body.skin_joints, torch.tensor([int(j) for j in _TRUNK], device=reduced_body.skin_joints.device)
    )
    trunk_fraction = (reduced_body.skin_joint_weights * on_trunk).sum(dim=1)
    return 0.03 + 0.97 * trunk_fraction


def align_rigidly(
    subject: SubjectModel, mean_rotations: Tensor, observation: ObservedMarkers
) -> tuple[Pose, Tensor, Tensor]:
    """Align the body in its mean pose to the markers of each frame (Kabsch 1976; scale after Umeyama 1991, eq. 42).

    ``mean_rotations`` (J, 3, 3) are those of the joints in the mean pose.

    Returns:
        The poses; the observed size relative to the body (T,); whether the markers determine the alignment (T,) bool.
    """
    T = len(observation.markers)
    pose = neutral_pose(mean_rotations, subject.reduced_body.hinges, T)
    neutral = compute_marker_kinematics(subject, pose[:1])
    source = neutral.markers.expand(T, -1, -1)
    weight = (trunk_marker_weights(subject)[None] * observation.visible)[..., None]
    total = weight.sum(dim=1, keepdim=True).clamp_min(1e-12)
    mid_source = (source * weight).sum(dim=1, keepdim=True) / total
    mid_target = (observation.markers * weight).sum(dim=1, keepdim=True) / total
    a, b = source - mid_source, observation.markers - mid_target
    U, S, Vh = torch.linalg.svd((b * weight).mT @ a)  # b ≈ R·a
    sign = torch.ones_like(S)
    sign[:, 2] = torch.det(U @ Vh)
    R = U @ (sign[..., None] * Vh)
    size = (S * sign).sum(dim=1) / (weight * a * a).sum((1, 2)).clamp_min(1e-12)
    determined = (observation.visible.sum(dim=1) >= MIN_MARKERS_PER_FRAME) & (S[:, 1] > 1e-3 * S[:, 0].clamp_min(1e-9))
    pelvis = neutral.joints[:, 0]  # the root rotates about its own rest position
    rotations = pose.rotations
    rotations[:, 0] = R @ rotations[:, 0]
    translation = (mid_target[:, 0] + (R @ (pelvis - mid_source[:, 0])[..., None])[..., 0]) - subject.rest_joints[0]
    return Pose(rotations, translation, pose.angles), size, determined
