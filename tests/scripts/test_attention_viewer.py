"""attention_viewer.py --export: run as a person runs it, on made-up walkers and with networks small enough."""

from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.explaining.attribution_files import read_explanation
from gait.explaining.explain_trial import explain_gait
from gait.explaining.trained_network import open_network
from gait.learning.checkpoint import load_checkpoint
from gait.learning.fold_result import save_result
from gait.motion.dataset import read_gaits
from gait.motion.folds import person_folds
from gait.motion.pose_files import write_json_frames, write_npz
from gait.synthetic import make_person, make_walk
from tests.helpers.explanation_cases import SMALL_MLP, SMALL_TRANSFORMER, WINDOW, write_network
from tests.helpers.learning_results import fold_result
from tests.helpers.motion_cases import stick_walker, write_gait
from tests.helpers.paths import REPOSITORY

MODELS = REPOSITORY / "data" / "SUPR"
FILES = {"explanation.npz", "explanation.csv", "gait_cycle.csv", "explanation.png"}

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def body() -> Body:
    return load_body(MODELS / "open_neutral.npz")


@cache
def walk() -> PoseSequence:
    return make_walk(body(), make_person(body(), 3, adult=True), None, seconds=3.0, seed=3).truth


@cache
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("attention_viewer", REPOSITORY / "attention_viewer.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["attention_viewer"] = module  # its data class looks itself up
    spec.loader.exec_module(module)
    return module


def called(*words: object) -> int:
    """The script's own functions in this process."""
    code: int = script().main(script().parse_arguments([*map(str, words), "--base_folder", str(MODELS)]))
    return code


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one fitted gait of the open body, and two networks."""
    folder = tmp_path_factory.mktemp("laboratory")
    gait = folder / "poses" / "sick" / "P02" / "walk1"
    gait.mkdir(parents=True)
    write_npz(gait, walk())
    write_network(folder / "mlp.ckpt", SMALL_MLP)
    write_network(folder / "transformer.ckpt", SMALL_TRANSFORMER)
    return folder


@pytest.fixture(scope="module")
def exported(place: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """What the command leaves behind, run from the laboratory's folder."""
    command = [sys.executable, str(REPOSITORY / "attention_viewer.py"), "--base_folder", str(MODELS)]
    command += ["--network", "mlp.ckpt", "--gait", "poses/sick/P02/walk1", "--method", "lrp", "--export", "out"]
    env = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
    env |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place, env=env, timeout=300)
    return place / "out", done


def test_the_command_says_what_the_network_says_and_where_it_is(
    exported: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = exported
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    probability = read_explanation(folder / "explanation.npz").importance.person_probability
    called_so = "sick" if probability >= 0.5 else "healthy"
    assert f"sick/P02/walk1: the network says {called_so}, probability of sick {probability:.2f}" in done.stdout
    assert "most important" in done.stdout
    assert {path.name for path in folder.iterdir()} == FILES


def test_the_file_holds_what_the_method_says_and_what_made_it(
    place: Path, exported: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    found = read_explanation(exported[0] / "explanation.npz")
    network = open_network(place / "mlp.ckpt")
    (gait,) = read_gaits(place / "poses", 100.0).gaits
    said = explain_gait(network.network, gait, WINDOW, "lrp")
    np.testing.assert_allclose(found.importance.values, said.values, atol=1e-6)
    np.testing.assert_allclose(found.importance.window_probability, said.window_probability, atol=1e-6)
    assert found.gait == gait.name == "sick/P02/walk1"
    assert (found.network, found.network_sha256) == ("mlp.ckpt", network.sha256)
    assert "--method lrp" in found.arguments["command"]
    assert found.versions["torch"] == torch.__version__
    assert found.importance.settings["rule"] == "epsilon"


def test_the_tables_are_those_of_the_file(exported: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder = exported[0]
    values = read_explanation(folder / "explanation.npz").importance.values
    with (folder / "explanation.csv").open(encoding="utf-8", newline="") as file:
        frames = list(csv.DictReader(file))
    assert len(frames) == len(values)
    assert float(frames[40]["left ankle"]) == pytest.approx(values[40, 7], rel=1e-4)
    with (folder / "gait_cycle.csv").open(encoding="utf-8", newline="") as file:
        cycle = list(csv.DictReader(file))
    assert int(cycle[0]["cycles"]) >= 1
    assert 40 < max(float(row["knee flexion (deg)"]) for row in cycle) < 90


def test_the_picture_has_both_colours_and_bodies(exported: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    picture = np.asarray(Image.open(exported[0] / "explanation.png").convert("RGB")).astype(int)
    assert picture.shape[1] == 1700
    red, blue = picture[..., 0], picture[..., 2]
    assert (red - blue > 60).mean() > 0.001
    assert (blue - red > 60).mean() > 0.001
    bodies = picture[-480:, -760:]
    assert (np.ptp(bodies, axis=-1) < 12).mean() > 0.5  # paper, and skin that nothing speaks of
    assert (bodies.mean(axis=-1) < 245).mean() > 0.08


def test_all_methods_side_by_side(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--network", place / "transformer.ckpt", "--gait", place / "poses/sick/P02/walk1", "--all_methods"]
    assert called(*words, "--stride", 80, "--export", tmp_path) == 0
    methods = {"lrp", "attention", "gradient_input", "integrated_gradients", "occlusion"}
    assert {path.name for path in tmp_path.iterdir()} == methods | {"methods.png"}
    for method in methods:
        assert {path.name for path in (tmp_path / method).iterdir()} == FILES
        found = read_explanation(tmp_path / method / "explanation.npz").importance
        assert found.method == method
        assert found.settings["stride"] == 80
        assert found.signed == (method != "attention")
    height = Image.open(tmp_path / "methods.png").height
    assert height > 5 * 300
    out = capsys.readouterr().out
    assert out.count("most important") == 5


def test_bare_weights_are_explained_by_what_needs_no_mean_window(place: Path, tmp_path: Path) -> None:
    torch.save(load_checkpoint(place / "mlp.ckpt").weights, tmp_path / "weights.ckpt")
    words = ["--network", tmp_path / "weights.ckpt", "--interval_size", WINDOW, "--all_methods"]
    assert called(*words, "--gait", place / "poses/sick/P02/walk1", "--export", tmp_path / "out") == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"lrp", "gradient_input", "methods.png"}


def test_a_method_that_cannot_leaves_the_others(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)  # as if it were not installed
    words = ["--network", place / "mlp.ckpt", "--gait", place / "poses/sick/P02/walk1", "--all_methods"]
    assert called(*words, "--export", tmp_path / "out") == 1
    assert capsys.readouterr().err.count("needs captum") == 2
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"lrp", "gradient_input", "methods.png"}


def test_the_published_rule_is_asked_for(place: Path, tmp_path: Path) -> None:
    words = ["--network", place / "mlp.ckpt", "--gait", place / "poses/sick/P02/walk1", "--lrp_rule", "published"]
    assert called(*words, "--export", tmp_path) == 0
    settings = read_explanation(tmp_path / "explanation.npz").importance.settings
    assert (settings["rule"], settings["epsilon"]) == ("published", 0.25)


def test_poses_of_text_need_their_body_and_rate(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gait = tmp_path / "healthy" / "P01" / "walk1"
    gait.mkdir(parents=True)
    write_json_frames(gait, walk())
    words = ["--network", place / "mlp.ckpt", "--gait", gait, "--export", tmp_path / "out"]
    with pytest.raises(GaitError, match="--body, --pose_rate"):
        called(*words)
    assert called(*words, "--body", MODELS / "open_neutral.npz", "--pose_rate", 100) == 0
    assert capsys.readouterr().err == ""
    found = read_explanation(tmp_path / "out" / "explanation.npz")
    assert found.gait == "healthy/P01/walk1"
    assert len(found.importance.values) == walk().frames


def test_recordings_come_to_the_networks_rate(place: Path, tmp_path: Path) -> None:
    network = write_network(tmp_path / "slow.ckpt", frame_rate_hz=50.0)
    words = ["--network", network, "--gait", place / "poses/sick/P02/walk1", "--export", tmp_path / "out"]
    assert called(*words) == 0
    found = read_explanation(tmp_path / "out" / "explanation.npz").importance
    assert found.rate_hz == 50.0
    assert len(found.values) == (walk().frames + 1) // 2


def test_without_its_body_the_picture_says_so(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "walk1").mkdir()
    write_npz(tmp_path / "walk1", replace(walk(), model_file="supr_male.npy"))
    assert called("--network", place / "mlp.ckpt", "--gait", tmp_path / "walk1", "--export", tmp_path / "out") == 0
    assert "supr_male.npy" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


def test_parts_of_a_split_gait_have_folders_of_their_own(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gait = tmp_path / "sick" / "P09" / "walk1"
    for name, frames in (("part1", 150), ("part2", WINDOW - 1), ("part3", 120)):
        write_gait(gait, name, stick_walker(frames))
    assert called("--network", place / "mlp.ckpt", "--gait", gait, "--export", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "part2" in error
    assert "shorter" in error
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"part1", "part3"}
    assert read_explanation(tmp_path / "out" / "part3" / "explanation.npz").gait == "sick/P09/walk1/part3"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--network": "missing.ckpt"}, "missing.ckpt: cannot be read"),
        ({"--network": "damaged.ckpt"}, "damaged.ckpt"),
        ({"--gait": "poses/sick/P02/walk9"}, "walk9: no such folder"),
        ({"--gait": "poses/sick/P02"}, "no poses.npz"),
        ({"--gait": "short"}, "shorter than this network's window"),
        ({"--method": "attention"}, "transformers alone"),
        ({"--lrp_rule": "cp"}, "epsilon, published"),
        ({"--method": "occlusion", "--lrp_rule": "epsilon"}, "--lrp_rule"),
        ({"--interval_size": "64"}, "32 frames, not of 64"),
        ({"--export": "mlp.ckpt/inside"}, "cannot be written"),
    ],
)
def test_what_cannot_be_started_is_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], said: str
) -> None:
    monkeypatch.chdir(place)
    if not Path("short").exists():
        write_gait(place, "short", stick_walker(WINDOW - 1))
        Path("damaged.ckpt").write_bytes(Path("mlp.ckpt").read_bytes()[:-700])
    words = {"--network": "mlp.ckpt", "--gait": "poses/sick/P02/walk1", "--export": "never", **change}
    with pytest.raises(GaitError, match=said) as caught:
        called(*(word for pair in words.items() for word in pair))
    assert "\n" not in str(caught.value)
    assert not Path("never").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--network", "mlp.ckpt", "--export", "out"],
        ["--trained", "trained", "--export", "out"],
        ["--trained", "trained", "--poses", "poses", "--gait", "walk1", "--export", "out"],
        ["--network", "mlp.ckpt", "--gait", "walk1", "--export", "out", "--body", "body.npz"],
        ["--network", "mlp.ckpt", "--gait", "walk1", "--export", "out", "--all_methods", "--method", "lrp"],
        ["--network", "mlp.ckpt", "--gait", "walk1", "--export", "out", "--method", "magic"],
    ],
)
def test_a_command_that_makes_no_sense_ends_with_code_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        script().parse_arguments(words)
    assert caught.value.code == 2


def test_errors_of_the_command_are_one_line_and_code_2(place: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "attention_viewer.py"), "--network", "missing.ckpt"]
    command += ["--gait", "poses/sick/P02/walk1", "--export", "never"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place, env=env, timeout=120)
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["missing.ckpt: cannot be read (No such file or directory)."]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Poses of four healthy and four sick persons, and what training two folds on them leaves."""
    folder = tmp_path_factory.mktemp("cohort")
    random = np.random.default_rng(0)
    labels = {}
    for number in range(4):
        for label, lean in (("healthy", 5), ("sick", 20)):
            labels[f"{label}/P{number}{label[0]}"] = label == "sick"
            for gait in (1, 2):
                walker = stick_walker(260, lean_deg=lean + random.normal(), phase=random.uniform(0, 6))
                write_gait(folder / "poses", f"{label}/P{number}{label[0]}/walk{gait}", walker)
    for fold in person_folds(labels, 2):
        result = fold_result(
            fold, labels, network="mlp", window_length=WINDOW, data_sha256="of other poses", stride=8, skill=1.0
        )
        save_result(result, folder / "trained")
        write_network(folder / "trained" / f"fold{fold.index}" / "mlp.ckpt", seed=fold.index)
    return folder


def test_a_cohort_is_explained_by_who_did_not_see_each_person(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--trained", cohort / "trained", "--poses", cohort / "poses", "--stride", 20]
    assert called(*words, "--export", tmp_path) == 0
    said = capsys.readouterr()
    assert "over 8 persons" in said.out
    assert "the most doubtful one" in said.out
    assert "not the poses that the mlp was trained" in said.err
    assert {path.name for path in tmp_path.iterdir()} == {"cohort_mlp.png", "cohort_mlp.csv", "persons_mlp.csv"}
    with (tmp_path / "persons_mlp.csv").open(encoding="utf-8", newline="") as file:
        persons = {row["person"]: row for row in csv.DictReader(file)}
    assert len(persons) == 8
    labels = {name: name.startswith("sick/") for name in persons}
    for fold in person_folds(labels, 2):
        for name in fold.evaluation:
            row = persons[name]
            assert int(row["fold"]) == fold.index
            assert (row["judged"] == "right") == ((float(row["probability of sick"]) >= 0.5) == labels[name])
            assert int(row["strides"]) > 0
    assert sum("doubtful" in row["noted as"] for row in persons.values()) == 1
    with (tmp_path / "cohort_mlp.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["group"] for row in table} <= {"healthy", "sick", "right", "wrong"}
    assert [row["persons"] for row in table if row["group"] == "healthy"] == ["4"] * 101


def test_a_cohort_goes_on_without_a_fold_that_is_damaged(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = tmp_path / "trained"
    for path in (cohort / "trained").rglob("*"):
        if path.is_file():
            copy = trained / path.relative_to(cohort / "trained")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (trained / "fold1" / "mlp.ckpt").write_bytes(b"no network")
    words = ["--trained", trained, "--poses", cohort / "poses", "--stride", 20, "--export", tmp_path / "out"]
    assert called(*words) == 1
    said = capsys.readouterr()
    assert "over 4 persons" in said.out
    assert "fold1" in said.err


@pytest.mark.parametrize(
    ("trained", "poses", "said"),
    [
        ("nowhere", "poses", "nowhere: no such folder"),
        ("poses", "poses", "holds no result of a training"),
        ("trained", "nowhere", "nowhere: no such folder"),
        ("trained", "trained", "has no folder healthy or sick"),
    ],
)
def test_a_cohort_that_is_not_there_is_one_line(
    cohort: Path, monkeypatch: pytest.MonkeyPatch, trained: str, poses: str, said: str
) -> None:
    monkeypatch.chdir(cohort)
    with pytest.raises(GaitError, match=said):
        called("--trained", trained, "--poses", poses, "--export", "never")
    assert not Path("never").exists()
