"""Parts of attribution figures: heatmaps of joints by time or phase, colour bars, stance bars and a common style."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from gait.arrays import true_runs
from gait.body.skeleton import HEAD_TO_FEET, Joint, display_name
from gait.kinematics.gait_events import SIDES, GaitEvents
from gait.kinematics.walking import Activity, activity_intervals
from gait.report.figure_style import FAINT, INK, MUTED, ignore_missing_glyphs
from gait.report.figure_style import STYLE as _STYLE
from gait.viewing.colours import FADING, HATCH, UNOBSERVED, Colour, DivergingScale, Scale
from gait.viewing.downsample import downsample_mean

FOR_HEALTHY, FOR_SICK = (
    "#" + bytes(end).hex() for end in DivergingScale(1.0).colours([-1.0, 1.0])
)  # colours of text and lines: the ends of the colour scale
SIDE_COLOURS = {"left": INK, "right": "#8a9097"}

STYLE: Any = {**_STYLE, "axes.titlesize": 11, "axes.titlelocation": "left", "font.size": 9.5}

_LETTER_WIDTH = 0.007  # of the axes, at the font size of activities

MAX_COLUMNS = 1500  # of a heatmap; more than its pixels
_GROUPS = (Joint.LEFT_COLLAR, Joint.SPINE3, Joint.LEFT_HIP)  # each starts a group, separated by a line


def draw_heatmap(
    axes: Axes,
    values: NDArray[np.floating],
    scale: Scale,
    span: tuple[float, float],
    counts: NDArray[np.bool_] | None = None,
    explainable: NDArray[np.bool_] | None = None,
) -> None:
    """Draw a heatmap of joints (rows, from head to feet) by time or phase (columns); unexplained cells are grey.

    ``values`` (X, 22) are at evenly spaced times or phases; ``span`` are the x coordinates of the left and right edge.
    Cells that do not count in ranks and means, by the mask ``counts`` (X, 22), are faded. Joints that are not observed
    or left out, outside of the mask ``explainable`` (X, 22), are hatched.
    """
    cells = downsample_mean(np.asarray(values, np.float64)[:, HEAD_TO_FEET], MAX_COLUMNS)
    extent = (*span, len(HEAD_TO_FEET) - 0.5, -0.5)
    axes.imshow(scale.colours(cells.T), aspect="auto", interpolation="nearest", extent=extent)
    if counts is not None:
        fading = FADING * downsample_mean((~counts & np.isfinite(values))[:, HEAD_TO_FEET].astype(float), MAX_COLUMNS)
        white = np.ones((*fading.T.shape, 4))
        white[..., 3] = fading.T
        axes.imshow(white, aspect="auto", interpolation="nearest", extent=extent)
    if explainable is not None:
        _hatch(axes, ~explainable[:, HEAD_TO_FEET], span)
    for joint in _GROUPS:
        axes.axhline(HEAD_TO_FEET.index(joint) - 0.5, color="white", linewidth=2.0)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(left=False)
    axes.set_ylim(len(HEAD_TO_FEET) - 0.5, -0.5)
    axes.set_xlim(*span)


def _hatch(axes: Axes, mask: NDArray[np.bool_], span: tuple[float, float]) -> None:
    """Hatch the cells of a mask (X, rows) of a heatmap."""
    width = (span[1] - span[0]) / len(mask)
    for row in range(mask.shape[1]):
        for run in true_runs(mask[:, row]):
            rectangle = Rectangle((span[0] + run.start * width, row - 0.5), (run.stop - run.start) * width, 1.0)
            rectangle.set(facecolor=_hex(UNOBSERVED), edgecolor=_hex(HATCH), hatch="/////", linewidth=0)
            axes.add_patch(rectangle)


def _hex(colour: Colour) -> str:
    return "#" + bytes(colour).hex()


def label_joints(axes: Axes, shown: bool = True, names: Sequence[str] | None = None) -> None:
    """Label the rows of a heatmap with the joints' names, or others (22,), or with nothing if not ``shown``."""
    labels = [display_name(joint) if names is None else names[joint] for joint in HEAD_TO_FEET]
    axes.set_yticks(range(len(HEAD_TO_FEET)), [label.capitalize() if shown else "" for label in labels])


def draw_colorbar(fig: Figure, rect: tuple[float, float, float, float], scale: Scale, signed: bool, unit: str) -> None:
    """Draw a colour bar with its unit and labels at its ends, which depend on whether the attribution is ``signed``.

    ``rect`` is left, bottom, width, height as fractions of the figure.
    """
    axes = fig.add_axes(rect)
    steps = np.linspace(scale.high, scale.low, 256)
    axes.imshow(scale.colours(steps)[:, None], aspect="auto", extent=(0, 1, scale.low, scale.high))
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.tick_params(labelsize=8.5)
    axes.set_ylabel(unit, color=MUTED, fontsize=8.5)
    axes.spines[:].set_visible(False)
    above, below = ("evidence\nfor sick", "evidence\nfor healthy") if signed else ("most\nattention", "no\nattention")
    axes.text(0.5, 1.03, above, transform=axes.transAxes, ha="center", color=FOR_SICK if signed else INK, fontsize=9)
    axes.text(
        0.5, -0.03, below, transform=axes.transAxes, ha="center", va="top",
        color=FOR_HEALTHY if signed else INK, fontsize=9,
    )  # fmt: skip


def figure_png(fig: Figure) -> bytes:
    """Return the figure as a PNG file; glyphs that the font lacks become boxes, without warnings."""
    file = io.BytesIO()
    with ignore_missing_glyphs():
        FigureCanvasAgg(fig).print_png(file)
    return file.getvalue()


def draw_marker_line(axes: Axes, x: float, style: Any = "-") -> None:
    """Draw a vertical line that is visible on light and dark colours."""
    axes.axvline(x, color="white", linewidth=2.4, alpha=0.7)
    axes.axvline(x, color=INK, linewidth=0.9, linestyle=style)


def draw_activity(axes: Axes, activity: NDArray[np.uint8] | None, rate_hz: float, *, named: bool) -> None:
    """Shade the times in which the subject does not walk on a time axis in seconds, with the name of what it does."""
    for interval in () if activity is None else activity_intervals(activity):
        if interval.activity != Activity.WALKING:
            left, right = interval.first / rate_hz, interval.end / rate_hz
            axes.axvspan(left, right, facecolor=FAINT, edgecolor="white", alpha=0.8, linewidth=0, zorder=0)
            noun = interval.activity.noun
            if named and (right - left) / np.ptp(axes.get_xlim()) > _LETTER_WIDTH * len(noun):
                name = axes.text(0.5 * (left + right), 0.75, noun, transform=axes.get_xaxis_transform())
                name.set(ha="center", va="center", fontsize=8, color=MUTED)


def draw_stance_bars(axes: Axes, events: GaitEvents, rate_hz: float, seconds: float) -> None:
    """Draw stance phases as bars from initial contact to foot off; a triangle is a contact without a foot off."""
    for row, side in enumerate(SIDES):
        contacts, foot_offs = events.initial_contacts[side], events.foot_offs[side]
        colour = SIDE_COLOURS[side]
        for contact in contacts:
            following_offs = foot_offs[foot_offs > contact]
            following_contacts = contacts[contacts > contact]
            if len(following_offs) and (not len(following_contacts) or following_offs[0] < following_contacts[0]):
                axes.barh(
                    row, (following_offs[0] - contact) / rate_hz, left=contact / rate_hz, height=0.62, color=colour
                )
            else:
                axes.plot(contact / rate_hz, row, marker=">", color=colour, markersize=6, clip_on=False)
    axes.set_ylim(1.5, -0.5)
    axes.set_xlim(0, seconds)
    axes.set_yticks(range(2), [f"{side.capitalize()} stance" for side in SIDES])
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.spines[["left", "bottom"]].set_visible(False)
