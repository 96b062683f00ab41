"""Charts of the angles that findings are of: both sides, norm, attribution along the curves, and the changed walk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from markupsafe import Markup

from gait.arrays import Vector
from gait.body.skeleton import Joint, contralateral_joint
from gait.explaining.evidence.finding import CurveChange, Evidence, Finding
from gait.kinematics.gait_events import SIDES
from gait.kinematics.norm_comparison import ERROR_FACTOR
from gait.report.gait.curve_grid import AXES
from gait.report.gait.svg_chart import CurveAxis, DrawnCurve, NormBand, Paint, Pin, curve_chart
from gait.text import capitalize
from gait.viewing.colours import Scale, attribution_scale

WALK = "walk"
"""Class of the style sheet: a curve in the colour of ink, so that attribution alone has colours."""

CycleAttribution = Mapping[tuple[Joint, int], Vector]
"""Mean attribution (101,) per percent of the gait cycle of the joint's side, logit units, by joint and axis."""


@dataclass(frozen=True, eq=False)
class WalkCurves:
    """The mean curves of a trial, and the norm at its walking speed; by name of the curve and side of the cycle."""

    mean_deg: Mapping[tuple[str, str], Vector]  # (101,); those that are not observed are absent
    error_deg: Mapping[tuple[str, str], Vector]  # (101,) standard errors; absent where unknown
    bands: Mapping[str, NormBand]  # of the norm by curve; absent where it has none
    foot_off: Mapping[str, float]  # percent of the cycle of each side; NaN if unknown
    attribution: CycleAttribution
    input_curves: Mapping[tuple[Joint, int], str] = field(default_factory=dict)
    """Names of the curves of motions that no angle describes, by joint and axis."""

    def name_of(self, motion: Finding | CurveChange) -> str:
        """Return the name of the curve that shows a motion; "" without one."""
        if motion.angle is not None or motion.axis is None:
            return motion.angle or ""
        return self.input_curves.get((motion.joint, motion.axis), "")


@dataclass(frozen=True, eq=False)
class ChartRow:
    """The charts of one curve."""

    curve: str  # its name
    charts: tuple[Markup | None, ...]  # left, right; of a joint in the middle of the body only that of its cycle


def chart_name(curve: str, side: str) -> str:
    """Return the id of a chart on the page."""
    return f"{curve.replace(':', '-')}-{side}"


def evidence_charts(evidence: Evidence, curves: WalkCurves, scale: Scale) -> tuple[ChartRow, ...]:
    """Return the charts of all curves that findings and the counterfactual are of, in the order of the findings.

    Findings are pinned to the curves by their numbers, which link to their rows. The attribution, in the unit of
    ``scale``, is painted along the curves.
    """
    shown: dict[str, Finding | CurveChange] = {}
    for motion in _motions(evidence):
        if name := curves.name_of(motion):
            shown.setdefault(name, motion)
    return tuple(
        ChartRow(name, tuple(_chart(name, side, motion, evidence, curves, scale) for side in SIDES))
        for name, motion in shown.items()
    )


def scale_of(evidence: Evidence, curves: WalkCurves) -> Scale:
    """Return the colours of the attribution along the curves that the page draws."""
    pairs = {(each.joint, each.axis) for each in _motions(evidence) if each.axis is not None}
    pairs |= {(contralateral_joint(joint), axis) for joint, axis in pairs}
    drawn = [curves.attribution[joint, axis] for joint, axis in pairs if (joint, axis) in curves.attribution]
    return attribution_scale(drawn, signed=True)


def _motions(evidence: Evidence) -> list[Finding | CurveChange]:
    walk = None if evidence.counterfactual is None else evidence.counterfactual.boundary
    return [*evidence.findings, *(() if walk is None else walk.changes)]


def _chart(
    name: str, side: str, motion: Finding | CurveChange, evidence: Evidence, curves: WalkCurves, scale: Scale
) -> Markup | None:
    midline = not motion.joint.name.startswith(("LEFT_", "RIGHT_"))
    if midline and side != motion.side:
        return None
    joint = motion.joint if side == motion.side else contralateral_joint(motion.joint)
    key, drawn = (name, side), {}
    if key in curves.mean_deg:
        error = curves.error_deg.get(key)
        values = None if motion.axis is None else curves.attribution.get((joint, motion.axis))
        own = [
            (number, finding)
            for number, finding in enumerate(evidence.findings, start=1)
            if (curves.name_of(finding), finding.side) == key
        ]
        drawn[WALK] = DrawnCurve(
            mean=curves.mean_deg[key],
            error=None if error is None else ERROR_FACTOR * error,
            foot_off=curves.foot_off[side],
            marked=[slice(first, last + 1) for first, last in sorted({finding.percents for _, finding in own})],
            paint=None if values is None else Paint(values, scale),
            changed=_changed(evidence, name, side),
            pins=[Pin(finding.percent, str(number), f"#finding-{number}") for number, finding in own],
        )
    title = _title(name, motion, "" if midline else side)
    axis = replace(AXES[name], title=title) if name in AXES else CurveAxis(title, 0.0, 0.0)
    return curve_chart(
        axis,
        drawn,
        curves.bands.get(name),
        unobserved=() if drawn else (side,),
        letters={WALK: ""},
        name=chart_name(name, side),
    )


def _title(name: str, motion: Finding | CurveChange, side: str) -> str:
    """Return the title of a chart: that of the angle, or of the motion that has no angle."""
    words = motion.motion.removeprefix(f"{motion.side} ")
    if name in AXES and AXES[name].title.lower() != words.lower():
        words = f"{words} ({AXES[name].title.lower()})"
    title = f"{side} {words}" if side else words
    return capitalize(title)


def _changed(evidence: Evidence, name: str, side: str) -> Vector | None:
    """Return the curve in the counterfactual walk; None if there is none."""
    counterfactual = evidence.counterfactual
    walk = None if counterfactual is None else counterfactual.boundary
    return None if walk is None else walk.curves_deg.get((name, side))
