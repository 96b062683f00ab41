"""Faithfulness and speed benchmarks of explanations."""

import importlib

import pytest

from gait.explaining.methods.integrated_gradients import TOLERANCE
from tests.helpers.explanation_cases import WINDOW, write_network
from tests.helpers.motion_cases import stick_figure, write_trial


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write poses of four subjects, and a network that was trained on two of them."""
    folder = tmp_path_factory.mktemp("trained")
    for number, label in enumerate(["healthy", "sick", "healthy", "sick"]):
        joints = stick_figure(80, speed=0.9 + 0.1 * number, phase=0.2 * number)
        write_trial(folder / "poses", f"{label}/P{number}/walk", joints)
    fold = {"training": ("healthy/P0", "sick/P1"), "evaluation": ("healthy/P2", "sick/P3")}
    write_network(folder / "mlp.ckpt", fold=fold)
    write_network(folder / "rotations.ckpt", fold=fold, input="rotations")
    return folder


@pytest.mark.slow
def test_faithfulness(folder, run):
    words = ("--networks", folder / "mlp.ckpt", "--base_folder", folder / "poses")
    result, _ = run("faithfulness", "--quick", *words)
    assert set(result["methods"]) == {
        "integrated_gradients", "lrp_epsilon", "lrp_original", "gradient_input", "occlusion"
    }  # fmt: skip
    for name, metrics in result["methods"].items():
        assert metrics["deletion_ratio"] == pytest.approx(metrics["deletion"] / metrics["random_deletion"], rel=1e-3)
        assert -1 <= metrics["randomization_correlation"] <= 1, name
        assert metrics["stability"] > 0.9
        assert 0 <= metrics["conservation"] <= 1
        assert metrics["seconds"] > 0
    assert result["default"] == "integrated_gradients"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--networks", "mlp.ckpt", "--methods", "guessing"],
            "guessing: not supported by this network; available",
        ),
        (["--networks", "rotations.ckpt"], "rotations.ckpt: a network of rotations, not of the published input; use"),
        (["--networks", "none.ckpt"], "none.ckpt"),
    ],
)
def test_faithfulness_reports_unusable_arguments_in_one_line(folder, run, monkeypatch, words, line):
    monkeypatch.chdir(folder)
    _, stderr = run("faithfulness", *words, "--base_folder", "poses", code=2)
    assert line in stderr
    assert stderr.count("\n") == 1


def test_faithfulness_needs_the_subjects_of_the_training(folder, run, tmp_path):
    write_trial(tmp_path, "healthy/Q/walk", stick_figure(80))
    write_trial(tmp_path, "sick/R/walk", stick_figure(80))
    words = ("--networks", folder / "mlp.ckpt", "--base_folder", tmp_path)
    _, stderr = run("faithfulness", *words, code=2)
    assert f"does not contain the subjects that {folder / 'mlp.ckpt'} was trained and evaluated on" in stderr


@pytest.mark.slow
def test_explanation_speed(run):
    result = run("explanation_speed", "--quick", "--frames", 129)[0]
    networks, beside = result["networks"], result["integrated_gradients"]
    assert set(networks) == {"mlp", "transformer"}
    assert {"lrp_attnlrp", "lrp_cp", "attention"} < set(networks["transformer"])
    assert networks["mlp"]["lrp_epsilon"]["stride"] == 1
    assert networks["mlp"]["occlusion"]["stride"] > 1
    assert beside["fraction_of_plain"] > 0
    assert max(beside["shipped"]["gap"]) <= TOLERANCE
    assert max(beside["shipped"]["distance"]) <= TOLERANCE


def test_problems_describes_failing_methods(module):
    good = {"deletion": 4.0, "random_deletion": 1.0, "randomization_correlation": 0.1}
    insensitive = good | {"deletion": 5.0, "randomization_correlation": 0.6}
    unfaithful = good | {"deletion": 0.9}
    faithfulness = module("faithfulness")
    methods = {"good": good, "insensitive": insensitive, "unfaithful": unfaithful}
    lines = faithfulness.problems(methods, "insensitive")
    assert lines[0].startswith("insensitive (the default) hardly changes when the network's weights are randomized")
    assert [line.split()[0] for line in lines] == ["insensitive", "unfaithful"]
    assert faithfulness.most_faithful(methods) == "good"
    assert faithfulness.most_faithful({"insensitive": insensitive}) is None


def test_mean_over_networks_averages_all_metrics(module):
    metrics = [{"deletion": d, "random_deletion": 1.0} for d in (2.0, 4.0)]
    expected = {"deletion": 3.0, "random_deletion": 1.0, "deletion_ratio": 3.0}
    assert module("faithfulness").mean_over_networks(metrics) == expected


def test_prepare_windows_matches_windows_of_the_other_label_and_speed(module, folder):
    faithfulness, trained_network = module("faithfulness"), importlib.import_module("gait.explaining.trained_network")
    trials = importlib.import_module("gait.motion.read_dataset").read_dataset(folder / "poses").trials
    args = faithfulness.Arguments(networks=(folder / "mlp.ckpt",), base_folder=folder / "poses", windows=5)
    seen = faithfulness.prepare_windows(trained_network.load_network(folder / "mlp.ckpt"), trials, args)
    assert seen.windows.shape == seen.matched.shape == seen.noisy.shape == (5, WINDOW, 22, 3)
    # P2, healthy, is between P1 and P3 in speed; P1 is the only sick subject that the network was trained on.
    difference = (faithfulness.displacement(seen.windows) - faithfulness.displacement(seen.matched)).abs()
    assert difference.max() < 0.2
    assert 0 < (seen.noisy - seen.windows).abs().max() < 0.05
