"""Fit a cohort on a local Dask cluster: the poses are the same, and errors are one line each."""

import json
import os
import subprocess
import sys

import pytest

from gait.cohort.cohort_file import read_cohort
from gait.cohort.fit_settings import FitSettings, subject_folder
from gait.cohort.run_cohort import FitTask, run_cohort
from gait.errors import GaitError
from gait.files.fingerprint import STAGE_VERSIONS
from gait.files.folder_lock import folder_lock
from gait.parallel import dask_executor
from gait.parallel.dask_executor import CODE_VERSION, DaskExecutor, run_on_worker
from gait.parallel.task_queue import Locked
from tests.helpers.dask_cluster import cluster
from tests.helpers.fit_cohort import run_script_here
from tests.helpers.paths import REPOSITORY

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def workspace(laboratory):
    """Folder with models, one recording of each of two subjects, and a cohort file with relative paths."""
    entries = {name: {"trials": [f"{name}/walk1.c3d"], "healthy": True} for name in ("bert", "cleo")}
    (laboratory / "two.json").write_text(json.dumps(entries), encoding="utf-8")
    return laboratory


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("cluster"), REPOSITORY, "2") as (address, _):
        yield address


def run(workspace, *words):
    command = [
        sys.executable,
        str(REPOSITORY / "shape_optimizer.py"),
        "--cohort",
        "two.json",
        "--model_folder",
        "data",
    ]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [*command, *map(str, words)], cwd=workspace, env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def run_here(workspace, *words):
    return run_script_here(workspace, "--cohort", "two.json", "--model_folder", "data", *words)


def poses_in(save_folder):
    return {str(p.parent.relative_to(save_folder)): p.read_bytes() for p in sorted(save_folder.rglob("poses.npz"))}


def test_dask_cluster_gives_the_same_poses(workspace, scheduler, fitted_cohort):
    """Two subjects at a time in two threads of one process; paths are relative to the working directory."""
    done = run(workspace, "--save_folder", "out", "--scheduler", scheduler)
    assert done.returncode == 0, done.stderr
    assert "2 fitted, 0 already finished, 0 failed; results in out" in done.stdout
    assert not list((workspace / "out").rglob(".*"))
    assert len(list((workspace / "out").rglob("fit.png"))) == 2
    assert poses_in(workspace / "out").items() <= poses_in(fitted_cohort).items()
    assert len(poses_in(workspace / "out")) == 2
    again = run_here(workspace, "--save_folder", "out")
    assert "0 fitted, 2 already finished, 0 failed" in again.stdout, "a local run accepts the results of the cluster"


def test_dask_retries_subject_locked_by_another_run(workspace, scheduler, tmp_path, monkeypatch):
    monkeypatch.chdir(workspace)
    subjects = read_cohort("two.json")
    settings = FitSettings(workspace / "data", tmp_path / "out", figures=False)
    settings.save_folder.mkdir()
    messages, order = [], []
    other = folder_lock(subject_folder(settings.save_folder, subjects[0]))
    assert other.__enter__()
    with DaskExecutor(settings.save_folder, scheduler, messages.append) as executor:
        for outcome in run_cohort(subjects, settings, executor, messages.append):
            order.append((outcome.subject, outcome.state))
            if len(order) == 1:
                other.__exit__(None, None, None)
    assert order == [("cleo", "fitted"), ("bert", "fitted")]
    assert [message.split(":")[0] for message in messages] == ["bert"]


def test_dask_scheduler_that_ends_is_one_message_and_keeps_results(workspace, tmp_path):
    words = ["--cohort", "two.json", "--model_folder", "data", "--save_folder", str(tmp_path / "out")]
    with cluster(tmp_path, REPOSITORY, "1") as (address, server):
        process = subprocess.Popen(
            [sys.executable, str(REPOSITORY / "shape_optimizer.py"), *words, "--scheduler", address],
            cwd=workspace,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        first = process.stderr.readline()
        server.kill()
        stdout, stderr = process.communicate(timeout=120)
    assert first.startswith("1 of 2: ")
    assert process.returncode == 1
    assert stdout == ""
    assert stderr == f"{address}: the Dask scheduler has ended; run the same command again to continue.\n"
    assert len(poses_in(tmp_path / "out")) >= 1
    assert not list((tmp_path / "out").glob(".*"))


def test_dask_scheduler_that_does_not_answer(workspace, monkeypatch):
    monkeypatch.setattr(dask_executor, "CONNECT_S", 1)
    done = run_script_here(
        workspace,
        "--cohort",
        "two.json",
        "--model_folder",
        "data",
        "--save_folder",
        "nowhere",
        "--scheduler",
        "tcp://127.0.0.1:1",
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("--scheduler tcp://127.0.0.1:1: no Dask scheduler answers there")


@pytest.mark.parametrize("address", ["nonsense://x", "127.0.0.1:99999", ""])
def test_dask_scheduler_address_that_is_invalid(workspace, address):
    done = run_script_here(
        workspace, "--cohort", "two.json", "--model_folder", "data", "--save_folder", "nowhere", "--scheduler", address
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--scheduler" in done.stderr


def test_workers_and_scheduler_exclude_each_other(workspace):
    done = run_script_here(
        workspace, "--cohort", "two.json", "--model_folder", "data", "--workers", 2, "--scheduler", "tcp://127.0.0.1:1"
    )
    assert done.returncode == 2
    assert "--workers is for local processes" in done.stderr


def test_dask_executor_names_missing_package(workspace, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(GaitError, match=r"gait-suite\[dask\]"):
        DaskExecutor(workspace / "out", "tcp://127.0.0.1:1", print)


def test_run_on_worker_refuses_other_folder_or_other_version(workspace, tmp_path):
    (subject, _) = read_cohort(workspace / "two.json")
    task = FitTask(subject, FitSettings(workspace / "data", tmp_path))
    with pytest.raises(GaitError, match="does not see this folder"):
        run_on_worker(task, tmp_path / ".shared-0", CODE_VERSION)
    with pytest.raises(GaitError, match=r"a worker has gait .* this command 9\.9"):
        run_on_worker(task, tmp_path / ".shared-0", "9.9")
    ours = STAGE_VERSIONS["fit"]
    with pytest.raises(GaitError, match=rf"'fit': {ours}.* this command .*'fit': 99"):
        run_on_worker(task, tmp_path / ".shared-0", CODE_VERSION.replace(f"'fit': {ours}", "'fit': 99"))
    (tmp_path / ".shared-0").touch()
    with folder_lock(subject_folder(tmp_path, subject)):
        assert isinstance(run_on_worker(task, tmp_path / ".shared-0", CODE_VERSION), Locked)


def test_dask_worker_without_gait_fails_the_trials(workspace, tmp_path, monkeypatch):
    """The workers of the cluster have ``distributed`` only."""
    monkeypatch.chdir(workspace)
    settings = FitSettings(workspace / "data", tmp_path / "out", figures=False)
    settings.save_folder.mkdir()
    blocked = tmp_path / "blocked"
    (blocked / "gait").mkdir(parents=True)
    (blocked / "gait" / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'gait'\")\n")
    with (
        cluster(tmp_path, blocked, "1") as (address, _),
        DaskExecutor(settings.save_folder, address, print) as executor,
    ):
        outcomes = list(run_cohort(read_cohort("two.json"), settings, executor, print))
    assert [o.state for o in outcomes] == ["failed"] * 2
    for outcome in outcomes:
        assert "cannot import gait (No module named 'gait')" in outcome.message
        assert "\n" not in outcome.message
