"""How the joint angles of healthy gait change with walking speed (Schwartz et al. 2008, J. Biomech. 41:1639)."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline

from gait.arrays import Vector
from gait.kinematics.norms import NormCurves, read_angle_norm
from gait.synthetic.normative_curves import ADULT_SPEED, FOOT_OFF

BAND_SPEEDS = (0.18, 0.295, ADULT_SPEED, 0.568, 0.7)
"""Dimensionless speeds in the middle of the five bands of ``data/norms/schwartz2008.csv``; the outer ones are open."""

PHASES = np.arange(100) / 100


def stance_change(dimensionless_speed: float) -> float:
    """Return by how much the stance fraction differs from that at ``ADULT_SPEED``: less when faster."""
    return -0.06 * (dimensionless_speed / ADULT_SPEED - 1)


def angle_at_speed(angle: str, dimensionless_speed: float) -> Vector:
    """Return a mean curve (100,) in radians at a speed, at phases in which foot off is at ``FOOT_OFF``.

    Between the middles of two bands it is interpolated; beyond the outer ones it stays.
    """
    speeds = np.array(BAND_SPEEDS)
    own = float(np.clip(dimensionless_speed, speeds[0], speeds[-1]))
    upper = int(np.clip(np.searchsorted(speeds, own), 1, len(speeds) - 1))
    share = (own - speeds[upper - 1]) / (speeds[upper] - speeds[upper - 1])
    low, high = (_band_curve(angle, float(speeds[k])) for k in (upper - 1, upper))
    return (1 - share) * low + share * high


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
def _band_curve(angle: str, speed: float) -> Vector:
    band = read_angle_norm("schwartz2008").at_speed(speed)
    assert isinstance(band, NormCurves)
    closed = band.mean_deg[angle].copy()
    closed[0] = closed[-1] = 0.5 * (closed[0] + closed[-1])
    foot_off = FOOT_OFF + stance_change(speed)
    percent = 100 * np.interp(PHASES, [0, FOOT_OFF, 1], [0, foot_off, 1])
    spline = CubicSpline(np.arange(101), closed, bc_type="periodic")
    return np.radians(np.asarray(spline(percent), np.float64))
