"""A subject's curves beside a norm: scores, what speed explains, and where a curve leaves the norm beyond its error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gait.arrays import Vector, true_runs
from gait.kinematics.norms import GDI_ANGLES, Norm, NormCurves
from gait.kinematics.scores import GaitProfile, SpeedSplit, gait_profile, split_by_speed

SDS_OF_FINDINGS = 2.0
"""Where a norm's band is mean ± 1 SD, which half of its persons leave somewhere, a finding is beyond so many SD."""
ERROR_FACTOR = 1.96
"""A finding is farther beyond the norm than so many standard errors of the mean curve: 95 % of errors are smaller."""
MIN_PERCENTS = 3
"""A finding lasts at least so many percent of the gait cycle."""


@dataclass(frozen=True)
class Deviation:
    """A part of the gait cycle in which a mean curve is beyond the norm by more than its error."""

    angle: str
    side: str
    first_percent: int
    last_percent: int
    largest_deg: float  # beyond the limit of the norm; positive above it
    largest_percent: int  # where it is
    error_deg: float  # allowance for error there, which it exceeds: 95 % error of the curve

    @property
    def percents(self) -> slice:
        """The percents of the cycle."""
        return slice(self.first_percent, self.last_percent + 1)


@dataclass(frozen=True, eq=False)
class NormComparison:
    """What one norm says of a subject's curves."""

    norm: Norm
    speed: float  # dimensionless walking speed of the subject; NaN if unknown
    curves: NormCurves  # at ``nearest_speed``
    profile: GaitProfile  # against these curves
    reference_gvs_deg: Mapping[str, float]  # by angle: root mean square of the norm's persons' own GVS
    split: SpeedSplit | None  # at the same speed; None if the norm is not by speed, or the subject's is unknown
    deviations: tuple[Deviation, ...]
    compared: tuple[tuple[str, str], ...]  # (angle, side) that are observed and in the norm
    untested: tuple[tuple[str, str], ...]  # those of them whose error is unknown, so that no deviation is sought

    @property
    def at_own_speed(self) -> bool:
        """True if the curves hold for the subject's speed, or the norm is not by speed."""
        return self.norm.speed_range is None or nearest_speed(self.norm, self.speed) == self.speed

    @property
    def reference_gps_deg(self) -> float:
        """Root mean square of the norm's persons' own GPS of a side; NaN if an angle of the GPS is not in the norm."""
        values = [self.reference_gvs_deg.get(angle, math.nan) for angle in GDI_ANGLES]
        return float(np.sqrt(np.mean(np.square(values))))


def nearest_speed(norm: Norm, dimensionless_speed: float) -> float:
    """Return the speed at which a subject is compared with a norm: the subject's, or the nearest that the norm covers.

    Of an unknown speed, NaN, it is that at which the norm's persons walk by themselves. A norm is never extrapolated.
    """
    if not math.isfinite(dimensionless_speed):
        return math.nan if norm.typical_speed is None else norm.typical_speed
    return float(np.clip(dimensionless_speed, *(norm.speed_range or (-np.inf, np.inf))))


def describe_nearest_speed(norm: Norm, dimensionless_speed: float) -> str:
    """Return at which speed, and why, a norm stands beside a subject who walks at none that it covers.

    It is the rest of a sentence: "at dimensionless speed 0.31, because the subject walks more slowly (0.25) than …".
    """
    low, high = norm.speed_range or (-math.inf, math.inf)
    nearest = nearest_speed(norm, dimensionless_speed)
    pace = "more slowly" if dimensionless_speed < low else "faster"
    return (
        f"at dimensionless speed {nearest:.2f}, because the subject walks {pace} ({dimensionless_speed:.2f}) than all "
        f"persons of the norm ({f'{low:.2f} to {high:.2f}' if math.isfinite(high) else f'from {low:.2f}'})"
    )


def compare_with_norm(
    curves: Mapping[tuple[str, str], Vector],
    errors: Mapping[tuple[str, str], Vector],
    norm: Norm,
    dimensionless_speed: float,
) -> NormComparison | None:
    """Compare mean curves with a norm at ``nearest_speed``; None if the norm has no curves at all.

    Args:
        curves: by (angle, side), (101,) degrees; NaN where not observed.
        errors: their standard errors, (101,) degrees, of the fit; absent where unknown.
        norm: the reference.
        dimensionless_speed: of the subject; NaN if unknown.
    """
    speed = nearest_speed(norm, dimensionless_speed)
    reference = norm.at_speed(speed)
    if reference is None:
        return None
    tested = [key for key in curves if key[0] in reference.mean_deg and np.isfinite(curves[key]).any()]
    return NormComparison(
        norm=norm,
        speed=dimensionless_speed,
        curves=reference,
        profile=gait_profile(curves, reference),
        reference_gvs_deg={angle: float(np.sqrt(np.mean(sd**2))) for angle, sd in reference.sd_deg.items()},
        split=split_by_speed(curves, norm, speed) if math.isfinite(dimensionless_speed) else None,
        deviations=tuple(
            deviation
            for angle, side in tested
            if (angle, side) in errors
            for deviation in find_deviations(angle, side, curves[angle, side], errors[angle, side], reference)
        ),
        compared=tuple(tested),
        untested=tuple(key for key in tested if key not in errors),
    )


def find_deviations(angle: str, side: str, mean: Vector, error: Vector, norm: NormCurves) -> tuple[Deviation, ...]:
    """Return where a mean curve (101,) is beyond the norm by more than its error; ``error`` (101,) is a standard one.

    The limits are those of the norm's band; of a band of 1 SD, they are ``SDS_OF_FINDINGS`` SD from the mean.
    """
    low, high = norm.low_deg[angle], norm.high_deg[angle]
    if norm.band == "one_sd":
        half = SDS_OF_FINDINGS * norm.sd_deg[angle]
        low, high = norm.mean_deg[angle] - half, norm.mean_deg[angle] + half
    found = []
    for beyond, sign in ((mean - high, 1.0), (low - mean, -1.0)):
        for run in true_runs(np.asarray(beyond > ERROR_FACTOR * error)):
            if run.stop - run.start >= MIN_PERCENTS:
                peak = run.start + int(np.argmax(beyond[run]))
                largest, width = sign * float(beyond[peak]), ERROR_FACTOR * float(error[peak])
                found.append(Deviation(angle, side, run.start, run.stop - 1, largest, peak, width))
    return tuple(sorted(found, key=lambda deviation: deviation.first_percent))
