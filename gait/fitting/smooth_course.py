"""The course of a movement: what a frame with too few markers can borrow from its neighbours.

Each joint's rotations are smoothed over time, every frame weighted by what its own markers know of that joint. Where
they know much the course follows them; in a gap it bridges smoothly. Minimised is Σ Iₜ|xₜ − qₜ|² + λ Σ|xₜ₋₁ − 2xₜ +
xₜ₊₁|² (Whittaker 1923; Eilers 2003, Anal. Chem. 75:3631), q the quaternions or the body's place, I the information.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from torch import Tensor

from gait.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle, quaternion_feature
from gait.fitting.joint_turning import HingedJoints, Pose
from gait.fitting.residuals import Leaning
from gait.fitting.weights import FitWeights

CUT_OFF_HZ = 8.0
"""Movements faster than this are smoothed in a joint that is known only as well as ``FitWeights.smooth_rad``. Gait's
power lies below 6 Hz (Winter 1991); a joint well seen is known better and keeps more."""


def smooth_course(pose: Pose, information: Tensor, rate_hz: float, weights: FitWeights) -> Leaning:
    """Smooth the poses of a recording.

    Args:
        pose: T frames.
        information: (T, J + 1) what the markers of a frame know of each joint, 1/rad², and last of the place, 1/m².
        rate_hz: frames a second.
        weights: ``smooth_rad`` and ``smooth_m`` set the scale.
    """
    T, J = pose.rotations.shape[:2]
    quaternion = _continuous_quaternions(pose.rotations).cpu().numpy()
    known = information.double().cpu().numpy()
    stiffness = (rate_hz / (2 * np.pi * CUT_OFF_HZ)) ** 4
    smoothed = np.empty_like(quaternion)
    for j in range(J):
        floor = 1e-4 / weights.smooth_rad**2
        smoothed[:, j] = whittaker(quaternion[:, j], known[:, j] + floor, stiffness / weights.smooth_rad**2)
    place = whittaker(
        pose.translation.cpu().numpy(),
        known[:, J] + 1e-4 / weights.smooth_m**2,
        stiffness / weights.smooth_m**2,
    )
    like = pose.rotations
    q = torch.as_tensor(smoothed, dtype=like.dtype, device=like.device)
    return Leaning(
        rotations=_quaternion_to_matrix(q / q.norm(dim=-1, keepdim=True)),
        translation=torch.as_tensor(place, dtype=like.dtype, device=like.device),
        rotation_precision=torch.full((T, J), 1 / weights.smooth_rad**2, dtype=like.dtype, device=like.device),
        translation_precision=torch.full((T,), 1 / weights.smooth_m**2, dtype=like.dtype, device=like.device),
    )


def whittaker(values: NDArray[np.float64], weight: NDArray[np.float64], stiffness: float) -> NDArray[np.float64]:
    """Smooth columns (T, C) with weights (T,) against their second differences."""
    T = len(values)
    if T < 3:
        return values.copy()
    bands = np.zeros((3, T))  # lower form: main diagonal, first, second below it
    bands[0] = weight
    bands[0, :-2] += stiffness
    bands[0, 1:-1] += 4 * stiffness
    bands[0, 2:] += stiffness
    bands[1, :-2] -= 2 * stiffness
    bands[1, 1:-1] -= 2 * stiffness
    bands[2, :-2] += stiffness
    return solveh_banded(bands, weight[:, None] * values, lower=True, check_finite=False)


def between_frames(pose: Pose, frames: NDArray[np.int64], total: int, hinges: HingedJoints | None) -> Pose:
    """Poses of ``total`` frames from some of them, by interpolation (normalised quaternions, straight lines)."""
    like = pose.rotations
    quaternion = _continuous_quaternions(pose.rotations).cpu().numpy()
    at = np.arange(total)
    right = np.clip(np.searchsorted(frames, at, side="right"), 1, max(len(frames) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(frames) - 1)
    span = np.maximum(frames[right] - frames[left], 1)
    share = np.clip((at - frames[left]) / span, 0, 1)
    q = (1 - share)[:, None, None] * quaternion[left] + share[:, None, None] * quaternion[right]
    place = pose.translation.cpu().numpy()
    t = (1 - share)[:, None] * place[left] + share[:, None] * place[right]
    mixed = torch.as_tensor(q, dtype=like.dtype, device=like.device)
    angles = None
    if pose.angles is not None:
        angle = pose.angles.cpu().numpy()
        a = (1 - share)[:, None, None] * angle[left] + share[:, None, None] * angle[right]
        angles = torch.as_tensor(a, dtype=like.dtype, device=like.device)
    rotations = _quaternion_to_matrix(mixed / mixed.norm(dim=-1, keepdim=True))
    if angles is not None and hinges is not None:
        rotations = torch.where(hinges.hinged[:, None, None], hinges.rotations(angles), rotations)
    return Pose(rotations, torch.as_tensor(t, dtype=like.dtype, device=like.device), angles)


def _continuous_quaternions(rotations: Tensor) -> Tensor:
    """(T, J, 4) quaternions (x, y, z, w) of (T, J, 3, 3) whose signs do not jump from frame to frame."""
    feature = quaternion_feature(matrix_to_axis_angle(rotations))
    q = torch.cat([feature[..., :3], feature[..., 3:] + 1], dim=-1)
    flip = torch.where((q[1:] * q[:-1]).sum(-1, keepdim=True) < 0, -1.0, 1.0).to(q.dtype)
    return torch.cat([q[:1], q[1:] * flip.cumprod(dim=0)], dim=0)


def _quaternion_to_matrix(q: Tensor) -> Tensor:
    """(..., 3, 3) from unit quaternions (x, y, z, w)."""
    v, w = q[..., :3], q[..., 3:]
    norm = v.norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(norm, w)
    scale = torch.where(norm > 1e-12, angle / norm.clamp_min(1e-12), 2 / w.abs().clamp_min(0.5))
    return axis_angle_to_matrix(v * scale)
