"""Both training scripts, run from the command line on stick figures with small networks."""

import csv
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gait.body.skeleton import Joint
from gait.files.folder_lock import folder_lock
from gait.learning.checkpoint import load_checkpoint, read_network
from gait.learning.fold_result import read_result, save_result
from gait.learning.networks import NETWORKS
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.networks.transformer import TransformerArchitecture
from gait.learning.trainer import window_probabilities
from gait.learning.training_arguments import parse_training_arguments
from gait.motion.pose_files import read_poses
from gait.motion.pose_npz import write_npz
from gait.motion.read_dataset import read_dataset
from gait.motion.windows import WindowDataset
from gait.parallel import dask_executor
from gait.report.training import command as command_module
from gait.report.training.command import train_network
from gait.report.training.write_report import WrittenReport
from tests.helpers.dask_cluster import cluster
from tests.helpers.motion_cases import status_without, stick_figure, write_trial
from tests.helpers.paths import REPOSITORY

ALL_OF_TWO_FOLDS = ["--k_folds", "2", "--cross", "all", "--workers", "2"]
NETWORK_OF = {"multi_mlp": "mlp", "transformer": "transformer"}
ABOUT = "python train.py\n\nTrains a network."
NUM_SUBJECTS = 5  # of each label
ARMS = tuple(Joint[f"{side}_{name}"] for name in ("ELBOW", "WRIST") for side in ("LEFT", "RIGHT"))
SHARED = ["--interval_size", "8", "--stride", "4", "--batch_size", "16", "--k_folds", "3", "--lr", "0.003", "--cluster"]
# Windows of 8 frames are too short for MiniRocket, whose compilation takes half a minute.
SIZES = {
    "multi_mlp": ["--pfe_layers", "8", "4", "--fc_layers", "8"],
    "transformer": ["--pfe_dim", "8", "--fc_dim", "8", "--pfe_head", "2", "--fc_head", "2", "--ffn_dim", "16"],
}

OLD_TRAINING = Path(__file__).with_name("old_training")

pytestmark = pytest.mark.usefixtures("one_thread")


def write_trials(base, num_subjects=NUM_SUBJECTS, frames=24):
    random = np.random.default_rng(0)
    for number in range(num_subjects):
        for label, letter, speed, lean in (("healthy", "H", 1.2, 5), ("sick", "S", 0.8, 20)):
            for trial_number in (1, 2):
                joints = stick_figure(frames, speed=speed, lean_deg=lean + random.normal(), phase=random.uniform(0, 6))
                noise = 0.005 * random.normal(size=joints.shape)
                write_trial(base, f"{label}/{letter}{number}/walk{trial_number}", joints + noise)
    return base


@pytest.fixture(scope="module")
def poses(tmp_path_factory):
    return write_trials(tmp_path_factory.mktemp("poses"))


def parse(network, *words):
    return parse_training_arguments(NETWORKS[network], ABOUT, words)


@pytest.fixture
def train_with_report(capsys, poses, monkeypatch):
    """A function that runs a script's command in this process: (exit code, lines of stdout, lines of stderr)."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(save_folder, *words, script="multi_mlp", base=poses):
        code = train_network(NETWORK_OF[script], ABOUT, flags(save_folder, base, *words, script=script))
        out_lines = capsys.readouterr()
        assert "Traceback" not in out_lines.out + out_lines.err
        return code, out_lines.out.splitlines(), out_lines.err.splitlines()

    return run


@pytest.fixture
def train(train_with_report, monkeypatch):
    """The same without the report, whose figures take most of the time."""
    monkeypatch.setattr(command_module, "write_report", no_report)
    return train_with_report


def no_report(*_, **__):
    return WrittenReport(Path("page"), ("report: none",))


def flags(save_folder, poses, *words, script="multi_mlp"):
    return [*map(str, ["--base_folder", poses, "--save_folder", save_folder, *SHARED, *SIZES[script], *words])]


def command(save_folder, poses, *words, script="multi_mlp", before=(sys.executable,)):
    return [*map(str, [*before, REPOSITORY / f"train_{script}.py"]), *flags(save_folder, poses, *words, script=script)]


def start_process(words, folder):
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(words, cwd=folder, env=env, stdout=pipe, stderr=pipe, text=True)


def epochs_by_fold(save_folder, network="mlp"):
    """Return the epochs of each fold without their durations, as strings so that NaN equals NaN."""
    results = {path.stem: read_result(path) for path in sorted(save_folder.glob(f"result_{network}_fold*.npz"))}
    return {
        name: [repr({kind: epoch[kind] for kind in epoch if kind != "seconds"}) for epoch in result.epochs]
        for name, result in results.items()
    }


def assert_same_training(one, other):
    assert epochs_by_fold(one) == epochs_by_fold(other) != {}
    networks = sorted(path.relative_to(one) for path in one.glob("fold*/*.ckpt"))
    assert networks == sorted(path.relative_to(other) for path in other.glob("fold*/*.ckpt"))
    for path in networks:
        left, right = (load_checkpoint(place / path).weights for place in (one, other))
        assert all(torch.equal(values, right[name]) for name, values in left.items())


def stale_temporaries(folder):
    return [path.name for path in folder.rglob(".*")]


# --- the command line -------------------------------------------------------------------------------------------------


def test_parse_training_arguments_has_the_published_defaults():
    transformer, mlp = (parse(network) for network in ("transformer", "mlp"))
    assert (transformer.batch_size, transformer.window_length, transformer.epochs) == (8, 64, 1)
    assert (mlp.batch_size, mlp.window_length, mlp.epochs) == (64, 128, 75)
    assert (transformer.learning_rate, mlp.learning_rate) == (1e-4, 1e-5)
    assert transformer.architecture == TransformerArchitecture(128, 128, 2, 2, 2048, frame_subsampling=4)
    assert mlp.architecture == MLPArchitecture("multi_mlp", 128, (256, 512, 256, 64), (256, 512, 256, 64))
    for arguments in (transformer, mlp):
        assert (arguments.seed, arguments.fold, arguments.k_folds, arguments.stride) == (42, 0, 5, 1)
        assert (arguments.rate_hz, arguments.joint_offset_m, arguments.progress_bars) == (100, 0.03, True)
        assert (arguments.mirror, arguments.use_class_weights, arguments.timeout_s) == (True, False, None)
        assert (str(arguments.save_folder), str(arguments.poses)) == ("out", ".")


@pytest.mark.parametrize("network", ["mlp", "transformer"])
def test_recommended_stands_for_the_flags_in_the_documentation(network, capsys):
    recommended = parse(network, "--recommended", "--cross", "all")
    page = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    listed = re.search(rf"^\| {NETWORKS[network].title} \| `(--input rotations .*)` \|$", page, re.MULTILINE)
    assert replace(parse(network, *listed[1].split(), "--cross", "all"), command="") == replace(recommended, command="")
    assert recommended.flags["epochs"] != parse(network).flags["epochs"]
    assert parse(network, "--epochs", "3", "--recommended").epochs == 3, "a flag beside it takes precedence"
    with pytest.raises(SystemExit):
        parse(network, "--help")
    assert listed[1] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("script", ["transformer", "multi_mlp"])
def test_parse_training_arguments_accepts_the_command_in_the_docstring(script):
    text = (REPOSITORY / f"train_{script}.py").read_text(encoding="utf-8")
    words = text.removeprefix('"""').splitlines()[0].split()
    assert words[:2] == ["python", f"train_{script}.py"]
    arguments = parse(NETWORK_OF[script], *words[2:])
    assert (arguments.batch_size, arguments.window_length, arguments.epochs) == (64, 128, 25)
    assert arguments.architecture.kind == ("transformer" if script == "transformer" else "sequential_mlp")
    more = ["--timeout", "60", "--use_pos_ratio", "--cluster", "--seed", "7", "--cross", "all"]
    arguments = parse(NETWORK_OF[script], *words[2:], *more)
    assert (arguments.timeout_s, arguments.use_class_weights, arguments.progress_bars) == (60, True, False)
    assert (arguments.seed, arguments.fold) == (7, None)


def test_parse_training_arguments_accepts_clearer_names_of_flags():
    published = (
        "--base_folder p --interval_size 9 --stride 2 --frame_rate 50 --lr 0.1 --use_pos_ratio --joint_offset 0.1 "
        "--no_mirror --cross 1 --cluster --pose_rate 25 --body b --pfe_layers 3 2 --fc_layers 4 --lrp"
    )
    clearer = (
        "--poses p --window_length 9 --window_stride 2 --network_frame_rate 50 --learning_rate 0.1 --class_weights "
        "--joint_jitter_m 0.1 --no_mirror_augmentation --fold 1 --no_progress --pose_frame_rate 25 --body b "
        "--frame_layers 3 2 --window_layers 4 --sequential"
    )
    one, other = (parse("mlp", *words.split()) for words in (published, clearer))
    assert replace(one, command="") == replace(other, command="")
    assert one.flags == other.flags
    assert [one.flags[name] for name in ("interval_size", "no_mirror", "lrp", "cross")] == [9, True, True, 1]


@pytest.mark.parametrize("network", ["mlp", "transformer"])
def test_parse_training_arguments_keeps_standing_on_request_alone(network):
    for words, kept in (((), False), (("--keep_standing",), True)):
        arguments = parse(network, *words)
        assert arguments.dataset["keep_standing"] is arguments.flags["keep_standing"] is kept


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--epoch", "3"], "--epoch"),
        (["--epochs", "0"], "at least 1"),
        (["--lr", "nan"], "above 0"),
        (["--seed", "-1"], "from 0 to 4294967295"),
        (["--seed", str(2**32)], "from 0 to 4294967295"),
        (["--save_folder", ""], "is empty"),
        (["--overwrite", "--resume"], "give one of them"),
        (["--cross", "5"], "must be 0 to 4, with 5 folds"),
        (["--cross", "some"], "or all, not 'some'"),
        (["--pose_rate", "50"], "belong together"),
        (["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], "--workers"),
    ],
)
def test_parse_training_arguments_names_the_wrong_flag(words, expected, capsys):
    with pytest.raises(SystemExit) as ended:
        parse("mlp", *words)
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err.splitlines()[-1]


def test_parse_training_arguments_limits_the_window_length_of_a_transformer(capsys):
    assert parse("transformer", "--interval_size", "5095").window_length == 5095
    with pytest.raises(SystemExit):
        parse("transformer", "--interval_size", "5096")
    assert "--interval_size 5096: the transformer accepts at most 5095 frames" in capsys.readouterr().err


def test_parse_training_arguments_accepts_the_current_folder_for_results():
    assert parse("mlp", "--save_folder", ".").save_folder == Path()


def test_inconsistent_sizes_give_one_error_line(train, tmp_path):
    code, out_lines, err_lines = train(tmp_path / "out", "--pfe_head", 3, script="transformer")
    assert (code, out_lines, len(err_lines)) == (2, [], 1)
    assert "--pfe_head 3 does not divide --pfe_dim 8" in err_lines[0]


# --- results of a run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("script", "network"), [("transformer", "transformer"), ("multi_mlp", "mlp")])
def test_training_a_fold_writes_all_files(tmp_path, poses, script, network, monkeypatch, capsys):
    """The script of one network runs as a program, that of the other in this process."""
    if network == "mlp":
        process = start_process(command("out", poses, "--epochs", 2, "--lrp", script=script), tmp_path)
        out_lines, err_lines = process.communicate(timeout=300)
        code = process.returncode
    else:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", command("out", poses, "--epochs", 2, script=script)[1:])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(sys.argv[0], run_name="__main__")
        code, (out_lines, err_lines) = ended.value.code, capsys.readouterr()
    assert code == 0, err_lines
    assert [line.split(":")[:2] for line in err_lines.splitlines()] == [["fold 0", f" epoch {k} of 2"] for k in (1, 2)]
    assert f"out/fold0/{network}.ckpt" in out_lines
    out = tmp_path / "out"
    for name in (f"metrics_{network}_fold0.json", f"report_{network}.html", f"fold0/predictions_{network}.csv"):
        assert (out / name).stat().st_size > 100
    assert list((out / f"tensorboard_{network}").rglob("events*"))
    assert stale_temporaries(out) == []
    metrics = json.loads((out / f"metrics_{network}_fold0.json").read_text(encoding="utf-8"))
    assert metrics["epochs"] == 2
    figures = {"loss", "accuracy", "precision", "recall", "specificity", "f1"}
    assert all(set(metrics[str(k)][kind]) == figures for k in (0, 1) for kind in ("train", "eval"))
    assert set(metrics["subjects"]["roc_auc_within_folds"]) == {"value", "low", "high"}
    assert {"prior_baseline", "walking_speed", "gait_features", "minirocket"} <= set(metrics["baselines"])
    assert metrics["arguments"]["epochs"] == 2
    assert metrics["command"].startswith(f"train_{script}.py --base_folder ")


def test_checkpoint_has_all_metadata_and_gives_the_saved_probabilities(train, tmp_path, poses):
    assert train(tmp_path, "--epochs", 3, "--cross", 1, "--use_pos_ratio")[0] == 0
    network, checkpoint = read_network(tmp_path / "fold1" / "mlp.ckpt", window_length=8)
    result = read_result(tmp_path / "result_mlp_fold1.npz")
    assert (checkpoint.frame_rate_hz, len(checkpoint.joints), checkpoint.fold["index"]) == (100.0, 22, 1)
    assert checkpoint.arguments["lr"] == 0.003
    assert {"gait", "torch", "torch-adopt"} <= set(checkpoint.versions)
    assert checkpoint.mean_window.shape == (8, 22, 3)
    assert checkpoint.metrics["subjects"]["roc_auc_within_folds"]["value"] == pytest.approx(1.0, abs=1.0)
    num_subjects = {f"{label}{k}" for label in ("healthy/H", "sick/S") for k in range(NUM_SUBJECTS)}
    assert set(checkpoint.fold["training"]) | set(checkpoint.fold["evaluation"]) == num_subjects
    assert not set(checkpoint.fold["training"]) & set(checkpoint.fold["evaluation"])
    evaluation, training = (
        [trial for trial in read_dataset(poses).trials if trial.subject_id in checkpoint.fold[part]]
        for part in ("evaluation", "training")
    )
    windows = WindowDataset(evaluation, 8, 4)
    assert result.evaluation_windows == len(windows)
    assert result.training_windows == 2 * len(WindowDataset(training, 8, 4))
    probability = window_probabilities(network, windows, 16).numpy()
    np.testing.assert_allclose(result.evaluation.probability, probability, atol=1e-12)
    with (tmp_path / "fold1" / "predictions_mlp.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(windows)
    for k, row in enumerate(rows):
        trial = evaluation[int(windows.trial_index[k])]
        assert (row["subject"], row["trial"], row["label"]) == (
            trial.subject_id,
            trial.trial_id,
            "sick" if trial.sick else "healthy",
        )
        assert int(row["first_frame"]) == int(windows.first_frame[k])
        assert float(row["probability_sick"]) == pytest.approx(probability[k], abs=1e-6)


def write_trials_without_arms(base, invented_m=0.0, num_lacking=4):
    """Write the trials of ``write_trials``; markers do not observe the arms in the first subjects of both labels."""
    random = np.random.default_rng(1)
    write_trials(base)
    for folder in sorted(base.glob("*/*/walk*")):
        sequence = read_poses(folder)
        lacks = int(folder.parent.name[1:]) < num_lacking / 2
        joints = sequence.joints_m.copy()
        joints[:, ARMS] += np.float32(invented_m * lacks) * random.normal(size=(len(ARMS), 3)).astype(np.float32)
        status = status_without(len(joints), ARMS if lacks else ())
        write_npz(folder, replace(sequence, joints_m=joints, joint_status=status))
    return base


@pytest.mark.parametrize("script", ["multi_mlp", "transformer"])
def test_training_leaves_out_joints_that_trials_lack(train_with_report, tmp_path, script):
    """What the pose prior gives unobserved arms changes nothing, and every result says that they are left out."""
    network, sentence = NETWORK_OF[script], "Left out of all trials: elbows and wrists, not observed by markers in 8 of"
    words = ("--epochs", 1, "--workers", 1, "--cross", "all" if script == "multi_mlp" else 0)
    results = []
    for name, invented_m in (("first", 0.0), ("second", 0.3)):
        base = write_trials_without_arms(tmp_path / name / "poses", invented_m)
        code, out_lines, err_lines = train_with_report(tmp_path / name, *words, base=base, script=script)
        assert code == 0
        assert sentence in out_lines[0]
        assert sentence in err_lines[0]
        result = read_result(tmp_path / name / f"result_{network}_fold0.npz")
        results.append(result)
        checkpoint = load_checkpoint(tmp_path / name / "fold0" / f"{network}.ckpt")
        assert [Joint[joint] for joint in checkpoint.left_out_joints] == list(ARMS)
        assert (checkpoint.mean_window[:, ARMS] == 0).all()
        assert sentence in (tmp_path / name / f"report_{network}.html").read_text(encoding="utf-8")
        metrics = json.loads((tmp_path / name / f"metrics_{network}_all.json").read_text())
        assert metrics["left_out"]["joints"] == list(checkpoint.left_out_joints)
        assert metrics["left_out"]["num_lacking"] == dict.fromkeys(checkpoint.left_out_joints, 8)
    first, second = results
    np.testing.assert_allclose(first.evaluation.probability, second.evaluation.probability, atol=1e-5)
    for name in ("prior_baseline", "walking_speed", "gait_features"):
        np.testing.assert_array_equal(first.baselines[name].probability, second.baselines[name].probability)
    assert not first.same_experiment(replace(second, data_sha256=first.data_sha256, left_out={}))
    assert first.same_experiment(replace(second, data_sha256=first.data_sha256))


def test_training_leaves_out_few_trials_and_keeps_all_if_asked(train, tmp_path):
    base = write_trials_without_arms(tmp_path / "poses", num_lacking=1)
    lacking = ["healthy/H0/walk1", "healthy/H0/walk2", "sick/S0/walk1", "sick/S0/walk2"]

    def train_fold(*words):
        code, _, err_lines = train(tmp_path / "out", "--epochs", 1, *words, base=base)
        assert code == 0
        return read_result(tmp_path / "out" / "result_mlp_fold0.npz"), err_lines

    result, err_lines = train_fold("--unobserved", "leave_out_trial")
    assert result.left_out["trials"] == lacking
    assert not {"healthy/H0", "sick/S0"} & {*result.fold.training, *result.fold.evaluation}
    assert err_lines[0] == f"Left out, as markers do not observe elbows and wrists: {', '.join(lacking)}."
    assert err_lines[1] == "No trial is left of healthy/H0, sick/S0."
    kept, err_lines = train_fold("--unobserved", "keep")
    assert (kept.left_out["joints"], kept.left_out["trials"]) == ([], [])
    assert "healthy/H0" in {*kept.fold.training, *kept.fold.evaluation}
    assert err_lines[0].startswith("Used at the positions of the pose prior: elbows and wrists, not observed by")
    assert not any("epoch" in line for line in train_fold("--unobserved", "keep")[1]), "is finished"


def test_training_leaves_out_windows_without_a_joint(train, tmp_path):
    base = write_trials(tmp_path / "poses")
    for trial in ("healthy/H0/walk1", "sick/S1/walk2"):
        sequence = read_poses(base / trial)
        status = status_without(sequence.num_frames, [Joint.LEFT_KNEE], slice(0, 10))
        write_npz(base / trial, replace(sequence, joint_status=status))

    def train_fold(*words):
        code, _, err_lines = train(tmp_path / "out", "--epochs", 1, *words, base=base)
        assert code == 0
        return read_result(tmp_path / "out" / "result_mlp_fold0.npz"), err_lines

    result, err_lines = train_fold()
    assert result.left_out["num_windows"] == {"healthy/H0/walk1": 2, "sick/S1/walk2": 2}
    assert err_lines[0].endswith("in most of their frames: 4, of healthy/H0/walk1, sick/S1/walk2.")
    kept, err_lines = train_fold("--unobserved", "keep")
    assert kept.left_out == {}
    both = (
        result.training_windows / 2 + result.evaluation_windows,
        kept.training_windows / 2 + kept.evaluation_windows,
    )
    assert both[1] - both[0] == 4
    assert any(" epoch 1 of 1" in line for line in err_lines), "trained again"
    assert not result.same_experiment(kept)


def test_finished_fold_is_not_trained_again_until_an_input_changes(train, tmp_path, poses):
    assert train(tmp_path / "out", "--epochs", 2)[0] == 0
    checkpoint_file = tmp_path / "out" / "fold0" / "mlp.ckpt"

    def trained(*words, **more):
        before = checkpoint_file.stat().st_mtime_ns
        code, out_lines, err_lines = train(tmp_path / "out", *words, **more)
        assert code == 0
        assert any(line.startswith("report") for line in out_lines)
        assert (checkpoint_file.stat().st_mtime_ns != before) == any(" epoch 1 of " in line for line in err_lines)
        return checkpoint_file.stat().st_mtime_ns != before

    assert not trained("--epochs", 2)
    assert trained("--epochs", 2, "--overwrite")
    assert trained("--epochs", 3)
    assert not trained("--epochs", 3, "--resume")
    assert trained("--epochs", 3, "--seed", 1)
    assert not trained("--epochs", 3, "--seed", 1)
    other = shutil.copytree(poses, tmp_path / "poses")
    assert not trained("--epochs", 3, "--seed", 1, base=other)
    shutil.rmtree(other / "sick" / "S1" / "walk1")
    assert trained("--epochs", 3, "--seed", 1, base=other)


def test_training_of_an_earlier_version_is_finished_and_can_be_resumed(train, tmp_path):
    """The files in ``old_training`` were written by version 0.1.0 with other keys (``legacy_keys``)."""
    out = shutil.copytree(OLD_TRAINING, tmp_path / "out")
    checkpoint_file = out / "fold0" / "mlp.ckpt"
    before = checkpoint_file.read_bytes()
    code, out_lines, err_lines = train(out, "--epochs", 2)
    assert (code, err_lines) == (0, [])
    assert any(line.startswith("report") for line in out_lines)
    assert checkpoint_file.read_bytes() == before
    code, _, err_lines = train(out, "--epochs", 3, "--resume")
    assert code == 0
    assert [line.split(":")[1] for line in err_lines] == [" epoch 3 of 3"]


def test_read_result_reads_a_result_of_an_earlier_version(train, tmp_path):
    old = read_result(OLD_TRAINING / "result_mlp_fold0.npz")
    assert train(tmp_path, "--epochs", 2)[0] == 0
    new = read_result(tmp_path / "result_mlp_fold0.npz")
    assert old.same_experiment(new)
    assert list(old.baselines) == list(new.baselines)
    assert old.confounder_check.keys() == new.confounder_check.keys()
    old_factors, factors = (
        {name: list(factor) for name, factor in result.confounder_check["factors"].items()} for result in (old, new)
    )
    assert factors.pop("observed_joints") == factors["height"]
    assert old_factors == factors
    assert (old.evaluation.subjects, old.evaluation.trials) == (new.evaluation.subjects, new.evaluation.trials)
    for key in ("subject_index", "trial_index", "first_frame", "sick"):
        np.testing.assert_array_equal(getattr(old.evaluation, key), getattr(new.evaluation, key))
    np.testing.assert_allclose(old.evaluation.probability, new.evaluation.probability, atol=1e-4)


def test_report_on_a_finished_fold_checks_the_present_poses(train_with_report, tmp_path, poses):
    base = shutil.copytree(poses, tmp_path / "poses")
    out = tmp_path / "out"
    assert not train_with_report(out, "--epochs", 1, base=base)[1][0].startswith("warning")
    trained = (out / "fold0" / "mlp.ckpt").stat().st_mtime_ns
    for path in base.rglob("poses.npz"):  # markers are missing only in trials of sick subjects
        with np.load(path) as data:
            visible = np.where(np.arange(24) % 2, 40, 10 if "sick" in path.parts else 40)
            with_missing = {**data, "num_visible_markers": visible}
        np.savez(path, **with_missing)
    (base / "healthy" / "H9" / "walk1").mkdir(parents=True)
    (base / "healthy" / "H9" / "walk1" / "poses.npz").write_bytes(b"PK\x03\x04 cut")
    code, out_lines, err_lines = train_with_report(out, "--epochs", 1, base=base)
    assert (code, err_lines) == (0, [])
    assert (out / "fold0" / "mlp.ckpt").stat().st_mtime_ns == trained
    assert out_lines[0].startswith("warning: ")
    assert any("healthy/H9/walk1" in line for line in out_lines)
    for name in ("metrics_mlp_fold0.json", "metrics_mlp_all.json"):
        metrics = json.loads((out / name).read_text(encoding="utf-8"))
        assert metrics["confounder_check"]["confounded"]
        assert any("healthy/H9/walk1" in line for line in metrics["problems"])
    assert "healthy/H9/walk1" in (out / "report_mlp.html").read_text(encoding="utf-8")


def test_missing_baseline_is_added_to_a_finished_fold(train_with_report, tmp_path):
    code, first, _ = train_with_report(tmp_path, "--epochs", 1)
    complete = read_result(tmp_path / "result_mlp_fold0.npz")
    save_result(replace(complete, baselines=complete.baselines | {"walking_speed": "It was not installed."}), tmp_path)
    trained = (tmp_path / "fold0" / "mlp.ckpt").stat().st_mtime_ns
    assert train_with_report(tmp_path, "--epochs", 1) == (code, first, [])
    completed = read_result(tmp_path / "result_mlp_fold0.npz")
    assert list(completed.baselines) == list(complete.baselines)
    left, right = (result.baselines["walking_speed"].probability for result in (complete, completed))
    np.testing.assert_array_equal(left, right)
    assert (tmp_path / "fold0" / "mlp.ckpt").stat().st_mtime_ns == trained
    assert stale_temporaries(tmp_path) == []


def test_early_stopping_holds_out_training_subjects_only(train, tmp_path):
    assert train(tmp_path, "--epochs", 60, "--early_stopping", 2, "--lr", 0.03)[0] == 0
    result = read_result(tmp_path / "result_mlp_fold0.npz")
    assert result.validation
    assert set(result.validation) < set(result.fold.training)
    assert {result.sick[name] for name in result.validation} == {False, True}
    loss = [epoch["validation"]["loss"] for epoch in result.epochs]
    assert result.chosen_epoch == int(np.argmin(loss))
    checkpoint = load_checkpoint(tmp_path / "fold0" / "mlp.ckpt")
    assert checkpoint.fold["validation"] == result.validation
    if result.chosen_epoch < len(loss) - 1:
        last = checkpoint.training_state["weights"]
        assert any(not torch.equal(values, last[name]) for name, values in checkpoint.weights.items())


# --- interruptions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["multi_mlp", "transformer"])
def test_resume_gives_the_result_of_an_uninterrupted_run(train, tmp_path, script):
    assert train(tmp_path / "whole", "--epochs", 2, script=script)[0] == 0
    assert train(tmp_path / "parts", "--epochs", 1, script=script)[0] == 0
    code, _, err_lines = train(tmp_path / "parts", "--epochs", 2, "--resume", script=script)
    assert code == 0
    assert [line.split(":")[1] for line in err_lines] == [f" epoch {k} of 2" for k in (2,)]
    network = NETWORK_OF[script]
    assert epochs_by_fold(tmp_path / "whole", network) == epochs_by_fold(tmp_path / "parts", network) != {}
    if script == "multi_mlp":
        assert_same_training(tmp_path / "whole", tmp_path / "parts")


def test_resume_requires_the_same_settings(train, tmp_path):
    train(tmp_path, "--epochs", 2)
    code, out_lines, (line,) = train(tmp_path, "--epochs", 4, "--resume", "--use_pos_ratio")
    assert (code, out_lines) == (1, [])
    assert "fold0/mlp.ckpt: was trained with other settings (use_class_weights changed)" in line
    code, out_lines, (line,) = train(tmp_path, "--epochs", 1, "--resume")
    assert (code, out_lines) == (1, [])
    assert "has 2 finished epochs, more than --epochs 1" in line
    (tmp_path / "fold0" / "mlp.ckpt").write_bytes(b"cut")
    code, out_lines, (line,) = train(tmp_path, "--epochs", 4, "--resume")
    assert (code, out_lines) == (1, [])
    assert "fold0/mlp.ckpt: damaged" in line


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGKILL])  # SIGINT: tests/cohort/test_run_cohort.py
def test_interruption_loses_at_most_one_epoch(train, tmp_path, poses, stop_signal):
    process = start_process(command("out", poses, "--epochs", 100000), tmp_path)
    err_lines = [process.stderr.readline() for _ in range(3)]
    assert err_lines[2].startswith("fold 0: epoch 3 of "), err_lines
    process.send_signal(stop_signal)
    if stop_signal == signal.SIGTERM:
        process.send_signal(stop_signal)  # as during a system shutdown
    out_lines, rest = process.communicate(timeout=60)
    out = tmp_path / "out"
    num_epochs = len(load_checkpoint(out / "fold0" / "mlp.ckpt").training_state["epochs"])
    assert num_epochs >= 3
    assert out_lines == ""
    if stop_signal != signal.SIGKILL:
        assert process.returncode == 130
        stated = int(rest.splitlines()[-1].split()[4])  # an epoch may have been saved since the last was shown
        assert rest.splitlines()[-1] == (
            f"Stopped: fold 0 has {stated} of 100000 epochs; to resume, give the same command with --resume."
        )
        assert num_epochs - 1 <= stated <= num_epochs
        assert stale_temporaries(out) == []
        return
    assert train(out, "--epochs", num_epochs + 1, "--resume")[0] == 0
    assert train(tmp_path / "unbroken", "--epochs", num_epochs + 1)[0] == 0
    assert_same_training(out, tmp_path / "unbroken")
    assert stale_temporaries(out) == []


def test_interruption_of_several_folds_gives_one_line(tmp_path, poses):
    words = command("out", poses, "--epochs", 100000, *ALL_OF_TWO_FOLDS)
    process = start_process(words, tmp_path)
    err_lines = [process.stderr.readline() for _ in range(4)]
    process.terminate()
    out_lines, rest = process.communicate(timeout=60)
    assert (process.returncode, out_lines) == (130, "")
    *epochs, last = [*err_lines, *rest.splitlines()]
    assert all(" epoch " in line for line in epochs)
    assert last.startswith(("Stopped: fold 0 has ", "Stopped: fold 1 has "))  # whichever was faster
    assert last.endswith("of 100000 epochs; to resume, give the same command with --resume.")
    assert stale_temporaries(tmp_path / "out") == []


def test_timeout_stops_after_the_present_epoch(train_with_report, tmp_path):
    code, out_lines, err_lines = train_with_report(tmp_path, "--epochs", 100000, "--timeout", 0.01)
    assert code == 0
    assert err_lines[-1] == (
        "fold 0: stopped by --timeout after epoch 1 of 100000; to resume, give the same command with --resume."
    )
    assert read_result(tmp_path / "result_mlp_fold0.npz").timed_out
    assert any("balanced accuracy" in line.lower() for line in out_lines)
    code, _, err_lines = train_with_report(tmp_path, "--epochs", 100000, "--timeout", 0.01, "--resume")
    assert err_lines[0].startswith("fold 0: epoch 2 of ")


def test_timeout_before_the_first_epoch_skips_unfinished_folds(train, tmp_path):
    words = ["--epochs", 1, "--k_folds", 2, "--cross", "all", "--workers", 1]
    code, out_lines, err_lines = train(tmp_path, *words, "--timeout", 1e-6)
    assert (code, out_lines) == (0, [])
    assert err_lines == [f"fold {k}: skipped, because --timeout had passed." for k in range(2)]
    assert train(tmp_path, "--epochs", 1, "--k_folds", 2, "--cross", 1)[0] == 0
    *_, last = train(tmp_path / "anew", "--epochs", 2, "--overwrite", "--timeout", 1e-6)[2]
    assert last.endswith("; to resume, give the same command with --resume instead of --overwrite.")
    code, out_lines, err_lines = train(tmp_path, *words, "--timeout", 1e-6)
    assert code == 0
    assert err_lines == [f"fold {k}: skipped, because --timeout had passed." for k in (0,)]
    assert out_lines[-1] == f"network: {tmp_path}/fold1/mlp.ckpt"


@pytest.mark.parametrize(("words", "without"), [([], ""), (["--overwrite"], " without --overwrite")])
def test_interruption_of_the_report_leaves_the_training_finished(
    train_with_report, tmp_path, monkeypatch, words, without
):
    with monkeypatch.context() as patch:
        patch.setattr("gait.report.training.write_report.draw_figures", lambda _: os.kill(os.getpid(), signal.SIGINT))
        code, out_lines, err_lines = train_with_report(tmp_path, "--epochs", 1, *words)
    assert (code, out_lines) == (130, [])
    assert err_lines[-1] == (
        "Stopped while the report was being written; the training is finished: the same "
        f"command{without} writes the report."
    )
    assert train_with_report(tmp_path, "--epochs", 1)[::2] == (0, [])


def test_two_runs_cannot_train_the_same_fold(train, tmp_path):
    with folder_lock(tmp_path / "fold0-mlp"):
        code, out_lines, (line,) = train(tmp_path, "--epochs", 1)
    assert (code, out_lines) == (1, [])
    assert line.startswith(f"fold 0: another run (process {os.getpid()} on ")
    assert line.endswith("is training this fold.")


# --- several folds, several processes ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def separate_folds(poses, tmp_path_factory):
    """A folder in which every fold was trained alone."""
    folder = tmp_path_factory.mktemp("each")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command_module, "write_report", no_report)
        for fold in range(2):
            words = flags(folder, poses, "--epochs", 2, "--k_folds", 2, "--cross", fold)
            assert train_network("mlp", ABOUT, words) == 0
    return folder


def test_parallel_folds_equal_single_folds_and_evaluate_every_subject_once(train_with_report, tmp_path, separate_folds):
    code, out_lines, err_lines = train_with_report(tmp_path, "--epochs", 2, *ALL_OF_TWO_FOLDS)
    assert code == 0, err_lines
    assert sorted(line.split(":")[0] for line in err_lines) == [f"fold {k}" for k in (0, 0, 1, 1)]
    assert_same_training(tmp_path, separate_folds)
    summary = json.loads((tmp_path / "metrics_mlp_all.json").read_text(encoding="utf-8"))
    assert len(summary["probability_by_subject"]) == 2 * NUM_SUBJECTS
    assert summary["crossid"] == [0, 1]
    assert stale_temporaries(tmp_path) == []
    code, again, err_lines = train_with_report(tmp_path, "--epochs", 2, *ALL_OF_TWO_FOLDS)
    assert (code, again, err_lines) == (0, out_lines, [])


def test_failed_fold_does_not_stop_the_others(train_with_report, tmp_path):
    (tmp_path / "fold1").write_text("a file\n", encoding="utf-8")
    code, out_lines, err_lines = train_with_report(tmp_path, "--epochs", 1, "--cross", "all", "--workers", 2)
    assert code == 1
    (line,) = [line for line in err_lines if " epoch " not in line]
    assert line.startswith("fold 1: ")
    assert "cannot be written" in line
    assert sorted(epochs_by_fold(tmp_path)) == ["result_mlp_fold0", "result_mlp_fold2"]
    assert any("folds 0, 2 of 3" in line for line in out_lines), out_lines


def test_fold_of_a_killed_process_continues_after_its_last_epoch(tmp_path, poses):
    (tmp_path / "out").mkdir()
    words = command("out", poses, "--epochs", 15, *ALL_OF_TWO_FOLDS, "--overwrite")
    process = start_process(words, tmp_path)
    err_lines = []
    while not (err_lines and err_lines[-1].startswith("fold 0: epoch 3 of ")):
        err_lines.append(process.stderr.readline())
        assert err_lines[-1]
    holder = (tmp_path / "out" / ".fold0-mlp.lock").read_text(encoding="utf-8")
    os.kill(int(holder.split()[1]), signal.SIGKILL)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 0, rest
    assert "trying once more at the end, alone" in rest
    epochs = [int(line.split()[3]) for line in [*err_lines, *rest.splitlines()] if line.startswith("fold 0: epoch ")]
    assert epochs == sorted(epochs)
    assert (epochs.count(1), epochs[-1]) == (1, 15)
    assert stale_temporaries(tmp_path / "out") == []


def test_unexpected_error_gives_one_line_for_its_fold(train, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("an unexpected error")

    monkeypatch.setattr("gait.learning.train_fold.baseline_predictions", broken)
    code, _, err_lines = train(tmp_path, "--epochs", 1)
    assert code == 1
    assert err_lines[-1].startswith(
        "fold 0: the training failed unexpectedly (ZeroDivisionError: an unexpected error, in "
    )


def test_dask_cluster_trains_the_same_folds(train, tmp_path, separate_folds, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cluster").mkdir()
    with cluster(tmp_path / "cluster", REPOSITORY, "1") as (address, _):
        code, _, err_lines = train("out", "--epochs", 2, "--k_folds", 2, "--cross", "all", "--scheduler", address)
        wrong, _, lines = train("out", "--epochs", 3, "--scheduler", address, "--device", "cuda:77")
    assert code == 0, err_lines
    assert_same_training(tmp_path / "out", separate_folds)
    assert stale_temporaries(tmp_path / "out") == []
    assert wrong == 1
    assert lines == ["fold 0: --device cuda:77: not available on this computer; available: cpu."]


def test_torchrun_trains_as_one_process_and_continues_after_an_error_in_one_process(train, tmp_path, poses):
    """Two processes, and a last batch of which one process has no window; the first two folds fail."""
    before = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2]
    words = ["--epochs", 2, "--batch_size", 139, "--use_pos_ratio"]
    (tmp_path / "two" / "tensorboard_mlp").mkdir(parents=True)
    (tmp_path / "two" / "tensorboard_mlp" / "fold1").write_text("a file\n", encoding="utf-8")
    with folder_lock(tmp_path / "two" / "fold0-mlp"):
        process = start_process(command("two", poses, *words, "--cross", "all", before=before), tmp_path)
        try:
            out_lines, err_lines = process.communicate(timeout=300)
        finally:
            process.terminate()  # also ends both processes if they wait for each other
    lines = [line for line in err_lines.splitlines() if line.startswith("fold ")]
    assert process.returncode == 1
    assert [line.split(":")[0] for line in lines] == ["fold 0", "fold 1", "fold 2", "fold 2"], err_lines
    assert "another run" in lines[0]
    assert "tensorboard_mlp/fold1: cannot be written" in lines[1]
    assert ["epoch 1 of 2" in lines[2], "epoch 2 of 2" in lines[3]] == [True, True]
    assert [line for line in out_lines.splitlines() if "mlp.ckpt" in line] == ["network: two/fold2/mlp.ckpt"]
    assert "GaitError" not in err_lines
    assert train(tmp_path / "one", *words, "--cross", 2)[0] == 0
    one, two = (read_result(tmp_path / name / "result_mlp_fold2.npz") for name in ("one", "two"))
    assert one.training_windows % 139 == 1
    for left, right in zip(one.epochs, two.epochs, strict=True):
        for kind in ("train", "eval"):
            assert right[kind]["loss"] == pytest.approx(left[kind]["loss"], abs=1e-4)
    assert [name for name in stale_temporaries(tmp_path / "two") if not name.endswith(".lock")] == []


# --- wrong input ------------------------------------------------------------------------------------------------------


def test_unusable_trials_give_one_line_each_and_are_excluded(train_with_report, tmp_path, poses):
    base = shutil.copytree(poses, tmp_path / "poses")
    (base / "healthy" / "H0" / "walk1" / "poses.npz").write_bytes(b"PK\x03\x04 cut")
    with np.load(base / "sick" / "S1" / "walk2" / "poses.npz") as data:
        holed = {**data, "joints": np.where(np.arange(24)[:, None, None] == 3, np.nan, data["joints"])}
    np.savez(base / "sick" / "S1" / "walk2" / "poses.npz", **holed)
    write_trial(base, "healthy/H2/short", stick_figure(7))
    write_trial(base, "elsewhere/P9/walk1", stick_figure(24))
    code, out_lines, _ = train_with_report(tmp_path / "out", "--epochs", 1, base=base)
    assert code == 0
    problems = read_result(tmp_path / "out" / "result_mlp_fold0.npz").problems
    for part in ("healthy/H0/walk1", "sick/S1/walk2", "healthy/H2/short: 7 frames", "elsewhere"):
        assert len([line for line in problems if part in line]) == 1, part
        assert any(part in line for line in out_lines), part
    assert len(problems) == 4


def test_subject_names_may_contain_invalid_utf8(train_with_report, tmp_path, poses):
    base = shutil.copytree(poses, tmp_path / "poses")
    for label, letter in (("healthy", "H"), ("sick", "S")):
        for k in range(NUM_SUBJECTS):
            (base / label / f"{letter}{k}").rename(os.fsdecode(os.fsencode(base / label / f"{letter}{k}") + b"\xe9"))
    code, out_lines, err_lines = train_with_report(tmp_path / "out", "--epochs", 1, base=base)
    assert code == 0, err_lines
    assert (tmp_path / "out" / "fold0" / "predictions_mlp.csv").stat().st_size > 100
    assert any(line.startswith("report") for line in out_lines)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda base: shutil.rmtree(base), "no such folder"),
        (lambda base: shutil.rmtree(base / "sick"), "5 healthy and 0 sick"),
        (
            lambda base: [shutil.rmtree(base / f"{name}{k}") for name in ("healthy/H", "sick/S") for k in range(1, 5)],
            "1 ",
        ),
        (lambda base: shutil.rmtree(base / "sick" / "S0") or shutil.rmtree(base / "sick" / "S1"), None),
        (lambda base: [shutil.rmtree(base / "sick" / f"S{k}") for k in range(3)], "3 folds need"),
    ],
    ids=["nothing", "one label", "two subjects", "enough", "too few"],
)
def test_too_few_subjects_give_one_line_with_their_numbers(train, tmp_path, poses, damage, expected):
    base = shutil.copytree(poses, tmp_path / "poses")
    damage(base)
    code, out_lines, lines = train(tmp_path / "out", "--epochs", 1, base=base)
    if expected is None:
        assert code == 0, lines
        return
    assert (code, out_lines) == (2, [])
    assert expected in lines[-1]
    assert not (tmp_path / "out").exists()


def test_trials_that_are_all_too_short_give_one_line(train, tmp_path):
    code, out_lines, (line,) = train(tmp_path / "out", "--interval_size", 128)
    assert (code, out_lines) == (2, [])
    assert "every trial is shorter than a window of 128 frames" in line
    assert "--interval_size" in line


@pytest.mark.parametrize("words", [["--device", "cuda:77"], ["--scheduler", "tcp://127.0.0.1:1"]])
def test_missing_device_or_cluster_gives_one_line(train, tmp_path, words, monkeypatch):
    monkeypatch.setattr(dask_executor, "CONNECT_S", 1)
    code, out_lines, (line,) = train(tmp_path / "out", *words)
    assert (code, out_lines) == (2, [])
    assert line.startswith(" ".join(words))


def test_poses_without_joints_require_a_body_and_a_rate(train, tmp_path):
    frame = {"betas": [[0.0] * 10], "pose": [[0.0] * 225], "translation": [[0.0] * 3]}
    for label in ("healthy", "sick"):
        folder = tmp_path / "poses" / label / "P1" / "walk1"
        folder.mkdir(parents=True)
        (folder / "pose_00000.json").write_text(json.dumps(frame), encoding="utf-8")
    code, _, err_lines = train(tmp_path / "out", base=tmp_path / "poses")
    assert code == 2
    assert "no joints and no frame rate" in err_lines[-1]
    body = REPOSITORY / "data" / "SUPR" / "open_neutral.npz"
    code, _, err_lines = train(tmp_path / "out", "--body", body, "--pose_rate", 50, base=tmp_path / "poses")
    assert code == 2
    assert "every trial is shorter than a window of 8" in err_lines[-1]
