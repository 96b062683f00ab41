"""The window without a screen, and the base of both windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait.viewing import lazy_imgui as gui
from gait.viewing.lazy_imgui import imgui, implot
from gait.viewing.offscreen_renderer import egl_context

CLEAR_COLOUR = (0.94, 0.94, 0.94, 1.0)
"""Background of the window: red, green, blue, opacity."""
TITLE = "Gait: explanation viewer"


class ImGuiContext:
    """The ImGui and ImPlot contexts of one window, with fonts and colours."""

    def __init__(self) -> None:
        self.imgui = imgui.create_context()
        self.implot = implot.create_context()
        self.use()  # ImGui makes a new context current only if there was none
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
        # Anti-aliased fills take a software rasterizer a tenth of the time per frame.
        style.anti_aliased_fill = False
        implot.get_style().use_local_time = False

    def use(self) -> None:
        """Make the contexts of this window current."""
        imgui.set_current_context(self.imgui)
        implot.set_current_context(self.implot)

    def close(self) -> None:
        """Destroy the contexts."""
        self.use()
        implot.destroy_context(self.implot)
        imgui.destroy_context(self.imgui)


class OffscreenWindow:
    """A window that is drawn into memory. Input events and elapsed time are given by the caller."""

    def __init__(self, width: int, height: int) -> None:
        """Create a window of this size in pixels.

        Raises:
            RenderingUnavailableError: this machine cannot render.
            WindowUnavailableError: imgui-bundle is missing.
        """
        self.context = egl_context()
        with self.context:
            self._framebuffer = self.context.simple_framebuffer((width, height), components=4)
            self._imgui = ImGuiContext()
            imgui.backends.opengl3_init("#version 330")
        imgui.get_io().display_size = imgui.ImVec2(width, height)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._framebuffer.size[0], self._framebuffer.size[1]

    def draw(self, contents: Callable[[], None], seconds: float = 1 / 30) -> None:
        """Draw a frame, ``seconds`` after the last one."""
        self._imgui.use()
        with self.context:
            imgui.get_io().delta_time = max(seconds, 1e-6)
            imgui.backends.opengl3_new_frame()
            imgui.new_frame()
            contents()
            imgui.render()
            self._framebuffer.use()
            self._framebuffer.clear(*CLEAR_COLOUR)
            imgui.backends.opengl3_render_draw_data(imgui.get_draw_data())

    def image(self) -> NDArray[np.uint8]:
        """Return the last frame, (height, width, 3)."""
        width, height = self.size
        with self.context:
            pixels = self._framebuffer.read(components=3, alignment=1)
        # Contiguous: writing a flipped view takes ten times as long.
        return np.ascontiguousarray(np.frombuffer(pixels, np.uint8).reshape(height, width, 3)[::-1])

    @property
    def io(self) -> Any:
        """ImGui's input, to which events are added."""
        self._imgui.use()
        return imgui.get_io()

    def close(self) -> None:
        """Free everything."""
        self._imgui.use()
        with self.context:
            imgui.backends.opengl3_shutdown()
            self._imgui.close()
            self._framebuffer.release()
        self.context.release()

    def __enter__(self) -> OffscreenWindow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
