"""The grid of curves of a page: one row per segment or joint, columns sagittal, frontal and transverse plane.

Rows, columns, ranges of the axes and names of the directions are those of the reports that gait laboratories read, so
that each curve is where a reader expects it. The signs are those of ``gait/kinematics/joint_angles.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from gait.kinematics.gait_events import SIDES
from gait.kinematics.joint_angles import ANGLES
from gait.kinematics.norm_comparison import ERROR_FACTOR, NormComparison
from gait.kinematics.strides import StrideCurves
from gait.kinematics.trial_analysis import SubjectAnalysis
from gait.report.gait.svg_chart import CurveAxis, DrawnCurve, NormBand, curve_chart

PLANES = ("Sagittal plane", "Frontal plane", "Transverse plane")


@dataclass(frozen=True)
class GridRow:
    """One row of the grid: a segment or joint, and its angle in each plane, "" where none is shown."""

    title: str
    angles: tuple[str, str, str]


LOWER_BODY = (
    GridRow("Pelvis", ("pelvis_tilt", "pelvis_obliquity", "pelvis_rotation")),
    GridRow("Hip", ("hip_flexion", "hip_adduction", "hip_rotation")),
    GridRow("Knee", ("knee_flexion", "knee_adduction", "knee_rotation")),
    GridRow("Ankle and foot", ("ankle_dorsiflexion", "ankle_inversion", "foot_progression")),
    GridRow("Ankle rotation", ("", "", "ankle_rotation")),
)
"""The grid that opens a gait analysis."""

UPPER_BODY = (
    GridRow("Thorax", ("thorax_tilt", "thorax_obliquity", "thorax_rotation")),
    GridRow("Spine", ("spine_flexion", "spine_lateral_flexion", "spine_rotation")),
    GridRow("Head", ("head_tilt", "head_obliquity", "head_rotation")),
    GridRow("Shoulder", ("shoulder_flexion", "shoulder_abduction", "shoulder_rotation")),
    GridRow("Elbow", ("elbow_flexion", "", "")),
)
"""What fewer laboratories read, below the first grid."""

_ROTATION = (-30.0, 30.0, "Int", "Ext")
_RANGES: Mapping[str, tuple[float, float, str, str]] = {
    "pelvis_tilt": (-10, 50, "Ant", "Post"),
    "pelvis_obliquity": (-30, 30, "Up", "Down"),
    "pelvis_rotation": _ROTATION,
    "hip_flexion": (-20, 70, "Flex", "Ext"),
    "hip_adduction": (-30, 30, "Add", "Abd"),
    "hip_rotation": _ROTATION,
    "knee_flexion": (-15, 75, "Flex", "Ext"),
    "knee_adduction": (-30, 30, "Var", "Val"),
    "knee_rotation": _ROTATION,
    "ankle_dorsiflexion": (-30, 30, "Dors", "Plant"),
    "ankle_inversion": (-30, 30, "Inv", "Ev"),
    "ankle_rotation": _ROTATION,
    "foot_progression": _ROTATION,
    "thorax_tilt": (-30, 30, "Forw", "Back"),
    "thorax_obliquity": (-30, 30, "Up", "Down"),
    "thorax_rotation": (-30, 30, "Ahead", "Behind"),
    "spine_flexion": (-30, 30, "Flex", "Ext"),
    "spine_lateral_flexion": (-30, 30, "To own side", "To other side"),
    "spine_rotation": (-30, 30, "To own side", "To other side"),
    "head_tilt": (-30, 30, "Back", "Forw"),
    "head_obliquity": (-30, 30, "Up", "Down"),
    "head_rotation": (-30, 30, "Ahead", "Behind"),
    "shoulder_flexion": (-40, 50, "Flex", "Ext"),
    "shoulder_abduction": (-20, 70, "Abd", "Add"),
    "shoulder_rotation": (-60, 60, "Int", "Ext"),
    "elbow_flexion": (0, 90, "Flex", "Ext"),
}
_TICKS = {"knee_flexion": 15, "shoulder_rotation": 20}  # degrees between two ticks; else 10
AXES = {angle.name: CurveAxis(angle.title, *_RANGES[angle.name], tick=_TICKS.get(angle.name, 10)) for angle in ANGLES}
"""Range, in degrees, and directions of the axis of each angle."""


@dataclass(frozen=True)
class GridSection:
    """Charts of one grid in rows, each as wide as its planes; None where no angle belongs."""

    title: str
    rows: Sequence[tuple[str, Sequence[Markup | None]]]
    not_observed: Sequence[str] = ()  # titles of rows without any observed angle, which are not drawn


def subject_grids(analysis: SubjectAnalysis, norm: NormComparison | None) -> tuple[GridSection, ...]:
    """Return the grids of a subject's curves: pelvis and legs, then trunk, head and arms; with the band of a norm."""
    return drawn_grids(subject_curves(analysis, norm), bands=norm_bands(norm), sides=SIDES)


def subject_curves(analysis: SubjectAnalysis, norm: NormComparison | None) -> Mapping[str, Mapping[str, DrawnCurve]]:
    """Return the curves of a subject by angle and side; where they leave the norm is marked."""
    return {
        name: {side: _drawn(analysis, name, side, norm) for side in _observed(analysis.curves, name)} for name in AXES
    }


def norm_bands(norm: NormComparison | None) -> Mapping[str, NormBand]:
    """Return the bands of a norm by angle; none without a norm."""
    if norm is None:
        return {}
    at = norm.curves
    return {
        name: NormBand.of((at.low_deg[name], at.high_deg[name]), mean, at.sd_deg.get(name))
        for name, mean in at.mean_deg.items()
    }


def drawn_grids(
    curves: Mapping[str, Mapping[str, DrawnCurve]],
    *,
    axes: Mapping[str, CurveAxis] = AXES,
    bands: Mapping[str, NormBand] | None = None,
    sides: Sequence[str] = (),
    letters: Mapping[str, str] | None = None,
) -> tuple[GridSection, ...]:
    """Return both grids of curves by angle, and by side or group.

    Args:
        curves: what is drawn; an angle without any curve is hatched, a row of the second grid without any is omitted.
        axes: of all angles.
        bands: of a norm, by angle.
        sides: charts name those of them that have no curve.
        letters: short name of each curve, at its right end; by default the initial of its side.
    """

    def chart(name: str) -> Markup:
        own = curves.get(name, {})
        return curve_chart(
            axes[name],
            own,
            (bands or {}).get(name),
            unobserved=[side for side in sides if side not in own],
            letters=None if letters is None else {kind: letters[kind] for kind in own},
        )

    grids = []
    for title, rows, always in (("Pelvis and legs", LOWER_BODY, True), ("Trunk, head and arms", UPPER_BODY, False)):
        shown = [row for row in rows if always or any(curves.get(name) for name in row.angles)]
        charts = [(row.title, [chart(name) if name else None for name in row.angles]) for row in shown]
        grids.append(GridSection(title, charts, [row.title for row in rows if row not in shown]))
    return tuple(grids)


def _observed(curves: StrideCurves, name: str) -> list[str]:
    """Return the sides of which a stride observes the angle."""
    return [side for side in SIDES if (name, side) in curves.curves and np.isfinite(curves.mean(name, side)).any()]


def _drawn(analysis: SubjectAnalysis, name: str, side: str, norm: NormComparison | None) -> DrawnCurve:
    curves = analysis.curves
    error = analysis.mean_errors_deg.get((name, side))
    events = mean_phases(curves, side)
    sd = curves.sd(name, side)
    return DrawnCurve(
        mean=curves.mean(name, side),
        strides=tuple(curves.used_curves(name, side)) if len(curves.used_curves(name, side)) > 1 else (),
        spread=sd if np.isfinite(sd).any() else None,
        error=None if error is None else ERROR_FACTOR * error,
        foot_off=events["foot_off"],
        opposite_events=(events["opposite_foot_off"], events["opposite_contact"]),
        marked=[] if norm is None else [d.percents for d in norm.deviations if (d.angle, d.side) == (name, side)],
    )


def mean_phases(curves: StrideCurves, side: str) -> Mapping[str, float]:
    """Return the mean foot off, opposite foot off and opposite contact of a side's strides, in percent; or NaN."""
    strides = [stride for stride, used in zip(curves.strides[side], curves.used(side), strict=True) if used]
    found = {}
    for event in ("foot_off", "opposite_foot_off", "opposite_contact"):
        percents = [stride.percent(getattr(stride, event)) for stride in strides]
        known = [percent for percent in percents if math.isfinite(percent)]
        found[event] = float(np.mean(known)) if known else math.nan
    return found
