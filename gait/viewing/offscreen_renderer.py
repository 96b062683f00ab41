"""Pictures without a screen: an OpenGL context through EGL, on a graphics card or in software."""

from __future__ import annotations

import threading
from typing import Any

import moderngl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gait.errors import GaitError
from gait.viewing.camera import Camera
from gait.viewing.renderer import Canvas, Renderer
from gait.viewing.scene import Scene

DEBIAN_PACKAGES = ("libegl1", "libgl1", "libgl1-mesa-dri")
"""What drawing without a screen needs of Debian, where no graphics driver brings it."""

_EGL: dict[str, Any] = {"backend": "egl"}  # moderngl's own annotation of **settings is wrong


class RenderingUnavailableError(GaitError):
    """This machine cannot draw; everything but the pictures can still be had."""


def egl_context() -> moderngl.Context:
    """A context without a window, for the thread that asks.

    Raises:
        NoDrawingError: this machine has none.
    """
    try:
        return moderngl.create_context(require=330, standalone=True, **_EGL)
    except Exception as error:  # moderngl raises bare Exceptions, each driver with its own words
        raise RenderingUnavailableError(
            f"Cannot draw without a screen: {' '.join(str(error).split())}. "
            f"On Debian or Ubuntu: sudo apt-get install {' '.join(DEBIAN_PACKAGES)}"
        ) from error


class OffscreenRenderer:
    """Owns the GPU: one context without a window. Use it from the thread that made it."""

    def __init__(self) -> None:
        self._context = egl_context()
        self._renderer = Renderer(self._context)
        self._canvases: dict[tuple[int, int], Canvas] = {}

    @property
    def device(self) -> str:
        """What draws, in the driver's words, e.g. "llvmpipe (LLVM 15.0.6, 256 bits)"."""
        return str(self._context.info["GL_RENDERER"])

    def draw(self, scene: Scene, camera: Camera, width: int, height: int, supersample: int = 2) -> NDArray[np.uint8]:
        """Picture (height, width, 3) of ``scene``.

        Edges are smoothed by drawing ``supersample`` times as large: multisampling costs a software
        rasteriser more than that.
        """
        with self._context:
            canvas = self._canvas(width * supersample, height * supersample)
            self._renderer.draw(scene, camera, canvas, pixel_scale=supersample)
            pixels = canvas.solid.read(components=3, alignment=1)
        large = Image.frombytes("RGB", canvas.size, pixels)
        return np.asarray(large.reduce(supersample) if supersample > 1 else large)[::-1].copy()

    def _canvas(self, width: int, height: int) -> Canvas:
        """The canvas of that size; the last few are kept, as a film or a row of stills asks for one again."""
        canvas = self._canvases.pop((width, height), None) or Canvas.of_size(self._context, width, height)
        self._canvases[width, height] = canvas
        if len(self._canvases) > 3:
            self._canvases.pop(next(iter(self._canvases))).release()
        return canvas


_shared = threading.local()


def shared_renderer() -> OffscreenRenderer:
    """One renderer for all pictures of this thread, made at the first: a context belongs to one thread."""
    if not hasattr(_shared, "renderer"):
        _shared.renderer = OffscreenRenderer()
    renderer: OffscreenRenderer = _shared.renderer
    return renderer


if __name__ == "__main__":  # what setup.sh asks: can this machine draw?
    try:
        print(shared_renderer().device)
    except RenderingUnavailableError as no_drawing:
        raise SystemExit(str(no_drawing)) from None
