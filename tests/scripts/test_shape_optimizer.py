"""Run shape_optimizer.py from the command line on short trials."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.motion.pose_files import read_poses
from gait.synthetic import MeasurementErrors, make_subject, make_trial, parse_subject_name, read_ground_truth
from tests.helpers.fit_cohort import run_script_here
from tests.helpers.fitting_cases import OPEN_BODY, SECRET, file_contents, model_folder, write_c3d
from tests.helpers.paths import REPOSITORY

ERRORS = MeasurementErrors(placement_m=0.006, technical_along_m=0.02, noise_m=0.001, gap_fraction=0.02)
RESULTS = {"poses.npz", "fit_report.json", "residuals.npz"}


def checked(done):
    """Check that no traceback and no subject name is printed."""
    for stream in (done.stdout, done.stderr):
        assert "Traceback" not in stream
        assert SECRET not in stream
    return done


def fit(folder, cohort, *more):
    """Run the script in a working directory, in this process; its workers are processes."""
    words = ["--cohort", cohort, "--model_folder", "data", "--save_folder", "out", *more]
    return checked(run_script_here(folder, *words))


def cohort_file(folder, name, **subjects):
    (folder / name).write_text(json.dumps(subjects), encoding="utf-8")
    return name


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Folder with models and recordings: two trials of one subject, one trial of another."""
    folder = tmp_path_factory.mktemp("laboratory")
    model_folder(folder / "data")
    body = load_body(OPEN_BODY)
    layout = plug_in_gait_layout(body)
    for name, num_trials in (("healthy_1", 2), ("crouch_1", 1)):
        spec = parse_subject_name(name)
        subject = make_subject(body, spec.seed)
        for number in range(1, num_trials + 1):
            trial = make_trial(body, subject, spec.pathology, seconds=0.7, seed=number)
            path = folder / "recordings" / name / f"walk{number}.c3d"
            write_c3d(path, body, layout, trial, ERRORS, prefix=SECRET if number == 2 else "")
    cohort_file(
        folder,
        "cohort.json",
        healthy_1={"trials": [f"recordings/healthy_1/walk{k}.c3d" for k in (1, 2)], "healthy": True},
        crouch_1={"trials": ["recordings/crouch_1/walk1.c3d"], "healthy": False, "model_file": "open_neutral.npz"},
    )
    return folder


@pytest.fixture(scope="module")
def first(workspace):
    """The first run, without figures, by the script as a program."""
    words = ["--cohort", "cohort.json", "--model_folder", "data", "--save_folder", "out", "--no_pictures"]
    command = [sys.executable, REPOSITORY / "shape_optimizer.py", *words]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    return checked(subprocess.run(command, capture_output=True, text=True, cwd=workspace, env=env, timeout=300))


TRIALS = ("healthy/healthy_1/walk1", "healthy/healthy_1/walk2", "sick/crouch_1/walk1")


@pytest.fixture(scope="module")
def out(workspace, first):
    assert first.returncode == 0, first.stderr
    return workspace / "out"


def test_every_trial_has_a_folder(out):
    assert {path.parent.relative_to(out).as_posix() for path in out.rglob("poses.npz")} == set(TRIALS)
    for trial in TRIALS:
        assert {path.name for path in (out / trial).iterdir()} == RESULTS
    assert not list(out.rglob(".*")), "no temporary files are left"


def test_summary_has_a_row_per_trial(first, out):
    lines = first.stdout.splitlines()
    assert lines[0].split()[:2] == ["subject", "trial"]
    rows = [line.split() for line in lines[1:4]]
    assert [row[:2] for row in rows] == [["crouch_1", "walk1"], ["healthy_1", "walk1"], ["healthy_1", "walk2"]]
    for row in rows:
        folder = next(path for path in out.glob(f"*/{row[0]}/{row[1]}"))
        report = json.loads((folder / "fit_report.json").read_text(encoding="utf-8"))
        assert int(row[2]) == report["frames"] == 70
        assert float(row[3]) == pytest.approx(report["residual_mm"]["mean"], abs=0.06)
        assert row[6:9] == report["worst_markers"][:3]
    assert "3 fitted, 0 already finished, 0 failed" in first.stdout


def test_fitted_poses_are_near_ground_truth(workspace, out):
    for trial in TRIALS:
        truth = read_ground_truth(workspace / "recordings" / Path(trial).parent.name / f"{Path(trial).name}.c3d")
        fitted = read_poses(out / trial)
        assert fitted.rate_hz == truth.rate_hz
        assert fitted.model_file == truth.model_file
        assert fitted.model_sha256 == truth.model_sha256
        error = np.linalg.norm(fitted.joints_m - truth.joints_m, axis=-1)
        assert error.mean() < 0.012


def test_fit_report_is_complete(out):
    for trial in TRIALS:
        report = json.loads((out / trial / "fit_report.json").read_text(encoding="utf-8"))
        assert set(report["residual_mm"]) == {"mean", "rms", "p95", "max", "max_frame_mean"}
        assert len(report["worst_markers"]) == 5
        assert len(report["markers"]) == 39
        for marker in report["markers"].values():
            assert set(marker) == {"mean_mm", "visible", "placement_offset_mm", "kind"}
            assert 0.5 < marker["visible"] <= 1
        assert report["missing_markers"] == []
        assert report["unused_labels"] == []
        assert report["frames_per_second"] > 0
        assert len(report["betas"]) == 50
        assert 1.0 < report["stature_m"] < 2.1
        assert {"gait", "python", "torch", "numpy", "scipy", "ezc3d"} <= set(report["versions"])
        assert report["arguments"]["save_folder"] == "out"
        assert report["arguments"]["device"] == "cpu"
        assert len(report["model_sha256"]) == 64
        assert len(report["recording_sha256"]) == 64
        assert "Plug-in Gait" in report["layout"]


def test_fit_report_agrees_with_residuals(out):
    for trial in TRIALS:
        report = json.loads((out / trial / "fit_report.json").read_text(encoding="utf-8"))
        with np.load(out / trial / "residuals.npz", allow_pickle=False) as archive:
            labels, residual = archive["labels"].tolist(), archive["residual_mm"]
            observed, virtual = archive["observed_m"], archive["virtual_m"]
        visible = np.isfinite(residual)
        np.testing.assert_allclose(residual, 1e3 * np.linalg.norm(virtual - observed, axis=-1), atol=0.01)
        values = residual[visible].astype(float)
        reported = report["residual_mm"]
        assert reported["mean"] == pytest.approx(values.mean(), abs=2e-3)
        assert reported["rms"] == pytest.approx(np.sqrt((values**2).mean()), abs=2e-3)
        assert reported["p95"] == pytest.approx(np.quantile(values, 0.95), abs=2e-3)
        assert reported["max"] == pytest.approx(values.max(), abs=2e-3)
        assert reported["max_frame_mean"] == pytest.approx(np.nanmean(residual, axis=1).max(), abs=2e-3)
        means = {name: np.nanmean(residual[:, m]) for m, name in enumerate(labels)}
        for m, name in enumerate(labels):
            assert report["markers"][name]["mean_mm"] == pytest.approx(means[name], abs=2e-3)
            assert report["markers"][name]["visible"] == pytest.approx(visible[:, m].mean(), abs=1e-4)
        assert report["worst_markers"] == sorted(means, key=means.get, reverse=True)[:5]


def test_trials_of_a_subject_share_one_shape(out):
    first, second, other = (read_poses(out / trial).betas for trial in TRIALS)
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0.05
    report = json.loads((out / TRIALS[0] / "fit_report.json").read_text(encoding="utf-8"))
    assert report["same_shape_as"] == ["walk1", "walk2"]


def test_no_subject_name_is_written(out):
    """Neither from SUBJECTS:NAMES nor from the label prefix, where Vicon writes it too."""
    files = list(file_contents(out))
    assert len(files) > 30
    for path, data in files:
        for part in (SECRET, *SECRET.split()):
            assert part.encode() not in data, path


def test_second_run_skips_and_third_overwrites_with_json_frames_and_figures(workspace, out, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    second = fit(workspace, "cohort.json", "--no_pictures")
    assert second.returncode == 0
    assert "0 fitted, 3 already finished, 0 failed" in second.stdout
    assert "other label" not in second.stderr
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before

    one = cohort_file(workspace, "one.json", crouch_1={"trials": ["recordings/crouch_1/walk1.c3d"], "healthy": False})
    poses = (out / TRIALS[2] / "poses.npz").read_bytes()
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # a core for the pictures
    third = fit(workspace, one, "--overwrite", "--pose_format", "json")
    assert third.returncode == 0, third.stderr
    assert "1 fitted, 0 already finished, 0 failed" in third.stdout
    names = {path.name for path in (out / TRIALS[2]).iterdir()}
    frames = {f"pose_{t:05d}.json" for t in range(70)}
    assert names - {"fit.png"} == RESULTS | frames
    assert "fit.png" in names, "needs the libraries for offscreen rendering; see setup.sh"
    figure = (out / TRIALS[2] / "fit.png").read_bytes()
    assert figure.startswith(b"\x89PNG")
    assert len(figure) > 20_000
    assert SECRET.encode() not in figure
    assert (out / TRIALS[2] / "poses.npz").read_bytes() == poses, "the fit is reproducible to the last bit"
    assert (out / TRIALS[0] / "poses.npz").stat().st_mtime_ns == before[out / TRIALS[0] / "poses.npz"]
    assert not list(out.rglob(".*"))
    body = load_body(OPEN_BODY)
    whole = read_poses(out / TRIALS[2])
    for path in (out / TRIALS[2]).glob("*.npz"):
        path.unlink()
    read = read_poses(out / TRIALS[2], body=body, rate_hz=whole.rate_hz)
    np.testing.assert_array_equal(read.poses, whole.poses)
    np.testing.assert_allclose(read.joints_m, whole.joints_m, atol=1e-5)


# --- wrong input -----------------------------------------------------------------------------------------------------


def test_wrong_inputs_fail_and_the_rest_is_fitted(workspace):
    """Damaged, missing and foreign recordings, an unknown model: one message each, and exit code 1."""
    recording = workspace / "recordings" / "crouch_1" / "walk1.c3d"
    bad = workspace / "bad"
    bad.mkdir()
    (workspace / "bad_out/sick/a_mixed").mkdir(parents=True)  # results under the other label
    (bad / "cut.c3d").write_bytes(recording.read_bytes()[:700])
    (bad / "empty.c3d").write_bytes(b"")
    (bad / "noise.c3d").write_bytes(np.random.default_rng(0).bytes(4096))
    (bad / "text.c3d").write_text("not a C3D file\n" * 50, encoding="utf-8")
    foreign = {"Frames": {str(t): {f"BOX{k}": [k, t, 1.0] for k in range(9)} for t in range(5)}, "framerate": 50}
    (bad / "foreign.json").write_text(json.dumps(foreign), encoding="utf-8")
    good = "recordings/crouch_1/walk1.c3d"
    cohort_file(
        workspace,
        "bad.json",
        a_mixed={
            "trials": [*(f"bad/{name}.c3d" for name in ("cut", "empty", "noise", "text", "absent")), good],
            "healthy": True,
        },
        b_model={"trials": [good], "healthy": True, "model_file": "supr_missing.npy"},
        c_foreign={"trials": ["bad/foreign.json"], "healthy": True},
        d_constraints={"trials": [good], "healthy": True, "marker_layout_file": "bad/none.json"},
    )
    done = fit(workspace, "bad.json", "--save_folder", "bad_out", "--no_pictures")
    assert done.returncode == 1
    assert "1 fitted, 0 already finished, 8 failed" in done.stdout
    (warning,) = [line for line in done.stderr.splitlines() if "under the other label" in line]
    assert warning.startswith("bad_out/sick/a_mixed: ")
    assert {
        path.parent.relative_to(workspace / "bad_out").as_posix() for path in workspace.glob("bad_out/**/poses.npz")
    } == {"healthy/a_mixed/walk1"}
    assert not list((workspace / "bad_out").rglob(".*"))
    reasons = {}
    for line in done.stdout.splitlines():
        if line.startswith("failed: "):
            trial, _, reason = line.removeprefix("failed: ").partition(": ")
            reasons[trial] = reason
    for name in ("cut", "empty", "noise", "text", "absent"):
        assert f"{name}.c3d" in reasons[f"a_mixed/{name}"]
    assert "supr_missing.npy" in reasons["b_model/walk1"]
    assert "open_neutral.npz" in reasons["b_model/walk1"], "lists the available ones"
    assert "BOX0" in reasons["c_foreign/foreign"]
    assert "LASI" in reasons["c_foreign/foreign"], "lists both sets of labels"
    assert "none.json" in reasons["d_constraints/walk1"]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, ["missing.json"]),
        ("{", ["bad_cohort.json", "line 1"]),
        ({}, ["bad_cohort.json"]),
        ({"a": {"trials": ["x.c3d"]}}, ["bad_cohort.json", "'a'", "lacks healthy", "trials"]),
    ],
    ids=["missing", "not_json", "no_subject", "missing_key"],
)
def test_wrong_cohort_file_is_one_message_and_exit_code_2(tmp_path, content, parts):
    name = "missing.json"
    if content is not None:
        name = "bad_cohort.json"
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    done = run_script_here(tmp_path, "--cohort", name)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    for part in parts:
        assert part in done.stderr
    assert list(tmp_path.glob("*")) == ([] if content is None else [tmp_path / name])


def test_wrong_argument_is_one_line_that_names_the_help(tmp_path):
    done = run_script_here(tmp_path, "--pose_format", "bvh")
    assert done.returncode == 2
    assert "--help" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "npz" in done.stderr


@pytest.mark.parametrize("device", ["cuda:77", "gpu"])
def test_missing_device_is_one_message(workspace, device):
    done = run_script_here(workspace, "--cohort", "cohort.json", "--save_folder", "out_elsewhere", "--device", device)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert device in done.stderr
    assert "cpu" in done.stderr
    assert not (workspace / "out_elsewhere").exists()


def test_save_folder_that_is_a_file(workspace):
    (workspace / "occupied").write_text("a file\n", encoding="utf-8")
    one = cohort_file(
        workspace, "occupied.json", crouch_1={"trials": ["recordings/crouch_1/walk1.c3d"], "healthy": False}
    )
    done = run_script_here(
        workspace, "--cohort", one, "--model_folder", "data", "--save_folder", "occupied", "--no_pictures"
    )
    assert done.returncode == 2, "nothing can be started"
    assert len(done.stderr.splitlines()) == 1
    assert "occupied: cannot be created" in done.stderr
    assert (workspace / "occupied").read_text(encoding="utf-8") == "a file\n"
