"""Importance and joint motion over the gait cycle: what of a step mattered, whatever the pace.

A cycle goes from a foot's strike to its next one and is brought to 0..100 % of its own time, as gait laboratories do
(Winter 1991, The Biomechanics and Motor Control of Human Gait), left and right apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import BODY_JOINTS, Joint
from gait.kinematics.gait_events import SIDES, Frames, GaitEvents, gait_events, strides
from gait.kinematics.joint_angles import JointAngles, joint_angles

Vector = NDArray[np.float64]

PERCENT = np.arange(101)
"""Samples of a cycle: percents of it."""
_LEAST_COVERED = 0.5
_LEGS = {side: [Joint[f"{side.upper()}_{name}"] for name in ("HIP", "KNEE", "ANKLE", "FOOT")] for side in SIDES}


@dataclass(frozen=True, eq=False)
class GaitCycle:
    """The mean over all cycles of one foot of which an explanation covers at least half."""

    side: str  # whose strikes: "left" or "right"
    cycles: int  # averaged; 0: nothing below is known
    importance: Vector  # (101, 22) mean; NaN where no cycle is covered
    hip_deg: Vector  # (101,) flexion of this side's hip, mean of the same cycles
    knee_deg: Vector  # (101,) of this side's knee
    ankle_deg: Vector  # (101,) dorsiflexion of this side's ankle from its own mean, which joint centres do not tell
    toe_off_percent: float  # mean of where this foot leaves the floor; NaN if no cycle shows it
    other_strike_percent: float  # mean of where the other foot meets the floor; NaN likewise


@dataclass(frozen=True)
class Phase:
    """A moment of a walk that has a name."""

    name: str  # "left foot strikes"
    frame: int


def gait_cycles(
    values: NDArray[np.floating], joints_m: NDArray[np.floating], rate_hz: float
) -> Mapping[str, GaitCycle]:
    """The mean cycle of either foot, "left" and "right".

    Args:
        values: (T, 22) importance; frames that no window covers are NaN.
        joints_m: (T, 22, 3) of the same frames; metres, y up, finite.
        rate_hz: frames a second.
    """
    events, angles = gait_events(joints_m, rate_hz), joint_angles(joints_m, rate_hz)
    return {side: _gait_cycle(side, np.asarray(values, np.float64), events, angles, rate_hz) for side in SIDES}


def on_own_cycle(importance: Mapping[str, Vector]) -> Vector:
    """(101, 22) importance with each joint over the cycle of its own side; those of the trunk over the left one.

    Args:
        importance: "left" and "right" -> (101, 22) over that foot's cycle.
    """
    own = importance["left"].copy()
    right = [joint for joint in BODY_JOINTS if joint.name.startswith("RIGHT_")]
    own[:, right] = importance["right"][:, right]
    return own


def four_phases(values: NDArray[np.floating], joints_m: NDArray[np.floating], rate_hz: float) -> tuple[Phase, ...]:
    """Four moments of one stride: a foot strikes, mid-stance, it leaves, mid-swing; in time.

    Of the foot whose leg matters more; of its explained strides that one which is nearest to the recording's middle.
    Four evenly spaced moments of what is explained where there is no such stride; none where nothing is explained.

    Args:
        values: as for ``gait_cycles``.
        joints_m: likewise.
        rate_hz: likewise.
    """
    values = np.asarray(values, dtype=np.float64)
    explained = np.flatnonzero(np.isfinite(values).all(axis=1))
    if not len(explained):
        return ()
    events = gait_events(joints_m, rate_hz)
    of_leg = {side: np.abs(values[explained][:, _LEGS[side]]).mean() for side in SIDES}
    for side in sorted(SIDES, key=lambda side: -of_leg[side]):
        found = []
        for stride in strides(events.heel_strikes[side], rate_hz):
            offs = [int(off) for off in events.toe_offs[side] if stride.start < off < stride.stop]
            if offs and np.isin((stride.start, stride.stop), explained).all():
                found.append((stride, offs[0]))
        if found:
            stride, off = min(found, key=lambda one: abs(one[0].start + one[0].stop - len(values)))
            return (
                Phase(f"{side} foot strikes", stride.start),
                Phase(f"{side} mid-stance", (stride.start + off) // 2),
                Phase(f"{side} foot leaves", off),
                Phase(f"{side} mid-swing", (off + stride.stop) // 2),
            )
    spread = explained[np.linspace(0, len(explained) - 1, 6).round().astype(int)[1:5]]
    return tuple(Phase("", int(frame)) for frame in spread)


def _gait_cycle(side: str, values: Vector, events: GaitEvents, angles: JointAngles, rate_hz: float) -> GaitCycle:
    covered = np.asarray(np.isfinite(values).all(axis=1))
    found = [s for s in strides(events.heel_strikes[side], rate_hz) if covered[s].mean() >= _LEAST_COVERED]
    ankle = -_mean_cycle(angles.ankle[side], found)
    other = SIDES[1 - SIDES.index(side)]
    return GaitCycle(
        side=side,
        cycles=len(found),
        importance=_mean_cycle(values, found),
        hip_deg=_mean_cycle(angles.hip[side], found),
        knee_deg=_mean_cycle(angles.knee[side], found),
        ankle_deg=ankle - ankle.mean(),
        toe_off_percent=_mean_percent(events.toe_offs[side], found),
        other_strike_percent=_mean_percent(events.heel_strikes[other], found),
    )


def _mean_cycle(course: Vector, found: Sequence[slice]) -> Vector:
    """(101, ...) mean of the strides of a course (T, ...); at each percent of those that have it there."""
    sums = np.zeros((len(PERCENT), *course.shape[1:]))
    counts = np.zeros_like(sums)
    for stride in found:
        one = _at(course, np.linspace(stride.start, stride.stop, len(PERCENT)))
        has = np.isfinite(one)
        sums += np.where(has, one, 0.0)
        counts += has
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _at(course: Vector, moments: Vector) -> Vector:
    """A course (T, ...) at moments (S,) between frames, on straight lines; NaN beside a frame that is."""
    before = np.minimum(moments.astype(np.int64), len(course) - 1)
    after = np.minimum(before + 1, len(course) - 1)
    share = (moments - before).reshape(-1, *[1] * (course.ndim - 1))
    between = course[before] * (1 - share) + course[after] * share
    return np.where(share == 0, course[before], between)  # a NaN after it does not count there


def _mean_percent(frames: Frames, found: Sequence[slice]) -> float:
    """Where in the strides the first of these frames lies, mean."""
    places = []
    for stride in found:
        inside = frames[(frames > stride.start) & (frames < stride.stop)]
        if len(inside):
            places.append(100 * (inside[0] - stride.start) / (stride.stop - stride.start))
    return float(np.mean(places)) if places else float("nan")
