"""Both training scripts, run as a person runs them, on made-up walkers and with networks small enough."""

import csv
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gait.files.folder_lock import folder_lock
from gait.learning.checkpoint import load_checkpoint, load_network
from gait.learning.cross_validation import training_script
from gait.learning.fold_result import read_result, save_result
from gait.learning.trainer import window_probabilities
from gait.motion.dataset import read_gaits
from gait.motion.windows import WindowDataset
from tests.helpers.dask_cluster import cluster
from tests.helpers.motion_cases import stick_walker, write_gait
from tests.helpers.paths import REPOSITORY

PERSONS = 5  # of each label
SHARED = ["--interval_size", "8", "--stride", "4", "--batch_size", "16", "--k_folds", "3", "--lr", "0.003", "--cluster"]
# Windows of 8 frames are too short for MiniRocket, whose compilation takes half a minute.
SIZES = {
    "multi_mlp": ["--pfe_layers", "8", "4", "--fc_layers", "8"],
    "transformer": ["--pfe_dim", "8", "--fc_dim", "8", "--pfe_head", "2", "--fc_head", "2", "--ffn_dim", "16"],
}

pytestmark = pytest.mark.usefixtures("one_thread")


def write_walks(base, persons=PERSONS, frames=24):
    random = np.random.default_rng(0)
    for number in range(persons):
        for label, letter, speed, lean in (("healthy", "H", 1.2, 5), ("sick", "S", 0.8, 20)):
            for walk in (1, 2):
                joints = stick_walker(frames, speed=speed, lean_deg=lean + random.normal(), phase=random.uniform(0, 6))
                noise = 0.005 * random.normal(size=joints.shape)
                write_gait(base, f"{label}/{letter}{number}/walk{walk}", joints + noise)
    return base


@pytest.fixture(scope="module")
def poses(tmp_path_factory):
    return write_walks(tmp_path_factory.mktemp("poses"))


def loaded(script):
    spec = importlib.util.spec_from_file_location(f"train_{script}", REPOSITORY / f"train_{script}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def signals_kept():
    before = {stop: signal.getsignal(stop) for stop in (signal.SIGINT, signal.SIGTERM)}
    yield
    for stop, handler in before.items():
        signal.signal(stop, handler)


@pytest.fixture
def train(capsys, poses, monkeypatch):
    """Runs a script in this process: (exit code, lines of stdout, lines of stderr)."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(save_folder, *words, script="multi_mlp", base=poses):
        folders = ["--base_folder", base, "--save_folder", save_folder]
        asked = [*map(str, [*folders, *SHARED, *SIZES[script], *words])]
        code = training_script(lambda: loaded(script).parse_arguments(asked))
        told = capsys.readouterr()
        assert "Traceback" not in told.out + told.err
        return code, told.out.splitlines(), told.err.splitlines()

    with signals_kept():
        yield run


def command(save_folder, poses, *words, script="multi_mlp", before=(sys.executable,)):
    folders = ["--base_folder", poses, "--save_folder", save_folder]
    file = REPOSITORY / f"train_{script}.py"
    return [*map(str, [*before, file, *folders, *SHARED, *SIZES[script], *words])]


def started(words, folder):
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(words, cwd=folder, env=env, stdout=pipe, stderr=pipe, text=True)


def courses(save_folder, network="mlp"):
    """Of each fold the figures of all epochs but the time they took; NaN as text, so that it equals itself."""
    results = {path.stem: read_result(path) for path in sorted(save_folder.glob(f"result_{network}_fold*.npz"))}
    return {
        name: [repr({kind: epoch[kind] for kind in epoch if kind != "seconds"}) for epoch in result.epochs]
        for name, result in results.items()
    }


def assert_same_training(one, other):
    assert courses(one) == courses(other) != {}
    networks = sorted(path.relative_to(one) for path in one.glob("fold*/*.ckpt"))
    assert networks == sorted(path.relative_to(other) for path in other.glob("fold*/*.ckpt"))
    for path in networks:
        left, right = (load_checkpoint(place / path).weights for place in (one, other))
        assert all(torch.equal(values, right[name]) for name, values in left.items())


def left_over(folder):
    return [path.name for path in folder.rglob(".*")]


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_published_defaults_stand():
    transformer, mlp = (loaded(script).parse_arguments([]) for script in ("transformer", "multi_mlp"))
    assert (transformer.settings.batch_size, transformer.window_length, transformer.settings.epochs) == (8, 64, 1)
    assert (mlp.settings.batch_size, mlp.window_length, mlp.settings.epochs) == (64, 128, 75)
    assert (transformer.settings.learning_rate, mlp.settings.learning_rate) == (1e-4, 1e-5)
    sizes = transformer.architecture.as_dict()
    assert [sizes[name] for name in ("pose_dim", "classifier_dim", "pose_heads", "classifier_heads", "ffn_dim")] == [
        128,
        128,
        2,
        2,
        2048,
    ]
    assert mlp.architecture.pose_layers == mlp.architecture.classifier_layers == (256, 512, 256, 64)
    assert mlp.architecture.kind == "multi_mlp"
    for arguments in (transformer, mlp):
        assert (arguments.settings.seed, arguments.cross, arguments.k_folds, arguments.stride) == (42, 0, 5, 1)
        assert arguments.source.rate_hz == 100
        assert (arguments.mirror, arguments.settings.weigh_classes, arguments.timeout_s) == (True, False, None)
        assert (str(arguments.save_folder), str(arguments.source.base_folder)) == ("out", ".")


@pytest.mark.parametrize("script", ["transformer", "multi_mlp"])
def test_the_docstrings_first_line_is_a_command_that_is_understood(script):
    module = loaded(script)
    words = module.__doc__.splitlines()[0].split()
    assert words[:2] == ["python", f"train_{script}.py"]
    arguments = module.parse_arguments(words[2:])
    assert (arguments.settings.batch_size, arguments.window_length, arguments.settings.epochs) == (64, 128, 25)
    more = ["--timeout", "60", "--use_pos_ratio", "--cluster", "--seed", "7", "--cross", "all"]
    arguments = module.parse_arguments([*words[2:], *more])
    assert (arguments.timeout_s, arguments.settings.weigh_classes, arguments.bars) == (60, True, False)
    assert (arguments.settings.seed, arguments.cross) == (7, None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--epoch", "3"], "--epoch"),
        (["--epochs", "0"], "from 1 on"),
        (["--lr", "nan"], "above 0"),
        (["--seed", "-1"], "from 0 on"),
        (["--seed", str(2**32)], "up to 4294967295"),
        (["--save_folder", ""], "is empty"),
        (["--overwrite", "--resume"], "give one of them"),
        (["--cross", "5"], "of 5 folds, 0 to 4 can be trained"),
        (["--cross", "some"], "or all is needed"),
        (["--pose_rate", "50"], "belong together"),
        (["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], "--workers"),
    ],
)
def test_a_wrong_word_ends_with_a_line_that_names_it(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        loaded("multi_mlp").parse_arguments(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_transformers_window_has_no_more_frames_than_it_has_places_for(capsys):
    assert loaded("transformer").parse_arguments(["--interval_size", "5095"]).window_length == 5095
    with pytest.raises(SystemExit):
        loaded("transformer").parse_arguments(["--interval_size", "5096"])
    assert "--interval_size 5096: a transformer's window has 5095 frames at most" in capsys.readouterr().err


def test_results_may_go_where_one_is():
    assert loaded("multi_mlp").parse_arguments(["--save_folder", "."]).save_folder == Path()


def test_sizes_that_do_not_fit_are_one_line(train, tmp_path):
    code, told, said = train(tmp_path / "out", "--pfe_head", 3, script="transformer")
    assert (code, told, len(said)) == (2, [], 1)
    assert "--pfe_head 3 does not divide --pfe_dim 8" in said[0]


# --- what a run gives -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("script", "network"), [("transformer", "transformer"), ("multi_mlp", "mlp")])
def test_a_fold_is_trained_and_told_about(tmp_path, poses, script, network):
    words = command("out", poses, "--epochs", 2, *(["--lrp"] if network == "mlp" else []), script=script)
    process = started(words, tmp_path)
    told, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert [line.split(":")[:2] for line in said.splitlines()] == [["fold 0", f" epoch {k} of 2"] for k in (1, 2)]
    assert f"out/fold0/{network}.ckpt" in told
    out = tmp_path / "out"
    for name in (f"metrics_{network}_fold0.json", f"report_{network}.html", f"fold0/predictions_{network}.csv"):
        assert (out / name).stat().st_size > 100
    assert list((out / f"tensorboard_{network}").rglob("events*"))
    assert left_over(out) == []
    metrics = json.loads((out / f"metrics_{network}_fold0.json").read_text(encoding="utf-8"))
    assert metrics["epochs"] == 2
    figures = {"loss", "accuracy", "precision", "recall", "specificity", "f1"}
    assert all(set(metrics[str(k)][kind]) == figures for k in (0, 1) for kind in ("train", "eval"))
    assert set(metrics["persons"]["roc_auc"]) == {"value", "low", "high"}
    assert {"zero_rule", "walking_speed", "gait_features", "minirocket"} <= set(metrics["baselines"])
    assert metrics["arguments"]["epochs"] == 2
    assert metrics["command"].startswith(f"train_{script}.py --base_folder ")


def test_the_checkpoint_says_all_and_gives_the_written_probabilities(train, tmp_path, poses):
    assert train(tmp_path, "--epochs", 3, "--cross", 1, "--use_pos_ratio")[0] == 0
    network, checkpoint = load_network(tmp_path / "fold1" / "mlp.ckpt", window_length=8)
    result = read_result(tmp_path / "result_mlp_fold1.npz")
    assert (checkpoint.frame_rate_hz, len(checkpoint.joints), checkpoint.fold["index"]) == (100.0, 22, 1)
    assert checkpoint.arguments["lr"] == 0.003
    assert {"gait", "torch", "torch-adopt"} <= set(checkpoint.versions)
    assert checkpoint.mean_window.shape == (8, 22, 3)
    assert checkpoint.metrics["persons"]["roc_auc"]["value"] == pytest.approx(1.0, abs=1.0)
    persons = {f"{label}{k}" for label in ("healthy/H", "sick/S") for k in range(PERSONS)}
    assert set(checkpoint.fold["training"]) | set(checkpoint.fold["evaluation"]) == persons
    assert not set(checkpoint.fold["training"]) & set(checkpoint.fold["evaluation"])
    judged, learnt = (
        [gait for gait in read_gaits(poses).gaits if gait.person in checkpoint.fold[part]]
        for part in ("evaluation", "training")
    )
    windows = WindowDataset(judged, 8, 4)
    assert result.evaluation_windows == len(windows)
    assert result.training_windows == 2 * len(WindowDataset(learnt, 8, 4))
    probability = window_probabilities(network, windows, 16).numpy()
    np.testing.assert_allclose(result.evaluation.probability, probability, atol=1e-12)
    with (tmp_path / "fold1" / "predictions_mlp.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(windows)
    for k, row in enumerate(rows):
        gait = judged[int(windows.gait_index[k])]
        assert (row["person"], row["gait"], row["label"]) == (
            gait.person,
            gait.name,
            "sick" if gait.sick else "healthy",
        )
        assert int(row["first_frame"]) == int(windows.first_frame[k])
        assert float(row["probability"]) == pytest.approx(probability[k], abs=1e-6)


def test_a_finished_fold_is_left_alone_until_something_changes(train, tmp_path, poses):
    assert train(tmp_path / "out", "--epochs", 2)[0] == 0
    kept = tmp_path / "out" / "fold0" / "mlp.ckpt"

    def trained(*words, **more):
        before = kept.stat().st_mtime_ns
        code, told, said = train(tmp_path / "out", *words, **more)
        assert code == 0
        assert any(line.startswith("report") for line in told)
        assert (kept.stat().st_mtime_ns != before) == any(" epoch 1 of " in line for line in said)
        return kept.stat().st_mtime_ns != before

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


def test_a_finished_fold_is_told_of_with_the_poses_as_they_are_now(train, tmp_path, poses):
    base = shutil.copytree(poses, tmp_path / "poses")
    out = tmp_path / "out"
    assert not train(out, "--epochs", 1, base=base)[1][0].startswith("warning")
    trained = (out / "fold0" / "mlp.ckpt").stat().st_mtime_ns
    for path in base.rglob("poses.npz"):  # markers are missing in the recordings of sick persons alone
        with np.load(path) as data:
            seen = np.where(np.arange(24) % 2, 40, 10 if "sick" in path.parts else 40)
            held = {**data, "markers_seen": seen}
        np.savez(path, **held)
    (base / "healthy" / "H9" / "walk1").mkdir(parents=True)
    (base / "healthy" / "H9" / "walk1" / "poses.npz").write_bytes(b"PK\x03\x04 cut")
    code, told, said = train(out, "--epochs", 1, base=base)
    assert (code, said) == (0, [])
    assert (out / "fold0" / "mlp.ckpt").stat().st_mtime_ns == trained
    assert told[0].startswith("warning: ")
    assert any("healthy/H9/walk1" in line for line in told)
    for name in ("metrics_mlp_fold0.json", "metrics_mlp_all.json"):
        metrics = json.loads((out / name).read_text(encoding="utf-8"))
        assert metrics["leak_check"]["leaks"]
        assert any("healthy/H9/walk1" in line for line in metrics["problems"])
    assert "healthy/H9/walk1" in (out / "report_mlp.html").read_text(encoding="utf-8")


def test_a_baseline_that_could_not_be_made_then_is_made_later(train, tmp_path):
    code, first, _ = train(tmp_path, "--epochs", 1)
    whole = read_result(tmp_path / "result_mlp_fold0.npz")
    save_result(replace(whole, baselines=whole.baselines | {"walking_speed": "It was not installed."}), tmp_path)
    trained = (tmp_path / "fold0" / "mlp.ckpt").stat().st_mtime_ns
    assert train(tmp_path, "--epochs", 1) == (code, first, [])
    now = read_result(tmp_path / "result_mlp_fold0.npz")
    assert list(now.baselines) == list(whole.baselines)
    left, right = (result.baselines["walking_speed"].probability for result in (whole, now))
    np.testing.assert_array_equal(left, right)
    assert (tmp_path / "fold0" / "mlp.ckpt").stat().st_mtime_ns == trained
    assert left_over(tmp_path) == []


def test_early_stopping_holds_back_training_persons_and_never_those_who_judge(train, tmp_path):
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


# --- stops ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["multi_mlp", "transformer"])
def test_going_on_gives_the_curve_of_an_unbroken_run(train, tmp_path, script):
    assert train(tmp_path / "whole", "--epochs", 4, script=script)[0] == 0
    assert train(tmp_path / "parts", "--epochs", 1, script=script)[0] == 0
    code, _, said = train(tmp_path / "parts", "--epochs", 4, "--resume", script=script)
    assert code == 0
    assert [line.split(":")[1] for line in said] == [f" epoch {k} of 4" for k in (2, 3, 4)]
    network = "mlp" if script == "multi_mlp" else script
    assert courses(tmp_path / "whole", network) == courses(tmp_path / "parts", network) != {}
    if script == "multi_mlp":
        assert_same_training(tmp_path / "whole", tmp_path / "parts")


def test_it_goes_on_only_from_a_training_of_the_same_kind(train, tmp_path):
    train(tmp_path, "--epochs", 2)
    code, told, (line,) = train(tmp_path, "--epochs", 4, "--resume", "--use_pos_ratio")
    assert (code, told) == (1, [])
    assert "fold0/mlp.ckpt: was trained otherwise (weigh_classes changed)" in line
    code, told, (line,) = train(tmp_path, "--epochs", 1, "--resume")
    assert (code, told) == (1, [])
    assert "has 2 epochs behind it, more than --epochs 1" in line
    (tmp_path / "fold0" / "mlp.ckpt").write_bytes(b"cut")
    code, told, (line,) = train(tmp_path, "--epochs", 4, "--resume")
    assert (code, told) == (1, [])
    assert "fold0/mlp.ckpt: damaged" in line


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stop_costs_one_epoch_at_most(train, tmp_path, poses, how):
    process = started(command("out", poses, "--epochs", 100000), tmp_path)
    said = [process.stderr.readline() for _ in range(3)]
    assert said[2].startswith("fold 0: epoch 3 of "), said
    process.send_signal(how)
    if how == signal.SIGTERM:
        process.send_signal(how)  # as a system that shuts down may
    told, rest = process.communicate(timeout=60)
    out = tmp_path / "out"
    done = len(load_checkpoint(out / "fold0" / "mlp.ckpt").training_state["epochs"])
    assert done >= 3
    assert told == ""
    if how != signal.SIGKILL:
        assert process.returncode == 130
        last = rest.splitlines()[-1]
        assert (
            last == f"Stopped: fold 0 has {done} of 100000 epochs; the same command with --resume goes on from there."
        )
        assert left_over(out) == []
    assert train(out, "--epochs", done + 2, "--resume")[0] == 0
    assert train(tmp_path / "unbroken", "--epochs", done + 2)[0] == 0
    assert_same_training(out, tmp_path / "unbroken")
    assert left_over(out) == []


def test_a_stop_of_several_folds_is_one_line(tmp_path, poses):
    words = command("out", poses, "--epochs", 100000, "--cross", "all", "--workers", 2)
    process = started(words, tmp_path)
    said = [process.stderr.readline() for _ in range(4)]
    process.terminate()
    told, rest = process.communicate(timeout=60)
    assert (process.returncode, told) == (130, "")
    *epochs, last = [*said, *rest.splitlines()]
    assert all(" epoch " in line for line in epochs)
    assert last.startswith(("Stopped: fold 0 has ", "Stopped: fold 1 has "))  # whichever of the two was quicker
    assert last.endswith("of 100000 epochs; the same command with --resume goes on from there.")
    assert left_over(tmp_path / "out") == []


def test_a_timeout_ends_after_its_epoch_and_says_so(train, tmp_path):
    code, told, said = train(tmp_path, "--epochs", 100000, "--timeout", 0.01)
    assert code == 0
    assert said[-1] == (
        "fold 0: stopped by --timeout after epoch 1 of 100000; the same command with --resume goes on from there."
    )
    assert read_result(tmp_path / "result_mlp_fold0.npz").timed_out
    assert any("balanced accuracy" in line.lower() for line in told)
    code, _, said = train(tmp_path, "--epochs", 100000, "--timeout", 0.01, "--resume")
    assert said[0].startswith("fold 0: epoch 2 of ")


def test_a_timeout_before_the_first_epoch_is_no_failure_and_forgets_no_finished_fold(train, tmp_path):
    words = ["--epochs", 1, "--cross", "all", "--workers", 1]
    code, told, said = train(tmp_path, *words, "--timeout", 1e-6)
    assert (code, told) == (0, [])
    assert said == [f"fold {k}: not begun, as --timeout had passed." for k in range(3)]
    assert train(tmp_path, "--epochs", 1, "--cross", 1)[0] == 0
    *_, last = train(tmp_path / "anew", "--epochs", 2, "--overwrite", "--timeout", 1e-6)[2]
    assert last.endswith("; the same command with --resume in place of --overwrite goes on from there.")
    code, told, said = train(tmp_path, *words, "--timeout", 1e-6)
    assert code == 0
    assert said == [f"fold {k}: not begun, as --timeout had passed." for k in (0, 2)]
    assert told[-1] == f"network: {tmp_path}/fold1/mlp.ckpt"


@pytest.mark.parametrize(("words", "how"), [([], ""), (["--overwrite"], " without --overwrite")])
def test_a_stop_while_the_report_is_written_says_that_training_is_over(train, tmp_path, monkeypatch, words, how):
    with monkeypatch.context() as patch:
        patch.setattr("gait.report.training.write_report.pictures", lambda _: os.kill(os.getpid(), signal.SIGINT))
        code, told, said = train(tmp_path, "--epochs", 1, *words)
    assert (code, told) == (130, [])
    assert said[-1] == (
        f"Stopped while the report was written; training is finished: the same command{how} writes the report."
    )
    assert train(tmp_path, "--epochs", 1)[::2] == (0, [])


def test_two_runs_do_not_write_one_fold(train, tmp_path):
    with folder_lock(tmp_path / "fold0-mlp"):
        code, told, (line,) = train(tmp_path, "--epochs", 1)
    assert (code, told) == (1, [])
    assert line.startswith(f"fold 0: another run (process {os.getpid()} on ")
    assert line.endswith("is training this fold.")


# --- several folds, several processes ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def each(poses, tmp_path_factory):
    """Every fold trained alone."""
    folder = tmp_path_factory.mktemp("each")
    for fold in range(3):
        words = ["--base_folder", poses, "--save_folder", folder, *SHARED, *SIZES["multi_mlp"], "--epochs", 2]
        asked = [*map(str, words), "--cross", str(fold)]
        with signals_kept():
            assert training_script(lambda asked=asked: loaded("multi_mlp").parse_arguments(asked)) == 0
    return folder


def test_all_folds_side_by_side_are_the_same_folds_and_judge_everyone_once(train, tmp_path, each):
    code, told, said = train(tmp_path, "--epochs", 2, "--cross", "all", "--workers", 2)
    assert code == 0, said
    assert sorted(line.split(":")[0] for line in said) == [f"fold {k}" for k in (0, 0, 1, 1, 2, 2)]
    assert_same_training(tmp_path, each)
    summary = json.loads((tmp_path / "metrics_mlp_all.json").read_text(encoding="utf-8"))
    assert len(summary["probability_by_person"]) == 2 * PERSONS
    assert summary["crossid"] == [0, 1, 2]
    assert left_over(tmp_path) == []
    code, again, said = train(tmp_path, "--epochs", 2, "--cross", "all", "--workers", 2)
    assert (code, again, said) == (0, told, [])


def test_a_fold_that_fails_stops_no_other(train, tmp_path):
    (tmp_path / "fold1").write_text("a file\n", encoding="utf-8")
    code, told, said = train(tmp_path, "--epochs", 1, "--cross", "all", "--workers", 2)
    assert code == 1
    (line,) = [line for line in said if " epoch " not in line]
    assert line.startswith("fold 1: ")
    assert "cannot be written" in line
    assert sorted(courses(tmp_path)) == ["result_mlp_fold0", "result_mlp_fold2"]
    assert any("folds 0, 2 of 3" in line for line in told), told


def test_a_fold_whose_process_died_goes_on_from_its_last_epoch(tmp_path, poses):
    (tmp_path / "out").mkdir()
    words = command("out", poses, "--epochs", 15, "--cross", "all", "--workers", 2, "--overwrite")
    process = started(words, tmp_path)
    said = []
    while not (said and said[-1].startswith("fold 0: epoch 3 of ")):
        said.append(process.stderr.readline())
        assert said[-1]
    holder = (tmp_path / "out" / ".fold0-mlp.lock").read_text(encoding="utf-8")
    os.kill(int(holder.split()[1]), signal.SIGKILL)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 0, rest
    assert "tried once more at the end, alone" in rest
    epochs = [int(line.split()[3]) for line in [*said, *rest.splitlines()] if line.startswith("fold 0: epoch ")]
    assert epochs == sorted(epochs)
    assert (epochs.count(1), epochs[-1]) == (1, 15)
    assert left_over(tmp_path / "out") == []


def test_an_unforeseen_error_is_a_line_of_its_fold(train, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("nobody thought of this")

    monkeypatch.setattr("gait.learning.train_fold.baseline_predictions", broken)
    code, _, said = train(tmp_path, "--epochs", 1)
    assert code == 1
    assert said[-1].startswith("fold 0: the training broke off (ZeroDivisionError: nobody thought of this, in ")


def test_a_dask_cluster_trains_the_same_folds(train, tmp_path, each, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cluster").mkdir()
    with cluster(tmp_path / "cluster", REPOSITORY, "1") as (address, _):
        code, _, said = train("out", "--epochs", 2, "--cross", "all", "--scheduler", address)
        wrong, _, lines = train("out", "--epochs", 3, "--scheduler", address, "--device", "cuda:77")
    assert code == 0, said
    assert_same_training(tmp_path / "out", each)
    assert left_over(tmp_path / "out") == []
    assert wrong == 1
    assert lines == ["fold 0: --device cuda:77: there is no such device here; there is cpu."]


def test_torchrun_divides_the_windows_and_makes_the_same_steps(train, tmp_path, poses):
    """Two processes, batches and a last batch that one of them has no window of."""
    words = ["--epochs", 4, "--batch_size", 17, "--use_pos_ratio"]
    before = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2]
    process = started(command("two", poses, *words, before=before), tmp_path)
    told, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert len([line for line in said.splitlines() if line.startswith("fold 0: epoch ")]) == 4, "one of them speaks"
    assert len([line for line in told.splitlines() if "mlp.ckpt" in line]) == 1
    assert train(tmp_path / "one", *words)[0] == 0
    one, two = (read_result(tmp_path / name / "result_mlp_fold0.npz") for name in ("one", "two"))
    assert one.training_windows % 17 == 1
    for left, right in zip(one.epochs, two.epochs, strict=True):
        for kind in ("train", "eval"):
            assert right[kind]["loss"] == pytest.approx(left[kind]["loss"], abs=1e-4)
    assert left_over(tmp_path / "two") == []


def test_what_one_process_of_torchrun_meets_is_a_line_of_its_fold_and_the_others_go_on(tmp_path, poses):
    before = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2]
    (tmp_path / "two" / "tensorboard_mlp").mkdir(parents=True)
    (tmp_path / "two" / "tensorboard_mlp" / "fold1").write_text("a file\n", encoding="utf-8")
    with folder_lock(tmp_path / "two" / "fold0-mlp"):
        process = started(command("two", poses, "--epochs", 1, "--cross", "all", before=before), tmp_path)
        try:
            told, said = process.communicate(timeout=120)
        finally:
            process.terminate()  # ends the two as well, should they wait for each other
    lines = [line for line in said.splitlines() if line.startswith("fold ")]
    assert process.returncode == 1
    assert [line.split(":")[0] for line in lines] == ["fold 0", "fold 1", "fold 2"], said
    assert "another run" in lines[0]
    assert "tensorboard_mlp/fold1: cannot be written" in lines[1]
    assert "epoch 1 of 1" in lines[2]
    assert "two/fold2/mlp.ckpt" in told
    assert "GaitError" not in said


# --- wrong input ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_used_is_a_line_each_and_the_rest_goes_on(train, tmp_path, poses):
    base = shutil.copytree(poses, tmp_path / "poses")
    (base / "healthy" / "H0" / "walk1" / "poses.npz").write_bytes(b"PK\x03\x04 cut")
    with np.load(base / "sick" / "S1" / "walk2" / "poses.npz") as data:
        holed = {**data, "joints": np.where(np.arange(24)[:, None, None] == 3, np.nan, data["joints"])}
    np.savez(base / "sick" / "S1" / "walk2" / "poses.npz", **holed)
    write_gait(base, "healthy/H2/short", stick_walker(7))
    write_gait(base, "elsewhere/P9/walk1", stick_walker(24))
    code, told, _ = train(tmp_path / "out", "--epochs", 1, base=base)
    assert code == 0
    problems = read_result(tmp_path / "out" / "result_mlp_fold0.npz").problems
    for part in ("healthy/H0/walk1", "sick/S1/walk2", "healthy/H2/short: 7 frames", "elsewhere"):
        assert len([line for line in problems if part in line]) == 1, part
        assert any(part in line for line in told), part
    assert len(problems) == 4


def test_a_name_in_letters_of_another_time_costs_nothing(train, tmp_path, poses):
    base = shutil.copytree(poses, tmp_path / "poses")
    for label, letter in (("healthy", "H"), ("sick", "S")):
        for k in range(PERSONS):
            (base / label / f"{letter}{k}").rename(os.fsdecode(os.fsencode(base / label / f"{letter}{k}") + b"\xe9"))
    code, told, said = train(tmp_path / "out", "--epochs", 1, base=base)
    assert code == 0, said
    assert (tmp_path / "out" / "fold0" / "predictions_mlp.csv").stat().st_size > 100
    assert any(line.startswith("report") for line in told)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda base: shutil.rmtree(base), "no such folder"),
        (lambda base: shutil.rmtree(base / "sick"), "5 healthy and 0 ill"),
        (
            lambda base: [shutil.rmtree(base / f"{name}{k}") for name in ("healthy/H", "sick/S") for k in range(1, 5)],
            "1 ",
        ),
        (lambda base: shutil.rmtree(base / "sick" / "S0") or shutil.rmtree(base / "sick" / "S1"), None),
        (lambda base: [shutil.rmtree(base / "sick" / f"S{k}") for k in range(3)], "3 folds need"),
    ],
    ids=["nothing", "one label", "two persons", "enough", "too few"],
)
def test_too_few_persons_are_one_line_that_counts_them(train, tmp_path, poses, spoil, said):
    base = shutil.copytree(poses, tmp_path / "poses")
    spoil(base)
    code, told, lines = train(tmp_path / "out", "--epochs", 1, base=base)
    if said is None:
        assert code == 0, lines
        return
    assert (code, told) == (2, [])
    assert said in lines[-1]
    assert not (tmp_path / "out").exists()


def test_recordings_that_are_all_too_short_are_one_line(train, tmp_path):
    code, told, (line,) = train(tmp_path / "out", "--interval_size", 128)
    assert (code, told) == (2, [])
    assert "every recording is shorter than a window of 128 frames" in line
    assert "--interval_size" in line


@pytest.mark.parametrize("words", [["--device", "cuda:77"], ["--scheduler", "tcp://127.0.0.1:1"]])
def test_what_is_not_there_is_one_line(train, tmp_path, words):
    code, told, (line,) = train(tmp_path / "out", *words)
    assert (code, told) == (2, [])
    assert line.startswith(" ".join(words))


def test_poses_without_joints_need_a_body_and_a_rate(train, tmp_path):
    frame = {"betas": [[0.0] * 10], "pose": [[0.0] * 225], "translation": [[0.0] * 3]}
    for label in ("healthy", "sick"):
        folder = tmp_path / "poses" / label / "P1" / "walk1"
        folder.mkdir(parents=True)
        (folder / "pose_00000.json").write_text(json.dumps(frame), encoding="utf-8")
    code, _, said = train(tmp_path / "out", base=tmp_path / "poses")
    assert code == 2
    assert "without joints and rate" in said[-1]
    body = REPOSITORY / "data" / "SUPR" / "open_neutral.npz"
    code, _, said = train(tmp_path / "out", "--body", body, "--pose_rate", 50, base=tmp_path / "poses")
    assert code == 2
    assert "every recording is shorter than a window of 8" in said[-1]
