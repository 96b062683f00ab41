"""Faithfulness and speed benchmarks of explanations, and the trial pairs that they use."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from gait.body.skeleton import Joint
from gait.synthetic import make_pathology, make_subject, make_trial
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
    return folder


@pytest.mark.slow
def test_faithfulness(folder, run, scripts_in_process):
    words = ("--networks", folder / "mlp.ckpt", "--base_folder", folder / "poses", "--subjects", 1)
    result, _ = run("faithfulness", "--quick", *words)
    assert set(result["methods"]) == {
        "integrated_gradients", "lrp_epsilon", "lrp_original", "gradient_input", "occlusion"
    }  # fmt: skip
    for name, metrics in result["methods"].items():
        assert metrics["deletion_ratio"] == pytest.approx(metrics["deletion"] / metrics["random_deletion"], rel=1e-3)
        assert 0 <= metrics["changed_joint_first"] <= 1, name
        assert 0 <= metrics["randomized_changed_joint_first"] <= 1
        assert ("subtracted_changed_joint_first" in metrics) == (name in ("integrated_gradients", "occlusion"))
        assert -1 <= metrics["randomization_correlation"] <= 1
        assert metrics["stability"] > 0.9
        assert 0 <= metrics["conservation"] <= 1
        assert metrics["seconds"] > 0
    assert result["default"] == "integrated_gradients"
    assert 0 < result["chance"] < 1
    assert set(result["classified_sick_fraction"]) == {"with_pathology", "without_at_same_pace"}
    assert all(0 <= fraction <= 1 for fraction in result["classified_sick_fraction"].values())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--networks", "mlp.ckpt", "--methods", "guessing", "--subjects", "0"],
            "guessing: not supported by this network; available",
        ),
        (["--networks", "none.ckpt", "--subjects", "0"], "none.ckpt"),
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
    words = ("--networks", folder / "mlp.ckpt", "--base_folder", tmp_path, "--subjects", 0)
    _, stderr = run("faithfulness", *words, code=2)
    assert f"does not contain the subjects that {folder / 'mlp.ckpt'} was trained and evaluated on" in stderr


@pytest.mark.slow
def test_explanation_speed(run):
    networks = run("explanation_speed", "--quick", "--frames", 129)[0]["networks"]
    assert set(networks) == {"mlp", "transformer"}
    assert {"lrp_attnlrp", "lrp_cp", "attention"} < set(networks["transformer"])
    assert networks["mlp"]["lrp_epsilon"]["stride"] == 1
    assert networks["mlp"]["occlusion"]["stride"] > 1


def test_problems_describes_failing_methods(module):
    good = {"deletion": 4.0, "random_deletion": 1.0, "randomization_correlation": 0.1}
    good |= {"changed_joint_first": 0.9, "randomized_changed_joint_first": 0.3}
    insensitive = good | {"deletion": 5.0, "randomization_correlation": 0.6}
    unfaithful = good | {"deletion": 0.9, "randomized_changed_joint_first": 0.9}
    faithfulness = module("faithfulness")
    methods = {"good": good, "insensitive": insensitive, "unfaithful": unfaithful}
    lines = faithfulness.problems(methods, "insensitive")
    assert lines[0].startswith("insensitive (the default) hardly changes when the network's weights are randomized")
    assert [line.split()[0] for line in lines] == ["insensitive", "unfaithful", "unfaithful"]
    assert faithfulness.most_faithful(methods) == "good"
    assert faithfulness.most_faithful({"insensitive": insensitive}) is None


def test_mean_over_networks_averages_all_metrics(module):
    metrics = [{"deletion": d, "random_deletion": 1.0, "by_pathology": {"crouch": d}} for d in (2.0, 4.0)]
    assert module("faithfulness").mean_over_networks(metrics) == {
        "deletion": 3.0, "random_deletion": 1.0, "by_pathology": {"crouch": 3.0}, "deletion_ratio": 3.0
    }  # fmt: skip


def test_prepare_windows_matches_windows_of_the_other_label_and_speed(module, folder):
    faithfulness, trained_network = module("faithfulness"), importlib.import_module("gait.explaining.trained_network")
    trials = importlib.import_module("gait.motion.dataset").read_dataset(folder / "poses").trials
    args = faithfulness.Arguments(networks=(folder / "mlp.ckpt",), base_folder=folder / "poses", windows=5)
    seen = faithfulness.prepare_windows(trained_network.load_network(folder / "mlp.ckpt"), trials, args)
    assert seen.windows.shape == seen.matched.shape == seen.noisy.shape == (5, WINDOW, 22, 3)
    # P2, healthy, is between P1 and P3 in speed; P1 is the only sick subject that the network was trained on.
    difference = (faithfulness.displacement(seen.windows) - faithfulness.displacement(seen.matched)).abs()
    assert difference.max() < 0.2
    assert 0 < (seen.noisy - seen.windows).abs().max() < 0.05


def test_trial_pair_windows_are_in_phase(module, open_body):
    body = open_body
    subject = make_subject(body, seed=3)
    sick = make_trial(body, subject, make_pathology("stiff_knee", "left"), seconds=3.0, seed=1)
    paced_subject = subject.with_pace(sick.pattern.stride_length_m, sick.pattern.stride_time_s)
    assert paced_subject.stride_length_m == pytest.approx(sick.pattern.stride_length_m)
    assert paced_subject.stride_time_s == pytest.approx(sick.pattern.stride_time_s)
    assert paced_subject.stride_length_m < 0.95 * subject.stride_length_m
    healthy = make_trial(body, paced_subject, seconds=3.0, seed=1)
    displacements = [
        np.linalg.norm(np.diff(w.ground_truth.joints_m[[0, -1], Joint.PELVIS], axis=0)) for w in (sick, healthy)
    ]
    assert displacements[0] == pytest.approx(displacements[1], rel=0.05)
    pairs = module("paired_pathology_trials")
    of_motion = importlib.import_module("gait.motion.dataset")

    def recording(trial, sick):
        joints = trial.ground_truth.joints_m
        source = of_motion.AcquisitionInfo(100.0, len(joints), 0.0, (), 1.7)
        return of_motion.Trial("P", "walk", sick, joints, 100.0, source, Path("walk"))

    pair = pairs.TrialPair("P", sick.pathology, recording(sick, True), recording(healthy, False))
    assert Joint.LEFT_KNEE in pair.changed_joints
    assert pair.contralateral_joints == (Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE, Joint.RIGHT_FOOT)
    with_pathology, without_pathology = pair.windows(128)
    assert len(with_pathology) == len(without_pathology) > 0
    # In phase: the healthy foot moves nearly equally in both, the affected leg does not.
    difference = (with_pathology - without_pathology).norm(dim=-1).mean(dim=(0, 1))
    assert difference[Joint.LEFT_FOOT] > 1.4 * difference[Joint.RIGHT_FOOT]
    assert torch.isfinite(difference).all()
