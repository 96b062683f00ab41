"""How a person stands and walks as a whole: the posture that the poses of one recording vary about.

Nobody's mean posture is the natural one: one stoops, another crouches, and does so in every frame. Frames are therefore
no independent draws from the natural prior; they are draws around a posture that was itself drawn once. With the same
variance for both, the likeliest posture lies n/(n + 1) of the way from the natural one to the mean of n frames (Gelman
et al. 2013, Bayesian Data Analysis, chapter 5).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from gait.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle, mean_rotation
from gait.fitting.objective_terms import JointPrior


def around_own_posture(prior: JointPrior, rotations: Tensor) -> JointPrior:
    """The prior with the posture of some frames (N, J, 3, 3) in the natural one's place; the root stays free."""
    N = len(rotations)
    away = matrix_to_axis_angle(mean_rotation(rotations) @ prior.natural.mT)
    natural = axis_angle_to_matrix(N / (N + 1) * away) @ prior.natural
    natural[0] = prior.natural[0]
    return replace(prior, natural=natural)
