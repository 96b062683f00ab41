"""The command line, run as a person runs it, on walks short enough."""

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
from gait.synthetic import MarkerErrors, make_person, make_walk, read_truth, walker
from tests.helpers.fitting_cases import OPEN_BODY, SECRET, model_folder, texts_of, write_c3d
from tests.helpers.paths import REPOSITORY

ERRORS = MarkerErrors(placement_m=0.006, technical_along_m=0.02, noise_m=0.001, gap_share=0.02)
RESULTS = {"poses.npz", "fit_report.json", "residuals.npz"}


def run(folder, *words):
    """The script in another working directory; never a traceback, never a name."""
    command = [sys.executable, str(REPOSITORY / "shape_optimizer.py"), *map(str, words)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=env, timeout=300)
    for stream in (done.stdout, done.stderr):
        assert "Traceback" not in stream
        assert SECRET not in stream
    return done


def fit(folder, cohort, *more):
    return run(folder, "--cohort", cohort, "--model_folder", "data", "--save_folder", "out", *more)


def cohort_file(folder, name, **subjects):
    (folder / name).write_text(json.dumps(subjects), encoding="utf-8")
    return name


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with models and recordings: two walks of one person, one of another."""
    folder = tmp_path_factory.mktemp("laboratory")
    model_folder(folder / "data")
    body = load_body(OPEN_BODY)
    layout = plug_in_gait_layout(body)
    for name, walks in (("healthy_1", 2), ("crouch_1", 1)):
        who = walker(name)
        person = make_person(body, who.seed)
        for number in range(1, walks + 1):
            walk = make_walk(body, person, who.disorder, seconds=0.7, seed=number)
            path = folder / "recordings" / name / f"walk{number}.c3d"
            write_c3d(path, body, layout, walk, ERRORS, prefix=SECRET if number == 2 else "")
    cohort_file(
        folder,
        "cohort.json",
        healthy_1={"gaits": [f"recordings/healthy_1/walk{k}.c3d" for k in (1, 2)], "healthy": True},
        crouch_1={"gaits": ["recordings/crouch_1/walk1.c3d"], "healthy": False, "model_file": "open_neutral.npz"},
    )
    return folder


@pytest.fixture(scope="module")
def first(place):
    """The first run, without pictures."""
    return fit(place, "cohort.json", "--no_pictures")


GAITS = ("healthy/healthy_1/walk1", "healthy/healthy_1/walk2", "sick/crouch_1/walk1")


@pytest.fixture(scope="module")
def out(place, first):
    assert first.returncode == 0, first.stderr
    return place / "out"


def test_every_gait_has_its_folder(out):
    assert {path.parent.relative_to(out).as_posix() for path in out.rglob("poses.npz")} == set(GAITS)
    for gait in GAITS:
        assert {path.name for path in (out / gait).iterdir()} == RESULTS
    assert not list(out.rglob(".*")), "nothing half-written stays"


def test_the_table_has_a_line_for_each_gait(first, out):
    lines = first.stdout.splitlines()
    assert lines[0].split()[:2] == ["subject", "gait"]
    rows = [line.split() for line in lines[1:4]]
    assert [row[:2] for row in rows] == [["crouch_1", "walk1"], ["healthy_1", "walk1"], ["healthy_1", "walk2"]]
    for row in rows:
        folder = next(path for path in out.glob(f"*/{row[0]}/{row[1]}"))
        report = json.loads((folder / "fit_report.json").read_text(encoding="utf-8"))
        assert int(row[2]) == report["frames"] == 70
        assert float(row[3]) == pytest.approx(report["residual_mm"]["mean"], abs=0.06)
        assert row[6:9] == report["worst_markers"][:3]
    assert "3 fitted, 0 finished before, 0 failed" in first.stdout


def test_fitted_poses_are_near_the_true_ones(place, out):
    for gait in GAITS:
        truth = read_truth(place / "recordings" / Path(gait).parent.name / f"{Path(gait).name}.c3d")
        fitted = read_poses(out / gait)
        assert fitted.rate_hz == truth.rate_hz
        assert fitted.model_file == truth.model_file
        assert fitted.model_sha256 == truth.model_sha256
        apart = np.linalg.norm(fitted.joints_m - truth.joints_m, axis=-1)
        assert apart.mean() < 0.012


def test_reports_have_all_that_a_person_checks(out):
    for gait in GAITS:
        report = json.loads((out / gait / "fit_report.json").read_text(encoding="utf-8"))
        assert set(report["residual_mm"]) == {"mean", "rms", "p95", "max", "max_frame_mean"}
        assert len(report["worst_markers"]) == 5
        assert len(report["markers"]) == 39
        for marker in report["markers"].values():
            assert set(marker) == {"mean_mm", "visible", "offset_mm", "kind"}
            assert 0.5 < marker["visible"] <= 1
        assert set(report["missing_markers"]) == {"SACR", "LKNM", "RKNM", "LMED", "RMED"}
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


def test_figures_agree_with_the_arrays_beside_them(out):
    for gait in GAITS:
        report = json.loads((out / gait / "fit_report.json").read_text(encoding="utf-8"))
        with np.load(out / gait / "residuals.npz", allow_pickle=False) as archive:
            labels, residual = archive["labels"].tolist(), archive["residual_mm"]
            observed, virtual = archive["observed_m"], archive["virtual_m"]
        seen = np.isfinite(residual)
        np.testing.assert_allclose(residual, 1e3 * np.linalg.norm(virtual - observed, axis=-1), atol=0.01)
        values = residual[seen].astype(float)
        figures = report["residual_mm"]
        assert figures["mean"] == pytest.approx(values.mean(), abs=2e-3)
        assert figures["rms"] == pytest.approx(np.sqrt((values**2).mean()), abs=2e-3)
        assert figures["p95"] == pytest.approx(np.quantile(values, 0.95), abs=2e-3)
        assert figures["max"] == pytest.approx(values.max(), abs=2e-3)
        assert figures["max_frame_mean"] == pytest.approx(np.nanmean(residual, axis=1).max(), abs=2e-3)
        means = {name: np.nanmean(residual[:, m]) for m, name in enumerate(labels)}
        for m, name in enumerate(labels):
            assert report["markers"][name]["mean_mm"] == pytest.approx(means[name], abs=2e-3)
            assert report["markers"][name]["visible"] == pytest.approx(seen[:, m].mean(), abs=1e-4)
        assert report["worst_markers"] == sorted(means, key=means.get, reverse=True)[:5]


def test_a_persons_gaits_share_one_shape(out):
    first, second, other = (read_poses(out / gait).betas for gait in GAITS)
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0.05
    report = json.loads((out / GAITS[0] / "fit_report.json").read_text(encoding="utf-8"))
    assert report["same_shape_as"] == ["walk1", "walk2"]


def test_nobodys_name_is_written_anywhere(out):
    """Not from SUBJECTS:NAMES, and not from the labels' prefix, where Vicon writes it too."""
    files = list(texts_of(out))
    assert len(files) > 30
    for path, data in files:
        for part in (SECRET, *SECRET.split()):
            assert part.encode() not in data, path


def test_a_second_run_skips_and_a_third_overwrites_with_frames_and_pictures(place, out):
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    second = fit(place, "cohort.json", "--no_pictures")
    assert second.returncode == 0
    assert "0 fitted, 3 finished before, 0 failed" in second.stdout
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before

    one = cohort_file(place, "one.json", crouch_1={"gaits": ["recordings/crouch_1/walk1.c3d"], "healthy": False})
    poses = (out / GAITS[2] / "poses.npz").read_bytes()
    third = fit(place, one, "--overwrite", "--pose_format", "json")
    assert third.returncode == 0, third.stderr
    assert "1 fitted, 0 finished before, 0 failed" in third.stdout
    names = {path.name for path in (out / GAITS[2]).iterdir()}
    frames = {f"pose_{t:05d}.json" for t in range(70)}
    assert names - {"fit.png"} == RESULTS | frames
    assert "fit.png" in names, "needs the libraries that draw without a screen; setup.sh names them"
    picture = (out / GAITS[2] / "fit.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000
    assert SECRET.encode() not in picture
    assert (out / GAITS[2] / "poses.npz").read_bytes() == poses, "the same fit, to the last bit"
    assert (out / GAITS[0] / "poses.npz").stat().st_mtime_ns == before[out / GAITS[0] / "poses.npz"]
    assert not list(out.rglob(".*"))
    body = load_body(OPEN_BODY)
    whole = read_poses(out / GAITS[2])
    for path in (out / GAITS[2]).glob("*.npz"):
        path.unlink()
    read = read_poses(out / GAITS[2], body=body, rate_hz=whole.rate_hz)
    np.testing.assert_array_equal(read.poses, whole.poses)
    np.testing.assert_allclose(read.joints_m, whole.joints_m, atol=1e-5)


# --- wrong input -----------------------------------------------------------------------------------------------------


def test_what_is_wrong_fails_alone_and_the_rest_goes_on(place):
    """Damaged, missing and foreign recordings, an unknown model: a line each, exit code 1; the good one is there."""
    walk = place / "recordings" / "crouch_1" / "walk1.c3d"
    bad = place / "bad"
    bad.mkdir()
    (bad / "cut.c3d").write_bytes(walk.read_bytes()[:3000])
    (bad / "empty.c3d").write_bytes(b"")
    (bad / "noise.c3d").write_bytes(np.random.default_rng(0).bytes(4096))
    (bad / "text.c3d").write_text("no C3D at all\n" * 50, encoding="utf-8")
    foreign = {"Frames": {str(t): {f"BOX{k}": [k, t, 1.0] for k in range(9)} for t in range(5)}, "framerate": 50}
    (bad / "foreign.json").write_text(json.dumps(foreign), encoding="utf-8")
    good = "recordings/crouch_1/walk1.c3d"
    cohort_file(
        place,
        "bad.json",
        a_mixed={
            "gaits": [*(f"bad/{name}.c3d" for name in ("cut", "empty", "noise", "text", "absent")), good],
            "healthy": True,
        },
        b_model={"gaits": [good], "healthy": True, "model_file": "supr_nobody.npy"},
        c_foreign={"gaits": ["bad/foreign.json"], "healthy": True},
        d_constraints={"gaits": [good], "healthy": True, "constraint_file": "bad/none.json"},
    )
    done = run(place, "--cohort", "bad.json", "--model_folder", "data", "--save_folder", "bad_out", "--no_pictures")
    assert done.returncode == 1
    assert "1 fitted, 0 finished before, 8 failed" in done.stdout
    assert {path.parent.relative_to(place / "bad_out").as_posix() for path in place.glob("bad_out/**/poses.npz")} == {
        "healthy/a_mixed/walk1"
    }
    assert not list((place / "bad_out").rglob(".*"))
    told = {}
    for line in done.stdout.splitlines():
        if line.startswith("failed: "):
            gait, _, reason = line.removeprefix("failed: ").partition(": ")
            told[gait] = reason
    for name in ("cut", "empty", "noise", "text", "absent"):
        assert f"{name}.c3d" in told[f"a_mixed/{name}"]
    assert "supr_nobody.npy" in told["b_model/walk1"]
    assert "open_neutral.npz" in told["b_model/walk1"], "lists those there"
    assert "BOX0" in told["c_foreign/foreign"]
    assert "LASI" in told["c_foreign/foreign"], "lists both sets of labels"
    assert "none.json" in told["d_constraints/walk1"]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, ["nowhere.json"]),
        ("{", ["bad_cohort.json", "line 1"]),
        ({}, ["bad_cohort.json"]),
        ({"a": {"gaits": ["x.c3d"]}}, ["bad_cohort.json", "'a'", "lacks healthy", "gaits"]),
    ],
    ids=["absent", "no_json", "nobody", "missing_key"],
)
def test_a_wrong_cohort_is_one_line_and_code_2(tmp_path, content, parts):
    name = "nowhere.json"
    if content is not None:
        name = "bad_cohort.json"
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    done = run(tmp_path, "--cohort", name)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    for part in parts:
        assert part in done.stderr
    assert list(tmp_path.glob("*")) == ([] if content is None else [tmp_path / name])


def test_a_wrong_word_shows_the_usage(tmp_path):
    done = run(tmp_path, "--pose_format", "bvh")
    assert done.returncode == 2
    assert "usage" in done.stderr
    assert "npz" in done.stderr


@pytest.mark.parametrize("device", ["cuda:77", "gpu"])
def test_a_device_that_is_not_there_is_one_line(place, device):
    done = run(place, "--cohort", "cohort.json", "--save_folder", "out_elsewhere", "--device", device)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert device in done.stderr
    assert "cpu" in done.stderr
    assert not (place / "out_elsewhere").exists()


def test_a_file_in_the_place_of_the_save_folder(place):
    (place / "taken").write_text("a file\n", encoding="utf-8")
    one = cohort_file(place, "taken.json", crouch_1={"gaits": ["recordings/crouch_1/walk1.c3d"], "healthy": False})
    done = run(place, "--cohort", one, "--model_folder", "data", "--save_folder", "taken", "--no_pictures")
    assert done.returncode == 2, "nothing can be started, so nothing is fitted in vain"
    assert len(done.stderr.splitlines()) == 1
    assert "taken: cannot be made" in done.stderr
    assert (place / "taken").read_text(encoding="utf-8") == "a file\n"
