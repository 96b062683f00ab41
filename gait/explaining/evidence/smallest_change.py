"""The smallest plausible change of a subject's motions after which a network decides otherwise.

What is small is measured in the spread of controls and in the subject's own deviation from them: with the covariance Σ
of a motion's coefficients over controls, and the subject's deviation d from their mean at the same speed, a change c
costs √(cᵀ (¼ Σ + d dᵀ)⁻¹ c). Going back to the controls' mean so costs at most 1, as does half a standard deviation of
the controls, and a change in a direction in which neither controls nor the subject differ costs much. A change that
costs at most 1 per motion, and doesn't lead away from the controls (cᵀ Σ⁻¹ d ≥ 0), is plausible. (With Σ alone, the
cheapest change is of the motion to which the network is most sensitive, whether the subject deviates there or not.)

Few motions are to change. Where the logit is linear, the least sum of costs is that which changes one motion after the
other, each as far as is plausible, in the order of their effect per cost. So that is done, with each effect by the mean
gradient on the way to the controls' mean (Sundararajan et al. 2017, ICML 70:3319), and each direction by the gradient
where it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from gait.arrays import Vector
from gait.body.skeleton import BODY_JOINTS, Joint
from gait.explaining.evidence.cycle_motion import NUM_COEFFICIENTS
from gait.explaining.evidence.motion_windows import MotionWindows
from gait.motion.inputs.rotations import SPINE

MAX_MOTIONS = 20
"""A change of more motions isn't a small one. Up to six are usually enough, but not for a gait that differs in nearly
all joints, as that of Parkinson's disease."""
MAX_CANDIDATES = 30
"""Motions that are tried, so that a search that reaches nothing ends, too."""
MIN_EFFECT = 0.1
"""Logit units by which a motion moves the logit after those before it; otherwise the next candidate is tried."""
MAX_SDS = 3.0
"""A control's motions may change up to so many standard deviations of the controls."""
SDS_BESIDE = 0.5
"""A patient's motions may change by half a standard deviation of the controls beside the way to their mean."""
_SMALL = 1e-9
_GRADIENTS_TO_MEAN = 5
_DIRECTION_STEPS = 3
_POSITION_STEPS, _POSITION_TOLERANCE = 6, 0.1  # logit units
_LIMIT_STEPS = 5


@dataclass(frozen=True)
class ChangedMotion:
    """One motion to change: of one joint, or of the three joints of the spine together, about one axis."""

    joints: tuple[Joint, ...]
    axis: int

    @property
    def joint(self) -> Joint:
        """The joint that names the motion: of the spine the last one, the thorax against the pelvis."""
        return self.joints[-1]


MOTIONS = tuple(
    ChangedMotion(SPINE if joint == SPINE[-1] else (joint,), axis)
    for joint in BODY_JOINTS
    if joint not in SPINE[:-1]
    for axis in range(3)
)


@dataclass(frozen=True, eq=False)
class Step:
    """One motion of a change, changed as far as is plausible, after those before it."""

    motion: ChangedMotion
    coefficients: Vector  # (22, 3, C) radians


@dataclass(frozen=True, eq=False)
class Judged:
    """What a network makes of the walk after a change."""

    logit: float  # mean over all windows of the changed walk
    motions: Vector  # (22, 3, C) by how much they differ from the trial's, also what keeps the feet on the floor
    within_limits: bool = True  # whether no joint is beyond the limits of the body


@dataclass(frozen=True, eq=False)
class Change:
    """Motions changed one after the other; up to a position, from 0 to their number, the first ones wholly."""

    steps: tuple[Step, ...]  # in the order of their effect
    logits: Vector  # (n + 1,) of the walk before, and after each step

    def up_to(self, position: float) -> Vector:
        """Return the change (22, 3, C) up to a position."""
        total = np.zeros((len(BODY_JOINTS), 3, NUM_COEFFICIENTS))
        for number, step in enumerate(self.steps):
            total = total + float(np.clip(position - number, 0, 1)) * step.coefficients
        return total


def find_change(
    windows: MotionWindows,
    deviation: Vector,
    covariance: Vector,
    target: float,
    judge: Callable[[Vector], Judged],
    *,
    left_out: Collection[Joint] = (),
    within_limits: Callable[[Vector], bool] = lambda change: True,
) -> Change:
    """Return a change of at most ``MAX_MOTIONS`` motions that takes the logit to the target, or as far as it goes.

    Args:
        windows: of the trial, for gradients.
        deviation: (22, 3, C) from the trial's motions to the controls' mean, radians.
        covariance: (22, 3, C, C) of controls.
        target: logit; below that of the trial to leave the decision sick, above it for the other one.
        judge: what the network makes of the walk after a change (22, 3, C).
        left_out: joints that must not change, as they are not observed or not used.
        within_limits: whether the body can do a change (22, 3, C); otherwise it is shortened.
    """
    now = judge(np.zeros_like(deviation))
    down = 1.0 if target < now.logit else -1.0
    usable = [motion for motion in MOTIONS if not {*motion.joints} & {*left_out}]
    metrics = {motion: _metric(motion, deviation, covariance, down > 0) for motion in usable}
    on_the_way = (np.arange(_GRADIENTS_TO_MEAN) + 0.5) / _GRADIENTS_TO_MEAN if down > 0 else np.zeros(1)
    gradient = np.mean([windows.logit_and_gradient(t * deviation)[1] for t in on_the_way], axis=0)
    effect = {
        motion: float(np.linalg.norm(metric.step(-down * _of(motion, gradient).ravel())))
        for motion, metric in metrics.items()
    }
    total = np.zeros_like(deviation)
    steps: list[Step] = []
    logits = [now.logit]
    for motion in sorted(usable, key=lambda each: -effect[each])[:MAX_CANDIDATES]:
        if len(steps) == MAX_MOTIONS or down * (now.logit - target) <= 0:
            break
        change = _change_of(motion, windows, now.motions, metrics[motion], down)
        change = _shorten(change, lambda part, before=total: within_limits(before + part))  # type: ignore[misc]
        if not change.any():
            continue
        after = judge(total + change)
        if not after.within_limits:  # a joint that keeps the feet on the floor
            change = 0.5 * change
            after = judge(total + change)
        if not after.within_limits or down * (now.logit - after.logit) < MIN_EFFECT:
            continue  # it does not help after those before it
        total, now = total + change, after
        steps.append(Step(motion, change))
        logits.append(after.logit)
    return Change(tuple(steps), np.array(logits))


def find_position(change: Change, target: float, judge: Callable[[Vector], Judged]) -> float:
    """Return a position at which the logit is just beyond a target; NaN if the whole change does not reach it."""
    down = 1.0 if target < change.logits[0] else -1.0
    beyond = down * (change.logits - target)
    reached = np.flatnonzero(beyond <= 0)
    if not len(reached):
        return float("nan")
    if reached[0] == 0:
        return 0.0
    low, high = float(reached[0] - 1), float(reached[0])
    f_low, f_high = float(beyond[reached[0] - 1]), float(beyond[reached[0]])
    for _ in range(_POSITION_STEPS):
        if f_high > -_POSITION_TOLERANCE:
            break
        share = (f_low + 0.5 * _POSITION_TOLERANCE) / (f_low - f_high)
        middle = low + (high - low) * float(np.clip(share, 0.1, 0.9))
        value = down * (judge(change.up_to(middle)).logit - target)
        if value > 0:
            low, f_low = middle, value
        else:
            high, f_high = middle, value
    return high


@dataclass(frozen=True, eq=False)
class _Metric:
    """What is plausible of one motion: changes L z with ‖z‖ ≤ 1 and zᵀ t ≥ 0."""

    root: Vector  # L (k, k), for k coefficients
    towards: Vector  # t (k,), towards the controls' mean; 0 if every direction is plausible

    def step(self, gradient: Vector) -> Vector:
        """Return the plausible direction z (k,) along a gradient (k,) of the coefficients; its length is the effect."""
        z = np.asarray(self.root.T @ gradient)
        away = min(float(z @ self.towards), 0.0)
        return z - away * self.towards


def _metric(motion: ChangedMotion, deviation: Vector, covariance: Vector, to_controls: bool) -> _Metric:
    own = _of(motion, covariance)
    size = len(own) * NUM_COEFFICIENTS
    spread = np.zeros((size, size))
    for number, block in enumerate(own):
        part = slice(number * NUM_COEFFICIENTS, (number + 1) * NUM_COEFFICIENTS)
        spread[part, part] = block
    if not to_controls:
        return _Metric(_root(MAX_SDS**2 * spread + _SMALL * np.eye(size)), np.zeros(size))
    spread = SDS_BESIDE**2 * spread + _SMALL * np.eye(size)
    d = _of(motion, deviation).ravel()
    root = _root(spread + np.outer(d, d))
    towards = root.T @ np.linalg.solve(spread, d)  # a change c with cᵀ Σ⁻¹ d < 0 leads away from the controls
    return _Metric(root, np.asarray(towards, dtype=np.float64) / max(float(np.linalg.norm(towards)), 1e-12))


def _root(matrix: Vector) -> Vector:
    return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)


def _of(motion: ChangedMotion, values: Vector) -> Vector:
    return np.asarray(values[list(motion.joints), motion.axis])


def _change_of(motion: ChangedMotion, windows: MotionWindows, before: Vector, metric: _Metric, down: float) -> Vector:
    """Return the plausible change (22, 3, C) of one motion with the largest effect on the logit."""
    change = np.zeros_like(before)
    direction = np.zeros(len(metric.root))
    for _ in range(_DIRECTION_STEPS):
        _, gradient = windows.logit_and_gradient(before + change)
        step = metric.step(-down * _of(motion, gradient).ravel())
        direction = direction + step / max(float(np.linalg.norm(step)), 1e-12)
        direction = direction / max(float(np.linalg.norm(direction)), 1e-12)
        change = np.zeros_like(before)
        change[list(motion.joints), motion.axis] = (metric.root @ direction).reshape(len(motion.joints), -1)
    return change


def _shorten(change: Vector, within_limits: Callable[[Vector], bool]) -> Vector:
    """Return the largest part of a change that the body can do."""
    if within_limits(change):
        return change
    low, high = 0.0, 1.0
    for _ in range(_LIMIT_STEPS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if within_limits(middle * change) else (low, middle)
    return low * change
