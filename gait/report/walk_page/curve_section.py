"""The kinematic curves of a page: charts over the gait cycle beside a norm, and the data that move in them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from markupsafe import Markup

from gait.arrays import Vector, true_runs
from gait.body.skeleton import BODY_JOINTS
from gait.explaining.evidence.explained_walk import ExplainedWalk
from gait.explaining.evidence.find_findings import critical_values
from gait.explaining.evidence.finding import Finding
from gait.kinematics.gait_events import SIDES
from gait.kinematics.joint_angles import ANGLES
from gait.kinematics.norm_comparison import Deviation, NormComparison, compare_with_norm
from gait.kinematics.norms import Norm
from gait.kinematics.related_angle import moved_joint, related_angle
from gait.kinematics.trial_analysis import SubjectAnalysis, analyse_subject, analyse_trial
from gait.report.evidence.sentences import format_deg
from gait.report.evidence.write_page import describe_bands, walk_curves
from gait.report.gait.curve_grid import AXES, LOWER_BODY, PLANES, UPPER_BODY, GridRow, norm_bands, subject_curves
from gait.report.gait.measured_subject import MeasuredSubject
from gait.report.gait.norm_section import describe_band, describe_rule
from gait.report.gait.svg_chart import PLOT, DrawnCurve, NormBand, axis_range, curve_chart
from gait.report.walk_page.array_store import ArrayStore
from gait.text import join_words
from gait.viewing.loaded_trial import LoadedTrial

_SMALLEST_SHOWN_DEG = 0.05  # less is shown as 0.0°
_ANGLES = {angle.name: angle for angle in ANGLES}


@dataclass(frozen=True, eq=False)
class Chart:
    """One chart of the grid."""

    angle: str
    svg: Markup
    low_deg: float  # range of the vertical axis
    high_deg: float


@dataclass(frozen=True, eq=False)
class ChartGrid:
    """Charts in rows, each as wide as there are planes; None where no angle belongs."""

    title: str
    rows: tuple[tuple[str, tuple[Chart | None, ...]], ...]
    not_observed: tuple[str, ...]  # titles of the rows of which no angle is observed


@dataclass(frozen=True)
class CurveRow:
    """One row of the table of curves, as text."""

    title: str
    left: str  # range of the mean curve
    right: str
    beyond: tuple[str, ...]  # where it leaves the norm by more than its error


@dataclass(frozen=True, eq=False)
class CurveReference:
    """What curves are beside: bands, and where a curve leaves its band by more than its error."""

    title: str  # of the norm
    bands: Mapping[str, NormBand]  # by angle
    sd_deg: Mapping[str, Vector]  # (101,) between the norm's persons, by angle
    deviations: tuple[Deviation, ...]
    num_tested: int  # curves that are in the norm and whose error is known
    band: str  # whose bands they are and what they promise, one sentence
    rule: str  # when a part of a curve is marked, one sentence


@dataclass(frozen=True, eq=False)
class CurveSection:
    """The curves of a trial, and what they are beside."""

    analysis: SubjectAnalysis  # of this one trial
    reference: CurveReference | None = None
    gps_deg: float = math.nan  # Gait Profile Score of both sides; NaN without a norm, or if an angle is not observed

    @property
    def has_strides(self) -> bool:
        """Whether there is a stride whose curves are drawn."""
        return any(self.analysis.curves.used(side).any() for side in SIDES)

    @property
    def planes(self) -> tuple[str, ...]:
        """Titles of the columns."""
        return PLANES

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Where curves leave their band by more than their error, the largest in SD of the norm first."""
        return (
            () if self.reference is None else tuple(sorted(self.reference.deviations, key=self._in_sds, reverse=True))
        )

    @property
    def deviations_by_curve(self) -> dict[tuple[str, str], list[Deviation]]:
        """The deviations of each curve, by angle and side, in the same order."""
        found: dict[tuple[str, str], list[Deviation]] = {}
        for each in self.deviations:
            found.setdefault((each.angle, each.side), []).append(each)
        return found

    def _in_sds(self, deviation: Deviation) -> float:
        assert self.reference is not None
        sd = float(self.reference.sd_deg[deviation.angle][deviation.largest_percent])
        return abs(deviation.largest_deg) / sd if sd > 0 else 0.0

    @property
    def _bands(self) -> Mapping[str, NormBand]:
        return {} if self.reference is None else self.reference.bands

    @property
    def _curves(self) -> Mapping[str, Mapping[str, DrawnCurve]]:
        """The curves by angle and side, without single strides; where they leave their band is marked."""
        return {
            name: {side: replace(curve, strides=(), marked=self._marked(name, side)) for side, curve in sides.items()}
            for name, sides in subject_curves(self.analysis, None).items()
        }

    def _marked(self, name: str, side: str) -> list[slice]:
        return [each.percents for each in self.deviations if (each.angle, each.side) == (name, side)]

    def grids(self) -> tuple[ChartGrid, ...]:
        """Return the charts of pelvis and legs, and of trunk, head and arms."""
        return (
            _grid("Pelvis and legs", LOWER_BODY, self._curves, self._bands, always=True),
            _grid("Trunk, head and arms", UPPER_BODY, self._curves, self._bands, always=False),
        )

    def rows(self) -> Iterator[CurveRow]:
        """Yield the rows of the table of curves."""
        for name, sides in self._curves.items():
            if sides:
                left, right = (_described(sides.get(side)) for side in SIDES)
                beyond = [describe(found) for curve, found in self.deviations_by_curve.items() if curve[0] == name]
                yield CurveRow(AXES[name].title, left, right, tuple(beyond))

    def data(self, store: ArrayStore) -> dict[str, Any]:
        """Return strides, angles over time, and the drawn curves for the scripts; put arrays into ``store``."""
        (trial,) = self.analysis.trials
        curves, bands = self._curves, self._bands
        charts: dict[str, Any] = {}
        for name, sides in curves.items():
            if not sides:
                continue
            band = bands.get(name)
            chart: dict[str, Any] = {
                "title": AXES[name].title,
                "positive": AXES[name].positive,
                "negative": AXES[name].negative,
                "sides": {
                    side: {
                        "joint": int(moved_joint(name, side)),
                        "mean": store.add_values(curve.mean),
                        "error": None if curve.error is None else store.add_values(curve.error),
                        "values": store.add_values(trial.angles_deg[name, side], delta=True),
                    }
                    for side, curve in sides.items()
                },
            }
            if band is not None:
                chart |= {"norm_low": store.add_values(band.low), "norm_high": store.add_values(band.high)}
            charts[name] = chart
        return {
            "plot": list(PLOT),
            "strides": {
                side: [
                    [round(stride.start, 2), round(stride.end, 2), bool(used)]
                    for stride, used in zip(
                        self.analysis.curves.strides[side], self.analysis.curves.used(side), strict=True
                    )
                ]
                for side in SIDES
            },
            "related": [list(related_angle(joint)) for joint in BODY_JOINTS],
            "charts": charts,
        }


def describe(found: Sequence[Deviation]) -> str:
    """Return where one curve leaves its band, and its largest deviation, which is the first.

    "left knee flexion: 19.9° below the norm's band at 74 % of its cycle, beyond an allowance of 3.5° for
    the error of the fit; outside at 60–80 %".
    """
    ranges = sorted({(each.first_percent, each.last_percent) for each in found})
    outside = join_words([f"{first}–{last}" for first, last in ranges])
    allowed = ""
    if found[0].error_deg >= _SMALLEST_SHOWN_DEG:  # otherwise the curve's error is no larger than the controls'
        allowed = f", beyond an allowance of {format_deg(found[0].error_deg)} for the error of the fit"
    return f"{describe_largest(found[0])}{allowed}; outside at {outside} %"


def describe_largest(deviation: Deviation) -> str:
    """Return by how much a curve is outside its band where it is farthest.

    "left knee flexion: 19.9° below the norm's band at 74 % of its cycle".
    """
    midline = _ANGLES[deviation.angle].midline
    curve = f"{'' if midline else f'{deviation.side} '}{AXES[deviation.angle].title.lower()}"
    where = "above" if deviation.largest_deg > 0 else "below"
    cycle = f"{deviation.largest_percent} % of {f'the {deviation.side}' if midline else 'its'} cycle"
    return f"{curve}: {format_deg(abs(deviation.largest_deg))} {where} the norm's band at {cycle}"


def curve_section(
    trial: LoadedTrial, norm: Norm | None = None, reference: CurveReference | None = None
) -> CurveSection:
    """Return the curves of a trial beside a reference, which is by default the norm; ``norm`` gives the GPS."""
    subject, _, name = trial.name.rpartition("/")
    analysis = analyse_subject([analyse_trial(trial.sequence, subject=subject, trial=name, events=trial.events)])
    if norm is None:
        return CurveSection(analysis, reference)
    measured = MeasuredSubject(subject, analysis, {})
    comparison = compare_with_norm(measured.mean_curves, analysis.mean_errors_deg, norm, measured.dimensionless_speed)
    if comparison is None:
        return CurveSection(analysis, reference)
    return CurveSection(analysis, reference or norm_reference(comparison), comparison.profile.gps_deg["overall"])


def norm_reference(comparison: NormComparison) -> CurveReference:
    """Return a norm as what curves are beside."""
    return CurveReference(
        title=comparison.norm.source.title,
        bands=norm_bands(comparison),
        sd_deg=comparison.curves.sd_deg,
        deviations=comparison.deviations,
        num_tested=len(comparison.compared) - len(comparison.untested),
        band=describe_band(comparison),
        rule=describe_rule(comparison),
    )


def verdict_reference(explained: ExplainedWalk, findings: Sequence[Finding]) -> CurveReference:
    """Return the bands that verdicts are of as what curves are beside."""
    bands, critical = walk_curves(explained, findings).bands, critical_values(explained, findings)
    means, errors = explained.walk.mean_curves(), explained.walk.mean_errors()
    found: list[Deviation] = []
    tested = [(name, side) for name, side in means if name in AXES and name in bands]
    for name, side in tested:
        mean, error = means[name, side], errors.get((name, side), np.full(len(means[name, side]), np.nan))
        outside = explained.bands.outside(name, mean, error, critical[name])
        allowance = explained.bands.error_allowance(name, error, critical[name])
        for run in true_runs(outside):
            band = bands[name]
            beyond = np.where(mean > band.high, mean - band.high, mean - band.low)
            peak = run.start + int(np.abs(beyond[run]).argmax())
            found.append(
                Deviation(name, side, run.start, run.stop - 1, float(beyond[peak]), peak, float(allowance[peak]))
            )
    return CurveReference(
        title=explained.bands.title,
        bands={name: band for name, band in bands.items() if name in AXES},
        sd_deg=explained.bands.sd_deg,
        deviations=tuple(found),
        num_tested=len(tested),
        band=describe_bands(explained, findings),
        rule="Marked is where a mean curve is outside its band by more than the error of the fit widens it.",
    )


def _described(curve: DrawnCurve | None) -> str:
    """Return the range of a mean curve."""
    if curve is None:
        return "not observed"
    low, high = (format_deg(float(bound(curve.mean))) for bound in (np.nanmin, np.nanmax))
    return f"{low} to {high}"


def _grid(
    title: str,
    rows: tuple[GridRow, ...],
    curves: Mapping[str, Mapping[str, DrawnCurve]],
    bands: Mapping[str, NormBand],
    *,
    always: bool,
) -> ChartGrid:
    shown = [row for row in rows if always or any(curves.get(name) for name in row.angles)]
    charts = tuple(
        (row.title, tuple(_chart(name, curves.get(name, {}), bands.get(name)) for name in row.angles)) for row in shown
    )
    return ChartGrid(title, charts, tuple(row.title for row in rows if row not in shown))


def _chart(name: str, curves: Mapping[str, DrawnCurve], band: NormBand | None) -> Chart | None:
    if not name:
        return None
    missing = [side for side in SIDES if side not in curves]
    low, high = axis_range(AXES[name], curves, band)
    return Chart(name, curve_chart(AXES[name], curves, band, unobserved=missing), low, high)


def frame_at(curves: SubjectAnalysis, side: str, percent: float) -> int | None:
    """Return the frame of a percent of the middle stride of a side; None if no stride of it counts."""
    own = [stride for stride, used in zip(curves.curves.strides[side], curves.curves.used(side), strict=True) if used]
    if not own:
        return None
    stride = own[len(own) // 2]
    return int(np.rint(stride.start + percent / 100 * (stride.end - stride.start)))
