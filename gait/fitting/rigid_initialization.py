"""A first guess: the body standing naturally, moved and turned as a whole onto the markers of each frame."""

from __future__ import annotations

import torch
from torch import Tensor

from gait.body.skeleton import Joint
from gait.fitting.joint_parametrization import Pose, resting_pose
from gait.fitting.marker_kinematics import SubjectModel, marker_motion
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

FEWEST_IN_A_FRAME = 4
"""A frame with fewer markers fixes no body."""


def trunk_trust(wearer: SubjectModel) -> Tensor:
    """(M,) how far a marker tells where the whole body is: 1 on the trunk, little on limbs that swing."""
    skin = wearer.skin
    on_trunk = torch.isin(skin.carriers, torch.tensor([int(j) for j in _TRUNK], device=skin.carriers.device))
    share = (skin.carrier_weight * on_trunk).sum(dim=1)
    return 0.03 + 0.97 * share


def rigid_start(wearer: SubjectModel, natural: Tensor, observation: ObservedMarkers) -> tuple[Pose, Tensor, Tensor]:
    """Move the naturally standing body onto each frame's markers (Kabsch 1976; scale after Umeyama 1991, eq. 42).

    Args:
        wearer: whose markers they are.
        natural: (J, 3, 3) natural rotation of each joint.
        observation: T frames.

    Returns:
        The poses; (T,) observed size over the body's size; (T,) whether the frame's markers fix a rigid body.
    """
    T = len(observation.markers)
    pose = resting_pose(natural, wearer.skin.hinges, T)
    still = marker_motion(wearer, pose[:1])
    source = still.markers.expand(T, -1, -1)
    weight = (trunk_trust(wearer)[None] * observation.seen)[..., None]
    total = weight.sum(dim=1, keepdim=True).clamp_min(1e-12)
    mid_source = (source * weight).sum(dim=1, keepdim=True) / total
    mid_target = (observation.markers * weight).sum(dim=1, keepdim=True) / total
    a, b = source - mid_source, observation.markers - mid_target
    U, S, Vh = torch.linalg.svd((b * weight).mT @ a)  # b ≈ R·a
    sign = torch.ones_like(S)
    sign[:, 2] = torch.det(U @ Vh)
    R = U @ (sign[..., None] * Vh)
    size = (S * sign).sum(dim=1) / (weight * a * a).sum((1, 2)).clamp_min(1e-12)
    fixed = (observation.seen.sum(dim=1) >= FEWEST_IN_A_FRAME) & (S[:, 1] > 1e-3 * S[:, 0].clamp_min(1e-9))
    pelvis = still.joints[:, 0]  # the root turns about its own rest position
    rotations = pose.rotations
    rotations[:, 0] = R @ rotations[:, 0]
    translation = (mid_target[:, 0] + (R @ (pelvis - mid_source[:, 0])[..., None])[..., 0]) - wearer.joint[0]
    return Pose(rotations, translation, pose.angles), size, fixed
