"""What clinicians measure of a walk: steps, ranges of joints, trunk and arms, from the 22 joints of a recording.

Angles are those between segments of joint centres, not a clinical model's; ranges compare better than offsets.
Terms and usual values: Winter 1991, The Biomechanics and Motor Control of Human Gait; Perry & Burnfield 2010.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import Joint
from gait.kinematics.gait_events import SIDES, Frames, gait_events, headings, strides
from gait.kinematics.joint_angles import JointAngles, joint_angles
from gait.motion.dataset import Trial

Vector = NDArray[np.float64]

GRAVITY_M_S2 = 9.81
_LEGS = ("PELVIS", "SPINE1", "HIP", "KNEE", "ANKLE", "FOOT")
_UP = np.array([0.0, 1.0, 0.0])
_FLAT_FOOT = (0.15, 0.5)  # of a stance: the foot is flat and its ankle rests over the floor
_BELT_M_S = 0.2  # feet that are slower than this in stance stand on a floor that does not move


@dataclass(frozen=True)
class GaitFeature:
    """One number of a recording."""

    name: str
    unit: str
    meaning: str
    above: str = ""  # joints above the legs that it is measured on, of both sides if there are two

    def shown_without(self, unseen: Collection[Joint]) -> bool:
        """Whether it can be measured although these joints have not been seen."""
        needed = {*_LEGS, *self.above.split()}
        return needed.isdisjoint(joint.name.removeprefix("LEFT_").removeprefix("RIGHT_") for joint in unseen)


FEATURES = (
    GaitFeature("walking_speed", "m/s", "of the pelvis over the floor or the belt, stride by stride"),
    GaitFeature("dimensionless_speed", "1", "speed / sqrt(gravity · leg length) (Hof 1996, Gait & Posture 4:222)"),
    GaitFeature("cadence", "steps/min", "twice the strides of a minute"),
    GaitFeature("step_length", "leg lengths", "half a stride"),
    GaitFeature("step_length_asymmetry", "1", "left and right steps' difference in length, footprint to footprint"),
    GaitFeature("step_width", "leg lengths", "between footprints, across the heading"),
    GaitFeature("double_support", "1", "share of the gait cycle with both feet on the floor"),
    GaitFeature("stance_asymmetry", "1", "difference of the left and right stance's shares of the cycle"),
    GaitFeature("hip_range", "deg", "thigh against pelvis in the sagittal plane, within a stride; both sides"),
    GaitFeature("knee_range", "deg", "thigh against shank within a stride; both sides"),
    GaitFeature("ankle_range", "deg", "shank against foot within a stride; both sides"),
    GaitFeature("swing_knee_flexion", "deg", "greatest in swing; the leg with less"),
    GaitFeature("swing_knee_asymmetry", "deg", "difference of the greatest knee flexions in swing"),
    GaitFeature("stance_knee_flexion", "deg", "mean over stance; the leg with more"),
    GaitFeature("swing_ankle_asymmetry", "deg", "difference of the mean ankle angles in swing"),
    GaitFeature("trunk_lean_ahead", "deg", "hips to neck against the vertical, mean", "NECK"),
    GaitFeature("trunk_sway", "deg", "hips to neck against the vertical, from side to side within a stride", "NECK"),
    GaitFeature(
        "arm_swing",
        "deg",
        "shoulder to wrist in the sagittal plane, within a stride; the arm with less",
        "SHOULDER WRIST",
    ),
)
FEATURE_NAMES = tuple(feature.name for feature in FEATURES)


def feature_table(gaits: Sequence[Trial]) -> Vector:
    """Every feature of every recording, (G, F) in the order of ``FEATURES``; NaN where one does not show it."""
    rows = [gait_features(gait.joints_m, gait.rate_hz, gait.source.unseen_joints) for gait in gaits]
    return np.array([[row[name] for name in FEATURE_NAMES] for row in rows]).reshape(len(rows), len(FEATURES))


def gait_features(joints_m: NDArray[np.floating], rate_hz: float, unseen: Collection[Joint] = ()) -> dict[str, float]:
    """``FEATURES`` of one recording by name; NaN where it does not show one, as without a whole stride or without arms.

    Args:
        joints_m: (T, 22, 3) metres, y up, finite.
        rate_hz: frames a second.
        unseen: joints whose places are guesses.
    """
    walk = _walk(np.asarray(joints_m, dtype=np.float64), rate_hz)
    values = {**_steps(walk), **_joints(walk), **_trunk_and_arms(walk)}
    return {f.name: values[f.name] if f.shown_without(unseen) else math.nan for f in FEATURES}


@dataclass(frozen=True, eq=False)
class _Walk:
    """One recording with its events."""

    joints: Vector  # (T, 22, 3) metres, relative to the floor or the belt
    angles: JointAngles
    ahead: Vector  # (T, 3)
    rate_hz: float
    leg_m: float  # hip to ankle
    strikes: Mapping[str, Frames]
    offs: Mapping[str, Frames]

    def strides(self, side: str) -> Iterator[slice]:
        """From strike to strike of a foot; nobody stands still between."""
        yield from strides(self.strikes[side], self.rate_hz)

    def stances(self, side: str) -> Iterator[slice]:
        """From a foot's strike to its off."""
        yield from _alternating(self.strikes[side], self.offs[side])

    def swings(self, side: str) -> Iterator[slice]:
        """From a foot's off to its strike."""
        yield from _alternating(self.offs[side], self.strikes[side])

    def at(self, name: str) -> Vector:
        """A joint's places (T, 3), or the middle of a left and a right joint's."""
        if name in Joint.__members__:
            return self.joints[:, Joint[name]]
        return 0.5 * (self.at(f"LEFT_{name}") + self.at(f"RIGHT_{name}"))


def _walk(joints: Vector, rate_hz: float) -> _Walk:
    events = gait_events(joints, rate_hz)
    legs = [
        np.linalg.norm(joints[:, Joint[f"{side.upper()}_{a}"]] - joints[:, Joint[f"{side.upper()}_{b}"]], axis=1)
        for side in SIDES
        for a, b in (("HIP", "KNEE"), ("KNEE", "ANKLE"))
    ]
    walk = _Walk(
        joints=joints,
        angles=joint_angles(joints, rate_hz),
        ahead=headings(joints, rate_hz),
        rate_hz=rate_hz,
        leg_m=float(np.median(np.sum(legs, axis=0))) / len(SIDES),
        strikes=events.heel_strikes,
        offs=events.toe_offs,
    )
    belt = _belt_m_s(walk)
    moved = np.arange(len(joints))[:, None] / rate_hz * belt
    return replace(walk, joints=joints - moved[:, None])


def _belt_m_s(walk: _Walk) -> Vector:
    """(3,) how a treadmill carries the flat feet; zero on a floor."""
    velocities = [
        np.median(np.diff(walk.at(f"{side.upper()}_ANKLE")[_flat(stance)], axis=0), axis=0) * walk.rate_hz * [1, 0, 1]
        for side in SIDES
        for stance in walk.stances(side)
        if len(range(*_flat(stance).indices(len(walk.joints)))) > 1
    ]
    belt = np.median(velocities, axis=0) if velocities else np.zeros(3)
    return belt if np.linalg.norm(belt) > _BELT_M_S else np.zeros(3)


def _steps(walk: _Walk) -> dict[str, float]:
    strides = [stride for side in SIDES for stride in walk.strides(side)]
    pelvis = walk.at("PELVIS") * [1, 0, 1]
    times = [(stride.stop - stride.start) / walk.rate_hz for stride in strides]
    ways = [float(np.linalg.norm(pelvis[stride.stop] - pelvis[stride.start])) for stride in strides]
    speed = _mean(np.array(ways) / times)
    shares = {
        side: _mean([_share_of(stance, stride) for stride in walk.strides(side) for stance in walk.stances(side)])
        for side in SIDES
    }
    prints = sorted(
        (stance.start, side, np.median(walk.at(f"{side.upper()}_ANKLE")[_flat(stance)], axis=0))
        for side in SIDES
        for stance in walk.stances(side)
        if stance.stop - stance.start >= 2
    )
    lengths: dict[str, list[float]] = {side: [] for side in SIDES}
    widths = []
    for (_, other, before), (frame, side, place) in pairwise(prints):
        if side != other:
            lengths[side].append(float((place - before) @ walk.ahead[frame]))
            across = np.cross(_UP, walk.ahead[frame]) * (1 if side == "left" else -1)
            widths.append(float((place - before) @ across))
    step = {side: _mean(lengths[side]) for side in SIDES}
    mean_step = 0.5 * (step["left"] + step["right"])
    return {
        "walking_speed": speed,
        "dimensionless_speed": speed / math.sqrt(GRAVITY_M_S2 * walk.leg_m),
        "cadence": 120 / _mean(times),
        "step_length": 0.5 * _mean(ways) / walk.leg_m,
        "step_length_asymmetry": abs(step["left"] - step["right"]) / mean_step if mean_step > 0 else math.nan,
        "step_width": _mean(widths) / walk.leg_m,
        "double_support": shares["left"] + shares["right"] - 1,
        "stance_asymmetry": abs(shares["left"] - shares["right"]),
    }


def _joints(walk: _Walk) -> dict[str, float]:
    hip, knee, ankle = {}, {}, {}
    knee_swing, knee_stance, ankle_swing = {}, {}, {}
    for side in SIDES:
        flexion, foot = walk.angles.knee[side], walk.angles.ankle[side]
        hip[side] = _range(walk.angles.hip[side], walk.strides(side))
        knee[side] = _range(flexion, walk.strides(side))
        ankle[side] = _range(foot, walk.strides(side))
        knee_swing[side] = _mean([flexion[swing].max() for swing in walk.swings(side)])
        knee_stance[side] = _mean([flexion[stance].mean() for stance in walk.stances(side)])
        ankle_swing[side] = _mean([foot[swing].mean() for swing in walk.swings(side)])
    return {
        "hip_range": _mean(list(hip.values())),
        "knee_range": _mean(list(knee.values())),
        "ankle_range": _mean(list(ankle.values())),
        "swing_knee_flexion": float(np.min(list(knee_swing.values()))),
        "swing_knee_asymmetry": abs(knee_swing["left"] - knee_swing["right"]),
        "stance_knee_flexion": float(np.max(list(knee_stance.values()))),
        "swing_ankle_asymmetry": abs(ankle_swing["left"] - ankle_swing["right"]),
    }


def _trunk_and_arms(walk: _Walk) -> dict[str, float]:
    strides = [stride for side in SIDES for stride in walk.strides(side)]
    lean = walk.angles.trunk_lean
    arms = [_range(walk.angles.shoulder[side], iter(strides)) for side in SIDES]
    return {
        "trunk_lean_ahead": _mean([lean[stride].mean() for stride in strides]),
        "trunk_sway": _range(walk.angles.trunk_sway, iter(strides)),
        "arm_swing": float(np.min(arms)),
    }


def _alternating(begins: Frames, ends: Frames) -> Iterator[slice]:
    """From each begin to the next end, if no other begin is between."""
    for k, begin in enumerate(begins):
        later = ends[ends > begin]
        if len(later) and (k + 1 == len(begins) or later[0] <= begins[k + 1]):
            yield slice(int(begin), int(later[0]))


def _flat(stance: slice) -> slice:
    frames = stance.stop - stance.start
    return slice(stance.start + round(_FLAT_FOOT[0] * frames), stance.start + round(_FLAT_FOOT[1] * frames) + 1)


def _share_of(stance: slice, stride: slice) -> float:
    """Of the stride that begins with it; NaN of another."""
    return (stance.stop - stance.start) / (stride.stop - stride.start) if stance.start == stride.start else math.nan


def _range(course: Vector, strides: Iterator[slice]) -> float:
    return _mean([np.ptp(course[stride]) for stride in strides])


def _mean(values: Sequence[float] | Vector) -> float:
    """Of those that are defined."""
    defined = np.asarray(values, dtype=np.float64)
    defined = defined[np.isfinite(defined)]
    return float(defined.mean()) if len(defined) else math.nan
