"""How the joint angles of healthy gait change with walking speed (Schwartz et al. 2008, J. Biomech. 41:1639)."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline

from gait.arrays import Vector
from gait.kinematics.published_speed_change import MIDDLE_SPEEDS, interpolate_bands, published_norm
from gait.synthetic.normative_curves import ADULT_SPEED, FOOT_OFF, PHASES


def stance_change(dimensionless_speed: float) -> float:
    """Return by how much the stance fraction differs from that at ``ADULT_SPEED``: less when faster."""
    return -0.06 * (dimensionless_speed / ADULT_SPEED - 1)


def angle_at_speed(angle: str, dimensionless_speed: float) -> Vector:
    """Return a mean curve (100,) in radians at a speed, at phases in which foot off is at ``FOOT_OFF``.

    Between the middles of two bands it is interpolated; beyond the outer ones it stays.
    """
    return interpolate_bands([_band_curve(angle, band) for band in range(len(MIDDLE_SPEEDS))], dimensionless_speed)


def angle_change(angle: str, from_speed: float, to_speed: float) -> Vector:
    """Return by how much a mean curve (100,) in radians differs between two dimensionless speeds."""
    return angle_at_speed(angle, to_speed) - angle_at_speed(angle, from_speed)


def foot_pitch_factor(from_speed: float, to_speed: float) -> Vector:
    """Return factors (100,) on the pitch of the sole in stance: of heel contact at its start, of heel rise at its end.

    The pitch is hip flexion - pelvic tilt - knee flexion + ankle dorsiflexion.
    """

    def pitch(speed: float) -> Vector:
        parts = {"hip_flexion": 1, "pelvis_tilt": -1, "knee_flexion": -1, "ankle_dorsiflexion": 1}
        return np.asarray(sum(sign * angle_at_speed(angle, speed) for angle, sign in parts.items()))

    ends = (0, round(100 * FOOT_OFF))
    contact, rise = (pitch(to_speed)[end] / pitch(from_speed)[end] for end in ends)
    return np.where((PHASES < 0.2) | (PHASES > 0.88), contact, rise)


@cache
def _band_curve(angle: str, band: int) -> Vector:
    closed = published_norm().bands[band].mean_deg[angle].copy()
    closed[0] = closed[-1] = 0.5 * (closed[0] + closed[-1])
    foot_off = FOOT_OFF + stance_change(MIDDLE_SPEEDS[band])
    percent = 100 * np.interp(PHASES, [0, FOOT_OFF, 1], [0, foot_off, 1])
    spline = CubicSpline(np.arange(101), closed, bc_type="periodic")
    return np.radians(np.asarray(spline(percent), np.float64))
