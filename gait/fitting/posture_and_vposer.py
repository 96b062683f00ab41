"""Pose priors beside the markers: the posture of the subject, and a learned pose prior (VPoser).

The mean posture of a subject differs from the mean of the pose prior: a subject who stoops or crouches does so in every
frame. So frames are not independent samples of the prior, but samples around a posture that was itself sampled once.
With the same variance for both, the most likely posture is n/(n + 1) of the rotation from the prior mean to the mean of
n frames (Gelman et al. 2013, Bayesian Data Analysis, chapter 5).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gait.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle, mean_rotation
from gait.body.vposer import VPoser
from gait.fitting.joint_parametrization import Pose
from gait.fitting.objective_terms import JointPrior, SoftPoseTarget
from gait.fitting.residual_scales import ResidualScales


def recentre_prior(prior: JointPrior, rotations: Tensor) -> JointPrior:
    """Return the prior with its mean moved towards the posture of N frames (N, J, 3, 3); the root keeps its mean."""
    N = len(rotations)
    rotation_vector = matrix_to_axis_angle(mean_rotation(rotations) @ prior.mean.mT)
    mean = axis_angle_to_matrix(N / (N + 1) * rotation_vector) @ prior.mean
    mean[0] = prior.mean[0]
    return replace(prior, mean=mean)


def vposer_pose_target(vposer: VPoser, pose: Pose, scales: ResidualScales) -> SoftPoseTarget:
    """Encode poses of T frames (mean code) and decode them again, as targets for the joints other than the root.

    An autoencoder trained on natural poses returns a more plausible pose nearby. Pavlakos et al. 2019 (CVPR, sec. 3.3)
    penalize the code instead; a target for the rotations keeps the parameters and the second order of this solver.
    """
    T, J = pose.rotations.shape[:2]
    code, _ = vposer.encode(matrix_to_axis_angle(pose.rotations[:, 1:J]).flatten(1))
    rotations = pose.rotations.clone()
    rotations[:, 1:J] = vposer.decode(code)[:, : J - 1]
    precision = torch.full((T, J), 1 / scales.learned_rad**2, dtype=rotations.dtype, device=rotations.device)
    precision[:, 0] = 0
    return SoftPoseTarget(rotations, pose.translation, precision, torch.zeros_like(pose.translation[:, 0]))
