"""Synthetic subjects: body shape and gait style, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from gait.arrays import Vector
from gait.body.body import Body
from gait.body.skeleton import Joint
from gait.constants import GRAVITY_M_S2
from gait.errors import GaitError
from gait.synthetic.individuality import Individuality, draw_individuality, truncated_normal
from gait.synthetic.normative_curves import ADULT_SPEED

STATURE_RANGE_M = (1.08, 2.0)
"""Statures of the subjects, metres: from a child of about five years to a tall adult."""

MIN_ADULT_STATURE_M = 1.5
_MAX_DRAWS = 500


@dataclass(frozen=True, eq=False)
class GaitStyle:
    """Individual deviations from normative gait: angles in radians; arrays (2,) are left and right.

    Small left-right asymmetries are part of healthy gait.
    """

    hip_flexion: Vector
    hip_adduction: Vector
    hip_rotation: Vector
    knee_flexion: Vector
    knee_range: Vector  # factor on the curve's excursion; the other ranges likewise
    ankle: Vector
    foot_range: Vector
    toe_out: Vector
    shoulder_flexion: Vector
    shoulder_abduction: Vector
    elbow_flexion: Vector
    arm_range: Vector
    pelvis_tilt: float
    pelvis_rotation_range: float
    trunk_flexion: float
    trunk_rotation_range: float
    frontal_range: float  # of pelvis, hip and trunk in the frontal plane
    stance_fraction: float  # added to the norm
    relative_step_width: float  # step width / leg length
    clearance_m: float  # minimum height of the sole in mid-swing


@dataclass(frozen=True)
class Peculiarity:
    """A harmless peculiarity of a person's gait, which is no sign of a pathology; see ``peculiarities``."""

    name: str
    side: str  # "left" or "right"
    size: float  # 0 (none) to 1
    joints: tuple[Joint, ...]  # whose rotation it changes


@dataclass(frozen=True, eq=False)
class SyntheticSubject:
    """Body shape, size and normal gait of one synthetic subject."""

    seed: int
    betas: Vector  # (B,) shape in standard deviations
    stature_m: float
    leg_length_m: float  # hip to knee to ankle to floor, in the rest pose
    dimensionless_speed: float  # v / sqrt(g · leg), the square root of the Froude number
    dimensionless_cadence: float  # steps per second · sqrt(leg / g)
    style: GaitStyle
    # dimensionless speed at which ``style`` deviates from adult norms; at another pace joint angles change from there
    # as those of healthy persons do; None: they stay
    style_speed: float | None = None
    individuality: Individuality | None = None  # own curves, in a varied world
    peculiarities: tuple[Peculiarity, ...] = ()

    @property
    def speed_m_s(self) -> float:
        """Comfortable walking speed without a pathology."""
        return self.dimensionless_speed * float(np.sqrt(GRAVITY_M_S2 * self.leg_length_m))

    @property
    def stride_time_s(self) -> float:
        """Duration of a stride without a pathology."""
        return 2 / (self.dimensionless_cadence * float(np.sqrt(GRAVITY_M_S2 / self.leg_length_m)))

    @property
    def stride_length_m(self) -> float:
        """Length of a stride without a pathology."""
        return self.speed_m_s * self.stride_time_s

    def with_pace(self, stride_length_m: float, stride_time_s: float) -> SyntheticSubject:
        """Return the same subject with this stride length and stride time as the comfortable ones."""
        root = float(np.sqrt(GRAVITY_M_S2 * self.leg_length_m))
        return replace(
            self,
            dimensionless_speed=stride_length_m / stride_time_s / root,
            dimensionless_cadence=2 / stride_time_s * self.leg_length_m / root,
        )

    def at_own_pace(self, factor: float) -> SyntheticSubject:
        """Return the same subject walking at a multiple of the comfortable speed, as a healthy person does by choice.

        Stride length and cadence change by the same factor, and joint angles as in Schwartz et al. 2008; ``with_pace``
        changes only the steps.
        """
        root = float(np.sqrt(factor))
        paced = self.with_pace(self.stride_length_m * root, self.stride_time_s / root)
        return replace(paced, style_speed=self.dimensionless_speed if self.style_speed is None else self.style_speed)


def make_subject(body: Body, seed: int, *, adult: bool | None = None) -> SyntheticSubject:
    """Draw a subject's shape and gait style from ``seed``.

    The shape is drawn from the body model's normal distribution, truncated at two standard deviations, until the
    stature lies within ``STATURE_RANGE_M``; ``adult`` limits the range to one side of ``MIN_ADULT_STATURE_M``.

    Speed and cadence are normalized by leg length (Hof 1996, Gait & Posture 4:222). Their norms, 0.43 and 0.55,
    correspond to 1.25 m/s and 113 steps/min of an adult with a leg of 0.85 m (Winter 1991; Bovi 2011) and hold for
    children from five years (Schwartz 2008).

    Raises:
        GaitError: no drawn shape has such a stature.
    """
    random = np.random.default_rng([seed, 0])
    for _ in range(_MAX_DRAWS):
        betas = random.standard_normal(body.num_betas)
        while (beyond := np.abs(betas) > 2).any():
            betas[beyond] = random.standard_normal(int(beyond.sum()))
        with torch.inference_mode():
            vertices, joints = body.rest_body(torch.as_tensor(betas, dtype=body.dtype, device=body.device))
        height = vertices[0, :, 1]
        stature = float(height.max() - height.min())
        low, high = STATURE_RANGE_M
        if adult is not None:
            low, high = (MIN_ADULT_STATURE_M, high) if adult else (low, MIN_ADULT_STATURE_M)
        if low <= stature <= high:
            break
    else:
        problem = f"none of {_MAX_DRAWS} random shapes is {low:g} to {high:g} m tall"
        raise GaitError(f"{body.name}: {problem}; use a full-body model of that age.")
    rest = joints[0].double().cpu().numpy()
    leg = np.linalg.norm(rest[Joint.LEFT_KNEE] - rest[Joint.LEFT_HIP])
    leg += np.linalg.norm(rest[Joint.LEFT_ANKLE] - rest[Joint.LEFT_KNEE])
    leg += rest[Joint.LEFT_ANKLE, 1] - float(height.min())
    return SyntheticSubject(
        seed=seed,
        betas=betas,
        stature_m=stature,
        leg_length_m=float(leg),
        dimensionless_speed=ADULT_SPEED + 0.022 * truncated_normal(random),
        dimensionless_cadence=0.55 + 0.018 * truncated_normal(random),
        style=_draw_style(random, float(leg)),
    )


def vary_subject(subject: SyntheticSubject) -> SyntheticSubject:
    """Return the subject with its own curves, drawn from its seed, and a speed that differs as real persons' do.

    Its joint angles follow the speed as in Schwartz et al. 2008.
    """
    random = np.random.default_rng([subject.seed, 7])
    faster = 0.08 * truncated_normal(random)  # stride length and cadence share a person's speed
    return replace(
        subject,
        dimensionless_speed=subject.dimensionless_speed * (1 + faster),
        dimensionless_cadence=subject.dimensionless_cadence * (1 + 0.5 * faster),
        style_speed=ADULT_SPEED,
        individuality=draw_individuality(random),
    )


def _draw_style(random: np.random.Generator, leg_length_m: float) -> GaitStyle:
    """Draw deviations of healthy subjects (Kadaba 1990; Bovi 2011), reduced by the contribution of marker placement."""

    def both_sides(mean_deg: float, between_deg: float, sides_deg: float) -> Vector:
        """Draw the subject's own mean and a smaller left-right difference; (2,) radians."""
        own = mean_deg + between_deg * truncated_normal(random)
        return np.radians(own + sides_deg * np.array([0.5, -0.5]) * truncated_normal(random))

    def factors(between: float, sides: float) -> Vector:
        own = 1 + between * truncated_normal(random)
        return own * (1 + sides * np.array([0.5, -0.5]) * truncated_normal(random))

    tilt = float(np.radians(3.0 * truncated_normal(random)))
    return GaitStyle(
        hip_flexion=tilt + both_sides(0, 1.0, 1.0),  # measured against the pelvis, so it contains its tilt
        hip_adduction=both_sides(0, 1.0, 1.0),
        hip_rotation=both_sides(0, 3.0, 2.0),
        knee_flexion=both_sides(0, 1.2, 1.0),
        knee_range=factors(0.03, 0.02),
        ankle=both_sides(0, 1.5, 1.0),
        foot_range=factors(0.06, 0.03),
        toe_out=both_sides(7, 3.0, 2.0),
        shoulder_flexion=both_sides(0, 3.0, 3.0),
        shoulder_abduction=both_sides(9, 1.5, 1.0),
        elbow_flexion=both_sides(0, 5.0, 4.0),
        arm_range=factors(0.2, 0.12),
        pelvis_tilt=tilt,
        pelvis_rotation_range=1 + 0.2 * truncated_normal(random),
        trunk_flexion=float(np.radians(2.0 * truncated_normal(random))),
        trunk_rotation_range=1 + 0.2 * truncated_normal(random),
        frontal_range=1 + 0.12 * truncated_normal(random),
        stance_fraction=0.006 * truncated_normal(random),
        relative_step_width=0.105 + 0.015 * truncated_normal(random),
        clearance_m=0.016 * leg_length_m / 0.85 * (1 + 0.15 * truncated_normal(random)),
    )
