"""What the window shows and does, without drawing: odd files, long recordings, work beside the drawing."""

from __future__ import annotations

import re
import shutil
import threading
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gait.body.skeleton import Joint
from gait.errors import GaitError
from gait.explaining import explain_trial as recordings
from gait.learning.architecture import MLPArchitecture
from gait.motion.pose_files import read_poses, write_json_frames, write_npz
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.background_jobs import Jobs
from gait.viewing.build_scene import floor_height
from gait.viewing.file_backend import FileBackend
from gait.viewing.loaded_trial import BodyModelLocator, LoadedTrial, read_shown_gait
from gait.viewing.mesh_cache import BATCH, MeshBuilder, MeshCache
from gait.viewing.normative_stride import healthy_mean
from gait.viewing.phase_sync import same_phase
from gait.viewing.scene import vertex_normals
from gait.viewing.viewer_backend import LoadedNetwork, MethodInfo
from gait.viewing.viewer_state import ViewerState
from tests.helpers.explanation_cases import WINDOW, importance, write_network
from tests.helpers.fitting_cases import open_body_as
from tests.helpers.viewing_cases import BODIES, MODELS, open_body, write_shown_walk

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shown_walk(tmp_path_factory.mktemp("poses") / "sick/P01/walk1", seconds=2.0)


@pytest.fixture(scope="module")
def gait(folder: Path) -> LoadedTrial:
    return read_shown_gait(folder, BODIES)


@pytest.fixture
def session(folder: Path) -> ViewerState:
    session = ViewerState(FileBackend(BODIES))
    session.open_gait(folder)
    session.jobs.finish()
    yield session
    session.close()


def copied(folder: Path, to: Path, **changes: object) -> Path:
    """The same walk with other contents."""
    to.mkdir(parents=True)
    write_npz(to, replace(read_poses(folder), **changes))
    return to


# --- skins


def test_skins_and_normals_equal_those_of_one_frame_alone(gait: LoadedTrial) -> None:
    maker = MeshBuilder(open_body(), gait.sequence)
    for skin, frame in zip(maker.skins(10, 13), (10, 11, 12), strict=True):
        alone = maker.skins(frame, frame + 1)[0]
        assert np.allclose(skin.vertices_m, alone.vertices_m, atol=1e-5)
        assert np.allclose(skin.normals, vertex_normals(skin.vertices_m, maker.faces), atol=1e-4)


def test_skins_are_made_ahead_of_where_one_looks_and_memory_stays_bounded(gait: LoadedTrial) -> None:
    maker = MeshBuilder(open_body(), gait.sequence)
    count, bytes_a_frame = 4, 24 * open_body().num_vertices
    course = MeshCache(maker, gait.frames, memory=count * BATCH * bytes_a_frame)
    try:
        course.at(40)
        wait_until(lambda: course.ready == count * BATCH)
        asked = maker.skins
        maker.skins = None  # type: ignore[assignment, method-assign]
        for frame in (40, 70, 33, 20):  # ahead, and one batch behind
            assert course.at(frame).vertices_m.shape == (open_body().num_vertices, 3)
        maker.skins = asked  # type: ignore[method-assign]
        course.at(150)
        wait_until(lambda: 9 in course._batches)
        wait_until(lambda: len(course._batches) <= count)
    finally:
        course.close()
    assert not course._thread.is_alive()


def test_a_recording_of_twenty_thousand_frames_is_opened_within_memory(folder: Path, tmp_path: Path) -> None:
    short = read_poses(folder)
    times = -(-20_000 // short.frames)
    step = short.translation_m[-1] - short.translation_m[0]
    shift = np.repeat(np.arange(times), short.frames)[:20_000, None].astype(np.float32) * step
    long = copied(
        folder,
        tmp_path / "walk",
        poses=np.tile(short.poses, (times, 1))[:20_000],
        translation_m=np.tile(short.translation_m, (times, 1))[:20_000] + shift,
        joints_m=np.tile(short.joints_m, (times, 1, 1))[:20_000] + shift[:, None],
    )
    network = write_network(tmp_path / "mlp.ckpt")
    session = ViewerState(FileBackend(BODIES, stride=64))
    session.open_gait(long)
    session.open_network(network)
    session.want_explanation()
    tracemalloc.start()
    session.jobs.finish()
    session.explain()
    session.jobs.finish()
    try:
        assert session.frames == 20_000
        assert session.explained is not None
        for frame in (0, 19_999, 9_000):
            session.seek(frame)
            scene = session.scene()
            assert abs(scene.meshes[0].vertices_m[:, 0].mean() - session.body.gait.sequence.joints_m[frame, 0, 0]) < 0.5
        wait_until(lambda: session.body.course.ready >= 600)
        assert tracemalloc.get_traced_memory()[1] < 900 << 20
    finally:
        tracemalloc.stop()
        session.close()


# --- what cannot be shown


def test_a_pose_file_of_another_body_is_shown_without_skin_and_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    other = copied(folder, tmp_path / "walk", model_file="supr_male.npy", model_sha256="")
    session = ViewerState(FileBackend(BODIES))
    session.open_gait(other)
    session.jobs.finish()
    assert session.body is not None
    assert session.body.course is None
    assert "supr_male.npy" in session.jobs.lines[0]
    assert "put it there" in session.jobs.lines[0]
    scene = session.scene()
    assert not scene.meshes
    assert scene.segments, "bones are drawn instead"
    session.close()


def test_another_body_in_the_folder_is_found_by_its_name_and_a_changed_one_is_told(
    folder: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(MODELS / "open_neutral.npz", models / "open_neutral.npz")
    open_body_as("smplh", models / "other.npz")
    bodies = BodyModelLocator(models, "other.npz")
    assert bodies.of(read_poses(folder)).name == "open_neutral.npz"
    nameless = replace(read_poses(folder), model_file="", model_sha256="")
    with pytest.raises(GaitError, match="a pose has 225 numbers"):
        bodies.of(nameless)
    with pytest.raises(GaitError, match="is not the file that the poses were fitted with"):
        bodies.of(replace(read_poses(folder), model_sha256="0" * 64))


def test_json_frames_take_the_named_body(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    write_json_frames(tmp_path / "walk", read_poses(folder))
    gait = read_shown_gait(tmp_path / "walk", BODIES)
    assert gait.body is not None
    assert "assumed" in gait.notes[0]
    told = read_shown_gait(tmp_path / "walk", BODIES, 50.0)
    assert told.rate_hz == 50.0
    assert not told.notes


def test_a_split_gait_shows_its_first_part(folder: Path, tmp_path: Path) -> None:
    for part in ("part1", "part2"):
        shutil.copytree(folder, tmp_path / "sick/P01/walk1" / part)
    gait = read_shown_gait(tmp_path / "sick/P01/walk1", BODIES)
    assert gait.folder.name == "part1"
    assert "part1 of 2" in gait.notes[0]
    assert gait.name == "sick/P01/walk1/part1"


def test_damaged_markers_are_a_note(folder: Path, tmp_path: Path) -> None:
    walk = tmp_path / "walk"
    shutil.copytree(folder, walk)
    np.savez(walk / "residuals.npz", labels=np.array(["A"]), observed_m=np.zeros((3, 1, 3)), virtual_m=np.zeros(2))
    gait = read_shown_gait(walk, BODIES)
    assert gait.markers is None
    assert gait.notes[0].startswith("No markers: ")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("walk1.c3d", "this is a recording of markers; fit a body to it first"),
        ("notes.txt", "neither a fitted walk (poses.npz) nor a network (.ckpt)"),
        ("nothing", "there is no such file or folder"),
    ],
)
def test_a_file_that_is_nothing_to_look_at_says_what_it_is(tmp_path: Path, name: str, said: str) -> None:
    if name != "nothing":
        (tmp_path / name).write_text("1 2 3")
    session = ViewerState(FileBackend(BODIES))
    session.open_path(tmp_path / name)
    assert not session.jobs.busy
    assert said in session.jobs.lines[0]
    session.close()


# --- networks


def test_a_network_of_another_window_length_and_a_walk_too_short_for_it(session: ViewerState, tmp_path: Path) -> None:
    session.open_network(write_network(tmp_path / "mlp.ckpt"))
    session.jobs.finish()
    session.explain()
    session.jobs.finish()
    first = session.explained
    assert first is not None
    assert first.window(0) == (0, WINDOW - 1)
    other = MLPArchitecture("sequential_mlp", 64, (8, 6), (8,))
    session.open_network(write_network(tmp_path / "other.ckpt", other, window_length=64, mean_window=None))
    session.jobs.finish()
    assert session.explained is not None
    assert session.explained is not first, "explained anew, as one was wanted before"
    assert session.explained.window(0) == (0, 63)
    long = MLPArchitecture("sequential_mlp", 500, (8, 6), (8,))
    session.open_network(write_network(tmp_path / "long.ckpt", long, window_length=500, mean_window=None))
    with pytest.raises(GaitError, match=r"shorter than this network's window of 5\.00 s"):
        session.jobs.finish()
    assert session.explained is None, "nothing of the other network is shown"


def test_who_has_been_learnt_from_and_how_far_a_method_is_to_be_trusted_are_told(
    session: ViewerState, tmp_path: Path
) -> None:
    fold = {"training": ("sick/P01", "healthy/P02")}
    session.want_explanation()
    session.open_network(write_network(tmp_path / "mlp.ckpt", fold=fold))
    session.jobs.finish()
    assert session.learnt_from_this_person
    line = session.explained.figure_line
    own, chance = map(float, re.findall(r"-?\d+\.\d+", line))
    assert own >= chance, "an untrained network is explained faithfully too"
    session.open_network(write_network(tmp_path / "other.ckpt", fold={"training": ("sick/P02",)}, mean_window=None))
    session.jobs.finish()
    assert not session.learnt_from_this_person
    assert session.explained.figure_line is None


def test_a_method_that_does_not_explain_the_network_is_refused(session: ViewerState, tmp_path: Path) -> None:
    session.open_network(write_network(tmp_path / "mlp.ckpt"), "attention")
    with pytest.raises(GaitError, match=r"attention does not explain this network; there are [a-z_]+, [a-z_]+, "):
        session.jobs.finish()
    assert session.network is None


def test_at_other_rates_each_frame_has_the_values_of_its_moment(gait: LoadedTrial) -> None:
    said = importance(80, rate_hz=50.0)
    said.values[:10] = np.nan
    network = LoadedNetwork(Path("n"), "n", (), WINDOW, 50.0, (MethodInfo("lrp", "LRP", True),), frozenset(), None)
    explained = AttributionOverlay(gait, network, network.methods[0], said, None)
    for frame in (0, 30, 31, 100, 150):
        nearest = said.values[round(frame / gait.rate_hz * 50.0)]
        assert np.array_equal(explained.values[frame], nearest, equal_nan=True)
    assert np.isnan(explained.values[170:]).all(), "after the explanation's end nothing is explained"
    assert explained.window(1) == (8, 8 + 2 * WINDOW - 2)
    assert explained.nearest_window(9) == 1


# --- beside


def test_a_companion_is_as_far_in_the_stride(gait: LoadedTrial) -> None:
    strikes = gait.events.heel_strikes["left"]
    assert len(strikes) >= 2
    assert [same_phase(gait, gait, frame) for frame in range(strikes[0], strikes[1])] == list(range(*strikes[:2]))
    slow = replace(gait, events=replace(gait.events, heel_strikes={"left": np.array([3, 53]), "right": strikes[:0]}))
    middle = round((strikes[0] + strikes[1]) / 2)
    assert same_phase(gait, slow, middle) == pytest.approx(28, abs=1)
    for frame in range(gait.frames):
        assert 0 <= same_phase(gait, slow, frame) < gait.frames


def test_the_mean_of_one_walker_walks_as_they_do(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "healthy/P01/walk1")
    gait = read_shown_gait(folder, BODIES)
    mean = healthy_mean(tmp_path, BODIES)
    assert mean.name == "mean of 1 healthy person"
    first, second = gait.events.heel_strikes["left"][:2]
    knee = gait.angles.knee["left"][np.rint(np.linspace(first, second, 101)).astype(int)]
    if len(gait.events.heel_strikes["left"]) == 2:
        assert np.abs(mean.angles.knee["left"] - knee).max() < 1.0
    pelvis = mean.sequence.joints_m[:, Joint.PELVIS]
    assert np.abs(pelvis[:, [0, 2]]).max() < 1e-5, "on the spot"
    height = gait.sequence.joints_m[first, Joint.PELVIS, 1] - floor_height(gait.sequence.joints_m)
    assert pelvis[0, 1] == pytest.approx(height, abs=0.01)
    with pytest.raises(GaitError, match="no fitted walk of a healthy person"):
        healthy_mean(folder, BODIES)


# --- jobs


def test_jobs_run_one_after_another_beside_the_caller_and_errors_are_lines() -> None:
    jobs, order, gate = Jobs(), [], threading.Event()
    main = threading.get_ident()

    def first() -> int:
        gate.wait(10)
        assert threading.get_ident() != main
        return 1

    def fails() -> None:
        raise GaitError("P01: it\nis broken.")

    def breaks() -> None:
        raise ZeroDivisionError("by nought")

    def handed_over(result: object) -> None:
        assert threading.get_ident() == main
        order.append(result)

    jobs.start("first", first, handed_over)
    jobs.start("old wish", lambda: 2, handed_over, replaces="wish")
    jobs.start("new wish", lambda: 3, handed_over, replaces="wish")
    jobs.start("fails", fails, handed_over)
    jobs.start("breaks", breaks, handed_over)
    assert jobs.busy == "first"
    assert not jobs.poll()
    gate.set()
    with pytest.raises(GaitError, match="P01: it"):
        jobs.finish()
    assert order == [1, 3]
    assert jobs.lines == ["P01: it\\nis broken.", "breaks: ZeroDivisionError: by nought"]
    assert not jobs.busy


def test_work_whose_result_nobody_wants_any_more_is_broken_off_where_it_says_how_far_it_is() -> None:
    jobs, taken = Jobs(), []
    going, told, rounds = threading.Event(), threading.Event(), []

    def long() -> int:
        for done in range(10_000):
            rounds.append(done)
            jobs.told(done, 10_000)
            going.set()
            told.wait(0.01)
        return 1

    jobs.start("first", long, taken.append, replaces="wish")
    assert going.wait(10)
    jobs.start("second", lambda: 2, taken.append, replaces="wish")
    jobs.finish()
    assert taken == [2]
    assert len(rounds) < 5000
    assert not jobs.lines, "it is no failure"
    going.clear()
    jobs.start("first", long, taken.append)
    jobs.start("third", lambda: 3, taken.append)
    assert going.wait(10)
    assert 0 <= jobs.share < 0.5
    jobs.close()
    jobs.finish()
    assert taken == [2], "nothing begins after the end"


def test_a_session_that_is_closed_ends_a_real_explanation_at_its_next_windows(
    session: ViewerState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The method looks at 16 windows at a time: at all of them it is asked ten times."""
    batches, first = [], threading.Event()
    real = recordings.explain_windows

    def counted(*words: object, **more: object) -> object:
        batches.append(len(words))
        first.set()
        time.sleep(0.05)
        return real(*words, **more)

    monkeypatch.setattr(recordings, "explain_windows", counted)
    session.open_network(write_network(tmp_path / "mlp.ckpt"), "lrp")
    session.jobs.finish()
    session.explain()
    assert first.wait(10)
    session.close()
    wait_until(lambda: session.jobs.poll() or not session.jobs.busy)
    assert len(batches) < 5
    assert session.explained is None
    assert not session.jobs.lines


def wait_until(there) -> None:
    end = time.monotonic() + 30
    while not there():
        assert time.monotonic() < end
        time.sleep(0.01)
