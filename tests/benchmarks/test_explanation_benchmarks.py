"""The harness of explanations and its walkers, and both benchmarks in miniature."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gait.body.model_file import load_body
from gait.body.skeleton import Joint
from gait.synthetic import disorder, make_person, make_walk
from tests.helpers.explanation_cases import WINDOW, write_network
from tests.helpers.motion_cases import stick_walker, write_gait
from tests.helpers.paths import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"
MODEL = REPOSITORY / "data" / "SUPR" / "open_neutral.npz"


@pytest.fixture
def module(monkeypatch):
    """Import a module of the benchmarks by name, as their scripts do."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


def run(script, folder, *words):
    command = [sys.executable, str(BENCHMARKS / script), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Poses of four persons, and a network that has seen two of them."""
    folder = tmp_path_factory.mktemp("place")
    for number, label in enumerate(["healthy", "sick", "healthy", "sick"]):
        joints = stick_walker(80, speed=0.9 + 0.1 * number, phase=0.2 * number)
        write_gait(folder / "poses", f"{label}/P{number}/walk", joints)
    fold = {"training": ("healthy/P0", "sick/P1"), "evaluation": ("healthy/P2", "sick/P3")}
    write_network(folder / "mlp.ckpt", fold=fold)
    return folder


@pytest.mark.slow
def test_faithfulness(place):
    words = ("--networks", "mlp.ckpt", "--base_folder", "poses", "--quick", "--json", "out.json")
    done = run("faithfulness.py", place, *words)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((place / "out.json").read_text(encoding="utf-8"))
    assert set(result["methods"]) == {
        "integrated_gradients", "lrp_epsilon", "lrp_published", "gradient_input", "occlusion"
    }  # fmt: skip
    for name, figures in result["methods"].items():
        assert figures["deletion_ratio"] == pytest.approx(figures["deletion"] / figures["random_deletion"], rel=1e-3)
        assert 0 <= figures["top_joint"] <= 1, name
        assert 0 <= figures["shuffled_top_joint"] <= 1
        assert ("subtracted_top_joint" in figures) == (name in ("integrated_gradients", "occlusion"))
        assert -1 <= figures["randomisation_correlation"] <= 1
        assert figures["stability"] > 0.9
        assert 0 <= figures["conservation"] <= 1
        assert figures["seconds"] > 0
    assert result["default"] == "integrated_gradients"
    assert 0 < result["chance"] < 1
    assert set(result["called_sick"]) == {"with_disorder", "without_at_the_same_pace"}
    assert all(0 <= share <= 1 for share in result["called_sick"].values())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--networks", "mlp.ckpt", "--methods", "guessing", "--walkers", "0"], "guessing: unknown here; there are"),
        (["--networks", "none.ckpt", "--walkers", "0"], "none.ckpt"),
    ],
)
def test_what_the_harness_cannot_use_is_one_line(place, words, line):
    done = run("faithfulness.py", place, *words, "--base_folder", "poses")
    assert done.returncode == 1
    assert line in done.stderr
    assert "Traceback" not in done.stderr


def test_persons_whom_the_network_was_not_trained_on_are_asked_for(place, tmp_path):
    write_gait(tmp_path, "healthy/Q/walk", stick_walker(80))
    write_gait(tmp_path, "sick/R/walk", stick_walker(80))
    done = run("faithfulness.py", place, "--networks", "mlp.ckpt", "--base_folder", tmp_path, "--walkers", 0)
    assert "does not hold the persons that mlp.ckpt was trained and evaluated on" in done.stderr


@pytest.mark.slow
def test_explanation_speed(tmp_path):
    done = run("explanation_speed.py", tmp_path, "--quick", "--frames", 129)
    assert done.returncode == 0, done.stderr
    networks = json.loads(done.stdout)["networks"]
    assert set(networks) == {"mlp", "transformer"}
    assert {"lrp_attnlrp", "lrp_cp", "attention"} < set(networks["transformer"])
    assert networks["mlp"]["lrp_epsilon"]["stride"] == 1
    assert networks["mlp"]["occlusion"]["stride"] > 1


def test_a_method_that_fails_is_told_in_a_sentence(module):
    good = {"deletion": 4.0, "random_deletion": 1.0, "randomisation_correlation": 0.1}
    good |= {"top_joint": 0.9, "shuffled_top_joint": 0.3}
    deaf = good | {"deletion": 5.0, "randomisation_correlation": 0.6}
    blind = good | {"deletion": 0.9, "shuffled_top_joint": 0.9}
    harness = module("faithfulness")
    methods = {"good": good, "deaf": deaf, "blind": blind}
    lines = harness.problems(methods, "deaf")
    assert lines[0].startswith("deaf (the default) hardly changes when the network's weights are shuffled")
    assert [line.split()[0] for line in lines] == ["deaf", "blind", "blind"]
    assert harness.most_faithful(methods) == "good"
    assert harness.most_faithful({"deaf": deaf}) is None


def test_figures_of_several_networks_are_averaged(module):
    figures = [{"deletion": d, "random_deletion": 1.0, "by_disorder": {"crouch": d}} for d in (2.0, 4.0)]
    assert module("faithfulness").mean_of(figures) == {
        "deletion": 3.0, "random_deletion": 1.0, "by_disorder": {"crouch": 3.0}, "deletion_ratio": 3.0
    }  # fmt: skip


def test_matched_windows_are_of_the_other_label_and_as_fast(module, place):
    harness, explained = module("faithfulness"), importlib.import_module("gait.explaining.trained_network")
    gaits = importlib.import_module("gait.motion.dataset").read_gaits(place / "poses").gaits
    args = harness.Arguments((place / "mlp.ckpt",), place / "poses", windows=5)
    seen = harness.seen_windows(explained.open_network(place / "mlp.ckpt"), gaits, args)
    assert seen.windows.shape == seen.matched.shape == seen.noisy.shape == (5, WINDOW, 22, 3)
    # P2, healthy, is between P1 and P3 in speed; P1 is the only sick person that the network was trained on.
    away = (harness.way(seen.windows) - harness.way(seen.matched)).abs()
    assert away.max() < 0.2
    assert 0 < (seen.noisy - seen.windows).abs().max() < 0.05


def test_walks_with_and_without_a_disorder_are_in_step(module):
    body = load_body(MODEL)
    person = make_person(body, seed=3)
    ill = make_walk(body, person, disorder("stiff_knee", "left"), seconds=3.0, seed=1)
    twin = person.at_pace(ill.pattern.stride_length_m, ill.pattern.stride_time_s)
    assert twin.stride_length_m == pytest.approx(ill.pattern.stride_length_m)
    assert twin.stride_time_s == pytest.approx(ill.pattern.stride_time_s)
    assert twin.stride_length_m < 0.95 * person.stride_length_m
    well = make_walk(body, twin, seconds=3.0, seed=1)
    speeds = [np.linalg.norm(np.diff(w.truth.joints_m[[0, -1], Joint.PELVIS], axis=0)) for w in (ill, well)]
    assert speeds[0] == pytest.approx(speeds[1], rel=0.05)
    pairs = module("walks_with_and_without")
    of_motion = importlib.import_module("gait.motion.dataset")

    def recording(walk, sick):
        joints = walk.truth.joints_m
        source = of_motion.AcquisitionInfo(100.0, len(joints), 0.0, (), 1.7)
        return of_motion.Trial("P", "walk", sick, joints, 100.0, source, Path("walk"))

    pair = pairs.PairOfWalks("P", ill.disorder, recording(ill, True), recording(well, False))
    assert Joint.LEFT_KNEE in pair.places
    assert pair.other_places == (Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE, Joint.RIGHT_FOOT)
    with_it, without = pair.windows(128)
    assert len(with_it) == len(without) > 0
    # In step: the foot that is well moves nearly alike in both, the knee that is stiff does not.
    away = (with_it - without).norm(dim=-1).mean(dim=(0, 1))
    assert away[Joint.LEFT_FOOT] > 1.4 * away[Joint.RIGHT_FOOT]
    assert torch.isfinite(away).all()
