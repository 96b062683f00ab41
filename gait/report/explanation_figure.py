"""Figures of the attribution of a trial: over time, over the gait cycle, and on the body."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from gait.body.skeleton import HEAD_TO_FEET, Joint
from gait.explaining.attribution import TrialAttribution
from gait.kinematics.gait_cycle import PERCENT, GaitCycle, GaitPhase, average_gait_cycles, select_gait_phases
from gait.kinematics.gait_events import SIDES, GaitEvents, detect_gait_events
from gait.learning.metrics import THRESHOLD
from gait.motion.inputs import PUBLISHED
from gait.report.figure_style import FAINT, INK, MUTED
from gait.report.heatmaps import (
    FOR_HEALTHY,
    FOR_SICK,
    STYLE,
    draw_activity,
    draw_colorbar,
    draw_heatmap,
    draw_marker_line,
    draw_stance_bars,
    figure_png,
    label_joints,
)
from gait.text import format_probability
from gait.viewing.colours import Scale, attribution_scale

_INCHES = (17.0, 12.4)
_DPI = 100
_LEFT, _RIGHT = 0.108, 0.862  # of the time axis, as fractions of the page
_TOTALS = (0.870, 0.050)  # left and width of the bars of joint means
_BAR = (0.952, 0.011)
_BODIES = (0.535, 0.030, 0.445, 0.375)  # left, bottom, width, height
_NUM_LINES = 3  # below the title; one more is set more closely
_TAGS = "ABCD"
_TAG: Any = {
    **{"ha": "center", "va": "bottom", "fontsize": 9, "color": "white"},
    "bbox": {"boxstyle": "circle,pad=0.18", "facecolor": INK, "edgecolor": INK},
}
THOUSANDTHS = 1000
"""Figures show thousandths, of the logit or of the total attention."""


@dataclass(frozen=True, eq=False)
class PhaseRenders:
    """Image of a row of bodies, one per gait phase."""

    image: NDArray[np.uint8]  # (height, width, 3)
    columns: tuple[int, ...]  # centre of each body, in pixels


@dataclass(frozen=True, eq=False)
class AttributionFigureData:
    """Content of the figure of one trial and one method."""

    attribution: TrialAttribution
    joints_m: NDArray[np.floating]  # (T, 22, 3) of the same frames
    method_title: str

    @property
    def events(self) -> GaitEvents:
        """Initial contacts and foot offs; none of a foot that is not observed."""
        return detect_gait_events(self.joints_m, self.attribution.rate_hz, self.attribution.unobserved_positions)

    @cached_property
    def cycles(self) -> Mapping[str, GaitCycle]:
        """Mean gait cycle of each side."""
        return average_gait_cycles(*self.attribution.cycle_inputs(self.joints_m))

    @property
    def phases(self) -> tuple[GaitPhase, ...]:
        """Gait phases at which bodies are shown."""
        return select_gait_phases(*self.attribution.cycle_inputs(self.joints_m))

    @property
    def values(self) -> NDArray[np.float64]:
        """Attribution (T, 22) in thousandths."""
        return np.asarray(self.attribution.values, np.float64) * THOUSANDTHS

    @property
    def scale(self) -> Scale:
        """Colour scale in thousandths; values near the ends of the trial may exceed it."""
        return attribution_scale([self.values[self.attribution.well_covered]], self.attribution.signed)

    @property
    def unit(self) -> str:
        """Unit of the colour scale."""
        return f"{'logit' if self.attribution.signed else 'attention'} × {THOUSANDTHS}, per joint and frame"


def body_row_size() -> tuple[int, int]:
    """Return width and height in pixels of the row of bodies on the page."""
    return round(_BODIES[2] * _INCHES[0] * _DPI), round(_BODIES[3] * _INCHES[1] * _DPI)


def draw_explanation_figure(
    data: AttributionFigureData, title: str, lines: Sequence[str], bodies: PhaseRenders | None, no_bodies: str = ""
) -> bytes:
    """Draw the figure of one trial and one method, with lines below its title, as a PNG file.

    ``bodies`` are rendered at ``data.phases``, of ``body_row_size``; if None, the reason ``no_bodies`` is shown.
    """
    attribution, phases, scale = data.attribution, data.phases, data.scale
    with rc_context(STYLE):
        fig = Figure(figsize=_INCHES, dpi=_DPI, facecolor="white")
        _draw_title(fig, title, lines)
        width = _RIGHT - _LEFT
        seconds = len(attribution.values) / attribution.rate_hz

        probability_axes = fig.add_axes((_LEFT, 0.784, width, 0.071))
        _draw_probability(probability_axes, attribution, seconds, pad_points=20.0)  # leaves space for the phase markers
        stance_axes = fig.add_axes((_LEFT, 0.748, width, 0.028))
        draw_stance_bars(stance_axes, data.events, attribution.rate_hz, seconds)
        heat_axes = fig.add_axes((_LEFT, 0.474, width, 0.268))
        draw_heatmap(heat_axes, data.values, scale, (0.0, seconds), attribution.counts, attribution.explainable)
        draw_activity(probability_axes, attribution.activity, attribution.rate_hz, named=True)
        draw_activity(stance_axes, attribution.activity, attribution.rate_hz, named=False)
        label_joints(heat_axes, names=attribution.part_names)
        heat_axes.set_xlabel("time (s)")
        _draw_phase_markers((probability_axes, stance_axes, heat_axes), phases, attribution.rate_hz)
        mean_axes = fig.add_axes((_TOTALS[0], 0.474, _TOTALS[1], 0.268))
        _draw_mean_bars(mean_axes, data.values, attribution.counts, attribution.signed)
        draw_colorbar(fig, (_BAR[0], 0.510, _BAR[1], 0.196), scale, attribution.signed, data.unit)

        for k, side in enumerate(SIDES):
            _draw_cycle(fig, _LEFT + k * 0.205, data, side, names=k == 0)
        _draw_bodies(fig, bodies, no_bodies, phases, attribution.rate_hz)
        return figure_png(fig)


def draw_methods_figure(per_method: Sequence[AttributionFigureData], title: str, lines: Sequence[str]) -> bytes:
    """Draw all methods of one trial and network, one row per method with its own scale, as a PNG file."""
    first = per_method[0].attribution
    seconds = len(first.values) / first.rate_hz
    row_inches, top_inches = 3.7, 3.0
    height = top_inches + row_inches * len(per_method) + 0.35
    with rc_context(STYLE):
        fig = Figure(figsize=(_INCHES[0], height), dpi=_DPI, facecolor="white")
        _draw_title(fig, title, lines, num_lines=2)

        def box(left: float, top: float, width: float, tall: float) -> tuple[float, float, float, float]:
            """Convert inches from the top (and fractions of the width) to matplotlib coordinates."""
            return left, 1 - (top + tall) / height, width, tall / height

        width = 0.46
        probability_axes = fig.add_axes(box(_LEFT, 1.45, width, 0.8))
        _draw_probability(probability_axes, first, seconds)
        draw_activity(probability_axes, first.activity, first.rate_hz, named=True)
        stance_axes = fig.add_axes(box(_LEFT, 2.36, width, 0.34))
        draw_stance_bars(stance_axes, per_method[0].events, first.rate_hz, seconds)
        for k, data in enumerate(per_method):
            attribution, scale = data.attribution, data.scale
            top = top_inches + row_inches * k
            heat_axes = fig.add_axes(box(_LEFT, top + 0.3, width, row_inches - 0.85))
            draw_heatmap(heat_axes, data.values, scale, (0.0, seconds), attribution.counts, attribution.explainable)
            label_joints(heat_axes, names=attribution.part_names)
            heat_axes.set_title(
                ": ".join(filter(None, [data.method_title, unattributed_note(attribution)])), fontweight="bold"
            )
            for j, side in enumerate(SIDES):
                cycle = data.cycles[side]
                axes = fig.add_axes(box(_LEFT + width + 0.015 + j * 0.155, top + 0.3, 0.145, row_inches - 0.85))
                _draw_cycle_heatmap(axes, data, side)
                axes.set_title(f"{side.capitalize()} cycle, mean of {cycle.num_cycles}", fontsize=9.5)
                if k == len(per_method) - 1:
                    axes.set_xlabel(f"% of the {side} cycle")
            if k == len(per_method) - 1:
                heat_axes.set_xlabel("time (s)")
            draw_colorbar(
                fig,
                box(_BAR[0] - 0.035, top + 0.5, _BAR[1], row_inches - 1.25),
                scale,
                attribution.signed,
                data.unit,
            )
        return figure_png(fig)


def prediction_text(probability: float) -> str:
    """Return the prediction of the network as text."""
    label = "sick" if probability >= THRESHOLD else "healthy"
    return f"predicted {label}, P(sick) {format_probability(probability)}"


def unattributed_note(attribution: TrialAttribution) -> str:
    """Return the percentage of the logit attributed to no joint, or nothing if the method does not define it."""
    if math.isnan(attribution.unattributed):
        return ""
    source = "biases and class tokens"
    if (baseline := attribution.settings.get("baseline")) is not None:
        source = str(baseline) if attribution.input != PUBLISHED else "mean training window"
    return f"{100 * attribution.unattributed:.0f} % of the logit unattributed ({source})"


def _draw_title(fig: Figure, title: str, lines: Sequence[str], num_lines: int = _NUM_LINES) -> None:
    """Draw the title and lines below it; more than ``num_lines`` are set more closely."""
    inches = fig.get_size_inches()[1]
    fig.text(0.02, 1 - 0.28 / inches, title, fontsize=19, fontweight="bold", va="top")
    top, step = (0.72, 0.23) if len(lines) <= num_lines else (0.61, 0.20)
    for k, line in enumerate(lines):
        fig.text(0.02, 1 - (top + step * k) / inches, line, fontsize=11, color=INK if k == 0 else MUTED, va="top")


def _draw_probability(axes: Axes, attribution: TrialAttribution, seconds: float, pad_points: float = 6.0) -> None:
    probability = np.asarray(attribution.probability, np.float64)
    times = (np.arange(len(probability)) + 0.5) / attribution.rate_hz
    axes.axhline(THRESHOLD, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    for above, colour in ((True, FOR_SICK), (False, FOR_HEALTHY)):
        where = (probability >= THRESHOLD) == above
        axes.fill_between(times, THRESHOLD, probability, where=where, color=colour, alpha=0.25, linewidth=0)
    axes.plot(times, probability, color=INK, linewidth=1.6)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(0, seconds)
    axes.set_yticks([0, THRESHOLD, 1], ["0, healthy", f"{THRESHOLD:g}", "1, sick"])
    axes.tick_params(labelbottom=False)
    axes.set_title("P(sick): mean over the windows that contain the frame", fontsize=9.5, pad=pad_points)


def _draw_phase_markers(stack: Sequence[Axes], phases: Sequence[GaitPhase], rate_hz: float) -> None:
    for letter, phase in zip(_TAGS, phases, strict=False):
        x = (phase.frame + 0.5) / rate_hz
        for axes in stack:
            draw_marker_line(axes, x, (0, (2, 2)))
        stack[0].text(x, 1.06, letter, transform=stack[0].get_xaxis_transform(), **_TAG)


def _draw_mean_bars(axes: Axes, values: NDArray[np.floating], counts: NDArray[np.bool_], signed: bool) -> None:
    """Draw the mean over time of each joint's values that count, positive and negative values separately."""
    rows = np.arange(len(HEAD_TO_FEET))
    counted, number = np.where(counts, values, 0)[:, HEAD_TO_FEET], np.maximum(counts[:, HEAD_TO_FEET].sum(axis=0), 1)
    axes.barh(rows, np.maximum(counted, 0).sum(axis=0) / number, height=0.7, color=FOR_SICK if signed else MUTED)
    axes.barh(rows, np.minimum(counted, 0).sum(axis=0) / number, height=0.7, color=FOR_HEALTHY)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, prune="both"))
    axes.spines["left"].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.set_title("mean", fontsize=9.5, loc="center")


def _draw_cycle(fig: Figure, left: float, data: AttributionFigureData, side: str, names: bool) -> None:
    """Draw the joint angles of one side above the heatmap over its gait cycle."""
    cycle, width = data.cycles[side], 0.19
    angle_axes = fig.add_axes((left, 0.325, width, 0.080))
    for name, angle_deg, style in (
        ("knee", cycle.knee_deg, "-"), ("hip", cycle.hip_deg, (0, (5, 2))), ("ankle", cycle.ankle_deg, (0, (1, 1.2))),
    ):  # fmt: skip
        angle_axes.plot(PERCENT, angle_deg, color=INK, linewidth=1.4, linestyle=style, label=name)
    angle_axes.set_xlim(0, 100)
    angle_axes.set_ylim(-38, 108)
    angle_axes.axhline(0, color=FAINT, linewidth=0.8)
    angle_axes.set_yticks([0, 40, 80], ["0°", "40°", "80°"] if names else [""] * 3)
    angle_axes.tick_params(labelbottom=False)
    ankle_observed = Joint[f"{side.upper()}_ANKLE"] not in data.attribution.unobserved_positions
    few = {0: "no complete stride" if ankle_observed else "ankle not observed", 1: "one stride"}
    strides = few.get(cycle.num_cycles, f"mean of {cycle.num_cycles} strides")
    angle_axes.set_title(f"{cycle.side.capitalize()} gait cycle: {strides}", fontweight="bold")
    if names:
        angle_axes.set_ylabel("flexion")
    angle_axes.legend(loc="upper left", ncols=3, fontsize=8, handlelength=1.8, columnspacing=1.0, borderaxespad=0.1)
    axes = fig.add_axes((left, 0.052, width, 0.266))
    _draw_cycle_heatmap(axes, data, side)
    label_joints(axes, shown=names, names=data.attribution.part_names)
    axes.set_xlabel(f"% of the {cycle.side} gait cycle")
    events: tuple[tuple[float, str, Any], ...] = (
        (cycle.contralateral_contact_percent, "opposite contact", (0, (2, 2))),
        (cycle.foot_off_percent, "foot off", "-"),
    )
    known = sorted((event for event in events if not math.isnan(event[0])), key=lambda event: event[:2])
    for (x, event_name, line), (alignment, gap) in zip(known, (("right", -1.2), ("left", 1.2)), strict=False):
        for other in (angle_axes, axes):
            draw_marker_line(other, x, line)
        angle_axes.text(x + gap, -36, event_name, ha=alignment, va="bottom", fontsize=7.5, color=MUTED)


def _draw_cycle_heatmap(axes: Axes, data: AttributionFigureData, side: str) -> None:
    explainable = np.tile(data.attribution.explainable.any(axis=0), (len(PERCENT), 1))
    draw_heatmap(axes, data.cycles[side].values * THOUSANDTHS, data.scale, (0.0, 100.0), explainable=explainable)
    axes.set_yticks([])
    axes.set_xticks([0, 25, 50, 75])


def _draw_bodies(
    fig: Figure, bodies: PhaseRenders | None, no_bodies: str, phases: Sequence[GaitPhase], rate_hz: float
) -> None:
    axes = fig.add_axes(_BODIES)
    axes.axis("off")
    if bodies is None:
        axes.text(0.5, 0.5, textwrap.fill(no_bodies, 70), ha="center", va="center", color=MUTED, fontsize=11)
        return
    height, width = bodies.image.shape[:2]
    axes.imshow(bodies.image, aspect="auto", extent=(0, width, height, 0))
    for letter, phase, column in zip(_TAGS, phases, bodies.columns, strict=False):
        axes.text(column, -4, letter, **_TAG)
        caption = f"{phase.name}\n{phase.frame / rate_hz:.2f} s" if phase.name else f"{phase.frame / rate_hz:.2f} s"
        axes.text(column, height - 4, caption, ha="center", va="top", fontsize=10)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
