"""The page of a cohort: all subjects in one table, and the mean curves of controls and patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from gait.arrays import Vector
from gait.motion.trial_paths import HEALTHY, LABEL_NOUNS, SICK
from gait.report.gait.curve_grid import AXES, PLANES, GridSection, drawn_grids
from gait.report.gait.norm_set import NormSet
from gait.report.gait.numbers import format_value
from gait.report.gait.subject_summary import SubjectSummary
from gait.report.gait.svg_chart import DrawnCurve
from gait.report.render import render
from gait.text import format_number

GROUP_NOUNS = {**LABEL_NOUNS, "": "subject"}
_COLUMNS = ("walking_speed", "cadence", "stride_length", "step_width", "stance")


def cohort_page(
    subjects: Sequence[SubjectSummary],
    norms: NormSet,
    links: Mapping[str, Path],
    problems: Sequence[str],
    comparison: str | None = None,
) -> str:
    """Return the page as HTML.

    Args:
        subjects: all subjects.
        norms: the first one is that of the scores.
        links: pages of the subjects, relative to this one.
        problems: one line per missing part.
        comparison: name of the page of a comparison beside this one.
    """
    groups = {label: [each for each in subjects if each.label == label] for label in (HEALTHY, SICK, "")}
    groups = {label: group for label, group in groups.items() if group}
    return render(
        "cohort.html.jinja",
        groups=groups,
        nouns=GROUP_NOUNS,
        num_trials=sum(each.num_trials for each in subjects),
        problems=problems,
        comparison=comparison,
        links={name: quote(link.as_posix(), errors="surrogateescape") for name, link in links.items()},
        columns=_COLUMNS,
        value=lambda subject, name: format_value(name, subject.parameters[name, "both"]),
        score=format_number,
        norm=norms.norms[0].source if norms.norms else None,
        controls_are_norm=bool(norms.norms) and norms.norms[0] is norms.controls,
        gdi=norms.gdi[0].source,
        planes=PLANES,
        grids=_group_grids(groups),
    )


def _group_grids(groups: Mapping[str, Sequence[SubjectSummary]]) -> tuple[GridSection, ...]:
    """Return the grids of the mean curves of each group, with the standard deviation between subjects."""
    curves: dict[str, dict[str, DrawnCurve]] = {}
    for name in AXES:
        for label, group in groups.items():
            rows = group_curves(group, name)
            if len(rows):
                spread = rows.std(axis=0, ddof=1) if len(rows) > 1 else None
                curves.setdefault(name, {})[label] = DrawnCurve(rows.mean(axis=0), spread=spread)
    return drawn_grids(curves, letters={HEALTHY: "C", SICK: "P", "": "S"})


def group_curves(group: Sequence[SubjectSummary], name: str) -> Vector:
    """Return the curve of each subject that observes an angle over the whole cycle, both sides averaged, (n, 101)."""
    found = [curve for each in group if (curve := each.curve_of_both_sides(name)) is not None]
    return np.reshape([curve for curve in found if np.isfinite(curve).all()], (-1, 101))
