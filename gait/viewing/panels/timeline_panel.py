"""Joints by time, in step with the body; feet on the floor, probability, and curves of the joint chosen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import moderngl
import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import HEAD_TO_FEET, Joint, plain_name
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.build_scene import CHOSEN, LEFT_FOOT, RIGHT_FOOT
from gait.viewing.colours import UNEXPLAINED, Colour
from gait.viewing.downsample import in_columns
from gait.viewing.heatmap_texture import map_pixels
from gait.viewing.lazy_imgui import imgui, implot
from gait.viewing.loaded_trial import LoadedTrial
from gait.viewing.panels.body_panel import unit_words, value_words
from gait.viewing.panels.widgets import HEALTHY, INK, SICK, Controls, packed, rgba
from gait.viewing.related_angle import angle_beside
from gait.viewing.viewer_state import ViewerState

_ROWS = len(HEAD_TO_FEET)
_FEET = ("left", "right")
_GAP, _FOOT = 0.4, 2.1  # rows between joints and feet, and of each foot
TOP = _ROWS + _GAP + _FOOT * len(_FEET)  # of the map's vertical axis
_MOST_POINTS = 4000  # of a curve
_FOURTH_BUTTON = 3
_HALO: Colour = (255, 255, 255)
_TIME_LABELS = 24.0  # pixels that the seconds below a plot take, in a window as it was designed
_SOONEST = (
    Joint.LEFT_KNEE, Joint.LEFT_HIP, Joint.LEFT_ANKLE, Joint.PELVIS, Joint.LEFT_SHOULDER, Joint.HEAD, Joint.LEFT_WRIST,
    Joint.LEFT_ELBOW, Joint.LEFT_FOOT, Joint.SPINE2,
)  # fmt: skip
"""Whose rows are named where there is no room for all names, the most wanted first; a left one speaks for its pair."""
_STILL = imgui.WindowFlags_.no_scrollbar.value | imgui.WindowFlags_.no_scroll_with_mouse.value


class TimelinePanel:
    """The map and what goes with it, all on one axis of time that the wheel zooms."""

    def __init__(self, context: moderngl.Context, *, panel: bool) -> None:
        """A map beside a panel, in which a window is chosen, or alone."""
        self._panel = panel
        self._context = context
        self._texture: moderngl.Texture | None = None
        self._texture_of: AttributionOverlay | None = None
        self._shown: LoadedTrial | None = None
        self._low, self._high = implot.BoxedValue(0.0), implot.BoxedValue(1.0)
        self._scale = 1.0  # of lines
        self._lines: dict[str, tuple[object, NDArray[np.float64], NDArray[np.float64]]] = {}

    def draw(self, controls: Controls, session: ViewerState, width: float, height: float) -> None:
        """At ImGui's cursor."""
        if session.body is None:
            return
        gait = session.body.gait
        self._scale = controls.scale
        if gait is not self._shown:
            self._shown = gait
            self._low.value, self._high.value = 0.0, gait.seconds
        with _looks(controls):
            curves = width * 0.30 if session.joint is not None and width > controls.length(560) else 0.0
            if imgui.begin_child("map", (width - curves, height), 0, _STILL):
                self._map_and_probability(controls, session, gait, height)
            imgui.end_child()
            if curves:
                imgui.same_line(0.0, 0.0)
                if imgui.begin_child("curves", (curves, height), 0, _STILL):
                    self._curves(controls, session, gait, height)
                imgui.end_child()

    def release(self) -> None:
        """Give the memory back."""
        if self._texture is not None:
            self._texture.release()

    def _map_and_probability(self, controls: Controls, session: ViewerState, gait: LoadedTrial, height: float) -> None:
        probability = max(0.26 * height, controls.length(64)) if session.explained is not None else 0.0
        if implot.begin_aligned_plots("time"):
            self._map(controls, session, gait, height - probability - 2)
            if session.explained is not None:
                self._probability(controls, session, gait, session.explained, probability)
            implot.end_aligned_plots()

    def _map(self, controls: Controls, session: ViewerState, gait: LoadedTrial, height: float) -> None:
        flags = implot.Flags_.no_legend.value | implot.Flags_.no_menus.value | implot.Flags_.no_mouse_text.value
        if not implot.begin_plot("##map", (-1.0, height), flags | implot.Flags_.no_box_select.value):
            return
        self._time_axis(labels=session.explained is None)
        implot.setup_axis(
            implot.ImAxis_.y1.value,
            None,
            implot.AxisFlags_.lock.value
            | implot.AxisFlags_.no_grid_lines.value
            | implot.AxisFlags_.no_tick_marks.value,
        )
        implot.setup_axis_limits(implot.ImAxis_.y1.value, 0.0, TOP, implot.Cond_.always.value)
        explained = session.explained
        below = controls.length(_TIME_LABELS) if explained is None else 0.0
        implot.setup_axis_ticks(implot.ImAxis_.y1.value, *self._row_names(height - below - controls.length(6)))
        if explained is not None:
            implot.plot_image(
                "##cells",
                imgui.ImTextureRef(self._texture_for(explained).glo),
                implot.Point(0.0, 0.0),
                implot.Point(gait.seconds, float(_ROWS)),
            )
        pen = implot.get_plot_draw_list()
        implot.push_plot_clip_rect()
        if explained is None:
            pen.add_rect_filled(
                implot.plot_to_pixels(0.0, float(_ROWS)),
                implot.plot_to_pixels(gait.seconds, 0.0),
                packed(UNEXPLAINED, 0.35),
            )
        self._feet(pen, gait)
        if self._panel and explained is not None and session.window is not None:
            first, last = explained.window(session.window)
            corners = (
                implot.plot_to_pixels(first / gait.rate_hz, float(_ROWS)),
                implot.plot_to_pixels((last + 1) / gait.rate_hz, 0.0),
            )
            for colour, width in ((_HALO, 4.0), (INK, 1.5)):  # to be seen on dark colours and on light ones
                pen.add_rect(*corners, packed(colour, 0.9), 0.0, width * self._scale)
        if session.joint is not None:
            row = _ROWS - 1 - HEAD_TO_FEET.index(session.joint)
            pen.add_rect(
                implot.plot_to_pixels(0.0, row + 1.0),
                implot.plot_to_pixels(gait.seconds, float(row)),
                packed(CHOSEN),
                0.0,
                2.0 * self._scale,
            )
        self._cursor(pen, session, gait, TOP)
        implot.pop_plot_clip_rect()
        self._note_plot(controls, "Map")
        self._click(session, gait, choose=True)
        self._tell(session, gait)
        implot.end_plot()

    def _row_names(self, height: float) -> tuple[list[float], list[str]]:
        """Places and names of the rows of a map of this height; where there is no room for all, one a pair, or fewer.

        The feet have names first, as their colours are explained nowhere else.
        """
        needed = 0.92 * imgui.get_text_line_height() * TOP / max(height, 1.0)  # rows that a line of text takes
        feet = [(_ROWS + _GAP + _FOOT * (0.5 + (side == "left")), f"{side} stance") for side in _FEET]
        if needed > _FOOT:
            feet = [(_ROWS + _GAP + _FOOT, "left/right stance")]
        places = {joint: _ROWS - row - 0.5 for row, joint in enumerate(HEAD_TO_FEET)}
        kept = feet
        if needed <= 1.0:
            kept = feet + [(place, plain_name(joint)) for joint, place in places.items()]
        else:
            rest = tuple(joint for joint in HEAD_TO_FEET if joint not in _SOONEST and "RIGHT" not in joint.name)
            for joint in _SOONEST + rest:
                name = plain_name(joint)
                place = places[joint] - 0.5 * name.startswith("left ")
                if all(abs(place - other) >= needed for other, _ in kept):
                    kept = [*kept, (place, name.removeprefix("left "))]
        kept = sorted(kept, reverse=True)
        return [place for place, _ in kept], [name for _, name in kept]

    def _feet(self, pen: object, gait: LoadedTrial) -> None:
        """A bar from each heel strike to the toe off after it, with a tick at either end."""
        for side, colour in (("left", LEFT_FOOT), ("right", RIGHT_FOOT)):
            low = _ROWS + _GAP + _FOOT * (side == "left")
            strikes, offs = gait.events.heel_strikes[side], gait.events.toe_offs[side]
            for strike in strikes:
                after = offs[offs > strike]
                end = after[0] if len(after) else gait.frames - 1
                left = implot.plot_to_pixels(strike / gait.rate_hz, low + 0.85 * _FOOT)
                right = implot.plot_to_pixels(end / gait.rate_hz, low + 0.15 * _FOOT)
                pen.add_rect_filled(left, right, packed(colour, 0.75))  # type: ignore[attr-defined]
                top, bottom = (
                    implot.plot_to_pixels(strike / gait.rate_hz, low + _FOOT),
                    implot.plot_to_pixels(strike / gait.rate_hz, low),
                )
                pen.add_line(top, bottom, packed(colour), 2.0 * self._scale)  # type: ignore[attr-defined]

    def _probability(
        self, controls: Controls, session: ViewerState, gait: LoadedTrial, explained: AttributionOverlay, height: float
    ) -> None:
        flags = implot.Flags_.no_legend.value | implot.Flags_.no_menus.value | implot.Flags_.no_mouse_text.value
        if not implot.begin_plot("##probability", (-1.0, height), flags | implot.Flags_.no_box_select.value):
            return
        self._time_axis(labels=True)
        implot.setup_axis(
            implot.ImAxis_.y1.value, None, implot.AxisFlags_.lock.value | implot.AxisFlags_.no_tick_marks.value
        )
        implot.setup_axis_limits(implot.ImAxis_.y1.value, -0.16, 1.16, implot.Cond_.always.value)
        implot.setup_axis_ticks(implot.ImAxis_.y1.value, [0.0, 0.5, 1.0], ["healthy", "50 %", "sick"])
        x, y = self._course("probability", explained, explained.probability, gait.rate_hz)
        # Two areas from the middle: who reads only colours reads the verdict.
        for part, colour in ((np.fmax(y, 0.5), SICK), (np.fmin(y, 0.5), HEALTHY)):
            spec = implot.Spec()
            spec.fill_color, spec.fill_alpha = imgui.ImVec4(*rgba(colour)), 0.35
            implot.plot_shaded(f"##{colour}", x, np.where(np.isnan(y), np.nan, part), 0.5, spec=spec)
        spec = implot.Spec()
        spec.line_color, spec.line_weight = imgui.ImVec4(*rgba(INK)), 1.5 * self._scale
        implot.plot_line("##line", x, y, spec=spec)
        self._cursor(implot.get_plot_draw_list(), session, gait, 1.16)
        self._note_plot(controls, "Probability")
        self._click(session, gait, choose=False)
        implot.end_plot()

    def _curves(self, controls: Controls, session: ViewerState, gait: LoadedTrial, height: float) -> None:
        if session.joint is None:
            return
        joint, explained = session.joint, session.explained
        words, angle = angle_beside(gait.angles, joint)
        parts: list[tuple[str, str, object, NDArray[np.floating], Colour]] = []
        if explained is not None:
            values = explained.values[:, joint] * 1000
            name, unit = plain_name(joint), unit_words(explained.scale)
            title = _fitting((f"{name}, {unit}", f"{name}, {unit.split()[0]}", name))
            parts.append((title, f"importance {joint}", explained, values, CHOSEN))
        parts.append((_fitting((f"{words}, degrees", f"{words}, °", words)), f"angle {joint}", gait, angle, INK))
        for number, (title, key, owner, course, colour) in enumerate(parts):
            flags = implot.Flags_.no_legend.value | implot.Flags_.no_menus.value | implot.Flags_.no_mouse_text.value
            if not implot.begin_plot(
                f"{title}##{key}", (-1.0, height / len(parts) - 2), flags | implot.Flags_.no_box_select.value
            ):
                continue
            self._time_axis(labels=number == len(parts) - 1)
            x, y = self._course(key, owner, course, gait.rate_hz)
            low, high = (float(np.nanmin(y)), float(np.nanmax(y))) if np.isfinite(y).any() else (0.0, 1.0)
            margin = 0.06 * (high - low) or 1.0
            implot.setup_axis(implot.ImAxis_.y1.value, None, implot.AxisFlags_.lock.value)
            implot.setup_axis_limits(implot.ImAxis_.y1.value, low - margin, high + margin, implot.Cond_.always.value)
            spec = implot.Spec()
            spec.line_color, spec.line_weight = imgui.ImVec4(*rgba(colour)), 1.5 * self._scale
            implot.plot_line("##course", x, y, spec=spec)
            self._cursor(implot.get_plot_draw_list(), session, gait, high + margin)
            self._note_plot(controls, "Angle" if owner is gait else "Importance")
            self._click(session, gait, choose=False)
            implot.end_plot()

    def _time_axis(self, *, labels: bool) -> None:
        flags = implot.AxisFlags_.no_menus.value | implot.AxisFlags_.no_side_switch.value
        if not labels:
            flags |= implot.AxisFlags_.no_tick_labels.value
        implot.setup_axis(implot.ImAxis_.x1.value, None, flags)
        implot.setup_axis_links(implot.ImAxis_.x1.value, self._low, self._high)
        implot.setup_axis_format(implot.ImAxis_.x1.value, "%g s")
        if self._shown is not None:
            implot.setup_axis_limits_constraints(implot.ImAxis_.x1.value, 0.0, self._shown.seconds)

    def _cursor(self, pen: object, session: ViewerState, gait: LoadedTrial, top: float) -> None:
        at = (session.frame + 0.5) / gait.rate_hz
        limits = implot.get_plot_limits()
        if limits.x.min <= at <= limits.x.max:
            high, low = implot.plot_to_pixels(at, top), implot.plot_to_pixels(at, limits.y.min)
            pen.add_line(high, low, packed(_HALO, 0.8), 4.0 * self._scale)  # type: ignore[attr-defined]
            pen.add_line(high, low, packed(INK), 2.0 * self._scale)  # type: ignore[attr-defined]

    def _click(self, session: ViewerState, gait: LoadedTrial, *, choose: bool) -> None:
        """A click, or dragging, goes to that moment; on the map a click chooses the joint too."""
        # While the button is held still nothing more happens: the curves that come up move the map under the mouse.
        if not implot.is_plot_hovered() or not (imgui.is_mouse_clicked(0) or imgui.is_mouse_dragging(0)):
            return
        at = implot.get_plot_mouse_pos()
        session.playing = False
        session.seek(int(at.x * gait.rate_hz))
        if choose and imgui.is_mouse_clicked(0) and 0 <= at.y < _ROWS:
            session.joint = HEAD_TO_FEET[_ROWS - 1 - int(at.y)]

    def _tell(self, session: ViewerState, gait: LoadedTrial) -> None:
        """What is under the mouse."""
        if not implot.is_plot_hovered():
            return
        at = implot.get_plot_mouse_pos()
        frame = int(at.x * gait.rate_hz)
        if not (0 <= at.y < _ROWS and 0 <= frame < gait.frames):
            return
        joint = HEAD_TO_FEET[_ROWS - 1 - int(at.y)]
        words = f"{plain_name(joint)}, {frame / gait.rate_hz:.2f} s"
        if session.explained is not None:
            value = float(session.explained.values[frame, joint])
            words += ": not explained" if np.isnan(value) else f": {value_words(value, session.explained.scale)}"
        imgui.set_tooltip(words)

    def _note_plot(self, controls: Controls, name: str) -> None:
        low, size = implot.get_plot_pos(), implot.get_plot_size()
        controls.places[name] = (low.x, low.y, low.x + size.x, low.y + size.y)

    def _course(
        self, key: str, owner: object, course: NDArray[np.floating], rate_hz: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Seconds and values of a curve, kept as long as it is of the same owner."""
        kept = self._lines.get(key)
        if kept is None or kept[0] is not owner:
            y = in_columns(np.asarray(course, dtype=np.float64), _MOST_POINTS)
            x = (np.arange(len(y)) + 0.5) * len(course) / len(y) / rate_hz
            kept = self._lines[key] = (owner, x, y)
            while len(self._lines) > 8:
                self._lines.pop(next(iter(self._lines)))
        return kept[1], kept[2]

    def _texture_for(self, explained: AttributionOverlay) -> moderngl.Texture:
        if self._texture is None or self._texture_of is not explained:
            if self._texture is not None:
                self._texture.release()
            pixels = map_pixels(explained)
            self._texture = self._context.texture((pixels.shape[1], pixels.shape[0]), 3, pixels.tobytes(), alignment=1)
            self._texture.filter = (moderngl.NEAREST, moderngl.NEAREST)
            self._texture_of = explained
        return self._texture


def _fitting(titles: tuple[str, ...]) -> str:
    """The first of these that fits in the room there is."""
    room = imgui.get_content_region_avail().x
    return next((title for title in titles if imgui.calc_text_size(title).x < room), titles[-1])


@contextmanager
def _looks(controls: Controls) -> Iterator[None]:
    """Plots that use their room: small margins, the wheel zooms, dragging with the right button moves."""
    style = implot.get_style()
    style.plot_padding = imgui.ImVec2(controls.length(6), controls.length(3))
    style.label_padding = imgui.ImVec2(controls.length(4), controls.length(2))
    style.plot_min_size = imgui.ImVec2(20.0, 20.0)
    style.plot_border_size = 0.0
    moves = implot.get_input_map()
    moves.pan = imgui.MouseButton_.right.value
    moves.select = moves.menu = _FOURTH_BUTTON  # neither is wanted, and ImPlot must be given one
    implot.push_style_color(implot.Col_.frame_bg.value, (0.0, 0.0, 0.0, 0.0))
    implot.push_style_color(implot.Col_.plot_bg.value, (1.0, 1.0, 1.0, 1.0))
    yield
    implot.pop_style_color(2)
