"""The objective and its derivatives at any pose, exact and in double precision, with the full Jacobian.

This is the readable form. Calibration and joint uncertainty use it, and the fast form
(``solver.batched_normal_equations``) is tested against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from gait.fitting.joint_parametrization import Pose
from gait.fitting.marker_kinematics import MarkerKinematics, SubjectModel, compute_marker_kinematics, pose_jacobian
from gait.fitting.objective_terms import JointPrior, SoftPoseTarget, joint_terms, marker_scales, marker_terms
from gait.fitting.per_frame import PerFrame
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers


@dataclass(frozen=True)
class NormalEquations(PerFrame):
    """Objective of T frames with its gradient and its Gauss–Newton curvature in the D = 3·J + 3 pose parameters."""

    cost: Tensor  # (T,)
    gradient: Tensor  # (T, D)
    curvature: Tensor  # (T, D, D)
    marker_curvature: Tensor  # (T, J + 1, 3, 3) curvature that the markers give each joint, and last the translation
    kinematics: MarkerKinematics
    weight: Tensor  # (T, M) robust weight of each marker, 1/m²
    residual: Tensor  # (T, M, 3) metres
    jacobian: Tensor  # (T, 3·M, D)


def normal_equations(
    subject: SubjectModel,
    pose: Pose,
    observation: ObservedMarkers,
    prior: JointPrior,
    scales: ResidualScales,
    targets: Sequence[SoftPoseTarget] = (),
) -> NormalEquations:
    """Evaluate the objective of ``gait.fitting.objective_terms`` and its derivatives at a pose."""
    kinematics = compute_marker_kinematics(subject, pose)
    jacobian = pose_jacobian(subject, kinematics)
    cost, residual, weight = marker_terms(
        kinematics.markers, observation.markers, observation.visible, *marker_scales(subject.reduced_body, scales)
    )
    T, M = weight.shape
    weighted = jacobian * weight.repeat_interleave(3, dim=1)[..., None]
    curvature = jacobian.mT @ weighted
    gradient = (weighted.mT @ residual.reshape(T, 3 * M, 1))[..., 0]
    J = pose.rotations.shape[1]
    own = curvature.unflatten(2, (J + 1, 3)).unflatten(1, (J + 1, 3)).diagonal(dim1=1, dim2=3)
    marker_curvature = own.permute(0, 3, 1, 2).clone()
    terms = joint_terms(pose, kinematics, prior, targets)
    gradient[:, : 3 * J] += terms.gradient.reshape(T, 3 * J)
    blocks = curvature[:, : 3 * J, : 3 * J].unflatten(2, (J, 3)).unflatten(1, (J, 3))  # (T, J, 3, J, 3)
    blocks.diagonal(dim1=1, dim2=3).add_(terms.curvature.permute(0, 2, 3, 1))
    cost = cost + terms.cost
    for target in targets:
        away, precision = pose.translation - target.translation, target.translation_precision
        cost = cost + 0.5 * precision * (away**2).sum(1)
        gradient[:, 3 * J :] += precision[:, None] * away
        curvature.diagonal(dim1=1, dim2=2)[:, 3 * J :] += precision[:, None]
    return NormalEquations(cost, gradient, curvature, marker_curvature, kinematics, weight, residual, jacobian)
