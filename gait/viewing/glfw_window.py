"""The window on a screen (GLFW)."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import moderngl

from gait.viewing.lazy_imgui import WindowUnavailableError, glfw, imgui
from gait.viewing.offscreen_window import CLEAR_COLOUR, TITLE, ImGuiContext

_IDLE_S = 0.25  # between two frames while nothing changes
_WORK_S, _AWAKE_WORK_S = 0.2, 1 / 30  # the same while a job runs, which a faster window would slow down; after an event
_AWAKE_S = 0.5  # full frame rate for this long after the last event
_MAX_DENSITY = 4.0  # larger values reported by a system are wrong


class GlfwWindow:
    """A window on the screen. It redraws at the frame rate of the screen while anything moves, and rarely otherwise."""

    def __init__(self, width: int, height: int, on_drop: Callable[[Path], None]) -> None:
        """Open a window; ``on_drop`` is called with each file or folder that is dropped on it.

        Width and height are in pixels of a standard screen; a high-density screen uses more of its pixels.

        Raises:
            WindowUnavailableError: there is no screen, or no OpenGL 3.3 on it.
        """
        messages: list[str] = []
        glfw.ERROR_REPORTING = "ignore"
        glfw.set_error_callback(lambda _, message: messages.append(message.decode(errors="replace")))
        if not glfw.init():
            raise _window_error(messages)
        glfw.window_hint(glfw.CONTEXT_VERSION_MAJOR, 3)
        glfw.window_hint(glfw.CONTEXT_VERSION_MINOR, 3)
        glfw.window_hint(glfw.OPENGL_PROFILE, glfw.OPENGL_CORE_PROFILE)
        glfw.window_hint(glfw.OPENGL_FORWARD_COMPAT, True)
        glfw.window_hint(glfw.SCALE_TO_MONITOR, True)
        glfw.window_hint(glfw.SAMPLES, 0)  # multisampling is slower than all the rest in a software rasterizer
        self._window: Any = glfw.create_window(width, height, TITLE, None, None)
        if not self._window:
            glfw.terminate()
            raise _window_error(messages)
        glfw.make_context_current(self._window)
        glfw.swap_interval(1)
        try:
            self.context = moderngl.create_context(require=330)
        except Exception as error:  # moderngl raises plain Exceptions, with messages that differ between drivers
            glfw.terminate()
            raise _window_error([str(error)]) from error

        def call_on_drop(_: Any, paths: list[str]) -> None:
            for path in paths:
                on_drop(Path(path))

        glfw.set_drop_callback(self._window, call_on_drop)
        self._woken = False
        self._imgui = ImGuiContext()
        imgui.backends.glfw_init_for_opengl(ctypes.cast(self._window, ctypes.c_void_p).value or 0, True)
        imgui.backends.opengl3_init("#version 330")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = glfw.get_framebuffer_size(self._window)
        return int(width), int(height)

    @property
    def density(self) -> float:
        """Pixels of ImGui per pixel of a standard screen."""
        return pixel_density(glfw.get_window_content_scale(self._window), glfw.get_window_size(self._window), self.size)

    def wake(self) -> None:
        """Draw the next frame at once; another thread may call this."""
        self._woken = True
        glfw.post_empty_event()

    def run(
        self,
        draw: Callable[[int, int, float, float], None],
        is_animating: Callable[[], bool],
        is_working: Callable[[], bool] = lambda: False,
    ) -> None:
        """Draw until the window is closed.

        Args:
            draw: draws a frame; called with width and height in pixels of ImGui, seconds since the last frame, and the
                pixel density.
            is_animating: returns whether the next frame can change without user input.
            is_working: returns whether a job runs whose progress is shown, and which needs the processor.
        """
        self._imgui.use()
        last = awake = time.perf_counter()
        screen = self.context.detect_framebuffer(0)
        while not glfw.window_should_close(self._window):
            before = time.perf_counter()
            is_awake = before < awake + _AWAKE_S
            if is_animating() or (is_awake and not is_working()):
                glfw.poll_events()
            else:
                wait_s = (_AWAKE_WORK_S if is_awake else _WORK_S) if is_working() else _IDLE_S
                glfw.wait_events_timeout(wait_s)
                if time.perf_counter() - before < 0.9 * wait_s and not self._woken:
                    awake = time.perf_counter()
                self._woken = False
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
            if width and height:  # a minimized window has no size
                draw(round(io.display_size.x), round(io.display_size.y), now - last, self.density)
            last = now
            imgui.render()
            screen.use()
            self.context.viewport = (0, 0, width, height)
            self.context.clear(*CLEAR_COLOUR)
            imgui.backends.opengl3_render_draw_data(imgui.get_draw_data())
            glfw.swap_buffers(self._window)

    def ask_to_close(self) -> None:
        """Close the window: ``run`` returns after this frame."""
        glfw.set_window_should_close(self._window, True)

    def close(self) -> None:
        """Destroy the window."""
        self._imgui.use()
        imgui.backends.opengl3_shutdown()
        imgui.backends.glfw_shutdown()
        self._imgui.close()
        glfw.terminate()


def pixel_density(content_scale: tuple[float, float], window: tuple[int, int], framebuffer: tuple[int, int]) -> float:
    """Return the number of window pixels per pixel of a standard screen.

    The system requests ``content_scale``. ``framebuffer``, in pixels of the screen, is larger than ``window`` where the
    system itself scales (macOS, Wayland).
    """
    requested = max(content_scale)
    system_scale = framebuffer[0] / window[0] if window[0] and framebuffer[0] else 1.0
    return min(max(requested / system_scale, 1.0), _MAX_DENSITY) if requested > 0 else 1.0


def _any_key_down() -> bool:
    return any(imgui.is_key_down(key) for key in _MOVE_KEYS)


def _window_error(messages: list[str]) -> WindowUnavailableError:
    reason = " ".join(messages[-1].split()) if messages else "GLFW found no screen"
    return WindowUnavailableError(
        f"No window can be shown here ({reason}). Without a screen use --export DIR, --video FILE.mp4 or "
        "--screenshot FILE.png; over ssh, log in with -X."
    )


_MOVE_KEYS = tuple(getattr(imgui.Key, name) for name in "wasdrfeq")
