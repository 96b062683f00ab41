"""Small synthetic trials of the open body with markers, and simulated input to an offscreen window."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.explaining.options import ExplainOptions
from gait.motion.pose_npz import write_npz
from gait.viewing.file_backend import FileBackend
from gait.viewing.lazy_imgui import imgui
from gait.viewing.loaded_trial import BodyModelLocator
from gait.viewing.main_window import MainWindow
from gait.viewing.offscreen_window import OffscreenWindow
from gait.viewing.viewer_state import ViewerState
from tests.helpers.fitting_cases import short_trial
from tests.helpers.paths import REPOSITORY

MODELS = REPOSITORY / "data" / "SUPR"
BODIES = BodyModelLocator(MODELS, "open_neutral.npz")


@lru_cache(maxsize=1)
def open_body() -> Body:
    return load_body(MODELS / "open_neutral.npz")


def write_fitted_trial(folder: Path, seed: int = 1, seconds: float = 1.6, markers: int = 12) -> Path:
    """Write a synthetic trial as the fit writes it, with some markers on the skin."""
    body = open_body()
    truth = short_trial(body, seed, seconds).ground_truth
    folder.mkdir(parents=True)
    truth.extra.clear()
    write_npz(folder, truth)
    if markers:
        with torch.inference_mode():
            vertices = body(*map(torch.as_tensor, (truth.poses, truth.betas, truth.translation_m))).vertices.numpy()
        virtual = vertices[:, np.linspace(0, body.num_vertices - 1, markers).astype(int)]
        observed = virtual + np.array([0.0, 0.03, 0.0], np.float32)
        observed[: len(observed) // 2, 0] = np.nan
        labels = np.array([f"M{k}" for k in range(markers)])
        np.savez(folder / "residuals.npz", labels=labels, observed_m=observed, virtual_m=virtual)
    return folder


class SimulatedInput:
    """An offscreen viewer with simulated mouse and keyboard."""

    def __init__(self, width: int, height: int, folder: Path, density: float = 1.0, stride: int | None = None) -> None:
        self.density = density
        self.state = ViewerState(FileBackend(BODIES, options=ExplainOptions(stride=stride)))
        self.window = OffscreenWindow(width, height)
        with self.window.context:
            self.main_window = MainWindow(self.window.context, self.state, folder)
        self.draw(3)

    def draw(self, times: int = 1, seconds: float = 1e-4) -> None:
        width, height = self.window.size
        for _ in range(times):
            self.window.draw(lambda: self.main_window.draw(width, height, seconds, self.density), seconds)

    def wait_until_idle(self) -> None:
        """Draw until all background jobs are done and the image shows their results."""
        end = time.monotonic() + 60
        self.draw()
        while self.state.jobs.current_job:
            assert time.monotonic() < end, self.state.jobs.current_job
            time.sleep(0.03)  # drawing takes the time that the job needs
            self.draw()
        self.draw(3)

    def centre(self, name: str) -> tuple[float, float]:
        """Return the centre of a widget."""
        assert name in self.main_window.widgets.rects, f"{name} is not among {sorted(self.main_window.widgets.rects)}"
        left, top, right, bottom = self.main_window.widgets.rects[name]
        return (left + right) / 2, (top + bottom) / 2

    def point_in(self, name: str, across: float, down: float) -> tuple[float, float]:
        """Return a point in a widget, by fractions of its width and height."""
        left, top, right, bottom = self.main_window.widgets.rects[name]
        return left + across * (right - left), top + down * (bottom - top)

    def move(self, where: str | tuple[float, float]) -> None:
        x, y = self.centre(where) if isinstance(where, str) else where
        self.window.io.add_mouse_pos_event(x, y)
        self.draw()

    def click(self, where: str | tuple[float, float], button: int = 0) -> None:
        self.move(where)
        for down in (True, False):
            self.window.io.add_mouse_button_event(button, down)
            self.draw()
        self.draw()

    def drag(self, start: str | tuple[float, float], end: tuple[float, float], button: int = 0) -> None:
        self.move(start)
        self.window.io.add_mouse_button_event(button, True)
        self.draw()
        first = self.centre(start) if isinstance(start, str) else start
        for t in (0.25, 0.5, 0.75, 1.0):
            self.move((first[0] + t * (end[0] - first[0]), first[1] + t * (end[1] - first[1])))
        self.window.io.add_mouse_button_event(button, False)
        self.draw(2)

    def wheel(self, where: str, notches: float) -> None:
        self.move(where)
        self.window.io.add_mouse_wheel_event(0.0, notches)
        self.draw(2)

    def press(self, key: imgui.Key, *, duration_s: float = 0.0, frames: int = 1) -> None:
        """Press a key for some time, in which so many frames are drawn."""
        self.window.io.add_key_event(key, True)
        self.draw(frames, max(duration_s / frames, 1e-6))
        self.window.io.add_key_event(key, False)
        self.draw(1, 1e-6)

    def select_all(self) -> None:
        """Select all of the text in the active text field."""
        self.window.io.add_key_event(imgui.Key.mod_ctrl, True)
        self.press(imgui.Key.a)
        self.window.io.add_key_event(imgui.Key.mod_ctrl, False)

    def type_text(self, text: str) -> None:
        self.window.io.add_input_characters_utf8(text)
        self.draw(2)

    def image(self, name: str = "") -> NDArray[np.uint8]:
        """Return the image of the window or of one widget."""
        image = self.window.image()
        if name:
            left, top, right, bottom = (round(edge) for edge in self.main_window.widgets.rects[name])
            image = image[top:bottom, left:right]
        return image.copy()

    def close(self) -> None:
        self.state.close()
        with self.window.context:
            self.main_window.release()
        self.window.close()


def fraction_different(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the fraction of pixels that differ visibly."""
    return float((np.abs(one.astype(int) - other).max(axis=-1) > 12).mean())
