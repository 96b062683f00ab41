"""Plan of one leg over a trial: nominal joint angles and the ankle's path during each stance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.synthetic.foot_rollover import Sole
from gait.synthetic.gait_pattern import GaitPattern, LegPattern
from gait.synthetic.leg_kinematics import LegBones, rot_x, rotate
from gait.synthetic.normative_curves import FOOT_OFF, Curve
from gait.synthetic.step_plan import Footprint, StepPlan, smooth_noise

REST_PELVIS_TILT_RAD = float(np.radians(10.0))
"""Anterior tilt of the pelvis in standing, measured at the iliac spines; assumed for the T-pose (Kadaba 1990)."""

SWAY_FRACTION = 0.024
"""Lateral displacement of the pelvis over the stance foot / leg length (Perry & Burnfield 2010)."""


STRIDE_SD_DEG = {"hip_flexion": 1.5, "hip_adduction": 0.7, "hip_rotation": 1.2, "knee_flexion": 2.2, "ankle": 1.5}
"""Standard deviations of a leg's curves from stride to stride (Kadaba et al. 1989, J. Orthop. Res. 7:849), before the
feet are put on their footprints."""


def draw_stride_variation(random: np.random.Generator, plan: StepPlan) -> Vector:
    """Draw the variation (2, T, 5), radians, of both legs' curves between strides; columns as ``STRIDE_SD_DEG``."""
    sizes = np.radians(list(STRIDE_SD_DEG.values()))
    noise = smooth_noise(random, plan.phase, 0.35, 2 * len(sizes))
    return noise.reshape(-1, 2, len(sizes)).swapaxes(0, 1) * sizes


def stance_turn_rad(pattern: LegPattern) -> float:
    """Return the mean of a leg's ``foot_turn`` in stance."""
    return 0.0 if pattern.foot_turn is None else float(pattern.foot_turn.at(np.linspace(0, FOOT_OFF, 62)).mean())


@dataclass(frozen=True)
class Stance:
    """Path of the ankle during one stance, x lateral."""

    step: Footprint
    time_s: Vector  # (S,) densely sampled, from initial contact to foot off
    ankle_m: Vector  # (S, 3)

    def frames_within(self, time_s: Vector) -> NDArray[np.intp]:
        """Return the indices of the times (T,) that lie in the stance."""
        return np.flatnonzero((time_s >= self.time_s[0]) & (time_s <= self.time_s[-1]))

    def ankle_at(self, time_s: Vector) -> Vector:
        """Interpolate the ankle (T, 3) at times within the stance."""
        return np.stack([np.interp(time_s, self.time_s, self.ankle_m[:, k]) for k in range(3)], axis=1)


@dataclass(frozen=True, eq=False)
class LegPlan:
    """Plan of one leg over all frames, x lateral; the walking frame has +z as the walking direction."""

    bones: LegBones
    sole: Sole
    hip: Vector  # (T, 3) hip relative to the root, in the walking frame
    R_pelvis: Vector  # (T, 3, 3)
    R_thigh: Vector  # (T, 3, 3) nominal R_pelvis_thigh
    knee: Vector  # (T,) nominal flexion
    stance_pitch: Vector  # (T,) sole against the floor in stance, toes up positive
    nominal_pitch: Vector  # (T,) the pitch that results from the nominal joint angles
    stances: tuple[Stance, ...]  # in temporal order
    clearance_m: float  # minimum height of the sole in mid-swing
    swing_turn_rad: float = 0.0  # of the foot in mid-swing, outwards
    foot_turn: Vector | None = None  # (T,) as in ``LegPattern``
    fits_steps: bool = False  # as in ``GaitPattern``

    def nominal_ankle(self) -> Vector:
        """Return the ankle (T, 3) relative to the root at the nominal joint angles."""
        return self.hip + rotate(self.R_pelvis @ self.R_thigh, self.ankle_at_flexion(self.knee))

    def inverse_kinematics(self, ankle_from_hip_m: Vector) -> tuple[Vector, Vector]:
        """Return R_pelvis_thigh (T, 3, 3) and knee flexion (T,) for ankles (T, 3) from the hip, walking frame."""
        in_pelvis = rotate(np.swapaxes(self.R_pelvis, -1, -2), ankle_from_hip_m)
        return self.bones.inverse_kinematics(in_pelvis, self.R_thigh, self.knee if self.fits_steps else None)

    def ankle_at_flexion(self, knee: Vector) -> Vector:
        """Return the ankle (T, 3) relative to the hip, in the thigh's frame, at knee flexions (T,)."""
        return self.bones.ankle_from_hip(np.broadcast_to(np.eye(3), (len(knee), 3, 3)), knee)


def plan_leg(
    gait_pattern: GaitPattern,
    side: str,
    plan: StepPlan,
    bones: LegBones,
    sole: Sole,
    R_pelvis: Vector,
    tilt_rad: Vector,
    obliquity_rad: Vector,
    variation_rad: Vector | None = None,
) -> LegPlan:
    """Plan one leg; x is lateral.

    The hip's flexion range is scaled to the stride length, and its adduction is shifted to match the step width, unless
    the pattern ``fits_steps``.
    ``R_pelvis`` (T, 3, 3) is in the walking frame, mirrored for the right side; anterior tilt and obliquity (T,), this
    side up, are positive. ``variation_rad`` (T, 5) is added to the curves, columns as ``STRIDE_SD_DEG``.
    """
    pattern = gait_pattern.left if side == "left" else gait_pattern.right
    cycle = plan.cycle[side]
    if gait_pattern.fits_steps:
        flexion, adduction = pattern.hip_flexion.at(cycle), pattern.hip_adduction.at(cycle)
    else:
        factor = _hip_range_factor(pattern, bones, sole, float(tilt_rad.mean()), gait_pattern.stride_length_m)
        flexion = pattern.hip_flexion.scale_excursion(factor).at(cycle)
        adduction = _shift_adduction(pattern, bones, gait_pattern.step_width_m, obliquity_rad, cycle).at(cycle)
    rotation = pattern.hip_rotation.at(cycle)
    knee = pattern.knee_flexion.at(cycle)
    ankle = pattern.ankle_dorsiflexion.at(cycle)
    if variation_rad is not None:
        nominal = (flexion, adduction, rotation, knee, ankle)
        flexion, adduction, rotation, knee, ankle = np.stack(nominal) + variation_rad.T
    if not gait_pattern.fits_steps:
        knee = np.maximum(knee, np.radians(3.0))
    # Clinical hip flexion includes the pelvic tilt in standing; the rest pose of the body model counts as untilted.
    R_thigh = bones.hip_rotation(flexion - REST_PELVIS_TILT_RAD, adduction, rotation)
    return LegPlan(
        bones=bones,
        sole=sole,
        hip=rotate(R_pelvis, np.broadcast_to(bones.hip, (len(cycle), 3))),
        R_pelvis=R_pelvis,
        R_thigh=R_thigh,
        knee=knee,
        stance_pitch=_stance_pitch(pattern, cycle),
        nominal_pitch=flexion - tilt_rad - knee + ankle,
        stances=_plan_stances(sole, pattern, plan, side),
        clearance_m=pattern.clearance_m,
        swing_turn_rad=pattern.swing_turn_rad,
        foot_turn=None if pattern.foot_turn is None else pattern.foot_turn.at(cycle),
        fits_steps=gait_pattern.fits_steps,
    )


def _shift_adduction(
    pattern: LegPattern, bones: LegBones, step_width_m: float, obliquity: Vector, cycle: Vector
) -> Curve:
    """Shift the hip adduction curve so that the pelvis moves towards the stance foot by ``SWAY_FRACTION``."""
    mid_stance = np.abs(np.mod(cycle, 1.0) - 0.25) < 0.05
    length = float(bones.reach_m(0.2))
    required = np.arctan2(bones.hip[0] + SWAY_FRACTION * length - step_width_m / 2, length)
    nominal = pattern.hip_adduction.at(0.25) - obliquity[mid_stance].mean()
    return pattern.hip_adduction.offset(float(required - nominal))


def _stance_pitch(pattern: LegPattern, cycle: Vector) -> Vector:
    """Return the pitch of the sole (T,) in stance; with foot slap the foot is flat right after initial contact."""
    pitch = pattern.foot_pitch.at(cycle)
    if pattern.foot_slap:
        after = np.mod(cycle, 1.0)
        pitch = np.where(after < 0.2, pitch * np.exp(-((after / 0.03) ** 2) * pattern.foot_slap), pitch)
    return pitch


def _hip_range_factor(pattern: LegPattern, bones: LegBones, sole: Sole, tilt: float, stride_length_m: float) -> float:
    """Find the factor on hip flexion at which the stance foot moves backward under the pelvis at walking speed."""
    phases = np.linspace(0.0, 0.5, 51)
    stride_fraction = phases[-1] * pattern.stance_fraction / FOOT_OFF
    forward, _ = sole.rollover(_stance_pitch(pattern, phases))
    target = (forward[-1] - forward[0]) - stride_length_m * stride_fraction
    hip, mean = pattern.hip_flexion.at(phases[[0, -1]]), pattern.hip_flexion.mean
    knee = pattern.knee_flexion.at(phases[[0, -1]])

    def ankle_displacement(factor: float) -> float:
        thigh = mean + factor * (hip - mean) - tilt
        R = rot_x(-(thigh - bones.rest_hip_flexion_rad))
        ankle = bones.ankle_from_hip(R, knee)
        return float(ankle[1, 2] - ankle[0, 2])

    low, high = 0.05, 1.8
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if ankle_displacement(middle) < target else (middle, high)
    return 0.5 * (low + high)


def _plan_stances(sole: Sole, pattern: LegPattern, plan: StepPlan, side: str) -> tuple[Stance, ...]:
    """Compute the ankle's path over every footprint, relative to its position at foot flat."""
    stances = []
    phases = np.linspace(0, FOOT_OFF, 123)
    forward, height = sole.rollover(_stance_pitch(pattern, phases))
    forward = forward - np.interp(0.2, phases, forward)
    aside = np.zeros(len(phases))
    if pattern.foot_turn is not None:
        pitch, turn = _stance_pitch(pattern, phases), pattern.foot_turn.at(phases) - stance_turn_rad(pattern)
        pivot = sole.pivot(pitch, turn)
        aside, forward = pivot[:, 0], forward + pivot[:, 2]
    cycle = plan.cycle[side]
    for step in plan.footprints[side]:
        inside = np.interp([step.initial_contact_s, step.foot_off_s], plan.time_s, cycle)
        base = np.round(inside[0]) if inside[0] > cycle[0] else np.round(inside[1] - FOOT_OFF)
        time = np.interp(base + phases, cycle, plan.time_s, left=np.nan, right=np.nan)
        beyond = np.isnan(time)
        if beyond.all():
            continue
        spread = step.initial_contact_s + (step.foot_off_s - step.initial_contact_s) * phases / FOOT_OFF
        x = step.ankle_x_m + np.sin(step.heading_rad) * forward + aside
        z = step.ankle_z_m + np.cos(step.heading_rad) * forward
        stances.append(Stance(step, np.where(beyond, spread, time), np.stack([x, height, z], axis=1)))
    return tuple(stances)
