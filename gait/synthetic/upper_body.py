"""Motion of spine, head and arms."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from gait.arrays import Vector
from gait.body.skeleton import Joint
from gait.kinematics.gait_events import SIDES
from gait.synthetic.gait_pattern import GaitPattern, LegPattern
from gait.synthetic.leg_kinematics import LATERAL_SIGNS, mirror_rotation, rot_x, rot_y, rot_z
from gait.synthetic.leg_plan import REST_PELVIS_TILT_RAD
from gait.synthetic.step_plan import StepPlan

NUM_VARIABILITY_SERIES = 10
"""Number of variability series used for spine, head and arms."""

_UPRIGHT_RAD = float(np.radians(3.0))  # trunk flexion of healthy subjects
_COLLAR_DROP_RAD = float(np.radians(6.0))  # collar: SUPR's name of the clavicle joint
_ARM_CLEAR_RAD = float(np.radians(4.0))  # minimum abduction that keeps the arm out of the trunk, smoothed
_FINGER_CURL_RAD = float(np.radians(12.0))
_FINGERS = ("INDEX", "MIDDLE", "PINKY", "RING")


def upper_body_rotations(
    pattern: GaitPattern,
    plan: StepPlan,
    rest_joints_m: Vector,
    pelvis_rad: tuple[Vector, Vector, Vector],
    variability: Vector,
) -> dict[Joint, Vector]:
    """Compute rotations of spine, head and arms (T, 3, 3) and of fingers (3, 3) relative to their parents.

    ``pelvis_rad`` are tilt, obliquity and rotation of the pelvis, (T,) each; ``rest_joints_m`` (J, 3) the rest pose;
    ``variability`` (T, NUM_VARIABILITY_SERIES) the natural one, about one degree, in radians.
    """
    local: dict[Joint, Vector] = {}
    tilt, obliquity, rotation = pelvis_rad
    flexion = pattern.trunk_flexion.at(plan.phase) + 0.7 * variability[:, 0]
    lean = pattern.trunk_lean.at(plan.phase) + 0.6 * variability[:, 1]
    turn = pattern.trunk_rotation.at(plan.phase) + 0.7 * variability[:, 2]
    # Relative to the tilted pelvis; the trunk is assumed upright in the rest pose.
    spine = np.stack([flexion - (tilt - REST_PELVIS_TILT_RAD), -(turn - rotation), -(lean + obliquity)], axis=1)
    for name, fraction in (("SPINE1", 0.3), ("SPINE2", 0.35), ("SPINE3", 0.35)):
        local[Joint[name]] = _from_axis_angle(fraction * spine)
    nod = -pattern.gaze_stabilization * (flexion - _UPRIGHT_RAD) + 0.8 * variability[:, 3]
    tilt_sideways = pattern.gaze_stabilization * 0.8 * lean + 0.6 * variability[:, 5]
    head = np.stack([nod, 0.8 * turn + 1.2 * variability[:, 4], tilt_sideways], axis=1)
    if pattern.head_turn_rad or pattern.head_nod_rad or pattern.nod_amplitude_rad or pattern.turn_amplitude_rad:
        head[:, 0] += pattern.head_nod_rad + pattern.nod_amplitude_rad * np.sin(4 * np.pi * plan.phase)
        head[:, 1] += pattern.head_turn_rad + pattern.turn_amplitude_rad * np.sin(2 * np.pi * plan.phase)
    for name in ("NECK", "HEAD"):
        local[Joint[name]] = _from_axis_angle(0.5 * head)
    for k, (side, leg) in enumerate(zip(SIDES, (pattern.left, pattern.right), strict=True)):
        # Gravity keeps the arms close to vertical: they follow a leaning trunk only in part.
        hanging = 0.6 * (flexion - _UPRIGHT_RAD), 0.8 * lean * LATERAL_SIGNS[side][0]
        local |= _arm(leg, plan.cycle[side], rest_joints_m, side, hanging, variability[:, 6 + 2 * k : 8 + 2 * k])
    return local


def _arm(
    pattern: LegPattern,
    cycle: Vector,
    rest: Vector,
    side: str,
    hanging: tuple[Vector, Vector],
    variability: Vector,
) -> dict[Joint, Vector]:
    """Compute collar, shoulder, elbow (T, 3, 3) and fingers (3, 3); ``hanging`` adds to flexion and abduction (T,)."""
    out, name = LATERAL_SIGNS[side], side.upper()
    bone = (rest[Joint[f"{name}_ELBOW"]] - rest[Joint[f"{name}_SHOULDER"]]) * out
    level = float(np.arctan2(bone[1], bone[0]))
    swing = pattern.shoulder_flexion.at(cycle) + hanging[0] + 1.2 * variability[:, 0]
    bend = np.maximum(pattern.elbow_flexion.at(cycle) + 1.5 * variability[:, 1], np.radians(5.0))
    abduction = _ARM_CLEAR_RAD * np.logaddexp(0.0, (pattern.shoulder_abduction_rad + hanging[1]) / _ARM_CLEAR_RAD)
    hang = abduction - np.pi / 2 - level
    R_collar = rot_z(np.full(len(cycle), -_COLLAR_DROP_RAD))
    R_shoulder = np.swapaxes(R_collar, -1, -2) @ rot_x(-swing) @ rot_z(hang)
    rotations = {"COLLAR": R_collar, "SHOULDER": R_shoulder, "ELBOW": rot_y(-bend)}
    if pattern.wrist_flexion_rad or pattern.wrist_amplitude_rad:
        wrist = pattern.wrist_flexion_rad + pattern.wrist_amplitude_rad * np.sin(4 * np.pi * cycle)
        rotations["WRIST"] = rot_z(-wrist)
    rotations |= {f"{finger}{k}": rot_z(-_FINGER_CURL_RAD) for finger in _FINGERS for k in (1, 2, 3)}
    return {Joint[f"{name}_{part}"]: R if side == "left" else mirror_rotation(R) for part, R in rotations.items()}


def _from_axis_angle(vectors: Vector) -> Vector:
    return Rotation.from_rotvec(vectors).as_matrix()
