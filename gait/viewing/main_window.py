"""Everything in the window: where each panel stands, and what the keys do. The same on a screen and without one."""

from __future__ import annotations

from pathlib import Path

import moderngl

from gait.viewing.lazy_imgui import imgui
from gait.viewing.panels.body_panel import BodyPanel, play_bar
from gait.viewing.panels.control_panel import control_panel
from gait.viewing.panels.file_browser import FileBrowser
from gait.viewing.panels.help_page import help_page
from gait.viewing.panels.timeline_panel import TimelinePanel
from gait.viewing.panels.widgets import Controls
from gait.viewing.viewer_state import ViewerState

_DESIGNED = (1280, 720)  # pixels at which all lengths are as written
_LEAST_SCALE, _MOST_SCALE = 0.72, 4.0


def scale_of_window(width: int, height: int, density: float = 1.0) -> float:
    """How large letters are: they grow with the window, but less than in proportion, so that a large one shows more.

    ``density`` is how many pixels of this screen take the room of one of an ordinary screen.
    """
    size = min(width / _DESIGNED[0], height / _DESIGNED[1]) / density
    return density * float(min(max(size**0.75, _LEAST_SCALE), _MOST_SCALE))


class MainWindow:
    """Draws the session into a stage's window."""

    def __init__(
        self,
        context: moderngl.Context,
        session: ViewerState,
        folder: Path,
        *,
        panel: bool = True,
        letters: float | None = None,
    ) -> None:
        """Contents of one OpenGL context.

        Args:
            context: that is current whenever ``draw`` is called.
            session: what is shown.
            folder: where browsing begins.
            panel: whether there are controls; a film has none.
            letters: how large they are; as the window's size asks for if None.
        """
        self.controls = Controls()
        self._session = session
        self._view = BodyPanel(context, panel=panel)
        self._map = TimelinePanel(context, panel=panel)
        self._open = FileBrowser(folder)
        self._panel = panel
        self._letters = letters

    def draw(self, width: int, height: int, seconds: float, density: float = 1.0) -> None:
        """One picture, ``seconds`` after the last one. Call it between ImGui's new frame and its rendering."""
        controls, session = self.controls, self._session
        controls.began()
        controls.scale = self._letters or scale_of_window(width, height, density)
        style = imgui.get_style()
        style.font_scale_main = controls.scale
        style.window_padding = imgui.ImVec2(controls.length(8), controls.length(6))
        style.item_spacing = imgui.ImVec2(controls.length(6), controls.length(4))
        style.frame_padding = imgui.ImVec2(controls.length(5), controls.length(3))
        style.item_inner_spacing = imgui.ImVec2(controls.length(4), controls.length(4))
        style.separator_text_padding = imgui.ImVec2(controls.length(20), controls.length(3))
        style.separator_text_border_size = controls.length(3)
        style.scrollbar_size = controls.length(11)
        style.grab_min_size = controls.length(12)
        self._keys(seconds)
        session.advance(seconds)

        side = round(min(controls.length(278), 0.42 * width)) if self._panel else 0
        pad = round(controls.length(6))
        bar = round(controls.length(32)) if self._panel else 0
        below = self._map_height(height - bar)
        view = (width - side, height - bar - below)
        if self._panel:
            _place("controls", 0, 0, side, height)
            asked = control_panel(controls, session)
            imgui.end()
            if asked:
                self._open.show(compare=asked == "compare")
        _place("view", side, 0, *view, padding=0.0)
        self._view.draw(controls, session, max(view[0], 16), max(view[1], 16))
        imgui.end()
        if self._panel:
            _place("play", side, view[1], view[0], bar)
            play_bar(controls, session)
            imgui.end()
        if below:
            _place("map", side, view[1] + bar, view[0], below, padding=pad / 2)
            self._map.draw(controls, session, view[0] - pad, below - pad)
            imgui.end()
        self._open.draw(controls, session, width, height)
        help_page(controls, session, width, height)

    def release(self) -> None:
        """Give the graphics memory back."""
        self._view.release()
        self._map.release()

    def _map_height(self, height: int) -> int:
        if self._session.body is None:
            return 0
        return round(height * (0.45 if self._session.explained is not None else 0.36))

    def _keys(self, seconds: float) -> None:
        session = self._session
        key = imgui.Key
        if imgui.is_key_pressed(key.escape, False):
            session.help = self._open.shown = False
        if imgui.get_io().want_text_input or imgui.get_io().key_ctrl:
            return

        def held(plus: imgui.Key, minus: imgui.Key) -> float:
            return float(imgui.is_key_down(plus)) - float(imgui.is_key_down(minus))

        moves = (held(key.d, key.a), held(key.r, key.f), held(key.w, key.s), held(key.q, key.e))
        if any(moves):
            session.fly(*moves, seconds=min(seconds, 0.2))
        for pressed, act in (
            (key.space, session.toggle_play),
            (key.home, lambda: session.seek(0)),
            (key.end, lambda: session.seek(session.frames - 1)),
            (key.b, session.frame_to_body),
        ):
            if imgui.is_key_pressed(pressed, False):
                act()
        for pressed, frames in ((key.comma, -1), (key.period, 1)):
            if imgui.is_key_pressed(pressed, True):
                session.step(frames)
        if imgui.is_key_pressed(key.g, False):
            session.layers.floor = not session.layers.floor
        if imgui.is_key_pressed(key.l, False):
            session.loop = not session.loop
        if imgui.is_key_pressed(key.h, False):
            session.help = not session.help
        if imgui.is_key_pressed(key.o, False):
            self._open.show(compare=False)


def _place(name: str, left: float, top: float, width: float, height: float, padding: float | None = None) -> None:
    """Begin a panel that stays where it is put."""
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
        | flags.no_background.value  # the stage is of that colour; to paint it again costs a third of a picture
        | flags.no_bring_to_front_on_focus.value
        | (0 if name == "controls" else flags.no_scrollbar.value | flags.no_scroll_with_mouse.value),
    )
    imgui.pop_style_var(1 if padding is None else 2)
