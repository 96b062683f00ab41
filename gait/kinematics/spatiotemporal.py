"""Spatio-temporal parameters of each stride, from gait events and footprints.

A footprint is where the heel lies while the foot is flat; on a treadmill, on the belt. Lengths and widths are those of
the triangle of a stride's two footprints and the footprint of the other foot between them, so that they hold on any
path (Huxham et al. 2006, Gait & Posture 23:159). Times follow Perry & Burnfield 2010, Gait Analysis. Scaling by leg
length is that of Hof 1996, Gait & Posture 4:222.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.arrays import UP, Vector, interpolate_frames
from gait.body.joint_status import explainable
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import Joint
from gait.constants import GRAVITY_M_S2
from gait.kinematics.gait_events import SIDES, GaitEvents
from gait.kinematics.strides import Stride, find_phases

FOOT_FLAT_PHASE = (0.15, 0.5)
"""Fraction of stance during which the foot is flat and the ankle at rest over the floor."""
MIN_BELT_M_S = 0.2
"""A slower median velocity of the flat feet means that there is no treadmill."""
MID_SWING = (0.25, 0.75)
"""Fraction of swing in which foot clearance is sought: between the two peaks of the forefoot's height (Winter 1992,
Phys. Ther. 72:45). Clearance is that of the ball of the foot, as toes beyond it bend and have no marker."""


@dataclass(frozen=True)
class GaitParameter:
    """Definition of a parameter of a stride."""

    name: str
    title: str  # for people
    unit: str  # "m", "s", "m/s", "steps/min" or "%"
    description: str


PARAMETERS: tuple[GaitParameter, ...] = (
    GaitParameter("walking_speed", "Walking speed", "m/s", "stride length over stride time"),
    GaitParameter("cadence", "Cadence", "steps/min", "two steps over stride time"),
    GaitParameter("stride_length", "Stride length", "m", "between two successive footprints of this foot"),
    GaitParameter("stride_time", "Stride time", "s", "between two successive initial contacts of this foot"),
    GaitParameter(
        "step_length", "Step length", "m", "from the other footprint to this foot's next one, along the stride"
    ),
    GaitParameter("step_time", "Step time", "s", "from the other foot's initial contact to this one's next"),
    GaitParameter("step_width", "Step width", "m", "from the other footprint to the line of the stride, across it"),
    GaitParameter("stance_time", "Stance time", "s", "from initial contact to foot off"),
    GaitParameter("swing_time", "Swing time", "s", "from foot off to the next initial contact"),
    GaitParameter("single_support_time", "Single support", "s", "while the other foot swings"),
    GaitParameter("double_support_time", "Double support", "s", "first and second double support"),
    GaitParameter("stance", "Stance", "%", "foot off, in percent of the gait cycle"),
    GaitParameter("swing", "Swing", "%", "swing in percent of the gait cycle"),
    GaitParameter("opposite_foot_off", "Opposite foot off", "%", "in percent of the gait cycle"),
    GaitParameter("opposite_contact", "Opposite contact", "%", "initial contact of the other foot, in percent"),
    GaitParameter("single_support", "Single support", "%", "in percent of the gait cycle"),
    GaitParameter("double_support", "Double support", "%", "first and second, in percent of the gait cycle"),
    GaitParameter("first_double_support", "First double support", "%", "from initial contact to opposite foot off"),
    GaitParameter("second_double_support", "Second double support", "%", "from opposite contact to foot off"),
    GaitParameter(
        "foot_clearance",
        "Foot clearance",
        "m",
        "lowest height of the ball of the foot in mid-swing, above that in stance",
    ),
)
PARAMETER_NAMES = tuple(parameter.name for parameter in PARAMETERS)


@dataclass(frozen=True, eq=False)
class GaitParameters:
    """Parameters of all strides of a trial, or of several trials of a subject, in ``PARAMETERS``' units."""

    leg_length_m: float  # by which they are scaled; ``clinical_leg_length_m``, NaN if unknown
    values: Mapping[tuple[str, str], Vector]  # (parameter name, side) -> (n,) one per stride; NaN if not observed
    used: Mapping[str, NDArray[np.bool_]]  # by side, (n,) the strides that count in mean and SD
    belt_m_s: float = 0.0  # speed of a treadmill's belt; 0 on the floor; NaN if trials differ

    @property
    def dimensionless_speed(self) -> float:
        """Mean walking speed over sqrt(gravity · leg length) (Hof 1996); NaN if unknown."""
        return self.mean("walking_speed", "both", scaled=True)

    def of(self, name: str, side: str, *, scaled: bool = False) -> Vector:
        """Return the values (m,) that count: those of used strides, observed; of both sides if ``side`` is "both"."""
        sides = SIDES if side == "both" else (side,)
        values = np.concatenate([self.values[name, own][self.used[own]] for own in sides])
        values = values[np.isfinite(values)]
        return values * scale_factor(_UNITS[name], self.leg_length_m) if scaled else values

    def mean(self, name: str, side: str, *, scaled: bool = False) -> float:
        """Return the mean over strides; NaN if there is none. Scaled by leg length, it is dimensionless (Hof 1996)."""
        values = self.of(name, side, scaled=scaled)
        return float(values.mean()) if len(values) else math.nan

    def sd(self, name: str, side: str, *, scaled: bool = False) -> float:
        """Return the standard deviation over strides, with n - 1; NaN of fewer than two."""
        values = self.of(name, side, scaled=scaled)
        return float(values.std(ddof=1)) if len(values) > 1 else math.nan

    def count(self, name: str, side: str) -> int:
        """Return of how many strides mean and SD are."""
        return len(self.of(name, side))


_UNITS = {parameter.name: parameter.unit for parameter in PARAMETERS}


def scale_factor(unit: str, leg_length_m: float) -> float:
    """Return by what a value in this unit is multiplied to be dimensionless (Hof 1996, Gait & Posture 4:222).

    Lengths are in leg lengths l, times in sqrt(l / g), and so on; percentages stay as they are.
    """
    time_s = math.sqrt(leg_length_m / GRAVITY_M_S2)
    factors = {"m": 1 / leg_length_m, "s": 1 / time_s, "m/s": time_s / leg_length_m, "steps/min": time_s / 60}
    return factors.get(unit, 1.0)


@dataclass(frozen=True, eq=False)
class FootPath:
    """Path of one foot over a trial, relative to the floor or a treadmill's belt."""

    heel_m: Vector  # (T, 3) metres, y up; of the heel, or of the ankle; NaN where it is not observed
    ball_height_m: Vector | None = None  # (T,) of the sole under the ball of the foot; NaN where it is not observed


def sequence_parameters(
    sequence: PoseSequence,
    events: GaitEvents,
    strides: Mapping[str, Sequence[Stride]],
    used: Mapping[str, NDArray[np.bool_]],
) -> GaitParameters:
    """Return the parameters of the strides of a trial, by side; NaN where a foot or an event is not observed."""
    joints, status = sequence.joints_m.astype(np.float64), sequence.joint_status
    ankles = {side: joints[:, Joint[f"{side.upper()}_ANKLE"]] for side in SIDES}
    belt_m_s = belt_velocity_m_s(ankles, events, sequence.rate_hz)
    belt_path_m = np.arange(len(joints))[:, None] / sequence.rate_hz * belt_m_s
    feet = {}
    for side in SIDES:
        ankle, ball = (Joint[f"{side.upper()}_{name}"] for name in ("ANKLE", "FOOT"))
        heel, sole = (_landmark_m(sequence, side, name) for name in ("HEE", "BALL_SOLE"))
        path = (ankles[side] if heel is None else heel) - belt_path_m
        height = None if sole is None else sole[:, 1]
        if status is not None:
            seen = explainable(status)
            path = np.where(seen[:, [ankle]], path, np.nan)
            height = None if height is None else np.where(seen[:, ankle] & seen[:, ball], height, np.nan)
        feet[side] = FootPath(path, height)
    values = stride_parameters(feet, events, strides)
    return GaitParameters(clinical_leg_length_m(sequence), values, dict(used), float(np.linalg.norm(belt_m_s)))


def stride_parameters(
    feet: Mapping[str, FootPath], events: GaitEvents, strides: Mapping[str, Sequence[Stride]]
) -> dict[tuple[str, str], Vector]:
    """Return the ``PARAMETERS`` of each stride, (parameter name, side) -> (n,), from the feet and strides by side."""
    footprints = {side: _Footprints(feet[side].heel_m, events, side) for side in SIDES}
    values: dict[tuple[str, str], Vector] = {}
    for side, other in zip(SIDES, reversed(SIDES), strict=True):
        rows = [
            _parameters_of(stride, footprints[side], footprints[other], feet[side].ball_height_m)
            for stride in strides[side]
        ]
        values |= {(name, side): np.array([row[name] for row in rows], dtype=np.float64) for name in PARAMETER_NAMES}
    return values


def clinical_leg_length_m(sequence: PoseSequence) -> float:
    """Return the length of the straight leg, mean of both sides, metres; NaN if the body's landmarks are unknown.

    It is measured on the fitted body as with a tape in the clinic, from the anterior superior iliac spine to the medial
    malleolus, since published norms are scaled by that (Schwartz et al. 2008, J. Biomech. 41:1639).
    """
    anatomy = sequence.anatomy
    if anatomy is None:
        return math.nan
    legs = [np.linalg.norm(anatomy.position_m(f"{side}ASI") - anatomy.position_m(f"{side}MED")) for side in "LR"]
    return float(np.mean(legs))


def belt_velocity_m_s(ankles_m: Mapping[str, Vector], events: GaitEvents, rate_hz: float) -> Vector:
    """Return the velocity of a treadmill's belt, (3,), from that of the flat feet; zero on the floor.

    ``ankles_m`` are the paths (T, 3) of the ankles by side.
    """
    velocities = []
    for side in SIDES:
        for start, end in find_phases(events.initial_contacts[side], events.foot_offs[side]):
            flat = foot_flat(start, end)
            if flat.stop - flat.start > 1:
                velocities.append(np.median(np.diff(ankles_m[side][flat], axis=0), axis=0) * rate_hz * [1, 0, 1])
    belt = np.median(velocities, axis=0) if velocities else np.zeros(3)
    return belt if np.linalg.norm(belt) > MIN_BELT_M_S else np.zeros(3)


def foot_flat(start: float, end: float) -> slice:
    """Return the frames in which the foot is flat of a stance from ``start`` to ``end``, in frames."""
    begin, stop = (round(start + fraction * (end - start)) for fraction in FOOT_FLAT_PHASE)
    return slice(begin, stop + 1)


class _Footprints:
    """Where a foot stands at each of its initial contacts."""

    def __init__(self, path_m: Vector, events: GaitEvents, side: str) -> None:
        """``path_m`` (T, 3) is that of the heel, relative to the floor or the belt."""
        self._at: dict[float, Vector] = {}
        contacts = np.asarray(events.initial_contacts[side], dtype=np.float64).tolist()
        at_contact = {contact: _at(path_m, contact) for contact in contacts}
        shifts = []
        for contact, foot_off in find_phases(events.initial_contacts[side], events.foot_offs[side]):
            flat = _median(path_m[foot_flat(contact, foot_off)])
            if np.isfinite(flat).all():
                self._at[contact] = flat
                shifts.append(flat - at_contact[contact])
        # Of the last stance, which the recording may not hold, the foot at contact is known, and how far it moves then.
        shift = _median(np.array(shifts)) if shifts else np.zeros(3)
        for contact in contacts:
            self._at.setdefault(contact, at_contact[contact] + shift)

    def at(self, contact: float) -> Vector:
        """Return the footprint (3,) of the stance that begins with this contact; NaN without such a contact."""
        return self._at.get(contact, np.full(3, np.nan)) * [1, 0, 1]


def _median(positions: Vector) -> Vector:
    """Return the median of those positions (n, 3) that are observed; NaN if none is."""
    observed = positions[np.isfinite(positions).all(axis=1)]
    return np.asarray(np.median(observed, axis=0)) if len(observed) else np.full(3, np.nan)


def _at(path: Vector, frame: float) -> Vector:
    """Interpolate a path (T, 3) linearly at a time in frames; NaN next to a frame that is not observed."""
    return np.asarray(interpolate_frames(path, np.array([frame]))[0])


def _landmark_m(sequence: PoseSequence, side: str, name: str) -> Vector | None:
    """Return the path (T, 3) of a landmark of one side of the body; None if unknown."""
    return sequence.landmark_m(f"{side[0].upper()}{name}") if sequence.anatomy is not None else None


def _parameters_of(
    stride: Stride, own: _Footprints, other: _Footprints, ball_height: Vector | None
) -> dict[str, float]:
    start, end = own.at(stride.start), own.at(stride.end)
    along = end - start
    length = float(np.linalg.norm(along))
    between = other.at(stride.opposite_contact)
    ahead = along / length if length > 0 else np.full(3, np.nan)
    to_left = np.cross(UP, ahead) * (1 if stride.side == "left" else -1)
    duration, rate_hz = stride.duration_s, stride.rate_hz
    first = (stride.opposite_foot_off - stride.start) / rate_hz
    single = (stride.opposite_contact - stride.opposite_foot_off) / rate_hz
    second = (stride.foot_off - stride.opposite_contact) / rate_hz
    stance = (stride.foot_off - stride.start) / rate_hz
    return {
        "walking_speed": length / duration,
        "cadence": 120 / duration,
        "stride_length": length,
        "stride_time": duration,
        "step_length": float((end - between) @ ahead),
        "step_time": (stride.end - stride.opposite_contact) / rate_hz,
        "step_width": float((start - between) @ to_left),
        "stance_time": stance,
        "swing_time": duration - stance,
        "single_support_time": single,
        "double_support_time": first + second,
        "stance": 100 * stance / duration,
        "swing": 100 * (1 - stance / duration),
        "opposite_foot_off": stride.percent(stride.opposite_foot_off),
        "opposite_contact": stride.percent(stride.opposite_contact),
        "single_support": 100 * single / duration,
        "double_support": 100 * (first + second) / duration,
        "first_double_support": 100 * first / duration,
        "second_double_support": 100 * second / duration,
        "foot_clearance": _foot_clearance(stride, ball_height),
    }


def _foot_clearance(stride: Stride, ball_height: Vector | None) -> float:
    """Return the lowest height of the ball of the foot in mid-swing, above that of the flat foot, metres."""
    if ball_height is None or not math.isfinite(stride.foot_off) or not stride.is_straight_and_level:
        return math.nan
    swing = stride.end - stride.foot_off
    first, last = (round(stride.foot_off + fraction * swing) for fraction in MID_SWING)
    flat = ball_height[foot_flat(stride.start, stride.foot_off)]
    flat = flat[np.isfinite(flat)]
    return float(ball_height[first : last + 1].min() - np.median(flat)) if len(flat) else math.nan


def pool_parameters(trials: Sequence[GaitParameters], used: Mapping[str, NDArray[np.bool_]]) -> GaitParameters:
    """Return the parameters of all strides of several trials of a subject; ``used`` (n,) is of all of them, by side."""
    belts = {round(trial.belt_m_s, 6) for trial in trials}
    values = {key: np.concatenate([trial.values[key] for trial in trials]) for key in trials[0].values}
    legs_m = [trial.leg_length_m for trial in trials if math.isfinite(trial.leg_length_m)]
    leg_m = float(np.median(legs_m)) if legs_m else math.nan
    return GaitParameters(leg_m, values, dict(used), belts.pop() if len(belts) == 1 else math.nan)
