"""The window on a screen, once, by real keys and a real mouse: xdotool in a virtual X server.

The same is done to a window without a screen, whose controls say where they are; both must look alike.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageGrab, features

from gait.learning.architecture import TransformerArchitecture
from gait.viewing.lazy_imgui import imgui
from tests.helpers.explanation_cases import write_network
from tests.helpers.viewing_cases import REPOSITORY, Hands, unlike, write_shown_walk
from tests.helpers.x11 import close_window, drop, set_resources

Key = imgui.Key
SIZE = (1000, 700)
LACKING = [
    what
    for what, there in (
        ("xvfb (Debian's package xvfb)", shutil.which("Xvfb")),
        ("xdotool (Debian's package xdotool)", shutil.which("xdotool")),
        ("Pillow with XCB", features.check("xcb")),
    )
    if not there
]

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(bool(LACKING), reason=f"real keys and mouse need {', '.join(LACKING)}"),
]


@contextmanager
def virtual_screen(size: tuple[int, int] = SIZE) -> Iterator[str]:
    """The name of a display of an X server of its own."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{size[0]}x{size[1]}x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        number = os.read(reading, 16).decode().strip()
        assert number, "Xvfb did not start"
        yield f":{number}"
    finally:
        os.close(reading)
        server.terminate()
        server.wait(10)


class RealHands:
    """xdotool on a display."""

    def __init__(self, display: str) -> None:
        self.display = display
        self._environment = os.environ | {"DISPLAY": display}

    def do(self, *words: object) -> str:
        command = ["xdotool", *map(str, words)]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.strip()

    def click(self, place: tuple[float, float]) -> None:
        self.do("mousemove", round(place[0]), round(place[1]), "sleep", 0.3, "mousedown", 1, "sleep", 0.2, "mouseup", 1)

    def window(self) -> int:
        """The viewer's, as the X server numbers it."""
        (number,) = self.do("search", "--name", "Gait:").split()
        return int(number)

    def picture(self) -> NDArray[np.uint8]:
        return np.asarray(ImageGrab.grab(xdisplay=self.display).convert("RGB"))


@contextmanager
def viewer_on(display: str, *words: object, size: tuple[int, int] = SIZE) -> Iterator[subprocess.Popen[str]]:
    """The script with its window open there."""
    environment = {name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"}
    viewer = subprocess.Popen(
        [
            sys.executable, str(REPOSITORY / "attention_viewer.py"), "--size", f"{size[0]}x{size[1]}",
            "--base_folder", "./data/SUPR", "--model", "open_neutral.npz", *map(str, words),
        ],
        cwd=REPOSITORY, env=environment | {"DISPLAY": display},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        hands = RealHands(display)
        wait_until(lambda: bool(hands.do("search", "--sync", "--name", "Gait:")), "a window")
        yield viewer
    finally:
        viewer.kill()
        viewer.wait()


@dataclass
class Both:
    """A window on a screen, and one without a screen that the same is done to."""

    viewer: subprocess.Popen[str]
    hands: RealHands
    model: Hands
    folder: Path  # for what went wrong

    def is_alike(self, part: str = "", most: float = 0.02, seconds: float = 20) -> bool:
        """Whether the screen comes to look as the model does."""
        width, height = self.model.stage.size
        places = self.model.contents.controls.places
        left, top, right, bottom = (0, 0, width, height) if not part else map(round, places[part])
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.viewer.poll() is None, self.viewer.communicate()
            screen, model = self.hands.picture(), self.model.picture()
            if unlike(screen[top:bottom, left:right], model[top:bottom, left:right]) < most:
                return True
            time.sleep(0.2)
        return False

    def alike(self, what: str, part: str = "", most: float = 0.02) -> None:
        if not self.is_alike(part, most):
            for name, picture in (("screen", self.hands.picture()), ("model", self.model.picture())):
                Image.fromarray(picture).save(self.folder / f"{name}.png")
            raise AssertionError(f"{what}: see screen.png and model.png in {self.folder}")

    def closes(self) -> None:
        """By its keys, without a word."""
        self.hands.do("keydown", "ctrl", "sleep", 0.3, "key", "q", "sleep", 0.3, "keyup", "ctrl")
        self.ends()

    def ends(self, code: int = 0, within: float = 30) -> None:
        """Without a word."""
        output, errors = self.viewer.communicate(timeout=within)
        assert self.viewer.returncode == code, errors
        assert not output
        assert not errors


def wait_until(there: Callable[[], bool], what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, what
        time.sleep(0.2)


@pytest.mark.slow
def test_a_person_opens_explains_plays_clicks_flies_and_closes(tmp_path: Path) -> None:
    walk = write_shown_walk(tmp_path / "poses/sick/P01/walk1", seconds=2.0)
    network = write_network(tmp_path / "mlp.ckpt")
    model = Hands(*SIZE, tmp_path)
    with virtual_screen() as display, viewer_on(display) as viewer:
        hands = RealHands(display)
        both = Both(viewer, hands, model, tmp_path)
        alike, is_alike = both.alike, both.is_alike

        def type_path(path: Path) -> None:
            model.press(Key.o)
            model.draw(2)
            hands.do("key", "o")
            alike("what can be opened")
            field = model.place("Path")
            for one in (model, hands):
                one.click(field)
            model.select_all()
            model.write(str(path))
            for patience in (0.5, 2.0, 5.0):  # a slow computer may lose keys that come before it has seen the click
                hands.do("sleep", patience, "keydown", "ctrl", "sleep", 0.3, "key", "a", "sleep", 0.3, "keyup", "ctrl")
                hands.do("sleep", patience, "type", "--delay", 40, str(path))
                if is_alike("Path", 0.1, seconds=5):
                    break
                hands.click(field)
            alike("what was typed", "Path", 0.1)
            hands.do("key", "Return")
            model.press(Key.enter)
            model.settle()

        try:
            hands.do("mousemove", 600, 5)
            model.move((600.0, 5.0))
            alike("an empty window")
            type_path(walk)
            hands.do("mousemove", 600, 5)
            alike("the walk")
            type_path(network)
            hands.do("mousemove", 600, 5)
            alike("the network")
            for click in (model.click, lambda name: hands.click(model.place(name))):
                click("Explain gait sequence")
            model.settle()
            model.move((600.0, 5.0))
            hands.do("mousemove", 600, 5)
            alike("the explanation")

            before = hands.picture()
            hands.do("key", "space", "sleep", 0.7, "key", "space", "sleep", 0.5)
            assert unlike(before, hands.picture()) > 0.005, "it has played"
            hands.do("key", "Home")
            alike("the first frame again")

            place = tuple(map(round, model.within("Map", 0.6, 0.5)))
            hands.click(place)
            model.click(place)
            assert model.session.joint is not None
            model.draw(3)
            alike("the moment that was clicked, and the joint's curves")

            before = hands.picture()
            hands.do("keydown", "w", "sleep", 0.6, "keyup", "w", "sleep", 0.5)
            assert unlike(before, hands.picture()) > 0.005, "it has flown"
            hands.do("key", "b")
            model.press(Key.b)
            model.draw(3)
            alike("the whole body again", "View")

            both.closes()
        finally:
            model.close()


@pytest.mark.slow
def test_files_are_dropped_on_the_window_by_another_program(tmp_path: Path) -> None:
    walk = write_shown_walk(tmp_path / "a name with spaces, ä and 100%/sick/P01/walk1", seconds=1.6)
    network = write_network(tmp_path / "mlp.ckpt")
    model = Hands(*SIZE, tmp_path)
    try:
        with virtual_screen() as display, viewer_on(display) as viewer:
            hands = RealHands(display)
            both = Both(viewer, hands, model, tmp_path)
            window = hands.window()
            hands.do("mousemove", 600, 5)
            model.move((600.0, 5.0))
            both.alike("an empty window")
            assert drop(display, window, (500, 300), walk / "poses.npz", network)
            model.session.open_path(walk)
            model.session.open_path(network)
            model.settle()
            both.alike("the walk and the network")
            assert drop(display, window, (500, 300), tmp_path / "nothing here")
            model.session.open_path(tmp_path / "nothing here")
            model.settle()
            both.alike("what could not be opened, in one line")
            both.closes()
    finally:
        model.close()


@pytest.mark.slow
def test_on_a_screen_of_twice_as_many_pixels_all_is_twice_as_large(tmp_path: Path) -> None:
    """GLFW takes the scale from Xft.dpi, of which 96 is an ordinary screen's."""
    size = (2 * SIZE[0], 2 * SIZE[1])
    walk = write_shown_walk(tmp_path / "poses/sick/P01/walk1", seconds=1.6)
    model = Hands(*size, walk.parent, density=2.0)
    try:
        with virtual_screen(size) as display:
            set_resources(display, "Xft.dpi:\t192\n")
            with viewer_on(display, "--gait", walk) as viewer:
                both = Both(viewer, RealHands(display), model, tmp_path)
                both.hands.do("mousemove", 600, 5)
                model.session.open_path(walk)
                model.move((600.0, 5.0))
                model.settle()
                both.alike("letters of the same size")
    finally:
        model.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["the window's own button", "Ctrl-C where it was started"])
def test_closing_while_it_explains_takes_no_longer(tmp_path: Path, how: str) -> None:
    """One batch of windows of this network takes longer than the process may live on."""
    walk = write_shown_walk(tmp_path / "poses/sick/P01/walk1", seconds=4.0)
    network = write_network(
        tmp_path / "transformer.ckpt", TransformerArchitecture(), window_length=128, mean_window=torch.zeros(128, 22, 3)
    )
    with virtual_screen() as display:
        words = ["--gait", walk, "--network", network, "--method", "integrated_gradients", "--stride", 1]
        with viewer_on(display, *words) as viewer:
            hands = RealHands(display)
            empty = hands.picture()
            # Panels for an explanation are there as soon as walk and network are, and explaining has begun by then.
            wait_until(lambda: unlike(empty, hands.picture()) > 0.05, "the walk")
            time.sleep(2.0)
            began = time.monotonic()
            if how.startswith("Ctrl-C"):
                viewer.send_signal(signal.SIGINT)
            else:
                close_window(display, hands.window())
            output, errors = viewer.communicate(timeout=60)
            assert time.monotonic() - began < 2.0
            assert not output
            if how.startswith("Ctrl-C"):
                assert viewer.returncode == 130
                assert errors.splitlines() == ["Stopped; files that are there are whole."]
            else:
                assert viewer.returncode == 0
                assert not errors
