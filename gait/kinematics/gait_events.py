"""Gait events (initial contact and foot off) from joint positions alone.

The coordinate method of Zeni, Richards & Higginson 2008, Gait & Posture 27:710: initial contact is where the foot is
farthest ahead of the pelvis along the direction of progression, foot off where it is farthest behind. It needs no floor
and no force plate, and works on a treadmill. The ankle stands for the heel, which is not a joint; the ball of the foot
for the toes.

At these extrema the foot moves at the speed of the pelvis, so it is still in swing: 30 ms before initial contact in
healthy gait, 50 ms with a drop foot. Each event is therefore refined to the frame where the foot has half of its
stance-phase speed relative to the pelvis. If the foot hovers before landing, initial contact is refined further, to the
frame where it descends fastest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from gait.arrays import Vector
from gait.body.skeleton import Joint

FrameIndices = NDArray[np.int64]

SIDES = ("left", "right")
_UP = np.array([0.0, 1.0, 0.0])
_HEADING_S = 1.2  # about one stride, so that pelvic rotation and sway cancel
# Speed of the pelvis. Below the first, the direction of progression is the facing direction; above the second, it is
# that of the pelvis path; between them, it is blended.
_MAX_STANDING_M_S, _MIN_WALKING_M_S = 0.15, 0.45
_MIN_EXCURSION_FRACTION = 0.3  # of the foot's usual fore-aft excursion: less is no step
_MIN_EXCURSION_LEGS = 0.06  # leg lengths: less is no step, but sway in standing
_MAX_LANDING_S = 0.1
_MAX_DROP_S = 0.06
_DROP_HALF_WINDOW_S = 0.02


EventSource = Literal["laboratory", "force plate", "kinematics"]


@dataclass(frozen=True, eq=False)
class GaitEvents:
    """Initial contacts and foot offs of one trial, by side ("left", "right"), in temporal order.

    Their unit is the frame, from 0 for the first frame of the trial; an event usually lies between two frames. The two
    events of a side alternate, either may be the first or the last; a laboratory may have left out some.
    """

    initial_contacts: Mapping[str, Vector]  # side -> (n,) frames
    foot_offs: Mapping[str, Vector]  # side -> (n,) frames
    contact_sources: Mapping[str, tuple[EventSource, ...]] = field(default_factory=dict)  # side -> (n,); or kinematics
    off_sources: Mapping[str, tuple[EventSource, ...]] = field(default_factory=dict)  # side -> (n,); or kinematics
    notes: tuple[str, ...] = ()  # how the sources were chosen and how far they differ, one sentence each


def detect_gait_events(
    joints_m: NDArray[np.floating], rate_hz: float, unobserved: Collection[Joint] = ()
) -> GaitEvents:
    """Return initial contacts and foot offs of joints (T, 22, 3) in metres, y up, finite; none in standing.

    An initial contact needs the swing before it and a foot off the stance before it within the trial; others are
    omitted, as their frame would be arbitrary. A side without an observed ankle has no events; one without an observed
    forefoot, no foot offs.
    """
    joints = np.asarray(joints_m, dtype=np.float64)
    forward = progression_directions(joints, rate_hz)
    contacts, offs = {}, {}
    for side in SIDES:
        hip, knee, ankle, ball = (joints[:, Joint[f"{side.upper()}_{n}"]] for n in ("HIP", "KNEE", "ANKLE", "FOOT"))
        leg = np.median(np.linalg.norm(knee - hip, axis=1) + np.linalg.norm(ankle - knee, axis=1))
        ankle_ahead, ball_ahead = (((part - joints[:, Joint.PELVIS]) * forward).sum(axis=1) for part in (ankle, ball))
        extrema = _alternating_extrema(ankle_ahead, _MIN_EXCURSION_LEGS * leg)
        contacts[side] = _refine_to_landing(ankle[:, 1], _refine_to_half_speed(ankle_ahead, *extrema, rate_hz), rate_hz)
        # Foot off is initial contact of the reversed trial with the direction of progression reversed.
        reversed_ball = -ball_ahead[::-1]
        extrema = _alternating_extrema(reversed_ball, _MIN_EXCURSION_LEGS * leg)
        offs[side] = len(joints) - 1 - _refine_to_half_speed(reversed_ball, *extrema, rate_hz)[::-1]
        has_ankle, has_foot = (Joint[f"{side.upper()}_{name}"] not in unobserved for name in ("ANKLE", "FOOT"))
        contacts[side] = contacts[side][: None if has_ankle else 0]
        offs[side] = offs[side][: None if has_ankle and has_foot else 0]
    exact = [{side: frames.astype(np.float64) for side, frames in found.items()} for found in (contacts, offs)]
    return GaitEvents(initial_contacts=exact[0], foot_offs=exact[1])


def nearest_frames(frames: Vector) -> FrameIndices:
    """Return the nearest frame to each event (n,)."""
    return np.rint(frames).astype(np.int64)


def progression_directions(joints_m: NDArray[np.floating], rate_hz: float) -> Vector:
    """Return the direction of progression in each frame, averaged over about a stride: (T, 3) horizontal unit vectors.

    It is the direction of the pelvis path. Where that is short (treadmill, standing), it is the direction that hips and
    shoulders face. ``common_frame`` determines one heading per window instead, as it rotates windows as a whole. The
    joints are (T, 22, 3) in metres, y up, finite.
    """
    joints = np.asarray(joints_m, dtype=np.float64)
    T = len(joints)
    span = min(round(_HEADING_S * rate_hz), T - 1)
    to_left = joints[:, Joint.LEFT_HIP] - joints[:, Joint.RIGHT_HIP]
    to_left = to_left + joints[:, Joint.LEFT_SHOULDER] - joints[:, Joint.RIGHT_SHOULDER]
    facing = _normalize(uniform_filter1d(np.cross(to_left, _UP), max(span, 1), axis=0, mode="nearest"))
    if span < 1:
        return facing
    begin = np.clip(np.arange(T) - span // 2, 0, T - 1 - span)
    pelvis = joints[:, Joint.PELVIS] * [1, 0, 1]
    displacement = pelvis[begin + span] - pelvis[begin]
    speed = np.linalg.norm(displacement, axis=1, keepdims=True) * rate_hz / span
    weight = np.clip((speed - _MAX_STANDING_M_S) / (_MIN_WALKING_M_S - _MAX_STANDING_M_S), 0, 1)
    return _normalize(weight * _normalize(displacement) + (1 - weight) * facing)


def floor_height(joints_m: NDArray[np.floating]) -> float:
    """Estimate the height of the floor from joints (T, 22, 3), metres: 30 mm below the lowest toe joint positions."""
    feet = joints_m[:, [Joint.LEFT_FOOT, Joint.RIGHT_FOOT], 1]
    return float(np.percentile(feet, 2)) - 0.03


def _normalize(vectors: Vector) -> Vector:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _alternating_extrema(curve: Vector, min_change: float) -> tuple[FrameIndices, FrameIndices]:
    """Return the frames of alternating maxima and minima of a curve (T,).

    Between neighbours, and between the outermost ones and the ends, the curve changes by at least ``min_change`` and by
    at least ``_MIN_EXCURSION_FRACTION`` of its range from the 5th to the 95th percentile. The maxima and minima of
    ``scipy.signal.find_peaks`` by prominence need not alternate, and include some at the ends that these exclude.
    """
    low, high = np.percentile(curve, [5, 95])
    min_change = max(min_change, _MIN_EXCURSION_FRACTION * (high - low))
    maxima: list[int] = []
    minima: list[int] = []
    top = bottom = 0
    rising: bool | None = None  # unknown until the curve has changed by min_change
    for t, value in enumerate(curve):
        if value > curve[top]:
            top = t
        if value < curve[bottom]:
            bottom = t
        if rising is not False and value < curve[top] - min_change:
            if rising and top > 0:
                maxima.append(top)
            rising, bottom = False, t
        elif rising is not True and value > curve[bottom] + min_change:
            if rising is False and bottom > 0:
                minima.append(bottom)
            rising, top = True, t
    return np.array(maxima, dtype=np.int64), np.array(minima, dtype=np.int64)


def _refine_to_half_speed(curve: Vector, maxima: FrameIndices, minima: FrameIndices, rate_hz: float) -> FrameIndices:
    """Move each maximum to where the curve first falls at half of its median speed up to the next minimum.

    A maximum moves by at most ``_MAX_LANDING_S``.
    """
    drop = _drop_around(curve, rate_hz)
    refined = []
    for top in maxima:
        end = min((bottom for bottom in minima if bottom > top), default=len(curve) - 1)
        latest = min(end, top + round(_MAX_LANDING_S * rate_hz))
        fast = drop[top : latest + 1] >= 0.5 * np.median(drop[top : end + 1])
        refined.append(top + (int(fast.argmax()) if fast.any() else 0))
    return np.array(refined, dtype=np.int64)


def _refine_to_landing(height: Vector, contacts: FrameIndices, rate_hz: float) -> FrameIndices:
    """Move each initial contact to the frame within ``_MAX_DROP_S`` at which the foot descends fastest.

    That is the same frame unless the foot hovers before landing.
    """
    drop = _drop_around(height, rate_hz)
    latest = round(_MAX_DROP_S * rate_hz)
    return np.array([contact + int(drop[contact : contact + latest + 1].argmax()) for contact in contacts], np.int64)


def _drop_around(curve: Vector, rate_hz: float) -> Vector:
    """Return the decrease (T,) of a curve from ``_DROP_HALF_WINDOW_S`` before each frame to the same time after it."""
    span = max(1, round(_DROP_HALF_WINDOW_S * rate_hz))
    padded = np.pad(curve, span, mode="edge")
    return padded[: len(curve)] - padded[2 * span :]
