"""Fit a cohort with several processes and runs that are interrupted: results are kept, temporary files are removed."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from gait.cohort import FIT_MODULE
from gait.cohort.fit_settings import subject_folder
from gait.cohort.fit_subject import fit_subject
from gait.cohort.run_cohort import FitTask, read_ahead, run_cohort
from gait.files.folder_lock import folder_lock
from gait.parallel.process_pool import CoreAllocation, ProcessPool
from tests.helpers.fit_cohort import fit_cohort, run_script_here
from tests.helpers.paths import REPOSITORY

TRIALS = [("anna", "walk1"), ("anna", "walk2"), ("bert", "walk1"), ("cleo", "walk1")]


@pytest.fixture(scope="module")
def expected_poses(fitted_cohort):
    """Poses of all trials, fitted one after the other in this process."""
    return poses_in(fitted_cohort)


def poses_in(save_folder):
    return {str(p.parent.relative_to(save_folder)): p.read_bytes() for p in sorted(save_folder.rglob("poses.npz"))}


def flags(settings, *words):
    folders = ["--model_folder", settings.model_folder, "--save_folder", settings.save_folder]
    return ["--cohort", *map(str, (settings.model_folder.parent / "cohort.json", *folders, *words)), "--no_pictures"]


def start_command(settings, *words, threads="1", **more):
    """Start the command as the leader of its own process group."""
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": threads}
    pipe = subprocess.PIPE
    command = [sys.executable, str(REPOSITORY / "shape_optimizer.py"), *flags(settings, *words)]
    return subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True, **more)


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


def test_run_cohort_poses_do_not_depend_on_processes_or_threads(settings, expected_poses):
    process = start_command(settings, "--workers", 2, threads="2")
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert [tuple(line.split()[:2]) for line in stdout.splitlines()[1:5]] == TRIALS, "in the order of the cohort"
    assert poses_in(settings.save_folder) == expected_poses
    assert not list(settings.save_folder.rglob(".*"))
    assert ends_within(process.pid)


def test_run_cohort_repeats_subject_of_killed_worker(settings, subjects, expected_poses):
    """As when memory runs out; the subject is fitted again at the end, alone."""
    messages, outcomes = [], []
    with ProcessPool(CoreAllocation(2, 1), FIT_MODULE) as executor:
        for outcome in run_cohort(subjects, settings, executor, messages.append):
            if not outcomes:
                worker = next(w for w in executor._workers if w.task.name == outcome.subject)
                worker.process.kill()
            outcomes.append(outcome)
    assert sorted((o.subject, o.trial) for o in outcomes) == TRIALS
    assert {o.state for o in outcomes} == {"fitted"}
    (message,) = messages
    assert "SIGKILL" in message
    assert "--workers" in message
    assert poses_in(settings.save_folder) == expected_poses
    assert not list(settings.save_folder.rglob(".*"))


def test_read_ahead_ends_at_a_recording_that_cannot_be_read(settings, subjects, tmp_path):
    subject = next(each for each in subjects if len(each.trials) == 2)
    tasks = list(read_ahead(FitTask(subject, settings)))
    assert [list(task.recordings) for task in tasks] == [list(subject.trials[:1]), list(subject.trials)]
    assert all(recording.path == path for path, recording in tasks[-1].recordings.items())
    assert (tasks[-1].subject, tasks[-1].settings) == (subject, settings)
    missing = replace(subject, trials=(subject.trials[0], tmp_path / "missing.c3d", subject.trials[1]))
    assert [list(task.recordings) for task in read_ahead(FitTask(missing, settings))] == [[subject.trials[0]]]


def test_run_cohort_fails_subject_whose_worker_is_killed_twice(settings, subjects):
    messages, outcomes, killed = [], [], set()
    with ProcessPool(CoreAllocation(1, 1), FIT_MODULE) as executor:
        submit = executor.submit

        def submit_and_kill(task):
            submit(task)
            if task.name == "cleo":
                (worker,) = executor._workers
                worker.process.kill()
                killed.add(worker.process.pid)

        executor.submit = submit_and_kill
        outcomes = list(run_cohort(subjects[1:], settings, executor, messages.append))
    assert len(killed) == 2
    assert [(o.subject, o.state) for o in outcomes] == [("bert", "fitted"), ("cleo", "failed")]
    assert all("was killed (SIGKILL)" in o.message and "\n" not in o.message for o in outcomes[1:])


# --- interruptions ---------------------------------------------------------------------------------------------------


def test_interruption_is_one_message_and_next_run_continues(settings, expected_poses, tmp_path):
    num_saved = 0
    for stop_signal in (signal.SIGINT, signal.SIGTERM):
        process = start_command(settings, "--workers", "1")
        lines = [process.stderr.readline()]
        assert lines[0].startswith("1 of 4: "), lines
        os.killpg(process.pid, stop_signal)
        stdout, rest = process.communicate(timeout=60)
        lines += rest.splitlines()
        assert process.returncode == 130
        assert stdout == ""
        assert all(" of 4: " in line for line in lines[:-1]), lines
        saved = poses_in(settings.save_folder)
        assert lines[-1].startswith("Stopped: ")
        assert lines[-1].endswith("of 4 trials are finished; run the same command again to continue.")
        assert 1 <= int(lines[-1].split()[1]) <= len(saved) < 4
        assert num_saved <= len(saved)
        num_saved = len(saved)
        assert saved.items() <= expected_poses.items()
        assert not list(settings.save_folder.rglob(".*"))
        assert ends_within(process.pid)
    again = run_script_here(tmp_path, *flags(settings))
    assert again.returncode == 0, again.stderr
    assert f"{4 - num_saved} fitted, {num_saved} already finished, 0 failed" in again.stdout
    assert poses_in(settings.save_folder) == expected_poses


def test_workers_end_with_killed_parent(settings):
    process = start_command(settings, "--workers", "2")
    assert process.stderr.readline().startswith("1 of 4: ")
    process.kill()  # only the parent
    process.communicate(timeout=60)
    assert ends_within(process.pid)


# --- two runs --------------------------------------------------------------------------------------------------------


def test_two_runs_share_the_subjects(settings, expected_poses, tmp_path):
    first = start_command(settings)
    second = run_script_here(tmp_path, *flags(settings))
    outputs = [first.communicate(timeout=300), (second.stdout, second.stderr)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert poses_in(settings.save_folder) == expected_poses
    fitted = [int(stdout.split(" fitted, ")[0].split()[-1]) for stdout, _ in outputs]
    assert sum(fitted) == 4, "each trial once"
    assert not list(settings.save_folder.rglob(".*"))


def test_run_cohort_fits_locked_subject_last(finished, subjects):
    folder = subject_folder(finished.save_folder, subjects[0])
    shutil.rmtree(folder)
    shutil.rmtree(subject_folder(finished.save_folder, subjects[1]))
    messages, order = [], []
    other = folder_lock(folder)
    assert other.__enter__()
    for outcome in fit_cohort(subjects, finished, messages.append):
        order.append((outcome.subject, outcome.state))
        if len(order) == 2:
            other.__exit__(None, None, None)
    assert order == [("cleo", "already finished"), ("bert", "fitted")] + [("anna", "fitted")] * 2
    (message,) = messages
    assert message.startswith(f"anna: another run (process {os.getpid()} on ")


# --- nothing to do ---------------------------------------------------------------------------------------------------


def test_run_cohort_starts_nothing_for_finished_subjects(finished, subjects):
    outcomes = list(run_cohort(subjects, finished, executor=None, log=print))
    assert [(outcome.subject, outcome.trial, outcome.state) for outcome in outcomes] == [
        (*trial, "already finished") for trial in TRIALS
    ]
    with pytest.raises(AttributeError, match="slots"):  # of the executor, which a changed setting needs
        list(run_cohort(subjects, replace(finished, repair=True), executor=None, log=print))


def test_finished_cohort_needs_no_torch(finished):
    program = (
        "import runpy, sys; sys.modules['torch'] = None; del sys.argv[0]; "  # an import raises ModuleNotFoundError
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    words = [sys.executable, "-c", program, str(REPOSITORY / "shape_optimizer.py"), *flags(finished)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert "0 fitted, 4 already finished, 0 failed" in done.stdout


# --- folders that cannot be written ----------------------------------------------------------------------------------


def test_fit_subject_after_kill_between_two_renames(finished, subjects):
    """The old folder was renamed, the new one is not yet at its path."""
    one, settings = subjects[1], finished
    folder = subject_folder(settings.save_folder, one)
    poses = (folder / "walk1" / "poses.npz").read_bytes()
    (folder / "walk1").rename(folder / ".walk1.old-12")
    shutil.copytree(folder / ".walk1.old-12", folder / ".walk1.partial-12")
    assert [o.state for o in fit_subject(one, settings)] == ["already finished"]
    assert (folder / "walk1" / "poses.npz").read_bytes() == poses
    assert [path.name for path in folder.iterdir()] == ["walk1"]


def test_fit_subject_removes_temporaries_of_killed_run(finished, subjects):
    """All trials are finished; temporary folders are removed nevertheless, unless another run has the lock."""
    one, settings = subjects[1], finished
    folder = subject_folder(settings.save_folder, one)
    lock = folder.with_name(".bert.lock")

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
def test_fit_subject_repeats_trial_with_damaged_poses(finished, subjects, content):
    one, settings = subjects[1], finished
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
    assert len(failed) == 4
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


def test_fit_subject_with_missing_recording(settings, subjects, monkeypatch):
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


def test_fit_subject_does_not_lock_finished_trials(finished, subjects, monkeypatch):
    def no_lock(*_):
        raise AssertionError("must not be locked")

    monkeypatch.setattr("gait.cohort.fit_subject.folder_lock", no_lock)
    assert [o.state for o in fit_subject(subjects[0], finished)] == ["already finished"] * 2
