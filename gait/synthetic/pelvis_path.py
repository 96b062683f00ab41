"""Path of the pelvis, such that both legs reach their footprints with nearly nominal joint angles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.ndimage import gaussian_filter1d
from scipy.sparse.linalg import spsolve

from gait.arrays import Vector
from gait.synthetic.leg_kinematics import LATERAL_SIGNS, MIN_KNEE_FLEXION_RAD
from gait.synthetic.leg_plan import SWAY_FRACTION, LegPlan, Stance
from gait.synthetic.step_plan import StepPlan

# Standard deviations of the least-squares residuals.
_KNEE_RAD = float(np.radians(3.0))  # knee flexion against the nominal one
_MIN_ALONG_M = 0.0012  # lower bound of the resulting tolerance along the leg, reached when the knee is nearly straight
_ACROSS_M = 0.035  # ankle against its nominal position, perpendicular to the leg
_SWAY_M = 0.008  # lateral pelvis position against a sine over the stance feet
_FREE_SWAY_M = 0.04  # the same, if the legs' angles belong to the steps
_UNIFORM_M = 0.02  # forward pelvis position against uniform motion
_SECOND_DIFFERENCE_M, _THIRD_DIFFERENCE_M = 0.3, 0.03  # differences of the spline's coefficients
_KNOT_STRIDES = 0.085  # spacing of the spline's knots
_RELEASE_FRACTION = 0.12  # last fraction of a stance, in which the weight of this leg's targets decreases


def pelvis_path(legs: Mapping[str, LegPlan], plan: StepPlan) -> Vector:
    """Compute the path of the root joint (T, 3), metres, walking along +z.

    Solves linear least squares in the coefficients of a cubic spline. Along a stance leg an error is weighted by the
    change of knee flexion that it causes, which is largest when the knee is nearly straight; perpendicular to the leg
    by the rotation of the hip.
    """
    basis = _spline_basis(plan)
    T, n = basis.shape
    uniform = np.stack([np.zeros(T), np.zeros(T), plan.forward_m], axis=1)
    weights, targets, frames = _targets(legs, plan)
    mean_lag = float(np.mean(targets[:, 2] - plan.forward_m[frames]))
    rows = [scipy.sparse.hstack([basis[frames].multiply(weights[:, i, j, None]) for j in range(3)]) for i in range(3)]
    right_side = [((targets - uniform[frames]) * weights[:, i]).sum(axis=1) for i in range(3)]
    for order, sigma in ((2, _SECOND_DIFFERENCE_M), (3, _THIRD_DIFFERENCE_M)):
        rows.append(scipy.sparse.kron(np.eye(3), np.diff(np.eye(n), order, axis=0) / sigma))
        right_side.append(np.zeros(3 * (n - order)))
    sway = SWAY_FRACTION * float(legs["left"].bones.reach_m(0.2)) * np.sin(2 * np.pi * plan.phase)
    sway_sigma = _FREE_SWAY_M if legs["left"].fits_steps else _SWAY_M
    for axis, series, sigma in ((0, sway, sway_sigma), (2, np.full(T, mean_lag), _UNIFORM_M)):
        rows.append(scipy.sparse.kron(np.eye(3)[axis : axis + 1], basis / sigma))
        right_side.append(series / sigma)
    A, b = scipy.sparse.vstack(rows).tocsc(), np.concatenate(right_side)
    coefficients = spsolve((A.T @ A).tocsc(), A.T @ b)
    return _clamp_to_leg_length(uniform + basis @ coefficients.reshape(3, n).T, legs, plan)


def _targets(legs: Mapping[str, LegPlan], plan: StepPlan) -> tuple[Vector, Vector, NDArray[np.intp]]:
    """Return weights W (F, 3, 3), target roots (F, 3) and frames (F,) of all stance frames: W·(root − target) = 0."""
    weights, targets, frames = [], [], []
    for side, leg in legs.items():
        nominal = leg.nominal_ankle()
        for stance in leg.stances:
            inside = stance.frames_within(plan.time_s)
            thigh = nominal[inside] - leg.hip[inside]
            along = thigh / np.linalg.norm(thigh, axis=1, keepdims=True)
            knee = leg.knee[inside]
            reach_per_rad = np.abs(leg.bones.reach_m(knee + 5e-3) - leg.bones.reach_m(knee - 5e-3)) / 1e-2
            sigma = np.maximum(reach_per_rad * _KNEE_RAD, _MIN_ALONG_M)
            W = (1 / sigma - 1 / _ACROSS_M)[:, None, None] * along[:, :, None] * along[:, None, :]
            W = (W + np.eye(3) / _ACROSS_M) * _stance_weight(stance, plan.time_s[inside])[:, None, None]
            weights.append(W @ np.diag(LATERAL_SIGNS[side]))
            targets.append((stance.ankle_at(plan.time_s[inside]) - nominal[inside]) * LATERAL_SIGNS[side])
            frames.append(inside)
    return np.concatenate(weights), np.concatenate(targets), np.concatenate(frames)


def _stance_weight(stance: Stance, time_s: Vector) -> Vector:
    """Return the weight (T,) of a stance: 1, decreasing at its end, where the leg prepares for swing."""
    remaining = (stance.time_s[-1] - time_s) / (stance.time_s[-1] - stance.time_s[0])
    return np.clip(remaining / _RELEASE_FRACTION, 0.05, 1)


def _clamp_to_leg_length(path: Vector, legs: Mapping[str, LegPlan], plan: StepPlan) -> Vector:
    """Lower the path (T, 3) smoothly where a stance leg could not reach its footprint."""
    path = path.copy()
    for _ in range(4):
        excess = np.zeros(len(path))
        for side, leg in legs.items():
            max_reach = float(leg.bones.reach_m(MIN_KNEE_FLEXION_RAD))
            for stance in leg.stances:
                inside = stance.frames_within(plan.time_s)
                gap = stance.ankle_at(plan.time_s[inside]) - path[inside] * LATERAL_SIGNS[side] - leg.hip[inside]
                over = np.linalg.norm(gap, axis=1) - max_reach
                excess[inside] = np.maximum(excess[inside], over)
        if excess.max() <= 0:
            break
        width = 0.03 / (plan.time_s[1] - plan.time_s[0])
        wide = np.maximum(np.maximum(np.roll(excess, 2), np.roll(excess, -2)), excess)
        path[:, 1] -= 1.1 * gaussian_filter1d(wide, width)
    return path


def _spline_basis(plan: StepPlan) -> scipy.sparse.csr_array:
    """Evaluate n cubic B-splines at all frames, (T, n)."""
    time_s = plan.time_s
    spacing = _KNOT_STRIDES * (time_s[-1] - time_s[0]) / (plan.phase[-1] - plan.phase[0])
    count = int(np.ceil((time_s[-1] - time_s[0]) / spacing)) + 1
    inner = np.linspace(time_s[0], time_s[-1], count)
    step = inner[1] - inner[0]
    knots = np.concatenate([inner[0] - step * np.arange(3, 0, -1), inner, inner[-1] + step * np.arange(1, 4)])
    return BSpline.design_matrix(np.clip(time_s, inner[0], inner[-1] - 1e-9), knots, 3)
