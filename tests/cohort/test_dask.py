"""The same cohort on a Dask cluster of this machine: the same poses, and plain lines where it cannot be."""

import json
import os
import subprocess
import sys

import pytest

import gait
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.cohort.cohort_file import read_cohort
from gait.cohort.fit_settings import FitSettings, person_folder
from gait.cohort.fit_subject import fit_cohort
from gait.cohort.run_cohort import FitTask, run_cohort
from gait.errors import GaitError
from gait.files.folder_lock import folder_lock
from gait.parallel.dask_executor import DaskExecutor, task_there
from gait.parallel.task_queue import Locked
from gait.synthetic import MarkerErrors, make_person, make_walk
from tests.helpers.dask_cluster import cluster
from tests.helpers.fitting_cases import OPEN_BODY, model_folder, write_c3d
from tests.helpers.paths import REPOSITORY

distributed = pytest.importorskip("distributed")

ERRORS = MarkerErrors(placement_m=0.005, technical_along_m=0.02, noise_m=0.001, gap_share=0.01)


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory):
    """Models, and a walk of each of two persons."""
    place = tmp_path_factory.mktemp("laboratory")
    model_folder(place / "data")
    body = load_body(OPEN_BODY)
    layout = plug_in_gait_layout(body)
    for number, name in enumerate(("anna", "bert")):
        walk = make_walk(body, make_person(body, number), seconds=0.5, seed=1)
        write_c3d(place / f"{name}.c3d", body, layout, walk, ERRORS)
    entries = {name: {"gaits": [f"{name}.c3d"], "healthy": True} for name in ("anna", "bert")}
    (place / "cohort.json").write_text(json.dumps(entries), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("cluster"), REPOSITORY, "2") as (address, _):
        yield address


def run(laboratory, *words):
    command = [
        sys.executable,
        str(REPOSITORY / "shape_optimizer.py"),
        "--cohort",
        "cohort.json",
        "--model_folder",
        "data",
    ]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [*command, *map(str, words)], cwd=laboratory, env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def poses_in(save_folder):
    return {str(p.parent.relative_to(save_folder)): p.read_bytes() for p in sorted(save_folder.rglob("poses.npz"))}


def test_a_cluster_gives_the_same_poses(laboratory, scheduler, monkeypatch):
    """Two persons at a time in two threads of one process; paths are relative to where the command runs."""
    done = run(laboratory, "--save_folder", "out", "--scheduler", scheduler)
    assert done.returncode == 0, done.stderr
    assert "2 fitted, 0 finished before, 0 failed; results in out" in done.stdout
    assert not list((laboratory / "out").rglob(".*"))
    assert len(list((laboratory / "out").rglob("fit.png"))) == 2
    monkeypatch.chdir(laboratory)
    here = FitSettings(laboratory / "data", laboratory / "here", pictures=False)
    assert [o.state for o in fit_cohort(read_cohort("cohort.json"), here)] == ["fitted"] * 2
    assert poses_in(laboratory / "out") == poses_in(laboratory / "here")
    again = run(laboratory, "--save_folder", "out")
    assert "0 fitted, 2 finished before, 0 failed" in again.stdout, "here or on a cluster is the same run"


def test_a_person_whom_another_run_has_is_tried_again(laboratory, scheduler, tmp_path, monkeypatch):
    monkeypatch.chdir(laboratory)
    subjects = read_cohort("cohort.json")
    settings = FitSettings(laboratory / "data", tmp_path / "out", pictures=False)
    settings.save_folder.mkdir()
    lines, order = [], []
    other = folder_lock(person_folder(settings.save_folder, subjects[0]))
    assert other.__enter__()
    with DaskExecutor(settings.save_folder, scheduler, lines.append) as crew:
        for outcome in run_cohort(subjects, settings, crew, lines.append):
            order.append((outcome.subject, outcome.state))
            if len(order) == 1:
                other.__exit__(None, None, None)
    assert order == [("bert", "fitted"), ("anna", "fitted")]
    assert [line.split(":")[0] for line in lines] == ["anna"]


def test_a_scheduler_that_ends_is_one_line_and_what_was_finished_stays(laboratory, tmp_path):
    words = ["--cohort", "cohort.json", "--model_folder", "data", "--save_folder", str(tmp_path / "out")]
    with cluster(tmp_path, REPOSITORY, "1") as (address, server):
        process = subprocess.Popen(
            [sys.executable, str(REPOSITORY / "shape_optimizer.py"), *words, "--scheduler", address],
            cwd=laboratory,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        first = process.stderr.readline()
        server.kill()
        told, said = process.communicate(timeout=120)
    assert first.startswith("1 of 2: ")
    assert process.returncode == 1
    assert told == ""
    assert said == f"{address}: the Dask scheduler is gone; the same command goes on from here.\n"
    assert len(poses_in(tmp_path / "out")) >= 1
    assert not list((tmp_path / "out").glob(".*"))


def test_where_no_scheduler_answers_nothing_is_begun(laboratory):
    done = run(laboratory, "--save_folder", "nowhere", "--scheduler", "tcp://127.0.0.1:1")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("--scheduler tcp://127.0.0.1:1: no Dask scheduler answers there")


@pytest.mark.parametrize("address", ["nonsense://x", "127.0.0.1:99999", ""])
def test_an_address_that_is_none_is_one_line(laboratory, address):
    done = run(laboratory, "--save_folder", "nowhere", "--scheduler", address)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--scheduler" in done.stderr


def test_workers_here_and_a_cluster_are_two_wishes(laboratory):
    done = run(laboratory, "--workers", 2, "--scheduler", "tcp://127.0.0.1:1")
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_the_package_that_lacks_is_named(laboratory, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(GaitError, match=r"gait-suite\[dask\]"):
        DaskExecutor(laboratory / "out", "tcp://127.0.0.1:1", print)


def test_a_worker_that_sees_another_folder_or_has_another_gait_says_so(laboratory, tmp_path):
    (subject, _) = read_cohort(laboratory / "cohort.json")
    task = FitTask(subject, FitSettings(laboratory / "data", tmp_path))
    with pytest.raises(GaitError, match="does not see this folder"):
        task_there(task, tmp_path / ".shared-0", gait.__version__)
    with pytest.raises(GaitError, match=r"a worker has gait .* this command 9\.9"):
        task_there(task, tmp_path / ".shared-0", "9.9")
    (tmp_path / ".shared-0").touch()
    with folder_lock(person_folder(tmp_path, subject)):
        assert isinstance(task_there(task, tmp_path / ".shared-0", gait.__version__), Locked)


def test_a_worker_without_the_suite_is_named(laboratory, tmp_path, monkeypatch):
    """A cluster whose workers have distributed alone."""
    monkeypatch.chdir(laboratory)
    settings = FitSettings(laboratory / "data", tmp_path / "out", pictures=False)
    settings.save_folder.mkdir()
    blocked = tmp_path / "blocked"
    (blocked / "gait").mkdir(parents=True)
    (blocked / "gait" / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'gait'\")\n")
    with cluster(tmp_path, blocked, "1") as (address, _), DaskExecutor(settings.save_folder, address, print) as crew:
        outcomes = list(run_cohort(read_cohort("cohort.json"), settings, crew, print))
    assert [o.state for o in outcomes] == ["failed"] * 2
    for outcome in outcomes:
        assert "cannot load the suite (No module named 'gait')" in outcome.line
        assert "\n" not in outcome.line
