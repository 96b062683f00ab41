"""The terms of the objective of the fit, one small function each.

The objective of T frames is a sum of negative log-probabilities:

* markers: Σ ρ(‖virtual − observed‖)/σ² with Huber's ρ, which is linear beyond ``marker_robust_m``, like the
  objective of the original implementation, so that one outlying marker cannot displace a limb;
* pose prior: ½‖log(R·Rₙᵀ)/σⱼ‖² around the mean rotation Rₙ of each joint;
* range of motion: ½‖v/σ‖², where v is the violation of the limits of the joint's axis-angle components;
* soft targets: ½‖log(R·R̄ᵀ)/σ‖² and ½‖t − t̄‖²/σ² around given poses: the smoothed trajectory
  (``trajectory_smoothing``) and the pose that VPoser predicts (``posture_and_vposer``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.body.body import Body
from gait.body.constraints_file import AngleBounds
from gait.body.pose_prior import PosePrior
from gait.body.rotations import axis_angle_to_matrix, inverse_left_jacobian, matrix_to_axis_angle
from gait.fitting.joint_parametrization import ConstrainedJoints, Pose
from gait.fitting.marker_kinematics import MarkerKinematics
from gait.fitting.per_frame import PerFrame
from gait.fitting.reduced_body import ReducedBody
from gait.fitting.residual_scales import ResidualScales


@dataclass(frozen=True)
class JointPrior:
    """Gaussian prior and range of motion of the joint rotations."""

    mean: Tensor  # (J, 3, 3) mean rotation of each joint
    precision: Tensor  # (J, 3), or (N, J, 3) of each frame, about the axes of the parent, 1/rad²; zero for the root
    lower: Tensor  # (J, 3) limits of the axis-angle components, radians; −inf where unlimited
    upper: Tensor  # (J, 3)
    limit_precision: float  # 1/rad²
    angle_lower: Tensor | None = None  # (J, 3) limits of hinge angles, radians; −inf where unlimited
    angle_upper: Tensor | None = None


@dataclass(frozen=True)
class SoftPoseTarget(PerFrame):
    """Poses of T frames towards which the fit is drawn, with a precision for each joint and the translation."""

    rotations: Tensor  # (T, J, 3, 3)
    translation: Tensor  # (T, 3) metres
    rotation_precision: Tensor  # (T, J) 1/rad²
    translation_precision: Tensor  # (T,) 1/m²


def marker_scales(reduced_body: ReducedBody, scales: ResidualScales) -> tuple[float | Tensor, float | Tensor]:
    """Return the standard deviation and Huber's threshold of the markers, metres; (M,) if they are not all alike."""
    sigma_m: float | Tensor = scales.marker_m
    robust_m: float | Tensor = scales.marker_robust_m
    if (estimated := reduced_body.is_estimated) is not None:
        like = reduced_body.marker_template[:, 0]
        sigma_m = torch.where(estimated, torch.full_like(like, scales.joint_centre_m), sigma_m)
        robust_m = torch.where(estimated, torch.full_like(like, scales.joint_centre_robust_m), robust_m)
    if reduced_body.relative_sigma is not None:
        sigma_m = sigma_m * reduced_body.relative_sigma
    return sigma_m, robust_m


def huber(distance: Tensor, threshold: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return Huber's ρ of distances (quadratic up to the threshold, then linear) and the weight ρ′(d)/d."""
    positive = distance.clamp(min=1e-12)
    weight = (threshold / positive).clamp(max=1.0)
    value = torch.where(distance <= threshold, 0.5 * distance**2, threshold * (distance - 0.5 * threshold))
    return value, weight


def marker_terms(
    virtual: Tensor, observed: Tensor, visible: Tensor, sigma_m: float | Tensor, robust_m: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return cost (T,), residual (T, M, 3) in metres, zero where not visible, and weight (T, M) in 1/m²."""
    residual = torch.where(visible[..., None], virtual - observed, torch.zeros_like(virtual))
    value, weight = huber(residual.norm(dim=-1), robust_m)
    cost = (value / sigma_m**2).sum(dim=1) if isinstance(sigma_m, Tensor) else value.sum(dim=1) / sigma_m**2
    return cost, residual, weight * visible / sigma_m**2


@dataclass(frozen=True)
class JointTermDerivatives:
    """Sum of the joint terms: cost, and for each joint the gradient and the curvature in its parameters."""

    cost: Tensor  # (T,)
    gradient: Tensor  # (T, J, 3)
    curvature: Tensor  # (T, J, 3, 3)


@dataclass(frozen=True)
class JointResidual:
    """One term of the objective that depends on the joint rotations alone: ½ Σ precision·residual²."""

    residual: Tensor  # (T, J, 3) radians
    precision: Tensor  # broadcastable to (T, J, 3), 1/rad²
    vector: Tensor | None  # (T, J, 3) rotation vector of which the residual is a function; None for hinge angles


def joint_residuals(pose: Pose, prior: JointPrior, targets: Sequence[SoftPoseTarget]) -> list[JointResidual]:
    """Return the residuals of pose prior, range of motion and soft targets."""
    rotation_vector = matrix_to_axis_angle(pose.rotations @ prior.mean.mT)
    angles = matrix_to_axis_angle(pose.rotations)
    residuals = [
        JointResidual(rotation_vector, prior.precision, rotation_vector),
        JointResidual(*limit_violation(angles, prior.lower, prior.upper, prior.limit_precision), angles),
    ]
    if pose.angles is not None and prior.angle_lower is not None and prior.angle_upper is not None:
        hinge_angles = torch.cat([pose.angles, torch.zeros_like(pose.angles[..., :1])], dim=-1)
        violation = limit_violation(hinge_angles, prior.angle_lower, prior.angle_upper, prior.limit_precision)
        residuals.append(JointResidual(*violation, None))
    for target in targets:
        rotation_vector = matrix_to_axis_angle(pose.rotations @ target.rotations.mT)
        residuals.append(JointResidual(rotation_vector, target.rotation_precision[..., None], rotation_vector))
    return residuals


def joint_terms(
    pose: Pose, kinematics: MarkerKinematics, prior: JointPrior, targets: Sequence[SoftPoseTarget]
) -> JointTermDerivatives:
    """Return all terms of the objective that depend on the joint rotations alone, with their derivatives."""
    residuals = joint_residuals(pose, prior, targets)
    # maps the parameters of a joint to a rotation vector in the axes of its parent
    to_parent = kinematics.parent_world.mT
    if kinematics.parameter_axes is not None:
        to_parent = to_parent @ kinematics.parameter_axes
    eye = torch.eye(3, dtype=to_parent.dtype, device=to_parent.device).expand_as(to_parent)
    gradient, curvature = torch.zeros_like(residuals[0].residual), torch.zeros_like(to_parent)
    for term in residuals:
        jacobian = eye if term.vector is None else inverse_left_jacobian(term.vector) @ to_parent
        weighted = (term.precision * term.residual)[..., None]
        gradient = gradient + (jacobian.mT @ weighted)[..., 0]
        curvature = curvature + jacobian.mT @ (term.precision.expand_as(term.residual)[..., None] * jacobian)
    cost = torch.stack([0.5 * (term.precision * term.residual**2).sum((1, 2)) for term in residuals]).sum(dim=0)
    return JointTermDerivatives(cost, gradient, curvature)


def limit_violation(angles: Tensor, lower: Tensor, upper: Tensor, precision: float) -> tuple[Tensor, Tensor]:
    """Return the excess of angles (T, J, 3) over their limits, and the precision of those that exceed them."""
    violation = (angles - upper).clamp(min=0) + (angles - lower).clamp(max=0)
    return violation, precision * (violation != 0).to(violation.dtype)


def build_joint_prior(
    prior: PosePrior,
    scales: ResidualScales,
    *,
    bounds: AngleBounds | None = None,
    body: Body,
    hinges: ConstrainedJoints | None = None,
    dtype: torch.dtype = torch.float64,
) -> JointPrior:
    """Convert a pose prior for the solver; bounds given by the user replace the limits of the prior.

    The root has neither prior nor limits.
    """

    def tensor(values: NDArray[np.float64]) -> Tensor:
        return torch.as_tensor(values, dtype=dtype, device=body.device).clone()

    precision = scales.pose_prior / tensor(prior.std) ** 2
    precision[0] = 0
    lower, upper = tensor(prior.lower), tensor(prior.upper)
    lower[0], upper[0] = -torch.inf, torch.inf
    mean = tensor(prior.mean)
    mean[0] = 0
    angle_lower = angle_upper = None
    if hinges is not None:
        angle_lower, angle_upper = torch.full_like(lower, -torch.inf), torch.full_like(upper, torch.inf)
    if bounds is not None:
        slots = _pose_slots(body, len(mean), hinges)
        for index, low, high in zip(bounds.indices.tolist(), bounds.lower, bounds.upper, strict=True):
            if index in slots:
                joint, slot, is_hinge = slots[index]
                if is_hinge and angle_lower is not None and angle_upper is not None:
                    angle_lower[joint, slot], angle_upper[joint, slot] = float(low), float(high)
                else:
                    lower[joint, slot], upper[joint, slot] = float(low), float(high)
    return JointPrior(
        axis_angle_to_matrix(mean), precision, lower, upper, 1 / scales.limit_rad**2, angle_lower, angle_upper
    )


def _pose_slots(body: Body, num_joints: int, hinges: ConstrainedJoints | None) -> dict[int, tuple[int, int, bool]]:
    """Map the index of each fitted pose parameter to its joint, its slot, and whether it is a hinge angle."""
    if body.constrained_tree is None or hinges is None:
        return {3 * j + k: (j, k, False) for j in range(num_joints) for k in range(3)}
    joint_of = body.constrained_tree.pose_joint.tolist()
    free = {n: (joint_of[n], k, False) for rows in body.constrained_tree.spherical.tolist() for k, n in enumerate(rows)}
    angles = {
        int(hinges.pose_index[j, slot]): (j, slot, True)
        for slot, has in enumerate((hinges.hinged, hinges.double))
        for j in has.nonzero()[:, 0].tolist()
    }
    return {n: slot for n, slot in {**free, **angles}.items() if 0 <= slot[0] < num_joints}
