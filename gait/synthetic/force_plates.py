"""Force plates under the steps of a synthetic trial: what their channels would record, for plates of types 1 to 4.

The vertical force has the usual two maxima and rises at once to ``CONTACT_N``, so that contacts are exact. The centre
of pressure moves from heel to toe. The axes of a plate and the meaning of its channels are those of
``gait.capture.force_plates``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gait.arrays import Vector
from gait.body.pose_sequence import PoseSequence
from gait.capture.recording import GaitEvent
from gait.constants import GRAVITY_M_S2
from gait.synthetic.trial import SyntheticTrial

CONTACT_N = 40.0
SURFACE_M = 0.04  # of the plate above the origin of its moments
MASS_KG = 70.0
_SENSORS_M = (0.12, 0.2)  # of a plate of type 3, from its centre
_ORIGINS_MM = {
    1: (0.0, 0.0, 0.0),
    2: (0.0, 0.0, -1000 * SURFACE_M),
    3: (1000 * _SENSORS_M[0], 1000 * _SENSORS_M[1], -1000 * SURFACE_M),
    4: (0.0, 0.0, -1000 * SURFACE_M),
}
_CALIBRATION = np.diag([1.5, 1.5, 6.0, 0.6, 0.3, 0.3]) + 0.01  # of a plate of type 4: newtons per volt


@dataclass(frozen=True)
class PlatePlan:
    """A force plate: its type, the middle of its surface and its size along and across the direction of walking."""

    kind: int  # 1 to 4
    centre_m: Vector  # (3,) on the floor, y up
    length_m: float = 0.5
    width_m: float = 0.4
    reaction: bool = False  # stores the force on the body, not the one on the plate


@dataclass(frozen=True, eq=False)
class PlateSignals:
    """The analog channels of all plates of a recording, and what ``FORCE_PLATFORM`` says of them; mm, z up."""

    channels: Vector  # (S, C)
    rate_hz: float
    units: tuple[str, ...]  # (C,)
    kinds: tuple[int, ...]  # (n,)
    channel_numbers: Vector  # (8, n) from 1; 0 if a plate has fewer
    corners_mm: Vector  # (3, 4, n)
    origins_mm: Vector  # (3, n)
    calibrations: Vector  # (6, 6, n)


def step_centres(trial: SyntheticTrial) -> list[tuple[str, float, float, Vector]]:
    """Return side, initial contact and foot off (seconds) and the middle of the foot (3,) of each whole stance."""
    found = []
    for side in ("left", "right"):
        contacts, offs = (_times(trial.events, label, side) for label in ("Foot Strike", "Foot Off"))
        for contact in contacts:
            later = [off for off in offs if off > contact]
            if later:
                found.append((side, contact, later[0], _foot(trial.ground_truth, side, contact, later[0]).mean(axis=0)))
    return sorted(found, key=lambda step: step[1])


def record_plates(trial: SyntheticTrial, plans: Sequence[PlatePlan], rate_hz: float = 1000.0) -> PlateSignals:
    """Return what plates record of a trial; each is loaded by the steps whose centre of pressure is on it."""
    truth = trial.ground_truth
    time_s = np.arange(round(truth.num_frames * rate_hz / truth.rate_hz)) / rate_hz
    ahead = np.array([np.sin(trial.heading_rad), 0.0, np.cos(trial.heading_rad)])
    across = np.cross(ahead, [0.0, 1.0, 0.0])  # ahead × across points down, into the floor
    units: list[str] = []
    channels, numbers, corners, origins, calibrations = [], [], [], [], []
    for plan in plans:
        force, cop = np.zeros((len(time_s), 3)), np.zeros((len(time_s), 2))
        for side, contact, off, _ in step_centres(trial):
            phase = (time_s - contact) / (off - contact)
            on = (phase >= 0) & (phase <= 1)
            heel, toe = _foot(truth, side, contact, off)
            path = heel + np.clip(phase, 0, 1)[:, None] * (toe - heel) - plan.centre_m
            place = np.stack([path @ ahead, path @ across], axis=1)
            on &= (np.abs(place) <= [plan.length_m / 2, plan.width_m / 2]).all(axis=1)
            load = CONTACT_N + MASS_KG * GRAVITY_M_S2 * (np.sin(np.pi * phase) + 0.35 * np.sin(3 * np.pi * phase))
            step = np.where(on, load, 0.0)
            total = np.maximum(force[:, 2] + step, 1e-9)[:, None]
            cop = np.where(on[:, None], (cop * force[:, 2:] + place * step[:, None]) / total, cop)
            force += np.stack([-0.15 * np.cos(np.pi * phase) * step, 0.05 * step, step], axis=1)
        own, units_of = _channels(plan.kind, (-1 if plan.reaction else 1) * force, 1000 * cop)
        numbers.append([len(units) + 1 + k if k < own.shape[1] else 0 for k in range(8)])
        channels.append(own)
        units += units_of
        offsets = [(0.5 * x * plan.length_m, 0.5 * y * plan.width_m) for x, y in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
        corners.append([1000 * (plan.centre_m + x * ahead + y * across)[[2, 0, 1]] for x, y in offsets])
        origins.append(_ORIGINS_MM[plan.kind])
        calibrations.append(_CALIBRATION)
    return PlateSignals(
        channels=np.concatenate(channels, axis=1),
        rate_hz=rate_hz,
        units=tuple(units),
        kinds=tuple(plan.kind for plan in plans),
        channel_numbers=np.array(numbers).T,
        corners_mm=np.array(corners).transpose(2, 1, 0),
        origins_mm=np.array(origins, dtype=np.float64).T,
        calibrations=np.stack(calibrations, axis=-1),
    )


def _channels(kind: int, force: Vector, cop_mm: Vector) -> tuple[Vector, list[str]]:
    """Return the channels (S, C) of a plate with forces (S, 3) in its axes at places (S, 2) on its surface."""
    zero = np.zeros(len(force))
    if kind == 1:
        return np.column_stack([force, cop_mm, zero]), ["N"] * 3 + ["mm"] * 2 + ["Nmm"]
    from_origin = np.column_stack([cop_mm, np.full(len(force), -1000 * SURFACE_M)])
    moment = np.cross(from_origin, force)
    if kind == 3:
        a, b = (1000 * s for s in _SENSORS_M)
        x, y, z = force.T
        parts = [
            z / 4 + u * moment[:, 0] / (4 * b) + v * moment[:, 1] / (4 * a)
            for u, v in ((1, -1), (1, 1), (-1, 1), (-1, -1))
        ]
        return np.column_stack([x / 2, x / 2, y / 2, y / 2, *parts]), ["N"] * 8
    six = np.column_stack([force, moment])
    if kind == 4:
        return six @ np.linalg.inv(_CALIBRATION).T, ["N"] * 3 + ["Nmm"] * 3
    return six, ["N"] * 3 + ["Nmm"] * 3


def _foot(truth: PoseSequence, side: str, contact_s: float, off_s: float) -> Vector:
    """Return heel and toe (2, 3) on the floor, metres, of the flat foot in a stance."""
    frame = min(round((contact_s + 0.35 * (off_s - contact_s)) * truth.rate_hz), truth.num_frames - 1)
    points = [truth.landmark_m(f"{side[0].upper()}{name}_SOLE") for name in ("HEEL", "TOE")]
    return np.stack([point[max(frame, 0)] * [1, 0, 1] for point in points if point is not None])


def _times(events: Sequence[GaitEvent], label: str, side: str) -> list[float]:
    return [event.time_s for event in events if (event.label, event.side) == (label, side)]
