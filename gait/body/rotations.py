"""Rotations as torch tensors: axis-angle vectors, matrices, and the features of pose-corrective blend shapes.

Every function accepts any leading shape, is differentiable everywhere (also at zero rotation), and keeps dtype and
device. Angles are in radians; the axis-angle vector a·u rotates by a about the unit axis u.
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor

_SMALL_SQUARED_ANGLE = 1e-4
"""Below this squared angle (rad²), three terms of the Taylor series are exact to 1e-15 and avoid 0/0."""


class PoseFeature(IntEnum):
    """The function of a joint's rotation that multiplies the pose-corrective blend shapes; the value is its length."""

    QUATERNION = 4  # SUPR: quaternion_feature
    MATRIX = 9  # SMPL, SMPL-H, SMPL-X: matrix_feature


def _squared_angle(axis_angle: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return θ², θ (1 where θ is small), and whether θ is small, each (..., 1)."""
    squared = (axis_angle * axis_angle).sum(-1, keepdim=True)
    small = squared < _SMALL_SQUARED_ANGLE
    return squared, torch.where(small, 1.0, squared).sqrt(), small


def skew(vector: Tensor) -> Tensor:
    """Return the matrices (..., 3, 3) of vectors (..., 3) with skew(a) @ b = a × b."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Return the rotation matrices (..., 3, 3) of axis-angle vectors (..., 3), by Rodrigues' formula.

    R = cos θ · I + (sin θ / θ) · skew(a) + ((1 − cos θ) / θ²) · a aᵀ, with a = θ·u.
    """
    squared, angle, small = _squared_angle(axis_angle)
    sine = torch.where(small, 1 - squared / 6 + squared**2 / 120, torch.sin(angle) / angle)
    half = torch.sin(angle / 2) / angle
    versine = torch.where(small, 0.5 - squared / 24 + squared**2 / 720, 2 * half * half)
    outer = axis_angle[..., :, None] * axis_angle[..., None, :]
    eye = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    cosine = 1 - versine * squared
    return cosine[..., None] * eye + sine[..., None] * skew(axis_angle) + versine[..., None] * outer


def inverse_left_jacobian(axis_angle: Tensor) -> Tensor:
    """Return the change (..., 3, 3) of axis-angle vectors a (..., 3) per small world rotation ω.

    log(exp(ω)·exp(a)) = a + J⁻¹ω + …, J⁻¹ = I − K/2 + (1 − (θ/2)·cot(θ/2))/θ² · K², K = skew(a) (Chirikjian 2011,
    eq. 10.86; Solà, Deray & Atchuthan 2018, A micro Lie theory, eq. 146).
    """
    squared, angle, small = _squared_angle(axis_angle)
    series = 1 / 12 + squared / 720 + squared**2 / 30240
    factor = torch.where(small, series, (1 - (angle / 2) / torch.tan(angle / 2)) / angle**2)
    K = skew(axis_angle)
    eye = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return eye - K / 2 + factor[..., None] * (K @ K)


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """Return the axis-angle vectors (..., 3), with angles in [0, π], of rotation matrices (..., 3, 3).

    The unit quaternion is computed from its largest component (Shepperd 1978, J. Guidance and Control 1:223). This is
    accurate up to angle π, where R − Rᵀ does not give the axis.
    """
    m = matrix
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    # Row k is 4·q_k·(x, y, z, w): every row is the quaternion up to scale; the one with the largest q_k is most stable.
    rows = (
        (1 + xx - yy - zz, xy, xz, wx),
        (xy, 1 - xx + yy - zz, yz, wy),
        (xz, yz, 1 - xx - yy + zz, wz),
        (wx, wy, wz, 1 + xx + yy + zz),
    )
    chosen, largest = torch.stack(rows[0], -1), rows[0][0].detach()
    for k in range(1, 4):
        own = rows[k][k].detach()
        chosen = torch.where((own > largest)[..., None], torch.stack(rows[k], -1), chosen)
        largest = torch.maximum(largest, own)
    quaternion = chosen / torch.linalg.vector_norm(chosen, dim=-1, keepdim=True)
    quaternion = torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)
    vector, w = quaternion[..., :3], quaternion[..., 3:]
    squared, sine, small = _squared_angle(vector)
    near_one = torch.where(small, w, 1.0)
    series = 1 / near_one - squared / (3 * near_one**3) + squared**2 / (5 * near_one**5)
    return vector * 2 * torch.where(small, series, torch.atan2(sine, w) / sine)


def mean_rotation(rotations: Tensor) -> Tensor:
    """Return the chordal L2 mean (..., 3, 3) of rotations (N, ..., 3, 3).

    Moakher 2002, Means and averaging in the group of rotations, SIAM J. Matrix Anal. Appl. 24:1.
    """
    U, _, Vh = torch.linalg.svd(rotations.mean(dim=0))
    sign = torch.ones_like(U[..., 0, :])
    sign[..., 2] = torch.det(U @ Vh)
    return U @ (sign[..., None] * Vh)


def quaternion_feature(axis_angle: Tensor) -> Tensor:
    """Return SUPR's pose feature (..., 4) of axis-angle vectors (..., 3): (sin(θ/2)·u, cos(θ/2) − 1), zero at rest."""
    squared, angle, small = _squared_angle(axis_angle)
    sine = torch.where(small, 0.5 - squared / 48 + squared**2 / 3840, torch.sin(angle / 2) / angle)
    quarter = torch.sin(angle / 4)
    cosine_minus_one = torch.where(small, -squared / 8 + squared**2 / 384, -2 * quarter * quarter)
    return torch.cat([sine * axis_angle, cosine_minus_one], -1)


def matrix_feature(matrix: Tensor) -> Tensor:
    """Return the SMPL family's pose feature (..., 9) of rotation matrices (..., 3, 3): R − I by rows, zero at rest.

    Loper et al. 2015, SMPL: A Skinned Multi-Person Linear Model, ACM Trans. Graph. 34:248, eq. 9.
    """
    return (matrix - torch.eye(3, dtype=matrix.dtype, device=matrix.device)).flatten(-2)


def hamilton_product(p: Tensor, q: Tensor) -> Tensor:
    """Return the Hamilton product p·q (..., 4) of quaternions (x, y, z, w) of any norm; w is the scalar part."""
    pv, pw = p[..., :3], p[..., 3:]
    qv, qw = q[..., :3], q[..., 3:]
    vector = pw * qv + qw * pv + torch.linalg.cross(pv, qv)
    return torch.cat([vector, pw * qw - (pv * qv).sum(-1, keepdim=True)], -1)


def rot6d_to_matrix(columns: Tensor) -> Tensor:
    """Return the rotation matrices (..., 3, 3) of the 6D representation (..., 3, 2), by Gram–Schmidt.

    Zhou et al. 2019, On the Continuity of Rotation Representations in Neural Networks, CVPR, eq. 12.
    """
    first, second = columns[..., 0], columns[..., 1]
    x = torch.nn.functional.normalize(first, dim=-1)
    y = torch.nn.functional.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)
