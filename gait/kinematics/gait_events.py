"""When the feet meet the floor and leave it, from joints alone.

Zeni, Richards & Higginson 2008, Gait & Posture 27:710, the coordinate method: a foot strikes where it is farthest ahead
of the pelvis along the heading, and leaves where it is farthest behind. Needs no floor and no force plate, and works on
a treadmill. The ankle stands for the heel, which is no joint; the ball of the foot for the toes.

Where a foot is farthest, it moves along with the pelvis, and is therefore still, or again, in swing: 30 ms before it
strikes in healthy gait, 50 ms with a drop foot. The event is put where the foot moves at half the speed over the floor;
a strike, where a foot is held over its place and then set down, to where it comes down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from gait.body.skeleton import Joint

Vector = NDArray[np.float64]
Frames = NDArray[np.int64]

SIDES = ("left", "right")
_UP = np.array([0.0, 1.0, 0.0])
_HEADING_S = 1.2  # about one stride, so that the pelvis's own turning and swaying cancel
_STANDS_M_S, _WALKS_M_S = 0.15, 0.45  # of the pelvis; between these, the heading goes over from facing to path
_LEAST_SHARE = 0.3  # of a foot's usual way to and fro: less is no step
_LEAST_WAY = 0.06  # of the leg's length: neither is this, when somebody stands
_LONGEST_LANDING_S = 0.1
_LONGEST_DROP_S = 0.06
_SPEED_S = 0.02  # before and after a frame, for its speed
_LONGEST_STRIDE_S = 3.0


@dataclass(frozen=True, eq=False)
class GaitEvents:
    """Frames of one recording, in time, by side. Strikes and offs of a foot alternate; ends may lack one."""

    heel_strikes: Mapping[str, Frames]  # "left" and "right" -> (n,)
    toe_offs: Mapping[str, Frames]


def heel_strikes(joints_m: NDArray[np.floating], rate_hz: float) -> Mapping[str, Frames]:
    """Frames in which each foot meets the floor: "left" and "right" -> (n,), as in ``gait_events``."""
    return gait_events(joints_m, rate_hz).heel_strikes


def gait_events(joints_m: NDArray[np.floating], rate_hz: float) -> GaitEvents:
    """Heel strikes and toe offs of a recording; none where nobody steps.

    A strike or an off whose swing or stance the recording does not show is left out, as it could be any frame.

    Args:
        joints_m: (T, 22, 3) metres, y up, finite.
        rate_hz: frames a second.
    """
    joints = np.asarray(joints_m, dtype=np.float64)
    ahead = headings(joints, rate_hz)
    strikes, offs = {}, {}
    for side in SIDES:
        hip, knee, ankle, ball = (joints[:, Joint[f"{side.upper()}_{n}"]] for n in ("HIP", "KNEE", "ANKLE", "FOOT"))
        leg = np.median(np.linalg.norm(knee - hip, axis=1) + np.linalg.norm(ankle - knee, axis=1))
        of_ankle, of_ball = (((part - joints[:, Joint.PELVIS]) * ahead).sum(axis=1) for part in (ankle, ball))
        strikes[side] = _set_down(
            ankle[:, 1], _towards_stance(of_ankle, *_turning_points(of_ankle, _LEAST_WAY * leg), rate_hz), rate_hz
        )
        offs[side] = (
            len(joints)
            - 1
            - _towards_stance(-of_ball[::-1], *_turning_points(-of_ball[::-1], _LEAST_WAY * leg), rate_hz)[::-1]
        )
    return GaitEvents(strikes, offs)


def strides(strikes: Frames, rate_hz: float) -> list[slice]:
    """Frames from each strike of a foot to its next one, strides in which somebody stands still left out."""
    pairs = zip(strikes[:-1].tolist(), strikes[1:].tolist(), strict=True)
    return [slice(begin, end) for begin, end in pairs if end - begin <= _LONGEST_STRIDE_S * rate_hz]


def headings(joints_m: NDArray[np.floating], rate_hz: float) -> Vector:
    """Where somebody walks to in each frame, over about a stride: (T, 3) unit vectors on the floor.

    The way of the pelvis; where there is little, as on a treadmill or in standing, where hips and shoulders face. One a
    frame, as steps follow each turn; ``alignment`` has another one, for a window as a whole, which it turns as a whole.

    Args:
        joints_m: (T, 22, 3) metres, y up, finite.
        rate_hz: frames a second.
    """
    joints = np.asarray(joints_m, dtype=np.float64)
    T = len(joints)
    span = min(round(_HEADING_S * rate_hz), T - 1)
    to_left = joints[:, Joint.LEFT_HIP] - joints[:, Joint.RIGHT_HIP]
    to_left = to_left + joints[:, Joint.LEFT_SHOULDER] - joints[:, Joint.RIGHT_SHOULDER]
    facing = _unit(uniform_filter1d(np.cross(to_left, _UP), max(span, 1), axis=0, mode="nearest"))
    if span < 1:
        return facing
    begin = np.clip(np.arange(T) - span // 2, 0, T - 1 - span)
    place = joints[:, Joint.PELVIS] * [1, 0, 1]
    way = place[begin + span] - place[begin]
    speed = np.linalg.norm(way, axis=1, keepdims=True) * rate_hz / span
    walks = np.clip((speed - _STANDS_M_S) / (_WALKS_M_S - _STANDS_M_S), 0, 1)
    return _unit(walks * _unit(way) + (1 - walks) * facing)


def _unit(vectors: Vector) -> Vector:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _turning_points(course: Vector, least: float) -> tuple[Frames, Frames]:
    """Frames of the maxima and the minima of a course (T,), alternating.

    Between two of them the course goes by at least ``least`` and by a good share of what it usually does; the same
    holds between them and the ends.
    """
    low, high = np.percentile(course, [5, 95])
    least = max(least, _LEAST_SHARE * (high - low))
    found: dict[bool, list[int]] = {True: [], False: []}
    top = bottom = 0
    rising: bool | None = None  # not known before the course has gone by ``least``
    for t, value in enumerate(course):
        if value > course[top]:
            top = t
        if value < course[bottom]:
            bottom = t
        if rising is not False and value < course[top] - least:
            if rising and top > 0:
                found[True].append(top)
            rising, bottom = False, t
        elif rising is not True and value > course[bottom] + least:
            if rising is False and bottom > 0:
                found[False].append(bottom)
            rising, top = True, t
    return np.array(found[True], dtype=np.int64), np.array(found[False], dtype=np.int64)


def _towards_stance(course: Vector, maxima: Frames, minima: Frames, rate_hz: float) -> Frames:
    """From each maximum on to where the course falls half as fast as it does from there to the next minimum."""
    falling = _falling(course, rate_hz)
    found = []
    for top in maxima:
        end = min((bottom for bottom in minima if bottom > top), default=len(course) - 1)
        longest = min(end, top + round(_LONGEST_LANDING_S * rate_hz))
        fast = falling[top : longest + 1] >= 0.5 * np.median(falling[top : end + 1])
        found.append(top + (int(fast.argmax()) if fast.any() else 0))
    return np.array(found, dtype=np.int64)


def _set_down(height: Vector, strikes: Frames, rate_hz: float) -> Frames:
    """From each strike on to where the foot comes down the fastest, which is at once unless it hangs over its place."""
    falling = _falling(height, rate_hz)
    longest = round(_LONGEST_DROP_S * rate_hz)
    return np.array([strike + int(falling[strike : strike + longest + 1].argmax()) for strike in strikes], np.int64)


def _falling(course: Vector, rate_hz: float) -> Vector:
    """(T,) by how much a course falls from ``_SPEED_S`` before each frame to as much after it."""
    span = max(1, round(_SPEED_S * rate_hz))
    around = np.pad(course, span, mode="edge")
    return around[: len(course)] - around[2 * span :]
