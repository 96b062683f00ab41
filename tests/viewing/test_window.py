"""The window, driven by scripted events through EGL: every control does what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gait.body.skeleton import HEAD_TO_FEET, Joint
from gait.viewing.colours import UNEXPLAINED
from gait.viewing.glfw_window import density_of
from gait.viewing.lazy_imgui import imgui
from gait.viewing.panels.help_page import KEYS
from gait.viewing.panels.timeline_panel import TOP
from gait.viewing.panels.widgets import WRONG
from tests.helpers.explanation_cases import SMALL_TRANSFORMER, WINDOW, write_network
from tests.helpers.viewing_cases import Hands, unlike, write_shown_walk

Key = imgui.Key
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """<world>/poses/<label>/<person>/<walk> and <world>/networks."""
    base = tmp_path_factory.mktemp("world")
    write_shown_walk(base / "poses/sick/P01/walk1", seed=1, seconds=2.2)
    write_shown_walk(base / "poses/healthy/P02/walk1", seed=2, seconds=2.9)
    write_shown_walk(base / "poses/healthy/P03/walk1", seed=3, seconds=2.9, markers=0)
    write_network(base / "networks/mlp.ckpt", mean_window=None)
    write_network(base / "networks/transformer.ckpt", SMALL_TRANSFORMER)
    (base / "networks/broken.ckpt").write_bytes(b"nothing of the kind")
    return base


@pytest.fixture(scope="module")
def shared(world: Path) -> Hands:
    hands = Hands(1000, 700, world)
    yield hands
    hands.close()


@pytest.fixture
def hands(shared: Hands, world: Path) -> Hands:
    """A window with a walk and a network, explained, as at the beginning."""
    session = shared.session
    session.no_ghost()
    session.listed, session.listed_folder, session.joint, session.help = [], None, None, False
    session.layers.__init__()
    session.follow = session.loop = True
    session.speed, session.window_only = 1.0, False
    session.jobs.lines.clear()
    session.jobs.failures.clear()
    session.open_network(world / "networks/mlp.ckpt", "lrp")
    session.want_explanation()
    session.open_gait(world / "poses/sick/P01/walk1")
    shared.press(Key.escape)
    shared.move((500.0, 2.0))
    shared.settle()
    assert session.explained is not None
    assert not session.jobs.lines
    return shared


def test_an_empty_window_says_how_to_begin_and_keys_harm_nothing(world: Path) -> None:
    hands = Hands(1000, 700, world)
    try:
        for key in (Key.space, Key.comma, Key.period, Key.home, Key.end, Key.b, Key.g, Key.l, Key.w, Key.q):
            hands.press(key, held_s=0.1)
        assert "Map" not in hands.contents.controls.places
        assert hands.session.frame == 0
        hands.click("Explain gait sequence") if "Explain gait sequence" in hands.contents.controls.places else None
        assert not hands.session.jobs.lines
    finally:
        hands.close()


def test_a_walk_and_a_network_are_opened_by_typing_and_by_browsing_and_explained(world: Path) -> None:
    hands = Hands(1000, 700, world)
    session = hands.session
    try:
        hands.click("Open ...")
        hands.click("entry poses")
        hands.click("entry sick")
        hands.click("entry P01")
        hands.click("entry walk1")
        hands.settle()
        assert session.body is not None
        assert session.body.gait.name == "sick/P01/walk1"
        assert "Path" not in hands.contents.controls.places, "the panel has closed"
        hands.press(Key.o)
        hands.draw(2)
        hands.click("Up")
        hands.click("Path")
        hands.select_all()
        hands.write(str(world / "networks" / "mlp.ckpt"))
        camera = session.camera
        hands.press(Key.enter)
        hands.settle()
        assert session.network is not None
        assert session.network.window_frames == WINDOW
        assert session.camera == camera, "letters that are typed do not fly"
        assert session.explained is None
        hands.click("Explain gait sequence")
        hands.settle()
        assert session.explained is not None
        assert session.explained.method.name == session.network.methods[0].name
        assert {"Map", "Probability", "Colour bar", "Start frame"} <= hands.contents.controls.places.keys()
    finally:
        hands.close()


def test_play_goes_by_elapsed_time_whatever_the_picture_rate(hands: Hands) -> None:
    session = hands.session
    for pictures in (5, 40):
        hands.press(Key.home)
        hands.press(Key.space)
        assert session.playing
        hands.draw(pictures, 1.0 / pictures)
        hands.press(Key.space)
        assert not session.playing
        assert session.frame == pytest.approx(100, abs=1)
    hands.click("Speed")
    hands.click("Speed: 0.5 x")
    assert session.speed == 0.5
    hands.press(Key.home)
    hands.click("Play")
    hands.draw(10, 0.1)
    hands.click("Play")
    assert session.frame == pytest.approx(50, abs=1)


def test_it_loops_or_stops_at_the_end(hands: Hands) -> None:
    session = hands.session
    hands.press(Key.end)
    assert session.frame == session.frames - 1
    hands.draw(1)
    session.seek(session.frames - 10)
    session.playing = True
    hands.draw(2, 0.1)
    assert session.playing
    assert session.frame < 20
    hands.click("Loop")
    assert not session.loop
    session.seek(session.frames - 10)
    session.playing = True
    hands.draw(3, 0.1)
    assert not session.playing
    assert session.frame == session.frames - 1
    hands.press(Key.l)
    assert session.loop


def test_frames_are_stepped_and_dragged(hands: Hands) -> None:
    session = hands.session
    hands.press(Key.home)
    hands.press(Key.period)
    hands.press(Key.period)
    assert session.frame == 2
    hands.press(Key.comma)
    hands.click("On")
    hands.click("On")
    hands.click("Back")
    assert session.frame == 2
    hands.drag(hands.within("Frame", 0.01, 0.5), hands.within("Frame", 0.5, 0.5))
    assert session.frame == pytest.approx(session.frames / 2, abs=4)


def test_a_click_on_the_map_goes_there_and_chooses_the_joint(hands: Hands) -> None:
    session = hands.session
    rows = TOP
    row = HEAD_TO_FEET.index(Joint.LEFT_ANKLE)
    down = 1 - (22 - row - 0.5) / rows
    before = hands.picture("View")
    hands.click(hands.within("Map", 0.75, down))
    assert session.joint == Joint.LEFT_ANKLE
    assert session.frame == pytest.approx(0.75 * session.frames, abs=2)
    hands.draw(2)
    assert {"Importance", "Angle"} <= hands.contents.controls.places.keys()
    assert unlike(before, hands.picture("View")) > 0.01
    hands.click(hands.within("Angle", 0.25, 0.5))
    assert session.frame == pytest.approx(0.25 * session.frames, abs=3)
    hands.click(hands.within("Probability", 0.5, 0.5))
    assert session.frame == pytest.approx(0.5 * session.frames, abs=2)
    assert session.joint == Joint.LEFT_ANKLE


def test_the_wheel_zooms_the_map_in_time(hands: Hands) -> None:
    session = hands.session
    for _ in range(5):
        hands.wheel("Map", 1.0)
    hands.click(hands.within("Map", 0.02, 0.5))
    left = session.frame
    hands.click(hands.within("Map", 0.98, 0.5))
    right = session.frame
    assert 20 < left < right < session.frames - 20
    hands.drag("Map", hands.within("Map", 0.7, 0.5), button=1)
    hands.click(hands.within("Map", 0.02, 0.5))
    assert session.frame < left - 5, "the right button moves it"
    hands.draw(1, 1.0)
    for _ in range(2):
        hands.click(hands.within("Map", 0.5, 0.5))
    hands.draw(2)
    hands.click(hands.within("Map", 0.02, 0.5))
    assert session.frame < 6, "twice: all"


def test_a_click_on_a_joint_of_the_body_chooses_it_and_beside_it_none(hands: Hands) -> None:
    session = hands.session
    left, top, right, bottom = hands.contents.controls.places["View"]
    places = session.camera.pixels(
        session.body.gait.sequence.joints_m[session.frame], round(right - left), round(bottom - top)
    )
    hands.click((left + places[Joint.RIGHT_KNEE, 0], top + places[Joint.RIGHT_KNEE, 1]))
    assert session.joint == Joint.RIGHT_KNEE
    hands.click(hands.within("View", 0.1, 0.6))
    assert session.joint is None


@pytest.mark.parametrize(
    ("key", "what"),
    [(Key.w, "ahead"), (Key.s, "back"), (Key.a, "left"), (Key.d, "right"), (Key.r, "up"), (Key.f, "down")],
)
def test_keys_fly_by_elapsed_time(hands: Hands, key: Key, what: str) -> None:
    session = hands.session
    start, ways = session.camera, []
    for pictures in (4, 25):
        session.camera = start
        hands.press(key, held_s=0.5, pictures=pictures)
        ways.append(np.subtract(session.camera.target_m, start.target_m))
    # ImGui sees a key as held from the picture after the one in which it went down.
    assert np.linalg.norm(ways[0]) == pytest.approx(np.linalg.norm(ways[1]), rel=0.35)
    right_up_back = start.view()[:3, :3] @ ways[1]
    axis, sign = {"left": (0, -1), "right": (0, 1), "up": (1, 1), "down": (1, -1), "ahead": (2, -1), "back": (2, 1)}[
        what
    ]
    assert np.argmax(np.abs(right_up_back)) == axis
    assert np.sign(right_up_back[axis]) == sign
    assert 0.4 < np.linalg.norm(ways[1]) < 1.1


def test_q_and_e_turn_on_the_spot_and_b_comes_back(hands: Hands) -> None:
    session = hands.session
    session.seek(0)
    session.frame_to_body()
    start = session.camera
    eye = np.linalg.inv(start.view())[:3, 3]
    hands.press(Key.q, held_s=0.5, pictures=10)
    assert np.allclose(np.linalg.inv(session.camera.view())[:3, 3], eye, atol=1e-5)
    turned = session.camera.yaw_deg - start.yaw_deg
    assert 10 < turned < 45
    hands.press(Key.e, held_s=0.5, pictures=10)
    assert session.camera.yaw_deg == pytest.approx(start.yaw_deg, abs=0.1)
    hands.press(Key.w, held_s=0.4, pictures=10)
    hands.press(Key.b)
    assert session.camera == start


def test_the_mouse_goes_round_moves_and_zooms(hands: Hands) -> None:
    session = hands.session
    start = session.camera
    middle = hands.place("View")
    hands.drag("View", (middle[0] + 60, middle[1] + 20))
    assert session.camera.yaw_deg == pytest.approx((start.yaw_deg - 24) % 360, abs=3)
    assert session.camera.pitch_deg > start.pitch_deg
    assert session.camera.target_m == start.target_m
    assert session.joint is None, "dragging is no click"
    hands.drag("View", (middle[0] + 60, middle[1]), button=1)
    assert session.camera.target_m != start.target_m
    hands.wheel("View", 3.0)
    assert session.camera.view_height_m < start.view_height_m


def test_the_camera_follows_the_body_if_wanted(hands: Hands) -> None:
    session = hands.session
    session.seek(0)
    start = np.array(session.camera.target_m)
    session.seek(session.frames - 1)
    pelvis = session.body.gait.sequence.joints_m[:, Joint.PELVIS]
    assert np.allclose((np.array(session.camera.target_m) - start)[[0, 2]], (pelvis[-1] - pelvis[0])[[0, 2]], atol=1e-4)
    hands.click("Follow the body")
    here = session.camera
    session.seek(0)
    assert session.camera == here


@pytest.mark.parametrize("layer", ["Skin", "Skeleton", "Markers", "Floor", "Path walked"])
def test_each_layer_is_seen(hands: Hands, layer: str) -> None:
    hands.draw(3)
    before = hands.picture("View")
    hands.click(layer)
    hands.draw(3)
    assert unlike(before, hands.picture("View")) > 0.0006
    hands.click(layer)
    hands.draw(3)
    assert unlike(before, hands.picture("View")) < 1e-4


def test_g_is_the_floor_and_what_a_walk_lacks_cannot_be_switched_on(hands: Hands, world: Path) -> None:
    hands.press(Key.g)
    assert not hands.session.layers.floor
    hands.click("Uncertainty")
    assert not hands.session.layers.confidence, "made-up poses hold no joints_sigma"
    hands.session.open_gait(world / "poses/healthy/P03/walk1")
    hands.settle()
    hands.click("Markers")
    assert not hands.session.layers.markers


def test_help_names_every_key_and_closes(hands: Hands) -> None:
    hands.press(Key.h)
    hands.draw(2)
    assert hands.session.help
    assert "Help page" in hands.contents.controls.places
    named = " ".join(key for key, _ in KEYS)
    assert all(letter in named for letter in "WASDRFQEBLGOH,.")
    hands.press(Key.escape)
    assert not hands.session.help
    hands.click("Help (H)")
    assert hands.session.help
    hands.press(Key.h)
    assert not hands.session.help


def test_another_method_and_back_without_working_it_out_again(hands: Hands, world: Path) -> None:
    session = hands.session
    session.open_network(world / "networks/transformer.ckpt")
    hands.settle()
    first = session.explained
    assert first is not None
    hands.click("Method")
    hands.click("Method: Attention")
    hands.settle()
    assert session.explained is not None
    assert session.explained.method.name == "attention"
    assert not session.explained.importance.signed
    hands.click("Method")
    hands.click(f"Method: {first.method.title}")
    assert session.explained is first


def test_the_window_chosen_has_its_own_verdict_and_may_stand_alone(hands: Hands) -> None:
    session = hands.session
    assert session.window == 0
    hands.drag(hands.within("Start frame", 0.01, 0.5), hands.within("Start frame", 0.99, 0.5))
    assert session.window == len(session.explained.importance.first_frames) - 1
    first, last = session.explained.window(session.window)
    assert last == session.frames - 1
    assert last - first + 1 == WINDOW
    session.seek(0)
    hands.draw(3)
    body = hands.picture("View")
    hands.click("Only this window")
    hands.draw(3)
    grey = hands.picture("View")
    assert unlike(body, grey) > 0.01

    def is_grey(picture: np.ndarray) -> float:
        near = np.abs(picture.astype(int) - picture.mean(axis=-1, keepdims=True)).max(axis=-1) < 8
        return float((near & (np.abs(picture.astype(int) - UNEXPLAINED).max(axis=-1) < 60)).mean())

    assert is_grey(grey) > 2 * is_grey(body)


def test_a_second_person_and_the_healthy_mean_stand_beside(hands: Hands, world: Path) -> None:
    session = hands.session
    hands.draw(3)
    alone = hands.picture("View")
    hands.click("Compare ...")
    hands.click("Path")
    hands.select_all()
    hands.write(str(world / "poses/healthy/P02/walk1"))
    hands.press(Key.enter)
    hands.settle()
    assert session.ghost is not None
    assert session.body.gait.name == "sick/P01/walk1", "the first one stays"
    beside = hands.picture("View")
    assert unlike(alone, beside) > 0.01
    hands.click("Second person")
    hands.draw(3)
    assert unlike(alone, hands.picture("View")) < 1e-4
    hands.click("Remove")
    assert session.ghost is None
    session.open_beside(world / "poses")
    hands.settle()
    assert session.ghost is not None
    assert session.ghost.gait.name == "mean of 2 healthy persons"
    assert not session.jobs.failures


def test_a_folder_is_listed_judged_and_opened_from(hands: Hands, world: Path) -> None:
    session = hands.session
    hands.press(Key.o)
    hands.draw(2)
    hands.click("Path")
    hands.select_all()
    hands.write(str(world / "poses"))
    hands.press(Key.enter)
    hands.draw(2)
    hands.click("List all walks in this folder")
    hands.settle()
    assert [listed.name for listed in session.listed] == ["healthy/P02/walk1", "healthy/P03/walk1", "sick/P01/walk1"]
    hands.click("Classify all")
    hands.settle()
    own = next(listed for listed in session.listed if listed.name == "sick/P01/walk1")
    assert own.probability == pytest.approx(session.explained.importance.person_probability, abs=1e-4)
    assert all(listed.probability is not None for listed in session.listed)
    hands.click("listed healthy/P02/walk1")
    hands.settle()
    assert session.body.gait.name == "healthy/P02/walk1"
    assert session.explained is not None, "explained like the one before"


def test_an_error_is_a_line_and_all_else_stays(hands: Hands, world: Path) -> None:
    session = hands.session
    explained = session.explained
    for path, said in (
        (world / "networks/broken.ckpt", "broken.ckpt"),
        (world / "nowhere", "no such file or folder"),
        (world / "networks", "no fitted gait"),
    ):
        session.open_path(path)
        hands.settle()
        assert said in session.jobs.lines[-1]
        assert "\n" not in session.jobs.lines[-1]
        assert session.explained is explained
    hands.click("Clear messages")
    assert not session.jobs.lines


def test_in_a_small_window_errors_are_in_sight_however_much_stands_above_them(world: Path) -> None:
    hands = Hands(640, 400, world)
    session = hands.session
    try:
        session.open_gait(world / "poses/sick/P01/walk1")
        session.open_network(world / "networks/mlp.ckpt")
        session.want_explanation()
        hands.settle()
        hands.move((400.0, 2.0))
        calm = hands.picture()
        for number in range(5):
            session.open_path(world / f"nowhere{number}")
        hands.draw(3)
        left, top, right, bottom = hands.contents.controls.places["Clear messages"]
        assert 0 <= left < right <= 200
        assert 0 <= top < bottom <= 400
        red = (np.abs(hands.picture()[200:400, :200].astype(int) - WRONG).max(axis=-1) < 60).sum()
        assert red > 200
        hands.click("Clear messages")
        hands.move((400.0, 2.0))
        hands.draw(3)
        assert unlike(calm, hands.picture()) < 0.001
    finally:
        hands.close()


def test_on_a_finer_screen_all_is_as_large_as_on_an_ordinary_one(world: Path) -> None:
    places = []
    for density in (1.0, 2.0):
        hands = Hands(round(1000 * density), round(700 * density), world, density=density)
        hands.session.open_gait(world / "poses/sick/P01/walk1")
        hands.settle()
        places.append({name: np.array(box) / density for name, box in hands.contents.controls.places.items()})
        hands.close()
    assert places[0].keys() == places[1].keys()
    for name, box in places[0].items():
        assert np.abs(box - places[1][name]).max() < 12, name


@pytest.mark.parametrize(
    ("content", "window", "framebuffer", "density"),
    [
        ((1.0, 1.0), (1280, 720), (1280, 720), 1.0),
        ((2.0, 2.0), (2560, 1440), (2560, 1440), 2.0),  # X11, Windows: a pixel is one of the screen's
        ((2.0, 2.0), (1280, 720), (2560, 1440), 1.0),  # macOS, Wayland: the system has enlarged it already
        ((1.25, 1.5), (1280, 720), (1280, 720), 1.5),
        ((0.0, 0.0), (1280, 720), (1280, 720), 1.0),  # systems that do not know
        ((90.0, 90.0), (1280, 720), (1280, 720), 4.0),
        ((2.0, 2.0), (0, 0), (0, 0), 2.0),  # minimised
    ],
)
def test_the_density_is_what_the_system_has_not_enlarged_itself(
    content: tuple[float, float], window: tuple[int, int], framebuffer: tuple[int, int], density: float
) -> None:
    assert density_of(content, window, framebuffer) == density


def test_the_window_goes_on_while_something_is_worked_out(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    go_on = threading.Event()
    session = hands.session

    def slow(*_: object) -> object:
        go_on.wait(30)
        raise MemoryError

    monkeypatch.setattr(type(session.workbench), "explained", slow)
    session._explanations.clear()
    hands.click("Explain gait sequence")
    try:
        assert session.jobs.busy
        hands.press(Key.home)
        hands.press(Key.space)
        hands.draw(5, 0.1)
        assert session.frame > 30, "it plays meanwhile"
    finally:
        go_on.set()
    hands.settle()
    assert "not enough memory" in session.jobs.lines[-1]
