"""The window on a screen, once, by real keys and a real mouse: xdotool in a virtual X server.

The same is done to a window without a screen, whose controls say where they are; both must look alike.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from explanation_cases import write_network
from numpy.typing import NDArray
from PIL import Image, ImageGrab, features
from viewing_cases import REPOSITORY, Hands, unlike, write_shown_walk

from gait.viewing.gui import imgui

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
def virtual_screen() -> Iterator[str]:
    """The name of a display of an X server of its own."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{SIZE[0]}x{SIZE[1]}x24", "-nolisten", "tcp"]
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

    def picture(self) -> NDArray[np.uint8]:
        return np.asarray(ImageGrab.grab(xdisplay=self.display).convert("RGB"))


def wait_until(there: Callable[[], bool], what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, what
        time.sleep(0.2)


@pytest.mark.slow
def test_a_person_opens_explains_plays_clicks_flies_and_closes(tmp_path: Path) -> None:
    walk = write_shown_walk(tmp_path / "poses/sick/P01/walk1", seconds=2.0)
    network = write_network(tmp_path / "mlp.ckpt")
    environment = {name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"}
    model = Hands(*SIZE, tmp_path)
    command = [sys.executable, str(REPOSITORY / "attention_viewer.py"), "--size", "{}x{}".format(*SIZE)]
    with virtual_screen() as display:
        hands = RealHands(display)
        viewer = subprocess.Popen(
            [*command, "--base_folder", "./data/SUPR", "--model", "open_neutral.npz"],
            cwd=REPOSITORY, env=environment | {"DISPLAY": display},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

        def is_alike(part: str = "", most: float = 0.02, seconds: float = 20) -> bool:
            """Whether the screen comes to look as the model does."""
            left, top, right, bottom = (0, 0, *SIZE) if not part else map(round, model.contents.controls.places[part])
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                assert viewer.poll() is None, viewer.communicate()
                if unlike(hands.picture()[top:bottom, left:right], model.picture()[top:bottom, left:right]) < most:
                    return True
                time.sleep(0.2)
            return False

        def alike(what: str, part: str = "", most: float = 0.02) -> None:
            if not is_alike(part, most):
                for name, picture in (("screen", hands.picture()), ("model", model.picture())):
                    Image.fromarray(picture).save(tmp_path / f"{name}.png")
                raise AssertionError(f"{what}: see screen.png and model.png in {tmp_path}")

        def type_path(path: Path) -> None:
            model.press(Key.o)
            model.draw(2)
            hands.do("key", "o")
            alike("what can be opened")
            field = model.place("Path")
            for both in (model, hands):
                both.click(field)
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
            wait_until(lambda: bool(hands.do("search", "--sync", "--name", "Gait:")), "a window")
            hands.do("mousemove", 600, 5)
            model.move((600.0, 5.0))
            alike("an empty window")
            type_path(walk)
            hands.do("mousemove", 600, 5)
            alike("the walk")
            type_path(network)
            hands.do("mousemove", 600, 5)
            alike("the network")
            for both in (model.click, lambda name: hands.click(model.place(name))):
                both("Explain gait sequence")
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

            hands.do("keydown", "ctrl", "sleep", 0.3, "key", "q", "sleep", 0.3, "keyup", "ctrl")
            output, errors = viewer.communicate(timeout=30)
            assert viewer.returncode == 0, errors
            assert not output
            assert not errors
        finally:
            viewer.kill()
            viewer.wait()
            model.close()
