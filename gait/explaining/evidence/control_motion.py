"""How controls move over the gait cycle at a walking speed, and how much they differ, in a network's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gait.arrays import Vector
from gait.errors import GaitError
from gait.explaining.evidence.cycle_motion import fit_cycle_motion
from gait.explaining.trained_network import TrainedNetwork
from gait.motion.dataset import Trial

MIN_CONTROLS = 5
"""Of fewer controls no spread is estimated."""


@dataclass(frozen=True, eq=False)
class TrialMotion:
    """The motions of one trial of a control: coefficients of ``cycle_motion.harmonics``, radians."""

    subject: str
    dimensionless_speed: float
    coefficients: Vector  # (22, 3, C)
    mirrored: Vector  # (22, 3, C) of the trial's mirror image


@dataclass(frozen=True, eq=False)
class ControlMotion:
    """Motions of controls: coefficients of ``cycle_motion.harmonics``, radians, linear in dimensionless speed."""

    mean: Vector  # (22, 3, C) at the mean speed
    slope: Vector  # (22, 3, C) per dimensionless speed
    covariance: Vector  # (22, 3, C, C) between controls at one speed
    mean_speed: float  # dimensionless
    speed_range: tuple[float, float]

    @property
    def spread(self) -> Vector:
        """Standard deviation (22, 3) of each motion, root mean square over the cycle, radians."""
        return np.sqrt(np.einsum("jacc->ja", self.covariance))

    def at_speed(self, dimensionless_speed: float) -> Vector:
        """Return the mean motions (22, 3, C) at a speed, of the controls' nearest one; NaN: at their mean speed."""
        if not np.isfinite(dimensionless_speed):
            return self.mean
        return self.mean + self.slope * (float(np.clip(dimensionless_speed, *self.speed_range)) - self.mean_speed)


def read_trial_motion(trained: TrainedNetwork, trial: Trial, dimensionless_speed: float) -> TrialMotion | None:
    """Return the motions of a trial; None if the network's input is no rotations, or without a stride or a speed."""
    if trained.reference.rotations is None or not np.isfinite(dimensionless_speed):
        return None
    try:
        motions = fit_cycle_motion(trial, trained.reference.rotations.double().numpy())
    except GaitError:
        return None
    return TrialMotion(trial.subject_id, dimensionless_speed, *motions)


def control_motion(trials: Sequence[TrialMotion]) -> ControlMotion | None:
    """Return what controls do; None of fewer than ``MIN_CONTROLS`` subjects.

    Each trial counts with its mirror image, and each subject as much as another.
    """
    names, index, count = np.unique([each.subject for each in trials], return_inverse=True, return_counts=True)
    if len(names) < MIN_CONTROLS:
        return None
    weight = np.repeat(1 / count[index] / len(names) / 2, 2)
    speed = np.repeat([each.dimensionless_speed for each in trials], 2)
    motion = np.array([image for each in trials for image in (each.coefficients, each.mirrored)])
    mean_speed = float(weight @ speed)
    offset = speed - mean_speed
    mean, spread = np.tensordot(weight, motion, 1), float(weight @ offset**2)
    slope = np.tensordot(weight * offset, motion - mean, 1) / spread if spread > 0 else np.zeros_like(mean)
    residual = motion - mean - offset[:, None, None, None] * slope
    freedom = 1 - 2 / len(names)  # a mean and a slope are estimated
    covariance = np.einsum("n,njac,njad->jacd", weight, residual, residual) / freedom
    return ControlMotion(mean, slope, covariance, mean_speed, (float(speed.min()), float(speed.max())))
