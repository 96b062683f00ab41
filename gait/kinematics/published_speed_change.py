"""How the mean joint angles of healthy gait change with walking speed (Schwartz et al. 2008, J. Biomech. 41:1639)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from gait.arrays import Vector
from gait.kinematics.norms import PublishedNorm, read_angle_norm

PUBLISHED_BY_SPEED = "schwartz2008"
MIDDLE_SPEEDS = (0.18, 0.295, 0.43, 0.568, 0.7)
"""Dimensionless speeds in the middle of the bands of this norm; the outer bands are open."""


@cache
def published_norm() -> PublishedNorm:
    """Return the published norm by walking speed."""
    return read_angle_norm(PUBLISHED_BY_SPEED)


def interpolate_bands(curves: Sequence[Vector], dimensionless_speed: float) -> Vector:
    """Return the curve at a speed from those of the five bands.

    Between the middles of two bands it is interpolated; beyond the outer ones it stays.
    """
    speeds = np.array(MIDDLE_SPEEDS)
    own = float(np.clip(dimensionless_speed, speeds[0], speeds[-1]))
    upper = int(np.clip(np.searchsorted(speeds, own), 1, len(speeds) - 1))
    t = (own - speeds[upper - 1]) / (speeds[upper] - speeds[upper - 1])
    return np.asarray((1 - t) * curves[upper - 1] + t * curves[upper])


def published_mean(name: str, dimensionless_speed: float) -> Vector | None:
    """Return the mean curve (101,) of an angle in degrees at a speed; None if the norm does not have the angle."""
    bands = published_norm().bands
    if name not in bands[0].mean_deg:
        return None
    return interpolate_bands([band.mean_deg[name] for band in bands], dimensionless_speed)


def published_change(name: str, from_speed: float, to_speed: float) -> Vector | None:
    """Return by how much that curve (101,) differs between two speeds; None if the norm does not have the angle."""
    before, after = published_mean(name, from_speed), published_mean(name, to_speed)
    return None if before is None or after is None else after - before
