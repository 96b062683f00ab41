"""What a cohort's page and a comparison of groups need of one subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gait.arrays import Vector
from gait.kinematics.gait_events import SIDES
from gait.kinematics.spatiotemporal import PARAMETERS
from gait.report.gait.measured_subject import GroupMember, MeasuredSubject
from gait.report.gait.norm_set import NormResults


@dataclass(frozen=True, eq=False)
class SubjectSummary(GroupMember):
    """The results of one subject, without those of single trials and strides."""

    num_trials: int
    num_strides: Mapping[str, int]  # by side, that count
    residual_mean_mm: float  # NaN if unknown
    dimensionless_speed: float  # NaN without a stride
    leg_length_m: float
    parameters: Mapping[tuple[str, str], float]  # (name, "left", "right" or "both") -> mean; NaN if not observed
    curves: Mapping[tuple[str, str], Vector]  # (angle name, side) -> (101,) mean, degrees; observed ones alone
    mean_errors_deg: Mapping[tuple[str, str], Vector]  # standard errors of these by the fit; known ones alone
    gps_deg: Mapping[str, float]  # "left", "right", "overall", against the norm that is drawn; empty without one
    gdi: Mapping[str, float]  # against the first reference, by side; NaN if an angle is not observed
    problems: tuple[str, ...] = ()

    def curve_of_both_sides(self, name: str) -> Vector | None:
        """Return the mean (101,) of the mean curves of both sides, or of the only observed one; None without any."""
        own = [self.curves[name, side] for side in SIDES if (name, side) in self.curves]
        return np.asarray(np.mean(own, axis=0)) if own else None


def summarize_subject(subject: MeasuredSubject, norms: NormResults) -> SubjectSummary:
    """Return the summary of an analysed subject, with the scores against the norm that is drawn."""
    analysis, drawn = subject.analysis, norms.drawn
    return SubjectSummary(
        subject_id=subject.subject_id,
        num_trials=len(analysis.trials),
        num_strides=subject.num_strides,
        residual_mean_mm=subject.residual_mean_mm,
        dimensionless_speed=subject.dimensionless_speed,
        leg_length_m=analysis.parameters.leg_length_m,
        parameters={
            (each.name, side): analysis.parameters.mean(each.name, side)
            for each in PARAMETERS
            for side in (*SIDES, "both")
        },
        curves=subject.mean_curves,
        mean_errors_deg=analysis.mean_errors_deg,
        gps_deg={} if drawn is None else drawn.profile.gps_deg,
        gdi=norms.gdi[0].gdi if norms.gdi else {},
        problems=subject.problems,
    )
