"""Rotations of many joints in many frames as unit quaternions, component by component.

Arrays are (4, …) with x, y, z, w first, so that each operation runs over long vectors: in single precision and for some
thousand rotations, several times faster than on matrices. Angles are radians.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SMALL = 1e-3
"""Half an angle below which a series is exact in single precision, and free of 0/0."""


def length(vectors: Tensor) -> Tensor:
    """Euclidean length (…) of vectors (C, …)."""
    return (vectors * vectors).sum(dim=0).sqrt()  # not norm(dim=0), which does not run along the vectors


def normalised(turn: Tensor) -> Tensor:
    """Unit quaternions (4, …), of the same direction."""
    return turn / length(turn)


def from_matrices(matrices: Tensor) -> Tensor:
    """Quaternions (4, …) of rotation matrices (…, 3, 3), by their largest component (Shepperd 1978)."""
    xx, xy, xz, yx, yy, yz, zx, zy, zz = matrices.flatten(-2).movedim(-1, 0).contiguous().unbind(0)
    trace = xx + yy + zz
    largest = torch.stack([xx, yy, zz, trace]).argmax(dim=0)
    sx, sy, sz, sw = zy - yz, xz - zx, yx - xy, 1 + trace
    pxy, pxz, pyz = xy + yx, xz + zx, yz + zy
    # each row is the quaternion times four of its own component
    rows = (
        (1 + 2 * xx - trace, pxy, pxz, sx),
        (pxy, 1 + 2 * yy - trace, pyz, sy),
        (pxz, pyz, 1 + 2 * zz - trace, sz),
        (sx, sy, sz, sw),
    )
    chosen = torch.stack(rows[3])
    for k in range(3):
        chosen = torch.where(largest == k, torch.stack(rows[k]), chosen)
    return normalised(chosen)


def to_matrices(turn: Tensor) -> Tensor:
    """Rotation matrices (…, 3, 3) of unit quaternions (4, …)."""
    x, y, z, w = turn.unbind(0)
    x2, y2, z2 = x + x, y + y, z + z
    xx, yy, zz = x * x2, y * y2, z * z2
    xy, xz, yz = x * y2, x * z2, y * z2
    wx, wy, wz = w * x2, w * y2, w * z2
    entries = [1 - yy - zz, xy - wz, xz + wy, xy + wz, 1 - xx - zz, yz - wx, xz - wy, yz + wx, 1 - xx - yy]
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def inverse(turn: Tensor) -> Tensor:
    """The turns back (4, …)."""
    return torch.cat([-turn[:3], turn[3:]])


def product(p: Tensor, q: Tensor) -> Tensor:
    """The turn by q, then by p: p·q (4, …)."""
    a, b, c, d = p.unbind(0)
    x, y, z, w = q.unbind(0)
    vector = [
        (d * one).addcmul_(own, w).addcmul_(left, up).addcmul_(right, down, value=-1)
        for one, own, left, up, right, down in ((x, a, b, z, c, y), (y, b, c, x, a, z), (z, c, a, y, b, x))
    ]
    scalar = (d * w).addcmul_(a, x, value=-1).addcmul_(b, y, value=-1).addcmul_(c, z, value=-1)
    return torch.stack([*vector, scalar])


def from_vectors(vectors: Tensor) -> Tensor:
    """Quaternions (4, …) of rotation vectors (3, …)."""
    half = 0.5 * length(vectors)
    scale = torch.where(half < _SMALL, 0.5 - half * half / 12, torch.sin(half) / (2 * half).clamp_min(_SMALL))
    return torch.cat([vectors * scale, torch.cos(half)[None]])


def to_vectors(turn: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation vectors (3, …) with angles θ in [0, π], and their bend (…): (1 − (θ/2)·cot(θ/2))/θ².

    The bend is what the inverse of the left Jacobian, I − K/2 + bend·K², needs beside the vector (Solà, Deray &
    Atchuthan 2018, A micro Lie theory, eq. 146).
    """
    w = turn[3].abs()
    vector = torch.where(turn[3] < 0, -turn[:3], turn[:3])
    sine = length(vector)
    half = torch.atan2(sine, w)
    small = half < 30 * _SMALL
    safe = torch.where(small, 1.0, sine)
    cotangent = half * w / safe
    bend = torch.where(small, 1 / 12 + half * half / 180, (1 - cotangent) / (4 * half * half).clamp_min(_SMALL**2))
    scale = torch.where(small, 2 + sine * sine / 3, 2 * half / safe)
    return vector * scale, bend


def pulled_back(vector: Tensor, bend: Tensor, pull: Tensor) -> Tensor:
    """The torque (3, …) of a pull (3, …) on a rotation vector: J⁻ᵀ·pull, J the left Jacobian."""
    inside = (vector * pull).sum(dim=0)
    square = (vector * vector).sum(dim=0)
    across = torch.linalg.cross(vector, pull, dim=0)
    return pull * (1 - bend * square) + 0.5 * across + (bend * inside) * vector
