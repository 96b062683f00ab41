"""The picture of a cohort's explanations: groups, typical persons, and who was doubtful or judged wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gait.explaining.group_attribution import GroupComparison, SubjectAttribution
from gait.learning.metrics import THRESHOLD
from gait.report.heatmaps import (
    FOR_HEALTHY,
    FOR_SICK,
    INK,
    MUTED,
    STYLE,
    draw_map,
    draw_scale,
    name_joints,
    page_png,
)
from gait.report.training.display_names import shortened
from gait.viewing.colours import Scale, importance_scale

_INCHES = (17.0, 11.6)
_DPI = 100
_LEFT, _STEP, _WIDTH = 0.104, 0.166, 0.156
_ROWS = (0.502, 0.060)  # bottoms
_HEIGHT = 0.338
_MOST_NAMES = 12
_LONGEST_NAME = 22
_TITLES = {
    "healthy": "Healthy persons",
    "sick": "Sick persons",
    "right": "Right decisions",
    "wrong": "Wrong decisions",
}
_UNIT = "times the network's usual importance"


def cohort_picture(view: GroupComparison, signed: bool, title: str, lines: Sequence[str]) -> bytes:
    """One page, as PNG.

    Args:
        view: what is shown.
        signed: whether the method tells what speaks for sick from what speaks for healthy.
        title: the large line.
        lines: beneath it.
    """
    groups = [group.importance for group in view.groups.values()]
    scale = importance_scale(groups, signed)
    with rc_context(STYLE):
        figure = Figure(figsize=_INCHES, dpi=_DPI, facecolor="white")
        figure.text(0.02, 0.976, title, fontsize=19, fontweight="bold", va="top")
        for k, line in enumerate(lines):
            place = 0.938 - 0.020 * k
            figure.text(0.02, place, line, fontsize=11, color=INK if k == 0 else MUTED, va="top")

        def panel(row: int, column: float) -> Axes:
            return figure.add_axes((_LEFT + column * _STEP, _ROWS[row], _WIDTH, _HEIGHT))

        def heat(
            axes: Axes, importance: NDArray[np.float64], heading: str, below: str, names: bool, own: Scale = scale
        ) -> None:
            draw_map(axes, importance, own, (0.0, 100.0))
            name_joints(axes, shown=names)
            axes.set_xticks([0, 25, 50, 75])
            axes.set_title(f"{heading}\n", fontweight="bold")
            axes.text(0, 1.012, below, transform=axes.transAxes, fontsize=9.5, color=MUTED, va="bottom")

        for column, group in enumerate(_TITLES):
            axes = panel(0, column)
            if group in view.groups:
                own = view.groups[group]
                count = len(own.persons)
                heat(axes, own.importance, _TITLES[group], f"mean of {count} {_persons(count)}", column == 0)
            else:
                axes.axis("off")
                axes.text(0.5, 0.5, f"{_TITLES[group]}:\nnone", ha="center", va="center", color=MUTED, fontsize=11)
        if "healthy" in view.groups and "sick" in view.groups:
            gap = view.groups["sick"].importance - view.groups["healthy"].importance
            own_scale = importance_scale([gap], signed=True)
            heat(
                panel(0, 4),
                gap,
                "Sick less healthy",
                f"orange: more for sick; to ±{own_scale.high:.2g}",
                False,
                own_scale,
            )
        chosen = [("Most typical healthy one", view.typical.get("healthy"))]
        chosen += [("Most typical sick one", view.typical.get("sick"))]
        chosen += [("Most doubtful one", view.doubtful)]
        for column, (heading, person) in enumerate(chosen):
            axes = panel(1, column)
            if person is None:
                axes.axis("off")
                axes.text(0.5, 0.5, f"{heading}:\nnone", ha="center", va="center", color=MUTED, fontsize=11)
            else:
                heat(axes, person.importance, heading, _about(person), column == 0)
                axes.set_xlabel("% of the gait cycle")
        everybody = panel(1, 3.25)
        everybody.set_position((_LEFT + 3.25 * _STEP, _ROWS[1], 1.7 * _STEP, _HEIGHT))
        _draw_persons(everybody, view.persons)
        draw_scale(figure, (0.958, _ROWS[0] + 0.04, 0.011, _HEIGHT - 0.08), scale, signed, _UNIT)
        return page_png(figure)


def _persons(count: int) -> str:
    return "person" if count == 1 else "persons"


def _about(person: SubjectAttribution) -> str:
    name = shortened(person.person.partition("/")[2], _LONGEST_NAME)
    return f"{name}, probability {person.probability:.2f}"


def _draw_persons(axes: Axes, persons: Sequence[SubjectAttribution]) -> None:
    """Everybody's probability; who was judged wrong by name."""
    axes.plot([THRESHOLD] * 2, [-0.5, 1.5], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    for row, (sick, colour) in enumerate(((False, FOR_HEALTHY), (True, FOR_SICK))):
        own = sorted((one for one in persons if one.sick == sick), key=lambda one: one.person)
        spread = np.linspace(-0.28, 0.28, len(own)) if len(own) > 1 else np.zeros(1)
        for place, one in zip(spread, own, strict=False):
            axes.plot(
                one.probability, row + place, "o", markersize=5.5, markeredgecolor=colour,
                markerfacecolor=colour if one.right else "white", clip_on=False,
            )  # fmt: skip
    wrong = [f"{shortened(one.person, _LONGEST_NAME + 8)}, {one.probability:.2f}" for one in persons if not one.right]
    more = len(wrong) - _MOST_NAMES
    listed = wrong[:_MOST_NAMES] + ([f"and {more} more"] if more > 0 else [])
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(3.4, -0.6)
    axes.set_yticks([0, 1], ["healthy", "sick"])
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    axes.set_xlabel("probability of sick; hollow: judged wrong")
    axes.set_title("Everybody\n", fontweight="bold")
    said = "judged wrong:\n" + "\n".join(listed) if listed else "nobody was judged wrong"
    axes.text(0.0, 1.62, said, fontsize=9, va="top", color=INK)
