"""Metrics of the benchmarks on cases with a known result, and the scripts with small arguments."""

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gait.body.constraints_file import AngleBounds
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.rotations import axis_angle_to_matrix
from gait.body.skeleton import Joint
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.fitting.marker_quality.marker_error import MarkerError
from gait.fitting.subject_fit import fit_shape_and_poses
from gait.synthetic.inject_errors import InjectedError
from tests.helpers.browser import needs_browser
from tests.helpers.fitting_cases import record_trial, short_trial
from tests.helpers.motion_cases import rot_y, stick_figure, to_common_frame, write_trial
from tests.helpers.paths import OPEN_BODY, REPOSITORY


@pytest.fixture(scope="module")
def body(open_body):
    return open_body


def recording(labels, positions_m, **more):
    return Recording(Path("synthetic.c3d"), tuple(labels), positions_m, np.isfinite(positions_m).all(-1), 100.0, **more)


# --- angles, centres, repetition -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bend_deg", [0.0, 30.0, 90.0])
def test_knee_angle_deg_equals_the_flexion(module, bend_deg):
    bend = np.radians(bend_deg)
    hip, knee = np.array([[0.0, 1, 0]]), np.array([[0.0, 0.5, 0]])
    ankle = knee + 0.4 * np.array([[0, -np.cos(bend), -np.sin(bend)]])
    assert module("joint_centres_vs_plug_in_gait").knee_angle_deg(hip, knee, ankle) == pytest.approx(
        [bend_deg], abs=1e-6
    )


@pytest.mark.parametrize("axis_off_deg", [0.0, 20.0, -20.0])
def test_varus_deg_shows_a_rotated_flexion_axis(module, axis_off_deg):
    flexion, off = np.radians([0.0, 30.0, 60.0]), np.radians(axis_off_deg)
    still = np.zeros((3, 1))
    hip, knee = np.hstack([still, still + 1, still]), np.hstack([still, still + 0.5, still])
    ankle = knee + 0.4 * np.stack([np.zeros(3), -np.cos(flexion), -np.sin(flexion)], axis=1)  # bends about x
    lateral = np.tile([np.cos(off), 0.3, -np.sin(off)], (3, 1))  # its component along the thigh does not matter
    expected = np.degrees(np.arcsin(np.sin(off) * np.sin(flexion)))
    assert module("joint_centres_vs_plug_in_gait").varus_deg(lateral, hip, knee, ankle) == pytest.approx(
        expected, abs=1e-9
    )


def test_knee_metrics_separate_bias_from_correlation(module):
    curve = 30 + 30 * np.sin(np.linspace(0, 6, 100))
    metrics = module("joint_centres_vs_plug_in_gait").knee_metrics(curve + 4, curve)
    assert metrics == pytest.approx({"knee_rmse_deg": 4, "knee_bias_deg": 4, "knee_correlation": 1})
    assert module("joint_centres_vs_plug_in_gait").knee_metrics(-curve, curve)["knee_correlation"] == pytest.approx(-1)


def test_laboratory_centres_prefers_vicon_outputs(module):
    positions = np.zeros((2, 1, 3))
    outputs = {f"R{name}": np.full((2, 3), float(k)) for k, name in enumerate(["HJC", "KJC", "AJC", "FEP", "FEO"])}
    others = recording(["LASI"], positions, model_outputs=outputs)
    own = recording(["LASI"], positions, model_outputs=outputs | {"RTIO": np.full((2, 3), 5.0)})
    centres = module("recorded_trials").laboratory_centres
    assert centres(others, "right")[:, 0, 0].tolist() == [0, 1, 2]
    assert centres(own, "right")[:, 0, 0].tolist() == [3, 4, 5]
    assert centres(own, "left") is None


def test_extend_recording_has_no_jumps(module):
    trial = recording(["LASI"], np.arange(5.0)[:, None, None] * np.ones((1, 1, 3)))
    longer = module("recorded_trials").extend_recording(trial, 23)
    assert longer.num_frames == 23
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
def test_hyperextended_fraction_counts_frames(module, joint, axis, degrees, wrong):
    rotations = torch.zeros(2, 22, 3, dtype=torch.float64)
    rotations[1, joint, axis] = np.radians(degrees)
    assert module("fit_recorded_trials").hyperextended_fraction(axis_angle_to_matrix(rotations).numpy()) == wrong


SCRIPTS = sorted(
    {path.stem for path in (REPOSITORY / "benchmarks").glob("*.py") if "if __name__" in path.read_text("utf-8")}
    - {"viewer_start"}  # viewer_speed.py runs it
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_benchmark_prints_its_flags_and_example(module, monkeypatch, capsys, script):
    monkeypatch.setattr("sys.argv", [f"{script}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(REPOSITORY / "benchmarks" / f"{script}.py"), run_name="__main__")
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "--quick" in printed
    assert f"example: python benchmarks/{script}.py" in printed


def test_run_prefers_given_flags_over_quick_and_returns_exit_codes(module, capsys):
    benchmark = module("benchmark")

    def code(main, *words):
        return benchmark.run(main, benchmark.BodyArguments, "example\n\nWhat it measures.", quick, words)

    def main(args):
        return {"model": args.model.name, "failures": [] if args.quick else ["one"]}

    quick = {"model": Path("quick.npz")}
    with pytest.raises(SystemExit):
        code(main, "--qui")
    assert code(main, "--model", str(OPEN_BODY), "--quick") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["model"] == OPEN_BODY.name
    assert str(OPEN_BODY.parent) not in json.dumps(result)
    assert code(main) == 1
    assert code(main, "--quick") == 2  # quick.npz does not exist
    assert "quick.npz" in capsys.readouterr().err


def test_round_floats_gives_null_for_nan(module):
    assert module("benchmark").round_floats({"a": [1.23456789, np.nan], "b": (1, "c", None, True)}) == {
        "a": [1.2346, None],
        "b": [1, "c", None, True],
    }


# --- left-out markers, repeatability ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known_trial(body):
    """Simulate a trial of a third of a second without marker placement errors."""
    trial = short_trial(body, seconds=0.34)
    return trial.ground_truth, record_trial(body, trial, plug_in_gait_layout(body))


def make_fitted_trial(module, body, name, *recordings):
    subject_fit = fit_shape_and_poses(recordings, body, plug_in_gait_layout(body))
    return module("fit_recorded_trials").FittedTrial(name, subject_fit, subject_fit.trials[0])


def test_left_out_marker_metrics_show_a_displaced_marker(module, body, known_trial):
    truth, trial = known_trial
    fit = make_fitted_trial(module, body, "synthetic/walk1.c3d", trial)
    trial_fit = replace(fit.trial_fit, betas=truth.betas, offset_m=np.zeros_like(fit.trial_fit.offset_m))
    metrics = module("leave_one_marker_out").left_out_marker_metrics
    exact = metrics([replace(fit, trial_fit=trial_fit)], body)
    assert set(exact["by_marker"]) == set(trial.labels)
    assert exact["by_trial"] == {"synthetic/walk1.c3d": exact["mean"]}
    assert exact["mean"] < 8
    assert exact["by_marker"]["LKNE"] < 4

    positions = trial.positions_m.copy()
    positions[:, trial.labels.index("LKNE")] += [0.06, 0.08, 0]
    displaced = metrics(
        [replace(fit, trial_fit=replace(trial_fit, recording=replace(trial, positions_m=positions)))], body, frames=20
    )
    assert displaced["by_marker"]["LKNE"] == pytest.approx(100, abs=4)
    assert displaced["by_marker"]["C7"] == pytest.approx(exact["by_marker"]["C7"], abs=4)


def test_repeatability_metrics_compare_recordings_of_one_session(module, body, known_trial):
    _, trial = known_trial
    static = replace(trial, path=Path("static.c3d"))
    scaled = replace(trial, path=Path("later.c3d"), positions_m=1.1 * trial.positions_m)
    fit = make_fitted_trial(module, body, "subject/walk1.c3d", trial, static, scaled)
    assert fit.subject_fit.shape_groups == ((0, 1), (2,))
    metrics = module("shape_repeatability").repeatability_metrics
    assert metrics([fit], body) == {
        "mean": None,
        "with_static": 0,
        "pairs": {"subject": {f"{trial.path.stem} and static": 0}},
    }
    assert metrics([make_fitted_trial(module, body, "subject/walk1.c3d", trial)], body) is None


def test_vertex_distance_m_and_mean_of_means(module):
    repeatability = module("shape_repeatability")
    one = np.zeros((4, 3))
    other = np.array([[0.003, 0, 0.004], [0, 0, 0], [0, 0.001, 0], [0, 0, 0]])
    assert repeatability.vertex_distance_m(one, other) == pytest.approx(0.0015)
    assert repeatability.mean_of_means({"a": [1, 3], "b": [8]}) == 5


# --- the reference method --------------------------------------------------------------------------------------------


def test_virtual_markers_are_displaced_along_the_unit_normal(module, body):
    reference = module("reference_fit")
    layout = plug_in_gait_layout(body)
    virtual = reference.virtual_markers(body.v_template[None], reference.place_markers(body, layout))[0]
    vertices, faces = body.v_template.numpy(), body.faces.numpy()
    for m in range(layout.num_markers):
        a, b, c = vertices[faces[layout.face[m]]]
        normal = np.cross(b - a, c - a)
        expected = layout.barycentric[m] @ np.stack([a, b, c]) + layout.height_above_skin_m[
            m
        ] * normal / np.linalg.norm(normal)
        np.testing.assert_allclose(virtual[m].numpy(), expected, atol=1e-6)


def test_reference_penalties(module):
    reference = module("reference_fit")
    bounds = AngleBounds(np.array([0, 2]), np.array([-0.1, -0.1]), np.array([0.1, 0.1]))
    pose = torch.tensor([[0.3, 9.0, -0.4]])
    assert float(reference.angle_penalty(pose, bounds)) == pytest.approx(2 * (0.2**2 + 0.3**2))
    assert float(reference.angle_penalty(pose, None)) == 0
    betas = torch.tensor([2.0, 0.0])
    assert float(reference.beta_penalty(betas, 3.0, 2.0)) == pytest.approx(3 * (np.e + 1) / 2)
    positions = torch.tensor([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]])
    visible = torch.tensor([False, True])
    assert float(reference.marker_distance(positions, torch.ones(2, 3), visible)) == pytest.approx(
        np.hypot(2, np.hypot(3, 1))
    )


def test_initial_state_recovers_a_rigid_motion(module, body):
    reference = module("reference_fit")
    markers = reference.place_markers(body, plug_in_gait_layout(body))
    pose = torch.zeros(1, body.num_pose)
    pose[0, :3] = torch.tensor([0.1, 2.5, -0.2])
    out = body(pose, torch.zeros(body.num_betas), torch.tensor([[1.0, 0.2, -3.0]]))
    observed = reference.virtual_markers(out.vertices, markers)[0]
    start = reference.initial_state(body, markers, observed, torch.ones(len(observed), dtype=torch.bool))
    np.testing.assert_allclose(start.pose.numpy(), pose.numpy(), atol=1e-4)
    np.testing.assert_allclose(start.translation.numpy(), [[1.0, 0.2, -3.0]], atol=1e-4)


def test_fit_frames_reduces_the_residual(module, body):
    reference = module("reference_fit")
    layout = plug_in_gait_layout(body)
    markers = reference.place_markers(body, layout)
    pose = torch.zeros(1, body.num_pose)
    pose[0, 3 * Joint.LEFT_KNEE] = 0.4
    with torch.no_grad():
        out = body(pose, torch.zeros(body.num_betas), torch.zeros(1, 3))
        observed = reference.virtual_markers(out.vertices, markers)
    trial = recording(layout.labels, observed.double().numpy())
    barely, longer = (
        reference.fit_frames(
            body, layout, trial, [0], timeout_s=600, settings=reference.ReferenceSettings(4e-3, max_iterations=count)
        )[0]
        for count in (1, 10)
    )
    assert (barely.iterations, longer.iterations) == (1, 10)
    assert not longer.converged
    assert longer.residual_m.mean() < 0.8 * barely.residual_m.mean()


def test_fit_frames_stops_at_the_minimum_learning_rate(module, body):
    reference = module("reference_fit")
    layout = plug_in_gait_layout(body)
    observed = reference.virtual_markers(body.v_template[None], reference.place_markers(body, layout))
    trial = recording(layout.labels, observed.double().numpy())
    quickly = reference.ReferenceSettings(patience=1, max_iterations=300)
    (frame,) = reference.fit_frames(body, layout, trial, [0], timeout_s=600, settings=quickly)
    assert frame.converged
    assert frame.iterations < 300
    assert frame.residual_m.mean() < 0.005


# --- marker errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "marker", "other", "first", "last", "detected"),
    [
        ("jump", "LKNE", None, 100, 199, True),
        ("jump", "LKNE", None, 100, 178, False),  # less than 0.8 of the frames
        ("jump", "LTIB", None, 100, 199, False),
        ("jump", "LKNE", "LTIB", 100, 199, False),
        ("drift", "LKNE", None, 100, 199, False),
    ],
)
def test_is_detected_compares_kind_marker_and_frames(module, kind, marker, other, first, last, detected):
    truth = InjectedError("jump", ("LKNE",), 100, 199)
    error = MarkerError(kind, marker, other, first, last, 50.0, "excluded")
    assert module("marker_error_detection").is_detected(truth, error) == detected


def test_is_detected_compares_both_markers_of_a_swap(module):
    truth = InjectedError("pair_swap", ("LKNE", "RKNE"), 1, 9)
    is_detected = module("marker_error_detection").is_detected
    assert is_detected(truth, MarkerError("label_swap", "RKNE", "LKNE", 3, 12, 50.0, "excluded"))
    assert not is_detected(truth, MarkerError("label_swap", "RKNE", "LKNE", 3, 13, 50.0, "excluded"))
    assert not is_detected(truth, MarkerError("label_swap", "RKNE", "RTIB", 1, 9, 50.0, "excluded"))


def test_changed_markers_are_those_with_other_positions(module):
    positions = np.random.default_rng(0).standard_normal((5, 3, 3))
    positions[2, 1] = np.nan
    labels, visible = ("LKNE", "LANK", "LTOE"), np.isfinite(positions).all(axis=2)
    recording = Recording(Path("a.c3d"), labels, positions, visible, 100.0)
    filled = replace(recording, positions_m=positions + np.array([[0], [0], [1e-4]]))
    assert module("marker_error_detection").changed_markers(recording, filled) == {"LTOE"}


@pytest.mark.slow
@pytest.mark.captures
def test_marker_error_detection_of_two_kinds(captures, run):
    words = ["--injections", 1, "--synthetic", 1, "--kinds", "jump", "unit_mismatch", "--captures", captures]
    result, _ = run("marker_error_detection", *words)
    assert all(errors == [] for trials in result["unusual"].values() for errors in trials.values())
    assert (result["passed"], result["tried"], result["failures"]) == (2, 2, [])
    assert len(result["clean"]) == 1
    assert all(kind["joints_mm"]["worst"] < 15 for kind in result["kinds"].values())


# --- scripts ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_fit_speed_on_a_synthetic_trial(run, tmp_path):
    words = ["--quick", "--frames", 100, "--reference_timeout_s", 0.5, "--memory_frames", 100]
    result, stderr = run("fit_speed", *words, "--captures", tmp_path / "nowhere")
    assert "no real recordings found" in stderr
    assert result["markers"] == 35
    assert result["ratio"] == pytest.approx(
        result["frames_per_second"] / result["reference_frames_per_second"], rel=1e-3
    )
    assert result["ratio"] > 1
    assert 100 < result["peak_memory_mb"] < 2000
    assert 0.5 < result["residual_mm"] < 10 < result["reference_residual_mm"]
    assert result["residual_mm"] == pytest.approx(result["converged_residual_mm"], abs=0.1)
    assert result["compare_with_opensim"] == {}
    assert (result["cuda"] is None) == (not torch.cuda.is_available())
    assert len(result["reference_iterations"]) == 2
    provenance = result["provenance"]
    assert provenance["threads"] == 2
    assert provenance["arguments"]["frames"] == 100
    assert str(tmp_path) not in json.dumps(result)


@pytest.mark.slow
def test_report_speed_quick(run):
    result, _ = run("report_speed", "--quick", "--copies", 2)
    assert result["trials"] == 4
    assert 0 < result["processor_seconds_per_trial"] < 20
    assert result["kilobytes_per_trial"] > 100
    assert result["failures"] == []


@needs_browser
def test_walk_page_quick(run, tmp_path):
    result, _ = run("walk_page", "--quick", "--pictures", tmp_path / "pictures")
    assert result["requests"] == []
    assert result["frames_per_second"] > 0
    (row,) = result["against_window"]
    assert row["skin_px"] < 3
    assert row["colour"]["99 %"] < 3
    assert {file.stem for file in (tmp_path / "pictures").iterdir()} == {"page_0", "window_0"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it measures trees of processes, on Linux only")
def test_end_to_end_quick(run):
    result, stderr = run("end_to_end", "--quick")
    assert "the comparison is left out" in stderr
    assert result["trials"] == 2
    whole = result["whole"]
    assert whole["fitted_frames"] == 2 * 50
    (seconds,) = whole["seconds"]
    assert whole["frames_per_second"] == pytest.approx(100 / seconds, rel=1e-3)
    assert 0.5 < whole["first_trial_s"] <= seconds
    assert 0.5 < whole["processor_seconds"] < 2.1 * seconds
    assert 200 < whole["peak_memory_mb"] < 2000
    assert whole["ratio"] == pytest.approx(whole["frames_per_second"] / result["published_frames_per_second"], rel=1e-3)


def test_many_subjects_share_recordings(module, tmp_path):
    count, cohort = module("end_to_end").many_subjects([tmp_path / "a.c3d", tmp_path / "b.c3d"], 3, tmp_path)
    trials = [entry["trials"] for entry in json.loads(cohort.read_text()).values()]
    assert count == 3
    assert trials == [[str(tmp_path / name)] for name in ("a.c3d", "b.c3d", "a.c3d")]


def test_long_trial_plays_the_recording_forward_and_backward(module, body, tmp_path):
    walk = record_trial(body, short_trial(body, seconds=0.2), plug_in_gait_layout(body))
    positions_mm = 1000 * walk.positions_m[..., [2, 0, 1]].astype(np.float32)
    path = tmp_path / "walk.c3d"
    path.write_bytes(module("recording_writer").C3dContent(list(walk.labels), positions_mm, 100.0).to_bytes())
    frames, cohort = module("end_to_end").long_trial(path, 45, tmp_path)
    (trial,) = json.loads(cohort.read_text())["subject"]["trials"]
    found = read_recording(trial)
    assert found.num_frames == frames == 45
    np.testing.assert_allclose(found.positions_m[20], walk.positions_m[18], atol=1e-4)


def test_event_errors_counts_missed_and_false_positives(module):
    of = module("gait_events").event_errors
    errors = of(np.array([0.51, 1.04, 2.4]), np.array([0.1, 0.5, 1.0, 1.5, 2.9]), 3.0)
    assert errors.error_s == pytest.approx((0.01, 0.04))
    assert (errors.missed, errors.false_positives) == (1, 1)  # 1.5 s; 2.4 s; events at the ends do not count
    assert of(np.empty(0), np.empty(0), 3.0).metrics()["bias_ms"] is None


def test_joint_status_quick(run, tmp_path):
    result, printed = run("joint_status", "--quick", "--captures", tmp_path)
    assert "no real recordings found" in printed
    metrics = result["synthetic"]
    assert metrics["trials"] == 3
    assert metrics["observed_within_30_mm"] > 0.99
    assert metrics["by_scenario"]["39 markers"]["held_said_observed"] > 0.99
    assert metrics["by_scenario"]["amputee"]["not_observed"] == pytest.approx(2 / 22, abs=0.001)
    assert "available: 39 markers" in run("joint_status", "--quick", "--scenarios", "none", code=2)[1]


def test_walking_quick(run):
    result, _ = run("walking", "--quick")
    assert set(result["walking"]) == {"floor", "treadmill", "curve"}
    for counts in result["walking"].values():
        assert counts["frames"] > 10_000
        assert counts["frames_dropped"] == counts["parts_cut"] == 0
    assert result["standing"] == {"trials": 1, "frames": 700, "frames_missed": 0}


def test_synthetic_variety_quick(run, tmp_path):
    result, _ = run("synthetic_variety", "--quick", "--controls", 2, "--curves", tmp_path / "missing.npz")
    assert result["skipped"]
    assert result["between_persons_deg"]["knee_flexion"]["real_controls"] is None
    slow, _, own, *_ = result["by_speed"]
    for kind in ("knee", "knee_schwartz_2008"):
        assert own[kind]["range"] - slow[kind]["range"] > 8
    assert slow["knee_schwartz_2008"]["loading_flexion"] == pytest.approx(3, abs=0.5)  # of the published table
    assert result["lowest_point_mm"][0] > -3


def test_bend_path_walks_ahead_on_a_circle(module):
    straight = stick_figure(200, lean_deg=0)
    bent = module("walking").bend_path(straight, 0.6)
    pelvis = bent[:, Joint.PELVIS]
    centre = straight[0, Joint.PELVIS] + 0.6 * np.cross([0, 1, 0], [1, 0, 0])
    np.testing.assert_allclose(np.linalg.norm((pelvis - centre)[:, [0, 2]], axis=1), 0.6, atol=1e-6)
    assert (np.diff(pelvis, axis=0)[:-1] * (bent[:, Joint.LEFT_FOOT] - bent[:, Joint.LEFT_ANKLE])[1:-1]).sum(
        1
    ).min() > 0


def test_gait_events_quick(run):
    result, _ = run("gait_events", "--quick")
    assert result["real"] is None
    assert len(result["synthetic"]) == 7
    for metrics in result["synthetic"].values():
        for found in ("joints_and_soles", "joints_alone"):
            for errors in metrics[found].values():
                assert errors["events"] >= 5
                assert errors["missed"] == errors["false_positives"] == 0
                assert errors["mean_absolute_ms"] < 20
        assert metrics["walking_speed_worst_percent"] < 5


def test_spatiotemporal_parameters_quick(run):
    result, _ = run("spatiotemporal_parameters", "--quick")
    assert result["recorded"] is result["fits"] is None
    assert len(result["synthetic"]) == 7
    for errors in result["synthetic"].values():
        assert errors["strides"] >= 3
        assert errors["walking_speed_percent"]["p95"] < 4
        assert errors["stride_length_percent"]["p95"] < 0.5
        assert errors["step_width_mm"]["mean_absolute"] < 5


def test_training_speed_quick(run):
    result, _ = run("training_speed", "--quick", "--ffn_dim", 256, "--threads", 1)
    rotations = zip(result["reference_seconds_of_repeats"], result["seconds_of_repeats"], strict=True)
    assert result["ratio"] == pytest.approx(np.median([plain / ours for plain, ours in rotations]), rel=1e-3)
    assert result["logit_difference"] < 1e-5
    assert all(result[part] > 0 for part in ("forward", "backward", "optimizer", "evaluation_seconds_per_batch"))
    assert result["mlp_seconds_per_step"] > 0
    assert result["recommended"].keys() == {"mlp", "transformer"}
    assert min(result["recommended"].values()) > 0
    subsampled = result["subsampled"]
    assert subsampled["frame_subsampling"] == 4
    assert subsampled["seconds_per_step"] > 0
    assert subsampled["ratio"] > 0
    assert len(result["reference_seconds_of_repeats"]) == 2
    assert result["provenance"]["arguments"]["ffn_dim"] == 256


@pytest.mark.slow
def test_crash_recovery_quick(run):
    result, stderr = run("crash_recovery", "--quick", "--interruptions", 1, "--trials", 1, "--trial_s", 0.3)
    assert (result["tried"], result["passed"], result["failures"]) == (1, 1, []), stderr
    assert result["trials"] == 2


def test_save_folder_monitor_reports_lost_and_changed_trials(module, tmp_path):
    folder = tmp_path / "healthy" / "P01" / "walk1"
    expected = {"healthy/P01/walk1": b"poses", "healthy/P01/walk2": b"others"}
    monitor = module("crash_recovery").SaveFolderMonitor(tmp_path, expected)
    folder.mkdir(parents=True)
    (folder / "poses.npz").write_bytes(b"poses")
    (folder / "fit_report.json").write_bytes(b"{}")
    assert monitor.check(ended=False, overwriting=False) == []
    (folder / "fit_report.json").write_bytes(b"{ }")
    assert monitor.check(ended=False, overwriting=False) == ["healthy/P01/walk1 was fitted again"]
    assert monitor.check(ended=False, overwriting=True) == []
    (folder / "poses.npz").write_bytes(b"poser")
    assert monitor.check(ended=False, overwriting=True) == ["healthy/P01/walk1 has different poses"]
    (folder / "poses.npz").write_bytes(b"poses")
    folder.rename(folder.with_name(".walk1.old-12"))
    assert monitor.check(ended=False, overwriting=True) == []
    assert monitor.check(ended=True, overwriting=True) == [
        "healthy/P01/walk1 was finished and is missing now",
        "healthy/P01/walk1 is missing",
        "healthy/P01/walk2 is missing",
        ".walk1.old-12 was not removed",
    ]


def test_volume_edges_on_recorded_trials(captures, run):
    result, _ = run("volume_edges", "--seeds", 1, "--threads", 1, "--captures", captures)
    (trial,) = result["trials"]
    assert 1 < trial["max_frame_mm"] < 15
    assert 0 < trial["joint_mean_mm"] < trial["joint_p99_mm"] < 40
    assert 0.5 < trial["observed"] < 1 >= trial["kept"] > 0.5
    assert trial["marker_errors"] == []
    assert result["worst"]["max_frame_mm"] == trial["max_frame_mm"]


def test_windowing_speed_quick(run):
    result, _ = run("windowing_speed", "--quick", "--recordings", 2, "--frames", 200, "--batch_size", 8)
    assert result["windows"] == 2 * 2 * (200 - 128 + 1)
    for metrics in (result["first_epoch"], result["later_epochs"], result):
        assert metrics["ratio"] > 1
    assert 0 < result["reading_s"] < result["first_batch_s"] < 60
    assert 0 < result["megabytes"] < 200


def test_make_reference_windows_equals_ours_where_defined(module):
    """Walking directions away from ±x; the minimal rotation does not tilt a body that walks on level ground."""
    for heading in (0.1, 0.5, -1.5, 2.0):
        joints = stick_figure(20) @ rot_y(heading).T
        joints = torch.from_numpy(joints.astype(np.float32))
        windows = torch.stack(list(module("reference_windows").make_reference_windows(joints, 18)))
        expected = to_common_frame(torch.stack([joints[first : first + 18] for first in range(3)]))
        torch.testing.assert_close(windows, expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_fit_accuracy_without_captures(run, tmp_path):
    result, stderr = run("fit_accuracy", "--quick", "--sick", 0, "--captures", tmp_path / "nowhere")
    assert "skipped" in stderr
    assert not {"real", "real_worst", "plug_in_gait", "left_out_marker_mm", "repeat_mm"} & result.keys()
    by_hand, exactly = result["synthetic"], result["synthetic_no_placement_error"]
    assert 0.1 < exactly["joints_mm"] < by_hand["joints_mm"] < 15
    assert 0.1 < exactly["vertices_mm"] < by_hand["vertices_mm"] < 20
    assert set(by_hand["by_subject"]) == {"healthy_1"}
    assert len(by_hand["by_joint_mm"]) == len(by_hand["coverage_by_joint"]) == 22
    assert 0.3 < result["sigma_coverage"] == by_hand["sigma_coverage"] < 1


@pytest.mark.slow
@pytest.mark.captures
def test_fit_accuracy_on_recorded_trials(captures, run):
    words = ["--subjects", "HC033A", "CP02", "--healthy", 0, "--sick", 0, "--left_out_frames", 3]
    result, _ = run("fit_accuracy", *words, "--captures", captures)
    assert set(result["real"]) == {
        "healthy/HC033A/walk10.c3d",
        *(f"cerebral_palsy/CP02/{name}.C3D" for name in ("walk08_pre", "walk10_pre", "walk08_post")),
    }
    for metrics in result["real"].values():
        assert 1 < metrics["residual_mm"] < metrics["max_frame_mean_mm"] < 15
        assert 1 < metrics["offset_mm"] < 20
    assert result["real_worst"]["residual_mm"] == max(f["residual_mm"] for f in result["real"].values())
    assert 1 < result["left_out_marker_mm"] < 15
    assert set(result["left_out_marker"]["by_trial"]) == set(result["real"])
    assert 0 < result["repeat_mm"] < 10
    assert set(result["repeat"]["pairs"]["CP02"]) == {
        "static and walk08_pre",
        "static and walk10_pre",
        "walk08_pre and walk10_pre",
    }
    plug_in_gait = result["plug_in_gait"]
    assert set(plug_in_gait["sides"]) == {
        "healthy/HC033A/walk10.c3d"
    }  # the files of the other subject have no joint centres
    assert plug_in_gait["knee_correlation"]["pooled"] > 0.95
    assert 0.1 < plug_in_gait["knee_rmse_deg"]["pooled"] < 10
    assert set(plug_in_gait["centres_mm"]) == {"hip", "knee", "ankle"}
    assert all(1 < distance < 60 for distance in plug_in_gait["centres_mm"].values())


def test_classification_trains_on_a_new_cohort(module, run, monkeypatch):
    classification, commands = module("classification"), []
    monkeypatch.setattr(classification, "run_script", lambda command: commands.append(command) or 7.0)
    monkeypatch.setattr(classification, "train_and_evaluate", lambda network, poses, *_: {"poses": poses.name})
    result, _ = run("classification", "--quick", "--healthy", 1, "--sick", 1)
    assert result["fit_seconds"] == 7
    assert result["networks"] == {"mlp": {"poses": "poses"}, "transformer": {"poses": "poses"}}
    ((_, script, *words),) = commands
    assert Path(script) == REPOSITORY / "shape_optimizer.py"
    assert Path(words[words.index("--model_folder") + 1]) == OPEN_BODY.parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mlp", "transformer"])
def test_classification_of_fitted_poses(run, scripts_in_process, tmp_path, network):
    for k, label in enumerate(["healthy", "sick"] * 3):
        write_trial(tmp_path / "poses", f"{label}/P{k}/walk", stick_figure(140, speed=0.9 + 0.1 * k, phase=0.2 * k))
    words = ["--quick", "--networks", network, "--poses", tmp_path / "poses"]
    result = run("classification", *words)[0]["networks"][network]
    auc = result["subjects"]["roc_auc_within_folds"]
    assert 0 <= auc["low"] <= auc["value"] <= auc["high"] <= 1
    assert result["baselines"]["prior_baseline"]["balanced_accuracy"]["value"] == 0.5
    assert "--cross all" in result["flags"]
    assert result["seconds"] > 0


def test_foreign_poses_of_one_subject(run):
    found, _ = run("foreign_poses", "--quick", "--threads", 1)
    assert found["rotations_mm"]["by_steps_relative"] < found["rotations_mm"]["mean_body_relative"]
    assert found["centres"].keys() == {"joint_centres", "coco", "halpe"}
    for by_error in found["centres"].values():
        assert by_error["15"]["mm"] < 20
        assert by_error["15"]["observed"] + by_error["15"]["inferred"] > 0.85


def test_unknown_markers_quick(run):
    result, _ = run("unknown_markers", "--quick")
    assert result["used"] > 0.5
    for what in ("joints", "hidden_marker"):
        assert 0 < result[what]["with"] <= result[what]["without"] < 50
        assert result[what]["not_worse"] == 1


@pytest.mark.slow
def test_speed_matched_scores_quick(run):
    result, _ = run("speed_matched_scores", "--quick")
    for kind in ("joint_rotations", "plug_in_gait"):
        for score in result["slow_walk"][kind].values():
            if isinstance(score, dict):
                assert score["against_own_pace_deg"]["mean"] > score["same_subjects_at_own_pace_deg"]["mean"]
                assert score["explained_by_speed_deg"]["mean"] > 1
        assert result["curves_inside"][kind]["10"]["simultaneous"] > result["curves_inside"][kind]["10"]["pointwise"]
    real = result["real_controls"]  # None without the file
    assert real is None or real["gps"]["slow_deg"]["mean"] > real["gps"]["own_pace_deg"]["mean"]
