"""The page of a comparison, of two measurements or two groups: the data of ``templates/comparison.html.jinja``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gait.arrays import Vector
from gait.kinematics.curve_comparison import (
    MIN_ROWS,
    PERMUTATIONS,
    SIGNIFICANCE_LEVEL,
    CurveDifference,
    smallest_p,
)
from gait.kinematics.spatiotemporal import PARAMETERS
from gait.report.gait.comparison import BOTH, Comparison
from gait.report.gait.curve_grid import AXES, PLANES, GridSection, drawn_grids
from gait.report.gait.numbers import format_value, shown_unit
from gait.report.gait.svg_chart import DrawnCurve
from gait.report.render import render
from gait.text import format_number

_DIFFERENCE_DEG = 20.0  # range of the axis of differences, in either direction
POINTWISE_95 = 1.96
_MAX_ROWS_DRAWN = 12  # single curves of more rows hide each other


@dataclass(frozen=True)
class DifferenceRow:
    """One row of the table of curves, as text."""

    title: str
    side: str
    numbers: str  # rows of both samples
    largest: str
    clusters: str
    p: str
    p_corrected: str
    significant: bool


def comparison_page(comparison: Comparison, cohort_page: str) -> str:
    """Return the page as HTML; ``cohort_page`` is a link to the page of the cohort."""
    differences = comparison.differences.values()
    return render(
        "comparison.html.jinja",
        comparison=comparison,
        cohort_page=cohort_page,
        planes=PLANES,
        overlays=list(_overlay_grids(comparison)),
        difference_grids=_difference_grids(comparison),
        rows=[_row(each) for each in differences],
        num_significant=sum(bool(each.significant) for each in differences),
        parameters=list(_parameter_rows(comparison)),
        min_rows=MIN_ROWS,
        permutations=PERMUTATIONS,
        level=f"{SIGNIFICANCE_LEVEL:g}",
        smallest=_smallest(comparison),
    )


def comparison_rows(comparison: Comparison) -> Iterator[tuple[Any, ...]]:
    """Yield the difference at each percent of each curve, for a table with ``COMPARISON_COLUMNS``."""
    for (angle, side), each in comparison.differences.items():
        significant = np.zeros(len(each.degrees), dtype=int)
        for cluster in each.significant:
            significant[cluster.first_percent : cluster.last_percent + 1] = 1
        for percent, (degrees, error) in enumerate(zip(each.degrees, each.standard_error, strict=True)):
            yield (
                comparison.first.title, comparison.second.title, angle, side, each.num_first, each.num_second, percent,
                round(float(degrees), 3), round(float(error), 3), int(significant[percent]), each.p, each.p_corrected,
            )  # fmt: skip


COMPARISON_COLUMNS = (
    "first", "second", "angle", "side", "rows_first", "rows_second", "percent", "difference_deg", "standard_error_deg",
    "significant", "p", "p_corrected",
)  # fmt: skip


def _overlay_grids(comparison: Comparison) -> Iterator[tuple[str, GridSection]]:
    """Yield a side and its grids, in which both samples are drawn over each other."""
    for side in comparison.sides:
        curves: dict[str, dict[str, DrawnCurve]] = {}
        for (angle, own), each in comparison.differences.items():
            if own == side:
                marked = [slice(c.first_percent, c.last_percent + 1) for c in each.significant]
                curves[angle] = {
                    "first": _drawn(comparison.first.curves[angle, side]),
                    "second": replace(_drawn(comparison.second.curves[angle, side]), marked=marked),
                }
        for grid in drawn_grids(curves, letters={"first": "1", "second": "2"}):
            yield side, grid


def _difference_grids(comparison: Comparison) -> tuple[GridSection, ...]:
    curves: dict[str, dict[str, DrawnCurve]] = {}
    for (angle, side), each in comparison.differences.items():
        error = POINTWISE_95 * each.standard_error
        curves.setdefault(angle, {})[side] = DrawnCurve(
            each.degrees,
            spread=error if np.isfinite(error).all() else None,
            marked=[slice(c.first_percent, c.last_percent + 1) for c in each.significant],
        )
    axes = {name: replace(axis, low=-_DIFFERENCE_DEG, high=_DIFFERENCE_DEG, tick=10.0) for name, axis in AXES.items()}
    letters = {"left": "L", "right": "R", BOTH: ""}
    return drawn_grids(curves, axes=axes, letters=letters)


def _drawn(rows: Vector) -> DrawnCurve:
    spread = rows.std(axis=0, ddof=1) if len(rows) > 1 else None
    return DrawnCurve(rows.mean(axis=0), strides=tuple(rows) if 1 < len(rows) <= _MAX_ROWS_DRAWN else (), spread=spread)


def _row(each: CurveDifference[tuple[str, str]]) -> DifferenceRow:
    angle, side = each.name
    peak = int(np.abs(each.degrees).argmax())
    clusters = [f"{c.first_percent} to {c.last_percent} % (p {_p(c.p_corrected)})" for c in each.significant]
    return DifferenceRow(
        title=AXES[angle].title,
        side=side,
        numbers=f"{each.num_first}, {each.num_second}",
        largest=f"{format_number(each.degrees[peak], 1, signed=True)}° at {peak} %",
        clusters="; ".join(clusters) or "–",
        p=_p(each.p),
        p_corrected=_p(each.p_corrected),
        significant=bool(each.significant),
    )


def _parameter_rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """Yield title and unit, side, both samples' means with SD, and the difference."""
    for each in PARAMETERS:
        for side in comparison.sides:
            values = [sample.parameters[each.name, side] for sample in (comparison.first, comparison.second)]
            if all(len(one) for one in values):
                difference = float(values[1].mean() - values[0].mean())
                yield (
                    f"{each.title}, {shown_unit(each.name)}", side, *(_mean_sd(each.name, one) for one in values),
                    format_value(each.name, difference, signed=True),
                )  # fmt: skip


def _mean_sd(parameter: str, values: Vector) -> str:
    mean = format_value(parameter, float(values.mean()))
    if len(values) < 2:
        return f"{mean} (1)"
    return f"{mean} ± {format_value(parameter, float(values.std(ddof=1)))} ({len(values)})"


def _smallest(comparison: Comparison) -> str:
    """Return the smallest corrected p that the numbers of rows allow; empty without any test."""
    tested = [each for each in comparison.differences.values() if math.isfinite(each.p)]
    if not tested:
        return ""
    return _p(min(1.0, len(tested) * min(smallest_p(each.num_first, each.num_second) for each in tested)))


def _p(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.4f}"
