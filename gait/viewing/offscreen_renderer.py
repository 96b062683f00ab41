"""Rendering without a screen: an OpenGL context through EGL, on a graphics card or in software."""

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
"""Debian packages for rendering without a screen, where no graphics driver provides EGL."""

_EGL: dict[str, Any] = {"backend": "egl"}  # moderngl's own annotation of **settings is wrong


class RenderingUnavailableError(GaitError):
    """This machine cannot render; everything except images still works."""


def egl_context() -> moderngl.Context:
    """Create an OpenGL context without a window, for the calling thread.

    Raises:
        RenderingUnavailableError: this machine has no EGL.
    """
    try:
        return moderngl.create_context(require=330, standalone=True, **_EGL)
    except Exception as error:  # moderngl raises plain Exceptions, with messages that differ between drivers
        raise RenderingUnavailableError(
            f"Cannot render without a screen: {' '.join(str(error).split())}. "
            f"On Debian or Ubuntu: sudo apt-get install {' '.join(DEBIAN_PACKAGES)}"
        ) from error


class OffscreenRenderer:
    """A renderer with its own OpenGL context. Use it only in the thread that created it."""

    def __init__(self) -> None:
        self._context = egl_context()
        self._renderer = Renderer(self._context)
        self._canvases: dict[tuple[int, int], Canvas] = {}

    @property
    def device(self) -> str:
        """Name of the device as the driver gives it, e.g. "llvmpipe (LLVM 15.0.6, 256 bits)"."""
        return str(self._context.info["GL_RENDERER"])

    def draw(self, scene: Scene, camera: Camera, width: int, height: int, supersample: int = 2) -> NDArray[np.uint8]:
        """Render ``scene``; return the image (height, width, 3).

        Edges are anti-aliased by rendering ``supersample`` times as large, which is faster than multisampling in a
        software rasterizer.
        """
        with self._context:
            canvas = self._canvas(width * supersample, height * supersample)
            self._renderer.draw(scene, camera, canvas, pixel_scale=supersample)
            pixels = canvas.solid.read(components=4, alignment=1)  # as they are stored, which is faster than 3
        large = Image.frombuffer("RGBX", canvas.size, pixels, "raw", "RGBX", 0, 1)
        image = large.reduce(supersample) if supersample > 1 else large
        return np.asarray(image.convert("RGB"))[::-1].copy()

    def _canvas(self, width: int, height: int) -> Canvas:
        """Return a canvas of that size; the last few are kept, as series of images use the same size."""
        canvas = self._canvases.pop((width, height), None) or Canvas.of_size(self._context, width, height)
        self._canvases[width, height] = canvas
        if len(self._canvases) > 3:
            self._canvases.pop(next(iter(self._canvases))).release()
        return canvas


_shared = threading.local()


def shared_renderer() -> OffscreenRenderer:
    """Return the renderer of this thread, created on first use: a context belongs to one thread."""
    if not hasattr(_shared, "renderer"):
        _shared.renderer = OffscreenRenderer()
    renderer: OffscreenRenderer = _shared.renderer
    return renderer


if __name__ == "__main__":  # setup.sh runs this to test whether the machine can render
    try:
        print(shared_renderer().device)
    except RenderingUnavailableError as unavailable:
        raise SystemExit(str(unavailable)) from None
