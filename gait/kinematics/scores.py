"""Scores of gait against a named norm: GVS, GPS and the Movement Analysis Profile, GDI, and what speed explains.

Curves are degrees over the gait cycle by ``(angle, side)``, of 101 or 51 points. Scores are defined on every 2 % of it.
A score that needs an angle that is not observed (absent or NaN) is NaN, and the angle is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.kinematics.gait_events import SIDES
from gait.kinematics.norms import (
    CYCLE_POINTS,
    GDI_ANGLES,
    GDI_POINTS,
    GdiReference,
    Norm,
    NormCurves,
    NormSource,
    resample_cycle,
)

Curves = Mapping[tuple[str, str], NDArray[np.floating]]
"""By (angle, side): degrees (101,) or (51,) over the cycle of that side."""

PELVIS_ANGLES = GDI_ANGLES[:3]
"""Angles that both sides share; the overall GPS takes those of the left cycle."""


@dataclass(frozen=True)
class Threshold:
    """A published limit of a score, with whom it holds for."""

    score: str
    value: float
    unit: str
    meaning: str
    holds_for: str
    source: str


THRESHOLDS = (
    Threshold(
        "GPS",
        1.6,
        "°",
        "minimal clinically important difference",
        "children with cerebral palsy: the difference of the median between adjacent levels of the Functional "
        "Assessment Questionnaire",
        "Baker et al. 2012, Gait & Posture 35:612",
    ),
)


@dataclass(frozen=True, eq=False)
class GaitProfile:
    """Gait Variable Scores and Gait Profile Scores: together the Movement Analysis Profile (Baker 2009)."""

    norm: NormSource
    gvs_deg: Mapping[tuple[str, str], float]  # by (angle, side); NaN if not observed
    gps_deg: Mapping[str, float]  # "left", "right", "overall"; NaN if an angle is missing
    offset_deg: Mapping[tuple[str, str], float]  # mean difference over the cycle; GVS² = offset² + (GVS without it)²
    gps_without_offsets_deg: Mapping[str, float]  # of the GVS without offsets, which depend on landmarks most
    missing: tuple[tuple[str, str], ...]  # (angle, side) that are not observed or not in the norm


@dataclass(frozen=True, eq=False)
class SpeedSplit:
    """A deviation from the norm at the reference persons' own pace, split at the subject's walking speed.

    For each curve, deviation = explained + beyond. Their GPS are root mean squares and don't add up.
    """

    norm: NormSource
    speed: float  # dimensionless, of the subject
    typical_speed: float  # at which the reference persons walk by themselves
    total: GaitProfile  # against the norm at the typical speed
    explained: GaitProfile  # of the norm at the subject's speed against that at the typical speed
    beyond: GaitProfile  # against the norm at the subject's speed

    @property
    def gps_total_deg(self) -> Mapping[str, float]:
        """GPS "left", "right", "overall" against the norm at the typical speed."""
        return self.total.gps_deg

    @property
    def gps_explained_deg(self) -> Mapping[str, float]:
        """GPS "left", "right", "overall" of what walking speed explains."""
        return self.explained.gps_deg

    @property
    def gps_beyond_deg(self) -> Mapping[str, float]:
        """GPS "left", "right", "overall" against the norm at the subject's speed."""
        return self.beyond.gps_deg

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """The (angle, side) that are not observed, or not in the norm."""
        return self.beyond.missing


def gait_profile(curves: Curves, norm: NormCurves) -> GaitProfile:
    """Compute GVS and GPS against the mean curves of a norm.

    The GVS of an angle is the root mean square difference over the cycle; the GPS of a side the root mean square of its
    nine GVS, the overall GPS that of 15, the pelvis once (Baker et al. 2009, Gait & Posture 30:265).
    """
    return _profile(curves, norm.mean_deg, norm.source)


def _profile(curves: Curves, mean_deg: Mapping[str, Vector], source: NormSource) -> GaitProfile:
    differences = {
        (angle, side): at_51_points(curves.get((angle, side))) - at_51_points(mean_deg.get(angle))
        for side in SIDES
        for angle in GDI_ANGLES
    }
    gvs = {key: _rms(difference) for key, difference in differences.items()}
    offset = {key: float(difference.mean()) for key, difference in differences.items()}
    pattern = {key: float(difference.std()) for key, difference in differences.items()}
    missing = tuple(key for key, value in gvs.items() if np.isnan(value))
    return GaitProfile(source, gvs, _gps(gvs), offset, _gps(pattern), missing)


def _gps(gvs: Mapping[tuple[str, str], float]) -> dict[str, float]:
    gps = {side: _rms([gvs[angle, side] for angle in GDI_ANGLES]) for side in SIDES}
    gps["overall"] = _rms([gvs[angle, side] for angle, side in gvs if side == "left" or angle not in PELVIS_ANGLES])
    return gps


def gait_deviation_index(curves: Curves, side: str, reference: GdiReference) -> float:
    """Compute the GDI of a side: 100 is the mean of the controls, each 10 below it one SD (Schwartz & Rozumalski 2008).

    NaN if one of the nine angles is not observed. GDI = 100 - 10 · (ln‖c - c̄‖ - μ) / σ, c = curves · features.
    """
    score = gdi_vector(curves, side) @ reference.features
    distance = float(np.linalg.norm(score - reference.control_scores))
    if np.isnan(distance):
        return np.nan
    return 100 - 10 * (np.log(max(distance, 1e-12)) - reference.ln_distance_mean) / reference.ln_distance_sd


def gdi_vector(curves: Curves, side: str) -> Vector:
    """Return the nine angles of a side at 51 points in one vector (459,), NaN where not observed."""
    return np.concatenate([at_51_points(curves.get((angle, side))) for angle in GDI_ANGLES])


def split_by_speed(curves: Curves, norm: Norm, dimensionless_speed: float) -> SpeedSplit | None:
    """Split a subject's deviation into what walking speed explains and what is beyond it.

    None if the norm is not by speed or does not cover the subject's.
    """
    if norm.typical_speed is None:
        return None
    own, typical = norm.at_speed(dimensionless_speed), norm.at_speed(norm.typical_speed)
    if own is None or typical is None:
        return None
    both_sides = {(angle, side): mean for angle, mean in own.mean_deg.items() for side in SIDES}
    return SpeedSplit(
        norm.source,
        dimensionless_speed,
        norm.typical_speed,
        gait_profile(curves, typical),
        gait_profile(both_sides, typical),
        gait_profile(curves, own),
    )


def at_51_points(curve: NDArray[np.floating] | None) -> Vector:
    """Return a curve of 101 or 51 points at every 2 % of the cycle, (51,); all NaN if a point is missing."""
    if curve is None or np.isnan(curve).any():
        return np.full(GDI_POINTS, np.nan)
    if len(curve) not in (GDI_POINTS, CYCLE_POINTS):
        raise ValueError(f"a curve has {len(curve)} points, not {GDI_POINTS} or {CYCLE_POINTS}")
    return np.asarray(curve, np.float64)[:: (len(curve) - 1) // (GDI_POINTS - 1)]


def at_101_points(curve: NDArray[np.floating]) -> Vector:
    """Return a curve of 101 or 51 points at every percent of the cycle, (101,); NaN stay NaN."""
    values = np.asarray(curve, np.float64)
    if len(values) == CYCLE_POINTS:
        return values
    if np.isnan(values).any():
        return np.full(CYCLE_POINTS, np.nan)
    return resample_cycle(np.linspace(0, 100, len(values)), values)


def _rms(values: Sequence[float] | Vector) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
