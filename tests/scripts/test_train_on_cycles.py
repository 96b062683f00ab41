"""Training on rotations or bones from initial contacts: from the command line to the explanation of an unseen trial."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from gait.body.skeleton import MIRROR_ORDER, Joint
from gait.errors import GaitError
from gait.explaining.attribution_files import read_explanation
from gait.explaining.explain_trial import explain_trial
from gait.explaining.export_trial import export_trial
from gait.explaining.options import ExplainOptions
from gait.explaining.trained_network import load_network
from gait.learning.checkpoint import load_checkpoint
from gait.learning.cross_validation import make_fold_tasks
from gait.learning.distributed import ProcessGroup
from gait.learning.fold_result import read_result
from gait.learning.networks import NETWORKS
from gait.learning.train_fold import FoldOutcome, FoldTraining
from gait.learning.training_arguments import parse_training_arguments
from gait.motion.pose_files import read_poses
from gait.motion.pose_npz import write_npz
from gait.report.training.text_summary import glossary, window_settings
from gait.report.write_explanation_figures import summary_lines
from tests.helpers.motion_cases import stick_figure, swinging_rotations, write_trial

ABOUT = "python train.py\n\nTrains a network."
# Windows of 8 samples are too short for MiniRocket, whose compilation takes long.
SIZES = {
    "mlp": ["--pfe_layers", "8", "4", "--fc_layers", "8"],
    "transformer": ["--pfe_dim", "8", "--fc_dim", "8", "--pfe_head", "2", "--fc_head", "2", "--ffn_dim", "16"],
}
NEW = ["--windows", "cycles", "--pace", "0.4", "1.1", "--individuality", "1"]
NEW += ["--ensemble", "2", "--threshold_folds", "2"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def poses(tmp_path_factory):
    """Walks of six subjects; the left knee of the sick ones is stiff."""
    base, random = tmp_path_factory.mktemp("poses"), np.random.default_rng(0)
    for number in range(3):
        for label in ("healthy", "sick"):
            phase = random.uniform(0, 6)
            axis_angle = swinging_rotations(400, phase=phase)
            if label == "sick":
                knee = axis_angle[:, Joint.LEFT_KNEE]
                axis_angle[:, Joint.LEFT_KNEE] = knee.mean(0) + 0.1 * (knee - knee.mean(0))
            joints = stick_figure(400, phase=phase, speed=1.2 if label == "healthy" else 0.8)
            write_trial(base, f"{label}/{label[0].upper()}{number}/walk1", joints, axis_angle=axis_angle)
    write_trial(base, "healthy/H0/short", stick_figure(60), axis_angle=swinging_rotations(60))
    return base


def arguments(network, poses, folder, *words):
    shared = ["--interval_size", "8", "--epochs", "2", "--batch_size", "16", "--k_folds", "3", "--lr", "0.003"]
    words = [*shared, *SIZES[network], "--base_folder", str(poses), "--save_folder", str(folder), *map(str, words)]
    return parse_training_arguments(NETWORKS[network], ABOUT, words)


def train(*args):
    (task,) = make_fold_tasks(arguments(*args), print)
    *_, outcome = task.run()
    assert isinstance(outcome, FoldOutcome)
    assert outcome.state == "trained", outcome.message
    return task


@pytest.mark.parametrize(("network", "kind"), [("mlp", "rotations"), ("transformer", "rotations"), ("mlp", "bones")])
def test_training_predicts_and_explains_trials_of_unseen_subjects(network, kind, poses, tmp_path):
    task = train(network, poses, tmp_path, "--input", kind, *NEW)
    result = read_result(task.result_file)
    assert any("healthy/H0/short: no stride" in line for line in result.problems)
    assert result.threshold["num_subjects"] == 4  # those of the training
    assert set(result.speeds) == set(task.fold.evaluation)
    assert "from initial contacts" in result.normalisation
    terms = dict(glossary(result))
    assert "0.08 strides from an initial contact" in terms["Window"]
    assert "4 training subjects whom the judging network had not seen" in terms["P(sick)"]
    assert window_settings(result)["begin of windows"] == "initial contacts"
    checkpoint = load_checkpoint(task.checkpoint_file)
    assert (checkpoint.input, checkpoint.windows, checkpoint.ensemble) == (kind, "cycles", 2)
    assert checkpoint.threshold == result.threshold["logit"] != 0
    assert all(result.speeds.values())
    assert checkpoint.metrics["matched_speed"]["auc"]["value"] is None  # one patient and one control
    assert (checkpoint.mean_window == 0).all()
    assert (checkpoint.reference.rotations is not None) == (kind == "rotations")

    loaded = load_network(task.checkpoint_file)
    (subject,) = [name for name in task.fold.evaluation if name.startswith("sick/")]
    folder = poses / subject / "walk1"
    done = export_trial(loaded, folder, tmp_path / "explained", ExplainOptions())
    found = read_explanation(tmp_path / "explained" / "explanation.npz").attribution
    own = result.evaluation.subject_index == result.evaluation.subjects.index(subject)
    np.testing.assert_allclose(found.window_probability, result.evaluation.probability[own], atol=1e-5)
    assert found.first_frames.tolist() == result.evaluation.first_frame[own].tolist()
    assert found.axis_values.shape == (400, 22, 3)
    np.testing.assert_allclose(found.axis_values.sum(2), found.values, atol=1e-5)
    assert found.settings["baseline"] == "controls' mean"
    axes = {name for names in found.axis_names for name in names}
    assert {*found.largest_axes()} <= axes
    assert "left knee flexion" in axes or kind == "bones"
    with (tmp_path / "explained" / "explanation_axes.csv").open() as stream:
        table = [*csv.DictReader(stream)]
    assert tuple(row["name"] for row in table[:3]) == found.largest_axes(3)
    evidence = [float(row["mean_evidence"]) for row in table]
    assert evidence == sorted(evidence, reverse=found.trial_probability >= 0.5)
    lines = summary_lines(done)
    assert "windows of 0.08 strides" in lines[0]
    assert any("most evidence for " in line and "; by axis: " in line for line in lines)
    with (tmp_path / "explained" / "explanation.csv").open() as stream:
        assert len([*csv.DictReader(stream)]) == 400


def test_mirror_image_of_a_trial_has_the_mirror_image_of_its_explanation(poses, tmp_path):
    task = train("mlp", poses, tmp_path, "--input", "rotations", "--windows", "cycles")
    loaded = load_network(task.checkpoint_file)
    sequence = read_poses(poses / "sick/S1/walk1")
    joints = sequence.joints_m[:, MIRROR_ORDER] * np.float32([1, 1, -1])
    axis_angle = swinging_rotations(400) * 0
    axis_angle[:] = sequence.poses[:, :66].reshape(-1, 22, 3)[:, MIRROR_ORDER] * [1, -1, -1]
    axis_angle[:, 0] = [0, np.pi / 2, 0]  # it faces x, as before
    mirrored = write_trial(tmp_path, "sick/S1/mirrored", joints, axis_angle=axis_angle)
    one, other = (explain_trial(loaded, folder, "gradient_input") for folder in (poses / "sick/S1/walk1", mirrored))
    np.testing.assert_allclose(other.window_probability, one.window_probability, atol=1e-4)
    covered = np.isfinite(one.values).all(axis=1)
    scale = np.abs(one.values[covered]).max()
    np.testing.assert_allclose(other.values[covered], one.values[covered][:, MIRROR_ORDER], atol=0.02 * scale)
    assert np.abs(one.values[covered] - one.values[covered][:, MIRROR_ORDER]).max() > 0.2 * scale


def test_published_input_can_begin_at_initial_contacts(poses, tmp_path):
    task = train("mlp", poses, tmp_path, "--windows", "cycles")
    loaded = load_network(task.checkpoint_file)
    assert loaded.mean_window.abs().max() > 0.1
    found = explain_trial(loaded, poses / "sick/S1/walk1", "integrated_gradients")
    assert found.axis_values is None
    assert len(found.first_frames) >= 3


def test_networks_of_rotations_refuse_poses_without_them(poses, tmp_path):
    task = train("mlp", poses, tmp_path, "--input", "rotations", "--windows", "cycles")
    sequence = read_poses(poses / "sick/S1/walk1")
    folder = tmp_path / "P1" / "walk"
    folder.mkdir(parents=True)
    write_npz(folder, replace(sequence, constrained=True))
    with pytest.raises(GaitError, match="no joint rotations"):
        explain_trial(load_network(task.checkpoint_file), folder)


def test_timeout_within_the_threshold_is_resumed(poses, tmp_path):
    words = ["--input", "bones", "--windows", "cycles", "--threshold_folds", "2"]
    (task,) = make_fold_tasks(arguments("mlp", poses, tmp_path / "one", *words), print)
    training = FoldTraining(task, ProcessGroup())
    events = training.run(None)
    assert [next(events).number for _ in range(2)] == [1, 2]
    training._task = replace(task, deadline=1.0)  # it passes after the last epoch
    *_, outcome = events
    assert outcome.state == "timed out"
    (task,) = make_fold_tasks(arguments("mlp", poses, tmp_path / "one", *words, "--resume"), print)
    assert not task.is_finished()
    *_, outcome = task.run()
    assert outcome.state == "trained"
    assert task.is_finished()
    whole = train("mlp", poses, tmp_path / "other", *words)
    one, other = (read_result(each.result_file) for each in (task, whole))
    assert one.threshold == other.threshold
    np.testing.assert_array_equal(one.evaluation.probability, other.evaluation.probability)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--pace", "0.4", "1.1"], "--pace needs --input rotations or bones"),
        (["--input", "bones", "--pace", "1.1", "0.4"], "give the smaller number first"),
        (["--offset", "0.1"], "--offset needs --input rotations or bones"),
        (["--individuality", "2"], "--individuality needs --input rotations or bones"),
        (
            ["--input", "bones", "--deviation", "0", "--individuality", "2"],
            "--individuality needs a --deviation above 0",
        ),
        (["--threshold_folds", "1"], "a whole number of at least 2"),
        (["--threshold_specificity", "95"], "a number from 0.5 to 1"),
        (["--input", "angles"], "invalid choice"),
    ],
)
def test_wrong_flags_are_named(words, expected, tmp_path, capsys):
    with pytest.raises(SystemExit):
        arguments("mlp", tmp_path, tmp_path, *words)
    assert expected in capsys.readouterr().err


def test_later_flags_at_their_defaults_are_no_other_experiment(poses, tmp_path):
    task = train("mlp", poses, tmp_path)
    result = read_result(task.result_file)
    later = ("input", "windows", "deviation", "pace", "offset", "individuality", "lr_schedule")
    later += ("ensemble", "threshold_folds", "threshold_specificity")
    old = replace(result, arguments={name: value for name, value in result.arguments.items() if name not in later})
    assert result.same_experiment(old)
    assert not result.same_experiment(replace(result, arguments=result.arguments | {"ensemble": 2}))
    assert not {*later, "schedule", "specificity", "epochs"} & {*task.inputs()}
    assert torch.load(task.checkpoint_file, weights_only=True)["format_version"] == 2
