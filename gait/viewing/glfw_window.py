"""The window on a screen, by GLFW."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import moderngl

from gait.viewing.lazy_imgui import WindowUnavailableError, glfw, imgui
from gait.viewing.offscreen_window import PAPER, TITLE, Looks

_IDLE_S = 0.25  # between two pictures while nothing happens
_AWAKE_S = 0.5  # after the last event
_MOST_DENSE = 4.0  # a system that says more is mistaken


class GlfwWindow:
    """A window of the system. Draws as often as the screen shows pictures while anything moves, rarely otherwise."""

    def __init__(self, width: int, height: int, dropped: Callable[[Path], None]) -> None:
        """Open a window.

        Args:
            width: at first, in pixels of an ordinary screen; on a finer one it has as many more.
            height: likewise.
            dropped: is told of each file or folder that is dropped on the window.

        Raises:
            NoWindowError: there is no screen, or no OpenGL 3.3 on it.
        """
        said: list[str] = []
        glfw.ERROR_REPORTING = "ignore"
        glfw.set_error_callback(lambda _, words: said.append(words.decode(errors="replace")))
        if not glfw.init():
            raise _no_window(said)
        glfw.window_hint(glfw.CONTEXT_VERSION_MAJOR, 3)
        glfw.window_hint(glfw.CONTEXT_VERSION_MINOR, 3)
        glfw.window_hint(glfw.OPENGL_PROFILE, glfw.OPENGL_CORE_PROFILE)
        glfw.window_hint(glfw.OPENGL_FORWARD_COMPAT, True)
        glfw.window_hint(glfw.SCALE_TO_MONITOR, True)
        glfw.window_hint(glfw.SAMPLES, 0)  # multisampling costs a software rasteriser more than the picture
        self._window: Any = glfw.create_window(width, height, TITLE, None, None)
        if not self._window:
            glfw.terminate()
            raise _no_window(said)
        glfw.make_context_current(self._window)
        glfw.swap_interval(1)
        try:
            self.context = moderngl.create_context(require=330)
        except Exception as error:  # moderngl raises bare Exceptions, each driver with its own words
            glfw.terminate()
            raise _no_window([str(error)]) from error

        def on_drop(_: Any, paths: list[str]) -> None:
            for path in paths:
                dropped(Path(path))

        glfw.set_drop_callback(self._window, on_drop)
        self._looks = Looks()
        imgui.backends.glfw_init_for_opengl(ctypes.cast(self._window, ctypes.c_void_p).value or 0, True)
        imgui.backends.opengl3_init("#version 330")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = glfw.get_framebuffer_size(self._window)
        return int(width), int(height)

    @property
    def density(self) -> float:
        """How many of ImGui's pixels take the room of one of an ordinary screen."""
        return density_of(glfw.get_window_content_scale(self._window), glfw.get_window_size(self._window), self.size)

    def run(self, contents: Callable[[int, int, float, float], None], moving: Callable[[], bool]) -> None:
        """Until the window is closed.

        Args:
            contents: draws a picture of a width and height in ImGui's pixels, so many seconds after the last one, on a
                screen of such a density.
            moving: whether the next picture may be another one although nothing is pressed.
        """
        self._looks.use()
        last = awake = time.perf_counter()
        screen = self.context.detect_framebuffer(0)
        while not glfw.window_should_close(self._window):
            if moving() or time.perf_counter() < awake + _AWAKE_S:
                glfw.poll_events()
            else:
                before = time.perf_counter()
                glfw.wait_events_timeout(_IDLE_S)
                if time.perf_counter() - before < 0.9 * _IDLE_S:
                    awake = time.perf_counter()
            imgui.backends.opengl3_new_frame()
            imgui.backends.glfw_new_frame()
            imgui.new_frame()
            io = imgui.get_io()
            if io.mouse_delta.x or io.mouse_delta.y or io.mouse_wheel or imgui.is_any_mouse_down() or _any_key_down():
                awake = time.perf_counter()
            if io.key_ctrl and imgui.is_key_pressed(imgui.Key.q, False):
                self.ask_to_close()
            width, height = self.size
            now = time.perf_counter()
            if width and height:  # a minimised window has no size
                contents(round(io.display_size.x), round(io.display_size.y), now - last, self.density)
            last = now
            imgui.render()
            screen.use()
            self.context.viewport = (0, 0, width, height)
            self.context.clear(*PAPER)
            imgui.backends.opengl3_render_draw_data(imgui.get_draw_data())
            glfw.swap_buffers(self._window)

    def ask_to_close(self) -> None:
        """As if the user had closed it: ``run`` ends after this picture."""
        glfw.set_window_should_close(self._window, True)

    def close(self) -> None:
        """Take the window away."""
        self._looks.use()
        imgui.backends.opengl3_shutdown()
        imgui.backends.glfw_shutdown()
        self._looks.close()
        glfw.terminate()


def density_of(content_scale: tuple[float, float], window: tuple[int, int], framebuffer: tuple[int, int]) -> float:
    """How many pixels of the window's own measure take the room of one of an ordinary screen.

    Args:
        content_scale: what the system wants things to be enlarged by.
        window: its width and height in its own measure.
        framebuffer: in the screen's pixels; more of them where the system itself enlarges (macOS, Wayland).
    """
    wanted = max(content_scale)
    enlarged = framebuffer[0] / window[0] if window[0] and framebuffer[0] else 1.0
    return min(max(wanted / enlarged, 1.0), _MOST_DENSE) if wanted > 0 else 1.0


def _any_key_down() -> bool:
    return any(imgui.is_key_down(key) for key in _HELD)


def _no_window(said: list[str]) -> WindowUnavailableError:
    why = " ".join(said[-1].split()) if said else "GLFW found no screen"
    return WindowUnavailableError(
        f"No window can be shown here ({why}). Without a screen there are --export DIR, --video FILE.mp4 and "
        "--screenshot FILE.png; over ssh, log in with -X."
    )


_HELD = tuple(getattr(imgui.Key, name) for name in "wasdrfeq")
