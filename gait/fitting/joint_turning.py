"""How the solver turns joints: free ones by a small rotation, hinged ones by their angles.

Both trees offer the solver three unknowns a joint. Free joints take a rotation vector in world axes; hinged ones take
the angles of their one or two hinges, and the unknowns that a joint lacks move nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gait.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle, quaternion_feature, skew


@dataclass(frozen=True)
class Pose:
    """The pose of T frames, as the solver holds it."""

    rotations: Tensor  # (T, J, 3, 3) each joint relative to its parent
    translation: Tensor  # (T, 3) metres

    @property
    def frames(self) -> int:
        """T."""
        return len(self.rotations)

    def __getitem__(self, frames: Tensor | slice) -> Pose:
        """The pose of some frames."""
        return replace(self, rotations=self.rotations[frames], translation=self.translation[frames])


def inverse_left_jacobian(v: Tensor) -> Tensor:
    """How a rotation vector changes when its rotation is turned a little from the left.

    log(exp(d)·exp(v)) = v + J(v)·d + …, J = I − [v]/2 + (1 − (a/2)·cot(a/2))/a²·[v]², a = |v| (Solà, Deray &
    Atchuthan 2018, "A micro Lie theory", eq. 146). (..., 3) radians → (..., 3, 3).
    """
    square = (v * v).sum(-1)
    small = square < 1e-6
    a = torch.where(small, torch.ones_like(square), square).sqrt()
    factor = torch.where(small, 1 / 12 + square / 720, (1 - (a / 2) / torch.tan(a / 2)) / (a * a))
    K = skew(v)
    return torch.eye(3, dtype=v.dtype, device=v.device) - K / 2 + factor[..., None, None] * (K @ K)


def limited(step: Tensor, most: float) -> Tensor:
    """A rotation step (..., 3) cut to a length of ``most`` radians."""
    return step * (most / step.norm(dim=-1, keepdim=True).clamp_min(1e-12)).clamp(max=1.0)


def turned(pose: Pose, parent_world: Tensor, step: Tensor) -> Pose:
    """Turn every free joint by a world rotation vector and shift the body.

    Args:
        pose: T frames.
        parent_world: (T, J, 3, 3) world rotation of each joint's parent (identity for the root).
        step: (T, 3·J + 3) rotation vectors joint by joint, in world axes, then the shift in metres.
    """
    T, J = pose.rotations.shape[:2]
    local = (parent_world.mT @ limited(step[:, : 3 * J].unflatten(-1, (J, 3)), 0.6)[..., None])[..., 0]
    return replace(
        pose,
        rotations=axis_angle_to_matrix(local) @ pose.rotations,
        translation=pose.translation + step[:, 3 * J :],
    )


def feature_and_change(rotations: Tensor, parent_world: Tensor) -> tuple[Tensor, Tensor]:
    """Quaternion feature of every joint and its change with the joint's world rotation vector.

    The feature is (x, y, z, w−1). A turn d from the left changes a quaternion (v, w) by ½(w·d + d×v, −d·v).
    Returns (T, J, 4) and (T, J, 4, 3).
    """
    feature = quaternion_feature(matrix_to_axis_angle(rotations))
    v, w = feature[..., :3], feature[..., 3:] + 1
    eye = torch.eye(3, dtype=v.dtype, device=v.device)
    change = 0.5 * torch.cat([w[..., None] * eye - skew(v), -v[..., None, :]], dim=-2)
    return feature, change @ parent_world.mT
