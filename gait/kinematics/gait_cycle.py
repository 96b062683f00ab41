"""Joint angles, and any values per joint and frame, averaged over the gait cycle, independently of cadence.

A cycle lasts from initial contact to the next initial contact of the same side, and is time-normalized to 0..100 %, as
is usual in gait analysis (Winter 1991, The Biomechanics and Motor Control of Human Gait). Each side has its own cycle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.joint_status import unobserved_joints
from gait.body.skeleton import BODY_JOINTS, Joint
from gait.kinematics.gait_events import SIDES, detect_gait_events
from gait.kinematics.segment_angles import SegmentAngles, compute_segment_angles
from gait.kinematics.strides import PERCENT, Stride, find_trial_strides, finite_mean, sample_stride

_MIN_COVERED_FRACTION = 0.5  # of a cycle's frames that have values, for the cycle to be averaged
_LEGS = {side: [Joint[f"{side.upper()}_{name}"] for name in ("HIP", "KNEE", "ANKLE", "FOOT")] for side in SIDES}


@dataclass(frozen=True, eq=False)
class GaitCycle:
    """The mean cycle of one side, over the cycles of which at least half have values."""

    side: str  # "left" or "right"
    num_cycles: int  # averaged; if 0, all fields below are NaN
    values: Vector  # (101, 22) mean; NaN where no cycle has one
    hip_deg: Vector  # (101,) flexion of this side's hip, mean of the same cycles
    knee_deg: Vector  # (101,) of this side's knee
    ankle_deg: Vector  # (101,) dorsiflexion of this side's ankle minus its mean, as joint centres give no neutral angle
    foot_off_percent: float  # mean foot off of this side; NaN if no cycle contains one
    contralateral_contact_percent: float  # mean initial contact of the other side; NaN if no cycle contains one


@dataclass(frozen=True)
class GaitPhase:
    """A named frame of the gait cycle."""

    name: str  # "left initial contact"; "" for frames without an event
    frame: int


def average_gait_cycles(
    values: NDArray[np.floating],
    joints_m: NDArray[np.floating],
    rate_hz: float,
    joint_status: NDArray[np.uint8] | None = None,
) -> Mapping[str, GaitCycle]:
    """Return the mean cycle of each side, "left" and "right", of values per joint, e.g. attribution.

    The values (T, 22) are NaN where there are none; the joints (T, 22, 3) of the same frames are in metres, y up,
    finite. By their ``JointStatus`` (T, 22), a side whose ankle is not observed has no cycle, and angles are NaN that
    need a joint which is not observed.
    """
    strides = _find_strides(joints_m, rate_hz, joint_status)
    angles = compute_segment_angles(joints_m, rate_hz, joint_status)
    return {side: _gait_cycle(side, np.asarray(values, np.float64), strides[side], angles) for side in SIDES}


def combine_ipsilateral_cycles(values: Mapping[str, Vector]) -> Vector:
    """Return values (101, 22) with each joint over the cycle of its own side, and trunk joints over the left one.

    The argument has the values (101, 22) of all joints over the cycle of each side.
    """
    own = values["left"].copy()
    right = [joint for joint in BODY_JOINTS if joint.name.startswith("RIGHT_")]
    own[:, right] = values["right"][:, right]
    return own


def select_gait_phases(
    values: NDArray[np.floating],
    joints_m: NDArray[np.floating],
    rate_hz: float,
    joint_status: NDArray[np.uint8] | None = None,
) -> tuple[GaitPhase, ...]:
    """Return four phases of one stride in temporal order: initial contact, mid-stance, foot off and mid-swing.

    The side is the one whose leg has the larger mean absolute value; the stride is its stride with values nearest
    to the middle of the trial. Without such a stride, four evenly spaced frames with values are returned; without such
    frames, none. The arguments are those of ``average_gait_cycles``.
    """
    values = np.asarray(values, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(values).any(axis=1))
    if not len(known):
        return ()
    strides = _find_strides(joints_m, rate_hz, joint_status)
    magnitude, defined = np.abs(np.nan_to_num(values)), np.isfinite(values)
    leg_mean = {side: magnitude[:, legs].sum() / max(int(defined[:, legs].sum()), 1) for side, legs in _LEGS.items()}
    for side in sorted(SIDES, key=lambda side: -leg_mean[side]):
        candidates = [
            (round(stride.start), round(stride.foot_off), round(stride.end))
            for stride in strides[side]
            if math.isfinite(stride.foot_off) and np.isin((round(stride.start), round(stride.end)), known).all()
        ]
        if candidates:
            start, off, end = min(candidates, key=lambda frames: abs(frames[0] + frames[2] - len(values)))
            return (
                GaitPhase(f"{side} initial contact", start),
                GaitPhase(f"{side} mid-stance", (start + off) // 2),
                GaitPhase(f"{side} foot off", off),
                GaitPhase(f"{side} mid-swing", (off + end) // 2),
            )
    spread = known[np.linspace(0, len(known) - 1, 6).round().astype(int)[1:5]]
    return tuple(GaitPhase("", int(frame)) for frame in spread)


def _find_strides(
    joints_m: NDArray[np.floating], rate_hz: float, joint_status: NDArray[np.uint8] | None
) -> Mapping[str, tuple[Stride, ...]]:
    events = detect_gait_events(joints_m, rate_hz, unobserved_joints(joint_status))
    return find_trial_strides(events, joints_m, rate_hz)


def _gait_cycle(side: str, values: Vector, strides: Sequence[Stride], angles: SegmentAngles) -> GaitCycle:
    covered = np.asarray(np.isfinite(values).any(axis=1))
    cycles = [stride for stride in strides if covered[stride.frames].mean() >= _MIN_COVERED_FRACTION]
    ankle = -_mean_cycle(angles.ankle[side], cycles)
    return GaitCycle(
        side=side,
        num_cycles=len(cycles),
        values=_mean_cycle(values, cycles),
        hip_deg=_mean_cycle(angles.hip[side], cycles),
        knee_deg=_mean_cycle(angles.knee[side], cycles),
        ankle_deg=ankle - (ankle[np.isfinite(ankle)].mean() if np.isfinite(ankle).any() else 0),
        foot_off_percent=_mean_percent([stride.percent(stride.foot_off) for stride in cycles]),
        contralateral_contact_percent=_mean_percent([stride.percent(stride.opposite_contact) for stride in cycles]),
    )


def _mean_cycle(curves: Vector, strides: Sequence[Stride]) -> Vector:
    """Return the time-normalized mean over strides of curves (T, ...), (101, ...), ignoring NaN."""
    if not strides:
        return np.full((len(PERCENT), *curves.shape[1:]), np.nan)
    return finite_mean(np.array([sample_stride(curves, stride) for stride in strides]))


def _mean_percent(percents: Sequence[float]) -> float:
    """Return the mean of the times in percent of the cycle that are known; NaN if none is."""
    return float(finite_mean(np.array([np.nan, *percents])))
