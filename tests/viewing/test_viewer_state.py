"""The state of the viewer without drawing: unusual files, long trials, background jobs."""

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
from gait.explaining import explain_trial as explain_trial_module
from gait.explaining.methods import METHODS
from gait.explaining.options import ExplainOptions
from gait.explaining.trained_network import TrainedNetwork
from gait.exporting.pose_json import write_json_frames
from gait.kinematics.gait_events import nearest_frames
from gait.learning.networks.mlp import MLPArchitecture
from gait.motion.pose_files import read_poses
from gait.motion.pose_npz import write_npz
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.background_jobs import Jobs
from gait.viewing.file_backend import FileBackend
from gait.viewing.load_control_stride import load_normative_stride
from gait.viewing.loaded_trial import BodyModelLocator, LoadedTrial, load_trial
from gait.viewing.mesh_cache import BATCH, MeshBuilder, MeshCache
from gait.viewing.phase_sync import matching_frame
from gait.viewing.scene import vertex_normals
from gait.viewing.viewer_state import ViewerState
from tests.helpers.explanation_cases import SMALL_MLP, WINDOW, random_attribution, write_network
from tests.helpers.fitting_cases import open_body_as
from tests.helpers.viewing_cases import BODIES, MODELS, open_body, write_fitted_trial

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fitted_trial(tmp_path_factory.mktemp("poses") / "sick/P01/walk1", seconds=2.0)


@pytest.fixture(scope="module")
def trial(folder: Path) -> LoadedTrial:
    return load_trial(folder, BODIES)


@pytest.fixture
def state(folder: Path) -> ViewerState:
    state = ViewerState(FileBackend(BODIES))
    state.open_trial(folder)
    state.jobs.wait()
    yield state
    state.close()


def copy_trial(folder: Path, to: Path, **changes: object) -> Path:
    """Copy a trial with some fields changed."""
    to.mkdir(parents=True)
    write_npz(to, replace(read_poses(folder), **changes))
    return to


# --- meshes


def test_mesh_builder_batch_equals_single_frames(trial: LoadedTrial) -> None:
    builder = MeshBuilder(open_body(), trial.sequence)
    for mesh, frame in zip(builder.build(10, 13), (10, 11, 12), strict=True):
        alone = builder.build(frame, frame + 1)[0]
        assert np.allclose(mesh.vertices_m, alone.vertices_m, atol=1e-5)
        assert np.allclose(mesh.normals, vertex_normals(mesh.vertices_m, builder.faces), atol=1e-4)


def test_mesh_cache_prefetches_ahead_within_its_memory(trial: LoadedTrial) -> None:
    builder = MeshBuilder(open_body(), trial.sequence)
    count, bytes_per_frame = 4, 24 * open_body().num_vertices
    mesh_cache = MeshCache(builder, memory_bytes=count * BATCH * bytes_per_frame)
    try:
        mesh_cache.mesh_at(40)
        wait_until(lambda: mesh_cache.num_ready == count * BATCH)
        build = builder.build
        builder.build = None  # type: ignore[assignment, method-assign]
        for frame in (40, 70, 33, 20):  # ahead, and one batch behind
            assert mesh_cache.mesh_at(frame).vertices_m.shape == (open_body().num_vertices, 3)
        builder.build = build  # type: ignore[method-assign]
        mesh_cache.mesh_at(150)
        wait_until(lambda: 9 in mesh_cache._batches)
        wait_until(lambda: len(mesh_cache._batches) <= count)
    finally:
        mesh_cache.close()
    assert not mesh_cache._thread.is_alive()


def test_trial_of_20000_frames_opens_within_memory(folder: Path, tmp_path: Path) -> None:
    short = read_poses(folder)
    times = -(-20_000 // short.num_frames)
    step = short.translation_m[-1] - short.translation_m[0]
    shift = np.repeat(np.arange(times), short.num_frames)[:20_000, None].astype(np.float32) * step
    long = copy_trial(
        folder,
        tmp_path / "trial",
        poses=np.tile(short.poses, (times, 1))[:20_000],
        translation_m=np.tile(short.translation_m, (times, 1))[:20_000] + shift,
        joints_m=np.tile(short.joints_m, (times, 1, 1))[:20_000] + shift[:, None],
    )
    network = write_network(tmp_path / "mlp.ckpt")
    state = ViewerState(FileBackend(BODIES, options=ExplainOptions(stride=64)))
    state.open_trial(long)
    state.open_network(network)
    state.explain()
    tracemalloc.start()
    state.jobs.wait()
    state.explain()
    state.jobs.wait()
    try:
        assert state.num_frames == 20_000
        assert state.overlay is not None
        for frame in (0, 19_999, 9_000):
            state.seek(frame)
            scene = state.scene()
            assert abs(scene.meshes[0].vertices_m[:, 0].mean() - state.actor.trial.sequence.joints_m[frame, 0, 0]) < 0.5
        wait_until(lambda: state.actor.mesh_cache.num_ready >= 600)
        assert tracemalloc.get_traced_memory()[1] < 900 << 20
    finally:
        tracemalloc.stop()
        state.close()


# --- what cannot be shown


def test_trial_without_its_body_model_shows_bones_and_a_note(folder: Path, tmp_path: Path) -> None:
    other = copy_trial(folder, tmp_path / "trial", model_file="supr_male.npy", model_sha256="")
    state = ViewerState(FileBackend(BODIES))
    state.open_trial(other)
    state.jobs.wait()
    assert state.actor is not None
    assert state.actor.mesh_cache is None
    assert "supr_male.npy" in state.jobs.messages[0]
    assert "put it there" in state.jobs.messages[0]
    scene = state.scene()
    assert not scene.meshes
    assert scene.segments, "bones are drawn instead"
    state.close()


def test_body_model_locator_finds_the_model_and_rejects_a_changed_file(folder: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(MODELS / "open_neutral.npz", models / "open_neutral.npz")
    open_body_as("smplh", models / "other.npz")
    bodies = BodyModelLocator(models, "other.npz")
    assert bodies.load_for(read_poses(folder)).name == "open_neutral.npz"
    nameless = replace(read_poses(folder), model_file="", model_sha256="")
    with pytest.raises(GaitError, match="a pose has 225 numbers"):
        bodies.load_for(nameless)
    with pytest.raises(GaitError, match="is not the file that the poses were fitted with"):
        bodies.load_for(replace(read_poses(folder), model_sha256="0" * 64))


def test_load_trial_of_json_poses_uses_the_default_body_model(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "trial").mkdir()
    write_json_frames(tmp_path / "trial", read_poses(folder))
    trial = load_trial(tmp_path / "trial", BODIES)
    assert trial.body is not None
    assert "assumed" in trial.notes[0]
    with_rate = load_trial(tmp_path / "trial", BODIES, 50.0)
    assert with_rate.rate_hz == 50.0
    assert not with_rate.notes


def test_load_trial_of_a_split_trial_loads_its_first_segment(folder: Path, tmp_path: Path) -> None:
    for part in ("part1", "part2"):
        shutil.copytree(folder, tmp_path / "sick/P01/walk1" / part)
    trial = load_trial(tmp_path / "sick/P01/walk1", BODIES)
    assert trial.folder.name == "part1"
    assert "part1 of 2" in trial.notes[0]
    assert trial.name == "sick/P01/walk1/part1"


def test_load_trial_reports_damaged_markers_as_a_note(folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "trial"
    shutil.copytree(folder, damaged)
    np.savez(damaged / "residuals.npz", labels=np.array(["A"]), observed_m=np.zeros((3, 1, 3)), virtual_m=np.zeros(2))
    trial = load_trial(damaged, BODIES)
    assert trial.markers is None
    assert trial.notes[0].startswith("No markers: ")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("walk1.c3d", "this is a marker recording; fit a body to it"),
        ("notes.txt", "neither a fitted trial (poses.npz) nor a network (.ckpt)"),
        ("nothing", "no such file or folder"),
    ],
)
def test_open_path_explains_why_a_file_cannot_be_opened(tmp_path: Path, name: str, message: str) -> None:
    if name != "nothing":
        (tmp_path / name).write_text("1 2 3")
    state = ViewerState(FileBackend(BODIES))
    state.open_path(tmp_path / name)
    assert not state.jobs.current_job
    assert message in state.jobs.messages[0]
    state.close()


# --- networks


def test_networks_of_other_window_lengths_and_a_trial_too_short_for_one(state: ViewerState, tmp_path: Path) -> None:
    state.open_network(write_network(tmp_path / "mlp.ckpt"))
    state.jobs.wait()
    state.explain()
    state.jobs.wait()
    first = state.overlay
    assert first is not None
    assert first.window_frames(0) == (0, WINDOW - 1)
    other = MLPArchitecture("sequential_mlp", 64, (8, 6), (8,))
    state.open_network(write_network(tmp_path / "other.ckpt", other, window_length=64, mean_window=None))
    state.jobs.wait()
    assert state.overlay is not None
    assert state.overlay is not first, "explained again, as an explanation was requested before"
    assert state.overlay.window_frames(0) == (0, 63)
    long = MLPArchitecture("sequential_mlp", 500, (8, 6), (8,))
    state.open_network(write_network(tmp_path / "long.ckpt", long, window_length=500, mean_window=None))
    with pytest.raises(GaitError, match=r"shorter than this network's window of 5\.00 s"):
        state.jobs.wait()
    assert state.overlay is None, "the attribution of the other network is not shown"


def test_training_subjects_and_faithfulness_are_reported(state: ViewerState, tmp_path: Path) -> None:
    fold = {"training": ("sick/P01", "healthy/P02")}
    state.explain()
    state.open_network(write_network(tmp_path / "mlp.ckpt", fold=fold))
    state.jobs.wait()
    assert state.subject_in_training_set
    line = state.overlay.faithfulness_summary
    own, chance = map(float, re.findall(r"-?\d+\.\d+", line))
    assert own >= chance, "the method is faithful for an untrained network too"
    state.open_network(write_network(tmp_path / "other.ckpt", fold={"training": ("sick/P02",)}, mean_window=None))
    state.jobs.wait()
    assert not state.subject_in_training_set
    assert state.overlay.faithfulness_summary is None
    undefined = {"auc": {"value": None}, "speed_alone": {"value": None}, "num_pairs": 9}
    defined = {"auc": {"value": 0.812}, "speed_alone": {"value": 0.55}, "num_pairs": 40}
    for name, matched in (("undefined", undefined), ("defined", defined)):
        state.open_network(write_network(tmp_path / f"{name}.ckpt", metrics={"matched_speed": matched}))
        state.jobs.wait()
        line = state.overlay.faithfulness_summary
        expected = "at matched walking speed is 0.81 (40 pairs); the speed alone has 0.55 there."
        assert (expected in line) == (name == "defined")


def test_evidence_is_found_and_its_findings_lead_to_their_moments(state: ViewerState, tmp_path: Path) -> None:
    state.find_evidence()
    assert state.evidence is None, "nothing is explained yet"
    state.explain()
    state.open_network(write_network(tmp_path / "mlp.ckpt"))
    state.jobs.wait()
    assert state.evidence is None
    state.find_evidence()
    state.jobs.wait()
    assert state.evidence is not None
    assert (state.evidence.subject, state.evidence.trial) == ("sick/P01", "walk1")
    assert state.evidence.probability == pytest.approx(state.overlay.attribution.trial_probability, abs=1e-5)
    assert "2008" in state.evidence.norm, "there are too few controls beside the trial"
    for number, finding in enumerate(state.evidence.findings):
        state.select_finding(number)
        assert (state.frame, state.joint) == (finding.frame, finding.joint)
    state.open_trial(state.actor.trial.folder)
    state.jobs.wait()
    assert (state.evidence, state.finding) == (None, None)


def test_open_network_rejects_a_method_that_cannot_explain_it(state: ViewerState, tmp_path: Path) -> None:
    state.open_network(write_network(tmp_path / "mlp.ckpt"), "attention")
    with pytest.raises(GaitError, match=r"attention cannot explain this network; choose one of [a-z_]+, [a-z_]+, "):
        state.jobs.wait()
    assert state.network is None


def test_attribution_overlay_maps_frames_between_frame_rates(trial: LoadedTrial) -> None:
    attribution = random_attribution(80, rate_hz=50.0)
    attribution.values[:10] = np.nan
    network = TrainedNetwork(SMALL_MLP.build(), WINDOW, 50.0)
    overlay = AttributionOverlay(trial, network, METHODS["lrp"], attribution, None)
    for frame in (0, 30, 31, 100, 150):
        nearest = attribution.values[round(frame / trial.rate_hz * 50.0)]
        assert np.array_equal(overlay.values[frame], nearest, equal_nan=True)
    assert np.isnan(overlay.values[170:]).all(), "nothing is explained after the end of the attribution"
    assert overlay.window_frames(1) == (8, 8 + 2 * WINDOW - 2)
    assert overlay.nearest_window(9) == 1


# --- comparison


def test_matching_frame_has_the_same_phase(trial: LoadedTrial) -> None:
    contacts = trial.events.initial_contacts["left"]
    assert len(contacts) >= 2
    first, second = np.ceil(contacts[:2]).astype(int)
    assert [matching_frame(trial, trial, frame) for frame in range(first, second)] == list(range(first, second))
    slow = replace(
        trial, events=replace(trial.events, initial_contacts={"left": np.array([3.0, 53.0]), "right": contacts[:0]})
    )
    middle = round((contacts[0] + contacts[1]) / 2)
    assert matching_frame(trial, slow, middle) == pytest.approx(28, abs=1)
    for frame in range(trial.num_frames):
        assert 0 <= matching_frame(trial, slow, frame) < trial.num_frames


def test_normative_stride_of_one_control_equals_its_stride(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "healthy/P01/walk1")
    trial = load_trial(folder, BODIES)
    mean = load_normative_stride(tmp_path, BODIES)
    assert mean.name == "mean of 1 control"
    contacts = trial.events.initial_contacts["left"]
    first = nearest_frames(contacts)[0]
    knee = trial.angles["knee_flexion", "left"][np.rint(np.linspace(*contacts[:2], 101)).astype(int)]
    if len(contacts) == 2:
        assert np.abs(mean.angles["knee_flexion", "left"] - knee).max() < 1.0
    pelvis = mean.sequence.joints_m[:, Joint.PELVIS]
    assert np.abs(pelvis[:, [0, 2]]).max() < 1e-5, "without progression"
    height = trial.sequence.joints_m[first, Joint.PELVIS, 1] - trial.floor_m
    assert pelvis[0, 1] == pytest.approx(height, abs=0.01)
    with pytest.raises(GaitError, match="no fitted trial in it"):
        load_normative_stride(folder, BODIES)


# --- jobs


def test_jobs_run_in_order_in_a_thread_and_report_errors() -> None:
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

    def collect(result: object) -> None:
        assert threading.get_ident() == main
        order.append(result)

    jobs.start("one", "first", first, collect)
    jobs.start("request", "old request", lambda: 2, collect)
    jobs.start("request", "new request", lambda: 3, collect)
    jobs.start("two", "fails", fails, collect)
    jobs.start("three", "breaks", breaks, collect)
    assert jobs.current_job.title == "first"
    assert not jobs.poll()
    gate.set()
    with pytest.raises(GaitError, match="P01: it"):
        jobs.wait()
    assert order == [1, 3]
    assert jobs.messages == ["P01: it\\nis broken.", "breaks: ZeroDivisionError: by nought"]
    assert not jobs.current_job


def test_superseded_job_is_cancelled_at_its_next_progress_report() -> None:
    jobs, results = Jobs(), []
    started, never_set, rounds = threading.Event(), threading.Event(), []

    def long() -> int:
        for done in range(10_000):
            rounds.append(done)
            jobs.report_progress(done, 10_000)
            started.set()
            never_set.wait(0.01)
        return 1

    jobs.start("request", "first", long, results.append)
    assert started.wait(10)
    jobs.start("request", "second", lambda: 2, results.append)
    jobs.wait()
    assert results == [2]
    assert len(rounds) < 5000
    assert not jobs.messages, "a cancelled job is no error"
    started.clear()
    jobs.start("one", "first", long, results.append)
    jobs.start("two", "third", lambda: 3, results.append)
    assert started.wait(10)
    assert 0 <= jobs.current_job.progress < 0.5
    jobs.close()
    jobs.wait()
    assert results == [2], "no job starts after close"


def test_closing_the_state_cancels_a_running_explanation(
    state: ViewerState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows are explained in batches of 16; the whole trial takes ten of them."""
    batches, first = [], threading.Event()
    explain_windows = explain_trial_module.explain_windows

    def count_batches(*args: object, **kwargs: object) -> object:
        batches.append(len(args))
        first.set()
        time.sleep(0.05)
        return explain_windows(*args, **kwargs)

    monkeypatch.setattr(explain_trial_module, "explain_windows", count_batches)
    state.open_network(write_network(tmp_path / "mlp.ckpt"), "lrp")
    state.jobs.wait()
    state.explain()
    assert first.wait(10)
    state.close()
    wait_until(lambda: state.jobs.poll() or not state.jobs.current_job)
    assert len(batches) < 5
    assert state.overlay is None
    assert not state.jobs.messages


def wait_until(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
