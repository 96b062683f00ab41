"""The contents of the window: the layout of the panels, and the keys. It is the same on a screen and offscreen."""

from __future__ import annotations

from pathlib import Path

import moderngl

from gait.viewing.lazy_imgui import imgui
from gait.viewing.panels.body_panel import BodyPanel, play_bar
from gait.viewing.panels.control_panel import control_panel
from gait.viewing.panels.evidence_panel import evidence_panel
from gait.viewing.panels.file_browser import FileBrowser
from gait.viewing.panels.help_page import help_page
from gait.viewing.panels.timeline_panel import TimelinePanel
from gait.viewing.panels.widgets import Widgets
from gait.viewing.viewer_state import ViewerState

_REFERENCE_SIZE = (1280, 720)  # pixels; the scale is 1 at this window size
_STYLE: dict[str, float | tuple[float, float]] = {  # of ImGui, unscaled pixels
    "window_padding": (8, 6), "item_spacing": (6, 4), "frame_padding": (5, 3), "item_inner_spacing": (4, 4),
    "separator_text_padding": (20, 3), "separator_text_border_size": 3, "scrollbar_size": 11, "grab_min_size": 12,
}  # fmt: skip
_MIN_SCALE, _MAX_SCALE = 0.72, 4.0


def ui_scale(width: int, height: int, density: float = 1.0) -> float:
    """Return the scale of texts and widgets. It grows less than the window, so that a larger window shows more.

    ``density`` is the number of pixels per pixel of a standard screen.
    """
    size = min(width / _REFERENCE_SIZE[0], height / _REFERENCE_SIZE[1]) / density
    return density * float(min(max(size**0.75, _MIN_SCALE), _MAX_SCALE))


class MainWindow:
    """Draws the state of the viewer into a window."""

    def __init__(
        self,
        context: moderngl.Context,
        state: ViewerState,
        folder: Path,
        *,
        show_controls: bool = True,
        font_scale: float | None = None,
    ) -> None:
        """Create the contents for an OpenGL context, which must be current when ``draw`` is called.

        ``folder`` is the first folder of the file browser. Videos have no controls. ``font_scale`` scales texts and
        widgets; None: ``ui_scale`` of the window.
        """
        self.widgets = Widgets()
        self._state = state
        self._body_panel = BodyPanel(context, show_controls=show_controls)
        self._timeline = TimelinePanel(context, show_controls=show_controls)
        self._browser = FileBrowser(folder)
        self._show_controls = show_controls
        self._font_scale = font_scale

    def draw(self, width: int, height: int, seconds: float, density: float = 1.0) -> None:
        """Draw a frame, ``seconds`` after the last one. Call it between ImGui's ``new_frame`` and ``render``."""
        widgets, state = self.widgets, self._state
        widgets.begin_frame()
        widgets.scale = self._font_scale or ui_scale(width, height, density)
        style = imgui.get_style()
        style.font_scale_main = widgets.scale
        for name, length in _STYLE.items():
            pixels = tuple(map(widgets.length, length)) if isinstance(length, tuple) else widgets.length(length)
            setattr(style, name, pixels)
        self._handle_keys(seconds)
        state.advance(seconds)

        side = round(min(widgets.length(278), 0.42 * width)) if self._show_controls else 0
        pad = round(widgets.length(6))
        bar = round(widgets.length(32)) if self._show_controls else 0
        below = self._timeline_height(height - bar)
        view = (width - side, height - bar - below)
        if self._show_controls:
            _begin_panel("controls", 0, 0, side, height)
            request = control_panel(widgets, state)
            imgui.end()
            if request:
                self._browser.show(compare=request == "compare")
        _begin_panel("view", side, 0, *view, padding=0.0)
        self._body_panel.draw(widgets, state, max(view[0], 16), max(view[1], 16))
        imgui.end()
        if self._show_controls:
            _begin_panel("play", side, view[1], view[0], bar)
            play_bar(widgets, state)
            imgui.end()
        beside = round(min(widgets.length(540), 0.5 * view[0])) if self._shows_evidence(view[0]) else 0
        if below:
            _begin_panel("map", side, view[1] + bar, view[0] - beside, below, padding=pad / 2)
            self._timeline.draw(widgets, state, view[0] - beside - pad, below - pad)
            imgui.end()
        if beside:
            _begin_panel("evidence", side + view[0] - beside, view[1] + bar, beside, below, padding=pad / 2)
            evidence_panel(widgets, state)
            imgui.end()
        self._browser.draw(widgets, state, width, height)
        help_page(widgets, state, width, height)

    def release(self) -> None:
        """Free the graphics memory."""
        self._body_panel.release()
        self._timeline.release()

    def _shows_evidence(self, width: float) -> bool:
        """Return whether a view of this width has room for the table of findings, and there is one."""
        return self._show_controls and self._state.evidence is not None and width > self.widgets.length(520)

    def _timeline_height(self, height: int) -> int:
        if self._state.actor is None:
            return 0
        return round(height * (0.45 if self._state.overlay is not None else 0.36))

    def _handle_keys(self, seconds: float) -> None:
        state = self._state
        key = imgui.Key
        if imgui.is_key_pressed(key.escape, False):
            state.help = self._browser.shown = False
        if imgui.get_io().want_text_input or imgui.get_io().key_ctrl:
            return

        def axis(plus: imgui.Key, minus: imgui.Key) -> float:
            return float(imgui.is_key_down(plus)) - float(imgui.is_key_down(minus))

        moves = (axis(key.d, key.a), axis(key.r, key.f), axis(key.w, key.s), axis(key.q, key.e))
        if any(moves):
            state.fly(*moves, seconds=min(seconds, 0.2))
        for pressed, act in (
            (key.space, state.toggle_play),
            (key.home, lambda: state.seek(0)),
            (key.end, lambda: state.seek(state.num_frames - 1)),
            (key.b, state.view_whole_body),
            (key.o, lambda: self._browser.show(compare=False)),
        ):
            if imgui.is_key_pressed(pressed, False):
                act()
        for pressed, frames in ((key.comma, -1), (key.period, 1)):
            if imgui.is_key_pressed(pressed, True):
                state.step(frames)
        for pressed, owner, name in ((key.g, state.layers, "floor"), (key.l, state, "loop"), (key.h, state, "help")):
            if imgui.is_key_pressed(pressed, False):
                setattr(owner, name, not getattr(owner, name))


def _begin_panel(name: str, left: float, top: float, width: float, height: float, padding: float | None = None) -> None:
    """Begin an ImGui window with a fixed position and size."""
    imgui.set_next_window_pos((left, top))
    imgui.set_next_window_size((width, height))
    imgui.push_style_var(imgui.StyleVar_.window_border_size.value, 0.0)
    flags = imgui.WindowFlags_
    if padding is not None:
        imgui.push_style_var(imgui.StyleVar_.window_padding.value, (padding, padding))
    imgui.begin(
        f"##{name}",
        None,
        flags.no_title_bar.value
        | flags.no_resize.value
        | flags.no_move.value
        | flags.no_saved_settings.value
        | flags.no_background.value  # it has this colour already; painting it again takes a third of the time per frame
        | flags.no_bring_to_front_on_focus.value
        | (0 if name == "controls" else flags.no_scrollbar.value | flags.no_scroll_with_mouse.value),
    )
    imgui.pop_style_var(1 if padding is None else 2)
