"""Pose prior centred on the posture of the subject in one trial.

The mean posture of a subject differs from the mean of the pose prior: a subject who stoops or crouches does so in every
frame. So frames are not independent samples of the prior, but samples around a posture that was itself sampled once.
With the same variance for both, the most likely posture is n/(n + 1) of the rotation from the prior mean to the mean of
n frames (Gelman et al. 2013, Bayesian Data Analysis, chapter 5).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from gait.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle, mean_rotation
from gait.fitting.objective_terms import JointPrior


def recentre_prior(prior: JointPrior, rotations: Tensor) -> JointPrior:
    """Return the prior with its mean moved towards the posture of N frames (N, J, 3, 3); the root keeps its mean."""
    N = len(rotations)
    rotation_vector = matrix_to_axis_angle(mean_rotation(rotations) @ prior.mean.mT)
    mean = axis_angle_to_matrix(N / (N + 1) * rotation_vector) @ prior.mean
    mean[0] = prior.mean[0]
    return replace(prior, mean=mean)
