"""What one leg does: on the floor as the steps are planned, between them as nominal."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.spatial.transform import Rotation

from gait.synthetic.foot_rollover import toe_bend
from gait.synthetic.leg_kinematics import LEAST_KNEE_FLEXION_RAD, about_x, about_y, turned
from gait.synthetic.leg_plan import PlannedLeg
from gait.synthetic.normative_curves import TOE_OFF

Vector = NDArray[np.float64]

_FADE_SHARE = 0.25  # of the swing, in which speeds at its ends die away
_BLEND_CYCLES = 0.14  # after toe-off and before heel strike, from the planned pitch of the sole to the joints' own


def leg_rotations(leg: PlannedLeg, time: Vector, cycle: Vector, pelvis_m: Vector) -> dict[str, Vector]:
    """Rotations (T, 3, 3) of HIP, KNEE, ANKLE and FOOT against their parents, x to the outside.

    Args:
        leg: what it means to do.
        time: (T,) seconds of all frames.
        cycle: (T,) phase of this side, toe-off at ``TOE_OFF``.
        pelvis_m: (T, 3) root joint, x to the outside.
    """
    stances = leg.stances
    heading = np.interp(
        time,
        [t for s in stances for t in (s.step.strike_s, s.step.toe_off_s)],
        [s.step.heading_rad for s in stances for _ in range(2)],
    )
    pitch = _blended_pitch(leg, cycle)
    bend = toe_bend(pitch)
    R_foot = about_y(heading) @ about_x(leg.sole.flat_rad - pitch)

    hip = pelvis_m + leg.hip
    ankle = hip + turned(leg.R_pelvis @ leg.R_thigh, leg.bent(leg.knee))
    standing = [stance.frames(time) for stance in stances]
    for stance, inside in zip(stances, standing, strict=True):
        ankle[inside] = stance.at(time[inside])
    R_thigh, knee = leg.reaching(ankle - hip)
    # What standing asked of hip and knee beyond the nominal angles fades over the swing into what the next step asks.
    extra = np.column_stack(
        [knee - leg.knee, Rotation.from_matrix(R_thigh @ np.swapaxes(leg.R_thigh, -1, -2)).as_rotvec()]
    )
    for before, after in pairwise(inside for inside in standing if len(inside) > 1):
        swing = np.arange(before[-1] + 1, after[0])
        s = (swing - before[-1]) / (after[0] - before[-1])
        extra[swing] = extra[before[-1]] + (3 * s**2 - 2 * s**3)[:, None] * (extra[after[0]] - extra[before[-1]])
        R = Rotation.from_rotvec(extra[swing, 1:]).as_matrix() @ leg.R_thigh[swing]
        bent = np.maximum(leg.knee[swing] + extra[swing, 0], LEAST_KNEE_FLEXION_RAD)
        path = hip[swing] + turned(leg.R_pelvis[swing] @ R, leg.bent(bent))
        path = _smooth_ends(path, ankle[before[-2:]], ankle[after[:2]], s)
        height = path[:, 1] + leg.sole.lowest(R_foot[swing], bend[swing])
        missing = np.maximum(0.0, leg.clearance_m * np.sin(np.pi * s) ** 2 - height)
        path[:, 1] += gaussian_filter1d(maximum_filter1d(missing, 9), 2.5) * np.minimum(1, 8 * s * (1 - s))
        # Never below the floor, wherever that was too little.
        path[:, 1] += np.maximum(0.0, -(path[:, 1] + leg.sole.lowest(R_foot[swing], bend[swing])))
        ankle[swing] = path

    R_thigh, knee = leg.reaching(ankle - hip)
    R_knee = about_x(knee + leg.bones.straight_knee_rad)
    R_ankle = np.swapaxes(leg.R_pelvis @ R_thigh @ R_knee, -1, -2) @ R_foot
    return {"HIP": R_thigh, "KNEE": R_knee, "ANKLE": R_ankle, "FOOT": about_x(-bend)}


def _smooth_ends(path: Vector, before: Vector, after: Vector, s: Vector) -> Vector:
    """The swing's ``path`` (S, 3) at shares ``s`` of its time, leaving the floor and coming to it without a jerk.

    ``before`` and ``after`` (2, 3) are the two nearest places on the floor, a frame apart.
    """
    frames = 1 / (s[1] - s[0])
    off = _FADE_SHARE * frames * ((before[1] - before[0]) - (path[0] - before[1]))
    strike = _FADE_SHARE * frames * ((after[1] - after[0]) - (after[0] - path[-1]))
    near_start, near_end = (np.minimum(x / _FADE_SHARE, 1.0)[:, None] for x in (s, 1 - s))
    return path + near_start * (1 - near_start) ** 2 * off - near_end * (1 - near_end) ** 2 * strike


def _blended_pitch(leg: PlannedLeg, cycle: Vector) -> Vector:
    """The planned pitch in stance, the joints' own in swing, smoothly from one to the other."""
    phase = np.mod(cycle, 1.0)
    after_off, before_strike = (phase - TOE_OFF) / _BLEND_CYCLES, (1 - phase) / _BLEND_CYCLES
    planned = np.clip(np.maximum(1 - after_off, 1 - before_strike), 0, 1)
    planned = np.where(phase <= TOE_OFF, 1.0, planned * planned * (3 - 2 * planned))
    return planned * leg.pitch + (1 - planned) * leg.swing_pitch
