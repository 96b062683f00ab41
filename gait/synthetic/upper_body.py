"""Spine, head and arms of a walk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gait.body.skeleton import Joint
from gait.synthetic.gait_pattern import GaitPattern, LegPattern
from gait.synthetic.leg_kinematics import OUTWARDS, SIDES, about_x, about_y, about_z, mirrored
from gait.synthetic.leg_plan import REST_PELVIS_TILT_RAD
from gait.synthetic.step_plan import StepPlan

Vector = NDArray[np.float64]

WOBBLES = 10
"""Courses of natural variation that spine, head and arms need."""

_UPRIGHT_RAD = float(np.radians(3.0))  # a healthy trunk's flexion
_COLLAR_DROP_RAD = float(np.radians(6.0))
_ARM_CLEAR_RAD = float(np.radians(4.0))  # an arm that would hang into the trunk stays about that far off
_FINGER_CURL_RAD = float(np.radians(12.0))
_FINGERS = ("INDEX", "MIDDLE", "PINKY", "RING")


def upper_body_rotations(
    pattern: GaitPattern,
    plan: StepPlan,
    rest_joints_m: Vector,
    pelvis_rad: tuple[Vector, Vector, Vector],
    wobble_rad: Vector,
) -> dict[Joint, Vector]:
    """Rotations (T, 3, 3) of spine, head and arms against their parents; fingers (3, 3), slightly bent.

    Args:
        pattern: how the person walks.
        plan: the steps.
        rest_joints_m: (J, 3) of the body at rest.
        pelvis_rad: tilt, obliquity and rotation of the pelvis (T,).
        wobble_rad: (T, WOBBLES) natural variation, about a degree.
    """
    local: dict[Joint, Vector] = {}
    wobble = wobble_rad
    tilt, obliquity, rotation = pelvis_rad
    flexion = pattern.trunk_flexion.at(plan.phase) + 0.7 * wobble[:, 0]
    lean = pattern.trunk_lean.at(plan.phase) + 0.6 * wobble[:, 1]
    turn = pattern.trunk_rotation.at(plan.phase) + 0.7 * wobble[:, 2]
    # Against the pelvis, which is tilted itself; in rest the trunk is taken to be upright.
    spine = np.stack([flexion - (tilt - REST_PELVIS_TILT_RAD), -(turn - rotation), -(lean + obliquity)], axis=1)
    for name, share in (("SPINE1", 0.3), ("SPINE2", 0.35), ("SPINE3", 0.35)):
        local[Joint[name]] = _from_axis_angle(share * spine)
    head = np.stack(
        [
            -pattern.gaze_share * (flexion - _UPRIGHT_RAD) + 0.8 * wobble[:, 3],
            0.8 * turn + 1.2 * wobble[:, 4],
            pattern.gaze_share * 0.8 * lean + 0.6 * wobble[:, 5],
        ],
        axis=1,
    )
    for name in ("NECK", "HEAD"):
        local[Joint[name]] = _from_axis_angle(0.5 * head)
    for k, (side, leg) in enumerate(zip(SIDES, (pattern.left, pattern.right), strict=True)):
        # Arms hang by their weight: they follow a leaning trunk only in part.
        hanging = 0.6 * (flexion - _UPRIGHT_RAD), 0.8 * lean * OUTWARDS[side][0]
        local |= _arm(leg, plan.cycle[side], rest_joints_m, side, hanging, wobble[:, 6 + 2 * k : 8 + 2 * k])
    return local


def _arm(
    pattern: LegPattern,
    cycle: Vector,
    rest: Vector,
    side: str,
    hanging: tuple[Vector, Vector],
    wobble: Vector,
) -> dict[Joint, Vector]:
    """Collar, shoulder and elbow (T, 3, 3), fingers (3, 3); ``hanging`` adds to flexion and abduction (T,)."""
    out, name = OUTWARDS[side], side.upper()
    bone = (rest[Joint[f"{name}_ELBOW"]] - rest[Joint[f"{name}_SHOULDER"]]) * out
    level = float(np.arctan2(bone[1], bone[0]))
    swing = pattern.shoulder_flexion.at(cycle) + hanging[0] + 1.2 * wobble[:, 0]
    bend = np.maximum(pattern.elbow_flexion.at(cycle) + 1.5 * wobble[:, 1], np.radians(5.0))
    abduction = _ARM_CLEAR_RAD * np.logaddexp(0.0, (pattern.shoulder_abduction_rad + hanging[1]) / _ARM_CLEAR_RAD)
    hang = abduction - np.pi / 2 - level
    R_collar = about_z(np.full(len(cycle), -_COLLAR_DROP_RAD))
    R_shoulder = np.swapaxes(R_collar, -1, -2) @ about_x(-swing) @ about_z(hang)
    turns = {"COLLAR": R_collar, "SHOULDER": R_shoulder, "ELBOW": about_y(-bend)}
    turns |= {f"{finger}{k}": about_z(-_FINGER_CURL_RAD) for finger in _FINGERS for k in (1, 2, 3)}
    return {Joint[f"{name}_{part}"]: R if side == "left" else mirrored(R) for part, R in turns.items()}


def _from_axis_angle(vectors: Vector) -> Vector:
    return Rotation.from_rotvec(vectors).as_matrix()
