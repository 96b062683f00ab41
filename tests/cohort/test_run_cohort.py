"""Fit a cohort with several processes and runs that are interrupted: results are kept, temporary files are removed."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.cohort.cohort_file import read_cohort
from gait.cohort.fit_settings import FitSettings, subject_folder
from gait.cohort.fit_subject import fit_subject
from gait.cohort.run_cohort import FIT_MODULE, run_cohort
from gait.errors import GaitError
from gait.files.atomic_write import atomic_directory, remove_stale_temporaries
from gait.files.folder_lock import folder_lock
from gait.parallel.process_pool import CoreAllocation, ProcessPool, allocate_cores
from gait.synthetic import MeasurementErrors, make_subject, make_trial
from tests.helpers.fit_cohort import fit_cohort
from tests.helpers.fitting_cases import OPEN_BODY, model_folder, write_c3d
from tests.helpers.paths import REPOSITORY

ERRORS = MeasurementErrors(placement_m=0.005, technical_along_m=0.02, noise_m=0.001, gap_fraction=0.01)
SUBJECTS = ("anna", "bert", "cleo")
TRIALS = {f"healthy/{name}/walk{k}" for name in SUBJECTS for k in (1, 2)}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Folder with models and two recordings of each of three subjects."""
    folder = tmp_path_factory.mktemp("laboratory")
    model_folder(folder / "data")
    body = load_body(OPEN_BODY)
    layout = plug_in_gait_layout(body)
    entries = {}
    for number, name in enumerate(SUBJECTS):
        subject = make_subject(body, number)
        paths = [folder / name / f"walk{k}.c3d" for k in (1, 2)]
        for k, path in enumerate(paths, 1):
            write_c3d(path, body, layout, make_trial(body, subject, seconds=0.5, seed=k), ERRORS)
        entries[name] = {"trials": [str(path) for path in paths], "healthy": True}
    (folder / "cohort.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def subjects(workspace):
    return read_cohort(workspace / "cohort.json")


@pytest.fixture(scope="module")
def expected_poses(workspace, subjects):
    """Poses of all trials, fitted one after the other in this process."""
    settings = FitSettings(workspace / "data", workspace / "expected_poses", figures=False)
    assert [o.state for o in fit_cohort(subjects, settings)] == ["fitted"] * 6
    return poses_in(settings.save_folder)


@pytest.fixture
def settings(workspace, tmp_path):
    return FitSettings(workspace / "data", tmp_path / "out", figures=False)


def poses_in(save_folder):
    return {str(p.parent.relative_to(save_folder)): p.read_bytes() for p in sorted(save_folder.rglob("poses.npz"))}


def command(settings, *words):
    script = str(REPOSITORY / "shape_optimizer.py")
    folders = ["--model_folder", settings.model_folder, "--save_folder", settings.save_folder]
    cohort = settings.model_folder.parent / "cohort.json"
    return [sys.executable, script, "--cohort", *map(str, (cohort, *folders, *words)), "--no_pictures"]


def start_command(settings, *words, threads="1", **more):
    """Start the command as the leader of its own process group."""
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": threads}
    pipe = subprocess.PIPE
    words = command(settings, *words)
    return subprocess.Popen(words, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True, **more)


def ends_within(group, seconds=10.0):
    """Return True if a process group ends within ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


# --- several processes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "threads"), [(1, "2"), (3, "1")])
def test_run_cohort_poses_do_not_depend_on_processes_or_threads(settings, expected_poses, workers, threads):
    process = start_command(settings, "--workers", workers, threads=threads)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    rows = [line.split()[:2] for line in stdout.splitlines()[1:7]]
    assert rows == [[name, f"walk{k}"] for name in SUBJECTS for k in (1, 2)], "in the order of the cohort"
    assert poses_in(settings.save_folder) == expected_poses
    assert not list(settings.save_folder.rglob(".*"))
    assert ends_within(process.pid)


def test_allocate_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert allocate_cores(3, 2) == CoreAllocation(2, 4)
    assert allocate_cores(3, 20) == CoreAllocation(3, 2)
    assert allocate_cores(20, 20) == CoreAllocation(20, 1)
    assert allocate_cores(1, None) == CoreAllocation(1, 8)
    assert allocate_cores(20, None, "cuda") == CoreAllocation(1, 8)
    everything = allocate_cores(1000, None)
    assert everything.workers <= 8
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert allocate_cores(3, 2) == CoreAllocation(2, 4)
    assert allocate_cores(1000, None).workers <= 2


def test_run_cohort_repeats_subject_of_killed_worker(settings, subjects, expected_poses):
    """As when memory runs out; the subject is fitted again at the end, alone."""
    messages, outcomes = [], []
    with ProcessPool(CoreAllocation(2, 1), FIT_MODULE) as executor:
        for outcome in run_cohort(subjects, settings, executor, messages.append):
            if not outcomes:
                worker = next(w for w in executor._workers if w.task.name == outcome.subject)
                worker.process.kill()
            outcomes.append(outcome)
    assert sorted((o.subject, o.trial) for o in outcomes) == [(name, f"walk{k}") for name in SUBJECTS for k in (1, 2)]
    assert {o.state for o in outcomes} == {"fitted"}
    (message,) = messages
    assert "SIGKILL" in message
    assert "--workers" in message
    assert poses_in(settings.save_folder) == expected_poses
    assert not list(settings.save_folder.rglob(".*"))


def test_run_cohort_fails_subject_whose_worker_is_killed_twice(settings, subjects):
    messages, outcomes, killed = [], [], set()
    with ProcessPool(CoreAllocation(1, 1), FIT_MODULE) as executor:
        submit = executor.submit

        def submit_and_kill(task):
            submit(task)
            if task.name == "bert":
                (worker,) = executor._workers
                worker.process.kill()
                killed.add(worker.process.pid)

        executor.submit = submit_and_kill
        outcomes = list(run_cohort(subjects[:2], settings, executor, messages.append))
    assert len(killed) == 2
    assert [(o.subject, o.state) for o in outcomes] == [("anna", "fitted")] * 2 + [("bert", "failed")] * 2
    assert all("was killed (SIGKILL)" in o.message and "\n" not in o.message for o in outcomes[2:])


# --- interruptions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_interruption_is_one_message_and_next_run_continues(settings, expected_poses, stop_signal):
    process = start_command(settings, "--workers", "2")
    lines = [process.stderr.readline()]
    assert lines[0].startswith("1 of 6: "), lines
    os.killpg(process.pid, stop_signal)
    stdout, rest = process.communicate(timeout=60)
    lines += rest.splitlines()
    assert process.returncode == 130
    assert stdout == ""
    assert all(" of 6: " in line for line in lines[:-1]), lines
    saved = poses_in(settings.save_folder)
    assert lines[-1].startswith("Stopped: ")
    assert lines[-1].endswith("of 6 trials are finished; run the same command again to continue.")
    assert 1 <= int(lines[-1].split()[1]) <= len(saved) < 6
    assert saved.items() <= expected_poses.items()
    assert not list(settings.save_folder.rglob(".*"))
    assert ends_within(process.pid)
    again = start_command(settings)
    stdout, stderr = again.communicate(timeout=300)
    assert again.returncode == 0, stderr
    assert f"{6 - len(saved)} fitted, {len(saved)} already finished, 0 failed" in stdout
    assert poses_in(settings.save_folder) == expected_poses


def test_workers_end_with_killed_parent(settings):
    process = start_command(settings, "--workers", "2")
    assert process.stderr.readline().startswith("1 of 6: ")
    process.kill()  # only the parent
    process.communicate(timeout=60)
    assert ends_within(process.pid)


# --- two runs --------------------------------------------------------------------------------------------------------


def test_two_runs_share_the_subjects(settings, expected_poses):
    first, second = start_command(settings), start_command(settings)
    outputs = [process.communicate(timeout=300) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert poses_in(settings.save_folder) == expected_poses
    fitted = [int(stdout.split(" fitted, ")[0].split()[-1]) for stdout, _ in outputs]
    assert sum(fitted) == 6, "each trial once"
    assert not list(settings.save_folder.rglob(".*"))


def test_run_cohort_fits_locked_subject_last(settings, subjects):
    folder = subject_folder(settings.save_folder, subjects[0])
    messages, order = [], []
    with ProcessPool(CoreAllocation(1, 1), FIT_MODULE) as executor:
        other = folder_lock(folder)
        assert other.__enter__()
        for outcome in run_cohort(subjects, settings, executor, messages.append):
            order.append(outcome.subject)
            if len(order) == 4:
                other.__exit__(None, None, None)
    assert order == ["bert"] * 2 + ["cleo"] * 2 + ["anna"] * 2
    (message,) = messages
    assert message.startswith(f"anna: another run (process {os.getpid()} on ")


# --- folders that cannot be written ----------------------------------------------------------------------------------


def test_remove_stale_temporaries_restores_old_folders(tmp_path):
    names = (".walk1.partial-0a1b", ".walk1.old-0a1b", ".walk2.partial-77", ".walk.3.old-9f", "walk2", ".mine")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "poses.npz").write_text(name, encoding="utf-8")
    shutil.copytree(tmp_path / "walk2", tmp_path / ".walk2.old-3")
    remove_stale_temporaries(tmp_path)
    assert {path.name: (path / "poses.npz").read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {
        "walk1": ".walk1.old-0a1b",
        "walk.3": ".walk.3.old-9f",
        "walk2": "walk2",
        ".mine": ".mine",
    }
    remove_stale_temporaries(tmp_path / "absent")


def test_fit_subject_after_kill_between_two_renames(settings, subjects, monkeypatch):
    """The old folder was renamed, the new one is not yet at its path."""
    one = replace(subjects[0], trials=subjects[0].trials[:1])
    assert [o.state for o in fit_subject(one, settings)] == ["fitted"]
    folder = subject_folder(settings.save_folder, one)
    poses = (folder / "walk1" / "poses.npz").read_bytes()
    (folder / "walk1").rename(folder / ".walk1.old-12")
    shutil.copytree(folder / ".walk1.old-12", folder / ".walk1.partial-12")
    assert [o.state for o in fit_subject(one, settings)] == ["already finished"]
    assert (folder / "walk1" / "poses.npz").read_bytes() == poses
    assert [path.name for path in folder.iterdir()] == ["walk1"]


def test_fit_subject_removes_temporaries_of_killed_run(settings, subjects):
    """All trials are finished; temporary folders are removed nevertheless, unless another run has the lock."""
    one = replace(subjects[0], trials=subjects[0].trials[:1])
    list(fit_subject(one, settings))
    folder = subject_folder(settings.save_folder, one)
    lock = folder.with_name(".anna.lock")

    def leave_temporaries():
        lock.touch()
        shutil.copytree(folder / "walk1", folder / ".walk1.partial-12")

    leave_temporaries()
    assert [o.state for o in fit_subject(one, settings)] == ["already finished"]
    assert [path.name for path in settings.save_folder.rglob(".*")] == []
    with folder_lock(folder):
        leave_temporaries()
        assert [o.state for o in fit_subject(one, settings)] == ["already finished"]
        assert (folder / ".walk1.partial-12").is_dir(), "the other run may be writing it"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut"])
def test_fit_subject_repeats_trial_with_damaged_poses(settings, subjects, content):
    one = replace(subjects[0], trials=subjects[0].trials[:1])
    assert [o.state for o in fit_subject(one, settings)] == ["fitted"]
    poses = subject_folder(settings.save_folder, one) / "walk1" / "poses.npz"
    whole = poses.read_bytes()
    poses.write_bytes(content)
    assert [o.state for o in fit_subject(one, settings)] == ["fitted"]
    assert poses.read_bytes() == whole


def test_full_disk_is_one_message_per_trial(settings, subjects):
    """A limit on the file size: the first file that is too large cannot be completed."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    process = start_command(settings, preexec_fn=limit)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "Traceback" not in stderr
    failed = [line for line in stdout.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 6
    for line in failed:
        assert "cannot be written (File too large); check the folder and its free space." in line
    assert not list(settings.save_folder.rglob("*.npz"))
    assert not list(settings.save_folder.rglob(".*"))


def test_fit_subject_checks_folder_before_fit(settings, subjects, monkeypatch):
    def fit(*_, **__):
        raise AssertionError("must not be fitted")

    monkeypatch.setattr("gait.cohort.fit_subject.fit_recordings", fit)
    settings.save_folder.mkdir()
    (settings.save_folder / "healthy").write_text("a file\n", encoding="utf-8")
    outcomes = list(fit_subject(subjects[0], settings))
    assert [o.state for o in outcomes] == ["failed"] * 2
    assert all("healthy/anna: cannot be written" in o.message and "\n" not in o.message for o in outcomes)
    outcomes = list(fit_subject(replace(subjects[0], name="a" * 255, healthy=False), settings))
    assert all("File name too long" in o.message for o in outcomes)


def test_fit_subject_with_missing_recording(settings, subjects, workspace, monkeypatch):
    from gait.cohort import fit_subject as fit_module

    missing = subjects[0].trials[0]
    read = fit_module.read_recording

    def read_or_fail(path, **more):
        if path == missing:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return read(path, **more)

    monkeypatch.setattr(fit_module, "read_recording", read_or_fail)
    first, second = fit_subject(subjects[0], settings)
    assert (first.state, second.state) == ("failed", "fitted")
    assert first.message == f"{missing}: No such file or directory; check the file and its folder."


def test_fit_subject_does_not_lock_finished_trials(settings, subjects, monkeypatch):
    list(fit_subject(subjects[0], settings))

    def no_lock(*_):
        raise AssertionError("must not be locked")

    monkeypatch.setattr("gait.cohort.fit_subject.folder_lock", no_lock)
    assert [o.state for o in fit_subject(subjects[0], settings)] == ["already finished"] * 2


def test_atomic_directory_keeps_old_folder_after_error(tmp_path):
    folder = tmp_path / "walk1"
    folder.mkdir()
    (folder / "mine").touch()

    def on_a_full_disk():
        with atomic_directory(folder) as partial:
            partial.mkdir()
            raise OSError(28, "No space left on device")

    with pytest.raises(GaitError, match="walk1: cannot be written"):
        on_a_full_disk()
    assert [path.name for path in tmp_path.rglob("*")] == ["walk1", "mine"]
