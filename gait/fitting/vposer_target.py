"""Soft pose targets from VPoser, a learned pose prior: the plausible pose closest to a given one."""

from __future__ import annotations

import torch

from gait.body.rotations import matrix_to_axis_angle
from gait.body.vposer import VPoser
from gait.fitting.joint_parametrization import Pose
from gait.fitting.objective_terms import SoftPoseTarget
from gait.fitting.residual_scales import ResidualScales


def vposer_pose_target(vposer: VPoser, pose: Pose, scales: ResidualScales) -> SoftPoseTarget:
    """Encode poses of T frames (mean code) and decode them again, as targets for the joints other than the root.

    An autoencoder trained on natural poses returns a more plausible pose nearby. Pavlakos et al. 2019 (CVPR, sec. 3.3)
    penalise the code instead; a target for the rotations keeps the parameters and the second order of this solver.
    """
    T, J = pose.rotations.shape[:2]
    code, _ = vposer.encode(matrix_to_axis_angle(pose.rotations[:, 1:J]).flatten(1))
    rotations = pose.rotations.clone()
    rotations[:, 1:J] = vposer.decode(code).matrix[:, : J - 1]
    precision = torch.full((T, J), 1 / scales.learned_rad**2, dtype=rotations.dtype, device=rotations.device)
    precision[:, 0] = 0
    return SoftPoseTarget(rotations, pose.translation, precision, torch.zeros_like(pose.translation[:, 0]))
