"""Where the window is drawn: on a screen, or into memory without one. Both show the same contents."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

import moderngl
import numpy as np
from numpy.typing import NDArray

from gait.viewing import lazy_imgui as gui
from gait.viewing.lazy_imgui import imgui, implot
from gait.viewing.offscreen_renderer import egl_context

PAPER = (0.94, 0.94, 0.94, 1.0)
"""What everything is drawn on, red, green, blue, opacity."""
TITLE = "Gait: what the network looked at"


class RenderTarget(Protocol):
    """A place with a size and an OpenGL context."""

    context: moderngl.Context

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""


class Looks:
    """ImGui of one stage: its letters and colours."""

    def __init__(self) -> None:
        self.imgui = imgui.create_context()
        self.implot = implot.create_context()
        self.use()  # ImGui itself takes up a new one only where there is none
        io = imgui.get_io()
        io.set_ini_filename("")
        io.set_log_filename("")
        regular, _ = gui.fonts()
        io.fonts.add_font_from_file_ttf(str(regular), 15.0)
        imgui.style_colors_light()
        implot.style_colors_light()
        style = imgui.get_style()
        style.child_border_size = 0.0
        style.frame_rounding = style.grab_rounding = 3.0
        # Plain surfaces: smoothed edges cost a software rasteriser a tenth of a picture.
        style.anti_aliased_fill = False
        implot.get_style().use_local_time = False

    def use(self) -> None:
        """What ImGui is asked from now on is about this stage."""
        imgui.set_current_context(self.imgui)
        implot.set_current_context(self.implot)

    def close(self) -> None:
        """Give it back."""
        self.use()
        implot.destroy_context(self.implot)
        imgui.destroy_context(self.imgui)


class OffscreenWindow:
    """Without a screen. Events are scripted: what hands would do, and how much time passes."""

    def __init__(self, width: int, height: int) -> None:
        """Of this size.

        Raises:
            NoDrawingError: this machine cannot draw.
            NoWindowError: imgui-bundle is missing.
        """
        self.context = egl_context()
        with self.context:
            self._picture = self.context.simple_framebuffer((width, height), components=4)
            self._looks = Looks()
            imgui.backends.opengl3_init("#version 330")
        imgui.get_io().display_size = imgui.ImVec2(width, height)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._picture.size[0], self._picture.size[1]

    def draw(self, contents: Callable[[], None], seconds: float = 1 / 30) -> None:
        """One picture, ``seconds`` after the last one."""
        self._looks.use()
        with self.context:
            imgui.get_io().delta_time = max(seconds, 1e-6)
            imgui.backends.opengl3_new_frame()
            imgui.new_frame()
            contents()
            imgui.render()
            self._picture.use()
            self._picture.clear(*PAPER)
            imgui.backends.opengl3_render_draw_data(imgui.get_draw_data())

    def picture(self) -> NDArray[np.uint8]:
        """What was drawn last, (height, width, 3)."""
        width, height = self.size
        with self.context:
            pixels = self._picture.read(components=3, alignment=1)
        # In one piece: what is upside down in memory costs whoever writes it ten times as much.
        return np.ascontiguousarray(np.frombuffer(pixels, np.uint8).reshape(height, width, 3)[::-1])

    @property
    def io(self) -> Any:
        """Where scripted events go in."""
        self._looks.use()
        return imgui.get_io()

    def close(self) -> None:
        """Give everything back."""
        self._looks.use()
        with self.context:
            imgui.backends.opengl3_shutdown()
            self._looks.close()
            self._picture.release()
        self.context.release()

    def __enter__(self) -> OffscreenWindow:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
