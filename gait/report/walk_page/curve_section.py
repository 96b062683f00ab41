"""The kinematic curves of a page: charts over the gait cycle beside a norm, and the data that move in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from markupsafe import Markup

from gait.body.skeleton import BODY_JOINTS
from gait.kinematics.gait_events import SIDES
from gait.kinematics.norm_comparison import Deviation, NormComparison, compare_with_norm
from gait.kinematics.norms import Norm
from gait.kinematics.related_angle import moved_joint, related_angle
from gait.kinematics.trial_analysis import SubjectAnalysis, analyse_subject, analyse_trial
from gait.report.evidence.sentences import format_deg
from gait.report.gait.curve_grid import AXES, LOWER_BODY, PLANES, UPPER_BODY, GridRow, norm_bands, subject_curves
from gait.report.gait.measured_subject import MeasuredSubject
from gait.report.gait.norm_section import describe_band, describe_deviation, describe_rule
from gait.report.gait.svg_chart import PLOT, DrawnCurve, NormBand, axis_range, curve_chart
from gait.report.walk_page.array_store import ArrayStore
from gait.viewing.loaded_trial import LoadedTrial


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
class CurveSection:
    """The curves of a trial, and the norm that they are beside."""

    analysis: SubjectAnalysis  # of this one trial
    norm: NormComparison | None

    @property
    def has_strides(self) -> bool:
        """Whether there is a stride whose curves are drawn."""
        return any(self.analysis.curves.used(side).any() for side in SIDES)

    @property
    def planes(self) -> tuple[str, ...]:
        """Titles of the columns."""
        return PLANES

    @property
    def band(self) -> str:
        """Whose band it is, and what it promises; "" without a norm."""
        return "" if self.norm is None else describe_band(self.norm)

    @property
    def rule(self) -> str:
        """When a part of a curve is marked; "" without a norm."""
        return "" if self.norm is None else describe_rule(self.norm)

    @property
    def deviations(self) -> tuple[tuple[Deviation, str], ...]:
        """Where curves leave the norm by more than their error, in words, the largest in SD of the norm first."""
        if self.norm is None:
            return ()
        ordered = sorted(self.norm.deviations, key=self._in_sds, reverse=True)
        return tuple((each, f"{each.side.capitalize()}: {describe_deviation(each)}") for each in ordered)

    def joint_of(self, deviation: Deviation) -> int:
        """Return the joint whose motion deviates."""
        return int(moved_joint(deviation.angle, deviation.side))

    def _in_sds(self, deviation: Deviation) -> float:
        assert self.norm is not None
        sd = float(self.norm.curves.sd_deg[deviation.angle][deviation.largest_percent])
        return abs(deviation.largest_deg) / sd if sd > 0 else 0.0

    def grids(self) -> tuple[ChartGrid, ...]:
        """Return the charts of pelvis and legs, and of trunk, head and arms, without single strides."""
        curves = {
            name: {side: replace(curve, strides=()) for side, curve in sides.items()}
            for name, sides in subject_curves(self.analysis, self.norm).items()
        }
        bands = norm_bands(self.norm)
        return (
            _grid("Pelvis and legs", LOWER_BODY, curves, bands, always=True),
            _grid("Trunk, head and arms", UPPER_BODY, curves, bands, always=False),
        )

    def rows(self) -> Iterator[CurveRow]:
        """Yield the rows of the table of curves."""
        for name, sides in subject_curves(self.analysis, self.norm).items():
            if sides:
                left, right = (_described(sides.get(side)) for side in SIDES)
                own = () if self.norm is None else self.norm.deviations
                yield CurveRow(
                    AXES[name].title,
                    left,
                    right,
                    tuple(f"{each.side}: {describe_deviation(each)}" for each in own if each.angle == name),
                )

    def data(self, store: ArrayStore) -> dict[str, Any]:
        """Return strides, angles over time, and the drawn curves for the scripts; put arrays into ``store``."""
        (trial,) = self.analysis.trials
        curves, bands = subject_curves(self.analysis, self.norm), norm_bands(self.norm)
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


def curve_section(trial: LoadedTrial, norm: Norm | None = None) -> CurveSection:
    """Return the curves of a trial, beside a norm if there is one."""
    subject, _, name = trial.name.rpartition("/")
    analysis = analyse_subject([analyse_trial(trial.sequence, subject=subject, trial=name, events=trial.events)])
    measured = MeasuredSubject(subject, analysis, {})
    comparison = None
    if norm is not None:
        comparison = compare_with_norm(
            measured.mean_curves, analysis.mean_errors_deg, norm, measured.dimensionless_speed
        )
    return CurveSection(analysis, comparison)


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
