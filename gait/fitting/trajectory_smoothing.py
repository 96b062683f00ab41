"""Smooth, interpolate and fill pose trajectories, so that frames with few markers use neighbouring frames.

The rotations of each joint are smoothed over time, and every frame is weighted by the information that its own markers
give about the joint. Where the information is high, the trajectory follows the frames; in a gap it continues smoothly.
Smoothing minimizes Σ Iₜ|xₜ − qₜ|² + λ Σ|xₜ₋₁ − 2xₜ + xₜ₊₁|² (Whittaker 1923; Eilers 2003, Anal. Chem. 75:3631), where q
are the quaternions or the translation and I is the information.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.linalg import solveh_banded
from torch import Tensor

from gait.fitting.joint_parametrization import ConstrainedJoints, Pose
from gait.fitting.objective_terms import SoftPoseTarget
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver import quaternions

CUTOFF_HZ = 8.0
"""Cut-off frequency for a joint whose information is 1/``ResidualScales.smooth_rad``². The power of gait is below 6 Hz
(Winter 1991). A joint with more information is smoothed less."""
_SEEN = 1e-3
"""Fraction of that information below which the markers do not show a joint: it may be smoothed more."""


def smoothing_stiffness(rate_hz: float) -> float:
    """Return the weight λ of second differences, relative to that of the frames, which cuts off at ``CUTOFF_HZ``."""
    return (rate_hz / (2 * np.pi * CUTOFF_HZ)) ** 4


def smooth_trajectory(pose: Pose, information: Tensor, rate_hz: float, scales: ResidualScales) -> SoftPoseTarget:
    """Smooth the poses of a trial and return them as soft targets.

    ``information`` (T, J + 1) is that about each joint, 1/rad², and last about the translation, 1/m². If its mean
    is less than that of ``CUTOFF_HZ``, it is raised to it, in all frames by the same factor: markers hardly show the
    inversion of a foot, but a lower cut-off would also flatten its flexion.
    """
    T, J = pose.rotations.shape[:2]
    quaternion = _continuous_quaternions(pose.rotations).cpu().numpy()
    variance, variance_m = scales.smooth_rad**2, scales.smooth_m**2
    frame_weight = information.double().cpu().numpy()
    relative = frame_weight.mean(axis=0) * np.r_[np.full(J, variance), variance_m]
    frame_weight = frame_weight / relative.clip(_SEEN, 1.0)
    stiffness = smoothing_stiffness(rate_hz)
    smoothed = np.empty_like(quaternion)
    for j in range(J):
        smoothed[:, j] = whittaker_smooth(quaternion[:, j], frame_weight[:, j] + 1e-4 / variance, stiffness / variance)
    positions = pose.translation.cpu().numpy()
    translation = whittaker_smooth(positions, frame_weight[:, J] + 1e-4 / variance_m, stiffness / variance_m)
    like = pose.rotations
    return SoftPoseTarget(
        rotations=_matrices(torch.as_tensor(smoothed).to(like)),
        translation=torch.as_tensor(translation).to(like),
        rotation_precision=like.new_full((T, J), 1 / variance),
        translation_precision=like.new_full((T,), 1 / variance_m),
    )


def whittaker_smooth(values: NDArray[np.float64], weight: NDArray[np.float64], stiffness: float) -> NDArray[np.float64]:
    """Smooth columns (T, C) with weights (T,) by penalizing their second differences."""
    T = len(values)
    if T < 3:
        return values.copy()
    bands = np.zeros((3, T))  # lower form: main diagonal, first and second subdiagonal
    bands[0] = weight
    bands[0, :-2] += stiffness
    bands[0, 1:-1] += 4 * stiffness
    bands[0, 2:] += stiffness
    bands[1, :-2] -= 2 * stiffness
    bands[1, 1:-1] -= 2 * stiffness
    bands[2, :-2] += stiffness
    return solveh_banded(bands, weight[:, None] * values, lower=True, check_finite=False)


def interpolate_poses(pose: Pose, frames: NDArray[np.int64], total: int, hinges: ConstrainedJoints | None) -> Pose:
    """Interpolate poses to all frames: by cubic splines of quaternions and translation, and linearly over gaps.

    A gap is an interval at least twice as long as the median one. Frames before the first and after the last pose take
    the nearest pose.

    ``frames`` (N,) are those of the given poses, increasing; the result has ``total`` frames.
    """
    T = pose.num_frames
    values = _pose_columns(pose)
    at = np.arange(total).clip(frames[0], frames[-1])
    right = np.searchsorted(frames, at, side="right").clip(1, max(T - 1, 1))
    left = right - 1
    right = np.minimum(right, T - 1)
    span = np.maximum(frames[right] - frames[left], 1)
    t = ((at - frames[left]) / span)[:, None]
    interpolated = (1 - t) * values[left] + t * values[right]
    near = span < 2 * np.median(np.diff(frames)) if T > 3 else np.zeros(total, dtype=bool)
    if near.any():
        interpolated[near] = CubicSpline(frames, values, bc_type="natural")(at[near])
    return _pose_of_columns(interpolated, pose, hinges)


def _pose_columns(pose: Pose) -> NDArray[np.float64]:
    """Return poses as columns that can be interpolated (T, C): quaternions, translation, and angles of hinges."""
    columns = [_continuous_quaternions(pose.rotations).flatten(1), pose.translation]
    if pose.angles is not None:
        columns.append(pose.angles.flatten(1))
    return torch.cat(columns, dim=1).cpu().numpy()


def _pose_of_columns(values: NDArray[np.float64], like: Pose, hinges: ConstrainedJoints | None) -> Pose:
    """Return the poses of interpolated columns (T, C), in the type and on the device of ``like``."""
    J = like.rotations.shape[1]
    columns = torch.as_tensor(values, dtype=like.rotations.dtype, device=like.rotations.device)
    rotations = _matrices(columns[:, : 4 * J].unflatten(1, (J, 4)))
    translation = columns[:, 4 * J : 4 * J + 3].contiguous()
    if like.angles is None or hinges is None:
        return Pose(rotations, translation)
    angles = columns[:, 4 * J + 3 :].unflatten(1, (J, 2))
    return Pose(torch.where(hinges.hinged[:, None, None], hinges.rotations(angles), rotations), translation, angles)


def _continuous_quaternions(rotations: Tensor) -> Tensor:
    """Convert rotations (T, J, 3, 3) to quaternions (T, J, 4), x, y, z, w, without sign changes between frames."""
    q = quaternions.from_matrices(rotations).movedim(0, -1)
    flip = torch.where((q[1:] * q[:-1]).sum(-1, keepdim=True) < 0, -1.0, 1.0).to(q.dtype)
    return torch.cat([q[:1], q[1:] * flip.cumprod(dim=0)], dim=0)


def _matrices(q: Tensor) -> Tensor:
    """Convert quaternions (T, J, 4) of any norm to rotation matrices (T, J, 3, 3)."""
    return quaternions.to_matrices(quaternions.normalize(q.movedim(-1, 0)))
