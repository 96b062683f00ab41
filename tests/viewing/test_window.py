"""The offscreen window, driven by simulated input: the action of every control."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gait.body.skeleton import HEAD_TO_FEET, Joint, display_name
from gait.explaining.evidence.finding import Counterfactual, Evidence
from gait.motion.pose_files import read_poses
from gait.motion.pose_npz import write_npz
from gait.viewing.colours import UNEXPLAINED, UNOBSERVED
from gait.viewing.file_backend import FileBackend
from gait.viewing.glfw_window import pixel_density
from gait.viewing.lazy_imgui import imgui
from gait.viewing.panels import body_panel, timeline_panel
from gait.viewing.panels.help_page import KEYS
from gait.viewing.panels.timeline_panel import TOP
from gait.viewing.panels.widgets import ERROR, Widgets
from gait.viewing.renderer import Renderer
from tests.helpers.evidence_cases import UNUSED, counterfactual, evidence, finding
from tests.helpers.explanation_cases import SMALL_TRANSFORMER, WINDOW, write_network
from tests.helpers.fitting_cases import short_trial
from tests.helpers.motion_cases import status_without
from tests.helpers.viewing_cases import SimulatedInput, fraction_different, open_body, write_fitted_trial

Key = imgui.Key
SIZE = (800, 560)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """<world>/poses/<label>/<subject>/<trial> and <world>/networks."""
    base = tmp_path_factory.mktemp("world")
    write_fitted_trial(base / "poses/sick/P01/walk1", seed=1, seconds=2.2)
    write_fitted_trial(base / "poses/healthy/P02/walk1", seed=2, seconds=2.9)
    write_fitted_trial(base / "poses/healthy/P03/walk1", seed=3, seconds=2.9, markers=0)
    write_network(base / "networks/mlp.ckpt", mean_window=None)
    write_network(base / "networks/transformer.ckpt", SMALL_TRANSFORMER)
    (base / "networks/broken.ckpt").write_bytes(b"nothing of the kind")
    return base


@pytest.fixture(scope="module")
def shared(world: Path) -> Iterator[SimulatedInput]:
    ui = SimulatedInput(*SIZE, world, stride=16)
    yield ui
    ui.close()


@pytest.fixture
def ui(shared: SimulatedInput, world: Path) -> SimulatedInput:
    """A window with an explained trial, reset to its initial state."""
    state = shared.state
    state.close_comparison()
    state.listed, state.listed_folder, state.joint, state.help = [], None, None, False
    state.layers.__init__()
    state.follow = state.loop = True
    state.speed, state.window_only = 1.0, False
    state.position, state.playing, state.window_start = 0.0, False, 0
    state.jobs.messages.clear()
    state.jobs.errors.clear()
    trial, network = world / "poses/sick/P01/walk1", world / "networks/mlp.ckpt"
    overlay = state.overlay
    if overlay is None or (overlay.trial.folder, overlay.network.file) != (trial, network):
        state.open_network(network, "lrp")
        state.explain()
        state.open_trial(trial)
    else:
        state.view_whole_body()
    shared.press(Key.escape)
    shared.move((500.0, 2.0))
    shared.wait_until_idle()
    assert state.overlay is not None
    assert not state.jobs.messages
    return shared


def test_empty_window_ignores_keys_and_shows_no_error(world: Path) -> None:
    ui = SimulatedInput(*SIZE, world, stride=16)
    try:
        for key in (Key.space, Key.comma, Key.period, Key.home, Key.end, Key.b, Key.g, Key.l, Key.w, Key.q):
            ui.press(key, duration_s=0.1)
        assert "Heatmap" not in ui.main_window.widgets.rects
        assert ui.state.frame == 0
        ui.click("Explain trial") if "Explain trial" in ui.main_window.widgets.rects else None
        assert not ui.state.jobs.messages
    finally:
        ui.close()


def test_file_browser_opens_trial_by_browsing_and_network_by_typing(world: Path) -> None:
    ui = SimulatedInput(*SIZE, world, stride=16)
    state = ui.state
    try:
        ui.click("Open ...")
        ui.click("entry poses")
        ui.click("entry sick")
        ui.click("entry P01")
        ui.click("entry walk1")
        ui.wait_until_idle()
        assert state.actor is not None
        assert state.actor.trial.name == "sick/P01/walk1"
        assert "Path" not in ui.main_window.widgets.rects, "the file browser has closed"
        ui.press(Key.o)
        ui.draw(2)
        ui.click("Up")
        ui.click("Path")
        ui.select_all()
        ui.type_text(str(world / "networks" / "mlp.ckpt"))
        camera = state.camera
        ui.press(Key.enter)
        ui.wait_until_idle()
        assert state.network is not None
        assert state.network.window_length == WINDOW
        assert state.camera == camera, "typing does not move the camera"
        assert state.overlay is None
        ui.click("Explain trial")
        ui.wait_until_idle()
        assert state.overlay is not None
        assert state.overlay.method.name == state.network.methods[0]
        assert {"Heatmap", "Probability", "Colour bar", "Start frame"} <= ui.main_window.widgets.rects.keys()
    finally:
        ui.close()


def test_playback_follows_elapsed_time_at_any_frame_rate(ui: SimulatedInput) -> None:
    state = ui.state
    for frames in (5, 20):
        ui.press(Key.home)
        ui.press(Key.space)
        assert state.playing
        ui.draw(frames, 1.0 / frames)
        ui.press(Key.space)
        assert not state.playing
        assert state.frame == pytest.approx(100, abs=1)
    ui.click("Speed")
    ui.click("Speed: 0.5 x")
    assert state.speed == 0.5
    ui.press(Key.home)
    ui.click("Play")
    ui.draw(10, 0.1)
    ui.click("Play")
    assert state.frame == pytest.approx(50, abs=1)


def test_body_is_rendered_when_something_changes_and_once_more_for_smooth_edges(
    ui: SimulatedInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[float] = []
    draw = Renderer.draw

    def count(self: Renderer, *args: Any, pixel_scale: float) -> None:
        rendered.append(pixel_scale)
        draw(self, *args, pixel_scale=pixel_scale)

    monkeypatch.setattr(Renderer, "draw", count)
    ui.draw(5)
    assert not rendered
    ui.state.seek(7)
    ui.draw(5)
    first, second = rendered
    assert second == pytest.approx(2 * first)


def test_playback_loops_or_stops_at_the_end(ui: SimulatedInput) -> None:
    state = ui.state
    ui.press(Key.end)
    assert state.frame == state.num_frames - 1
    ui.draw(1)
    state.seek(state.num_frames - 10)
    state.playing = True
    ui.draw(2, 0.1)
    assert state.playing
    assert state.frame < 20
    ui.click("Loop")
    assert not state.loop
    state.seek(state.num_frames - 10)
    state.playing = True
    ui.draw(3, 0.1)
    assert not state.playing
    assert state.frame == state.num_frames - 1
    ui.press(Key.l)
    assert state.loop


def test_frame_buttons_and_slider_change_the_frame(ui: SimulatedInput) -> None:
    state = ui.state
    ui.press(Key.home)
    ui.press(Key.period)
    ui.press(Key.period)
    assert state.frame == 2
    ui.press(Key.comma)
    ui.click("Forward")
    ui.click("Forward")
    ui.click("Back")
    assert state.frame == 2
    ui.drag(ui.point_in("Frame", 0.01, 0.5), ui.point_in("Frame", 0.5, 0.5))
    assert state.frame == pytest.approx(state.num_frames / 2, abs=4)


def test_click_on_heatmap_seeks_and_selects_the_joint(ui: SimulatedInput) -> None:
    state = ui.state
    rows = TOP
    row = HEAD_TO_FEET.index(Joint.LEFT_ANKLE)
    down = 1 - (22 - row - 0.5) / rows
    before = ui.image("View")
    ui.click(ui.point_in("Heatmap", 0.75, down))
    assert state.joint == Joint.LEFT_ANKLE
    assert state.frame == pytest.approx(0.75 * state.num_frames, abs=2)
    ui.draw(2)
    assert {"Attribution", "Angle"} <= ui.main_window.widgets.rects.keys()
    assert fraction_different(before, ui.image("View")) > 0.01
    ui.click(ui.point_in("Angle", 0.25, 0.5))
    assert state.frame == pytest.approx(0.25 * state.num_frames, abs=3)
    ui.click(ui.point_in("Probability", 0.5, 0.5))
    assert state.frame == pytest.approx(0.5 * state.num_frames, abs=2)
    assert state.joint == Joint.LEFT_ANKLE


def test_joints_that_are_not_observed_are_hatched_and_said_so(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_fitted_trial(tmp_path / "poses/sick/P09/walk1", seed=1, seconds=2.2)
    sequence = read_poses(folder)
    wrists = (Joint.LEFT_WRIST, Joint.RIGHT_WRIST)
    write_npz(folder, replace(sequence, joint_status=status_without(sequence.num_frames, wrists)))
    said: list[str] = []
    monkeypatch.setattr(timeline_panel.imgui, "set_tooltip", said.append)
    monkeypatch.setattr(Widgets, "text", lambda _, text, colour=(0, 0, 0): said.append(text))
    ui = SimulatedInput(*SIZE, tmp_path, stride=16)
    try:
        ui.state.open_trial(folder)
        ui.wait_until_idle()
        assert "Not observed by markers: wrists." in said
        ui.state.open_network(world / "networks/mlp.ckpt")
        ui.state.explain()
        ui.wait_until_idle()
        assert {line for line in said if "wrists" in line} >= {
            "Not observed by markers, so not explained: wrists.",
            "The network uses the pose prior's guess of wrists; the prediction depends on it.",
        }
        assert not any("wrist" in name for name in ui.state.overlay.attribution.largest_joints(22))  # type: ignore[union-attr]
        for joint, hatched in ((Joint.LEFT_WRIST, True), (Joint.LEFT_KNEE, False)):
            down = 1 - (22 - HEAD_TO_FEET.index(joint) - 0.5) / TOP
            said.clear()
            ui.move(ui.point_in("Heatmap", 0.5, down))
            ui.draw(2)
            assert any(display_name(joint) in line and "not observed" in line for line in said) == hatched
            left, top, right, bottom = ui.main_window.widgets.rects["Heatmap"]
            row = round(top + down * (bottom - top))
            strip = ui.image()[row - 1 : row + 1, round(left) + 60 : round(right) - 4]
            assert ((strip == UNOBSERVED).all(axis=-1).mean() > 0.3) == hatched
        ui.state.joint = Joint.LEFT_WRIST
        ui.draw(2)
        assert body_panel._joint_text(ui.state, Joint.LEFT_WRIST) == "left wrist, not observed"
        mesh = ui.state.scene().meshes[0]
        assert mesh.observed is not None
        assert 0.02 < (mesh.observed < 0.5).mean() < 0.6
    finally:
        ui.close()


def test_mouse_wheel_zooms_the_timeline(ui: SimulatedInput) -> None:
    state = ui.state
    for _ in range(5):
        ui.wheel("Heatmap", 1.0)
    ui.click(ui.point_in("Heatmap", 0.02, 0.5))
    left = state.frame
    ui.click(ui.point_in("Heatmap", 0.98, 0.5))
    right = state.frame
    assert 20 < left < right < state.num_frames - 20
    ui.drag("Heatmap", ui.point_in("Heatmap", 0.7, 0.5), button=1)
    ui.click(ui.point_in("Heatmap", 0.02, 0.5))
    assert state.frame < left - 5, "the right button pans"
    ui.draw(1, 1.0)
    for _ in range(2):
        ui.click(ui.point_in("Heatmap", 0.5, 0.5))
    ui.draw(2)
    ui.click(ui.point_in("Heatmap", 0.02, 0.5))
    assert state.frame < 6, "a double click shows the whole trial"


def test_click_on_body_selects_the_joint_and_beside_it_none(ui: SimulatedInput) -> None:
    state = ui.state
    left, top, right, bottom = ui.main_window.widgets.rects["View"]
    pixels = state.camera.project_to_pixels(
        state.actor.trial.sequence.joints_m[state.frame], round(right - left), round(bottom - top)
    )
    ui.click((left + pixels[Joint.RIGHT_KNEE, 0], top + pixels[Joint.RIGHT_KNEE, 1]))
    assert state.joint == Joint.RIGHT_KNEE
    ui.click(ui.point_in("View", 0.1, 0.6))
    assert state.joint is None


@pytest.mark.parametrize(
    ("key", "what"),
    [(Key.w, "ahead"), (Key.s, "back"), (Key.a, "left"), (Key.d, "right"), (Key.r, "up"), (Key.f, "down")],
)
def test_keys_move_the_camera_by_elapsed_time(ui: SimulatedInput, key: Key, what: str) -> None:
    state = ui.state
    start, displacements = state.camera, []
    for frames in (4, 12):
        state.camera = start
        ui.press(key, duration_s=0.5, frames=frames)
        displacements.append(np.subtract(state.camera.target_m, start.target_m))
    # ImGui reports a key as down from the frame after the one in which it was pressed.
    assert np.linalg.norm(displacements[0]) == pytest.approx(np.linalg.norm(displacements[1]), rel=0.35)
    right_up_back = start.view_matrix()[:3, :3] @ displacements[1]
    axis, sign = {"left": (0, -1), "right": (0, 1), "up": (1, 1), "down": (1, -1), "ahead": (2, -1), "back": (2, 1)}[
        what
    ]
    assert np.argmax(np.abs(right_up_back)) == axis
    assert np.sign(right_up_back[axis]) == sign
    assert 0.4 < np.linalg.norm(displacements[1]) < 1.1


def test_keys_q_and_e_turn_the_camera_and_b_resets_it(ui: SimulatedInput) -> None:
    state = ui.state
    state.seek(0)
    state.view_whole_body()
    start = state.camera
    eye = np.linalg.inv(start.view_matrix())[:3, 3]
    ui.press(Key.q, duration_s=0.5, frames=10)
    assert np.allclose(np.linalg.inv(state.camera.view_matrix())[:3, 3], eye, atol=1e-5)
    turned = state.camera.yaw_deg - start.yaw_deg
    assert 10 < turned < 45
    ui.press(Key.e, duration_s=0.5, frames=10)
    assert state.camera.yaw_deg == pytest.approx(start.yaw_deg, abs=0.1)
    ui.press(Key.w, duration_s=0.4, frames=10)
    ui.press(Key.b)
    assert state.camera == start


def test_mouse_orbits_moves_and_zooms_the_camera(ui: SimulatedInput) -> None:
    state = ui.state
    start = state.camera
    middle = ui.centre("View")
    ui.drag("View", (middle[0] + 60, middle[1] + 20))
    assert state.camera.yaw_deg == pytest.approx((start.yaw_deg - 24) % 360, abs=3)
    assert state.camera.pitch_deg > start.pitch_deg
    assert state.camera.target_m == start.target_m
    assert state.joint is None, "dragging does not select"
    ui.drag("View", (middle[0] + 60, middle[1]), button=1)
    assert state.camera.target_m != start.target_m
    ui.wheel("View", 3.0)
    assert state.camera.view_height_m < start.view_height_m


def test_camera_follows_the_body_if_enabled(ui: SimulatedInput) -> None:
    state = ui.state
    state.seek(0)
    start = np.array(state.camera.target_m)
    state.seek(state.num_frames - 1)
    pelvis = state.actor.trial.sequence.joints_m[:, Joint.PELVIS]
    assert np.allclose((np.array(state.camera.target_m) - start)[[0, 2]], (pelvis[-1] - pelvis[0])[[0, 2]], atol=1e-4)
    ui.click("Follow the body")
    here = state.camera
    state.seek(0)
    assert state.camera == here


@pytest.mark.parametrize("layer", ["Skin", "Skeleton", "Markers", "Floor", "Pelvis path"])
def test_checkbox_of_each_layer_changes_the_view(ui: SimulatedInput, layer: str) -> None:
    ui.draw(3)
    before = ui.image("View")
    ui.click(layer)
    ui.draw(3)
    assert fraction_different(before, ui.image("View")) > 0.0006
    ui.click(layer)
    ui.draw(3)
    assert fraction_different(before, ui.image("View")) < 1e-4


def test_key_g_toggles_the_floor_and_missing_layers_are_disabled(ui: SimulatedInput, world: Path) -> None:
    ui.press(Key.g)
    assert not ui.state.layers.floor
    ui.click("Uncertainty")
    assert not ui.state.layers.uncertainty, "synthetic poses have no uncertainty"
    ui.state.open_trial(world / "poses/healthy/P03/walk1")
    ui.wait_until_idle()
    ui.click("Markers")
    assert not ui.state.layers.markers


def test_help_page_lists_every_key_and_closes(ui: SimulatedInput) -> None:
    ui.press(Key.h)
    ui.draw(2)
    assert ui.state.help
    assert "Help page" in ui.main_window.widgets.rects
    named = " ".join(key for key, _ in KEYS)
    assert all(letter in named for letter in "WASDRFQEBLGOH,.")
    ui.press(Key.escape)
    assert not ui.state.help
    ui.click("Help (H)")
    assert ui.state.help
    ui.press(Key.h)
    assert not ui.state.help


def test_method_combo_switches_and_reuses_earlier_attribution(ui: SimulatedInput, world: Path) -> None:
    state = ui.state
    state.open_network(world / "networks/transformer.ckpt")
    ui.wait_until_idle()
    first = state.overlay
    assert first is not None
    ui.click("Method")
    ui.click("Method: Attention")
    ui.wait_until_idle()
    assert state.overlay is not None
    assert state.overlay.method.name == "attention"
    assert not state.overlay.attribution.signed
    ui.click("Method")
    ui.click(f"Method: {first.method.title}")
    assert state.overlay is first


def test_start_frame_selects_a_window_that_can_be_coloured_alone(ui: SimulatedInput) -> None:
    state = ui.state
    assert state.window == 0
    ui.drag(ui.point_in("Start frame", 0.01, 0.5), ui.point_in("Start frame", 0.99, 0.5))
    assert state.window == len(state.overlay.attribution.first_frames) - 1
    first, last = state.overlay.window_frames(state.window)
    assert last == state.num_frames - 1
    assert last - first + 1 == WINDOW
    state.seek(0)
    ui.draw(3)
    body = ui.image("View")
    ui.click("Only this window")
    ui.draw(3)
    grey = ui.image("View")
    assert fraction_different(body, grey) > 0.01

    def is_grey(image: np.ndarray) -> float:
        near = np.abs(image.astype(int) - image.mean(axis=-1, keepdims=True)).max(axis=-1) < 8
        return float((near & (np.abs(image.astype(int) - UNEXPLAINED).max(axis=-1) < 60)).mean())

    assert is_grey(grey) > 2 * is_grey(body)


def test_compare_shows_a_second_trial_or_the_mean_control_stride(ui: SimulatedInput, world: Path) -> None:
    state = ui.state
    ui.draw(3)
    alone = ui.image("View")
    ui.click("Compare ...")
    ui.click("Path")
    ui.select_all()
    ui.type_text(str(world / "poses/healthy/P02/walk1"))
    ui.press(Key.enter)
    ui.wait_until_idle()
    assert state.comparison is not None
    assert state.actor.trial.name == "sick/P01/walk1", "the first trial stays"
    beside = ui.image("View")
    assert fraction_different(alone, beside) > 0.01
    ui.click("Comparison")
    ui.draw(3)
    assert fraction_different(alone, ui.image("View")) < 1e-4
    ui.click("Remove")
    assert state.comparison is None
    state.open_comparison(world / "poses")
    ui.wait_until_idle()
    assert state.comparison is not None
    assert state.comparison.trial.name == "mean of 2 controls"
    assert not state.jobs.errors


def test_folder_is_listed_classified_and_opened_from(ui: SimulatedInput, world: Path) -> None:
    state = ui.state
    ui.press(Key.o)
    ui.draw(2)
    ui.click("Path")
    ui.select_all()
    ui.type_text(str(world / "poses"))
    ui.press(Key.enter)
    ui.draw(2)
    ui.click("List all trials in this folder")
    ui.wait_until_idle()
    assert [listed.name for listed in state.listed] == ["healthy/P02/walk1", "healthy/P03/walk1", "sick/P01/walk1"]
    ui.click("Classify all")
    ui.wait_until_idle()
    own = next(listed for listed in state.listed if listed.name == "sick/P01/walk1")
    assert own.probability == pytest.approx(state.overlay.attribution.trial_probability, abs=1e-4)
    assert all(listed.probability is not None for listed in state.listed)
    ui.click("listed healthy/P02/walk1")
    ui.wait_until_idle()
    assert state.actor.trial.name == "healthy/P02/walk1"
    assert state.overlay is not None, "explained as the trial before"


def test_errors_are_one_line_and_keep_the_state(ui: SimulatedInput, world: Path) -> None:
    state = ui.state
    overlay = state.overlay
    for path, message in (
        (world / "networks/broken.ckpt", "broken.ckpt"),
        (world / "nowhere", "no such file or folder"),
        (world / "networks", "no fitted trial"),
    ):
        state.open_path(path)
        ui.wait_until_idle()
        assert message in state.jobs.messages[-1]
        assert "\n" not in state.jobs.messages[-1]
        assert state.overlay is overlay
    ui.click("Clear messages")
    assert not state.jobs.messages


def test_errors_stay_visible_in_a_small_window(world: Path) -> None:
    ui = SimulatedInput(640, 400, world)
    state = ui.state
    try:
        state.open_trial(world / "poses/sick/P01/walk1")
        state.open_network(world / "networks/mlp.ckpt")
        state.explain()
        ui.wait_until_idle()
        ui.move((400.0, 2.0))
        calm = ui.image()
        for number in range(5):
            state.open_path(world / f"nowhere{number}")
        ui.draw(3)
        left, top, right, bottom = ui.main_window.widgets.rects["Clear messages"]
        assert 0 <= left < right <= 200
        assert 0 <= top < bottom <= 400
        red = (np.abs(ui.image()[200:400, :200].astype(int) - ERROR).max(axis=-1) < 60).sum()
        assert red > 200
        ui.click("Clear messages")
        ui.move((400.0, 2.0))
        ui.draw(3)
        assert fraction_different(calm, ui.image()) < 0.001
    finally:
        ui.close()


def test_layout_has_the_same_size_on_a_high_density_screen(world: Path) -> None:
    rects = []
    for density in (1.0, 2.0):
        ui = SimulatedInput(round(SIZE[0] * density), round(SIZE[1] * density), world, density=density)
        ui.state.open_trial(world / "poses/sick/P01/walk1")
        ui.wait_until_idle()
        rects.append({name: np.array(rect) / density for name, rect in ui.main_window.widgets.rects.items()})
        ui.close()
    assert rects[0].keys() == rects[1].keys()
    for name, rect in rects[0].items():
        assert np.abs(rect - rects[1][name]).max() < 12, name


@pytest.mark.parametrize(
    ("content", "window", "framebuffer", "density"),
    [
        ((1.0, 1.0), (1280, 720), (1280, 720), 1.0),
        ((2.0, 2.0), (2560, 1440), (2560, 1440), 2.0),  # X11, Windows: window units are screen pixels
        ((2.0, 2.0), (1280, 720), (2560, 1440), 1.0),  # macOS, Wayland: the system itself scales
        ((1.25, 1.5), (1280, 720), (1280, 720), 1.5),
        ((0.0, 0.0), (1280, 720), (1280, 720), 1.0),  # unknown to the system
        ((90.0, 90.0), (1280, 720), (1280, 720), 4.0),
        ((2.0, 2.0), (0, 0), (0, 0), 2.0),  # minimized
    ],
)
def test_pixel_density_excludes_scaling_by_the_system(
    content: tuple[float, float], window: tuple[int, int], framebuffer: tuple[int, int], density: float
) -> None:
    assert pixel_density(content, window, framebuffer) == density


def test_window_stays_responsive_during_a_background_job(ui: SimulatedInput, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    go_on = threading.Event()
    state = ui.state

    def slow(*_: object) -> object:
        go_on.wait(30)
        raise MemoryError

    monkeypatch.setattr(type(state.backend), "explain", slow)
    state._explanations.clear()
    ui.click("Explain trial")
    try:
        assert state.jobs.current_job
        ui.press(Key.home)
        ui.press(Key.space)
        ui.draw(5, 0.1)
        assert state.frame > 30, "playback continues"
    finally:
        go_on.set()
    ui.wait_until_idle()
    assert "not enough memory" in state.jobs.messages[-1]


class _KnownEvidence(FileBackend):
    """A backend whose evidence is known."""

    def find_evidence(self, *_: object) -> Evidence:
        walk = open_body_counterfactual()
        return evidence(finding(frame=90), UNUSED, counterfactual=walk)


def open_body_counterfactual() -> Counterfactual:
    found = counterfactual(open_body())
    assert found.boundary is not None
    longer = short_trial(open_body(), 1, 2.2).ground_truth  # as long as the trial that is shown
    return replace(found, boundary=replace(found.boundary, sequence=longer))


def test_click_on_a_finding_goes_to_its_moment_and_selects_its_joint(ui: SimulatedInput) -> None:
    state, backend = ui.state, ui.state.backend
    state.backend = _KnownEvidence(backend.bodies, backend.source, backend.options)
    try:
        assert "Findings" not in ui.main_window.widgets.rects
        ui.click("Compare with controls")
        ui.wait_until_idle()
        state.playing = True
        ui.click("Finding 1")
        assert (state.frame, state.joint, state.playing) == (90, Joint.LEFT_KNEE, False)
        before = ui.image("View")
        ui.click("Changed walk")
        ui.wait_until_idle()
        assert state.comparison is not None
        assert state.comparison.trial.name == "changed walk"
        assert fraction_different(before, ui.image("View")) > 0.01
        ui.click("Changed walk")
        assert state.comparison is None
        state.open_network(state.network.file, "gradient_input")  # type: ignore[union-attr]
        ui.wait_until_idle()
        assert state.evidence is None
        assert "Findings" not in ui.main_window.widgets.rects
    finally:
        state.backend = backend
        state.open_network(state.network.file, "lrp")  # type: ignore[union-attr]
        ui.wait_until_idle()
