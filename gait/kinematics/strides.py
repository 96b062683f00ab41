"""Strides of a trial, and curves over each of them: from initial contact to the next initial contact of the same side.

A stride is cut by gait events, at fractions of a frame, within walking alone, and time-normalized to 0..100 % of the
gait cycle (Winter 1991, The Biomechanics and Motor Control of Human Gait). The phases in it are those of Perry &
Burnfield 2010, Gait Analysis: first double support up to the opposite foot off, single support up to the opposite
initial contact, second double support up to the foot off, swing up to the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector, interpolate_frames
from gait.body.joint_status import JointStatus
from gait.body.skeleton import Joint
from gait.kinematics.gait_events import SIDES, GaitEvents
from gait.kinematics.walking import is_within_walk

PERCENT = np.arange(101)
"""Samples of a gait cycle, in percent of its duration."""
MAX_STRIDE_S = 3.0
"""A longer time between two contacts holds a pause."""
MAX_TURN_DEG = 20.0
"""A stride in which hips and shoulders turn by more is part of a turn, and no straight walking. Between the same events
of two successive strides, rotations of the pelvis within the cycle cancel."""
MAX_RISE_M = 0.1
"""A stride between whose contacts the ankle rises or sinks by more is on stairs or a ramp, and not on a level floor."""

OUTLIER_SCORE = 3.5
"""Modified z-score above which a stride is an outlier (Iglewicz & Hoaglin 1993, How to Detect and Handle Outliers)."""
MIN_OUTLIER_RATIO = 2.0
"""An outlier is also at least so many times as far from the median stride as the median of all strides, since the
median absolute deviation of few and similar strides is arbitrarily small."""
MIN_OUTLIER_DEG, MIN_OUTLIER_TIME = 5.0, 0.15
"""Strides closer than this to the median stride, in degrees or as a fraction of the stride time, are no outliers. Less
than 5° does not mislead a clinical interpretation (McGinley et al. 2009, Gait & Posture 29:360)."""
OUTLIER_ANGLES = (
    "pelvis_tilt", "pelvis_obliquity", "hip_flexion", "hip_adduction", "hip_rotation", "knee_flexion",
    "ankle_dorsiflexion",
)  # fmt: skip
"""The angles that can make a stride an outlier: those of the Gait Profile Score (Baker et al. 2009, Gait & Posture
30:265), but for rotation of the pelvis and foot progression, which a walk obliquely to the walkway changes as well."""
MIN_STRIDES_FOR_OUTLIERS = 5
"""Of fewer strides of a side, none can be called an outlier."""


@dataclass(frozen=True)
class Stride:
    """One gait cycle of one side. Times are frames of the trial, with fractions; frame 0 is its first."""

    side: str  # "left" or "right"
    number: int  # of this side's strides in the trial, from 1
    start: float  # initial contact
    end: float  # next initial contact of the same side
    rate_hz: float  # frames per second
    opposite_foot_off: float = math.nan  # end of the first double support; NaN if it was not found
    opposite_contact: float = math.nan  # end of single support
    foot_off: float = math.nan  # end of stance
    turn_deg: float = 0.0  # by how far hips and shoulders turn from start to end; to the left is positive
    rise_m: float = 0.0  # by how far the ankle rises from start to end
    trial: str = ""

    @property
    def name(self) -> str:
        """Words that identify the stride: "walk1, left stride 2"."""
        own = f"{self.side} stride {self.number}"
        return f"{self.trial}, {own}" if self.trial else own

    @property
    def duration_s(self) -> float:
        """Stride time."""
        return (self.end - self.start) / self.rate_hz

    @property
    def frames(self) -> slice:
        """The whole frames from the start of the stride up to and without its end."""
        return slice(math.ceil(self.start), math.ceil(self.end))

    @property
    def is_straight_and_level(self) -> bool:
        """Whether the stride neither turns nor climbs, so that it can be compared with others."""
        return abs(self.turn_deg) <= MAX_TURN_DEG and abs(self.rise_m) <= MAX_RISE_M

    def percent(self, frame: float) -> float:
        """Return a time in percent of the cycle; NaN stays NaN."""
        return 100 * (frame - self.start) / (self.end - self.start)


EventKind = Literal["initial_contacts", "foot_offs"]


def find_trial_strides(
    events: GaitEvents,
    joints_m: NDArray[np.floating],
    rate_hz: float,
    walks: Iterable[slice] | None = None,
    *,
    joint_status: NDArray[np.uint8] | None = None,
    trial: str = "",
) -> Mapping[str, tuple[Stride, ...]]:
    """Return the strides of each side, "left" and "right", in temporal order.

    A stride lies within one of the walks (frames; None: the whole trial). Between two contacts with a pause, or with
    two foot offs or two contacts of the other side, i.e. where an event is lacking, there is no stride. The joints
    (T, 22, 3) are in metres, y up, finite. With their ``JointStatus`` (T, 22), an event from kinematics counts only
    where its foot is observed: no stride begins or ends with another, and other phases are NaN.
    """
    joints = np.asarray(joints_m, dtype=np.float64)
    frames = np.arange(len(joints))
    heading_deg = np.degrees(_heading_rad(joints))
    walks = None if walks is None else tuple(walks)
    found: dict[str, tuple[Stride, ...]] = {}
    for side, other in zip(SIDES, reversed(SIDES), strict=True):
        contacts = np.asarray(events.initial_contacts[side], dtype=np.float64)
        seen = dict(zip(contacts.tolist(), _are_seen(events, "initial_contacts", side, joint_status), strict=True))
        ankle_height_m = joints[:, Joint[f"{side.upper()}_ANKLE"], 1]
        own: list[Stride] = []
        for start, end in pairwise(contacts.tolist()):
            inside = slice(math.floor(start), math.ceil(end))
            if end - start > MAX_STRIDE_S * rate_hz or not (walks is None or is_within_walk(inside, walks)):
                continue
            if not (seen[start] and seen[end]):
                continue
            offs = _between(events, "foot_offs", side, start, end, joint_status)
            other_contacts = _between(events, "initial_contacts", other, start, end, joint_status)
            other_offs = _between(events, "foot_offs", other, start, end, joint_status)
            if max(len(offs), len(other_contacts)) > 1:
                continue
            off, contact, other_off = (
                part[0] if len(part) else math.nan for part in (offs, other_contacts, other_offs)
            )
            if other_off > contact:  # it ends the stance after this stride's opposite contact
                other_off = math.nan
            turn_deg, rise_m = (
                float(np.diff(np.interp([start, end], frames, curve))[0]) for curve in (heading_deg, ankle_height_m)
            )
            own.append(
                Stride(side, len(own) + 1, start, end, rate_hz, other_off, contact, off, turn_deg, rise_m, trial)
            )
        found[side] = tuple(own)
    return found


def find_phases(begins: Vector, ends: Vector) -> list[tuple[float, float]]:
    """Return each begin with the next end, in frames, unless another begin lies between them.

    From initial contacts to foot offs they are stances, from foot offs to initial contacts swings.
    """
    found = []
    for begin, following in pairwise([*np.asarray(begins, dtype=np.float64).tolist(), math.inf]):
        end = next((end for end in np.asarray(ends, dtype=np.float64).tolist() if end > begin), math.inf)
        if end <= following and end < math.inf:
            found.append((begin, end))
    return found


def sample_stride(values: Vector, stride: Stride) -> Vector:
    """Return values (T, ...) at the ``PERCENT`` of a stride, (101, ...), linearly interpolated; NaN next to a NaN."""
    return interpolate_frames(values, np.linspace(stride.start, stride.end, len(PERCENT)))


@dataclass(frozen=True)
class ExcludedStride:
    """A stride that counts in no mean, and why."""

    stride: Stride
    reason: str  # "turn", "rise", "stride_time", or the name of the angle that deviates farthest
    value: float  # degrees of the turn, metres, seconds, or RMS degrees between the stride and the median stride
    limit: float  # which the value exceeds, in the same unit


@dataclass(frozen=True, eq=False)
class StrideCurves:
    """Curves over all strides of a trial, or of several trials of a subject."""

    strides: Mapping[str, tuple[Stride, ...]]  # by side, (n,)
    curves: Mapping[tuple[str, str], Vector]  # (angle name, side) -> (n, 101) degrees; NaN where not observed
    excluded: tuple[ExcludedStride, ...] = ()  # turns, stairs and outliers; they stay in ``strides`` and ``curves``

    def used(self, side: str) -> NDArray[np.bool_]:
        """Return which strides of a side count in means, (n,)."""
        out = {(each.stride.trial, each.stride.number) for each in self.excluded if each.stride.side == side}
        return np.array([(s.trial, s.number) not in out for s in self.strides[side]], dtype=bool)

    def used_curves(self, name: str, side: str) -> Vector:
        """Return the curves (m, 101) of the strides that count in means."""
        return self.curves[name, side][self.used(side)]

    def mean(self, name: str, side: str) -> Vector:
        """Return the mean curve (101,); NaN at a percentage that no stride observes."""
        return finite_mean(self.used_curves(name, side))

    def means(self) -> dict[tuple[str, str], Vector]:
        """Return the mean curves (101,) by name and side; those that no stride observes are absent."""
        means = {key: self.mean(*key) for key in self.curves}
        return {key: mean for key, mean in means.items() if np.isfinite(mean).any()}

    def sd(self, name: str, side: str) -> Vector:
        """Return the standard deviation between strides (101,), with n - 1; NaN of fewer than two strides."""
        return finite_sd(self.used_curves(name, side))

    def representative(self, side: str) -> Stride | None:
        """Return the stride that lies deepest among all, by ``band_depth``; None without a stride.

        Sangeux & Polak 2015, Gait & Posture 41:726: the depths of a stride in all its angles are averaged.
        """
        used = np.flatnonzero(self.used(side))
        depths = [band_depth(self.used_curves(name, own)) for name, own in self.curves if own == side]
        known = [depth for depth in depths if np.isfinite(depth).all()]
        if not len(used):
            return None
        return self.strides[side][used[int(np.mean(known, axis=0).argmax())] if known else used[0]]


def stride_curves(
    strides: Mapping[str, Sequence[Stride]], angles_deg: Mapping[tuple[str, str], Vector]
) -> StrideCurves:
    """Cut the angles (T,) of a trial, by name and side, into its strides, and find turns and outliers."""
    curves: dict[tuple[str, str], Vector] = {}
    for side in SIDES:
        names = [name for name, own in angles_deg if own == side]
        if names:
            together = np.stack([angles_deg[name, side] for name in names], axis=1)  # (T, A), sampled at once
            sampled = np.reshape(
                [sample_stride(together, each) for each in strides[side]], (-1, len(PERCENT), len(names))
            )
            curves |= {(name, side): sampled[:, :, k] for k, name in enumerate(names)}
    curves = {key: curves[key] for key in angles_deg}
    return _without_outliers(StrideCurves({side: tuple(strides[side]) for side in SIDES}, curves))


def pool_curves(trials: Sequence[StrideCurves]) -> StrideCurves:
    """Return the strides of several trials of a subject as one; outliers are sought among all of them.

    Trials have names; an angle that a trial does not have is NaN there.
    """
    keys = dict.fromkeys(key for trial in trials for key in trial.curves)
    nothing = {side: [np.full((len(trial.strides[side]), len(PERCENT)), np.nan) for trial in trials] for side in SIDES}
    curves = {
        key: np.concatenate([trial.curves.get(key, none) for trial, none in zip(trials, nothing[key[1]], strict=True)])
        for key in keys
    }
    strides = {side: tuple(stride for trial in trials for stride in trial.strides[side]) for side in SIDES}
    return _without_outliers(StrideCurves(strides, curves))


def band_depth(curves: Vector) -> Vector:
    """Return the modified band depth (n,) of curves (n, P), with bands of two curves; NaN if there are NaN.

    It is the fraction of the cycle, mean over all pairs of curves, in which a curve lies between both (Lopez-Pintado &
    Romo 2009, J. Am. Stat. Assoc. 104:718). Between a pair lie the curves that one of both is above and the other
    below, so that ranks suffice.
    """
    n = len(curves)
    if n < 2 or not np.isfinite(curves).all():
        return np.full(n, 1.0 if n == 1 and np.isfinite(curves).all() else np.nan)
    below = (curves[:, None] > curves[None]).sum(axis=1)
    above = (curves[:, None] < curves[None]).sum(axis=1)
    return np.asarray((below * above + n - 1).mean(axis=1) / (n * (n - 1) / 2))


def _without_outliers(curves: StrideCurves) -> StrideCurves:
    """Return the curves with the strides named that turn, climb, or are far from the median stride of their side."""
    excluded = [
        ExcludedStride(stride, "turn", abs(stride.turn_deg), MAX_TURN_DEG)
        if abs(stride.turn_deg) > MAX_TURN_DEG
        else ExcludedStride(stride, "rise", abs(stride.rise_m), MAX_RISE_M)
        for side in SIDES
        for stride in curves.strides[side]
        if not stride.is_straight_and_level
    ]
    for side in SIDES:
        rows = np.flatnonzero([stride.is_straight_and_level for stride in curves.strides[side]])
        if len(rows) < MIN_STRIDES_FOR_OUTLIERS:
            continue
        strides = [curves.strides[side][row] for row in rows]
        seconds = np.array([stride.duration_s for stride in strides])
        median_s = float(np.median(seconds))
        found: dict[int, ExcludedStride] = {}
        limit = _outlier_limit(np.abs(seconds - median_s), MIN_OUTLIER_TIME * median_s)
        for k in np.flatnonzero(np.abs(seconds - median_s) > limit):
            bound = median_s + math.copysign(limit, seconds[k] - median_s)
            found[int(k)] = ExcludedStride(strides[k], "stride_time", float(seconds[k]), bound)
        excess = np.zeros(len(strides))
        for (name, own), each in curves.curves.items():
            if own != side or name not in OUTLIER_ANGLES:
                continue
            distance = _distance_to_median(each[rows])
            known = np.isfinite(distance)
            if known.sum() < MIN_STRIDES_FOR_OUTLIERS:
                continue
            limit = _outlier_limit(distance[known], MIN_OUTLIER_DEG)
            for k in np.flatnonzero(known & (distance > limit) & (distance / limit > excess)):
                excess[k] = distance[k] / limit
                if int(k) not in found or found[int(k)].reason != "stride_time":
                    found[int(k)] = ExcludedStride(strides[k], name, float(distance[k]), limit)
        excluded += [found[k] for k in sorted(found)]
    return replace(curves, excluded=tuple(excluded))


def _outlier_limit(distances: Vector, least: float) -> float:
    """Return the distance (n,) from the median stride above which a stride is an outlier, by the rules above."""
    median = float(np.median(distances))
    deviation = float(np.median(np.abs(distances - median)))
    return max(median + OUTLIER_SCORE * deviation / 0.6745, MIN_OUTLIER_RATIO * median, least)


def _distance_to_median(curves: Vector) -> Vector:
    """Return the RMS difference (n,) of curves (n, 101) from their median at each percentage; NaN if all is NaN."""
    defined = np.isfinite(curves)
    columns = defined.any(axis=0)
    if not columns.any():
        return np.full(len(curves), np.nan)
    difference = curves[:, columns] - np.nanmedian(curves[:, columns], axis=0)
    counts = defined[:, columns].sum(axis=1)
    sums = np.where(defined[:, columns], difference, 0.0) ** 2
    return np.where(counts > 0, np.sqrt(sums.sum(axis=1) / np.maximum(counts, 1)), np.nan)


def finite_mean(values: Vector) -> Vector:
    """Return the mean over rows of values (n, ...), ignoring NaN; NaN where there is none."""
    defined = np.isfinite(values)
    counts = defined.sum(axis=0)
    return np.where(counts > 0, np.where(defined, values, 0.0).sum(axis=0) / np.maximum(counts, 1), np.nan)


def finite_sd(values: Vector) -> Vector:
    """Return the standard deviation over rows of values (n, ...), with n - 1, ignoring NaN; NaN of fewer than two."""
    defined = np.isfinite(values)
    counts = defined.sum(axis=0)
    squares = np.where(defined, values - finite_mean(values), 0.0) ** 2
    return np.where(counts > 1, np.sqrt(squares.sum(axis=0) / np.maximum(counts - 1, 1)), np.nan)


def _between(
    events: GaitEvents, kind: EventKind, side: str, start: float, end: float, joint_status: NDArray[np.uint8] | None
) -> list[float]:
    """Return the events of a kind and side between two times, in frames; NaN for those that are not observed."""
    frames = np.asarray(getattr(events, kind)[side], dtype=np.float64)
    times = np.where(_are_seen(events, kind, side, joint_status), frames, np.nan)
    return times[(frames > start) & (frames < end)].tolist()


def _are_seen(
    events: GaitEvents, kind: EventKind, side: str, joint_status: NDArray[np.uint8] | None
) -> NDArray[np.bool_]:
    """Return which events (n,) of a kind and side are observed: not from kinematics, or of an observed foot."""
    frames = np.asarray(getattr(events, kind)[side], dtype=np.float64)
    if joint_status is None:
        return np.ones(len(frames), dtype=bool)
    sources = (events.contact_sources if kind == "initial_contacts" else events.off_sources).get(side, ())
    needed = ("ANKLE",) if kind == "initial_contacts" else ("ANKLE", "FOOT")
    foot = [Joint[f"{side.upper()}_{name}"] for name in needed]
    nearest = np.clip(np.rint(frames).astype(np.int64), 0, len(joint_status) - 1)
    observed = (joint_status[nearest][:, foot] > JointStatus.NOT_OBSERVED).all(axis=1)
    return np.asarray(observed | (np.array(sources) != "kinematics" if sources else False))


def _heading_rad(joints: Vector) -> Vector:
    """Return the direction (T,) from the right hip and shoulder to the left ones, unwrapped; leftward is positive."""
    to_left = joints[:, Joint.LEFT_HIP] - joints[:, Joint.RIGHT_HIP]
    to_left = to_left + joints[:, Joint.LEFT_SHOULDER] - joints[:, Joint.RIGHT_SHOULDER]
    return np.unwrap(np.arctan2(to_left[:, 0], to_left[:, 2]))
