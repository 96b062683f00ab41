"""Gait events (initial contact and foot off) from joint positions and, where they are known, the soles of the feet.

Swings and stances are found by the coordinate method of Zeni, Richards & Higginson 2008, Gait & Posture 27:710: before
initial contact the foot is farthest ahead of the pelvis along the direction of progression, before foot off it is
farthest behind. It needs no floor and no force plate, and works on a treadmill. At these extrema the foot moves at the
speed of the pelvis, so each event is then determined by what happens at the floor:

* Initial contact is where the first point of the sole (heel, ball or toe) comes to rest on the floor or the belt, so
  that a foot that lands flat or on its toes has one as well.
* Foot off is where the foot stops rotating about its toe: while the toe is on the floor, the foot turns over it, toes
  down, ever faster; in the air, nothing drives this rotation. Unlike the path of the toe, which no usual marker shows,
  the rotation of the foot is known from ankle and ball.

Both are determined between frames. ``benchmarks/gait_events.py`` compares them with true events of synthetic subjects,
with those that laboratories marked, and with force plates.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from gait.arrays import UP, Vector
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import Joint

FrameIndices = NDArray[np.int64]

SIDES = ("left", "right")
MAX_EVENT_DIFFERENCE_S = 0.15
"""Events of two sources that are farther apart are not the same event."""
_MIN_FRAMES = 3
_HEADING_S = 1.2  # about one stride, so that pelvic rotation and sway cancel
# Speed of the pelvis. Below the first, the direction of progression is the facing direction; above the second, it is
# that of the pelvis path; between them, it is blended.
_MAX_STANDING_M_S, _MIN_WALKING_M_S = 0.15, 0.45
_MIN_EXCURSION_FRACTION = 0.3  # of the foot's usual fore-aft excursion: less is no step
_MIN_EXCURSION_LEGS = 0.06  # leg lengths: less is no step, but sway in standing
_FINE_HZ = 400.0  # at least this rate, at which events between frames are determined
_SMOOTHING_S = 0.0125  # standard deviation of the Gaussian that smooths speeds
_MAX_LANDING_S = 0.15  # from the foremost position to initial contact
_MAX_REST_M_S = 0.45
"""Slower than this, in forward and downward direction together, a point of the sole is about to rest: the foot slows
down by 30 to 40 m/s² before it lands."""
_REST_AFTER_S = 0.006  # from that speed to rest
_DOWNWARD_WEIGHT = 0.75  # of the downward speed: a loaded heel still sinks in
_MAX_CONTACT_M = 0.02  # above the lowest height of the same point in the stance that follows
_FLAT_PHASE = (0.2, 0.5)  # of the time from the foremost to the rearmost position, in which the foot is flat
_BEFORE_OFF_S, _AFTER_OFF_S = 0.15, 0.05  # around the rearmost position: the foot turns fastest, toes down
_OFF_FRACTION, _OFF_DEG_S, _MAX_OFF_FRACTION = 0.67, 50.0, 0.92
"""At foot off the rotation has slowed down to the first, plus the second, of its peak; at most to the third."""
_MIN_TOE_M_S = 0.09  # faster, the toe has left the floor
_SLOW_DEG_S, _FAST_DEG_S = 150.0, 350.0
"""Peak of the rotation. Below the first, as in shuffling gait, foot off is where the toe begins to move ahead; above
the second, it is where the rotation slows down; between them, it is blended."""


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
    joints_m: NDArray[np.floating],
    rate_hz: float,
    unobserved: Collection[Joint] = (),
    soles_m: Mapping[str, Vector] | None = None,
) -> GaitEvents:
    """Return initial contacts and foot offs of joints (T, 22, 3) in metres, y up, finite; none in standing.

    An initial contact needs the swing before it and a foot off the stance before it within the trial; others are
    omitted, as their time would be arbitrary. A side without an observed ankle has no events; one without an observed
    forefoot, no foot offs.

    Args:
        joints_m: (T, 22, 3) joints.
        rate_hz: frames per second.
        unobserved: joints that the markers do not show.
        soles_m: side -> (T, 3, 3) heel, ball and toe of the sole, metres, as ``sole_paths`` returns them; if None, they
            are estimated from ankle, ball and knee.
    """
    joints = np.asarray(joints_m, dtype=np.float64)
    forward = progression_directions(joints, rate_hz)
    contacts, offs = {}, {}
    for side in SIDES:
        has_ankle, has_foot = (Joint[f"{side.upper()}_{name}"] not in unobserved for name in ("ANKLE", "FOOT"))
        contacts[side] = offs[side] = np.zeros(0)
        if not has_ankle or len(joints) < _MIN_FRAMES:
            continue
        sole = _sole_from_joints(joints, side) if soles_m is None else np.asarray(soles_m[side], dtype=np.float64)
        foremost, rearmost = _extreme_frames(joints, forward, side)
        motion = _foot_motion(joints, forward, sole, side, rate_hz)
        contacts[side] = _initial_contacts(motion, foremost, rearmost)
        if has_foot:
            offs[side] = _foot_offs(motion, foremost, rearmost)
    return GaitEvents(initial_contacts=contacts, foot_offs=offs)


def sole_paths(sequence: PoseSequence) -> dict[str, Vector] | None:
    """Return heel, ball and toe of each sole, side -> (T, 3, 3) metres; None if the poses have no rotations."""
    paths: dict[str, Vector] = {}
    for side in SIDES:
        points = [sequence.landmark_m(f"{side[0].upper()}{name}_SOLE") for name in ("HEEL", "BALL", "TOE")]
        found = [point for point in points if point is not None]
        if len(found) < len(points):
            return None
        paths[side] = np.stack(found, axis=1)
    return paths


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
    facing = _normalize(scipy.ndimage.uniform_filter1d(np.cross(to_left, UP), max(span, 1), axis=0, mode="nearest"))
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


def _extreme_frames(joints: Vector, forward: Vector, side: str) -> tuple[FrameIndices, FrameIndices]:
    """Return the frames in which the ankle is farthest ahead of the pelvis, and the ball farthest behind it."""
    hip, knee, ankle, ball = (joints[:, Joint[f"{side.upper()}_{n}"]] for n in ("HIP", "KNEE", "ANKLE", "FOOT"))
    leg = np.median(np.linalg.norm(knee - hip, axis=1) + np.linalg.norm(ankle - knee, axis=1))
    ankle_ahead, ball_ahead = (((part - joints[:, Joint.PELVIS]) * forward).sum(axis=1) for part in (ankle, ball))
    foremost, _ = _alternating_extrema(ankle_ahead, _MIN_EXCURSION_LEGS * leg)
    # The rearmost position is the foremost one of the reversed trial with the direction of progression reversed.
    reversed_rearmost, _ = _alternating_extrema(-ball_ahead[::-1], _MIN_EXCURSION_LEGS * leg)
    return foremost, len(joints) - 1 - reversed_rearmost[::-1]


def _sole_from_joints(joints: Vector, side: str) -> Vector:
    """Return heel, ball and toe of the sole, (T, 3, 3), from the joints alone.

    They are placed by the length from ankle to ball; the line between these slopes by 25° if the foot is flat.
    """
    knee, ankle, ball = (joints[:, Joint[f"{side.upper()}_{name}"]] for name in ("KNEE", "ANKLE", "FOOT"))
    along = _normalize(ball - ankle)
    length = np.median(np.linalg.norm(ball - ankle, axis=1))
    below = ankle - knee
    below = _normalize(below - (below * along).sum(axis=1, keepdims=True) * along)
    slope = math.radians(25.0)
    ahead, down = math.cos(slope) * along - math.sin(slope) * below, math.sin(slope) * along + math.cos(slope) * below
    return np.stack([ankle + length * (x * ahead + 0.6 * down) for x in (-0.35, 0.9, 1.25)], axis=1)


@dataclass(frozen=True, eq=False)
class _FootMotion:
    """Smoothed motion of one foot at a rate of at least ``_FINE_HZ``."""

    per_frame: int  # samples per frame
    rate_hz: float  # of the samples
    forward_m_s: Vector  # (S, 3) of heel, ball and toe of the sole
    upward_m_s: Vector  # (S, 3)
    height_m: Vector  # (S, 3)
    pitch_deg_s: Vector  # (S,) rotation of the foot in the plane of progression, toes up positive


def _foot_motion(joints: Vector, forward: Vector, sole: Vector, side: str, rate_hz: float) -> _FootMotion:
    T = len(joints)
    per_frame = max(1, math.ceil(_FINE_HZ / rate_hz))
    frames, times = np.arange(T), np.arange((T - 1) * per_frame + 1) / per_frame
    fine_hz = rate_hz * per_frame

    def smooth(values: Vector) -> Vector:
        return np.asarray(scipy.ndimage.gaussian_filter1d(values, _SMOOTHING_S * fine_hz, axis=0, mode="nearest"))

    path, ahead = scipy.interpolate.CubicSpline(frames, sole), scipy.interpolate.CubicSpline(frames, forward)(times)
    velocity = smooth(path(times, 1)) * rate_hz
    ankle, ball = (joints[:, Joint[f"{side.upper()}_{name}"]] for name in ("ANKLE", "FOOT"))
    foot = scipy.interpolate.CubicSpline(frames, ball - ankle)(times)
    pitch = np.unwrap(np.arctan2(foot[:, 1], (foot * ahead).sum(axis=1)))
    return _FootMotion(
        per_frame=per_frame,
        rate_hz=fine_hz,
        forward_m_s=(velocity * ahead[:, None]).sum(axis=-1),
        upward_m_s=velocity[..., 1],
        height_m=smooth(path(times))[..., 1],
        pitch_deg_s=smooth(np.degrees(np.gradient(pitch)) * fine_hz),
    )


def _initial_contacts(motion: _FootMotion, foremost: FrameIndices, rearmost: FrameIndices) -> Vector:
    """Return the time, in frames, at which the first point of the sole comes to rest after each foremost position."""
    last = len(motion.pitch_deg_s) - 1
    starts = (foremost * motion.per_frame).tolist()
    ends = [
        int(rearmost[rearmost > frame][0]) * motion.per_frame if (rearmost > frame).any() else last
        for frame in foremost
    ]
    floor = [
        _flat_velocity(motion, start, end) if end < last else math.nan for start, end in zip(starts, ends, strict=True)
    ]
    usual = float(np.nanmedian(floor)) if np.isfinite(floor).any() else 0.0
    found = []
    for start, end, own in zip(starts, ends, floor, strict=True):
        window = slice(start, min(last, start + round(_MAX_LANDING_S * motion.rate_hz)) + 1)
        ahead = np.maximum(motion.forward_m_s[window] - (own if math.isfinite(own) else usual), 0.0)
        speed = np.hypot(ahead, _DOWNWARD_WEIGHT * motion.upward_m_s[window])
        height = motion.height_m[window] - motion.height_m[start : end + 1].min(axis=0)
        rests = ((speed < _MAX_REST_M_S) & (height < _MAX_CONTACT_M)).any(axis=1)
        if rests.any():
            contact = start + int(rests.argmax()) + _REST_AFTER_S * motion.rate_hz
        elif window.stop > last:  # the trial ends before
            continue
        else:
            contact = float(start)
        if contact <= last:
            found.append(contact / motion.per_frame)
    return np.array(found)


def _flat_velocity(motion: _FootMotion, foremost: int, rearmost: int) -> float:
    """Return the forward velocity of the flat foot, metres per second: that of the floor or the belt."""
    begin, end = (foremost + round(part * (rearmost - foremost)) for part in _FLAT_PHASE)
    return float(np.median(motion.forward_m_s[begin : end + 1, :2], axis=0).mean())


def _foot_offs(motion: _FootMotion, foremost: FrameIndices, rearmost: FrameIndices) -> Vector:
    """Return the time, in frames, at which the foot leaves the floor around each rearmost position."""
    last = len(motion.pitch_deg_s) - 1
    starts = [int(foremost[foremost < frame][-1]) if (foremost < frame).any() else -1 for frame in rearmost]
    pairs = [(begin * motion.per_frame, end * motion.per_frame) for begin, end in zip(starts, rearmost, strict=True)]
    floor = [_flat_velocity(motion, *pair) if pair[0] >= 0 else math.nan for pair in pairs]
    usual = float(np.nanmedian(floor)) if np.isfinite(floor).any() else 0.0
    found = []
    for (_, end), own in zip(pairs, floor, strict=True):
        begin = max(0, end - round(_BEFORE_OFF_S * motion.rate_hz))
        fastest = begin + int(motion.pitch_deg_s[begin : end + round(_AFTER_OFF_S * motion.rate_hz) + 1].argmin())
        peak = -motion.pitch_deg_s[fastest]
        remaining = min(_OFF_FRACTION * peak + _OFF_DEG_S, _MAX_OFF_FRACTION * peak)
        slow = motion.pitch_deg_s[fastest:] > -remaining
        toe = motion.forward_m_s[begin : end + 1, 2] - (own if math.isfinite(own) else usual)
        moves = begin + _end_of_last(toe < _MIN_TOE_M_S)
        turned = min(last, fastest + int(slow.argmax())) if slow.any() else last
        weight = float(np.clip((peak - _SLOW_DEG_S) / (_FAST_DEG_S - _SLOW_DEG_S), 0.0, 1.0))
        off = weight * turned + (1 - weight) * moves
        if off < last:
            found.append(off / motion.per_frame)
    return np.array(found)


def _end_of_last(mask: NDArray[np.bool_]) -> int:
    """Return the index after the last true value, 0 if there is none."""
    return int(len(mask) - mask[::-1].argmax()) if mask.any() else 0
