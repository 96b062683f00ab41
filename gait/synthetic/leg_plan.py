"""What one leg means to do over a walk: nominal joint angles, and where its foot stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.synthetic.foot_rollover import Sole
from gait.synthetic.gait_pattern import GaitPattern, LegPattern
from gait.synthetic.leg_kinematics import LegBones, about_x, turned
from gait.synthetic.normative_curves import TOE_OFF, Curve
from gait.synthetic.step_plan import Footprint, StepPlan

Vector = NDArray[np.float64]

REST_PELVIS_TILT_RAD = float(np.radians(10.0))
"""Anterior tilt of a standing pelvis by the iliac spines, which the T-pose is taken to have (Kadaba 1990)."""

SWAY_SHARE = 0.024
"""How far the pelvis moves over the standing foot, as a share of the leg's length (Perry & Burnfield 2010)."""


@dataclass(frozen=True)
class Stance:
    """Path of the ankle while the foot stands, x to the outside."""

    step: Footprint
    time_s: Vector  # (S,) dense, from strike to toe-off
    ankle_m: Vector  # (S, 3)

    def frames(self, time_s: Vector) -> NDArray[np.intp]:
        """Which of the times (T,) lie in the stance."""
        return np.flatnonzero((time_s >= self.time_s[0]) & (time_s <= self.time_s[-1]))

    def at(self, time_s: Vector) -> Vector:
        """(T, 3) ankle at times within the stance."""
        return np.stack([np.interp(time_s, self.time_s, self.ankle_m[:, k]) for k in range(3)], axis=1)


@dataclass(frozen=True, eq=False)
class PlannedLeg:
    """One side over all frames, x to the outside."""

    bones: LegBones
    sole: Sole
    hip: Vector  # (T, 3) hip seen from the root, in the walking frame
    R_pelvis: Vector  # (T, 3, 3)
    R_thigh: Vector  # (T, 3, 3) nominal R_pelvis_thigh
    knee: Vector  # (T,) nominal flexion
    pitch: Vector  # (T,) sole against the floor in stance, toes up positive
    swing_pitch: Vector  # (T,) what the nominal joint angles would give
    stances: tuple[Stance, ...]  # in time
    clearance_m: float  # least height of the sole in mid-swing

    def nominal_ankle(self) -> Vector:
        """(T, 3) ankle seen from the root, of the nominal angles."""
        return self.hip + turned(self.R_pelvis @ self.R_thigh, self.bent(self.knee))

    def reaching(self, ankle_from_hip_m: Vector) -> tuple[Vector, Vector]:
        """R_pelvis_thigh (T, 3, 3) and knee flexion (T,) for ankles (T, 3) seen from the hip in the walking frame."""
        inside = turned(np.swapaxes(self.R_pelvis, -1, -2), ankle_from_hip_m)
        return self.bones.reaching(inside, self.R_thigh)

    def bent(self, knee: Vector) -> Vector:
        """Ankle (T, 3) from the hip in the thigh's frame, of knee flexions (T,)."""
        return self.bones.ankle_from_hip(np.broadcast_to(np.eye(3), (len(knee), 3, 3)), knee)


def planned_leg(
    whole: GaitPattern,
    side: str,
    plan: StepPlan,
    bones: LegBones,
    sole: Sole,
    R_pelvis: Vector,
    tilt_rad: Vector,
    own_side_up_rad: Vector,
) -> PlannedLeg:
    """One leg's plan, x to the outside.

    The hip's range is made to fit the stride, its adduction to fit the width of the steps.

    Args:
        whole: how the person walks.
        side: "left" or "right".
        plan: the steps.
        bones: of this side.
        sole: of this side.
        R_pelvis: (T, 3, 3) in the walking frame, mirrored for the right side.
        tilt_rad: (T,) anterior tilt of the pelvis.
        own_side_up_rad: (T,) obliquity of the pelvis.
    """
    pattern = whole.left if side == "left" else whole.right
    cycle = plan.cycle[side]
    factor = _hip_range(pattern, bones, sole, float(tilt_rad.mean()), whole.stride_length_m)
    flexion = pattern.hip_flexion.scaled(factor).at(cycle)
    adduction = _adduction(pattern, bones, whole.step_width_m, own_side_up_rad, cycle).at(cycle)
    knee = np.maximum(pattern.knee_flexion.at(cycle), np.radians(3.0))
    ankle = pattern.ankle_dorsiflexion.at(cycle)
    # Clinics count hip flexion from a pelvis that is tilted in standing; the bones from the pelvis at rest.
    R_thigh = bones.hip_rotation(flexion - REST_PELVIS_TILT_RAD, adduction, pattern.hip_rotation.at(cycle))
    return PlannedLeg(
        bones=bones,
        sole=sole,
        hip=turned(R_pelvis, np.broadcast_to(bones.hip, (len(cycle), 3))),
        R_pelvis=R_pelvis,
        R_thigh=R_thigh,
        knee=knee,
        pitch=_stance_pitch(pattern, cycle),
        swing_pitch=flexion - tilt_rad - knee + ankle,
        stances=_stances(sole, pattern, plan, side),
        clearance_m=pattern.clearance_m,
    )


def _adduction(pattern: LegPattern, bones: LegBones, step_width_m: float, own_side_up: Vector, cycle: Vector) -> Curve:
    """The hip's adduction, raised so that in mid-stance the pelvis is a little on the standing foot's side."""
    middle = np.abs(np.mod(cycle, 1.0) - 0.25) < 0.05
    length = float(bones.reach_m(0.2))
    inwards = np.arctan2(bones.hip[0] + SWAY_SHARE * length - step_width_m / 2, length)
    now = pattern.hip_adduction.at(0.25) - own_side_up[middle].mean()
    return pattern.hip_adduction.raised(float(inwards - now))


def _stance_pitch(pattern: LegPattern, cycle: Vector) -> Vector:
    """Sole against the floor (T,) in stance; a foot that slaps is flat at once."""
    pitch = pattern.foot_pitch.at(cycle)
    if pattern.slap:
        after = np.mod(cycle, 1.0)
        pitch = np.where(after < 0.2, pitch * np.exp(-((after / 0.03) ** 2) * pattern.slap), pitch)
    return pitch


def _hip_range(pattern: LegPattern, bones: LegBones, sole: Sole, tilt: float, stride_length_m: float) -> float:
    """By what the hip's excursion is multiplied so that a planted foot passes below the body at walking pace."""
    phases = np.linspace(0.0, 0.5, 51)
    share = phases[-1] * pattern.stance_share / TOE_OFF
    forward, _ = sole.roll(_stance_pitch(pattern, phases))
    wanted = (forward[-1] - forward[0]) - stride_length_m * share
    knee = pattern.knee_flexion.at(phases[[0, -1]])

    def passed(factor: float) -> float:
        thigh = pattern.hip_flexion.scaled(factor).at(phases[[0, -1]]) - tilt
        R = about_x(-(thigh - bones.rest_hip_flexion_rad))
        ankle = bones.ankle_from_hip(R, knee)
        return float(ankle[1, 2] - ankle[0, 2])

    low, high = 0.05, 1.8
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if passed(middle) < wanted else (middle, high)
    return 0.5 * (low + high)


def _stances(sole: Sole, pattern: LegPattern, plan: StepPlan, side: str) -> tuple[Stance, ...]:
    """The ankle's path over every footprint: it rolls about the point where the foot is flat."""
    stances = []
    phases = np.linspace(0, TOE_OFF, 123)
    forward, height = sole.roll(_stance_pitch(pattern, phases))
    forward = forward - np.interp(0.2, phases, forward)
    cycle = plan.cycle[side]
    for step in plan.footprints[side]:
        inside = np.interp([step.strike_s, step.toe_off_s], plan.time_s, cycle)
        base = np.round(inside[0]) if inside[0] > cycle[0] else np.round(inside[1] - TOE_OFF)
        time = np.interp(base + phases, cycle, plan.time_s, left=np.nan, right=np.nan)
        beyond = np.isnan(time)
        if beyond.all():
            continue
        spread = np.array([step.strike_s + (step.toe_off_s - step.strike_s) * p / TOE_OFF for p in phases])
        time = np.where(beyond, spread, time)
        ankle = np.stack(
            [
                step.ankle_x_m + np.sin(step.heading_rad) * forward,
                height,
                step.ankle_z_m + np.cos(step.heading_rad) * forward,
            ],
            axis=1,
        )
        stances.append(Stance(step, time, ankle))
    return tuple(stances)
