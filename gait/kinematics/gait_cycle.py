"""Joint angles, and any values per joint and frame, averaged over the gait cycle, independently of cadence.

A cycle lasts from initial contact to the next initial contact of the same side, and is time-normalized to 0..100 %, as
is usual in gait analysis (Winter 1991, The Biomechanics and Motor Control of Human Gait). Each side has its own cycle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.joint_status import unobserved_joints
from gait.body.skeleton import BODY_JOINTS, Joint
from gait.kinematics.gait_events import SIDES, GaitEvents, detect_gait_events, find_strides, nearest_frames
from gait.kinematics.joint_angles import JointAngles, compute_joint_angles

PERCENT = np.arange(101)
"""Samples of a cycle, in percent of its duration."""
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
    events = detect_gait_events(joints_m, rate_hz, unobserved_joints(joint_status))
    angles = compute_joint_angles(joints_m, rate_hz, joint_status)
    return {side: _gait_cycle(side, np.asarray(values, np.float64), events, angles, rate_hz) for side in SIDES}


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
    events = detect_gait_events(joints_m, rate_hz, unobserved_joints(joint_status))
    magnitude, defined = np.abs(np.nan_to_num(values)), np.isfinite(values)
    leg_mean = {side: magnitude[:, legs].sum() / max(int(defined[:, legs].sum()), 1) for side, legs in _LEGS.items()}
    for side in sorted(SIDES, key=lambda side: -leg_mean[side]):
        candidates = []
        for stride in find_strides(events.initial_contacts[side], rate_hz):
            offs = [off for off in nearest_frames(events.foot_offs[side]).tolist() if stride.start < off < stride.stop]
            if offs and np.isin((stride.start, stride.stop), known).all():
                candidates.append((stride, offs[0]))
        if candidates:
            stride, off = min(candidates, key=lambda pair: abs(pair[0].start + pair[0].stop - len(values)))
            return (
                GaitPhase(f"{side} initial contact", stride.start),
                GaitPhase(f"{side} mid-stance", (stride.start + off) // 2),
                GaitPhase(f"{side} foot off", off),
                GaitPhase(f"{side} mid-swing", (off + stride.stop) // 2),
            )
    spread = known[np.linspace(0, len(known) - 1, 6).round().astype(int)[1:5]]
    return tuple(GaitPhase("", int(frame)) for frame in spread)


def _gait_cycle(side: str, values: Vector, events: GaitEvents, angles: JointAngles, rate_hz: float) -> GaitCycle:
    covered = np.asarray(np.isfinite(values).any(axis=1))
    cycles = [
        s for s in find_strides(events.initial_contacts[side], rate_hz) if covered[s].mean() >= _MIN_COVERED_FRACTION
    ]
    ankle = -_mean_cycle(angles.ankle[side], cycles)
    other = SIDES[1 - SIDES.index(side)]
    return GaitCycle(
        side=side,
        num_cycles=len(cycles),
        values=_mean_cycle(values, cycles),
        hip_deg=_mean_cycle(angles.hip[side], cycles),
        knee_deg=_mean_cycle(angles.knee[side], cycles),
        ankle_deg=ankle - (ankle[np.isfinite(ankle)].mean() if np.isfinite(ankle).any() else 0),
        foot_off_percent=_mean_percent(events.foot_offs[side], cycles),
        contralateral_contact_percent=_mean_percent(events.initial_contacts[other], cycles),
    )


def _mean_cycle(curves: Vector, strides: Sequence[slice]) -> Vector:
    """Return the time-normalized mean over strides of curves (T, ...), (101, ...), ignoring NaN."""
    sums = np.zeros((len(PERCENT), *curves.shape[1:]))
    counts = np.zeros_like(sums)
    for stride in strides:
        cycle = _interpolate(curves, np.linspace(stride.start, stride.stop, len(PERCENT)))
        defined = np.isfinite(cycle)
        sums += np.where(defined, cycle, 0.0)
        counts += defined
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _interpolate(curves: Vector, times: Vector) -> Vector:
    """Interpolate curves (T, ...) linearly at times (S,) in frames; NaN next to a frame that is NaN."""
    before = np.minimum(times.astype(np.int64), len(curves) - 1)
    after = np.minimum(before + 1, len(curves) - 1)
    t = (times - before).reshape(-1, *[1] * (curves.ndim - 1))
    between = curves[before] * (1 - t) + curves[after] * t
    return np.where(t == 0, curves[before], between)  # exactly on a frame, a NaN in the next one does not count


def _mean_percent(frames: Vector, strides: Sequence[slice]) -> float:
    """Return the mean over strides of the percentage at which the first of these frames lies; NaN if none does."""
    percents = []
    for stride in strides:
        inside = frames[(frames > stride.start) & (frames < stride.stop)]
        if len(inside):
            percents.append(100 * (inside[0] - stride.start) / (stride.stop - stride.start))
    return float(np.mean(percents)) if percents else float("nan")
