"""Rotations between two segments as three successive rotations about their axes, and the derivatives of these.

Axes are x ahead, y up, z to the right. An order like "ZXY" names the axes: the first is one of the proximal segment,
the last one of the distal segment, and the middle one is perpendicular to both (the floating axis of Grood & Suntay
1983, J. Biomech. Eng. 105:136).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector

_MIRROR = np.diag([1.0, 1.0, -1.0])
_AXES = "XYZ"
_MIN_DETERMINANT = 1e-6


def mirror_to_right(rotations: Vector) -> Vector:
    """Return rotations (..., 3, 3) of segments of the left side as those of the right side, by the sagittal plane."""
    return _MIRROR @ rotations @ _MIRROR


def cardan_angles(rotations: Vector, order: str) -> Vector:
    """Return the three angles (..., 3) in radians, in the given order, of rotations (..., 3, 3) R_proximal_distal.

    With three different axes the middle angle is within ±π/2. With "YXY" (Wu et al. 2005, J. Biomech. 38:981, 2.4.7)
    it is within [−π, 0], and the others are arbitrary where it is zero.
    """
    R = rotations
    i, j, k = (_AXES.index(axis) for axis in order)
    if i == k:
        k = 3 - i - j
        e = _parity(i, j, k)
        middle = -np.arctan2(np.hypot(R[..., i, j], R[..., i, k]), R[..., i, i])
        first = np.arctan2(-R[..., j, i], e * R[..., k, i])
        last = np.arctan2(-R[..., i, j], -e * R[..., i, k])
    else:
        e = _parity(i, j, k)
        middle = np.arcsin(np.clip(e * R[..., i, k], -1, 1))
        first = np.arctan2(-e * R[..., j, k], R[..., k, k])
        last = np.arctan2(-e * R[..., i, j], R[..., i, i])
    return np.stack([first, middle, last], axis=-1)


def continuous_angles(angles: Vector, order: str) -> Vector:
    """Return angles (T, 3) in radians without jumps; frames that are NaN stay so.

    The rotations (a, b, c) and (a + π, π − b, c + π) are equal for three different axes, with "YXY" (a, b, c) and
    (a + π, −b, c + π). Of these and of full turns, each frame has the one nearest to the frame before. A curve begins
    within ±π.
    """
    half_turn = np.array([np.pi, 0.0 if order[0] == order[2] else np.pi, np.pi])
    out = angles.copy()
    known = np.flatnonzero(np.isfinite(angles).all(axis=1))
    if len(known) < 2:
        return out
    path = np.unwrap(angles[known], axis=0)
    for t in np.flatnonzero(np.abs(np.diff(angles[known], axis=0)).max(axis=1) > np.pi / 2) + 1:
        other = path[t] * [1, -1, 1] + half_turn
        other -= 2 * np.pi * np.round((other - path[t - 1]) / (2 * np.pi))
        if np.abs(other - path[t - 1]).max() < np.abs(path[t] - path[t - 1]).max():
            rest = path[t:] * [1, -1, 1]
            path[t:] = rest + (other - rest[0])
    out[known] = path
    return out


def angle_rates(angles: Vector, order: str) -> Vector:
    """Return the change (..., 3 angles, 3) of Cardan angles (..., 3) per small rotation of the distal segment.

    The rotation vector is in axes of the proximal segment, radians. NaN where two of the three axes coincide.
    """
    first, middle = angles[..., 0], angles[..., 1]
    i, j, k = (_AXES.index(axis) for axis in order)
    turned = _about(i, first)
    axes = np.stack(
        [np.broadcast_to(np.eye(3)[i], turned.shape[:-1]), turned[..., j], (turned @ _about(j, middle))[..., k]], -1
    )
    singular = ~(np.abs(np.linalg.det(axes)) > _MIN_DETERMINANT)
    rates = np.linalg.inv(np.where(singular[..., None, None], np.eye(3), axes))
    return np.where(singular[..., None, None], np.nan, rates)


def _about(axis: int, angle: NDArray[np.float64]) -> Vector:
    """Return the rotation matrices (..., 3, 3) about a coordinate axis."""
    c, s = np.cos(angle), np.sin(angle)
    j, k = (axis + 1) % 3, (axis + 2) % 3
    R = np.zeros((*np.shape(angle), 3, 3))
    R[..., axis, axis] = 1
    R[..., j, j], R[..., j, k], R[..., k, j], R[..., k, k] = c, -s, s, c
    return R


def _parity(i: int, j: int, k: int) -> int:
    """Return 1 for an even permutation of the axes, −1 for an odd one."""
    return 1 if (i, j, k) in ((0, 1, 2), (1, 2, 0), (2, 0, 1)) else -1
