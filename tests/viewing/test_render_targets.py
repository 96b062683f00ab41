"""Several windows in one process: each has its own OpenGL context and must not change the others."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from gait.viewing.camera import Camera
from gait.viewing.lazy_imgui import imgui
from gait.viewing.offscreen_renderer import OffscreenRenderer
from gait.viewing.offscreen_window import OffscreenWindow
from gait.viewing.scene import Scene
from tests.helpers.explanation_cases import write_network
from tests.helpers.viewing_cases import SimulatedInput, fraction_different, write_fitted_trial

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("world")
    write_fitted_trial(base / "sick/P01/walk1", seconds=1.6)
    write_network(base / "mlp.ckpt", mean_window=None)
    return base


def opened(world: Path, number: int) -> SimulatedInput:
    """Open a window of its own size, with everything that allocates graphics memory."""
    ui = SimulatedInput(420 + 20 * number, 320 + 10 * number, world)
    state = ui.state
    state.open_trial(world / "sick/P01/walk1")
    state.open_network(world / "mlp.ckpt")
    state.explain()
    state.layers.markers = state.layers.skeleton = state.layers.path = True
    ui.wait_until_idle()
    assert state.overlay is not None
    return ui


def test_closing_windows_in_any_order_keeps_the_others_intact(world: Path) -> None:
    windows = {number: opened(world, number) for number in range(3)}
    stills = {number: ui.image() for number, ui in windows.items()}
    for number in (1, 0, 2):
        windows.pop(number).close()
        gc.collect()
        beside = OffscreenRenderer()  # its context is released by the garbage collector only
        beside.draw(Scene(), Camera(), 60, 40)
        del beside
        gc.collect()
        for other, ui in windows.items():
            ui.state.seek(20)
            ui.draw(2)
            assert fraction_different(stills[other], ui.image()) > 0.001
            ui.state.seek(0)
            ui.draw(3)
            assert fraction_different(stills[other], ui.image()) < 0.001, f"{other} after {number} was closed"
        again = opened(world, number)
        assert fraction_different(stills[number], again.image()) < 0.001, "a new window renders the same"
        again.close()


def test_closing_a_window_frees_its_graphics_memory() -> None:
    """In a new context the driver numbers its objects from the start; leftovers would shift the numbers."""
    numbers = []
    keep = OffscreenWindow(64, 48)
    for _ in range(3):
        with OffscreenWindow(64, 48) as window:
            window.draw(lambda: imgui.text("a"))
            keep.draw(lambda: imgui.text("b"))
            with window.context:
                numbers.append(window.context.texture((4, 4), 4).glo)
            assert np.ptp(window.image()) > 50
        gc.collect()
    keep.close()
    assert len(set(numbers)) == 1
