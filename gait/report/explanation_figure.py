"""The picture of an explanation: when and where something spoke for sick, in time, in the gait cycle, on the body."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from gait.body.skeleton import HEAD_TO_FEET
from gait.explaining.attribution import TrialAttribution
from gait.kinematics.gait_cycle import PERCENT, GaitCycle, Phase, four_phases, gait_cycles
from gait.kinematics.gait_events import SIDES, GaitEvents, gait_events
from gait.learning.metrics import THRESHOLD
from gait.report.heatmaps import (
    FAINT,
    FOR_HEALTHY,
    FOR_SICK,
    INK,
    MUTED,
    STYLE,
    draw_contacts,
    draw_map,
    draw_scale,
    mark,
    name_joints,
    page_png,
)
from gait.viewing.colours import Scale, importance_scale

_INCHES = (17.0, 12.4)
_DPI = 100
_LEFT, _RIGHT = 0.108, 0.862  # of the time axis, in shares of the page
_TOTALS = (0.870, 0.050)  # left and width of the joints' means
_BAR = (0.952, 0.011)
_BODIES = (0.535, 0.030, 0.445, 0.375)  # left, bottom, width, height
_TAGS = "ABCD"
UNIT_PARTS = 1000
"""Numbers are in thousandths: of the score, which is a logit, or of all attention."""


@dataclass(frozen=True, eq=False)
class PhaseRenders:
    """A drawn row of bodies, one for each of the four phases."""

    picture: NDArray[np.uint8]  # (height, width, 3)
    columns: tuple[int, ...]  # of each body's middle


@dataclass(frozen=True, eq=False)
class AttributionFigureData:
    """What a picture shows of one recording and method."""

    importance: TrialAttribution
    joints_m: NDArray[np.floating]  # (T, 22, 3) of the same frames
    method_title: str  # in words

    @property
    def events(self) -> GaitEvents:
        """When the feet meet the floor and leave it."""
        return gait_events(self.joints_m, self.importance.rate_hz)

    @property
    def cycles(self) -> Mapping[str, GaitCycle]:
        """The mean cycle of either foot."""
        return gait_cycles(self.importance.values, self.joints_m, self.importance.rate_hz)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The moments whose bodies are drawn."""
        return four_phases(self.importance.values, self.joints_m, self.importance.rate_hz)

    @property
    def values(self) -> NDArray[np.float64]:
        """(T, 22) importance in thousandths."""
        return np.asarray(self.importance.values, np.float64) * UNIT_PARTS

    @property
    def scale(self) -> Scale:
        """Of thousandths; the recording's ends may go beyond it."""
        return importance_scale([self.values[self.importance.well_covered]], self.importance.signed)

    @property
    def unit(self) -> str:
        """What a number on the scale is."""
        return f"1/{UNIT_PARTS} of the {'score' if self.importance.signed else 'attention'}, a joint and frame"


def bodies_size() -> tuple[int, int]:
    """Width and height in pixels of the row of bodies that the page has room for."""
    return round(_BODIES[2] * _INCHES[0] * _DPI), round(_BODIES[3] * _INCHES[1] * _DPI)


def explanation_picture(
    recording: AttributionFigureData, title: str, lines: Sequence[str], bodies: PhaseRenders | None, no_bodies: str = ""
) -> bytes:
    """One page, as PNG.

    Args:
        recording: what is shown.
        title: its name.
        lines: beneath the title.
        bodies: at ``recording.phases``, of ``bodies_size``; None where they cannot be drawn.
        no_bodies: the line why.
    """
    importance, phases, scale = recording.importance, recording.phases, recording.scale
    with rc_context(STYLE):
        figure = Figure(figsize=_INCHES, dpi=_DPI, facecolor="white")
        _draw_title(figure, title, lines)
        width = _RIGHT - _LEFT
        seconds = len(importance.values) / importance.rate_hz

        course = figure.add_axes((_LEFT, 0.784, width, 0.071))
        _draw_probability(course, importance, seconds, pad_points=20.0)  # above the marks of the phases
        contacts = figure.add_axes((_LEFT, 0.748, width, 0.028))
        draw_contacts(contacts, recording.events, importance.rate_hz, seconds)
        heat = figure.add_axes((_LEFT, 0.474, width, 0.268))
        draw_map(heat, recording.values, scale, (0.0, seconds))
        name_joints(heat)
        heat.set_xlabel("time in seconds")
        _mark_phases((course, contacts, heat), phases, importance.rate_hz)
        totals = figure.add_axes((_TOTALS[0], 0.474, _TOTALS[1], 0.268))
        _draw_means(totals, recording.values, importance.signed)
        draw_scale(figure, (_BAR[0], 0.510, _BAR[1], 0.196), scale, importance.signed, recording.unit)

        for k, side in enumerate(SIDES):
            _draw_cycle(figure, _LEFT + k * 0.205, recording.cycles[side], scale, names=k == 0)
        _draw_bodies(figure, bodies, no_bodies, phases, importance.rate_hz)
        return page_png(figure)


def methods_picture(recordings: Sequence[AttributionFigureData], title: str, lines: Sequence[str]) -> bytes:
    """All methods of one recording and network under one another, each with its own scale and cycles, as PNG.

    Args:
        recordings: the same one by different methods.
        title: its name.
        lines: beneath the title.
    """
    first = recordings[0].importance
    seconds = len(first.values) / first.rate_hz
    row_inches, top_inches = 3.7, 3.0
    height = top_inches + row_inches * len(recordings) + 0.35
    with rc_context(STYLE):
        figure = Figure(figsize=(_INCHES[0], height), dpi=_DPI, facecolor="white")
        _draw_title(figure, title, lines)

        def box(left: float, top: float, width: float, tall: float) -> tuple[float, float, float, float]:
            """Inches from the top, and shares of the width, as matplotlib wants them."""
            return left, 1 - (top + tall) / height, width, tall / height

        width = 0.46
        _draw_probability(figure.add_axes(box(_LEFT, 1.45, width, 0.8)), first, seconds)
        contacts = figure.add_axes(box(_LEFT, 2.36, width, 0.34))
        draw_contacts(contacts, recordings[0].events, first.rate_hz, seconds)
        for k, recording in enumerate(recordings):
            importance, scale = recording.importance, recording.scale
            top = top_inches + row_inches * k
            heat = figure.add_axes(box(_LEFT, top + 0.3, width, row_inches - 0.85))
            draw_map(heat, recording.values, scale, (0.0, seconds))
            name_joints(heat)
            heat.set_title(f"{recording.method_title}{_absorbed(importance)}", fontweight="bold")
            for j, side in enumerate(SIDES):
                cycle = recording.cycles[side]
                axes = figure.add_axes(box(_LEFT + width + 0.015 + j * 0.155, top + 0.3, 0.145, row_inches - 0.85))
                _draw_cycle_map(axes, cycle, scale)
                axes.set_title(f"{side.capitalize()} cycle, mean of {cycle.cycles}", fontsize=9.5)
                if k == len(recordings) - 1:
                    axes.set_xlabel(f"% of the {side} cycle")
            if k == len(recordings) - 1:
                heat.set_xlabel("time in seconds")
            draw_scale(
                figure,
                box(_BAR[0] - 0.035, top + 0.5, _BAR[1], row_inches - 1.25),
                scale,
                importance.signed,
                recording.unit,
            )
        return page_png(figure)


def verdict(probability: float) -> str:
    """The network's judgement in words."""
    called = "sick" if probability >= THRESHOLD else "healthy"
    return f"the network says {called}, probability of sick {probability:.2f}"


def outside(importance: TrialAttribution) -> str:
    """How much of the decision no map can show; the empty text of a method that does not say."""
    if math.isnan(importance.absorbed):
        return ""
    whose = "mean window" if "baseline" in importance.settings else "biases, tokens"
    return f"{100 * importance.absorbed:.0f} % of the decision in no joint ({whose})"


def _absorbed(importance: TrialAttribution) -> str:
    if math.isnan(importance.absorbed):
        return ""
    return f": {outside(importance)}"


def _draw_title(figure: Figure, title: str, lines: Sequence[str]) -> None:
    inches = figure.get_size_inches()[1]
    figure.text(0.02, 1 - 0.28 / inches, title, fontsize=19, fontweight="bold", va="top")
    for k, line in enumerate(lines):
        figure.text(0.02, 1 - (0.72 + 0.23 * k) / inches, line, fontsize=11, color=INK if k == 0 else MUTED, va="top")


def _draw_probability(axes: Axes, importance: TrialAttribution, seconds: float, pad_points: float = 6.0) -> None:
    probability = np.asarray(importance.probability, np.float64)
    moments = (np.arange(len(probability)) + 0.5) / importance.rate_hz
    axes.axhline(THRESHOLD, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    for above, colour in ((True, FOR_SICK), (False, FOR_HEALTHY)):
        where = (probability >= THRESHOLD) == above
        axes.fill_between(moments, THRESHOLD, probability, where=where, color=colour, alpha=0.25, linewidth=0)
    axes.plot(moments, probability, color=INK, linewidth=1.6)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(0, seconds)
    axes.set_yticks([0, THRESHOLD, 1], ["0, healthy", f"{THRESHOLD:g}", "1, sick"])
    axes.tick_params(labelbottom=False)
    axes.set_title("Probability of sick: mean of the windows that hold each moment", fontsize=9.5, pad=pad_points)


def _mark_phases(stack: Sequence[Axes], phases: Sequence[Phase], rate_hz: float) -> None:
    for tag, phase in zip(_TAGS, phases, strict=False):
        at = (phase.frame + 0.5) / rate_hz
        for axes in stack:
            mark(axes, at, (0, (2, 2)))
        stack[0].text(
            at, 1.06, tag, transform=stack[0].get_xaxis_transform(), ha="center", va="bottom", fontsize=9,
            color="white", bbox={"boxstyle": "circle,pad=0.18", "facecolor": INK, "edgecolor": INK},
        )  # fmt: skip


def _draw_means(axes: Axes, values: NDArray[np.floating], signed: bool) -> None:
    """Beside the map: each joint's mean over time, for sick and for healthy apart."""
    explained = values[np.isfinite(values).all(axis=1)][:, HEAD_TO_FEET]
    rows = np.arange(len(HEAD_TO_FEET))
    if len(explained):
        axes.barh(rows, np.maximum(explained, 0).mean(axis=0), height=0.7, color=FOR_SICK if signed else MUTED)
        axes.barh(rows, np.minimum(explained, 0).mean(axis=0), height=0.7, color=FOR_HEALTHY)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, prune="both"))
    axes.spines["left"].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.set_title("mean", fontsize=9.5, loc="center")


def _draw_cycle(figure: Figure, left: float, cycle: GaitCycle, scale: Scale, names: bool) -> None:
    """The joints' motion of one side above the map over its cycle."""
    width = 0.19
    bends = figure.add_axes((left, 0.325, width, 0.080))
    for name, course, style in (
        ("knee", cycle.knee_deg, "-"), ("hip", cycle.hip_deg, (0, (5, 2))), ("ankle", cycle.ankle_deg, (0, (1, 1.2))),
    ):  # fmt: skip
        bends.plot(PERCENT, course, color=INK, linewidth=1.4, linestyle=style, label=name)
    bends.set_xlim(0, 100)
    bends.set_ylim(-38, 108)
    bends.axhline(0, color=FAINT, linewidth=0.8)
    bends.set_yticks([0, 40, 80], ["0°", "40°", "80°"] if names else [""] * 3)
    bends.tick_params(labelbottom=False)
    strides = (
        f"mean of {cycle.cycles} strides" if cycle.cycles > 1 else "one stride" if cycle.cycles else "none is whole"
    )
    bends.set_title(f"{cycle.side.capitalize()} gait cycle: {strides}", fontweight="bold")
    if names:
        bends.set_ylabel("flexion")
    bends.legend(loc="upper left", ncols=3, fontsize=8, handlelength=1.8, columnspacing=1.0, borderaxespad=0.1)
    axes = figure.add_axes((left, 0.052, width, 0.266))
    _draw_cycle_map(axes, cycle, scale)
    name_joints(axes, shown=names)
    axes.set_xlabel(f"% of the {cycle.side} cycle, from strike to strike")
    for other in (bends, axes):
        _mark_cycle(other, cycle)
    named = [(cycle.other_strike_percent, "other foot strikes"), (cycle.toe_off_percent, "leaves")]
    for (at, words), beside in zip(
        sorted(one for one in named if not math.isnan(one[0])), ("right", "left"), strict=False
    ):
        bends.text(
            at + (1.2 if beside == "left" else -1.2), -36, words, ha=beside, va="bottom", fontsize=7.5, color=MUTED
        )


def _draw_cycle_map(axes: Axes, cycle: GaitCycle, scale: Scale) -> None:
    draw_map(axes, cycle.importance * UNIT_PARTS, scale, (0.0, 100.0))
    axes.set_yticks([])
    axes.set_xticks([0, 25, 50, 75])


def _mark_cycle(axes: Axes, cycle: GaitCycle) -> None:
    for at, style in ((cycle.toe_off_percent, "-"), (cycle.other_strike_percent, (0, (2, 2)))):
        if not math.isnan(at):
            mark(axes, at, style)


def _draw_bodies(
    figure: Figure, bodies: PhaseRenders | None, no_bodies: str, phases: Sequence[Phase], rate_hz: float
) -> None:
    axes = figure.add_axes(_BODIES)
    axes.axis("off")
    if bodies is None:
        axes.text(0.5, 0.5, textwrap.fill(no_bodies, 70), ha="center", va="center", color=MUTED, fontsize=11)
        return
    height, width = bodies.picture.shape[:2]
    axes.imshow(bodies.picture, aspect="auto", extent=(0, width, height, 0))
    for tag, phase, column in zip(_TAGS, phases, bodies.columns, strict=False):
        axes.text(
            column, -4, tag, ha="center", va="bottom", fontsize=9, color="white",
            bbox={"boxstyle": "circle,pad=0.18", "facecolor": INK, "edgecolor": INK},
        )  # fmt: skip
        caption = f"{phase.name}\n{phase.frame / rate_hz:.2f} s" if phase.name else f"{phase.frame / rate_hz:.2f} s"
        axes.text(column, height - 4, caption, ha="center", va="top", fontsize=10)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
