"""Pieces of every picture of importance: its colours and unit, maps of joints by time or phase, feet on the floor."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gait.body.skeleton import HEAD_TO_FEET, Joint, plain_name
from gait.kinematics.gait_events import SIDES, GaitEvents
from gait.viewing.colours import DivergingScale, Scale
from gait.viewing.downsample import in_columns

Vector = NDArray[np.float64]

INK, MUTED, FAINT = "#26292e", "#6b727a", "#d8dbdf"
FOR_HEALTHY, FOR_SICK = (
    "#" + bytes(end).hex() for end in DivergingScale(1.0).colours([-1.0, 1.0])
)  # words and lines, as the ends of the scale
SIDE_COLOURS = {"left": "#1c2127", "right": "#8a9097"}

STYLE: Any = {
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,  # a name may hold dollar signs
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
}

_MOST_COLUMNS = 1500  # of a map: more than its pixels
_GROUPS = (Joint.LEFT_COLLAR, Joint.SPINE3, Joint.LEFT_HIP)  # what begins with each is set off by a line


def draw_map(axes: Axes, values: NDArray[np.floating], scale: Scale, span: tuple[float, float]) -> None:
    """Joints from head to feet by time or phase; grey where nothing is explained.

    Args:
        axes: to draw on.
        values: (X, 22) evenly spaced.
        scale: of them.
        span: what the first and the last one's outer edges are along the x axis.
    """
    cells = in_columns(np.asarray(values, np.float64)[:, HEAD_TO_FEET], _MOST_COLUMNS)
    picture = scale.colours(cells.T)
    axes.imshow(
        picture,
        aspect="auto",
        interpolation="nearest",
        extent=(*span, len(HEAD_TO_FEET) - 0.5, -0.5),
    )
    for joint in _GROUPS:
        axes.axhline(HEAD_TO_FEET.index(joint) - 0.5, color="white", linewidth=2.0)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(left=False)
    axes.set_ylim(len(HEAD_TO_FEET) - 0.5, -0.5)
    axes.set_xlim(*span)


def name_joints(axes: Axes, shown: bool = True) -> None:
    """Plain names at the rows of a map."""
    axes.set_yticks(range(len(HEAD_TO_FEET)), [plain_name(j).capitalize() if shown else "" for j in HEAD_TO_FEET])


def draw_scale(figure: Figure, place: tuple[float, float, float, float], scale: Scale, signed: bool, unit: str) -> None:
    """A colour bar with its unit, words at its ends, and the grey of what is not explained.

    Args:
        figure: to draw on.
        place: left, bottom, width, height in shares of the figure.
        scale: as of the maps.
        signed: whether it has two directions.
        unit: of its numbers.
    """
    left, bottom, width, height = place
    axes = figure.add_axes((left, bottom, width, height))
    steps = np.linspace(scale.high, scale.low, 256)
    axes.imshow(scale.colours(steps)[:, None], aspect="auto", extent=(0, 1, scale.low, scale.high))
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.tick_params(labelsize=8.5)
    axes.set_ylabel(unit, color=MUTED, fontsize=8.5)
    for name in ("top", "right", "left", "bottom"):
        axes.spines[name].set_visible(False)
    above, below = ("speaks for\nsick", "speaks for\nhealthy") if signed else ("looked at\nmost", "not\nlooked at")
    axes.text(0.5, 1.03, above, transform=axes.transAxes, ha="center", color=FOR_SICK if signed else INK, fontsize=9)
    axes.text(
        0.5, -0.03, below, transform=axes.transAxes, ha="center", va="top",
        color=FOR_HEALTHY if signed else INK, fontsize=9,
    )  # fmt: skip


def page_png(figure: Figure) -> bytes:
    """The figure as a PNG file. Letters that the font lacks become boxes, without a warning each."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()


def mark(axes: Axes, at: float, style: Any = "-") -> None:
    """A line across a map or a course, seen on light and on dark."""
    axes.axvline(at, color="white", linewidth=2.4, alpha=0.7)
    axes.axvline(at, color=INK, linewidth=0.9, linestyle=style)


def draw_contacts(axes: Axes, events: GaitEvents, rate_hz: float, seconds: float) -> None:
    """When either foot is on the floor, as bars from strike to off; a triangle is a strike that lacks its off."""
    for row, side in enumerate(SIDES):
        strikes, offs = events.heel_strikes[side], events.toe_offs[side]
        colour = SIDE_COLOURS[side]
        for strike in strikes:
            later = offs[offs > strike]
            nexts = strikes[strikes > strike]
            if len(later) and (not len(nexts) or later[0] < nexts[0]):
                axes.barh(row, (later[0] - strike) / rate_hz, left=strike / rate_hz, height=0.62, color=colour)
            else:
                axes.plot(strike / rate_hz, row, marker=">", color=colour, markersize=6, clip_on=False)
    axes.set_ylim(1.5, -0.5)
    axes.set_xlim(0, seconds)
    axes.set_yticks(range(2), [f"{side.capitalize()} foot on the floor" for side in SIDES])
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.spines[["left", "bottom"]].set_visible(False)
