"""Gait features of a trial: spatio-temporal parameters and ranges of motion, from the 22 joints.

Angles are between segments that connect joint centres, not those of a clinical model; ranges compare better than
offsets. Terms and normative values: Winter 1991, The Biomechanics and Motor Control of Human Gait; Perry & Burnfield
2010, Gait Analysis.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.skeleton import Joint
from gait.constants import GRAVITY_M_S2
from gait.kinematics.gait_events import SIDES, GaitEvents, detect_gait_events
from gait.kinematics.segment_angles import SegmentAngles, compute_segment_angles
from gait.kinematics.spatiotemporal import FootPath, belt_velocity_m_s, stride_parameters
from gait.kinematics.strides import Stride, find_phases, find_trial_strides
from gait.kinematics.walking import is_within_walk, leg_length_m, walking_intervals

_LEGS = ("PELVIS", "SPINE1", "HIP", "KNEE", "ANKLE", "FOOT")


@dataclass(frozen=True)
class GaitFeature:
    """Definition of a scalar feature of a trial."""

    name: str
    unit: str
    description: str
    upper_body_joints: str = ""  # names without side of the upper-body joints that it needs

    def is_measurable_without(self, undetermined: Collection[Joint]) -> bool:
        """Return whether the feature needs none of these joints."""
        needed = {*_LEGS, *self.upper_body_joints.split()}
        return needed.isdisjoint(joint.name.removeprefix("LEFT_").removeprefix("RIGHT_") for joint in undetermined)


FEATURES = (
    GaitFeature("walking_speed", "m/s", "stride length over stride time, mean over strides"),
    GaitFeature("dimensionless_speed", "1", "speed / sqrt(gravity · leg length) (Hof 1996, Gait & Posture 4:222)"),
    GaitFeature("cadence", "steps/min", "steps per minute"),
    GaitFeature("step_length", "leg lengths", "half of the stride length"),
    GaitFeature("step_length_asymmetry", "1", "difference of left and right step length over their mean"),
    GaitFeature("step_width", "leg lengths", "distance between footprints across the direction of progression"),
    GaitFeature("double_support", "1", "fraction of the gait cycle with both feet on the floor"),
    GaitFeature("stance_asymmetry", "1", "difference of left and right stance as fractions of the gait cycle"),
    GaitFeature("hip_range", "deg", "range of hip flexion within a stride, mean of both sides"),
    GaitFeature("knee_range", "deg", "range of knee flexion within a stride, mean of both sides"),
    GaitFeature("ankle_range", "deg", "range of the ankle angle within a stride, mean of both sides"),
    GaitFeature("swing_knee_flexion", "deg", "peak knee flexion in swing, side with the smaller value"),
    GaitFeature("swing_knee_asymmetry", "deg", "difference of left and right peak knee flexion in swing"),
    GaitFeature("stance_knee_flexion", "deg", "mean knee flexion in stance, side with the larger value"),
    GaitFeature("swing_ankle_asymmetry", "deg", "difference of left and right mean ankle angle in swing"),
    GaitFeature("trunk_lean", "deg", "mean forward lean of the trunk, hips to neck against the vertical", "NECK"),
    GaitFeature("trunk_sway", "deg", "range of lateral trunk lean within a stride", "NECK"),
    GaitFeature(
        "arm_swing",
        "deg",
        "range of shoulder flexion within a stride, side with the smaller value",
        "SHOULDER WRIST",
    ),
)
FEATURE_NAMES = tuple(feature.name for feature in FEATURES)


def compute_gait_features(
    joints_m: NDArray[np.floating],
    rate_hz: float,
    undetermined: Collection[Joint] = (),
    activity: NDArray[np.uint8] | None = None,
) -> dict[str, float]:
    """Compute ``FEATURES``, name -> value, of a trial's joints (T, 22, 3) in metres, y up, finite.

    A feature is NaN if it cannot be measured: without a complete stride, or if a joint that it needs is not determined
    by the markers. Strides, stances and swings lie within walks, by the ``Activity`` of each frame (T,).
    """
    motion = _trial_motion(np.asarray(joints_m, dtype=np.float64), rate_hz, activity)
    values = {**_spatiotemporal_features(motion), **_joint_features(motion), **_upper_body_features(motion)}
    return {f.name: values[f.name] if f.is_measurable_without(undetermined) else math.nan for f in FEATURES}


@dataclass(frozen=True, eq=False)
class _TrialMotion:
    """Angles, events and strides of one trial, and the parameters of each stride."""

    angles: SegmentAngles
    leg_m: float  # hip to ankle over the knee
    events: GaitEvents
    strides: Mapping[str, Sequence[Stride]]  # by side
    parameters: Mapping[tuple[str, str], Vector]  # (parameter name, side) -> (n,)
    walks: Sequence[slice] | None  # frames of each walk; None: all frames

    def stances(self, side: str) -> Iterator[slice]:
        """Yield the stance phases of a side, from initial contact to foot off."""
        yield from self._within_walks(find_phases(self.events.initial_contacts[side], self.events.foot_offs[side]))

    def swings(self, side: str) -> Iterator[slice]:
        """Yield the swing phases of a side, from foot off to initial contact."""
        yield from self._within_walks(find_phases(self.events.foot_offs[side], self.events.initial_contacts[side]))

    def _within_walks(self, phases: Iterable[tuple[float, float]]) -> Iterator[slice]:
        for begin, end in phases:
            phase = slice(round(begin), round(end))
            if self.walks is None or is_within_walk(phase, self.walks):
                yield phase

    def mean(self, parameter: str, side: str = "") -> float:
        """Return the mean of a parameter over the strides of a side, or of both."""
        return _mean(np.concatenate([self.parameters[parameter, own] for own in ([side] if side else SIDES)]))


def _trial_motion(joints: Vector, rate_hz: float, activity: NDArray[np.uint8] | None) -> _TrialMotion:
    events = detect_gait_events(joints, rate_hz)
    walks = None if activity is None else walking_intervals(activity)
    strides = find_trial_strides(events, joints, rate_hz, walks)
    ankles = {side: joints[:, Joint[f"{side.upper()}_ANKLE"]] for side in SIDES}
    belt_path_m = np.arange(len(joints))[:, None] / rate_hz * belt_velocity_m_s(ankles, events, rate_hz)
    feet = {side: FootPath(ankle - belt_path_m) for side, ankle in ankles.items()}
    return _TrialMotion(
        angles=compute_segment_angles(joints, rate_hz),
        leg_m=leg_length_m(joints),
        events=events,
        strides=strides,
        parameters=stride_parameters(feet, events, strides),
        walks=walks,
    )


def _spatiotemporal_features(motion: _TrialMotion) -> dict[str, float]:
    speed = motion.mean("walking_speed")
    steps = {side: motion.mean("step_length", side) for side in SIDES}
    for side, other in zip(SIDES, reversed(SIDES), strict=True):
        if not math.isfinite(steps[side]):  # a stride of the other side has a step of this one as well
            steps[side] = motion.mean("stride_length", other) - motion.mean("step_length", other)
    mean_step = 0.5 * (steps["left"] + steps["right"])
    return {
        "walking_speed": speed,
        "dimensionless_speed": speed / math.sqrt(GRAVITY_M_S2 * motion.leg_m),
        "cadence": 120 / motion.mean("stride_time"),
        "step_length": 0.5 * motion.mean("stride_length") / motion.leg_m,
        "step_length_asymmetry": abs(steps["left"] - steps["right"]) / mean_step if mean_step > 0 else math.nan,
        "step_width": motion.mean("step_width") / motion.leg_m,
        "double_support": motion.mean("double_support") / 100,
        "stance_asymmetry": abs(motion.mean("stance", "left") - motion.mean("stance", "right")) / 100,
    }


def _joint_features(motion: _TrialMotion) -> dict[str, float]:
    hip, knee, ankle = motion.angles.hip, motion.angles.knee, motion.angles.ankle

    def mean_range(curves: Mapping[str, Vector]) -> float:
        return _mean([_mean_range(curves[side], motion.strides[side]) for side in SIDES])

    knee_swing = [_mean([knee[side][swing].max() for swing in motion.swings(side)]) for side in SIDES]
    knee_stance = [_mean([knee[side][stance].mean() for stance in motion.stances(side)]) for side in SIDES]
    ankle_swing = [_mean([ankle[side][swing].mean() for swing in motion.swings(side)]) for side in SIDES]
    return {
        "hip_range": mean_range(hip),
        "knee_range": mean_range(knee),
        "ankle_range": mean_range(ankle),
        "swing_knee_flexion": float(np.min(knee_swing)),
        "swing_knee_asymmetry": abs(knee_swing[0] - knee_swing[1]),
        "stance_knee_flexion": float(np.max(knee_stance)),
        "swing_ankle_asymmetry": abs(ankle_swing[0] - ankle_swing[1]),
    }


def _upper_body_features(motion: _TrialMotion) -> dict[str, float]:
    strides = [stride for side in SIDES for stride in motion.strides[side]]
    lean = motion.angles.trunk_lean
    arms = [_mean_range(motion.angles.shoulder[side], strides) for side in SIDES]
    return {
        "trunk_lean": _mean([lean[stride.frames].mean() for stride in strides]),
        "trunk_sway": _mean_range(motion.angles.trunk_sway, strides),
        "arm_swing": float(np.min(arms)),
    }


def _mean_range(curve: Vector, strides: Iterable[Stride]) -> float:
    """Return the mean over strides of the range of a curve (T,)."""
    return _mean([np.ptp(curve[stride.frames]) for stride in strides])


def _mean(values: Sequence[float] | Vector) -> float:
    """Return the mean of the finite values, NaN if there are none."""
    defined = np.asarray(values, dtype=np.float64)
    defined = defined[np.isfinite(defined)]
    return float(defined.mean()) if len(defined) else math.nan
