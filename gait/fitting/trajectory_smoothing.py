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

from gait.fitting.joint_parametrization import ConstrainedJoints, Pose
from gait.fitting.objective_terms import SoftPoseTarget
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver import quaternions as turns

CUT_OFF_HZ = 8.0
"""Movements faster than this are smoothed in a joint that is known only as well as ``ResidualScales.smooth_rad``. Gait's
power lies below 6 Hz (Winter 1991); a joint well seen is known better and keeps more."""

BRIDGE_PIERS = 8
"""Frames on each side of a gap that decide how it is bridged."""


def smooth_course(pose: Pose, information: Tensor, rate_hz: float, weights: ResidualScales) -> SoftPoseTarget:
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
    return SoftPoseTarget(
        rotations=_matrices(q),
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


def between_frames(pose: Pose, frames: NDArray[np.int64], total: int, hinges: ConstrainedJoints | None) -> Pose:
    """Poses of ``total`` frames from some of them: cubic splines of quaternions and places, straight lines over gaps.

    A gap is an interval twice as long as most; before the first frame and after the last one their poses stay.
    """
    T, J = pose.rotations.shape[:2]
    known = [_continuous_quaternions(pose.rotations).reshape(T, 4 * J), pose.translation]
    if pose.angles is not None:
        known.append(pose.angles.flatten(1))
    values = torch.cat(known, dim=1).cpu().numpy()
    at = np.arange(total).clip(frames[0], frames[-1])
    right = np.searchsorted(frames, at, side="right").clip(1, max(T - 1, 1))
    left = right - 1
    right = np.minimum(right, T - 1)
    span = np.maximum(frames[right] - frames[left], 1)
    share = ((at - frames[left]) / span)[:, None]
    between = (1 - share) * values[left] + share * values[right]
    near = span < 2 * np.median(np.diff(frames)) if T > 3 else np.zeros(total, dtype=bool)
    if near.any():
        between[near] = cubic_spline(frames, values, left[near], share[near])
    like = pose.rotations
    mixed = torch.as_tensor(between, dtype=like.dtype, device=like.device)
    rotations = _matrices(mixed[:, : 4 * J].unflatten(1, (J, 4)))
    translation = mixed[:, 4 * J : 4 * J + 3].contiguous()
    if pose.angles is None or hinges is None:
        return Pose(rotations, translation)
    angles = mixed[:, 4 * J + 3 :].unflatten(1, (J, 2))
    return Pose(torch.where(hinges.hinged[:, None, None], hinges.rotations(angles), rotations), translation, angles)


def bridged_course(pose: Pose, held: NDArray[np.bool_], gap: slice, hinges: ConstrainedJoints | None) -> Pose:
    """Poses of the frames of a gap, with the least bend, from the held frames (T,) on both sides of it."""
    J = pose.rotations.shape[1]
    window = slice(max(gap.start - BRIDGE_PIERS, 0), gap.stop + BRIDGE_PIERS)
    around = pose[window]
    known = [_continuous_quaternions(around.rotations).flatten(1), around.translation]
    if around.angles is not None:
        known.append(around.angles.flatten(1))
    values = torch.cat(known, dim=1)
    course = whittaker(values.cpu().numpy(), held[window].astype(np.float64), 1.0)
    inside = course[gap.start - window.start : gap.stop - window.start]
    drawn = torch.as_tensor(inside, dtype=values.dtype, device=values.device)
    rotations, translation = _matrices(drawn[:, : 4 * J].unflatten(1, (J, 4))), drawn[:, 4 * J : 4 * J + 3]
    if pose.angles is None or hinges is None:
        return Pose(rotations, translation)
    angles = drawn[:, 4 * J + 3 :].unflatten(1, (J, 2))
    return Pose(torch.where(hinges.hinged[:, None, None], hinges.rotations(angles), rotations), translation, angles)


def cubic_spline(
    knots: NDArray[np.int64], values: NDArray[np.float64], left: NDArray[np.int64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Natural cubic spline (de Boor 2001, A Practical Guide to Splines, ch. IV); scipy's own takes long to be loaded.

    Args:
        knots: (N,) ascending, four or more.
        values: (N, C) at the knots.
        left: (P,) the knot before each place asked for.
        share: (P, 1) of the way from there to the next knot.
    """
    width = np.diff(knots).astype(float)[:, None]
    slope = np.diff(values, axis=0) / width
    bands = np.zeros((2, len(knots) - 2))
    bands[0] = 2 * (width[:-1, 0] + width[1:, 0])
    bands[1, :-1] = width[1:-1, 0]
    bend = np.zeros_like(values)  # second derivative, zero at both ends
    bend[1:-1] = solveh_banded(bands, 6 * np.diff(slope, axis=0), lower=True, check_finite=False)
    h, a, b = width[left], 1 - share, share
    return a * values[left] + b * values[left + 1] + h**2 / 6 * ((a**3 - a) * bend[left] + (b**3 - b) * bend[left + 1])


def _continuous_quaternions(rotations: Tensor) -> Tensor:
    """(T, J, 4) quaternions (x, y, z, w) of (T, J, 3, 3) whose signs do not jump from frame to frame."""
    q = turns.from_matrices(rotations).movedim(0, -1)
    flip = torch.where((q[1:] * q[:-1]).sum(-1, keepdim=True) < 0, -1.0, 1.0).to(q.dtype)
    return torch.cat([q[:1], q[1:] * flip.cumprod(dim=0)], dim=0)


def _matrices(quaternions: Tensor) -> Tensor:
    """(T, J, 3, 3) from quaternions (T, J, 4) of any length."""
    return turns.to_matrices(turns.normalised(quaternions.movedim(-1, 0)))
