"""The norm of a finding: means and bands of curves at one subject's walking speed.

A band is mean ± c · SD, with one c for all curves of a family, such that all of them hold a new person's curves over
the whole cycle with a probability of 95 % (``speed_norm.FamilyRatios``, after Lenhoff et al. 1999, Gait & Posture
9:10). Beyond the controls' speeds, the norm is theirs at the nearest speed, changed as the published norm by speed
changes from there to the subject's (Schwartz et al. 2008, J. Biomech. 41:1639). Of curves that are not in it, the band
is widened to hold the same curve with its excursion scaled by the ratio of the speeds: nothing says how much of that
change a healthy person shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector, true_runs
from gait.kinematics.norm_comparison import (
    ERROR_FACTOR,
    MIN_PERCENTS,
    describe_nearest_speed,
    nearest_speed,
)
from gait.kinematics.norms import NormCurves, PublishedNorm
from gait.kinematics.published_speed_change import published_change, published_norm
from gait.kinematics.speed_norm import SpeedNorm


@dataclass(frozen=True, eq=False)
class BandsAtSpeed:
    """Mean and spread of each curve at one walking speed, by the name of the curve; the same for both sides."""

    title: str  # of the norm
    mean_deg: Mapping[str, Vector]  # (101,)
    sd_deg: Mapping[str, Vector]  # (101,) between persons
    change_deg: Mapping[str, Vector] = field(default_factory=dict)  # (101,) that a healthy person may show beyond that
    error_deg: Mapping[str, Vector] = field(default_factory=dict)  # (101,) standard error of the persons' own curves
    note: str = ""  # one sentence if the speed is beyond the norm's

    def limits(self, name: str, critical: float) -> tuple[Vector, Vector]:
        """Return the lower and upper limit (101,) of a curve's band, for c."""
        change, half = self.change_deg.get(name, np.zeros(101)), critical * self.sd_deg[name]
        mean = self.mean_deg[name]
        return mean + np.minimum(change, 0) - half, mean + np.maximum(change, 0) + half

    def outside(self, name: str, curve: Vector, error: Vector, critical: float) -> NDArray[np.bool_]:
        """Return where a curve (101,) is outside its band by more than the allowance for error, (101,).

        It lasts at least ``MIN_PERCENTS`` percent of the cycle. ``error`` is that of ``error_allowance``.
        """
        low, high = self.limits(name, critical)
        allowance = self.error_allowance(name, error, critical)
        mask = np.zeros(len(curve), dtype=bool)
        for run in true_runs(np.asarray((curve > high + allowance) | (curve < low - allowance))):
            mask[run] = run.stop - run.start >= MIN_PERCENTS
        return mask

    def error_allowance(self, name: str, error: Vector, critical: float) -> Vector:
        """Return by how many degrees the standard error (101,) of a subject's curve widens its band, (101,).

        The spread of the norm's persons contains the errors of their curves. What the subject's error has beyond that
        is independent of the spread: ``ERROR_FACTOR`` of it and the half width of the band add as squares. An unknown
        error is NaN and adds nothing.
        """
        half = critical * self.sd_deg[name]
        own = self.error_deg.get(name, np.zeros(101))
        beyond = np.sqrt(np.maximum(np.nan_to_num(error) ** 2 - own**2, 0))
        return np.asarray(np.hypot(half, ERROR_FACTOR * beyond) - half)


def bands_at_speed(
    norm: SpeedNorm | PublishedNorm, speed: float, errors_deg: Mapping[str, Vector] | None = None
) -> BandsAtSpeed:
    """Return the bands at a dimensionless speed; of an unknown one, NaN, those at the norm's typical speed.

    ``errors_deg`` are standard errors (101,) of the norm's curves, those of its persons.
    """
    return replace(_at_speed(norm, speed), error_deg=errors_deg or {})


def _at_speed(norm: SpeedNorm | PublishedNorm, speed: float) -> BandsAtSpeed:
    nearest = nearest_speed(norm, speed)
    near = norm.at_speed(nearest)
    if not np.isfinite(speed):
        return _bands(near, "The walking speed is unknown: the norm is at the usual one.")
    if norm.speed_range is None:
        return _bands(near, "The norm is not by walking speed.")
    if nearest == speed:
        return _bands(near)
    note = f"The norm is the one {describe_nearest_speed(norm, speed)}"
    if isinstance(norm, PublishedNorm):
        return _bands(near, f"{note}.")
    note += f"; from there it is changed as {published_norm().source.title}, changes up to {speed:.2f}."
    return _with_published_change(_bands(near, note), nearest, speed)


def _bands(at: NormCurves | None, note: str = "") -> BandsAtSpeed:
    assert at is not None
    return BandsAtSpeed(at.source.title, at.mean_deg, at.sd_deg, note=note)


def _with_published_change(near: BandsAtSpeed, nearest: float, speed: float) -> BandsAtSpeed:
    """Return the bands at the controls' speed that is nearest to a subject's, changed up to that."""
    mean, unknown = dict(near.mean_deg), {}
    for name, curve in near.mean_deg.items():
        change = published_change(name, nearest, speed)
        if change is not None:
            mean[name] = curve + change
        else:
            unknown[name] = (speed / nearest - 1) * (curve - curve.mean())
    return replace(near, mean_deg=mean, change_deg=unknown)
