"""The pelvis' way through space, such that both legs reach their footprints with nearly nominal angles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.ndimage import gaussian_filter1d
from scipy.sparse.linalg import spsolve

from gait.synthetic.leg_kinematics import LEAST_KNEE_FLEXION_RAD, OUTWARDS
from gait.synthetic.leg_plan import SWAY_SHARE, PlannedLeg, Stance
from gait.synthetic.step_plan import StepPlan

Vector = NDArray[np.float64]

# How much each wish counts: what is taken as one standard deviation of it.
_KNEE_RAD = float(np.radians(3.0))  # a knee away from its nominal angle ...
_LEAST_ALONG_M = 0.0012  # ... which a nearly straight one shows by this little of its reach
_ACROSS_M = 0.035  # an ankle beside its nominal place, which turns the hip
_SWAY_M = 0.008  # the pelvis away from a sine over the standing feet
_EVEN_M = 0.02  # and from moving evenly forwards
_SECOND_DIFFERENCE_M, _THIRD_DIFFERENCE_M = 0.3, 0.03  # of the spline's coefficients
_KNOT_STRIDES = 0.085
_GIVING_WAY = 0.12  # the last share of a stance, in which the other leg's wishes count more and more


def pelvis_path(legs: Mapping[str, PlannedLeg], plan: StepPlan) -> Vector:
    """Root joint (T, 3), metres, walking along +z: linear least squares in the coefficients of a cubic spline.

    Along a standing leg the error counts by the bend of the knee that it costs, most when the knee is nearly
    straight; across it by the hip's turning.
    """
    basis = _spline_basis(plan)
    T, n = basis.shape
    even = np.stack([np.zeros(T), np.zeros(T), plan.forward_m], axis=1)
    weights, places, frames = _wishes(legs, plan)
    behind = float(np.mean(places[:, 2] - plan.forward_m[frames]))
    rows = [scipy.sparse.hstack([basis[frames].multiply(weights[:, i, j, None]) for j in range(3)]) for i in range(3)]
    wanted = [((places - even[frames]) * weights[:, i]).sum(axis=1) for i in range(3)]
    for order, size in ((2, _SECOND_DIFFERENCE_M), (3, _THIRD_DIFFERENCE_M)):
        rows.append(scipy.sparse.kron(np.eye(3), np.diff(np.eye(n), order, axis=0) / size))
        wanted.append(np.zeros(3 * (n - order)))
    sway = SWAY_SHARE * float(legs["left"].bones.reach_m(0.2)) * np.sin(2 * np.pi * plan.phase)
    for axis, course, size in ((0, sway, _SWAY_M), (2, np.full(T, behind), _EVEN_M)):
        rows.append(scipy.sparse.kron(np.eye(3)[axis : axis + 1], basis / size))
        wanted.append(course / size)
    A, b = scipy.sparse.vstack(rows).tocsc(), np.concatenate(wanted)
    coefficients = spsolve((A.T @ A).tocsc(), A.T @ b)
    return _within_reach(even + basis @ coefficients.reshape(3, n).T, legs, plan)


def _wishes(legs: Mapping[str, PlannedLeg], plan: StepPlan) -> tuple[Vector, Vector, NDArray[np.intp]]:
    """For every frame of every stance: weight W (F, 3, 3), wanted root (F, 3) and frame (F,), W·(root − wanted) = 0."""
    weights, places, frames = [], [], []
    for side, leg in legs.items():
        nominal = leg.nominal_ankle()
        for stance in leg.stances:
            inside = stance.frames(plan.time_s)
            thigh = nominal[inside] - leg.hip[inside]
            along = thigh / np.linalg.norm(thigh, axis=1, keepdims=True)
            knee = leg.knee[inside]
            reach_per_rad = np.abs(leg.bones.reach_m(knee + 5e-3) - leg.bones.reach_m(knee - 5e-3)) / 1e-2
            size = np.maximum(reach_per_rad * _KNEE_RAD, _LEAST_ALONG_M)
            W = (1 / size - 1 / _ACROSS_M)[:, None, None] * along[:, :, None] * along[:, None, :]
            W = (W + np.eye(3) / _ACROSS_M) * _standing(stance, plan.time_s[inside])[:, None, None]
            weights.append(W @ np.diag(OUTWARDS[side]))
            places.append((stance.at(plan.time_s[inside]) - nominal[inside]) * OUTWARDS[side])
            frames.append(inside)
    return np.concatenate(weights), np.concatenate(places), np.concatenate(frames)


def _standing(stance: Stance, time_s: Vector) -> Vector:
    """(T,) 1, and falling at the end: a leg about to swing gives way."""
    left = (stance.time_s[-1] - time_s) / (stance.time_s[-1] - stance.time_s[0])
    return np.clip(left / _GIVING_WAY, 0.05, 1)


def _within_reach(path: Vector, legs: Mapping[str, PlannedLeg], plan: StepPlan) -> Vector:
    """The path lowered, smoothly, where a standing leg would have to be longer than it is."""
    path = path.copy()
    for _ in range(4):
        excess = np.zeros(len(path))
        for side, leg in legs.items():
            furthest = float(leg.bones.reach_m(LEAST_KNEE_FLEXION_RAD))
            for stance in leg.stances:
                inside = stance.frames(plan.time_s)
                gap = stance.at(plan.time_s[inside]) - path[inside] * OUTWARDS[side] - leg.hip[inside]
                over = np.linalg.norm(gap, axis=1) - furthest
                excess[inside] = np.maximum(excess[inside], over)
        if excess.max() <= 0:
            break
        width = 0.03 / (plan.time_s[1] - plan.time_s[0])
        wide = np.maximum(np.maximum(np.roll(excess, 2), np.roll(excess, -2)), excess)
        path[:, 1] -= 1.1 * gaussian_filter1d(wide, width)
    return path


def _spline_basis(plan: StepPlan) -> scipy.sparse.csr_array:
    """(T, n) cubic B-splines."""
    time_s = plan.time_s
    spacing = _KNOT_STRIDES * (time_s[-1] - time_s[0]) / (plan.phase[-1] - plan.phase[0])
    count = int(np.ceil((time_s[-1] - time_s[0]) / spacing)) + 1
    inner = np.linspace(time_s[0], time_s[-1], count)
    step = inner[1] - inner[0]
    knots = np.concatenate([inner[0] - step * np.arange(3, 0, -1), inner, inner[-1] + step * np.arange(1, 4)])
    return BSpline.design_matrix(np.clip(time_s, inner[0], inner[-1] - 1e-9), knots, 3)
