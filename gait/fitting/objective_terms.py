"""The terms of the fit's objective, one small function each, as the solver wants them.

The objective of T frames is, term by term, a negative log-probability:

* markers: Σ ρ(‖virtual − observed‖)/σ², ρ Huber's, so that beyond ``marker_robust_m`` the *distance* counts, as in the
  published objective, and one lost marker cannot pull a limb;
* natural pose: ½‖log(R·Rₙᵀ)/σⱼ‖² around the natural rotation Rₙ of each joint;
* range of motion: ½‖excess/σ‖², the excess of the joint's axis-angle numbers over their bounds;
* leanings: ½‖log(R·R̄ᵀ)/σ‖² and ½‖t − t̄‖²/σ² around given poses: the smooth course of the recording
  (``smooth_course``), what a learned prior makes of the pose (``learned_pose``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
from gait.fitting.residual_scales import ResidualScales


@dataclass(frozen=True)
class JointPrior:
    """What the joints of a body do when no marker says otherwise."""

    natural: Tensor  # (J, 3, 3) natural rotation
    precision: Tensor  # (J, 3) 1/rad² about the parent's axes; zero for the root
    lower: Tensor  # (J, 3) bounds of the axis-angle numbers, radians, −inf where free
    upper: Tensor  # (J, 3)
    limit_precision: float  # 1/rad²
    angle_lower: Tensor | None = None  # (J, 3) bounds of a constrained tree's hinge angles, −inf where free
    angle_upper: Tensor | None = None


@dataclass(frozen=True)
class SoftPoseTarget:
    """Poses of T frames for the fit to lean on."""

    rotations: Tensor  # (T, J, 3, 3)
    translation: Tensor  # (T, 3)
    rotation_precision: Tensor  # (T, J) 1/rad²
    translation_precision: Tensor  # (T,) 1/m²

    def __getitem__(self, frames: Tensor | slice) -> SoftPoseTarget:
        """Those of some frames."""
        return replace(
            self,
            rotations=self.rotations[frames],
            translation=self.translation[frames],
            rotation_precision=self.rotation_precision[frames],
            translation_precision=self.translation_precision[frames],
        )


def huber(distance: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Huber's ρ of distances (square up to the threshold, then straight) and the weight ρ′(d)/d."""
    cut = distance.clamp(min=1e-12)
    weight = (threshold / cut).clamp(max=1.0)
    value = torch.where(distance <= threshold, 0.5 * distance**2, threshold * (distance - 0.5 * threshold))
    return value, weight


def marker_terms(
    virtual: Tensor, observed: Tensor, seen: Tensor, sigma_m: float, robust_m: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Cost (T,), residual (T, M, 3) in metres (zero where unseen) and weight (T, M) in 1/m² of the seen markers."""
    residual = torch.where(seen[..., None], virtual - observed, torch.zeros_like(virtual))
    value, weight = huber(residual.norm(dim=-1), robust_m)
    return value.sum(dim=1) / sigma_m**2, residual, weight * seen / sigma_m**2


@dataclass(frozen=True)
class JointTermDerivatives:
    """A prior's part of the normal equations: cost, and per joint a gradient and a curvature in its unknowns."""

    cost: Tensor  # (T,)
    gradient: Tensor  # (T, J, 3)
    curvature: Tensor  # (T, J, 3, 3)


@dataclass(frozen=True)
class JointResidual:
    """One term that sees the joints alone: ½ Σ precision·residual²."""

    residual: Tensor  # (T, J, 3) radians
    precision: Tensor  # broadcastable to (T, J, 3), 1/rad²
    vector: Tensor | None  # (T, J, 3) the rotation vector that the residual moves with; None: it is a hinge's angles


def joint_parts(pose: Pose, prior: JointPrior, leanings: Sequence[SoftPoseTarget]) -> list[JointResidual]:
    """Natural pose, range of motion and leanings at a pose."""
    away = matrix_to_axis_angle(pose.rotations @ prior.natural.mT)
    angles = matrix_to_axis_angle(pose.rotations)
    parts = [
        JointResidual(away, prior.precision, away),
        JointResidual(*excess(angles, prior.lower, prior.upper, prior.limit_precision), angles),
    ]
    if pose.angles is not None and prior.angle_lower is not None and prior.angle_upper is not None:
        numbers = torch.cat([pose.angles, torch.zeros_like(pose.angles[..., :1])], dim=-1)
        beyond = excess(numbers, prior.angle_lower, prior.angle_upper, prior.limit_precision)
        parts.append(JointResidual(*beyond, None))
    for leaning in leanings:
        away = matrix_to_axis_angle(pose.rotations @ leaning.rotations.mT)
        parts.append(JointResidual(away, leaning.rotation_precision[..., None], away))
    return parts


def joint_cost(parts: Sequence[JointResidual]) -> Tensor:
    """(T,) what the parts add to the objective."""
    return torch.stack([0.5 * (part.precision * part.residual**2).sum((1, 2)) for part in parts]).sum(dim=0)


def joint_terms(
    pose: Pose, motion: MarkerKinematics, prior: JointPrior, leanings: Sequence[SoftPoseTarget]
) -> JointTermDerivatives:
    """All terms that see the joints alone, with their derivatives."""
    parts = joint_parts(pose, prior, leanings)
    to_parent = motion.parent_world.mT  # a joint's unknowns as a rotation vector in its parent's axes
    if motion.unknowns is not None:
        to_parent = to_parent @ motion.unknowns
    eye = torch.eye(3, dtype=to_parent.dtype, device=to_parent.device).expand_as(to_parent)
    gradient, curvature = torch.zeros_like(parts[0].residual), torch.zeros_like(to_parent)
    for part in parts:
        change = eye if part.vector is None else inverse_left_jacobian(part.vector) @ to_parent
        weighted = (part.precision * part.residual)[..., None]
        gradient = gradient + (change.mT @ weighted)[..., 0]
        curvature = curvature + change.mT @ (part.precision.expand_as(part.residual)[..., None] * change)
    return JointTermDerivatives(joint_cost(parts), gradient, curvature)


def excess(angles: Tensor, lower: Tensor, upper: Tensor, precision: float) -> tuple[Tensor, Tensor]:
    """How far angles (T, J, 3) are beyond their bounds, and the precision where they are."""
    beyond = (angles - upper).clamp(min=0) + (angles - lower).clamp(max=0)
    return beyond, precision * (beyond != 0).to(beyond.dtype)


def joint_prior(
    prior: PosePrior,
    weights: ResidualScales,
    *,
    bounds: AngleBounds | None = None,
    body: Body,
    hinges: ConstrainedJoints | None = None,
    dtype: torch.dtype = torch.float64,
) -> JointPrior:
    """The body room's pose prior as the solver wants it; the root is free, and a user's bounds replace the prior's."""

    def tensor(values: NDArray[np.float64]) -> Tensor:
        return torch.as_tensor(values, dtype=dtype, device=body.device).clone()

    precision = weights.pose_prior / tensor(prior.std) ** 2
    precision[0] = 0
    lower, upper = tensor(prior.lower), tensor(prior.upper)
    lower[0], upper[0] = -torch.inf, torch.inf
    mean = tensor(prior.mean)
    mean[0] = 0
    angle_lower = angle_upper = None
    if hinges is not None:
        angle_lower, angle_upper = torch.full_like(lower, -torch.inf), torch.full_like(upper, torch.inf)
    if bounds is not None:
        place = _places(body, len(mean), hinges)
        for number, low, high in zip(bounds.indices.tolist(), bounds.lower, bounds.upper, strict=True):
            if number in place:
                joint, slot, is_hinge = place[number]
                if is_hinge and angle_lower is not None and angle_upper is not None:
                    angle_lower[joint, slot], angle_upper[joint, slot] = float(low), float(high)
                else:
                    lower[joint, slot], upper[joint, slot] = float(low), float(high)
    return JointPrior(
        axis_angle_to_matrix(mean), precision, lower, upper, 1 / weights.limit_rad**2, angle_lower, angle_upper
    )


def _places(body: Body, num_joints: int, hinges: ConstrainedJoints | None) -> dict[int, tuple[int, int, bool]]:
    """Pose number → joint, slot, whether it is a hinge's angle; numbers of joints that the fit leaves at rest lack."""
    if body.hinges is None or hinges is None:
        return {3 * j + k: (j, k, False) for j in range(num_joints) for k in range(3)}
    joint_of = body.hinges.pose_joint.tolist()
    free = {n: (joint_of[n], k, False) for rows in body.hinges.spherical.tolist() for k, n in enumerate(rows)}
    angles = {
        int(hinges.number[j, slot]): (j, slot, True)
        for slot, has in enumerate((hinges.hinged, hinges.double))
        for j in has.nonzero()[:, 0].tolist()
    }
    return {n: where for n, where in {**free, **angles}.items() if 0 <= where[0] < num_joints}
