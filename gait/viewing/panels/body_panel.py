"""The body, with the colour bar and the mouse in it, and what plays below."""

from __future__ import annotations

import moderngl
import numpy as np

from gait.body.skeleton import Joint, plain_name
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.build_scene import CHOSEN
from gait.viewing.colours import OBSERVED, RESIDUAL, VIRTUAL, Colour, DivergingScale, Scale
from gait.viewing.lazy_imgui import imgui
from gait.viewing.panels.control_panel import verdict_words
from gait.viewing.panels.widgets import FAINT, HEALTHY, INK, SICK, Controls, packed
from gait.viewing.renderer import Canvas, Renderer
from gait.viewing.viewer_state import SPEEDS, ViewerState

_ORBIT_DEG_A_PIXEL = 0.4
_ZOOM_A_NOTCH = 0.88
_MOST_SMOOTH = 4_000_000  # pixels of a view that is drawn at twice its size
_REACH = 16.0  # pixels from a joint within which a click means it, in a window as it was designed


class BodyPanel:
    """Draws the scene into a picture of its own, which the window shows."""

    def __init__(self, context: moderngl.Context, *, panel: bool) -> None:
        """A view beside a panel, or a view that must say itself what it shows."""
        self._panel = panel
        self._context = context
        self._renderer = Renderer(context)
        self._canvas: Canvas | None = None
        self._dragged = 0.0
        self._drawn: object = None
        self._smooth = False

    def draw(self, controls: Controls, session: ViewerState, width: int, height: int) -> None:
        """The view, ``width`` by ``height`` pixels, at ImGui's cursor."""
        self._draw_scene(session, width, height, controls.scale)
        corner = imgui.get_cursor_screen_pos()
        assert self._canvas is not None
        imgui.image(imgui.ImTextureRef(self._canvas.picture.glo), (width, height), (0.0, 1.0), (1.0, 0.0))
        # A button under the mouse, so that dragging the view does not drag the window.
        imgui.set_cursor_screen_pos(corner)
        imgui.invisible_button("view", (width, height), _ANY_BUTTON)
        controls.noted("View")
        self._mouse(session, corner.x, corner.y, width, height, controls.length(_REACH))
        self._words(controls, session, corner.x, corner.y, width, height)

    def release(self) -> None:
        """Give the memory back."""
        if self._canvas is not None:
            self._canvas.release()

    def _draw_scene(self, session: ViewerState, width: int, height: int, line_scale: float) -> None:
        """Once a change; and what stays as it is, once more at twice the size, which smooths its edges."""
        now = (session.look(), width, height)
        same = now == self._drawn
        if same and self._smooth:
            return
        self._smooth = same and width * height <= _MOST_SMOOTH
        # What ImGui calls a pixel may be several of the screen's.
        times = (2 if self._smooth else 1) * max(round(imgui.get_io().display_framebuffer_scale.x), 1)
        if same and not self._smooth:
            return
        if self._canvas is None or self._canvas.size != (times * width, times * height):
            if self._canvas is not None:
                self._canvas.release()
            self._canvas = Canvas.of_size(self._context, times * width, times * height)
            if self._smooth:  # the middle of four pixels
                self._canvas.picture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        self._renderer.draw(session.scene(), session.camera, self._canvas, pixel_scale=times * line_scale)
        self._drawn = now

    def _mouse(self, session: ViewerState, left: float, top: float, width: int, height: int, reach: float) -> None:
        io = imgui.get_io()
        if imgui.is_item_hovered() and io.mouse_wheel:
            session.camera = session.camera.zoomed(_ZOOM_A_NOTCH**io.mouse_wheel)
        if imgui.is_item_activated():
            self._dragged = 0.0
        column, row = io.mouse_pos.x - left, io.mouse_pos.y - top
        if imgui.is_item_active():
            dx, dy = io.mouse_delta.x, io.mouse_delta.y
            self._dragged += abs(dx) + abs(dy)
            if self._dragged > 4:
                if io.mouse_down[0]:
                    session.camera = session.camera.orbited(-dx * _ORBIT_DEG_A_PIXEL, dy * _ORBIT_DEG_A_PIXEL)
                else:
                    metres = session.camera.view_height_m / height
                    session.camera = session.camera.flown(-dx * metres, dy * metres, 0.0)
        if imgui.is_item_deactivated() and self._dragged <= 4:
            session.joint = session.nearest_joint(column, row, width, height, reach)
        elif imgui.is_item_hovered() and not io.mouse_down[0]:
            joint = session.nearest_joint(column, row, width, height, reach)
            if joint is not None:
                imgui.set_tooltip(_joint_words(session, joint))

    def _words(
        self, controls: Controls, session: ViewerState, left: float, top: float, width: int, height: int
    ) -> None:
        pen, pad = imgui.get_window_draw_list(), controls.length(12)
        if session.body is None:
            text = session.jobs.busy or "Open a walk to begin: press O, or drop its folder here."
            size = imgui.calc_text_size(text)
            pen.add_text((left + (width - size.x) / 2, top + (height - size.y) / 2), packed(FAINT), text)
            return
        gait = session.body.gait
        lines = []
        if not self._panel:
            lines += _title(session)
        lines += [(f"{session.frame / gait.rate_hz:.2f} s, frame {session.frame + gait.sequence.first_frame}", INK)]
        explained = session.explained
        if explained is not None:
            now = explained.probability[session.frame]
            if np.isfinite(now):
                lines.append((f"at this moment: {verdict_words(float(now))}", SICK if now > 0.5 else HEALTHY))
            else:
                lines.append(("at this moment: not explained", FAINT))
        if session.joint is not None:
            lines.append((_joint_words(session, session.joint), CHOSEN))
        if session.ghost is not None and session.layers.ghost:
            lines.append((f"in grey: {session.ghost.gait.name}", FAINT))
        if session.layers.markers and gait.markers is not None:
            lines += [("markers as measured", OBSERVED), ("markers on the fitted body", VIRTUAL)]
            lines += [("from one to the other", RESIDUAL)]
        line = imgui.get_text_line_height_with_spacing()
        for number, (text, colour) in enumerate(lines):
            pen.add_text((left + pad, top + pad + number * line), packed(colour), text)
        if explained is not None and not self._panel:
            for number, text in enumerate((explained.network.title, explained.method.title)):
                pen.add_text((left + pad, top + height - pad - (number + 1) * line), packed(FAINT), text)
        if explained is not None:
            bar = min(controls.length(200), height - controls.length(120))
            if bar > controls.length(50):
                colour_bar(controls, explained, left + width - controls.length(26), top + controls.length(64), bar)


def _joint_words(session: ViewerState, joint: Joint) -> str:
    """What a joint is called, and how well the fit knows where it is in this frame."""
    sigma_m = session.body.gait.sequence.joints_sigma_m if session.body else None
    known = "" if sigma_m is None else f", ± {1000 * sigma_m[session.frame, joint]:.0f} mm (1 SD)"
    return plain_name(joint) + known


def _title(session: ViewerState) -> list[tuple[str, Colour]]:
    """What is shown, and what the network says of all of it."""
    if session.body is None:
        return []
    lines = [(session.body.gait.name, INK)]
    explained = session.explained
    if explained is not None:
        whole = explained.importance.person_probability
        lines.append((f"on the whole: {verdict_words(whole)}", SICK if whole > 0.5 else HEALTHY))
    return lines


def colour_bar(controls: Controls, explained: AttributionOverlay, right: float, top: float, height: float) -> None:
    """The scale, its ends in words, its unit, and grey for what is not explained; its right edge is at ``right``."""
    pen, scale = imgui.get_window_draw_list(), explained.scale
    bar_width, steps = controls.length(14), 64
    left = right - bar_width
    colours = scale.colours(np.linspace(scale.high, scale.low, steps))
    for step, colour in enumerate(colours):
        y = top + height * step / steps
        pen.add_rect_filled((left, y), (right, y + height / steps + 1), packed(tuple(map(int, colour))))  # type: ignore[arg-type]
    signed = isinstance(scale, DivergingScale)
    line = imgui.get_text_line_height()

    def words(text: str, y: float, colour: tuple[int, int, int], edge: float) -> None:
        pen.add_text((edge - imgui.calc_text_size(text).x, y), packed(colour), text)

    words("speaks for sick" if signed else "looked at much", top - 3.0 * line, SICK if signed else INK, right)
    words(unit_words(scale), top - 1.9 * line, FAINT, right)
    for place, value in zip((0.0, 0.5, 1.0), (scale.high, (scale.high + scale.low) / 2, scale.low), strict=True):
        words(
            f"{value * 1000:+.3g}" if signed and value else f"{value * 1000:.3g}",
            top + place * height - line / 2,
            INK,
            left - 4,
        )
    below = top + height + 0.5 * line
    words("speaks for healthy" if signed else "hardly looked at", below, HEALTHY if signed else INK, right)
    below += 1.5 * line
    grey = packed(scale.missing)
    pen.add_rect_filled((left, below), (right, below + bar_width), grey)
    words("not explained", below, FAINT, left - 4)
    controls.places["Colour bar"] = (left, top, right, top + height)


def value_words(value: float, scale: Scale) -> str:
    """One importance, as the scale says it."""
    if not isinstance(scale, DivergingScale):
        return f"{1000 * value:.3g}"
    return f"{1000 * value:+.3g}, speaks for {'sick' if value > 0 else 'healthy'}" if value else "0"


def unit_words(scale: Scale) -> str:
    """What a number on the scale is."""
    return "thousandths of the score" if isinstance(scale, DivergingScale) else "thousandths of the attention"


def play_bar(controls: Controls, session: ViewerState) -> None:
    """Play, step, the place in time, loop, speed."""
    there = session.frames > 0
    if controls.button("<", "one frame back (,)", enabled=there, name="Back"):
        session.step(-1)
    imgui.same_line()
    if controls.button(
        "Pause" if session.playing else "Play", "space", enabled=there, width=controls.length(58), name="Play"
    ):
        session.toggle_play()
    imgui.same_line()
    if controls.button(">", "one frame on (.)", enabled=there, name="On"):
        session.step(1)
    imgui.same_line()
    right = controls.length(150)
    imgui.push_item_width(max(imgui.get_content_region_avail().x - right, controls.length(60)))
    first = session.body.gait.sequence.first_frame if session.body else 1
    imgui.begin_disabled(not there)
    last = first + (session.frames - 1 if there else 1000)  # none is a place at the beginning, too
    changed, frame = imgui.slider_int("##Frame", session.frame + first, first, last, "frame %d" if there else "")
    imgui.end_disabled()
    controls.noted("Frame")
    imgui.pop_item_width()
    if changed:
        session.playing = False
        session.seek(frame - first)
    imgui.same_line()
    session.loop = controls.tick("Loop", session.loop, "begin again at the end (L)")
    imgui.same_line()
    speeds = [f"{speed:g} x" for speed in SPEEDS]
    session.speed = SPEEDS[controls.choice("Speed", speeds, SPEEDS.index(session.speed), "slower or faster than life")]


_ANY_BUTTON = 1 | 2 | 4
"""ImGui's flags of a button that the left, right and middle one press."""
