"""Several windows in one process: each has its own OpenGL context, and none may touch what is another's."""

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
from tests.helpers.viewing_cases import Hands, unlike, write_shown_walk

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("world")
    write_shown_walk(base / "sick/P01/walk1", seconds=1.6)
    write_network(base / "mlp.ckpt", mean_window=None)
    return base


def opened(world: Path, number: int) -> Hands:
    """A window of a size of its own, with all that keeps something on the graphics side."""
    hands = Hands(420 + 20 * number, 320 + 10 * number, world)
    session = hands.session
    session.open_gait(world / "sick/P01/walk1")
    session.open_network(world / "mlp.ckpt")
    session.want_explanation()
    session.layers.markers = session.layers.skeleton = session.layers.path = True
    hands.settle()
    assert session.explained is not None
    return hands


def test_windows_closed_out_of_order_leave_the_others_as_they_were(world: Path) -> None:
    windows = {number: opened(world, number) for number in range(3)}
    stills = {number: hands.picture() for number, hands in windows.items()}
    for number in (1, 0, 2):
        windows.pop(number).close()
        gc.collect()
        beside = OffscreenRenderer()  # whose context nobody releases but the collector
        beside.draw(Scene(), Camera(), 60, 40)
        del beside
        gc.collect()
        for other, hands in windows.items():
            hands.session.seek(20)
            hands.draw(2)
            assert unlike(stills[other], hands.picture()) > 0.001
            hands.session.seek(0)
            hands.draw(3)
            assert unlike(stills[other], hands.picture()) < 0.001, f"{other} after {number} was closed"
        again = opened(world, number)
        assert unlike(stills[number], again.picture()) < 0.001, "a new one in its place"
        again.close()


def test_nothing_of_a_window_outlives_it_on_the_graphics_side() -> None:
    """Each time the driver counts its things anew: were they another context's, numbers would go on."""
    numbers = []
    keep = OffscreenWindow(64, 48)
    for _ in range(3):
        with OffscreenWindow(64, 48) as stage:
            stage.draw(lambda: imgui.text("a"))
            keep.draw(lambda: imgui.text("b"))
            with stage.context:
                numbers.append(stage.context.texture((4, 4), 4).glo)
            assert np.ptp(stage.picture()) > 50
        gc.collect()
    keep.close()
    assert len(set(numbers)) == 1
