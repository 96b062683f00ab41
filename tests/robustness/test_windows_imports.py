"""All modules can be imported, and a fit and a training run, without POSIX modules, POSIX signals and fork."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gait.motion.pose_files import read_poses
from gait.synthetic.__main__ import main as write_synthetic
from tests.helpers.motion_cases import stick_figure, write_trial
from tests.helpers.paths import OPEN_BODY, REPOSITORY

HIDE = """
import os, signal, sys

import filelock  # has its own locks for Windows; here it needs fcntl

for name in ("fcntl", "resource", "pwd", "grp", "termios", "multiprocessing.forkserver"):
    sys.modules[name] = None  # an import raises ModuleNotFoundError
for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGALRM", "pthread_sigmask", "setitimer"):
    delattr(signal, name)
for name in ("fork", "forkpty", "sched_getaffinity", "getuid", "geteuid", "killpg", "setsid"):
    delattr(os, name)
"""

IMPORT_ALL = """
import importlib, pkgutil
import gait

for module in pkgutil.walk_packages(gait.__path__, "gait."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
for script in ("shape_optimizer", "train_transformer", "train_multi_mlp", "attention_viewer"):
    importlib.import_module(script)
"""

FIT = """
import runpy, sys
sys.argv[0] = "shape_optimizer.py"
runpy.run_path("shape_optimizer.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a Python without what Windows lacks."""
    folder = tmp_path_factory.mktemp("windows")
    (folder / "sitecustomize.py").write_text(HIDE, encoding="utf-8")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)]), "OMP_NUM_THREADS": "1"}


def run(environment: dict[str, str], *words: object) -> str:
    found = subprocess.run(
        [sys.executable, *map(str, words)], env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def test_no_module_uses_a_signal_that_windows_lacks() -> None:
    for source in (REPOSITORY / "gait").rglob("*.py"):  # the standard library itself needs this one on Linux
        assert "SIGKILL" not in source.read_text(encoding="utf-8"), source


@pytest.mark.slow
def test_all_modules_and_scripts_can_be_imported_and_a_fit_runs_in_a_spawned_process(
    windows: dict[str, str], tmp_path: Path
) -> None:
    cohort = {"healthy_1": {"trials": [str(tmp_path / "walk1.c3d")], "healthy": True, "model_file": OPEN_BODY.name}}
    (tmp_path / "cohort.json").write_text(json.dumps(cohort), encoding="utf-8")
    folders = ["--cohort", str(tmp_path / "cohort.json"), "--model_folder", str(OPEN_BODY.parents[1])]
    assert write_synthetic(folders) == 0
    run(windows, "-c", IMPORT_ALL + FIT, *folders, "--save_folder", tmp_path / "out", "--no_pictures")
    assert read_poses(tmp_path / "out/healthy/healthy_1/walk1").num_frames > 100


@pytest.mark.slow
def test_training_of_two_folds_in_a_spawned_process(windows: dict[str, str], tmp_path: Path) -> None:
    for label in ("healthy", "sick"):
        for subject in "ABCD":
            write_trial(tmp_path / "poses", f"{label}/{subject}/walk1", stick_figure(24, phase=ord(subject)))
    run(windows, "train_multi_mlp.py", "--base_folder", tmp_path / "poses", "--save_folder", tmp_path / "out",
        "--epochs", 1, "--interval_size", 8, "--stride", 4, "--k_folds", 2, "--cross", "all", "--workers", 1,
        "--pfe_layers", 8, 4, "--fc_layers", 8)  # fmt: skip
    assert len(list((tmp_path / "out").glob("fold*/mlp.ckpt"))) == 2
