"""Charts of the angles that findings are of: both sides, norm, attribution along the curves, and the changed walk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from gait.arrays import Vector
from gait.body.skeleton import Joint, contralateral_joint
from gait.explaining.attribution import TrialAttribution
from gait.explaining.evidence.finding import CurveChange, Evidence, Finding
from gait.kinematics.gait_cycle import average_gait_cycles
from gait.kinematics.gait_events import SIDES
from gait.kinematics.norm_comparison import ERROR_FACTOR
from gait.report.gait.curve_grid import AXES
from gait.report.gait.svg_chart import DrawnCurve, NormBand, Paint, Pin, curve_chart
from gait.viewing.colours import Scale, attribution_scale

WALK = "walk"
"""Class of the style sheet: a curve in the colour of ink, so that attribution alone has colours."""

CycleAttribution = Mapping[tuple[Joint, int, str], Vector]
"""Mean attribution (101,) in logit units per frame, by joint, axis of the input, and side of the gait cycle."""


@dataclass(frozen=True, eq=False)
class WalkCurves:
    """The mean curves of a trial, and the norm at its walking speed; by name of the angle and side of the cycle."""

    mean_deg: Mapping[tuple[str, str], Vector]  # (101,); those that are not observed are absent
    error_deg: Mapping[tuple[str, str], Vector]  # (101,) standard errors; absent where unknown
    low_deg: Mapping[tuple[str, str], Vector]  # (101,) band of the norm; absent where the norm has none
    high_deg: Mapping[tuple[str, str], Vector]
    foot_off: Mapping[str, float]  # percent of the cycle of each side; NaN if unknown
    band: str = ""  # whose band it is and what it promises, one sentence


@dataclass(frozen=True, eq=False)
class ChartRow:
    """The charts of one angle."""

    angle: str
    charts: tuple[Markup, ...]  # left, right


def cycle_attribution(attribution: TrialAttribution, joints_m: Vector) -> CycleAttribution:
    """Return the attribution by axis over the mean gait cycle of each side; empty if it has no axes.

    ``joints_m`` (T, 22, 3) are of the same frames.
    """
    if attribution.axis_values is None:
        return {}
    found: dict[tuple[Joint, int, str], Vector] = {}
    _, joints, rate_hz, status = attribution.cycle_inputs(joints_m)
    for axis in range(attribution.axis_values.shape[2]):
        values = np.where(attribution.counts, attribution.axis_values[:, :, axis], np.float32(np.nan))
        for side, cycle in average_gait_cycles(values, joints, rate_hz, status).items():
            found |= {(joint, axis, side): cycle.values[:, joint] for joint in list(Joint)[: values.shape[1]]}
    return found


def chart_name(angle: str, side: str) -> str:
    """Return the id of a chart on the page."""
    return f"{angle}-{side}"


def evidence_charts(
    evidence: Evidence, curves: WalkCurves, attribution: CycleAttribution, scale: Scale
) -> tuple[ChartRow, ...]:
    """Return the charts of all angles that findings and the counterfactual are of, in the order of the findings.

    Findings are pinned to the curves by their numbers, which link to their rows. The attribution, in the unit of
    ``scale``, is painted along the curves.
    """
    moved_by = _axes(evidence)
    return tuple(
        ChartRow(angle, tuple(_chart(angle, side, moved_by, evidence, curves, attribution, scale) for side in SIDES))
        for angle in dict.fromkeys(angle for angle, _ in moved_by)
    )


def scale_of(attribution: CycleAttribution, evidence: Evidence) -> Scale:
    """Return the colours of the attribution along the curves that the page draws."""
    drawn = [
        attribution[joint, axis, side]
        for (_, side), (joint, axis) in _axes(evidence).items()
        if (joint, axis, side) in attribution
    ]
    return attribution_scale(drawn, signed=True)


def _axes(evidence: Evidence) -> dict[tuple[str, str], tuple[Joint, int]]:
    """Return joint and axis of the input that move each angle, for both sides, in the order of the findings."""
    walk = None if evidence.counterfactual is None else evidence.counterfactual.boundary
    sources: list[Finding | CurveChange] = [*evidence.findings, *(() if walk is None else walk.changes)]
    found: dict[tuple[str, str], tuple[Joint, int]] = {}
    for each in sources:
        if each.angle is not None and each.axis is not None:
            found.setdefault((each.angle, each.side), (each.joint, each.axis))
    for (angle, side), (joint, axis) in list(found.items()):
        other = "right" if side == "left" else "left"
        found.setdefault((angle, other), (contralateral_joint(joint), axis))
    return found


def _chart(
    angle: str,
    side: str,
    moved_by: Mapping[tuple[str, str], tuple[Joint, int]],
    evidence: Evidence,
    curves: WalkCurves,
    attribution: CycleAttribution,
    scale: Scale,
) -> Markup:
    key = angle, side
    drawn, norm = {}, None
    if key in curves.low_deg:
        norm = NormBand(curves.low_deg[key], curves.high_deg[key])
    if key in curves.mean_deg:
        error = curves.error_deg.get(key)
        values = attribution.get((*moved_by[key], side)) if key in moved_by else None
        drawn[WALK] = DrawnCurve(
            mean=curves.mean_deg[key],
            error=None if error is None else ERROR_FACTOR * error,
            foot_off=curves.foot_off[side],
            marked=_phases(evidence.findings, angle, side),
            paint=None if values is None else Paint(values, scale),
            changed=_changed(evidence, angle, side),
            pins=[
                Pin(finding.percent, str(number), f"#finding-{number}")
                for number, finding in enumerate(evidence.findings, start=1)
                if (finding.angle, finding.side) == key
            ],
        )
    axis = AXES[angle]
    title = f"{side.capitalize()} {axis.title.lower()}"
    unobserved = () if drawn else (side,)
    name = chart_name(angle, side)
    return curve_chart(replace(axis, title=title), drawn, norm, unobserved=unobserved, letters={WALK: ""}, name=name)


def _phases(findings: Sequence[Finding], angle: str, side: str) -> list[slice]:
    own = [finding.percents for finding in findings if (finding.angle, finding.side) == (angle, side)]
    return [slice(first, last + 1) for first, last in sorted(set(own))]


def _changed(evidence: Evidence, angle: str, side: str) -> Vector | None:
    """Return the angle's curve in the counterfactual walk; None if there is none."""
    counterfactual = evidence.counterfactual
    walk = None if counterfactual is None else counterfactual.boundary
    return None if walk is None else walk.curves_deg.get((angle, side))
