"""The objective and its derivatives at any pose, exact and in double precision, with the whole Jacobian.

What calibration and confidence stand on, and what ``frame_equations``, made for speed, is tested against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gait.fitting.joint_parametrization import Pose
from gait.fitting.marker_kinematics import MarkerKinematics, SubjectModel, marker_motion, pose_jacobian
from gait.fitting.objective_terms import JointPrior, SoftPoseTarget, joint_cost, joint_parts, joint_terms, marker_terms
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers


@dataclass(frozen=True)
class NormalEquations:
    """Objective of T frames with its gradient and Gauss–Newton curvature in the pose's unknowns."""

    cost: Tensor  # (T,)
    gradient: Tensor  # (T, D), D = 3·J + 3
    curvature: Tensor  # (T, D, D)
    known: Tensor  # (T, J + 1, 3, 3) each joint's own part of the curvature, and the place's, from the markers alone
    motion: MarkerKinematics
    weight: Tensor  # (T, M) robust weight of each marker, 1/m²
    residual: Tensor  # (T, M, 3) metres
    jacobian: Tensor  # (T, 3·M, D)


def objective(
    wearer: SubjectModel,
    pose: Pose,
    observation: ObservedMarkers,
    prior: JointPrior,
    weights: ResidualScales,
    leanings: Sequence[SoftPoseTarget] = (),
) -> Tensor:
    """(T,) the objective of ``gait.fitting.objective_terms`` alone, without its derivatives."""
    markers = marker_motion(wearer, pose).markers
    cost, _, _ = marker_terms(markers, observation.markers, observation.seen, weights.marker_m, weights.marker_robust_m)
    return cost + joint_cost(joint_parts(pose, prior, leanings)) + place_cost(pose, leanings)


def place_cost(pose: Pose, leanings: Sequence[SoftPoseTarget]) -> Tensor:
    """(T,) what leanings add for the place of the body."""
    cost = torch.zeros_like(pose.translation[:, 0])
    for leaning in leanings:
        cost = cost + 0.5 * leaning.translation_precision * ((pose.translation - leaning.translation) ** 2).sum(1)
    return cost


def normal_equations(
    wearer: SubjectModel,
    pose: Pose,
    observation: ObservedMarkers,
    prior: JointPrior,
    weights: ResidualScales,
    leanings: Sequence[SoftPoseTarget] = (),
) -> NormalEquations:
    """Evaluate the objective of ``gait.fitting.objective_terms`` and its derivatives at a pose."""
    motion = marker_motion(wearer, pose)
    jacobian = pose_jacobian(wearer, motion)
    cost, residual, weight = marker_terms(
        motion.markers, observation.markers, observation.seen, weights.marker_m, weights.marker_robust_m
    )
    T, M = weight.shape
    weighted = jacobian * weight.repeat_interleave(3, dim=1)[..., None]
    curvature = jacobian.mT @ weighted
    gradient = (weighted.mT @ residual.reshape(T, 3 * M, 1))[..., 0]
    J = pose.rotations.shape[1]
    own = curvature.unflatten(2, (J + 1, 3)).unflatten(1, (J + 1, 3)).diagonal(dim1=1, dim2=3)
    known = own.permute(0, 3, 1, 2).clone()
    terms = joint_terms(pose, motion, prior, leanings)
    gradient[:, : 3 * J] += terms.gradient.reshape(T, 3 * J)
    blocks = curvature[:, : 3 * J, : 3 * J].unflatten(2, (J, 3)).unflatten(1, (J, 3))  # (T, J, 3, J, 3)
    blocks.diagonal(dim1=1, dim2=3).add_(terms.curvature.permute(0, 2, 3, 1))
    for leaning in leanings:
        gradient[:, 3 * J :] += leaning.translation_precision[:, None] * (pose.translation - leaning.translation)
        curvature.diagonal(dim1=1, dim2=2)[:, 3 * J :] += leaning.translation_precision[:, None]
    cost = cost + terms.cost + place_cost(pose, leanings)
    return NormalEquations(cost, gradient, curvature, known, motion, weight, residual, jacobian)
