"""Figure of the fit of one trial: marker residuals over time, and the posed body with its markers."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gait.arrays import true_runs
from gait.errors import GaitError
from gait.kinematics.walking import Activity, ActivityInterval
from gait.marker_sets import marker_pairs
from gait.viewing.body_row import layout_row, yaw_to_face_z
from gait.viewing.camera import Camera
from gait.viewing.colours import MISSING, OBSERVED, RESIDUAL, UNOBSERVED, VIRTUAL, Colour, SequentialScale, SkinScale
from gait.viewing.downsample import downsample_mean
from gait.viewing.offscreen_renderer import shared_renderer
from gait.viewing.scene import Floor, Mesh, Scene, Segments, Spheres

RESIDUAL_SCALE = SequentialScale(0.0, 20.0)
"""Millimetres; the same range for all trials, so that figures can be compared."""

_INK: Colour = (38, 42, 48)
_FAINT: Colour = (112, 118, 126)
_RULE: Colour = (216, 219, 223)
_STRIP: Colour = (90, 110, 140)
_STRIP_FILL: Colour = (228, 233, 240)
_ACTIVITY_FILL: Colour = (232, 232, 226)

_WIDTH, _MIN_HEIGHT, _MARGIN = 1800, 1000, 40
_MIN_ROW_HEIGHT, _MAX_ROW_HEIGHT = 15, 46
_STRIP_HEIGHT = 62
_BODIES_LEFT = 800  # left edge of the half of the page with the bodies
_BELOW_MAP = 74  # height of the time axis and its label
_VIEW = Camera(yaw_deg=38.0, pitch_deg=9.0)
_FRAME_NAMES = "ABC"
MIN_OBSERVED_SKIN = 0.75
"""The legend explains pale skin if some is observed less."""
_OBSERVED_RADIUS, _VIRTUAL_RADIUS = 5.5, 3.0  # pixels; larger than real markers, for visibility

# Left-right pairs on trunk and head give the facing direction best; limbs swing.
_TRUNK_HEAD = ("pelvis", "shoulder", "head")


@dataclass(frozen=True)
class _Box:
    """A rectangle of the page in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


@dataclass(frozen=True, eq=False)
class FitFigureData:
    """What the figure of one fitted trial shows: T frames, M markers, and bodies of K frames."""

    residual_mm: NDArray[np.floating]  # (T, M) distance of measured and virtual marker; NaN where it is not visible
    labels: Sequence[str]  # (M,) marker names
    rate_hz: float
    frames: Sequence[int]  # (K,) 1 to 3 indices of the frames whose bodies are shown
    vertices_m: NDArray[np.floating]  # (K, V, 3) of the body, y up
    faces: NDArray[np.integer]  # (F, 3) triangles
    observed_m: NDArray[np.floating]  # (K, M, 3) measured markers; NaN where not visible
    virtual_m: NDArray[np.floating]  # (K, M, 3) virtual markers on the body
    title_lines: Sequence[str] = ()  # the first line is large
    first_frame: int = 1  # number of frame 0 in the recording file
    activity: Sequence[ActivityInterval] = ()  # times of other activities than walking are shaded, with their name
    # (K, V) 1 where markers observe the body, 0.5 where it is inferred, 0 where neither, drawn pale; None: all observed
    observed_skin: NDArray[np.floating] | None = None

    @cached_property
    def frame_mean_mm(self) -> NDArray[np.float64]:
        """The mean residual (T,) over markers; NaN where none is visible."""
        return _nan_mean(self.residual_mm, axis=1)


def draw_fit_figure(data: FitFigureData) -> Image.Image:
    """Draw the figure of one fitted trial.

    Raises:
        RenderingUnavailableError: this machine cannot render.
    """
    map_top = 166 + 21 * max(len(data.title_lines) - 1, 0) + _STRIP_HEIGHT
    available = _MIN_HEIGHT - map_top - _BELOW_MAP
    row_height = int(np.clip(available // max(len(data.labels), 1), _MIN_ROW_HEIGHT, _MAX_ROW_HEIGHT))
    page_height = map_top + max(row_height * len(data.labels), available) + _BELOW_MAP
    page = Image.new("RGB", (_WIDTH, page_height), (255, 255, 255))
    _draw_title(ImageDraw.Draw(page), data.title_lines)
    _draw_residuals(page, data, map_top, row_height)
    _draw_bodies(page, data, map_top - 52 - _STRIP_HEIGHT)
    return page


def _draw_residuals(page: Image.Image, data: FitFigureData, map_top: int, row_height: int) -> None:
    """Draw the left half of the page: the mean residual by time above a heatmap of all markers."""
    pen, residuals = ImageDraw.Draw(page), np.asarray(data.residual_mm, dtype=np.float64)
    marker_mean = _nan_mean(residuals, axis=0)
    worst_first = np.argsort(np.where(np.isnan(marker_mean), -1.0, marker_mean), kind="stable")[::-1]
    label_font = _font(min(row_height - 2, 15))
    names = [_to_ascii(label)[:14] for label in data.labels]
    label_width = max([int(label_font.getlength(name)) for name in names] + [30])
    heat = _Box(_MARGIN + label_width + 10, map_top, _BODIES_LEFT - 170, map_top + row_height * len(names))
    strip = _Box(heat.left, map_top - 30 - _STRIP_HEIGHT, heat.right, map_top - 30)

    pen.text((_MARGIN, strip.top - 44), "Distance between measured and fitted markers (mm)", _INK, _font(18), "lm")
    _draw_activity(pen, strip, data.activity, len(residuals))
    _draw_frame_means(pen, strip, data.frame_mean_mm)
    page.paste(_render_heatmap(residuals[:, worst_first], heat.width, row_height), (heat.left, heat.top))
    _draw_rows(pen, heat, [names[i] for i in worst_first], marker_mean[worst_first], label_font)
    _draw_time_axis(pen, heat, len(residuals) / data.rate_hz)
    _draw_colorbar(page, pen, _Box(heat.right + 90, heat.top, heat.right + 106, heat.top + max(heat.height, 200)))
    for name, frame in zip(_FRAME_NAMES, data.frames, strict=False):
        x = heat.left + round((frame + 0.5) / len(residuals) * heat.width)
        pen.line((x, strip.top, x, heat.bottom), (255, 255, 255), 3)
        pen.line((x, strip.top, x, heat.bottom), _INK, 1)
        _draw_tag(pen, (x, strip.top - 11), name)


def _draw_bodies(page: Image.Image, data: FitFigureData, top: int) -> None:
    """Draw the right half of the page: the bodies with their markers, captions and a legend."""
    pen = ImageDraw.Draw(page)
    box = _Box(_BODIES_LEFT, top, _WIDTH - _MARGIN // 2, page.height - 92)
    image, columns = _render_bodies(box, data)
    page.paste(image, (box.left, box.top))
    for name, frame, column in zip(_FRAME_NAMES, data.frames, columns, strict=False):
        _draw_tag(pen, (box.left + column, box.bottom + 12), name)
        mean = data.frame_mean_mm[frame]
        caption = f"{frame / data.rate_hz:.2f} s, frame {data.first_frame + frame}"
        caption += ", no marker visible" if math.isnan(mean) else f", mean {mean:.1f} mm"
        pen.text((box.left + column, box.bottom + 34), caption, _INK, _font(15), "mm")
    unobserved = data.observed_skin is not None and bool((data.observed_skin < MIN_OBSERVED_SKIN).any())
    _draw_legend(pen, _Box(box.left, page.height - 44, box.right, page.height - 20), unobserved)


def draw_small_figure() -> None:
    """Draw the figure of one marker on one triangle: it creates the renderer, compiles its shaders and loads the fonts.

    Raises:
        RenderingUnavailableError: this machine cannot render.
    """
    triangle = np.array([[[0.0, 0.0, 0.0], [0.3, 0.0, 0.0], [0.0, 1.8, 0.0]]])
    marker = triangle[:, :1]
    draw_fit_figure(
        FitFigureData(np.zeros((2, 1)), ["LASI"], 100.0, [0], triangle, np.array([[0, 1, 2]]), marker, marker)
    )


def _nan_mean(values: NDArray[np.floating], axis: int) -> NDArray[np.float64]:
    """Return the mean without NaNs; NaN where all values are NaN, without a warning."""
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.nansum(values, axis=axis) / (~np.isnan(values)).sum(axis=axis)


def _render_heatmap(residual_mm: NDArray[np.float64], width: int, row_height: int) -> Image.Image:
    """Render the heatmap of markers (rows) by time, with a white line between rows."""
    cells = RESIDUAL_SCALE.colours(downsample_mean(residual_mm, width).T)  # (M, columns, 3)
    image = Image.fromarray(cells).resize((width, row_height * len(cells)), Image.Resampling.NEAREST)
    grid = ImageDraw.Draw(image)
    for row in range(1, len(cells)):
        grid.line((0, row * row_height, width, row * row_height), (255, 255, 255))
    return image


def _draw_title(pen: ImageDraw.ImageDraw, lines: Sequence[str]) -> None:
    available = _WIDTH - 2 * _MARGIN
    for i, line in enumerate(lines):
        size, y, colour = (27, 40, _INK) if i == 0 else (16, 50 + 21 * i, _FAINT)
        pen.text((_MARGIN, y), _truncate_to_width(_to_ascii(line), _font(size), available), colour, _font(size), "lm")


def _draw_rows(
    pen: ImageDraw.ImageDraw,
    heat: _Box,
    names: Sequence[str],
    means_mm: NDArray[np.float64],
    font: ImageFont.FreeTypeFont,
) -> None:
    row_height = heat.height / max(len(names), 1)
    pen.text((heat.right + 8, heat.top - 8), "mean (mm)", _FAINT, _font(13), "ls")
    for i, (name, mean) in enumerate(zip(names, means_mm, strict=True)):
        y = heat.top + (i + 0.5) * row_height
        pen.text((heat.left - 8, y), name, _INK, font, "rm")
        if np.isnan(mean):
            pen.text((heat.right + 8, y), "not visible", _FAINT, font, "lm")
        else:
            pen.text((heat.right + 42, y), f"{mean:.1f}", _INK, font, "rm")


def _draw_frame_means(pen: ImageDraw.ImageDraw, strip: _Box, frame_mean: NDArray[np.float64]) -> None:
    """Draw the mean over markers by time, on the range of the colour scale."""
    top_mm = RESIDUAL_SCALE.high
    for value in (0.0, top_mm / 2, top_mm):
        y = strip.bottom - value / top_mm * strip.height
        pen.line((strip.left, y, strip.right, y), _RULE)
        pen.text((strip.right + 8, y), f"{value:.0f}", _FAINT, _font(13), "lm")
    pen.text((strip.left - 8, strip.bottom - strip.height / 2), "mean", _FAINT, _font(14), "rm")
    columns = downsample_mean(frame_mean, strip.width)
    if len(columns) == 1:
        columns = np.repeat(columns, 2)  # a line needs two ends
    x = np.linspace(strip.left, strip.right, len(columns))
    height = strip.bottom - np.clip(columns / top_mm, 0, 1) * strip.height
    for run in true_runs(np.isfinite(height)):
        curve = list(zip(x[run].tolist(), height[run].tolist(), strict=True))
        if len(curve) > 1:
            pen.polygon(((curve[0][0], strip.bottom), *curve, (curve[-1][0], strip.bottom)), _STRIP_FILL)
            pen.line(curve, _STRIP, 2)


def _draw_activity(pen: ImageDraw.ImageDraw, strip: _Box, activity: Sequence[ActivityInterval], frames: int) -> None:
    """Shade the times in which the subject does not walk, with the name of what it does where there is room."""
    for interval in activity:
        if interval.activity != Activity.WALKING:
            left, right = (strip.left + round(frame / frames * strip.width) for frame in (interval.first, interval.end))
            pen.rectangle((left, strip.top, right, strip.bottom), _ACTIVITY_FILL)
            if _font(14).getlength(interval.activity.noun) < right - left:
                pen.text(((left + right) / 2, strip.top + 12), interval.activity.noun, _FAINT, _font(14), "mm")


def _draw_time_axis(pen: ImageDraw.ImageDraw, heat: _Box, seconds: float) -> None:
    step = _round_step(seconds, max_steps=8)
    for k in range(int(seconds / step + 1e-9) + 1):
        x = heat.left + k * step / seconds * heat.width
        pen.line((x, heat.bottom, x, heat.bottom + 6), _FAINT)
        pen.text((x, heat.bottom + 17), f"{k * step:g}", _INK, _font(14), "mm")
    pen.text(((heat.left + heat.right) / 2, heat.bottom + 40), "time (s)", _FAINT, _font(14), "mm")


def _draw_colorbar(page: Image.Image, pen: ImageDraw.ImageDraw, bar: _Box) -> None:
    """Draw the colour bar with its unit, values beyond its range, and grey for markers that are not visible."""
    low, high = RESIDUAL_SCALE.low, RESIDUAL_SCALE.high
    bottom = bar.bottom - 44
    column = RESIDUAL_SCALE.colours(np.linspace(high, low, bottom - bar.top))[:, None]
    page.paste(Image.fromarray(np.repeat(column, bar.width + 1, axis=1)), (bar.left, bar.top))
    for value in np.linspace(low, high, 5):
        y = bottom - (value - low) / (high - low) * (bottom - bar.top)
        pen.line((bar.right, y, bar.right + 5, y), _FAINT)
        text = f"> {value:.0f}" if value == high else f"{value:.0f}"
        pen.text((bar.right + 10, y), text, _INK, _font(14), "lm")
    pen.text((bar.right, bar.top - 10), "mm", _FAINT, _font(13), "rs")
    pen.rectangle((bar.left, bar.bottom - 18, bar.right, bar.bottom - 2), MISSING)
    pen.text((bar.right + 10, bar.bottom - 10), "not", _INK, _font(13), "ls")
    pen.text((bar.right + 10, bar.bottom + 4), "visible", _INK, _font(13), "ls")


def _draw_tag(pen: ImageDraw.ImageDraw, centre: tuple[float, float], name: str) -> None:
    x, y = centre
    pen.ellipse((x - 10, y - 10, x + 10, y + 10), _INK)
    pen.text((x, y), name, (255, 255, 255), _font(13), "mm")


def _draw_legend(pen: ImageDraw.ImageDraw, box: _Box, unobserved: bool) -> None:
    font, y = _font(15), (box.top + box.bottom) / 2
    entries = ["measured marker", "virtual marker on the fitted body", "residual"]
    entries += ["pale: not observed"] * unobserved
    gap = 18 if unobserved else 34
    width = sum(font.getlength(text) + 26 for text in entries) + (len(entries) - 1) * gap
    x = (box.left + box.right - width) / 2
    for i, text in enumerate(entries):
        if i == 3:
            pen.rectangle((x, y - 8, x + 16, y + 8), UNOBSERVED, _FAINT)
        elif i == 2:
            pen.line((x, y, x + 16, y), RESIDUAL, 3)
        else:
            radius, colour = ((8, OBSERVED), (5, VIRTUAL))[i]
            pen.ellipse((x + 8 - radius, y - radius, x + 8 + radius, y + radius), colour)
        pen.text((x + 26, y), text, _INK, font, "lm")
        x += 26 + font.getlength(text) + gap


def _render_bodies(box: _Box, data: FitFigureData) -> tuple[Image.Image, list[int]]:
    """Render the bodies side by side on one floor, facing the same direction; return the image and their columns."""
    rotated = []
    for k in range(len(data.vertices_m)):
        R_page_lab = _rotation_to_face_z(data.labels, np.asarray(data.virtual_m[k], dtype=np.float64))
        shown = (data.vertices_m, data.observed_m, data.virtual_m)
        rotated.append([np.asarray(points[k], np.float64) @ R_page_lab.T for points in shown])
    row = layout_row(rotated, _VIEW, box.width, box.height)
    observed, virtual = (np.concatenate([points[i] for points in row.point_sets]).astype(np.float32) for i in (1, 2))
    scene = Scene(
        meshes=tuple(
            Mesh(
                body.astype(np.float32),
                np.asarray(data.faces, dtype=np.int32),
                values=None if data.observed_skin is None else data.observed_skin[k].astype(np.float32),
                scale=SkinScale(),
            )
            for k, (body, _, _) in enumerate(row.point_sets)
        ),
        spheres=(
            Spheres(observed, _OBSERVED_RADIUS * row.metres_per_pixel, OBSERVED),
            Spheres(virtual, _VIRTUAL_RADIUS * row.metres_per_pixel, VIRTUAL, towards_viewer_m=0.03),
        ),
        segments=(Segments(observed, virtual, RESIDUAL, width_px=2.0),),
        floor=Floor(0.0),
    )
    return Image.fromarray(shared_renderer().draw(scene, row.camera, box.width, box.height)), list(row.columns)


def _rotation_to_face_z(labels: Sequence[str], markers_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation (3, 3) about the vertical that makes the subject face +z, from left and right markers."""
    index = {label: i for i, label in enumerate(labels)}
    pairs = marker_pairs(labels, _TRUNK_HEAD) or [
        (label, f"R{label[1:]}") for label in labels if label.startswith("L") and f"R{label[1:]}" in index
    ]
    to_left = np.zeros(3)
    for left, right in pairs:
        difference = markers_m[index[left]] - markers_m[index[right]]
        to_left += np.where(np.isfinite(difference), difference, 0.0)
    return yaw_to_face_z(to_left)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise GaitError("Pillow was built without FreeType and cannot write text; install its wheel from PyPI")
    # The figures of a cohort repeat the names of markers and most numbers.
    font.getmask2 = lru_cache(maxsize=4096)(font.getmask2)  # type: ignore[assignment, method-assign]
    return font


def _to_ascii(text: str) -> str:
    """Return the text in ASCII, which the font of Pillow covers."""
    for mark, ascii_mark in (("–", "-"), ("±", "+/-"), ("—", "-"), ("×", "x"), ("·", ","), ("ß", "ss")):
        text = text.replace(mark, ascii_mark)
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _truncate_to_width(text: str, font: ImageFont.FreeTypeFont, available: float) -> str:
    if font.getlength(text) <= available:
        return text
    while text and font.getlength(text + " ...") > available:
        text = text[:-1]
    return text + " ..."


def _round_step(span: float, max_steps: int) -> float:
    """Return the smallest of …, 0.5, 1, 2, 5, 10, … that divides ``span`` into at most ``max_steps`` parts."""
    steps = (lead * 10.0**power for power in range(-4, 8) for lead in (1, 2, 5))
    return next((step for step in steps if span / step <= max_steps), span)
