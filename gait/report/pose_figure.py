"""Figure of poses that another tool wrote: the body at four times, and the heights of pelvis and ankles over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gait.body.skeleton import Joint, display_name
from gait.kinematics.gait_events import progression_directions
from gait.report.figure_style import FAINT, INK, MUTED, STYLE
from gait.report.heatmaps import figure_png
from gait.viewing.body_row import ColouredBody, draw_bodies
from gait.viewing.colours import SKIN, SequentialScale
from gait.viewing.offscreen_renderer import OffscreenRenderer, shared_renderer

NUM_BODIES = 4
_WIDTH, _HEIGHT, _BODIES_HEIGHT, _DPI = 1800, 1000, 580, 100
_SHOWN = ((Joint.PELVIS, INK), (Joint.LEFT_ANKLE, "#2b6cb0"), (Joint.RIGHT_ANKLE, "#c05621"))


def figure_frames(num_frames: int) -> NDArray[np.int64]:
    """Return the frames whose bodies are drawn, evenly spaced, without the ends."""
    return np.unique(np.linspace(0, num_frames - 1, NUM_BODIES + 2).round().astype(np.int64)[1:-1])


def draw_pose_figure(
    joints_m: NDArray[np.floating],
    rate_hz: float,
    vertices_m: NDArray[np.floating],
    faces: NDArray[np.integer],
    title_lines: Sequence[str],
    renderer: OffscreenRenderer | None = None,
) -> bytes:
    """Draw the figure and return it as PNG.

    Args:
        joints_m: (T, 22, 3) metres, y up.
        rate_hz: frames per second.
        vertices_m: (K, V, 3) of the body in the ``figure_frames``.
        faces: (F, 3) triangles.
        title_lines: the first line is large.
        renderer: renders the bodies; the shared one if None.

    Raises:
        RenderingUnavailableError: this machine cannot render.
    """
    frames, ahead = figure_frames(len(joints_m)), progression_directions(joints_m, rate_hz)
    plain = np.full(vertices_m.shape[1], np.nan, dtype=np.float32)
    bodies = [
        ColouredBody(vertices.astype(np.float32), plain, ahead[frame])
        for vertices, frame in zip(vertices_m, frames, strict=True)
    ]
    scale = SequentialScale(0.0, 1.0, SKIN)
    image, columns = draw_bodies(bodies, faces, scale, _WIDTH, _BODIES_HEIGHT, renderer or shared_renderer())
    with rc_context(STYLE):
        fig = Figure(figsize=(_WIDTH / _DPI, _HEIGHT / _DPI), dpi=_DPI)
        fig.text(0.022, 0.965, title_lines[0], fontsize=19, va="center")
        for row, line in enumerate(title_lines[1:]):
            fig.text(0.022, 0.935 - 0.022 * row, line, fontsize=11, va="center", color=MUTED)
        picture = fig.add_axes((0, 0.29, 1, _BODIES_HEIGHT / _HEIGHT))
        picture.imshow(image)
        picture.set_axis_off()
        for column, frame in zip(columns, frames, strict=True):
            picture.text(column, _BODIES_HEIGHT + 14, f"{frame / rate_hz:.2f} s", ha="center", color=MUTED)
        axes = fig.add_axes((0.06, 0.07, 0.92, 0.18))
        seconds = np.arange(len(joints_m)) / rate_hz
        for joint, colour in _SHOWN:
            axes.plot(seconds, joints_m[:, joint, 1], color=colour, label=display_name(joint))
        for frame in frames:
            axes.axvline(frame / rate_hz, color=FAINT, zorder=0)
        axes.set(xlabel="time (s)", ylabel="height (m)", xlim=(0, max(seconds[-1], 1 / rate_hz)))
        axes.legend(loc="upper right", ncols=3, bbox_to_anchor=(1.0, 1.14))
        return figure_png(fig)
