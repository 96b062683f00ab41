"""Several processes, several runs, and what ends them: nothing finished is lost, nothing else stays."""

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
from gait.cohort.fit_settings import FitSettings, person_folder
from gait.cohort.fit_subject import fit_cohort, fit_subject
from gait.cohort.run_cohort import FIT_MODULE, run_cohort
from gait.errors import GaitError
from gait.files import folder_lock as locks
from gait.files.atomic_write import clear_left_over, replacing
from gait.files.folder_lock import folder_lock
from gait.parallel.process_pool import CoreAllocation, ProcessPool, share_of_cores
from gait.parallel.task_queue import LockedError
from gait.synthetic import MarkerErrors, make_person, make_walk
from tests.helpers.fitting_cases import OPEN_BODY, model_folder, write_c3d
from tests.helpers.paths import REPOSITORY

ERRORS = MarkerErrors(placement_m=0.005, technical_along_m=0.02, noise_m=0.001, gap_share=0.01)
PERSONS = ("anna", "bert", "cleo")
GAITS = {f"healthy/{name}/walk{k}" for name in PERSONS for k in (1, 2)}


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory):
    """Models, and two walks of each of three persons."""
    place = tmp_path_factory.mktemp("laboratory")
    model_folder(place / "data")
    body = load_body(OPEN_BODY)
    layout = plug_in_gait_layout(body)
    entries = {}
    for number, name in enumerate(PERSONS):
        person = make_person(body, number)
        paths = [place / name / f"walk{k}.c3d" for k in (1, 2)]
        for k, path in enumerate(paths, 1):
            write_c3d(path, body, layout, make_walk(body, person, seconds=0.5, seed=k), ERRORS)
        entries[name] = {"gaits": [str(path) for path in paths], "healthy": True}
    (place / "cohort.json").write_text(json.dumps(entries), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def subjects(laboratory):
    return read_cohort(laboratory / "cohort.json")


@pytest.fixture(scope="module")
def undisturbed(laboratory, subjects):
    """Poses of each gait, fitted in this process one after the other."""
    settings = FitSettings(laboratory / "data", laboratory / "undisturbed", pictures=False)
    assert [o.state for o in fit_cohort(subjects, settings)] == ["fitted"] * 6
    return poses_in(settings.save_folder)


@pytest.fixture
def settings(laboratory, tmp_path):
    return FitSettings(laboratory / "data", tmp_path / "out", pictures=False)


def poses_in(save_folder):
    return {str(p.parent.relative_to(save_folder)): p.read_bytes() for p in sorted(save_folder.rglob("poses.npz"))}


def command(settings, *words):
    script = str(REPOSITORY / "shape_optimizer.py")
    folders = ["--model_folder", settings.model_folder, "--save_folder", settings.save_folder]
    cohort = settings.model_folder.parent / "cohort.json"
    return [sys.executable, script, "--cohort", *map(str, (cohort, *folders, *words)), "--no_pictures"]


def started(settings, *words, threads="1", **more):
    """The command as a process, the leader of a group of its own."""
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": threads}
    pipe = subprocess.PIPE
    words = command(settings, *words)
    return subprocess.Popen(words, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True, **more)


def gone(group, seconds=10.0):
    """Whether a process group ends within so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


# --- several processes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "threads"), [(1, "2"), (3, "1")])
def test_poses_do_not_depend_on_processes_or_threads(settings, undisturbed, workers, threads):
    process = started(settings, "--workers", workers, threads=threads)
    told, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    rows = [line.split()[:2] for line in told.splitlines()[1:7]]
    assert rows == [[name, f"walk{k}"] for name in PERSONS for k in (1, 2)], "in the cohort's order, whoever was first"
    assert poses_in(settings.save_folder) == undisturbed
    assert not list(settings.save_folder.rglob(".*"))
    assert gone(process.pid)


def test_cores_are_shared_out(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert share_of_cores(3, 2) == CoreAllocation(2, 4)
    assert share_of_cores(3, 20) == CoreAllocation(3, 2)
    assert share_of_cores(20, 20) == CoreAllocation(20, 1)
    assert share_of_cores(1, None) == CoreAllocation(1, 8)
    assert share_of_cores(20, None, "cuda") == CoreAllocation(1, 8)
    everything = share_of_cores(1000, None)
    assert everything.workers <= 8
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert share_of_cores(3, 2) == CoreAllocation(2, 4)
    assert share_of_cores(1000, None).workers <= 2


def test_a_worker_that_is_killed_costs_nobody_anything(settings, subjects, undisturbed):
    """What memory that runs out does; its person is fitted again alone."""
    lines, outcomes = [], []
    with ProcessPool(CoreAllocation(2, 1), FIT_MODULE) as crew:
        for outcome in run_cohort(subjects, settings, crew, lines.append):
            if not outcomes:
                worker = next(w for w in crew._workers if w.task.name == outcome.subject)
                worker.process.kill()
            outcomes.append(outcome)
    assert sorted((o.subject, o.gait) for o in outcomes) == [(name, f"walk{k}") for name in PERSONS for k in (1, 2)]
    assert {o.state for o in outcomes} == {"fitted"}
    (line,) = lines
    assert "SIGKILL" in line
    assert "--workers" in line
    assert poses_in(settings.save_folder) == undisturbed
    assert not list(settings.save_folder.rglob(".*"))


def test_a_person_whose_worker_dies_again_fails_alone(settings, subjects):
    lines, outcomes, killed = [], [], set()
    with ProcessPool(CoreAllocation(1, 1), FIT_MODULE) as crew:
        begin = crew.begin

        def begin_and_kill(task):
            begin(task)
            if task.name == "bert":
                (worker,) = crew._workers
                worker.process.kill()
                killed.add(worker.process.pid)

        crew.begin = begin_and_kill
        outcomes = list(run_cohort(subjects[:2], settings, crew, lines.append))
    assert len(killed) == 2
    assert [(o.subject, o.state) for o in outcomes] == [("anna", "fitted")] * 2 + [("bert", "failed")] * 2
    assert all("was killed (SIGKILL)" in o.line and "\n" not in o.line for o in outcomes[2:])


# --- stops -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_one_line_and_the_next_run_goes_on(settings, undisturbed, how):
    process = started(settings, "--workers", "2")
    said = [process.stderr.readline()]
    assert said[0].startswith("1 of 6: "), said
    os.killpg(process.pid, how)
    told, rest = process.communicate(timeout=60)
    said += rest.splitlines()
    assert process.returncode == 130
    assert told == ""
    assert all(" of 6: " in line for line in said[:-1]), said
    there = poses_in(settings.save_folder)
    assert said[-1].startswith("Stopped: ")
    assert said[-1].endswith("of 6 gaits are finished and stay; the same command goes on from there.")
    assert 1 <= int(said[-1].split()[1]) <= len(there) < 6
    assert there.items() <= undisturbed.items()
    assert not list(settings.save_folder.rglob(".*"))
    assert gone(process.pid)
    again = started(settings)
    told, said = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert f"{6 - len(there)} fitted, {len(there)} finished before, 0 failed" in told
    assert poses_in(settings.save_folder) == undisturbed


def test_workers_end_with_the_command_that_was_killed(settings):
    process = started(settings, "--workers", "2")
    assert process.stderr.readline().startswith("1 of 6: ")
    process.kill()  # it alone
    process.communicate(timeout=60)
    assert gone(process.pid)


# --- two runs --------------------------------------------------------------------------------------------------------


def test_two_runs_share_the_work(settings, undisturbed):
    first, second = started(settings), started(settings)
    told = [process.communicate(timeout=300) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), told
    assert poses_in(settings.save_folder) == undisturbed
    fitted = [int(out.split(" fitted, ")[0].split()[-1]) for out, _ in told]
    assert sum(fitted) == 6, "no gait twice"
    assert not list(settings.save_folder.rglob(".*"))


def test_a_person_whom_another_run_has_comes_last(settings, subjects):
    place = person_folder(settings.save_folder, subjects[0])
    lines, order = [], []
    with ProcessPool(CoreAllocation(1, 1), FIT_MODULE) as crew:
        other = folder_lock(place)
        assert other.__enter__()
        for outcome in run_cohort(subjects, settings, crew, lines.append):
            order.append(outcome.subject)
            if len(order) == 4:
                other.__exit__(None, None, None)
    assert order == ["bert"] * 2 + ["cleo"] * 2 + ["anna"] * 2
    (line,) = lines
    assert line.startswith(f"anna: another run (process {os.getpid()} on ")


def test_a_lock_is_one_runs_and_ends_with_it(tmp_path):
    place = tmp_path / "healthy" / "anna"
    with folder_lock(place) as held:
        assert held
        with pytest.raises(LockedError, match=rf"anna: another run \(process {os.getpid()}"), folder_lock(place):
            pass
        with folder_lock(place.with_name("bert")) as other:
            assert other
    assert not list(tmp_path.rglob("*"))
    place.with_name(".anna.lock").parent.mkdir()
    place.with_name(".anna.lock").write_text("process 1 on a computer that lost its power", encoding="utf-8")
    with folder_lock(place) as held:
        assert held, "a file that nobody holds is no lock"
    assert not list(tmp_path.rglob("*"))


def test_a_lock_that_was_removed_while_it_was_waited_for_does_not_count(tmp_path, monkeypatch):
    """Its holder removes the file; who opened it before then holds a lock that nobody else can see."""
    place, flock, times = tmp_path / "anna", locks.fcntl.flock, []

    def removed_first(descriptor, operation):
        if not times:
            place.with_name(".anna.lock").unlink()
        times.append(descriptor)
        flock(descriptor, operation)

    monkeypatch.setattr(locks.fcntl, "flock", removed_first)
    with folder_lock(place) as held:
        assert held
        with pytest.raises(LockedError), folder_lock(place):
            pass
    assert len(times) == 3


def test_a_file_system_without_locks_is_used_without(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(locks.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", no_locks)
    with folder_lock(tmp_path / "anna") as held:
        assert not held


# --- places that cannot be written -----------------------------------------------------------------------------------


def test_left_overs_of_a_kill_are_cleared_and_what_was_put_aside_comes_back(tmp_path):
    names = (".walk1.partial-0a1b", ".walk1.old-0a1b", ".walk2.partial-77", ".walk.3.old-9f", "walk2", ".mine")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "poses.npz").write_text(name, encoding="utf-8")
    shutil.copytree(tmp_path / "walk2", tmp_path / ".walk2.old-3")
    clear_left_over(tmp_path)
    assert {path.name: (path / "poses.npz").read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {
        "walk1": ".walk1.old-0a1b",
        "walk.3": ".walk.3.old-9f",
        "walk2": "walk2",
        ".mine": ".mine",
    }
    clear_left_over(tmp_path / "absent")


def test_a_kill_between_two_renames_loses_nothing(settings, subjects, monkeypatch):
    """The old folder is put aside, the new one not yet in its place."""
    one = replace(subjects[0], gaits=subjects[0].gaits[:1])
    assert [o.state for o in fit_subject(one, settings)] == ["fitted"]
    place = person_folder(settings.save_folder, one)
    poses = (place / "walk1" / "poses.npz").read_bytes()
    (place / "walk1").rename(place / ".walk1.old-12")
    shutil.copytree(place / ".walk1.old-12", place / ".walk1.partial-12")
    assert [o.state for o in fit_subject(one, settings)] == ["finished before"]
    assert (place / "walk1" / "poses.npz").read_bytes() == poses
    assert [path.name for path in place.iterdir()] == ["walk1"]


def test_a_kill_after_the_last_rename_leaves_nothing_for_long(settings, subjects):
    """All is finished, so nobody fits; what the killed run left is cleared nevertheless, unless a run is at it."""
    one = replace(subjects[0], gaits=subjects[0].gaits[:1])
    list(fit_subject(one, settings))
    place = person_folder(settings.save_folder, one)
    lock = place.with_name(".anna.lock")

    def leave():
        lock.touch()
        shutil.copytree(place / "walk1", place / ".walk1.partial-12")

    leave()
    assert [o.state for o in fit_subject(one, settings)] == ["finished before"]
    assert [path.name for path in settings.save_folder.rglob(".*")] == []
    with folder_lock(place):
        leave()
        assert [o.state for o in fit_subject(one, settings)] == ["finished before"]
        assert (place / ".walk1.partial-12").is_dir(), "the other run may be writing it"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut"])
def test_poses_that_a_power_cut_has_emptied_are_not_finished(settings, subjects, content):
    one = replace(subjects[0], gaits=subjects[0].gaits[:1])
    assert [o.state for o in fit_subject(one, settings)] == ["fitted"]
    poses = person_folder(settings.save_folder, one) / "walk1" / "poses.npz"
    whole = poses.read_bytes()
    poses.write_bytes(content)
    assert [o.state for o in fit_subject(one, settings)] == ["fitted"]
    assert poses.read_bytes() == whole


def test_a_full_disk_is_a_line_for_each_gait(settings, subjects):
    """A limit on the size of files: the first one that is too large cannot be written to its end."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    process = started(settings, preexec_fn=limit)
    told, said = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "Traceback" not in said
    failed = [line for line in told.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 6
    for line in failed:
        assert "cannot be written (File too large); check the place and its space." in line
    assert not list(settings.save_folder.rglob("*.npz"))
    assert not list(settings.save_folder.rglob(".*"))


def test_a_place_that_cannot_be_written_is_known_before_the_fit(settings, subjects, monkeypatch):
    def fit(*_, **__):
        raise AssertionError("fitted in vain")

    monkeypatch.setattr("gait.cohort.fit_subject.fit_checked", fit)
    settings.save_folder.mkdir()
    (settings.save_folder / "healthy").write_text("a file\n", encoding="utf-8")
    outcomes = list(fit_subject(subjects[0], settings))
    assert [o.state for o in outcomes] == ["failed"] * 2
    assert all("healthy/anna: cannot be written" in o.line and "\n" not in o.line for o in outcomes)
    outcomes = list(fit_subject(replace(subjects[0], name="a" * 255, healthy=False), settings))
    assert all("File name too long" in o.line for o in outcomes)


def test_a_recording_that_vanishes_is_its_own_line(settings, subjects, laboratory, monkeypatch):
    from gait.cohort import fit_subject as rooms

    gone_path = subjects[0].gaits[0]
    read = rooms.read_recording

    def vanished(path, **more):
        if path == gone_path:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return read(path, **more)

    monkeypatch.setattr(rooms, "read_recording", vanished)
    first, second = fit_subject(subjects[0], settings)
    assert (first.state, second.state) == ("failed", "fitted")
    assert first.line == f"{gone_path}: No such file or directory; check the file and its place."


def test_finished_gaits_need_no_writing(settings, subjects, monkeypatch):
    list(fit_subject(subjects[0], settings))

    def no_lock(*_):
        raise AssertionError("a folder that is only read needs no lock")

    monkeypatch.setattr("gait.cohort.fit_subject.folder_lock", no_lock)
    assert [o.state for o in fit_subject(subjects[0], settings)] == ["finished before"] * 2


def test_replacing_keeps_what_was_there_if_making_fails(tmp_path):
    place = tmp_path / "walk1"
    place.mkdir()
    (place / "mine").touch()

    def on_a_full_disk():
        with replacing(place) as partial:
            partial.mkdir()
            raise OSError(28, "No space left on device")

    with pytest.raises(GaitError, match="walk1: cannot be written"):
        on_a_full_disk()
    assert [path.name for path in tmp_path.rglob("*")] == ["walk1", "mine"]
