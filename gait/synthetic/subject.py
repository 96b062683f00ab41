"""People: a shape of the body and habits of walking, from a seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.skeleton import Joint
from gait.errors import GaitError

Vector = NDArray[np.float64]

GRAVITY_M_S2 = 9.81
STATURE_M = (1.08, 2.0)
"""Statures of people who are drawn, from a child of about five years to a tall adult, metres."""

ADULT_STATURE_M = 1.5
_TRIES = 500


@dataclass(frozen=True, eq=False)
class Style:
    """Habits of one person; angles in radians, (2,) left and right; small asymmetries are natural."""

    hip_flexion: Vector
    hip_adduction: Vector
    hip_rotation: Vector
    knee_flexion: Vector
    knee_range: Vector  # factor
    ankle: Vector
    foot_range: Vector  # factor
    toe_out: Vector
    shoulder_flexion: Vector
    shoulder_abduction: Vector
    elbow_flexion: Vector
    arm_range: Vector  # factor
    pelvis_tilt: float
    pelvis_rotation_range: float
    trunk_flexion: float
    trunk_rotation_range: float
    frontal_range: float  # of pelvis, hip and trunk in the frontal plane
    stance_share: float  # added to the norm
    step_width_share: float  # of the leg's length
    clearance_m: float


@dataclass(frozen=True, eq=False)
class Person:
    """Who walks."""

    seed: int
    betas: Vector  # (B,) shape in standard deviations
    stature_m: float
    leg_length_m: float  # hip to ankle and on to the floor, at rest
    dimensionless_speed: float  # v / sqrt(g · leg): the root of the Froude number
    dimensionless_cadence: float  # steps a second · sqrt(leg / g)
    style: Style

    @property
    def speed_m_s(self) -> float:
        """Comfortable walking speed in health."""
        return self.dimensionless_speed * float(np.sqrt(GRAVITY_M_S2 * self.leg_length_m))

    @property
    def stride_time_s(self) -> float:
        """Two steps in health."""
        return 2 / (self.dimensionless_cadence * float(np.sqrt(GRAVITY_M_S2 / self.leg_length_m)))

    @property
    def stride_length_m(self) -> float:
        """Two steps in health."""
        return self.speed_m_s * self.stride_time_s

    def at_pace(self, stride_length_m: float, stride_time_s: float) -> Person:
        """The same person, who is used to strides of this length and time."""
        root = float(np.sqrt(GRAVITY_M_S2 * self.leg_length_m))
        return replace(
            self,
            dimensionless_speed=stride_length_m / stride_time_s / root,
            dimensionless_cadence=2 / stride_time_s * self.leg_length_m / root,
        )


def make_person(body: Body, seed: int, *, adult: bool | None = None) -> Person:
    """Somebody whose shape and habits follow from ``seed``.

    Shape is drawn from the body's own normal distribution (cut at two deviations) until the stature lies within
    ``STATURE_M``, or on the wanted side of ``ADULT_STATURE_M``. Speed and cadence are normalised by leg length
    (Hof 1996, Gait & Posture 4:222); their norms, 0.43 and 0.55, are adults' 1.25 m/s and 113 steps/min for a leg
    of 0.85 m (Winter 1991; Bovi 2011) and hold for children from five years (Schwartz 2008). Raises GaitError where the
    body has no such people.
    """
    random = np.random.default_rng([seed, 0])
    for _ in range(_TRIES):
        betas = random.standard_normal(body.num_betas)
        while (beyond := np.abs(betas) > 2).any():
            betas[beyond] = random.standard_normal(int(beyond.sum()))
        with torch.inference_mode():
            vertices, joints = body.shaped(torch.as_tensor(betas, dtype=body.dtype, device=body.device))
        height = vertices[0, :, 1]
        stature = float(height.max() - height.min())
        low, high = STATURE_M
        if adult is not None:
            low, high = (ADULT_STATURE_M, high) if adult else (low, ADULT_STATURE_M)
        if low <= stature <= high:
            break
    else:
        raise GaitError(
            f"{body.name}: none of {_TRIES} random people is {low:g} to {high:g} m tall; is this a whole body, "
            "and one of that age?"
        )
    rest = joints[0].double().cpu().numpy()
    leg = np.linalg.norm(rest[Joint.LEFT_KNEE] - rest[Joint.LEFT_HIP])
    leg += np.linalg.norm(rest[Joint.LEFT_ANKLE] - rest[Joint.LEFT_KNEE])
    leg += rest[Joint.LEFT_ANKLE, 1] - float(height.min())
    return Person(
        seed=seed,
        betas=betas,
        stature_m=stature,
        leg_length_m=float(leg),
        dimensionless_speed=0.43 + 0.022 * _drawn(random),
        dimensionless_cadence=0.55 + 0.018 * _drawn(random),
        style=_style(random, float(leg)),
    )


def _drawn(random: np.random.Generator) -> float:
    """A standard normal number cut at two."""
    return float(np.clip(random.standard_normal(), -2, 2))


def _style(random: np.random.Generator, leg_length_m: float) -> Style:
    """Deviations between healthy persons after Kadaba 1990 and Bovi 2011, less what marker placement adds there."""

    def both(mean_deg: float, between_deg: float, sides_deg: float) -> Vector:
        """A person's own mean with a smaller difference of the sides."""
        own = mean_deg + between_deg * _drawn(random)
        return np.radians(own + sides_deg * np.array([0.5, -0.5]) * _drawn(random))

    def factors(between: float, sides: float) -> Vector:
        return (1 + between * _drawn(random)) * (1 + sides * np.array([0.5, -0.5]) * _drawn(random))

    tilt = float(np.radians(3.0 * _drawn(random)))
    return Style(
        hip_flexion=tilt + both(0, 1.0, 1.0),  # hip flexion is counted from the pelvis and tilts with it
        hip_adduction=both(0, 1.0, 1.0),
        hip_rotation=both(0, 3.0, 2.0),
        knee_flexion=both(0, 1.2, 1.0),
        knee_range=factors(0.03, 0.02),
        ankle=both(0, 1.5, 1.0),
        foot_range=factors(0.06, 0.03),
        toe_out=both(7, 3.0, 2.0),
        shoulder_flexion=both(0, 3.0, 3.0),
        shoulder_abduction=both(9, 1.5, 1.0),
        elbow_flexion=both(0, 5.0, 4.0),
        arm_range=factors(0.2, 0.12),
        pelvis_tilt=tilt,
        pelvis_rotation_range=1 + 0.2 * _drawn(random),
        trunk_flexion=float(np.radians(2.0 * _drawn(random))),
        trunk_rotation_range=1 + 0.2 * _drawn(random),
        frontal_range=1 + 0.12 * _drawn(random),
        stance_share=0.006 * _drawn(random),
        step_width_share=0.105 + 0.015 * _drawn(random),
        clearance_m=0.016 * leg_length_m / 0.85 * (1 + 0.15 * _drawn(random)),
    )
