"""The 3D view of the body with its colour bar, and the playback controls below it."""

from __future__ import annotations

import moderngl
import numpy as np

from gait.body.skeleton import Joint, display_name
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.build_scene import SELECTED
from gait.viewing.colours import HATCH, OBSERVED, RESIDUAL, UNOBSERVED, VIRTUAL, DivergingScale, Scale, unit_text
from gait.viewing.lazy_imgui import imgui
from gait.viewing.panels.widgets import HEALTHY, INK, MUTED, SICK, Widgets, pack_colour, prediction
from gait.viewing.renderer import Canvas, Renderer
from gait.viewing.viewer_state import SPEEDS, ViewerState

_ORBIT_DEG_PER_PIXEL = 0.4
_ZOOM_PER_NOTCH = 0.88
_MAX_SUPERSAMPLED = 4_000_000  # pixels of a view that is still rendered at twice its size
_REACH = 16.0  # a click within this distance of a joint selects it, unscaled pixels


NOT_OBSERVED = "not observed"


class BodyPanel:
    """Renders the scene into a texture, which the window shows, and handles the mouse in it."""

    def __init__(self, context: moderngl.Context, *, show_controls: bool) -> None:
        """Create the view. Without controls beside it, it also shows the names of trial, network and method."""
        self._show_controls = show_controls
        self._context = context
        self._renderer = Renderer(context)
        self._canvas: Canvas | None = None
        self._dragged = 0.0
        self._drawn: object = None
        self._supersampled = False

    def draw(self, widgets: Widgets, state: ViewerState, width: int, height: int) -> None:
        """Draw the view, ``width`` by ``height`` pixels, at ImGui's cursor."""
        self._draw_scene(state, width, height, widgets.scale)
        corner = imgui.get_cursor_screen_pos()
        assert self._canvas is not None
        imgui.image(imgui.ImTextureRef(self._canvas.colour_texture.glo), (width, height), (0.0, 1.0), (1.0, 0.0))
        # An invisible button takes the mouse, so that dragging in the view does not drag the window.
        imgui.set_cursor_screen_pos(corner)
        imgui.invisible_button("view", (width, height), _ANY_BUTTON)
        widgets.record_rect("View")
        self._handle_mouse(state, corner.x, corner.y, width, height, widgets.length(_REACH))
        self._draw_text(widgets, state, corner.x, corner.y, width, height)

    def release(self) -> None:
        """Free the memory."""
        if self._canvas is not None:
            self._canvas.release()

    def _draw_scene(self, state: ViewerState, width: int, height: int, line_scale: float) -> None:
        """Render the scene if it has changed; if not, once more at twice the size, for smooth edges."""
        key = (state.render_key(), width, height)
        unchanged = key == self._drawn
        if unchanged and self._supersampled:
            return
        self._supersampled = unchanged and width * height <= _MAX_SUPERSAMPLED
        # One pixel of ImGui may be several pixels of the screen.
        factor = (2 if self._supersampled else 1) * max(round(imgui.get_io().display_framebuffer_scale.x), 1)
        if unchanged and not self._supersampled:
            return
        if self._canvas is None or self._canvas.size != (factor * width, factor * height):
            if self._canvas is not None:
                self._canvas.release()
            self._canvas = Canvas.of_size(self._context, factor * width, factor * height)
            if self._supersampled:  # average of four pixels
                self._canvas.colour_texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        self._renderer.draw(state.scene(), state.camera, self._canvas, pixel_scale=factor * line_scale)
        self._drawn = key

    def _handle_mouse(self, state: ViewerState, left: float, top: float, width: int, height: int, reach: float) -> None:
        io = imgui.get_io()
        if imgui.is_item_hovered() and io.mouse_wheel:
            state.camera = state.camera.zoom(_ZOOM_PER_NOTCH**io.mouse_wheel)
        if imgui.is_item_activated():
            self._dragged = 0.0
        column, row = io.mouse_pos.x - left, io.mouse_pos.y - top
        if imgui.is_item_active():
            dx, dy = io.mouse_delta.x, io.mouse_delta.y
            self._dragged += abs(dx) + abs(dy)
            if self._dragged > 4:
                if io.mouse_down[0]:
                    state.camera = state.camera.orbit(-dx * _ORBIT_DEG_PER_PIXEL, dy * _ORBIT_DEG_PER_PIXEL)
                else:
                    metres = state.camera.view_height_m / height
                    state.camera = state.camera.move(-dx * metres, dy * metres, 0.0)
        if imgui.is_item_deactivated() and self._dragged <= 4:
            state.joint = state.nearest_joint(column, row, width, height, reach)
        elif imgui.is_item_hovered() and not io.mouse_down[0]:
            joint = state.nearest_joint(column, row, width, height, reach)
            if joint is not None:
                imgui.set_tooltip(_joint_text(state, joint))

    def _draw_text(
        self, widgets: Widgets, state: ViewerState, left: float, top: float, width: int, height: int
    ) -> None:
        pen, pad = imgui.get_window_draw_list(), widgets.length(12)
        if state.actor is None:
            job = state.jobs.current_job
            text = job.title if job else "Open a trial: press O, or drop its folder here."
            size = imgui.calc_text_size(text)
            pen.add_text((left + (width - size.x) / 2, top + (height - size.y) / 2), pack_colour(MUTED), text)
            return
        trial = state.actor.trial
        overlay = state.overlay
        lines = []
        if not self._show_controls:
            lines.append((trial.name, INK))
            if overlay is not None:
                lines.append(prediction(overlay.attribution.trial_probability, "trial"))
        lines += [(f"{state.frame / trial.rate_hz:.2f} s, frame {state.frame + trial.sequence.first_frame}", INK)]
        if overlay is not None:
            p = float(overlay.probability[state.frame])
            lines.append(prediction(p, "this frame") if np.isfinite(p) else ("this frame: not explained", MUTED))
        if state.joint is not None:
            lines.append((_joint_text(state, state.joint), SELECTED))
        if state.comparison is not None and state.layers.comparison:
            lines.append((f"grey: {state.comparison.trial.name}", MUTED))
        if state.layers.markers and trial.markers is not None:
            lines += [("measured markers", OBSERVED), ("markers on the fitted body", VIRTUAL)]
            lines += [("residual", RESIDUAL)]
        line = imgui.get_text_line_height_with_spacing()
        for number, (text, colour) in enumerate(lines):
            pen.add_text((left + pad, top + pad + number * line), pack_colour(colour), text)
        if overlay is not None and not self._show_controls:
            for number, text in enumerate((overlay.network.label, overlay.method.title)):
                pen.add_text((left + pad, top + height - pad - (number + 1) * line), pack_colour(MUTED), text)
        if overlay is not None:
            bar = min(widgets.length(200), height - widgets.length(120))
            if bar > widgets.length(50):
                colour_bar(widgets, overlay, left + width - widgets.length(26), top + widgets.length(64), bar)


def _joint_text(state: ViewerState, joint: Joint) -> str:
    """Return the name of a joint, and its uncertainty in the current frame if it is observed and the fit stored it."""
    if state.actor is not None and not state.actor.trial.observed[state.frame, joint]:
        return f"{display_name(joint)}, {NOT_OBSERVED}"
    sigma_m = state.actor.trial.sequence.joint_sigma_m if state.actor else None
    uncertainty = "" if sigma_m is None else f", ± {1000 * sigma_m[state.frame, joint]:.0f} mm (68 %)"
    return display_name(joint) + uncertainty


def colour_bar(widgets: Widgets, overlay: AttributionOverlay, right: float, top: float, height: float) -> None:
    """Draw the colour scale with its unit, the meaning of its ends, grey for "not explained", and hatching."""
    pen, scale = imgui.get_window_draw_list(), overlay.scale
    bar_width, steps = widgets.length(14), 64
    left = right - bar_width
    colours = scale.colours(np.linspace(scale.high, scale.low, steps))
    for step, colour in enumerate(colours):
        y = top + height * step / steps
        pen.add_rect_filled((left, y), (right, y + height / steps + 1), pack_colour(tuple(map(int, colour))))  # type: ignore[arg-type]
    signed = isinstance(scale, DivergingScale)
    line = imgui.get_text_line_height()

    def add_text(text: str, y: float, colour: tuple[int, int, int], right_edge: float) -> None:
        pen.add_text((right_edge - imgui.calc_text_size(text).x, y), pack_colour(colour), text)

    add_text("evidence for sick" if signed else "high attention", top - 3.0 * line, SICK if signed else INK, right)
    add_text(unit_text(scale), top - 1.9 * line, MUTED, right)
    for fraction, value in zip((0.0, 0.5, 1.0), (scale.high, (scale.high + scale.low) / 2, scale.low), strict=True):
        add_text(
            f"{value * 1000:+.3g}" if signed and value else f"{value * 1000:.3g}",
            top + fraction * height - line / 2,
            INK,
            left - 4,
        )
    below = top + height + 0.5 * line
    add_text("evidence for healthy" if signed else "low attention", below, HEALTHY if signed else INK, right)
    below += 1.5 * line
    grey = pack_colour(scale.missing)
    pen.add_rect_filled((left, below), (right, below + bar_width), grey)
    add_text("not explained", below, MUTED, left - 4)
    if not overlay.explainable.all():
        below += 1.5 * line
        pen.add_rect_filled((left, below), (right, below + bar_width), pack_colour(UNOBSERVED))
        for start in (0.0, bar_width / 2):
            pen.add_line((left + start, below + bar_width), (right, below + start), pack_colour(HATCH))
            pen.add_line((left, below + bar_width - start), (right - start, below), pack_colour(HATCH))
        add_text("not observed", below, MUTED, left - 4)
    widgets.rects["Colour bar"] = (left, top, right, top + height)


def explanation_gap(overlay: AttributionOverlay, frame: int, joint: Joint) -> str:
    """Return why a joint has no attribution in a frame."""
    if not overlay.trial.observed[frame, joint]:
        return NOT_OBSERVED
    return "not used by this network" if not overlay.explainable[frame, joint] else "not explained"


def format_attribution(value: float, scale: Scale) -> str:
    """Format one attribution value in the unit of ``unit_text``, with the class that it is evidence for."""
    if not isinstance(scale, DivergingScale):
        return f"{1000 * value:.3g}"
    return f"{1000 * value:+.3g}, evidence for {'sick' if value > 0 else 'healthy'}" if value else "0"


def play_bar(widgets: Widgets, state: ViewerState) -> None:
    """Draw the playback controls: step, play, frame slider, loop, speed."""
    has_trial = state.num_frames > 0
    if widgets.button("<", "one frame back (,)", enabled=has_trial, name="Back"):
        state.step(-1)
    imgui.same_line()
    if widgets.button(
        "Pause" if state.playing else "Play", "space", enabled=has_trial, width=widgets.length(58), name="Play"
    ):
        state.toggle_play()
    imgui.same_line()
    if widgets.button(">", "one frame forward (.)", enabled=has_trial, name="Forward"):
        state.step(1)
    imgui.same_line()
    right = widgets.length(150)
    imgui.push_item_width(max(imgui.get_content_region_avail().x - right, widgets.length(60)))
    first = state.actor.trial.sequence.first_frame if state.actor else 1
    imgui.begin_disabled(not has_trial)
    last = first + (state.num_frames - 1 if has_trial else 1000)  # without a trial the slider stays at its left end
    changed, frame = imgui.slider_int("##Frame", state.frame + first, first, last, "frame %d" if has_trial else "")
    imgui.end_disabled()
    widgets.record_rect("Frame")
    imgui.pop_item_width()
    if changed:
        state.playing = False
        state.seek(frame - first)
    imgui.same_line()
    state.loop = widgets.checkbox("Loop", state.loop, "repeat from the beginning (L)")
    imgui.same_line()
    speeds = [f"{speed:g} x" for speed in SPEEDS]
    state.speed = SPEEDS[widgets.combo("Speed", speeds, SPEEDS.index(state.speed), "playback speed")]


_ANY_BUTTON = 1 | 2 | 4
"""ImGui's flags of a button that reacts to the left, right and middle mouse button."""
