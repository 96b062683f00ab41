"""Motions of a trial's joints over the gait cycle: each joint's values at each time of its own side's cycle.

A motion is one axis of one joint of ``--input rotations``. Over the cycle it is a sum of ``HARMONICS`` harmonics, so
that a change of a few numbers is smooth and alike in all strides.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gait.arrays import Vector
from gait.body.skeleton import BODY_JOINTS, MIRROR_ORDER
from gait.errors import GaitError
from gait.kinematics.gait_events import SIDES, GaitEvents
from gait.motion.dataset import Trial
from gait.motion.inputs import INPUTS
from gait.motion.rotation_samples import rotations_from

HARMONICS = 5
"""Of the stride: a swing of 40 % of the cycle with its rise and fall."""
NUM_COEFFICIENTS = 2 * HARMONICS + 1
SIDE_OF_JOINT = np.array([int(joint.name.startswith("RIGHT_")) for joint in BODY_JOINTS])
"""(22,) index in ``SIDES`` of the side whose cycle a joint's motions are of; the left one of joints in the middle."""
MIRROR_SIGNS = np.array(INPUTS["rotations"].mirror_signs)


def cycles_of_sides(events: GaitEvents, num_frames: int) -> Mapping[str, Vector]:
    """Return the number of cycles since the first initial contact of each side, at each frame (T,).

    Between initial contacts it rises evenly; before the first and after the last, with the median stride time.

    Raises:
        GaitError: a side has no initial contact, or there is no stride.
    """
    contacts = {side: np.asarray(events.initial_contacts[side], dtype=np.float64) for side in SIDES}
    strides = np.concatenate([np.diff(each) for each in contacts.values()])
    if not len(strides) or not all(len(each) for each in contacts.values()):
        raise GaitError("a gait cycle needs initial contacts of both feet; use a longer trial.")
    usual = float(np.median(strides))
    frames, found = np.arange(num_frames, dtype=np.float64), {}
    for side, own in contacts.items():
        number = np.concatenate([[0.0], np.cumsum(np.maximum(1, np.rint(np.diff(own) / usual)))])
        inside = np.interp(frames, own, number)
        outside = np.minimum(frames - own[0], 0) + np.maximum(frames - own[-1], 0)
        found[side] = inside + outside / usual
    return found


def harmonics(cycles: Vector) -> Vector:
    """Return the orthonormal functions (..., 2 · HARMONICS + 1) over the cycle at times in cycles (...)."""
    angle = 2 * np.pi * np.asarray(cycles)[..., None] * np.arange(1, HARMONICS + 1)
    waves = np.sqrt(2) * np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)
    return np.concatenate([np.ones((*np.shape(cycles), 1)), waves], axis=-1)


def rotation_values(trial: Trial, reference: Vector) -> Vector:
    """Return the values (T, 22, 3) of ``--input rotations`` at each frame, radians, against rotations (22, 4)."""
    kind = INPUTS["rotations"]
    return rotations_from(kind.samples(trial, np.arange(len(trial.joints_m), dtype=np.float64)), reference)


def fit_cycle_motion(trial: Trial, reference: Vector) -> tuple[Vector, Vector]:
    """Return the coefficients (22, 3, C) of a trial's motions, radians, and those of its mirror image.

    They are least squares over the frames in which the subject walks.

    Raises:
        GaitError: as in ``cycles_of_sides``.
    """
    values, walking = rotation_values(trial, reference), trial.walking
    cycles = cycles_of_sides(trial.events, len(values))
    own, mirrored = (np.empty((len(BODY_JOINTS), 3, NUM_COEFFICIENTS)) for _ in range(2))
    for number, side in enumerate(SIDES):
        functions = harmonics(cycles[side][walking])
        solved = np.linalg.lstsq(functions, values[walking].reshape(len(functions), -1), rcond=None)[0]
        by_motion = np.asarray(solved.T.reshape(own.shape), dtype=np.float64)
        own[number == SIDE_OF_JOINT] = by_motion[number == SIDE_OF_JOINT]
        image = mirror_motion(by_motion)
        mirrored[number != SIDE_OF_JOINT] = image[number != SIDE_OF_JOINT]
    return own, mirrored


def mirror_motion(coefficients: Vector) -> Vector:
    """Return values or coefficients (..., 22, 3, C) of the mirror image of a body."""
    return np.take(coefficients, MIRROR_ORDER, axis=-3) * MIRROR_SIGNS[:, None]
