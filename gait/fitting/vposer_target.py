"""What a learned prior (VPoser) makes of a pose: the natural pose nearest to it, as something to lean on."""

from __future__ import annotations

import torch

from gait.body.rotations import matrix_to_axis_angle
from gait.body.vposer import VPoser
from gait.fitting.joint_parametrization import Pose
from gait.fitting.objective_terms import SoftPoseTarget
from gait.fitting.residual_scales import ResidualScales


def learned_pose(vposer: VPoser, pose: Pose, weights: ResidualScales) -> SoftPoseTarget:
    """Poses of T frames, encoded and decoded again (mean code), for the body joints; root and place stay free.

    An autoencoder trained on natural poses returns the likelier pose nearby (Pavlakos et al. 2019, CVPR, sec. 3.3,
    penalise the code itself; leaning on the reconstruction keeps the solver's unknowns and its second order).
    """
    T, J = pose.rotations.shape[:2]
    code, _ = vposer.encode(matrix_to_axis_angle(pose.rotations[:, 1:J]).flatten(1))
    rotations = pose.rotations.clone()
    rotations[:, 1:J] = vposer.decode(code).matrix[:, : J - 1]
    precision = torch.full((T, J), 1 / weights.learned_rad**2, dtype=rotations.dtype, device=rotations.device)
    precision[:, 0] = 0
    return SoftPoseTarget(rotations, pose.translation, precision, torch.zeros_like(pose.translation[:, 0]))
