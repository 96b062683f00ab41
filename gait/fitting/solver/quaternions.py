"""Rotations of many joints in many frames as unit quaternions.

Arrays are (4, …) with the components x, y, z, w along the first axis, so that each operation runs over long vectors.
For some thousand rotations in single precision this is several times faster than matrices. Angles are radians.
The package roma stores the components last and has no Jacobian, so it would replace few of these lines.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SMALL = 1e-3
"""Half angle below which a series replaces the closed form, which would be 0/0; exact in single precision."""


def norm(vectors: Tensor) -> Tensor:
    """Return the Euclidean norm (…) of vectors (C, …)."""
    return (vectors * vectors).sum(dim=0).sqrt()  # faster than norm(dim=0), which strides across the vectors


def normalize(q: Tensor) -> Tensor:
    """Scale quaternions (4, …) to unit norm."""
    return q / norm(q)


def from_matrices(matrices: Tensor) -> Tensor:
    """Convert rotation matrices (…, 3, 3) to quaternions (4, …), by their largest component (Shepperd 1978)."""
    xx, xy, xz, yx, yy, yz, zx, zy, zz = matrices.flatten(-2).movedim(-1, 0).contiguous().unbind(0)
    trace = xx + yy + zz
    sx, sy, sz, sw = zy - yz, xz - zx, yx - xy, 1 + trace
    pxy, pxz, pyz = xy + yx, xz + zx, yz + zy
    # row k is the quaternion times four times its component k
    rows = (
        (1 + 2 * xx - trace, pxy, pxz, sx),
        (pxy, 1 + 2 * yy - trace, pyz, sy),
        (pxz, pyz, 1 + 2 * zz - trace, sz),
        (sx, sy, sz, sw),
    )
    chosen, largest = torch.stack(rows[0]), xx
    for row, own in zip(rows[1:], (yy, zz, trace), strict=True):
        chosen = torch.where(own > largest, torch.stack(row), chosen)
        largest = torch.maximum(largest, own)
    return normalize(chosen)


def to_matrices(q: Tensor) -> Tensor:
    """Convert unit quaternions (4, …) to rotation matrices (…, 3, 3)."""
    x, y, z, w = q.unbind(0)
    x2, y2, z2 = x + x, y + y, z + z
    xx, yy, zz = x * x2, y * y2, z * z2
    xy, xz, yz = x * y2, x * z2, y * z2
    wx, wy, wz = w * x2, w * y2, w * z2
    entries = [1 - yy - zz, xy - wz, xz + wy, xy + wz, 1 - xx - zz, yz - wx, xz - wy, yz + wx, 1 - xx - yy]
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def inverse(q: Tensor) -> Tensor:
    """Return the inverse rotations (4, …) of unit quaternions."""
    return torch.cat([-q[:3], q[3:]])


def multiply(p: Tensor, q: Tensor) -> Tensor:
    """Return the products p·q (4, …): the rotation by q, then by p."""
    a, b, c, d = p.unbind(0)
    x, y, z, w = q.unbind(0)
    vector = [
        (d * one).addcmul_(own, w).addcmul_(left, up).addcmul_(right, down, value=-1)
        for one, own, left, up, right, down in ((x, a, b, z, c, y), (y, b, c, x, a, z), (z, c, a, y, b, x))
    ]
    scalar = (d * w).addcmul_(a, x, value=-1).addcmul_(b, y, value=-1).addcmul_(c, z, value=-1)
    return torch.stack([*vector, scalar])


def from_rotvec(vectors: Tensor) -> Tensor:
    """Convert rotation vectors (3, …) to quaternions (4, …)."""
    half = 0.5 * norm(vectors)
    scale = torch.where(half < _SMALL, 0.5 - half * half / 12, torch.sin(half) / (2 * half).clamp_min(_SMALL))
    return torch.cat([vectors * scale, torch.cos(half)[None]])


def to_rotvec(q: Tensor) -> tuple[Tensor, Tensor]:
    """Convert quaternions (4, …) to rotation vectors (3, …), and return a coefficient (…) of their Jacobian.

    Angles θ are in [0, π]. The inverse of the left Jacobian is I − K/2 + c·K², with K the cross-product matrix of the
    rotation vector and the coefficient c = (1 − (θ/2)·cot(θ/2))/θ² (Solà, Deray & Atchuthan 2018, A micro Lie theory,
    eq. 146).
    """
    w = q[3].abs()
    vector = torch.where(q[3] < 0, -q[:3], q[:3])
    sine = norm(vector)
    half = torch.atan2(sine, w)
    small = half < 30 * _SMALL
    safe = torch.where(small, 1.0, sine)
    cotangent = half * w / safe
    jacobian_coefficient = torch.where(
        small, 1 / 12 + half * half / 180, (1 - cotangent) / (4 * half * half).clamp_min(_SMALL**2)
    )
    scale = torch.where(small, 2 + sine * sine / 3, 2 * half / safe)
    return vector * scale, jacobian_coefficient


def apply_inverse_jacobian_transpose(vector: Tensor, jacobian_coefficient: Tensor, gradient: Tensor) -> Tensor:
    """Return J⁻ᵀ·gradient (3, …), J the left Jacobian: the gradient in the rotation from that in the rotation vector.

    Vector (3, …) and coefficient (…) are those of ``to_rotvec``; the gradient is (3, …).
    """
    dot = (vector * gradient).sum(dim=0)
    square = (vector * vector).sum(dim=0)
    cross = torch.linalg.cross(vector, gradient, dim=0)
    return gradient * (1 - jacobian_coefficient * square) + 0.5 * cross + (jacobian_coefficient * dot) * vector
