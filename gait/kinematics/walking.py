"""What a subject does in each frame: walking, standing, turning on the spot or sitting, from joint positions alone.

A foot that swings moves relative to the other one; two feet on the floor, or on one belt, do not. So the speed of one
ankle relative to the other finds steps at any walking speed, on any path, and on a treadmill. Walking is a series of
such swings; without them the subject stands or sits. Turning on the spot is rotation about a vertical axis through, or
close to, the pelvis.

The first step from standing and the last one before it differ from those of a walk at its own pace, which is reached at
the end of the first step (Breniere & Do 1986, J. Biomech. 19:1035), so they count as neither.

Lengths and speeds are in leg lengths (hip to ankle over the knee), so that they hold for children.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector, true_runs
from gait.body.skeleton import Joint
from gait.kinematics.gait_events import progression_directions

Mask = NDArray[np.bool_]

MIN_SWING_LEGS_S = 0.2
"""A foot swings if it moves faster than this relative to the other: in walking at 0.2 m/s, swings peak at 0.5 m/s and
more; in standing, fitted ankles move by less than 0.05 m/s against each other."""
MIN_SWING_LEGS = 0.06
"""A swing of less is no step: steps of shuffling gait move a foot by 0.1 leg lengths or more, shifts of weight by less
than 0.03 (the same bound as for gait events)."""
MAX_DOUBLE_SUPPORT_S = 1.0
"""Longest time between two swings of walking. Double support lasts 0.1 s in normal gait and about 0.7 s at 0.2 m/s with
40 steps per minute; who has both feet at rest for longer stands."""
MAX_UNSEEN_SWING_S = 0.25
"""At an end of the recording, both feet may be at rest so much longer than in the trial's longest double support, as
the slow parts of the swing beside it are not seen as such; longer, the pelvis must move ahead over them."""
MIN_ADVANCE_LEGS_S = 0.1
"""Minimum speed of the pelvis ahead of the feet in double support at an end of the recording, where the next swing is
not seen; half of that of walking at 0.2 m/s."""
MIN_SWINGS = 3
"""Walking from standing to standing has at least these swings; one or two correct the stance."""
MIN_TURN_RAD_S, MIN_TURN_RAD = np.radians([20.0, 45.0])
"""A turn is rotation in one direction faster than the first, by more than the second. The trunk's rotation within a
stride is by less, as hips and shoulders rotate in opposite directions."""
MAX_TURN_RADIUS_LEGS = 0.4
"""The path of the pelvis in a turn on the spot has at most this radius, about 0.3 m; walking on a curve has more."""
MAX_TURN_PAUSE_S = 0.4
"""Turning in steps pauses for no longer."""
MAX_SITTING_LEGS = 0.65
"""Height of the hips above the lower ankle in sitting: it is 0.5 on a chair, and above 0.75 even in severe crouch gait
(60° of knee flexion)."""
_SWING_S = 0.1  # over which speeds of the ankles are measured: shorter than any swing
_TURN_S = 0.4  # over which heading and pelvis are


class Activity(IntEnum):
    """What a subject does in a frame."""

    WALKING = 0
    STANDING = 1
    TURNING = 2  # on the spot
    SITTING = 3
    STARTING = 4  # or stopping: the first or last step of a walk, between standing, turning or sitting and its own pace

    @property
    def noun(self) -> str:
        """Words for sentences and figures."""
        nouns = {Activity.TURNING: "turning on the spot", Activity.STARTING: "starting or stopping"}
        return nouns.get(self, self.name.lower())


@dataclass(frozen=True)
class ActivityInterval:
    """Consecutive frames with one activity."""

    activity: Activity
    first: int  # frame
    end: int  # the frame after the last one


def find_activity(joints_m: NDArray[np.floating], rate_hz: float) -> NDArray[np.uint8]:
    """Return the ``Activity`` in each frame, (T,), of joints (T, 22, 3) in metres, y up, finite."""
    joints = np.asarray(joints_m, dtype=np.float64)
    leg_m = leg_length_m(joints)
    forward = progression_directions(joints, rate_hz)
    swings = _swings(joints, forward, rate_hz, leg_m)
    activity = np.full(len(joints), Activity.STANDING, dtype=np.uint8)
    activity[_stepping(joints, swings, forward, rate_hz, leg_m)] = Activity.WALKING
    activity[_turning(joints, rate_hz, leg_m)] = Activity.TURNING
    activity[_hip_height(joints) < MAX_SITTING_LEGS * leg_m] = Activity.SITTING
    for walk in walking_intervals(activity):
        steps = [swing for swing in swings if swing.start < walk.stop and swing.stop > walk.start]
        if walk.start > 0:
            activity[walk.start : min(steps[0].stop, walk.stop)] = Activity.STARTING
        if walk.stop < len(joints):
            activity[max(steps[-1].start, walk.start) : walk.stop] = Activity.STARTING
    return activity


def activity_intervals(activity: NDArray[np.uint8]) -> tuple[ActivityInterval, ...]:
    """Return the intervals of equal ``Activity`` of frames (T,), in temporal order."""
    edges = [0, *(np.flatnonzero(np.diff(activity)) + 1).tolist(), len(activity)]
    return tuple(ActivityInterval(Activity(activity[i]), i, k) for i, k in pairwise(edges) if k > i)


def walking_intervals(activity: NDArray[np.uint8]) -> tuple[slice, ...]:
    """Return the frames of each walk in the activity (T,) of a trial, in temporal order."""
    return true_runs(activity == Activity.WALKING)


def is_within_walk(frames: slice, walks: Iterable[slice]) -> bool:
    """Return whether the frames of a stride, and the one after them, lie within one of the walks."""
    return any(walk.start <= frames.start and frames.stop < walk.stop for walk in walks)


def format_interruptions(activity: NDArray[np.uint8], rate_hz: float) -> str:
    """Return how long the subject did what other than walking, e.g. "standing 7.0 s, turning on the spot 0.9 s"."""
    frames = {each: int((activity == each).sum()) for each in Activity if each != Activity.WALKING}
    return ", ".join(f"{each.noun} {count / rate_hz:.1f} s" for each, count in frames.items() if count)


def leg_length_m(joints: Vector) -> float:
    """Return the median over frames of the length of a leg, hip to ankle over the knee, mean of both sides, metres."""
    bones = [
        np.linalg.norm(joints[:, Joint[f"{side}_{a}"]] - joints[:, Joint[f"{side}_{b}"]], axis=1)
        for side in ("LEFT", "RIGHT")
        for a, b in (("HIP", "KNEE"), ("KNEE", "ANKLE"))
    ]
    return 0.5 * float(np.median(np.sum(bones, axis=0)))


def _hip_height(joints: Vector) -> Vector:
    """Return the height (T,) of the hips above the lower ankle, metres."""
    hips = 0.5 * (joints[:, Joint.LEFT_HIP, 1] + joints[:, Joint.RIGHT_HIP, 1])
    return hips - np.minimum(joints[:, Joint.LEFT_ANKLE, 1], joints[:, Joint.RIGHT_ANKLE, 1])


def _stepping(joints: Vector, swings: list[slice], forward: Vector, rate_hz: float, leg_m: float) -> Mask:
    """Return the frames (T,) between the first and the last swing of each series of swings."""
    T = len(joints)
    stepping = np.zeros(T, dtype=bool)
    if not swings:
        return stepping
    swings = swings.copy()
    rests = [after.start - before.stop for before, after in pairwise(swings)]
    double_support = max((rest for rest in rests if rest <= MAX_DOUBLE_SUPPORT_S * rate_hz), default=0)
    if _steps_continue(joints, slice(0, swings[0].start), forward, double_support, rate_hz, leg_m):
        swings[0] = slice(0, swings[0].stop)
    if _steps_continue(joints, slice(swings[-1].stop, T), forward, double_support, rate_hz, leg_m):
        swings[-1] = slice(swings[-1].start, T)
    series = [[swings[0]]]
    for before, after in pairwise(swings):
        if after.start - before.stop > MAX_DOUBLE_SUPPORT_S * rate_hz:
            series.append([])
        series[-1].append(after)
    for own in series:
        if len(own) >= MIN_SWINGS or own[0].start == 0 or own[-1].stop == T:
            stepping[own[0].start : own[-1].stop] = True
    return stepping


def _swings(joints: Vector, forward: Vector, rate_hz: float, leg_m: float) -> list[slice]:
    """Return the frames of each swing of either foot, in temporal order; ``forward`` (T, 3) is where the subject faces.

    The left foot swings while it moves forward relative to the right one, which swings in the other frames.
    """
    between = (joints[:, Joint.LEFT_ANKLE] - joints[:, Joint.RIGHT_ANKLE]) * [1, 0, 1]
    velocity = _velocity(between, _SWING_S, rate_hz)
    moves = np.linalg.norm(velocity, axis=1) > MIN_SWING_LEGS_S * leg_m
    left = (velocity * forward).sum(axis=1) > 0
    runs = sorted((*true_runs(moves & left), *true_runs(moves & ~left)), key=lambda run: run.start)
    return [run for run in runs if np.ptp(between[run], axis=0).max() > MIN_SWING_LEGS * leg_m]


def _steps_continue(
    joints: Vector, rest: slice, forward: Vector, double_support: int, rate_hz: float, leg_m: float
) -> bool:
    """Return whether frames without a swing at an end of a recording belong to the walk.

    They are double support if they are hardly longer than the longest one between two swings, in frames, or if the
    pelvis moves ahead over the feet.
    """
    seconds = (rest.stop - rest.start) / rate_hz
    if seconds <= double_support / rate_hz + MAX_UNSEEN_SWING_S:
        return True
    feet = 0.5 * (joints[rest, Joint.LEFT_ANKLE] + joints[rest, Joint.RIGHT_ANKLE])
    ahead = joints[rest, Joint.PELVIS] - feet
    advance_m = float((ahead[-1] - ahead[0]) @ forward[rest].mean(axis=0))
    return seconds <= MAX_DOUBLE_SUPPORT_S and advance_m > MIN_ADVANCE_LEGS_S * leg_m * seconds


def _turning(joints: Vector, rate_hz: float, leg_m: float) -> Mask:
    """Return the frames (T,) of turns on the spot."""
    turning = np.zeros(len(joints), dtype=bool)
    to_left = joints[:, Joint.LEFT_HIP] - joints[:, Joint.RIGHT_HIP]
    to_left = to_left + joints[:, Joint.LEFT_SHOULDER] - joints[:, Joint.RIGHT_SHOULDER]
    heading = np.unwrap(np.arctan2(to_left[:, 0], to_left[:, 2]))
    rate_rad_s = _velocity(heading, _TURN_S, rate_hz)
    speed_m_s = np.linalg.norm(_velocity(joints[:, Joint.PELVIS][:, [0, 2]], _TURN_S, rate_hz), axis=1)
    for sign in (-1, 1):
        on_the_spot = (sign * rate_rad_s > MIN_TURN_RAD_S) & (
            speed_m_s < MAX_TURN_RADIUS_LEGS * leg_m * sign * rate_rad_s
        )
        for run in true_runs(_close_gaps(on_the_spot, round(MAX_TURN_PAUSE_S * rate_hz))):
            if abs(heading[run.stop - 1] - heading[run.start]) > MIN_TURN_RAD:
                turning[run] = True
    return turning


def _velocity(values: Vector, seconds: float, rate_hz: float) -> Vector:
    """Return the mean rate of change of values (T, ...) over so long around each frame, shorter near the ends."""
    frames, half = np.arange(len(values)), max(1, round(0.5 * seconds * rate_hz))
    before, after = np.maximum(frames - half, 0), np.minimum(frames + half, len(values) - 1)
    span = np.maximum(after - before, 1).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((values[after] - values[before]) / span * rate_hz)


def _close_gaps(mask: Mask, max_frames: int) -> Mask:
    """Return the mask (T,) with gaps of at most so many frames between true frames filled."""
    closed = mask.copy()
    for gap in true_runs(~mask):
        if gap.start > 0 and gap.stop < len(mask) and gap.stop - gap.start <= max_frames:
            closed[gap] = True
    return closed
