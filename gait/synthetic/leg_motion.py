"""Motion of one leg: along the planned footprints in stance, along the nominal joint angles in swing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.spatial.transform import Rotation

from gait.arrays import Vector
from gait.synthetic.foot_rollover import toe_extension
from gait.synthetic.leg_kinematics import MIN_KNEE_FLEXION_RAD, rot_x, rot_y, rotate
from gait.synthetic.leg_plan import LegPlan
from gait.synthetic.normative_curves import FOOT_OFF

_FADE_FRACTION = 0.25  # of the swing, in which the corrections of velocity at its ends decay
_BLEND_CYCLES = 0.14  # after foot off and before initial contact, in which planned and nominal pitch are blended


def leg_rotations(leg: LegPlan, time: Vector, cycle: Vector, pelvis_m: Vector) -> dict[str, Vector]:
    """Compute rotations (T, 3, 3) of HIP, KNEE, ANKLE and FOOT relative to their parents, x lateral.

    ``cycle`` (T,) is the phase of this side, foot off at ``FOOT_OFF``; ``pelvis_m`` (T, 3) the root joint, x lateral.
    """
    stances = leg.stances
    heading = np.interp(
        time,
        [t for s in stances for t in (s.step.initial_contact_s, s.step.foot_off_s)],
        [s.step.heading_rad for s in stances for _ in range(2)],
    )
    if leg.swing_turn_rad:
        swing = np.maximum(np.mod(cycle, 1.0) - FOOT_OFF, 0.0) / (1 - FOOT_OFF)
        heading = heading + leg.swing_turn_rad * np.sin(np.pi * swing) ** 2
    pitch = _blended_pitch(leg, cycle)
    extension = toe_extension(pitch)
    R_foot = rot_y(heading) @ rot_x(leg.sole.flat_rad - pitch)

    hip = pelvis_m + leg.hip
    ankle = hip + rotate(leg.R_pelvis @ leg.R_thigh, leg.ankle_at_flexion(leg.knee))
    stance_frames = [stance.frames_within(time) for stance in stances]
    for stance, inside in zip(stances, stance_frames, strict=True):
        ankle[inside] = stance.ankle_at(time[inside])
    R_thigh, knee = leg.inverse_kinematics(ankle - hip)
    # The corrections of the nominal hip and knee angles in stance are interpolated smoothly over the swing.
    correction = np.column_stack(
        [knee - leg.knee, Rotation.from_matrix(R_thigh @ np.swapaxes(leg.R_thigh, -1, -2)).as_rotvec()]
    )
    for before, after in pairwise(inside for inside in stance_frames if len(inside) > 1):
        swing = np.arange(before[-1] + 1, after[0])
        s = (swing - before[-1]) / (after[0] - before[-1])
        change = correction[after[0]] - correction[before[-1]]
        correction[swing] = correction[before[-1]] + (3 * s**2 - 2 * s**3)[:, None] * change
        R = Rotation.from_rotvec(correction[swing, 1:]).as_matrix() @ leg.R_thigh[swing]
        knee_flexion = leg.knee[swing] + correction[swing, 0]
        if not leg.fits_steps:
            knee_flexion = np.maximum(knee_flexion, MIN_KNEE_FLEXION_RAD)
        path = hip[swing] + rotate(leg.R_pelvis[swing] @ R, leg.ankle_at_flexion(knee_flexion))
        path = _smooth_ends(path, ankle[before[-2:]], ankle[after[:2]], s)
        height = path[:, 1] + leg.sole.lowest_m(R_foot[swing], extension[swing])
        missing = np.maximum(0.0, leg.clearance_m * np.sin(np.pi * s) ** 2 - height)
        path[:, 1] += gaussian_filter1d(maximum_filter1d(missing, 9), 2.5) * np.minimum(1, 8 * s * (1 - s))
        # Keep the sole above the floor where the clearance was not sufficient.
        path[:, 1] += np.maximum(0.0, -(path[:, 1] + leg.sole.lowest_m(R_foot[swing], extension[swing])))
        ankle[swing] = path

    R_thigh, knee = leg.inverse_kinematics(ankle - hip)
    R_knee = rot_x(knee + leg.bones.straight_knee_rad)
    R_ankle, R_toes = np.swapaxes(leg.R_pelvis @ R_thigh @ R_knee, -1, -2) @ R_foot, rot_x(-extension)
    if leg.foot_turn is not None:  # the sole is turned already
        R_turn = rot_y(leg.foot_turn)
        R_ankle, R_toes = R_ankle @ R_turn, np.swapaxes(R_turn, -1, -2) @ R_toes @ R_turn
    return {"HIP": R_thigh, "KNEE": R_knee, "ANKLE": R_ankle, "FOOT": R_toes}


def _smooth_ends(path: Vector, before: Vector, after: Vector, s: Vector) -> Vector:
    """Match the velocity of a swing path (S, 3) to the stances at both of its ends.

    ``before`` and ``after`` (2, 3) are the adjacent positions of the stances, ``s`` (S,) the time in the swing, 0 to 1.
    """
    frames = 1 / (s[1] - s[0])
    off = _FADE_FRACTION * frames * ((before[1] - before[0]) - (path[0] - before[1]))
    contact = _FADE_FRACTION * frames * ((after[1] - after[0]) - (after[0] - path[-1]))
    near_start, near_end = (np.minimum(x / _FADE_FRACTION, 1.0)[:, None] for x in (s, 1 - s))
    return path + near_start * (1 - near_start) ** 2 * off - near_end * (1 - near_end) ** 2 * contact


def _blended_pitch(leg: LegPlan, cycle: Vector) -> Vector:
    """Blend the pitch smoothly from the planned one in stance to the nominal one in swing, (T,)."""
    phase = np.mod(cycle, 1.0)
    after_off, before_contact = (phase - FOOT_OFF) / _BLEND_CYCLES, (1 - phase) / _BLEND_CYCLES
    planned = np.clip(np.maximum(1 - after_off, 1 - before_contact), 0, 1)
    planned = np.where(phase <= FOOT_OFF, 1.0, planned * planned * (3 - 2 * planned))
    return planned * leg.stance_pitch + (1 - planned) * leg.nominal_pitch
