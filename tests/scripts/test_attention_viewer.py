"""attention_viewer.py --export, run as a command on synthetic subjects with small networks."""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.cli.arguments import parse
from gait.cli.exit_codes import run_main
from gait.errors import GaitError
from gait.explaining.attribution_files import read_explanation
from gait.explaining.evidence.finding import Verdict
from gait.explaining.explain_trial import explain_trial
from gait.explaining.trained_network import load_network
from gait.exporting.pose_json import write_json_frames
from gait.learning.checkpoint import load_checkpoint
from gait.learning.fold_result import save_result
from gait.motion.folds import make_folds
from gait.motion.pose_npz import write_npz
from gait.motion.read_dataset import read_dataset
from gait.synthetic import make_subject, make_trial
from gait.text import format_probability
from tests.helpers.explanation_cases import SMALL_MLP, SMALL_TRANSFORMER, WINDOW, write_network
from tests.helpers.learning_results import fold_result
from tests.helpers.motion_cases import stick_figure, write_trial
from tests.helpers.paths import REPOSITORY

MODELS = REPOSITORY / "data" / "SUPR"
FILES = {"explanation.npz", "explanation.csv", "gait_cycle.csv", "explanation.png"}
PAIRS = {f"{label}/P0{number}": label == "sick" for label in ("healthy", "sick") for number in (1, 2)}
EVIDENCE_FILES = {"evidence.csv", "evidence.json", "evidence.html"}

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def body() -> Body:
    return load_body(MODELS / "open_neutral.npz")


@cache
def trial_poses() -> PoseSequence:
    return make_trial(body(), make_subject(body(), 3, adult=True), None, seconds=3.0, seed=3).ground_truth


@cache
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("attention_viewer", REPOSITORY / "attention_viewer.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["attention_viewer"] = module  # its data class looks itself up
    spec.loader.exec_module(module)
    return module


def run_script(*argv: object, evidence: bool = False) -> int:
    """Run the script in this process, without evidence unless asked for; return its exit code."""
    words = [*map(str, argv), "--base_folder", str(MODELS), *([] if evidence else ["--no_evidence"])]
    code: int = script().main(parse_argv(words))
    return code


def parse_argv(words: list[str]) -> Any:
    return parse(script().Arguments, script().__doc__ or "", words)


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of an export; other tests check the figures."""
    monkeypatch.setattr("gait.report.write_explanation_figures.write_explanation_figures", lambda *_: ())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one fitted trial of the open body, and two networks."""
    folder = tmp_path_factory.mktemp("laboratory")
    trial = folder / "poses" / "sick" / "P02" / "walk1"
    trial.mkdir(parents=True)
    write_npz(trial, trial_poses())
    write_network(folder / "mlp.ckpt", SMALL_MLP)
    write_network(folder / "transformer.ckpt", SMALL_TRANSFORMER)
    return folder


@pytest.fixture(scope="module")
def exported(lab: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The output folder of the command, run in ``lab``, and the finished process."""
    command = [sys.executable, str(REPOSITORY / "attention_viewer.py"), "--base_folder", str(MODELS)]
    command += ["--network", "mlp.ckpt", "--gait", "poses/sick/P02/walk1", "--method", "lrp", "--export", "out"]
    env = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
    env |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=lab, env=env, timeout=300)
    return lab / "out", done


def test_export_prints_the_prediction_and_writes_the_files(
    exported: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = exported
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    probability = read_explanation(folder / "explanation.npz").attribution.trial_probability
    label = "sick" if probability >= 0.5 else "healthy"
    assert f"sick/P02/walk1: predicted {label}, P(sick) {format_probability(probability)}" in done.stdout
    assert "largest attribution" in done.stdout
    assert {path.name for path in folder.iterdir()} == FILES | EVIDENCE_FILES


def test_export_explanation_npz_holds_attribution_and_provenance(
    lab: Path, exported: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    found = read_explanation(exported[0] / "explanation.npz")
    network = load_network(lab / "mlp.ckpt")
    (trial,) = read_dataset(lab / "poses", 100.0).trials
    attribution = explain_trial(network, trial, "lrp")
    np.testing.assert_allclose(found.attribution.values, attribution.values, atol=1e-6)
    np.testing.assert_allclose(found.attribution.window_probability, attribution.window_probability, atol=1e-6)
    assert found.trial_id == trial.trial_id == "sick/P02/walk1"
    assert (found.network, found.network_sha256) == ("mlp.ckpt", network.sha256)
    assert "--method lrp" in found.arguments["command"]
    assert found.versions["torch"] == torch.__version__
    assert found.attribution.settings["rule"] == "epsilon"


def test_export_tables_agree_with_explanation_npz(exported: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder = exported[0]
    values = read_explanation(folder / "explanation.npz").attribution.values
    with (folder / "explanation.csv").open(encoding="utf-8", newline="") as file:
        frames = list(csv.DictReader(file))
    assert len(frames) == len(values)
    assert float(frames[40]["left_ankle"]) == pytest.approx(values[40, 7], rel=1e-4)
    with (folder / "gait_cycle.csv").open(encoding="utf-8", newline="") as file:
        cycle = list(csv.DictReader(file))
    assert int(cycle[0]["num_cycles"]) >= 1
    assert 40 < max(float(row["knee_flexion_deg"]) for row in cycle) < 90


def test_export_figure_has_both_colours_and_bodies(exported: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    image = np.asarray(Image.open(exported[0] / "explanation.png").convert("RGB")).astype(int)
    assert image.shape[1] == 1700
    red, blue = image[..., 0], image[..., 2]
    assert (red - blue > 60).mean() > 0.001
    assert (blue - red > 60).mean() > 0.001
    bodies = image[-480:, -760:]
    assert (np.ptp(bodies, axis=-1) < 12).mean() > 0.5  # background, and skin without attribution
    assert (bodies.mean(axis=-1) < 245).mean() > 0.08


def test_all_methods_are_exported_and_compared(lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--network", lab / "transformer.ckpt", "--gait", lab / "poses/sick/P02/walk1", "--all_methods"]
    assert run_script(*argv, "--stride", 80, "--export", tmp_path) == 0
    methods = {"lrp", "attention", "gradient_input", "integrated_gradients", "occlusion"}
    assert {path.name for path in tmp_path.iterdir()} == methods | {"methods.png"}
    for method in methods:
        assert {path.name for path in (tmp_path / method).iterdir()} == FILES
        found = read_explanation(tmp_path / method / "explanation.npz").attribution
        assert found.method == method
        assert found.settings["stride"] == 80
        assert found.signed == (method != "attention")
    height = Image.open(tmp_path / "methods.png").height
    assert height > 5 * 300
    out = capsys.readouterr().out
    assert out.count("largest attribution") == 5


def test_state_dict_is_explained_by_methods_without_a_baseline(lab: Path, tmp_path: Path) -> None:
    torch.save(load_checkpoint(lab / "mlp.ckpt").weights, tmp_path / "weights.ckpt")
    argv = ["--network", tmp_path / "weights.ckpt", "--interval_size", WINDOW, "--all_methods"]
    assert run_script(*argv, "--gait", lab / "poses/sick/P02/walk1", "--export", tmp_path / "out") == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"lrp", "gradient_input", "methods.png"}


def test_all_methods_continues_without_a_method_that_fails(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)  # as if it were not installed
    argv = ["--network", lab / "mlp.ckpt", "--gait", lab / "poses/sick/P02/walk1", "--all_methods"]
    assert run_script(*argv, "--export", tmp_path / "out") == 1
    assert capsys.readouterr().err.count("needs captum") == 1
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"integrated_gradients", "lrp", "gradient_input", "methods.png"}


@pytest.mark.usefixtures("without_figures")
def test_lrp_rule_published_is_the_original_one(lab: Path, tmp_path: Path) -> None:
    argv = ["--network", lab / "mlp.ckpt", "--gait", lab / "poses/sick/P02/walk1", "--lrp_rule", "published"]
    assert run_script(*argv, "--export", tmp_path) == 0
    settings = read_explanation(tmp_path / "explanation.npz").attribution.settings
    assert (settings["rule"], settings["epsilon"]) == ("original", 0.25)


@pytest.mark.usefixtures("without_figures")
def test_json_poses_need_body_and_pose_rate(lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trial = tmp_path / "healthy" / "P01" / "walk1"
    trial.mkdir(parents=True)
    write_json_frames(trial, trial_poses())
    argv = ["--network", lab / "mlp.ckpt", "--gait", trial, "--export", tmp_path / "out"]
    with pytest.raises(GaitError, match="--body and --pose_rate"):
        run_script(*argv)
    assert run_script(*argv, "--body", MODELS / "open_neutral.npz", "--pose_rate", 100) == 0
    assert capsys.readouterr().err == ""
    found = read_explanation(tmp_path / "out" / "explanation.npz")
    assert found.trial_id == "healthy/P01/walk1"
    assert len(found.attribution.values) == trial_poses().num_frames


@pytest.mark.usefixtures("without_figures")
def test_trial_is_resampled_to_the_rate_of_the_network(lab: Path, tmp_path: Path) -> None:
    network = write_network(tmp_path / "slow.ckpt", frame_rate_hz=50.0)
    argv = ["--network", network, "--gait", lab / "poses/sick/P02/walk1", "--export", tmp_path / "out"]
    assert run_script(*argv) == 0
    found = read_explanation(tmp_path / "out" / "explanation.npz").attribution
    assert found.rate_hz == 50.0
    assert len(found.values) == (trial_poses().num_frames + 1) // 2


def test_export_without_the_body_model_is_a_note(lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "walk1").mkdir()
    write_npz(tmp_path / "walk1", replace(trial_poses(), model_file="supr_male.npy"))
    assert run_script("--network", lab / "mlp.ckpt", "--gait", tmp_path / "walk1", "--export", tmp_path / "out") == 0
    assert "supr_male.npy" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


@pytest.mark.usefixtures("without_figures")
def test_export_of_a_training_subject_is_a_note(lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for training, warned in ((["healthy/P01", "sick/P02"], True), (["healthy/P02", "sick/P0"], False)):
        network = write_network(tmp_path / "fold1.ckpt", fold={"training": training})
        words = ("--network", network, "--gait", lab / "poses/sick/P02/walk1", "--export", tmp_path / "out")
        assert run_script(*words, "--base_folder", MODELS) == 0
        lines = capsys.readouterr().err.splitlines()
        assert [line.startswith("sick/P02: ") and "was trained on this subject" in line for line in lines] == [
            True
        ] * warned


@pytest.mark.usefixtures("without_figures")
def test_segments_of_a_split_trial_have_folders_of_their_own(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = tmp_path / "sick" / "P09" / "walk1"
    for name, frames in (("part1", 150), ("part2", WINDOW - 1), ("part3", 120)):
        write_trial(trial, name, stick_figure(frames))
    assert run_script("--network", lab / "mlp.ckpt", "--gait", trial, "--export", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "part2" in error
    assert "shorter" in error
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"part1", "part3"}
    assert read_explanation(tmp_path / "out" / "part3" / "explanation.npz").trial_id == "sick/P09/walk1/part3"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--network": "missing.ckpt"}, "missing.ckpt: cannot be read"),
        ({"--network": "damaged.ckpt"}, "damaged.ckpt"),
        ({"--gait": "poses/sick/P02/walk9"}, "walk9: no such folder"),
        ({"--gait": "poses/sick/P02"}, "no poses.npz"),
        ({"--gait": "short"}, "shorter than this network's window"),
        ({"--method": "attention"}, "does not explain this network"),
        ({"--lrp_rule": "cp"}, "epsilon, original"),
        ({"--interval_size": "64"}, "32 frames, not of 64"),
        ({"--export": "mlp.ckpt/inside"}, "cannot be written"),
    ],
)
def test_export_errors_are_one_line(
    lab: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], message: str
) -> None:
    monkeypatch.chdir(lab)
    if not Path("short").exists():
        write_trial(lab, "short", stick_figure(WINDOW - 1))
        Path("damaged.ckpt").write_bytes(Path("mlp.ckpt").read_bytes()[:-700])
    argv = {"--network": "mlp.ckpt", "--gait": "poses/sick/P02/walk1", "--export": "never", **change}
    with pytest.raises(GaitError, match=message) as caught:
        run_script(*(word for pair in argv.items() for word in pair))
    assert "\n" not in str(caught.value)
    assert not Path("never").exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["--network", "mlp.ckpt", "--export", "out"],
        ["--trained", "trained", "--export", "out"],
        ["--trained", "trained", "--poses", "poses", "--gait", "walk1", "--export", "out"],
        ["--network", "mlp.ckpt", "--gait", "walk1", "--export", "out", "--body", "body.npz"],
        ["--network", "mlp.ckpt", "--gait", "walk1", "--export", "out", "--all_methods", "--method", "lrp"],
        [
            "--network",
            "mlp.ckpt",
            "--gait",
            "walk1",
            "--export",
            "out",
            "--method",
            "occlusion",
            "--lrp_rule",
            "epsilon",
        ],
        ["--network", "mlp.ckpt", "--gait", "walk1", "--export", "out", "--method", "magic"],
        ["--method", "lrp"],
        ["--trained", "trained", "--poses", "poses"],
    ],
)
def test_parse_arguments_rejects_contradicting_flags(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_argv(argv)
    assert caught.value.code == 2


def test_command_errors_are_one_line_with_exit_code_2(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(lab)
    argv = ["--network", "missing.ckpt", "--gait", "poses/sick/P02/walk1", "--export", "never"]
    assert run_main(lambda: run_script(*argv), "Interrupted.") == 2
    assert capsys.readouterr().err.splitlines() == ["missing.ckpt: cannot be read (No such file or directory)."]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Poses of four controls and four patients, and the training output of two folds."""
    folder = tmp_path_factory.mktemp("cohort")
    random = np.random.default_rng(0)
    labels = {}
    for number in range(4):
        for label, lean in (("healthy", 5), ("sick", 20)):
            labels[f"{label}/P{number}{label[0]}"] = label == "sick"
            for trial in (1, 2):
                joints = stick_figure(260, lean_deg=lean + random.normal(), phase=random.uniform(0, 6))
                write_trial(folder / "poses", f"{label}/P{number}{label[0]}/walk{trial}", joints)
    for fold in make_folds(labels, 2):
        result = fold_result(
            fold, labels, network="mlp", window_length=WINDOW, data_sha256="of other poses", stride=8, skill=1.0
        )
        save_result(result, folder / "trained")
        write_network(folder / "trained" / f"fold{fold.index}" / "mlp.ckpt", seed=fold.index)
    return folder


def test_cohort_is_explained_by_networks_not_trained_on_the_subject(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--trained", cohort / "trained", "--poses", cohort / "poses", "--stride", 20]
    assert run_script(*argv, "--export", tmp_path, evidence=True) == 0
    output = capsys.readouterr()
    assert "8 subjects" in output.out
    assert "Most uncertain subject" in output.out
    assert "not the poses that the MLP was trained" in output.err
    assert {path.name for path in tmp_path.iterdir()} == {
        "cohort_mlp.png",
        "cohort_mlp.csv",
        "attribution_subjects_mlp.csv",
        "recurring_findings_mlp.csv",
    }
    with (tmp_path / "recurring_findings_mlp.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            assert (row["num_patients"], row["num_controls"]) == ("4", "4")
            assert float(row["patients_low"]) <= int(row["patients"]) / 4 <= float(row["patients_high"])
            assert float(row["p"]) <= float(row["p_corrected"]) <= 1
    with (tmp_path / "attribution_subjects_mlp.csv").open(encoding="utf-8", newline="") as file:
        subjects = {row["subject"]: row for row in csv.DictReader(file)}
    assert len(subjects) == 8
    labels = {name: name.startswith("sick/") for name in subjects}
    for fold in make_folds(labels, 2):
        for name in fold.evaluation:
            row = subjects[name]
            assert int(row["fold"]) == fold.index
            assert int(row["correct"]) == ((float(row["probability_sick"]) >= 0.5) == labels[name])
            assert int(row["num_strides"]) > 0
    assert sum("most_uncertain" in row["role"] for row in subjects.values()) == 1
    with (tmp_path / "cohort_mlp.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["group"] for row in table} <= {"healthy", "sick", "correct", "incorrect"}
    assert [row["num_subjects"] for row in table if row["group"] == "healthy"] == ["4"] * 101


def test_cohort_export_continues_without_a_damaged_fold(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = tmp_path / "trained"
    for path in (cohort / "trained").rglob("*"):
        if path.is_file():
            copy = trained / path.relative_to(cohort / "trained")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (trained / "fold1" / "mlp.ckpt").write_bytes(b"no network")
    argv = ["--trained", trained, "--poses", cohort / "poses", "--stride", 20, "--export", tmp_path / "out"]
    assert run_script(*argv) == 1
    output = capsys.readouterr()
    assert "4 subjects" in output.out
    assert "fold1" in output.err


@pytest.mark.parametrize(
    ("trained", "poses", "message"),
    [
        ("nowhere", "poses", "nowhere: no such folder"),
        ("poses", "poses", "no training result"),
        ("trained", "nowhere", "nowhere: no such folder"),
        ("trained", "trained", "has no folder healthy or sick"),
    ],
)
def test_cohort_export_errors_are_one_line(
    cohort: Path, monkeypatch: pytest.MonkeyPatch, trained: str, poses: str, message: str
) -> None:
    monkeypatch.chdir(cohort)
    with pytest.raises(GaitError, match=message):
        run_script("--trained", trained, "--poses", poses, "--export", "never")
    assert not Path("never").exists()


def test_page_of_a_cohort_is_that_of_its_trial_alone(lab: Path, tmp_path: Path) -> None:
    fold = next(each for each in make_folds(PAIRS, 2) if "sick/P02" in each.evaluation)
    save_result(fold_result(fold, PAIRS, network="mlp", window_length=WINDOW, stride=8), tmp_path / "trained")
    network = write_network(tmp_path / "trained" / f"fold{fold.index}" / "mlp.ckpt")
    (tmp_path / "poses" / "healthy").mkdir(parents=True)
    shutil.copytree(lab / "poses" / "sick", tmp_path / "poses" / "sick")
    trial = tmp_path / "poses" / "sick" / "P02" / "walk1"
    argv = ["--method", "lrp", "--stride", 32, "--beside", trial]
    cohort = ["--trained", tmp_path / "trained", "--poses", tmp_path / "poses", "--export_pages", tmp_path / "pages"]
    assert run_script(*cohort, *argv, evidence=True) == 1  # another subject of the fold is not among the poses
    alone = tmp_path / "alone.html"
    assert run_script("--network", network, "--gait", trial, *argv, "--export_page", alone, evidence=True) == 0
    text = alone.read_text(encoding="utf-8")
    assert (tmp_path / "pages" / "sick" / "P02" / "walk1.html").read_text(encoding="utf-8") == text
    assert '<section id="findings">' in text
    assert "A counterfactual needs a network of --input rotations." in text
    row = (tmp_path / "pages" / "index.html").read_text(encoding="utf-8").split("<tr")[2]
    assert any(f"<td>{verdict.value}</td>" in row for verdict in Verdict)


def test_without_trial_and_network_the_demo_in_this_folder_is_shown(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = tmp_path / "demo_out"
    shutil.copytree(lab / "poses", demo / "optimized_poses")
    write_network(demo / "trained_mlp" / "fold0" / "mlp.ckpt", SMALL_MLP)
    (demo / "attribution_subjects_mlp.csv").write_text(
        "subject,label,fold,role\nsick/P02,sick,0,representative\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    assert run_script("--screenshot", "window.png", "--stride", 64) == 0
    assert "demo_out/optimized_poses/sick/P02/walk1 and demo_out/trained_mlp/fold0/mlp.ckpt" in capsys.readouterr().out
    run_script("--screenshot", "same.png", "--stride", 64, "--gait", demo / "optimized_poses/sick/P02/walk1",
               "--network", demo / "trained_mlp/fold0/mlp.ckpt")  # fmt: skip
    assert "demo" not in capsys.readouterr().out
    assert np.array_equal(*(np.asarray(Image.open(name)) for name in ("window.png", "same.png")))
