"""The timeline: a heatmap of joints over time, stance of both feet, P(sick), and curves of the selected joint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import moderngl
import numpy as np
from numpy.typing import NDArray

from gait.arrays import true_runs
from gait.body.skeleton import HEAD_TO_FEET, Joint, display_name
from gait.kinematics.gait_events import SIDES
from gait.kinematics.joint_angles import JointAngles
from gait.kinematics.related_angle import related_angle
from gait.kinematics.walking import Activity
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.build_scene import LEFT_FOOT, RIGHT_FOOT, SELECTED
from gait.viewing.colours import FADING, HATCH, UNEXPLAINED, UNOBSERVED, Colour, unit_text
from gait.viewing.downsample import downsample_mean
from gait.viewing.lazy_imgui import imgui, implot
from gait.viewing.loaded_trial import LoadedTrial
from gait.viewing.panels.body_panel import NOT_OBSERVED, explanation_gap, format_attribution
from gait.viewing.panels.widgets import HEALTHY, INK, SICK, Widgets, pack_colour, rgba
from gait.viewing.viewer_state import ViewerState

_ROWS = len(HEAD_TO_FEET)
_GAP, _FOOT = 0.4, 2.1  # height of the gap above the joints and of each stance bar, in rows
TOP = _ROWS + _GAP + _FOOT * len(SIDES)  # upper end of the vertical axis of the heatmap
_MAX_COLUMNS, _MAX_POINTS = 8192, 4000  # of the heatmap, of a curve
_FOURTH_BUTTON = 3
_HATCH_PX = 7.0  # from line to line, unscaled pixels
_HALO: Colour = (255, 255, 255)
_TIME_LABELS = 24.0  # height of the time labels below a plot, unscaled pixels
_LABEL_PRIORITY = (
    Joint.LEFT_KNEE, Joint.LEFT_HIP, Joint.LEFT_ANKLE, Joint.PELVIS, Joint.LEFT_SHOULDER, Joint.HEAD, Joint.LEFT_WRIST,
    Joint.LEFT_ELBOW, Joint.LEFT_FOOT, Joint.SPINE2,
)  # fmt: skip
"""Order in which rows are labelled if there is no room for all labels; a left joint stands for both sides."""
_PLOT_FLAGS = (
    implot.Flags_.no_legend.value | implot.Flags_.no_menus.value | implot.Flags_.no_mouse_text.value
    | implot.Flags_.no_box_select.value
)  # fmt: skip
_NO_SCROLL = imgui.WindowFlags_.no_scrollbar.value | imgui.WindowFlags_.no_scroll_with_mouse.value


class TimelinePanel:
    """The heatmap and its curves on one time axis, which the mouse wheel zooms."""

    def __init__(self, context: moderngl.Context, *, show_controls: bool) -> None:
        """Create the timeline; with controls beside it, the selected window is marked."""
        self._show_controls = show_controls
        self._context = context
        self._texture: moderngl.Texture | None = None
        self._texture_of: AttributionOverlay | None = None
        self._shown: LoadedTrial | None = None
        self._low, self._high = implot.BoxedValue(0.0), implot.BoxedValue(1.0)
        self._scale = 1.0  # of lines
        self._curves: dict[str, tuple[object, NDArray[np.float64], NDArray[np.float64]]] = {}

    def draw(self, widgets: Widgets, state: ViewerState, width: float, height: float) -> None:
        """Draw the timeline at ImGui's cursor."""
        if state.actor is None:
            return
        trial = state.actor.trial
        self._scale = widgets.scale
        if trial is not self._shown:
            self._shown = trial
            self._low.value, self._high.value = 0.0, trial.duration_s
        with _plot_style(widgets):
            curves = width * 0.30 if state.joint is not None and width > widgets.length(560) else 0.0
            if imgui.begin_child("heatmap", (width - curves, height), 0, _NO_SCROLL):
                self._draw_heatmap_and_probability(widgets, state, trial, height)
            imgui.end_child()
            if curves:
                imgui.same_line(0.0, 0.0)
                if imgui.begin_child("curves", (curves, height), 0, _NO_SCROLL):
                    self._draw_curves(widgets, state, trial, height)
                imgui.end_child()

    def release(self) -> None:
        """Free the memory."""
        if self._texture is not None:
            self._texture.release()

    def _draw_heatmap_and_probability(
        self, widgets: Widgets, state: ViewerState, trial: LoadedTrial, height: float
    ) -> None:
        probability = max(0.26 * height, widgets.length(64)) if state.overlay is not None else 0.0
        if implot.begin_aligned_plots("time"):
            self._draw_heatmap(widgets, state, trial, height - probability - 2)
            if state.overlay is not None:
                self._draw_probability(widgets, state, trial, state.overlay, probability)
            implot.end_aligned_plots()

    def _draw_heatmap(self, widgets: Widgets, state: ViewerState, trial: LoadedTrial, height: float) -> None:
        if not implot.begin_plot("##heatmap", (-1.0, height), _PLOT_FLAGS):
            return
        self._setup_time_axis(labels=state.overlay is None)
        _setup_value_axis(0.0, TOP, implot.AxisFlags_.no_grid_lines.value | implot.AxisFlags_.no_tick_marks.value)
        overlay = state.overlay
        below = widgets.length(_TIME_LABELS) if overlay is None else 0.0
        implot.setup_axis_ticks(implot.ImAxis_.y1.value, *self._row_labels(height - below - widgets.length(6)))
        if overlay is not None:
            implot.plot_image(
                "##cells",
                imgui.ImTextureRef(self._texture_for(overlay).glo),
                implot.Point(0.0, 0.0),
                implot.Point(trial.duration_s, float(_ROWS)),
            )
        pen = implot.get_plot_draw_list()
        implot.push_plot_clip_rect()
        if overlay is None:
            pen.add_rect_filled(
                implot.plot_to_pixels(0.0, float(_ROWS)),
                implot.plot_to_pixels(trial.duration_s, 0.0),
                pack_colour(UNEXPLAINED, 0.35),
            )
        self._hatch(pen, trial, trial.observed if overlay is None else overlay.explainable)
        self._draw_activity(pen, trial)
        self._draw_stance_bars(pen, trial)
        if self._show_controls and overlay is not None and state.window is not None:
            first, last = overlay.window_frames(state.window)
            corners = (
                implot.plot_to_pixels(first / trial.rate_hz, float(_ROWS)),
                implot.plot_to_pixels((last + 1) / trial.rate_hz, 0.0),
            )
            for colour, width in ((_HALO, 4.0), (INK, 1.5)):  # visible on dark and on light colours
                pen.add_rect(*corners, pack_colour(colour, 0.9), 0.0, width * self._scale)
        if state.joint is not None:
            row = _ROWS - 1 - HEAD_TO_FEET.index(state.joint)
            pen.add_rect(
                implot.plot_to_pixels(0.0, row + 1.0),
                implot.plot_to_pixels(trial.duration_s, float(row)),
                pack_colour(SELECTED),
                0.0,
                2.0 * self._scale,
            )
        self._draw_time_cursor(state, trial)
        implot.pop_plot_clip_rect()
        self._record_plot(widgets, "Heatmap")
        self._handle_click(state, trial, select_joint=True)
        self._draw_tooltip(state, trial)
        implot.end_plot()

    def _row_labels(self, height: float) -> tuple[list[float], list[str]]:
        """Return positions and labels of the rows of a heatmap of this height.

        If there is no room for all labels, one per pair of joints is kept, or fewer. The stance bars are always
        labelled, as their colours are explained nowhere else.
        """
        needed = 0.92 * imgui.get_text_line_height() * TOP / max(height, 1.0)  # rows per line of text
        labels = [(_ROWS + _GAP + _FOOT * (0.5 + (side == "left")), f"{side} stance") for side in SIDES]
        if needed > _FOOT:
            labels = [(_ROWS + _GAP + _FOOT, "left/right stance")]
        centres = {joint: _ROWS - row - 0.5 for row, joint in enumerate(HEAD_TO_FEET)}
        if needed <= 1.0:
            labels += [(centre, display_name(joint)) for joint, centre in centres.items()]
        else:
            rest = tuple(joint for joint in HEAD_TO_FEET if joint not in _LABEL_PRIORITY and "RIGHT" not in joint.name)
            for joint in _LABEL_PRIORITY + rest:
                name = display_name(joint)
                position = centres[joint] - 0.5 * name.startswith("left ")
                if all(abs(position - other) >= needed for other, _ in labels):
                    labels.append((position, name.removeprefix("left ")))
        labels.sort(reverse=True)
        return [position for position, _ in labels], [name for _, name in labels]

    def _draw_activity(self, pen: object, trial: LoadedTrial) -> None:
        """Shade the times in which the subject does not walk above the joints, with the name of what it does."""
        for interval in trial.activity:
            if interval.activity == Activity.WALKING:
                continue
            left, top = implot.plot_to_pixels(interval.first / trial.rate_hz, TOP)
            right, bottom = implot.plot_to_pixels(interval.end / trial.rate_hz, float(_ROWS))
            pen.add_rect_filled((left, top), (right, bottom), pack_colour(UNEXPLAINED, 0.6))  # type: ignore[attr-defined]
            size = imgui.calc_text_size(interval.activity.noun)
            if size.x < right - left:
                at = (0.5 * (left + right - size.x), 0.5 * (top + bottom - size.y))
                pen.add_text(at, pack_colour(INK), interval.activity.noun)  # type: ignore[attr-defined]

    def _hatch(self, pen: imgui.ImDrawList, trial: LoadedTrial, explainable: NDArray[np.bool_]) -> None:
        """Hatch the joints that are not observed, or not used by the network."""
        for row, joint in enumerate(HEAD_TO_FEET):
            for run in true_runs(~explainable[:, joint]):
                left_top = implot.plot_to_pixels(run.start / trial.rate_hz, float(_ROWS - row))
                right_bottom = implot.plot_to_pixels(run.stop / trial.rate_hz, float(_ROWS - 1 - row))
                pen.add_rect_filled(left_top, right_bottom, pack_colour(UNOBSERVED))
                pen.push_clip_rect(left_top, right_bottom, True)
                # One grid of lines for all rows, so that they join, and only within the plot.
                step, height = _HATCH_PX * self._scale, right_bottom.y - left_top.y
                low, high = implot.get_plot_pos().x, implot.get_plot_pos().x + implot.get_plot_size().x
                start = max(left_top.x, low) - height
                start -= (start + left_top.y) % step
                for x in np.arange(start, min(right_bottom.x, high), step).tolist():
                    pen.add_line((x, right_bottom.y), (x + height, left_top.y), pack_colour(HATCH), self._scale)
                pen.pop_clip_rect()

    def _draw_stance_bars(self, pen: object, trial: LoadedTrial) -> None:
        """Draw a bar from each initial contact to the next foot off, with a tick at the initial contact."""
        for side, colour in (("left", LEFT_FOOT), ("right", RIGHT_FOOT)):
            low = _ROWS + _GAP + _FOOT * (side == "left")
            contacts, offs = trial.events.initial_contacts[side], trial.events.foot_offs[side]
            for contact in contacts:
                after = offs[offs > contact]
                end = after[0] if len(after) else trial.num_frames - 1
                left = implot.plot_to_pixels(contact / trial.rate_hz, low + 0.85 * _FOOT)
                right = implot.plot_to_pixels(end / trial.rate_hz, low + 0.15 * _FOOT)
                pen.add_rect_filled(left, right, pack_colour(colour, 0.75))  # type: ignore[attr-defined]
                top, bottom = (implot.plot_to_pixels(contact / trial.rate_hz, y) for y in (low + _FOOT, low))
                pen.add_line(top, bottom, pack_colour(colour), 2.0 * self._scale)  # type: ignore[attr-defined]

    def _draw_probability(
        self, widgets: Widgets, state: ViewerState, trial: LoadedTrial, overlay: AttributionOverlay, height: float
    ) -> None:
        if not implot.begin_plot("##probability", (-1.0, height), _PLOT_FLAGS):
            return
        self._setup_time_axis(labels=True)
        _setup_value_axis(-0.16, 1.16, implot.AxisFlags_.no_tick_marks.value)
        implot.setup_axis_ticks(implot.ImAxis_.y1.value, [0.0, 0.5, 1.0], ["healthy", "0.5", "sick"])
        x, y = self._curve("probability", overlay, overlay.probability, trial.rate_hz)
        # Areas above and below 0.5 in the colours of the classes, so that the prediction is visible without reading.
        for edge, colour in ((np.fmax(y, 0.5), SICK), (np.fmin(y, 0.5), HEALTHY)):
            spec = implot.Spec()
            spec.fill_color, spec.fill_alpha = imgui.ImVec4(*rgba(colour)), 0.35
            implot.plot_shaded(f"##{colour}", x, np.where(np.isnan(y), np.nan, edge), 0.5, spec=spec)
        self._draw_line(widgets, state, trial, "Probability", x, y, INK)

    def _draw_curves(self, widgets: Widgets, state: ViewerState, trial: LoadedTrial, height: float) -> None:
        if state.joint is None:
            return
        joint, overlay = state.joint, state.overlay
        angle_name, angle = _related_angle(trial.angles, joint)
        plots: list[tuple[str, str, object, NDArray[np.floating], Colour]] = []
        if overlay is not None:
            values = overlay.values[:, joint] * 1000
            name, unit = display_name(joint), unit_text(overlay.scale)
            titles: tuple[str, ...] = (f"{name}, {unit}", f"{name}, {unit.split()[0]}", name)
            if np.isnan(values).all():
                titles = (f"{name}: {explanation_gap(overlay, state.frame, joint)}",)
            title = _longest_that_fits(titles)
            plots.append((title, f"attribution {joint}", overlay, values, SELECTED))
        observed = np.isfinite(angle).any()
        titles = (f"{angle_name}, degrees", f"{angle_name}, °", angle_name)
        title = _longest_that_fits(titles if observed else (f"{angle_name}: {NOT_OBSERVED}",))
        plots.append((title, f"angle {joint}", trial, angle, INK))
        for number, (title, key, owner, curve, colour) in enumerate(plots):
            if not implot.begin_plot(f"{title}##{key}", (-1.0, height / len(plots) - 2), _PLOT_FLAGS):
                continue
            self._setup_time_axis(labels=number == len(plots) - 1)
            x, y = self._curve(key, owner, curve, trial.rate_hz)
            low, high = (float(np.nanmin(y)), float(np.nanmax(y))) if np.isfinite(y).any() else (0.0, 1.0)
            margin = 0.06 * (high - low) or 1.0
            _setup_value_axis(low - margin, high + margin)
            self._draw_line(widgets, state, trial, "Angle" if owner is trial else "Attribution", x, y, colour)

    def _draw_line(
        self, widgets: Widgets, state: ViewerState, trial: LoadedTrial, name: str,
        x: NDArray[np.float64], y: NDArray[np.float64], colour: Colour,
    ) -> None:  # fmt: skip
        """Draw the curve of a plot and the time cursor, and end the plot."""
        spec = implot.Spec()
        spec.line_color, spec.line_weight = imgui.ImVec4(*rgba(colour)), 1.5 * self._scale
        implot.plot_line("##line", x, y, spec=spec)
        self._draw_time_cursor(state, trial)
        self._record_plot(widgets, name)
        self._handle_click(state, trial, select_joint=False)
        implot.end_plot()

    def _setup_time_axis(self, *, labels: bool) -> None:
        flags = implot.AxisFlags_.no_menus.value | implot.AxisFlags_.no_side_switch.value
        if not labels:
            flags |= implot.AxisFlags_.no_tick_labels.value
        implot.setup_axis(implot.ImAxis_.x1.value, None, flags)
        implot.setup_axis_links(implot.ImAxis_.x1.value, self._low, self._high)
        implot.setup_axis_format(implot.ImAxis_.x1.value, "%g s")
        if self._shown is not None:
            implot.setup_axis_limits_constraints(implot.ImAxis_.x1.value, 0.0, self._shown.duration_s)

    def _draw_time_cursor(self, state: ViewerState, trial: LoadedTrial) -> None:
        at, limits = (state.frame + 0.5) / trial.rate_hz, implot.get_plot_limits()
        if limits.x.min <= at <= limits.x.max:
            top, bottom = (implot.plot_to_pixels(at, y) for y in (limits.y.max, limits.y.min))
            for colour, opacity, width in ((_HALO, 0.8, 4.0), (INK, 1.0, 2.0)):
                pen = implot.get_plot_draw_list()
                pen.add_line(top, bottom, pack_colour(colour, opacity), width * self._scale)

    def _handle_click(self, state: ViewerState, trial: LoadedTrial, *, select_joint: bool) -> None:
        """Go to the time of a click or drag; in the heatmap a click also selects the joint."""
        # A button that is held without moving is ignored: curves that appear shift the heatmap under the mouse.
        if not implot.is_plot_hovered() or not (imgui.is_mouse_clicked(0) or imgui.is_mouse_dragging(0)):
            return
        at = implot.get_plot_mouse_pos()
        state.playing = False
        state.seek(int(at.x * trial.rate_hz))
        if select_joint and imgui.is_mouse_clicked(0) and 0 <= at.y < _ROWS:
            state.joint = HEAD_TO_FEET[_ROWS - 1 - int(at.y)]

    def _draw_tooltip(self, state: ViewerState, trial: LoadedTrial) -> None:
        """Show joint, time and attribution under the mouse."""
        if not implot.is_plot_hovered():
            return
        at = implot.get_plot_mouse_pos()
        frame = int(at.x * trial.rate_hz)
        if not (0 <= at.y < _ROWS and 0 <= frame < trial.num_frames):
            return
        joint = HEAD_TO_FEET[_ROWS - 1 - int(at.y)]
        text = f"{display_name(joint)}, {frame / trial.rate_hz:.2f} s"
        if state.overlay is not None:
            value = float(state.overlay.values[frame, joint])
            missing = explanation_gap(state.overlay, frame, joint)
            text += f": {missing if np.isnan(value) else format_attribution(value, state.overlay.scale)}"
        elif not trial.observed[frame, joint]:
            text += f": {NOT_OBSERVED}"
        imgui.set_tooltip(text)

    def _record_plot(self, widgets: Widgets, name: str) -> None:
        low, size = implot.get_plot_pos(), implot.get_plot_size()
        widgets.rects[name] = (low.x, low.y, low.x + size.x, low.y + size.y)

    def _curve(
        self, key: str, owner: object, values: NDArray[np.floating], rate_hz: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the times (seconds) and values of a curve, downsampled and cached as long as its owner is the same."""
        cached = self._curves.get(key)
        if cached is None or cached[0] is not owner:
            y = downsample_mean(np.asarray(values, dtype=np.float64), _MAX_POINTS)
            x = (np.arange(len(y)) + 0.5) * len(values) / len(y) / rate_hz
            cached = self._curves[key] = (owner, x, y)
            while len(self._curves) > 8:
                self._curves.pop(next(iter(self._curves)))
        return cached[1], cached[2]

    def _texture_for(self, overlay: AttributionOverlay) -> moderngl.Texture:
        if self._texture is None or self._texture_of is not overlay:
            if self._texture is not None:
                self._texture.release()
            # Head at the top, first frame at the left. A graphics card's texture is at least so wide.
            columns = downsample_mean(overlay.values.astype(np.float64), _MAX_COLUMNS)
            pixels = overlay.scale.colours(columns[:, list(HEAD_TO_FEET)].T)
            fading = FADING * downsample_mean(overlay.fades[:, list(HEAD_TO_FEET)].astype(np.float64), _MAX_COLUMNS)
            pixels = np.round(pixels + fading.T[..., None] * (255.0 - pixels)).astype(np.uint8)
            self._texture = self._context.texture((pixels.shape[1], pixels.shape[0]), 3, pixels.tobytes(), alignment=1)
            self._texture.filter = (moderngl.NEAREST, moderngl.NEAREST)
            self._texture_of = overlay
        return self._texture


def _setup_value_axis(low: float, high: float, flags: int = 0) -> None:
    implot.setup_axis(implot.ImAxis_.y1.value, None, implot.AxisFlags_.lock.value | flags)
    implot.setup_axis_limits(implot.ImAxis_.y1.value, low, high, implot.Cond_.always.value)


def _related_angle(angles: JointAngles, joint: Joint) -> tuple[str, NDArray[np.float64]]:
    """Return the title of the angle that belongs to a joint, and its curve (T,) in degrees."""
    name, side = related_angle(joint)
    title = "thorax tilt (forward)" if name == "thorax_tilt" else f"{side} {name.replace('_', ' ')}"
    return title, angles[name, side]


def _longest_that_fits(titles: tuple[str, ...]) -> str:
    """Return the first title, from long to short, that fits into the available width."""
    room = imgui.get_content_region_avail().x
    return next((title for title in titles if imgui.calc_text_size(title).x < room), titles[-1])


@contextmanager
def _plot_style(widgets: Widgets) -> Iterator[None]:
    """Set the style of plots: small margins, wheel to zoom, right button to pan."""
    style = implot.get_style()
    style.plot_padding = imgui.ImVec2(widgets.length(6), widgets.length(3))
    style.label_padding = imgui.ImVec2(widgets.length(4), widgets.length(2))
    style.plot_min_size = imgui.ImVec2(20.0, 20.0)
    style.plot_border_size = 0.0
    moves = implot.get_input_map()
    moves.pan = imgui.MouseButton_.right.value
    moves.select = moves.menu = _FOURTH_BUTTON  # not used, but ImPlot requires a button
    implot.push_style_color(implot.Col_.frame_bg.value, (0.0, 0.0, 0.0, 0.0))
    implot.push_style_color(implot.Col_.plot_bg.value, (1.0, 1.0, 1.0, 1.0))
    yield
    implot.pop_style_color(2)
