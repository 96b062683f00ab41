"""A small world to look at: made-up walks of the open body with markers, networks, and hands that press and click."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.motion.pose_files import write_npz
from gait.viewing.file_backend import FileBackend
from gait.viewing.lazy_imgui import imgui
from gait.viewing.loaded_trial import BodyModelLocator
from gait.viewing.main_window import MainWindow
from gait.viewing.offscreen_window import OffscreenWindow
from gait.viewing.viewer_state import ViewerState
from tests.helpers.fitting_cases import short_walk
from tests.helpers.paths import REPOSITORY

MODELS = REPOSITORY / "data" / "SUPR"
BODIES = BodyModelLocator(MODELS, "open_neutral.npz")


@lru_cache(maxsize=1)
def open_body() -> Body:
    return load_body(MODELS / "open_neutral.npz")


def write_shown_walk(folder: Path, seed: int = 1, seconds: float = 1.6, markers: int = 12) -> Path:
    """A fitted walk as the fit leaves it, with some markers on the skin."""
    body = open_body()
    truth = short_walk(body, seed, seconds).truth
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


class Hands:
    """A window without a screen, and what hands would do to it."""

    def __init__(
        self, width: int, height: int, folder: Path, bodies: BodyModelLocator = BODIES, density: float = 1.0
    ) -> None:
        self.density = density
        self.session = ViewerState(FileBackend(bodies))
        self.stage = OffscreenWindow(width, height)
        with self.stage.context:
            self.contents = MainWindow(self.stage.context, self.session, folder)
        self.draw(3)

    def draw(self, times: int = 1, seconds: float = 1e-4) -> None:
        width, height = self.stage.size
        for _ in range(times):
            self.stage.draw(lambda: self.contents.draw(width, height, seconds, self.density), seconds)

    def settle(self) -> None:
        """Until nothing is being worked at, and the picture shows what came of it."""
        end = time.monotonic() + 60
        self.draw()
        while self.session.jobs.busy:
            assert time.monotonic() < end, self.session.jobs.busy
            time.sleep(0.005)
            self.draw()
        self.draw(3)

    def place(self, name: str) -> tuple[float, float]:
        assert name in self.contents.controls.places, f"{name} is not among {sorted(self.contents.controls.places)}"
        left, top, right, bottom = self.contents.controls.places[name]
        return (left + right) / 2, (top + bottom) / 2

    def within(self, name: str, across: float, down: float) -> tuple[float, float]:
        """A place in a control, by shares of its width and height."""
        left, top, right, bottom = self.contents.controls.places[name]
        return left + across * (right - left), top + down * (bottom - top)

    def move(self, where: str | tuple[float, float]) -> None:
        x, y = self.place(where) if isinstance(where, str) else where
        self.stage.io.add_mouse_pos_event(x, y)
        self.draw()

    def click(self, where: str | tuple[float, float], button: int = 0) -> None:
        self.move(where)
        for down in (True, False):
            self.stage.io.add_mouse_button_event(button, down)
            self.draw()
        self.draw()

    def drag(self, start: str | tuple[float, float], end: tuple[float, float], button: int = 0) -> None:
        self.move(start)
        self.stage.io.add_mouse_button_event(button, True)
        self.draw()
        first = self.place(start) if isinstance(start, str) else start
        for share in (0.25, 0.5, 0.75, 1.0):
            self.move((first[0] + share * (end[0] - first[0]), first[1] + share * (end[1] - first[1])))
        self.stage.io.add_mouse_button_event(button, False)
        self.draw(2)

    def wheel(self, where: str, notches: float) -> None:
        self.move(where)
        self.stage.io.add_mouse_wheel_event(0.0, notches)
        self.draw(2)

    def press(self, key: imgui.Key, *, held_s: float = 0.0, pictures: int = 1) -> None:
        """A key, held for a while that so many pictures are drawn in."""
        self.stage.io.add_key_event(key, True)
        self.draw(pictures, max(held_s / pictures, 1e-6))
        self.stage.io.add_key_event(key, False)
        self.draw(1, 1e-6)

    def select_all(self) -> None:
        """All of the text that is being written."""
        self.stage.io.add_key_event(imgui.Key.mod_ctrl, True)
        self.press(imgui.Key.a)
        self.stage.io.add_key_event(imgui.Key.mod_ctrl, False)

    def write(self, text: str) -> None:
        self.stage.io.add_input_characters_utf8(text)
        self.draw(2)

    def picture(self, name: str = "") -> NDArray[np.uint8]:
        """The window, or one of its parts."""
        picture = self.stage.picture()
        if name:
            left, top, right, bottom = (round(edge) for edge in self.contents.controls.places[name])
            picture = picture[top:bottom, left:right]
        return picture.copy()

    def close(self) -> None:
        self.session.close()
        with self.stage.context:
            self.contents.release()
        self.stage.close()


def unlike(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The share of pixels that look different."""
    return float((np.abs(one.astype(int) - other).max(axis=-1) > 12).mean())
