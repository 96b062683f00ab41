"""The window on a screen, driven by real keyboard and mouse events (xdotool in a virtual X server).

The same input is given to an offscreen window, whose widgets have known positions; both must show the same image.
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
from numpy.typing import NDArray
from PIL import Image, ImageGrab, features

from gait.viewing.lazy_imgui import imgui
from tests.helpers.explanation_cases import write_network
from tests.helpers.viewing_cases import REPOSITORY, SimulatedInput, fraction_different, write_fitted_trial
from tests.helpers.x11 import close_window, drop, set_resources

Key = imgui.Key
SIZE = (800, 560)
MISSING = [
    description
    for description, condition in (
        ("xvfb (Debian's package xvfb)", shutil.which("Xvfb")),
        ("xdotool (Debian's package xdotool)", shutil.which("xdotool")),
        ("Pillow with XCB", features.check("xcb")),
    )
    if not condition
]

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(bool(MISSING), reason=f"real input needs {', '.join(MISSING)}"),
]


@contextmanager
def virtual_screen(size: tuple[int, int] = SIZE) -> Iterator[str]:
    """Start an X server; yield the name of its display."""
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


class XdotoolInput:
    """Real input to a display by xdotool."""

    def __init__(self, display: str) -> None:
        self.display = display
        self._environment = os.environ | {"DISPLAY": display}

    def do(self, *argv: object) -> str:
        command = ["xdotool", *map(str, argv)]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.strip()

    def click(self, position: tuple[float, float]) -> None:
        self.do(
            "mousemove",
            round(position[0]),
            round(position[1]),
            "sleep",
            0.3,
            "mousedown",
            1,
            "sleep",
            0.2,
            "mouseup",
            1,
        )

    def window(self) -> int:
        """Return the X11 id of the viewer's window."""
        (number,) = self.do("search", "--name", "Gait:").split()
        return int(number)

    def image(self) -> NDArray[np.uint8]:
        return np.asarray(ImageGrab.grab(xdisplay=self.display).convert("RGB"))


@contextmanager
def viewer_on(
    display: str,
    *argv: object,
    size: tuple[int, int] = SIZE,
    program: tuple[str, ...] = (str(REPOSITORY / "attention_viewer.py"),),
    folder: Path = REPOSITORY,
) -> Iterator[subprocess.Popen[str]]:
    """Run the script with its window on a display."""
    environment = {name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"}
    viewer = subprocess.Popen(
        [
            sys.executable, *program, "--size", f"{size[0]}x{size[1]}",
            "--base_folder", REPOSITORY / "data/SUPR", "--model", "open_neutral.npz", *map(str, argv),
        ],
        cwd=folder, env=environment | {"DISPLAY": display},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        xdotool = XdotoolInput(display)
        wait_until(lambda: bool(xdotool.do("search", "--sync", "--name", "Gait:")), "a window")
        yield viewer
    finally:
        viewer.kill()
        viewer.wait()


@dataclass
class BothWindows:
    """A window on a screen, and an offscreen window that gets the same input."""

    viewer: subprocess.Popen[str]
    xdotool: XdotoolInput
    offscreen: SimulatedInput
    folder: Path  # for images of a failure

    def is_equivalent(self, part: str = "", max_different: float = 0.02, seconds: float = 60) -> bool:
        """Return whether the screen shows the same as the offscreen window within some seconds."""
        width, height = self.offscreen.window.size
        rects = self.offscreen.main_window.widgets.rects
        left, top, right, bottom = (0, 0, width, height) if not part else map(round, rects[part])
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.viewer.poll() is None, self.viewer.communicate()
            screen, offscreen = self.xdotool.image(), self.offscreen.image()
            if fraction_different(screen[top:bottom, left:right], offscreen[top:bottom, left:right]) < max_different:
                return True
            time.sleep(0.2)
        return False

    def assert_equivalent(self, description: str, part: str = "", max_different: float = 0.02) -> None:
        if not self.is_equivalent(part, max_different):
            for name, image in (("screen", self.xdotool.image()), ("offscreen", self.offscreen.image())):
                Image.fromarray(image).save(self.folder / f"{name}.png")
            raise AssertionError(f"{description}: see screen.png and offscreen.png in {self.folder}")

    def park_mouse(self) -> None:
        """Move the mouse where nothing is under it."""
        self.xdotool.do("mousemove", 400, 3)
        self.offscreen.move((400.0, 3.0))

    def close_by_key(self) -> None:
        """Close the window by Ctrl-Q; it exits without output."""
        self.xdotool.do("keydown", "ctrl", "sleep", 0.3, "key", "q", "sleep", 0.3, "keyup", "ctrl")
        self.assert_exits()

    def assert_exits(self, code: int = 0, timeout_s: float = 30) -> None:
        """Check that the viewer exits without output."""
        output, errors = self.viewer.communicate(timeout=timeout_s)
        assert self.viewer.returncode == code, errors
        assert not output
        assert not errors


def wait_until(condition: Callable[[], bool], description: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, description
        time.sleep(0.2)


@pytest.mark.slow
def test_screen_window_reacts_to_real_input_like_the_offscreen_window(tmp_path: Path) -> None:
    """A trial is opened by typing its path, a network by dropping its file; then the trial is explained and played."""
    trial = write_fitted_trial(tmp_path / "a name with spaces, ä and 100%/sick/P01/walk1", seconds=1.6)
    network = write_network(tmp_path / "mlp.ckpt")
    link = tmp_path / "t"  # xdotool types slowly, and on some keyboards not every letter
    link.symlink_to(trial)
    offscreen = SimulatedInput(*SIZE, tmp_path)
    # Beside a finished demo, the viewer opens its example.
    with virtual_screen() as display, viewer_on(display, folder=tmp_path) as viewer:
        xdotool = XdotoolInput(display)
        both = BothWindows(viewer, xdotool, offscreen, tmp_path)
        assert_equivalent = both.assert_equivalent

        def click(where: str | tuple[float, float]) -> None:
            position = offscreen.centre(where) if isinstance(where, str) else where
            offscreen.click(position)
            xdotool.click(position)

        def drop_file(path: Path) -> None:
            assert drop(display, xdotool.window(), (500, 300), path)
            offscreen.state.open_path(path)
            offscreen.wait_until_idle()

        try:
            both.park_mouse()
            assert_equivalent("an empty window")

            offscreen.press(Key.o)
            offscreen.draw(2)
            xdotool.do("key", "o")
            assert_equivalent("the file browser")
            click("Path")
            offscreen.select_all()
            offscreen.type_text(str(link))
            for patience in (0.3, 2.0, 5.0):  # a slow machine may lose keys pressed before it handles the click
                xdotool.do(
                    "sleep", patience, "keydown", "ctrl", "sleep", 0.3, "key", "a", "sleep", 0.3, "keyup", "ctrl"
                )
                xdotool.do("sleep", patience, "type", "--delay", 40, str(link))
                if both.is_equivalent("Path", 0.1, seconds=5):
                    break
                xdotool.click(offscreen.centre("Path"))
            assert_equivalent("the typed path", "Path", 0.1)
            xdotool.do("key", "Return")
            offscreen.press(Key.enter)
            offscreen.wait_until_idle()
            both.park_mouse()
            assert_equivalent("the trial")

            drop_file(network)
            assert_equivalent("the network")
            click("Explain trial")
            offscreen.wait_until_idle()
            both.park_mouse()
            assert_equivalent("the explanation")

            before = xdotool.image()
            xdotool.do("key", "space", "sleep", 0.7, "key", "space", "sleep", 0.5)
            assert fraction_different(before, xdotool.image()) > 0.005, "playback has changed the image"
            xdotool.do("key", "Home")
            assert_equivalent("the first frame again")

            click(tuple(map(round, offscreen.point_in("Heatmap", 0.6, 0.5))))
            assert offscreen.state.joint is not None
            offscreen.draw(3)
            assert_equivalent("the clicked frame, and the curves of the joint")

            before = xdotool.image()
            xdotool.do("keydown", "w", "sleep", 0.6, "keyup", "w", "sleep", 0.5)
            assert fraction_different(before, xdotool.image()) > 0.005, "the camera has moved"
            xdotool.do("key", "b")
            offscreen.press(Key.b)
            offscreen.draw(3)
            assert_equivalent("the whole body again", "View")

            drop_file(trial / "poses.npz")
            both.park_mouse()
            assert_equivalent("the dropped trial, explained as the one before")
            drop_file(tmp_path / "nothing here")
            assert_equivalent("the error message")
            both.close_by_key()
        finally:
            offscreen.close()


@pytest.mark.slow
def test_screen_window_scales_with_the_screen_density(tmp_path: Path) -> None:
    """GLFW takes the scale from Xft.dpi; 96 is a standard screen."""
    size = (2 * SIZE[0], 2 * SIZE[1])
    trial = write_fitted_trial(tmp_path / "poses/sick/P01/walk1", seconds=0.6)
    offscreen = SimulatedInput(*size, trial.parent, density=2.0)
    try:
        with virtual_screen(size) as display:
            set_resources(display, "Xft.dpi:\t192\n")
            with viewer_on(display, "--gait", trial) as viewer:
                both = BothWindows(viewer, XdotoolInput(display), offscreen, tmp_path)
                offscreen.state.open_path(trial)
                both.park_mouse()
                offscreen.wait_until_idle()
                both.assert_equivalent("the scaled window")
    finally:
        offscreen.close()


ENDLESS = """
import runpy, sys, threading
from pathlib import Path
from gait.viewing.file_backend import FileBackend

begun = Path(sys.argv.pop())

def explain(*_, **__):
    begun.touch()
    threading.Event().wait()

FileBackend.explain = explain
sys.argv[0] = "attention_viewer.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""The viewer, with explanations that never end; the last word is a file that the first one writes."""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["close button", "Ctrl-C in the terminal"])
def test_screen_window_closes_without_waiting_for_an_explanation(tmp_path: Path, how: str) -> None:
    trial = write_fitted_trial(tmp_path / "poses/sick/P01/walk1", seconds=0.6)
    network, begun = write_network(tmp_path / "mlp.ckpt"), tmp_path / "begun"
    with virtual_screen() as display:
        argv = ["--gait", trial, "--network", network, begun]
        with viewer_on(display, *argv, program=("-c", ENDLESS)) as viewer:
            wait_until(begun.exists, "the explanation")
            if how.startswith("Ctrl-C"):
                viewer.send_signal(signal.SIGINT)
            else:
                close_window(display, XdotoolInput(display).window())
            output, errors = viewer.communicate(timeout=60)
            assert not output
            if how.startswith("Ctrl-C"):
                assert viewer.returncode == 130
                assert errors.splitlines() == ["Interrupted; the files written so far are complete."]
            else:
                assert viewer.returncode == 0
                assert not errors
