"""The benchmarks' own measures on cases whose answer is known, and both scripts in miniature."""

import importlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gait.body.constraints_file import AngleBounds
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.rotations import axis_angle_to_matrix
from gait.body.skeleton import Joint
from gait.capture import Recording
from gait.fitting.marker_quality.marker_error import MarkerError
from gait.fitting.subject_fit import fit_person
from gait.motion.common_frame import common_frame
from gait.synthetic.inject_errors import Planted
from tests.helpers.fitting_cases import recorded, short_walk
from tests.helpers.motion_cases import about_y, stick_walker
from tests.helpers.paths import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    """Import a module of the benchmarks by name, as their scripts do."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.fixture(scope="module")
def body():
    return load_body(REPOSITORY / "data" / "SUPR" / "open_neutral.npz")


def recording(labels, positions_m, **more):
    return Recording(Path("made.c3d"), tuple(labels), positions_m, np.isfinite(positions_m).all(-1), 100.0, **more)


def run(script, folder, *words):
    file = folder / "result.json"
    command = [sys.executable, str(BENCHMARKS / script), "--json", str(file), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(file.read_text(encoding="utf-8"))
    return json.loads(done.stdout), done.stderr


# --- angles, centres, repetition -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bend_deg", [0.0, 30.0, 90.0])
def test_knee_angle_is_what_the_knee_was_bent_by(module, bend_deg):
    bend = np.radians(bend_deg)
    hip, knee = np.array([[0.0, 1, 0]]), np.array([[0.0, 0.5, 0]])
    ankle = knee + 0.4 * np.array([[0, -np.cos(bend), -np.sin(bend)]])
    assert module("clinic_centres").knee_angle_deg(hip, knee, ankle) == pytest.approx([bend_deg], abs=1e-6)


@pytest.mark.parametrize("axis_off_deg", [0.0, 20.0, -20.0])
def test_an_axis_that_is_turned_shows_as_varus_with_flexion(module, axis_off_deg):
    flexion, off = np.radians([0.0, 30.0, 60.0]), np.radians(axis_off_deg)
    still = np.zeros((3, 1))
    hip, knee = np.hstack([still, still + 1, still]), np.hstack([still, still + 0.5, still])
    ankle = knee + 0.4 * np.stack([np.zeros(3), -np.cos(flexion), -np.sin(flexion)], axis=1)  # bends about x
    lateral = np.tile([np.cos(off), 0.3, -np.sin(off)], (3, 1))  # what it has of the thigh's own direction is no matter
    expected = np.degrees(np.arcsin(np.sin(off) * np.sin(flexion)))
    assert module("clinic_centres").varus_deg(lateral, hip, knee, ankle) == pytest.approx(expected, abs=1e-9)


def test_knee_figures_tell_an_offset_from_a_different_course(module):
    theirs = 30 + 30 * np.sin(np.linspace(0, 6, 100))
    figures = module("clinic_centres").knee_figures(theirs + 4, theirs)
    assert figures == pytest.approx({"knee_rmse_deg": 4, "knee_bias_deg": 4, "knee_correlation": 1})
    assert module("clinic_centres").knee_figures(-theirs, theirs)["knee_correlation"] == pytest.approx(-1)


def test_vicons_own_centres_go_before_others(module):
    positions = np.zeros((2, 1, 3))
    outputs = {f"R{name}": np.full((2, 3), float(k)) for k, name in enumerate(["HJC", "KJC", "AJC", "FEP", "FEO"])}
    others = recording(["LASI"], positions, model_outputs=outputs)
    own = recording(["LASI"], positions, model_outputs=outputs | {"RTIO": np.full((2, 3), 5.0)})
    centres = module("real_walks").laboratory_centres
    assert centres(others, "right")[:, 0, 0].tolist() == [0, 1, 2]
    assert centres(own, "right")[:, 0, 0].tolist() == [3, 4, 5]
    assert centres(own, "left") is None


def test_a_repeated_walk_never_jumps(module):
    walk = recording(["LASI"], np.arange(5.0)[:, None, None] * np.ones((1, 1, 3)))
    longer = module("real_walks").repeated(walk, 23)
    assert longer.frames == 23
    assert np.abs(np.diff(longer.positions_m[:, 0, 0])).tolist() == [1] * 22


@pytest.mark.parametrize(
    ("joint", "axis", "degrees", "wrong"),
    [
        (Joint.LEFT_KNEE, 0, 60, {"knees": 0, "elbows": 0}),
        (Joint.RIGHT_KNEE, 0, -5, {"knees": 0, "elbows": 0}),
        (Joint.RIGHT_KNEE, 0, -12, {"knees": 0.5, "elbows": 0}),
        (Joint.LEFT_ELBOW, 1, -60, {"knees": 0, "elbows": 0}),
        (Joint.LEFT_ELBOW, 1, 20, {"knees": 0, "elbows": 0.5}),
        (Joint.RIGHT_ELBOW, 1, 60, {"knees": 0, "elbows": 0}),
        (Joint.RIGHT_ELBOW, 1, -20, {"knees": 0, "elbows": 0.5}),
    ],
)
def test_bending_beyond_straight_is_counted(module, joint, axis, degrees, wrong):
    turns = torch.zeros(2, 22, 3, dtype=torch.float64)
    turns[1, joint, axis] = np.radians(degrees)
    assert module("real_fits").wrong_way_share(axis_angle_to_matrix(turns).numpy()) == wrong


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ([], {}),
        (["--quick"], {"runs": 1, "kinds": ("a",)}),
        (["--runs", "7", "--quick"], {"runs": 7, "kinds": ("a",)}),
        (["--kinds", "b", "c", "--json", "x.json"], {"kinds": ("b", "c"), "json": Path("x.json")}),
    ],
)
def test_what_is_named_goes_before_quick_and_the_rest_is_left_to_the_defaults(module, words, known):
    command_line = module("command_line")
    parser = command_line.benchmark_parser("What it measures.", "less")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--kinds", nargs="+")
    assert command_line.values(parser, words, {"runs": 1, "kinds": ("a",)}) == known


def test_figures_are_rounded_and_what_is_no_number_is_null(module):
    assert module("json_result").rounded({"a": [1.23456789, np.nan], "b": (1, "c", None, True)}) == {
        "a": [1.2346, None],
        "b": [1, "c", None, True],
    }


# --- hidden markers, repeated shapes ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known_walk(body):
    """A third of a second whose markers sit just where the layout has them, and who walks."""
    walk = short_walk(body, seconds=0.34)
    return walk.truth, recorded(body, walk, plug_in_gait_layout(body))


def fitted_walk(module, body, name, *recordings):
    person = fit_person(recordings, body, plug_in_gait_layout(body))
    return module("real_fits").FittedWalk(name, person, person.gaits[0])


def test_a_hidden_marker_is_missed_by_what_it_was_moved(module, body, known_walk):
    truth, walk = known_walk
    fit = fitted_walk(module, body, "made/walk1.c3d", walk)
    gait = replace(fit.gait, betas=truth.betas, offset_m=np.zeros_like(fit.gait.offset_m))
    figures = module("hidden_markers").hidden_marker_figures
    exact = figures([replace(fit, gait=gait)], body)
    assert set(exact["by_marker"]) == set(walk.labels)
    assert exact["by_walk"] == {"made/walk1.c3d": exact["mean"]}
    assert exact["mean"] < 8
    assert exact["by_marker"]["LKNE"] < 4

    positions = walk.positions_m.copy()
    positions[:, walk.labels.index("LKNE")] += [0.06, 0.08, 0]
    moved = figures([replace(fit, gait=replace(gait, recording=replace(walk, positions_m=positions)))], body, frames=20)
    assert moved["by_marker"]["LKNE"] == pytest.approx(100, abs=4)
    assert moved["by_marker"]["C7"] == pytest.approx(exact["by_marker"]["C7"], abs=4)


def test_the_same_recording_gives_the_same_body_and_other_visits_are_not_compared(module, body, known_walk):
    _, walk = known_walk
    static = replace(walk, path=Path("static.c3d"))
    grown = replace(walk, path=Path("later.c3d"), positions_m=1.1 * walk.positions_m)
    fit = fitted_walk(module, body, "somebody/walk1.c3d", walk, static, grown)
    assert fit.person.visits == ((0, 1), (2,))
    figures = module("repeated_shape").repeat_figures
    assert figures([fit], body) == {
        "mean": None,
        "with_static": 0,
        "pairs": {"somebody": {f"{walk.path.stem} and static": 0}},
    }
    assert figures([fitted_walk(module, body, "somebody/walk1.c3d", walk)], body) is None


def test_distances_of_bodies_by_pair_and_person(module):
    repeated = module("repeated_shape")
    one = np.zeros((4, 3))
    other = np.array([[0.003, 0, 0.004], [0, 0, 0], [0, 0.001, 0], [0, 0, 0]])
    assert repeated.vertex_distance_m(one, other) == pytest.approx(0.0015)
    assert repeated.mean_of_means({"a": [1, 3], "b": [8]}) == 5


# --- the published method --------------------------------------------------------------------------------------------


def test_virtual_markers_stand_off_along_their_own_unit_normal(module, body):
    published = module("published_fit")
    layout = plug_in_gait_layout(body)
    virtual = published.virtual_markers(body.v_template[None], published.marker_places(body, layout))[0]
    vertices, faces = body.v_template.numpy(), body.faces.numpy()
    for m in range(layout.num_markers):
        a, b, c = vertices[faces[layout.face[m]]]
        normal = np.cross(b - a, c - a)
        expected = layout.bary[m] @ np.stack([a, b, c]) + layout.distance_m[m] * normal / np.linalg.norm(normal)
        np.testing.assert_allclose(virtual[m].numpy(), expected, atol=1e-6)


def test_published_penalties(module):
    published = module("published_fit")
    bounds = AngleBounds(np.array([0, 2]), np.array([-0.1, -0.1]), np.array([0.1, 0.1]))
    pose = torch.tensor([[0.3, 9.0, -0.4]])
    assert float(published.angle_penalty(pose, bounds)) == pytest.approx(2 * (0.2**2 + 0.3**2))
    assert float(published.angle_penalty(pose, None)) == 0
    betas = torch.tensor([2.0, 0.0])
    assert float(published.beta_penalty(betas, 3.0, 2.0)) == pytest.approx(3 * (np.e + 1) / 2)
    apart = torch.tensor([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]])
    seen = torch.tensor([False, True])
    assert float(published.marker_distance(apart, torch.ones(2, 3), seen)) == pytest.approx(np.hypot(2, np.hypot(3, 1)))


def test_published_start_finds_a_body_that_was_turned_and_moved(module, body):
    published = module("published_fit")
    places = published.marker_places(body, plug_in_gait_layout(body))
    pose = torch.zeros(1, body.num_pose)
    pose[0, :3] = torch.tensor([0.1, 2.5, -0.2])
    out = body(pose, torch.zeros(body.num_betas), torch.tensor([[1.0, 0.2, -3.0]]))
    observed = published.virtual_markers(out.vertices, places)[0]
    start = published.state_near(body, places, observed, torch.ones(len(observed), dtype=torch.bool))
    np.testing.assert_allclose(start.pose.numpy(), pose.numpy(), atol=1e-4)
    np.testing.assert_allclose(start.translation.numpy(), [[1.0, 0.2, -3.0]], atol=1e-4)


def test_published_method_comes_nearer_to_the_markers(module, body):
    published = module("published_fit")
    layout = plug_in_gait_layout(body)
    places = published.marker_places(body, layout)
    pose = torch.zeros(1, body.num_pose)
    pose[0, 3 * Joint.LEFT_KNEE] = 0.4
    with torch.no_grad():
        out = body(pose, torch.zeros(body.num_betas), torch.zeros(1, 3))
        observed = published.virtual_markers(out.vertices, places)
    walk = recording(layout.labels, observed.double().numpy())
    barely, longer = (
        published.fit_frames(
            body, layout, walk, [0], seconds_a_frame=600, settings=published.PublishedSettings(most_iterations=count)
        )[0]
        for count in (1, 40)
    )
    assert (barely.iterations, longer.iterations) == (1, 40)
    assert not longer.converged
    assert longer.residual_m.mean() < 0.8 * barely.residual_m.mean()


def test_published_method_stops_when_the_steps_have_become_small(module, body):
    published = module("published_fit")
    layout = plug_in_gait_layout(body)
    observed = published.virtual_markers(body.v_template[None], published.marker_places(body, layout))
    walk = recording(layout.labels, observed.double().numpy())
    quickly = published.PublishedSettings(patience=1, most_iterations=300)
    (frame,) = published.fit_frames(body, layout, walk, [0], seconds_a_frame=600, settings=quickly)
    assert frame.converged
    assert frame.iterations < 300
    assert frame.residual_m.mean() < 0.005


# --- bad data --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "marker", "other", "first", "last", "named"),
    [
        ("jumped", "LKNE", None, 100, 199, True),
        ("jumped", "LKNE", None, 100, 178, False),  # less than 0.8 of the frames
        ("jumped", "LTIB", None, 100, 199, False),
        ("jumped", "LKNE", "LTIB", 100, 199, False),
        ("slid", "LKNE", None, 100, 199, False),
    ],
)
def test_a_plant_is_named_by_kind_marker_and_frames(module, kind, marker, other, first, last, named):
    truth = Planted("jumped", ("LKNE",), 100, 199)
    fault = MarkerError(kind, marker, other, first, last, 50.0, "left out")
    assert module("bad_data").is_named(truth, fault) == named


def test_an_exchange_is_named_by_both_of_its_markers(module):
    truth = Planted("pair exchanged", ("LKNE", "RKNE"), 1, 9)
    named = module("bad_data").is_named
    assert named(truth, MarkerError("exchanged", "RKNE", "LKNE", 3, 12, 50.0, "left out"))
    assert not named(truth, MarkerError("exchanged", "RKNE", "LKNE", 3, 13, 50.0, "left out"))
    assert not named(truth, MarkerError("exchanged", "RKNE", "RTIB", 1, 9, 50.0, "left out"))


@pytest.mark.slow
@pytest.mark.captures
def test_bad_data_on_a_plant_of_two_kinds(captures, tmp_path):
    words = ["--plants", 1, "--kinds", "jumped", "wrong unit", "--captures", captures]
    result, _ = run("bad_data.py", tmp_path, *words)
    assert (result["passed"], result["tried"], result["failures"]) == (2, 2, [])
    assert len(result["clean"]) == 10
    assert all(kind["joints_mm"]["worst"] < 15 for kind in result["kinds"].values())


# --- both scripts ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_fit_speed_on_a_synthetic_walker(tmp_path):
    words = ["--quick", "--frames", 100, "--published_seconds", 2, "--memory_frames", 100]
    result, told = run("fit_speed.py", tmp_path, *words, "--captures", tmp_path / "nowhere")
    assert "no real recordings there" in told
    assert result["markers"] == 35
    assert result["ratio"] == pytest.approx(
        result["frames_per_second"] / result["published_frames_per_second"], rel=1e-3
    )
    assert result["ratio"] > 1
    assert 100 < result["peak_memory_mb"] < 2000
    assert 0.5 < result["residual_mm"] < 10 < result["published_residual_mm"]
    assert result["residual_mm"] == pytest.approx(result["thorough_residual_mm"], abs=0.1)
    assert result["beside_opensim"] == {}
    assert (result["cuda"] is None) == (not torch.cuda.is_available())
    assert len(result["published_iterations"]) == 2
    made_by = result["made_by"]
    assert made_by["threads"] == 2
    assert made_by["arguments"]["frames"] == 100
    assert str(tmp_path) not in json.dumps(result)


@pytest.mark.slow
def test_whole_command_in_miniature(tmp_path):
    result, _ = run("whole_command.py", tmp_path, "--quick")
    assert result["frames"] == 4 * 100
    assert result["gaits"] == 4
    (seconds,) = result["seconds"]
    assert result["whole_command_frames_per_s"] == pytest.approx(400 / seconds, rel=1e-3)
    assert 0.5 < result["to_the_first_gait_s"] <= seconds


def test_event_errors_of_a_known_case(module):
    of = module("gait_events").event_errors
    errors = of(np.array([0.51, 1.04, 2.4]), np.array([0.1, 0.5, 1.0, 1.5, 2.9]), 3.0)
    assert errors.off_s == pytest.approx((0.01, 0.04))
    assert (errors.missed, errors.invented) == (1, 1)  # 1.5 s; 2.4 s; what is at the ends does not count
    assert of(np.empty(0), np.empty(0), 3.0).figures()["mean_ms"] is None


def test_gait_events_in_miniature(tmp_path):
    result, _ = run("gait_events.py", tmp_path, "--quick")
    assert result["real"] is None
    assert len(result["synthetic"]) == 7
    for figures in result["synthetic"].values():
        assert figures["Foot Strike"]["events"] >= 5
        assert figures["Foot Strike"]["missed"] == figures["Foot Strike"]["invented"] == 0
        assert abs(figures["Foot Off"]["mean_ms"]) < 30
        assert figures["walking_speed_worst_percent"] < 5


def test_training_speed_in_miniature(tmp_path):
    result, _ = run("training_speed.py", tmp_path, "--quick", "--ffn_dim", 256, "--threads", 1)
    turns = zip(result["plain_seconds_of_turns"], result["seconds_of_turns"], strict=True)
    assert result["ratio"] == pytest.approx(np.median([plain / ours for plain, ours in turns]), rel=1e-3)
    assert result["logit_difference"] < 1e-5
    assert all(result[part] > 0 for part in ("forward", "backward", "optimiser", "evaluation_seconds_a_batch"))
    assert result["mlp_seconds_a_step"] > 0
    some = result["some_frames"]
    assert some["one_frame_in"] == 4
    assert some["seconds_a_step"] > 0
    assert some["ratio"] > 0
    assert len(result["plain_seconds_of_turns"]) == 2
    assert result["made_by"]["arguments"]["ffn_dim"] == 256


@pytest.mark.slow
def test_kills_in_miniature(tmp_path):
    result, told = run("kills.py", tmp_path, "--quick", "--kills", 3)
    assert (result["tried"], result["passed"], result["failures"]) == (3, 3, []), told
    assert result["gaits"] == 4


def test_what_a_kill_may_not_do_is_named(module, tmp_path):
    gait = tmp_path / "healthy" / "anna" / "walk1"
    expected = {"healthy/anna/walk1": b"poses", "healthy/anna/walk2": b"others"}
    place = module("kills").Place(tmp_path, expected)
    gait.mkdir(parents=True)
    (gait / "poses.npz").write_bytes(b"poses")
    (gait / "fit_report.json").write_bytes(b"{}")
    assert place.look(ended=False, overwriting=False) == []
    (gait / "fit_report.json").write_bytes(b"{ }")
    assert place.look(ended=False, overwriting=False) == ["healthy/anna/walk1 was fitted again"]
    assert place.look(ended=False, overwriting=True) == []
    (gait / "poses.npz").write_bytes(b"poser")
    assert place.look(ended=False, overwriting=True) == ["healthy/anna/walk1 has other poses"]
    (gait / "poses.npz").write_bytes(b"poses")
    gait.rename(gait.with_name(".walk1.old-12"))
    assert place.look(ended=False, overwriting=True) == []
    assert place.look(ended=True, overwriting=True) == [
        "healthy/anna/walk1 was finished and is not there",
        "healthy/anna/walk1 is missing",
        "healthy/anna/walk2 is missing",
        ".walk1.old-12 was left over",
    ]


def test_windows(tmp_path):
    result, _ = run("windows.py", tmp_path, "--quick", "--batch_size", 8)
    assert result["windows"] == 2 * 4 * (300 - 128 + 1)
    for figures in (result["first_epoch"], result["later_epochs"], result):
        assert figures["ratio"] > 1
    assert 0 < result["reading_s"] < result["first_batch_s"] < 60
    assert 0 < result["megabytes"] < 200


def test_the_published_windows_are_ours_where_their_formulas_hold(module):
    """Away from −x, and not exactly along +x; whoever walks level is not tilted by the shortest rotation."""
    for heading in (0.1, 0.5, -1.5, 2.0):
        joints = stick_walker(20) @ about_y(heading).T
        joints = torch.from_numpy(joints.astype(np.float32))
        windows = torch.stack(list(module("published_windows").published_windows(joints, 18)))
        expected = common_frame(torch.stack([joints[first : first + 18] for first in range(3)]))
        torch.testing.assert_close(windows, expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_fit_accuracy_without_captures(tmp_path):
    words = ["--quick", "--ill", 0, "--captures", tmp_path / "nowhere"]
    result, told = run("fit_accuracy.py", tmp_path, *words)
    assert "left out" in told
    assert not {"real", "real_worst", "plug_in_gait", "hidden_marker_mm", "repeat_mm"} & result.keys()
    by_hand, exactly = result["synthetic"], result["synthetic_placed_exactly"]
    assert 0.1 < exactly["joints_mm"] < by_hand["joints_mm"] < 15
    assert 0.1 < exactly["vertices_mm"] < by_hand["vertices_mm"] < 20
    assert set(by_hand["by_walker"]) == {"healthy_1"}
    assert len(by_hand["by_joint_mm"]) == len(by_hand["covered_by_joint"]) == 22
    assert 0.3 < result["confidence_coverage"] == by_hand["confidence_coverage"] < 1


@pytest.mark.slow
@pytest.mark.captures
def test_fit_accuracy_on_real_walks(captures, tmp_path):
    words = ["--persons", "HC033A", "CP02", "--healthy", 0, "--ill", 0, "--hidden_frames", 10, "--captures", captures]
    result, _ = run("fit_accuracy.py", tmp_path, *words)
    assert set(result["real"]) == {
        "healthy/HC033A/walk10.c3d",
        *(f"cerebral_palsy/CP02/{name}.C3D" for name in ("walk08_pre", "walk10_pre", "walk08_post")),
    }
    for figures in result["real"].values():
        assert 1 < figures["residual_mm"] < figures["max_frame_mean_mm"] < 15
        assert 1 < figures["offset_mm"] < 20
    assert result["real_worst"]["residual_mm"] == max(f["residual_mm"] for f in result["real"].values())
    assert 1 < result["hidden_marker_mm"] < 15
    assert set(result["hidden_marker"]["by_walk"]) == set(result["real"])
    assert 0 < result["repeat_mm"] < 10
    assert set(result["repeat"]["pairs"]["CP02"]) == {
        "static and walk08_pre",
        "static and walk10_pre",
        "walk08_pre and walk10_pre",
    }
    clinic = result["plug_in_gait"]
    assert set(clinic["sides"]) == {"healthy/HC033A/walk10.c3d"}  # the other person's files have no joint centres
    assert clinic["knee_correlation"]["pooled"] > 0.95
    assert 0.1 < clinic["knee_rmse_deg"]["pooled"] < 10
    assert set(clinic["centres_mm"]) == {"hip", "knee", "ankle"}
    assert all(1 < distance < 60 for distance in clinic["centres_mm"].values())


@pytest.mark.slow
def test_told_apart(tmp_path):
    result, _ = run("told_apart.py", tmp_path, "--quick")
    assert result["fit_seconds"] > 0
    for network in ("transformer", "mlp"):
        said = result["networks"][network]
        persons = said["persons"]
        assert 0 <= persons["roc_auc"]["low"] <= persons["roc_auc"]["value"] <= persons["roc_auc"]["high"] <= 1
        assert said["baselines"]["zero_rule"]["balanced_accuracy"]["value"] == 0.5
        assert "--cross all" in said["flags"]
        assert said["seconds"] > 0
