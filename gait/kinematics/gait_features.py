"""Gait features of a trial: spatio-temporal parameters and ranges of motion, from the 22 joints.

Angles are between segments that connect joint centres, not those of a clinical model; ranges compare better than
offsets. Terms and normative values: Winter 1991, The Biomechanics and Motor Control of Human Gait; Perry & Burnfield
2010, Gait Analysis.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.skeleton import Joint
from gait.constants import GRAVITY_M_S2
from gait.kinematics.gait_events import SIDES, detect_gait_events, find_strides, nearest_frames, progression_directions
from gait.kinematics.joint_angles import JointAngles, compute_joint_angles
from gait.kinematics.walking import is_within_walk, walking_intervals

_LEGS = ("PELVIS", "SPINE1", "HIP", "KNEE", "ANKLE", "FOOT")
_UP = np.array([0.0, 1.0, 0.0])
_FOOT_FLAT_PHASE = (0.15, 0.5)  # fraction of stance during which the foot is flat and the ankle at rest over the floor
_MIN_BELT_M_S = 0.2  # a slower median velocity of the flat feet means that there is no treadmill


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
    GaitFeature("walking_speed", "m/s", "of the pelvis relative to the floor or the belt, mean over strides"),
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
    motion = _trial_motion(np.asarray(joints_m, dtype=np.float64), rate_hz)
    if activity is not None:
        motion = replace(motion, walks=walking_intervals(activity))
    values = {**_spatiotemporal_features(motion), **_joint_features(motion), **_upper_body_features(motion)}
    return {f.name: values[f.name] if f.is_measurable_without(undetermined) else math.nan for f in FEATURES}


@dataclass(frozen=True, eq=False)
class _TrialMotion:
    """Joints, angles and events of one trial."""

    joints: Vector  # (T, 22, 3) metres, relative to the floor or the treadmill belt
    angles: JointAngles
    forward: Vector  # (T, 3) direction of progression
    rate_hz: float
    leg_m: float  # hip to ankle over the knee
    contacts: Mapping[str, Vector]  # side -> (n,) frames
    offs: Mapping[str, Vector]
    walks: Sequence[slice] | None = None  # frames of each walk; None: all frames

    def strides(self, side: str) -> Iterator[slice]:
        """Yield the strides of a side, from initial contact to initial contact, without standing pauses."""
        yield from self._within_walks(find_strides(self.contacts[side], self.rate_hz))

    def stances(self, side: str) -> Iterator[slice]:
        """Yield the stance phases of a side, from initial contact to foot off."""
        yield from self._within_walks(_alternating(self.contacts[side], self.offs[side]))

    def swings(self, side: str) -> Iterator[slice]:
        """Yield the swing phases of a side, from foot off to initial contact."""
        yield from self._within_walks(_alternating(self.offs[side], self.contacts[side]))

    def _within_walks(self, phases: Iterable[slice]) -> Iterator[slice]:
        for phase in phases:
            if self.walks is None or is_within_walk(phase, self.walks):
                yield phase

    def position(self, name: str) -> Vector:
        """Return the positions (T, 3) of a joint, or of the midpoint of a left and a right joint."""
        if name in Joint.__members__:
            return self.joints[:, Joint[name]]
        return 0.5 * (self.position(f"LEFT_{name}") + self.position(f"RIGHT_{name}"))


def _trial_motion(joints: Vector, rate_hz: float) -> _TrialMotion:
    events = detect_gait_events(joints, rate_hz)
    legs = [
        np.linalg.norm(joints[:, Joint[f"{side.upper()}_{a}"]] - joints[:, Joint[f"{side.upper()}_{b}"]], axis=1)
        for side in SIDES
        for a, b in (("HIP", "KNEE"), ("KNEE", "ANKLE"))
    ]
    motion = _TrialMotion(
        joints=joints,
        angles=compute_joint_angles(joints, rate_hz),
        forward=progression_directions(joints, rate_hz),
        rate_hz=rate_hz,
        leg_m=float(np.median(np.sum(legs, axis=0))) / len(SIDES),
        contacts=events.initial_contacts,
        offs=events.foot_offs,
    )
    belt = _belt_velocity_m_s(motion)
    belt_path = np.arange(len(joints))[:, None] / rate_hz * belt
    return replace(motion, joints=joints - belt_path[:, None])


def _belt_velocity_m_s(motion: _TrialMotion) -> Vector:
    """Return the velocity of a treadmill belt, (3,), from that of the flat feet; zero on the floor."""
    velocities = [
        np.median(np.diff(motion.position(f"{side.upper()}_ANKLE")[_foot_flat(stance)], axis=0), axis=0)
        * motion.rate_hz
        * [1, 0, 1]
        for side in SIDES
        for stance in motion.stances(side)
        if len(range(*_foot_flat(stance).indices(len(motion.joints)))) > 1
    ]
    belt = np.median(velocities, axis=0) if velocities else np.zeros(3)
    return belt if np.linalg.norm(belt) > _MIN_BELT_M_S else np.zeros(3)


def _spatiotemporal_features(motion: _TrialMotion) -> dict[str, float]:
    strides = [stride for side in SIDES for stride in motion.strides(side)]
    pelvis = motion.position("PELVIS") * [1, 0, 1]
    times = [(stride.stop - stride.start) / motion.rate_hz for stride in strides]
    distances = [float(np.linalg.norm(pelvis[stride.stop] - pelvis[stride.start])) for stride in strides]
    speed = _mean(np.array(distances) / times)
    stance_fraction = {
        side: _mean([_fraction_of_stride(t, stride) for stride in motion.strides(side) for t in motion.stances(side)])
        for side in SIDES
    }
    footprints = sorted(
        (stance.start, side, np.median(motion.position(f"{side.upper()}_ANKLE")[_foot_flat(stance)], axis=0))
        for side in SIDES
        for stance in motion.stances(side)
        if stance.stop - stance.start >= 2
    )
    lengths: dict[str, list[float]] = {side: [] for side in SIDES}
    widths = []
    for (_, previous_side, previous), (frame, side, position) in pairwise(footprints):
        if side != previous_side:
            lengths[side].append(float((position - previous) @ motion.forward[frame]))
            across = np.cross(_UP, motion.forward[frame]) * (1 if side == "left" else -1)
            widths.append(float((position - previous) @ across))
    step = {side: _mean(lengths[side]) for side in SIDES}
    mean_step = 0.5 * (step["left"] + step["right"])
    return {
        "walking_speed": speed,
        "dimensionless_speed": speed / math.sqrt(GRAVITY_M_S2 * motion.leg_m),
        "cadence": 120 / _mean(times),
        "step_length": 0.5 * _mean(distances) / motion.leg_m,
        "step_length_asymmetry": abs(step["left"] - step["right"]) / mean_step if mean_step > 0 else math.nan,
        "step_width": _mean(widths) / motion.leg_m,
        "double_support": stance_fraction["left"] + stance_fraction["right"] - 1,
        "stance_asymmetry": abs(stance_fraction["left"] - stance_fraction["right"]),
    }


def _joint_features(motion: _TrialMotion) -> dict[str, float]:
    hip, knee, ankle = motion.angles.hip, motion.angles.knee, motion.angles.ankle

    def mean_range(curves: Mapping[str, Vector]) -> float:
        return _mean([_mean_range(curves[side], motion.strides(side)) for side in SIDES])

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
    strides = [stride for side in SIDES for stride in motion.strides(side)]
    lean = motion.angles.trunk_lean
    arms = [_mean_range(motion.angles.shoulder[side], strides) for side in SIDES]
    return {
        "trunk_lean": _mean([lean[stride].mean() for stride in strides]),
        "trunk_sway": _mean_range(motion.angles.trunk_sway, strides),
        "arm_swing": float(np.min(arms)),
    }


def _alternating(beginnings: Vector, ends_at: Vector) -> Iterator[slice]:
    """Yield a slice from each begin to the next end, if there is no other begin between them."""
    begins, ends = nearest_frames(beginnings), nearest_frames(ends_at)
    for k, begin in enumerate(begins):
        later = ends[ends > begin]
        if len(later) and (k + 1 == len(begins) or later[0] <= begins[k + 1]):
            yield slice(int(begin), int(later[0]))


def _foot_flat(stance: slice) -> slice:
    """Return the frames of a stance phase in which the foot is flat."""
    frames = stance.stop - stance.start
    begin, end = (stance.start + round(fraction * frames) for fraction in _FOOT_FLAT_PHASE)
    return slice(begin, end + 1)


def _fraction_of_stride(stance: slice, stride: slice) -> float:
    """Return the duration of a stance as a fraction of the stride that begins with it; NaN for other strides."""
    return (stance.stop - stance.start) / (stride.stop - stride.start) if stance.start == stride.start else math.nan


def _mean_range(curve: Vector, strides: Iterable[slice]) -> float:
    """Return the mean over strides of the range of a curve (T,)."""
    return _mean([np.ptp(curve[stride]) for stride in strides])


def _mean(values: Sequence[float] | Vector) -> float:
    """Return the mean of the finite values, NaN if there are none."""
    defined = np.asarray(values, dtype=np.float64)
    defined = defined[np.isfinite(defined)]
    return float(defined.mean()) if len(defined) else math.nan
