"""``read_dataset``: all usable trials are read; each other one is reported in one line."""

import contextlib
import json
import math
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.exporting.pose_json import write_json_frames
from gait.motion.dataset import dataset_hash
from gait.motion.read_dataset import read_dataset
from tests.helpers.fitting_cases import OPEN_BODY
from tests.helpers.motion_cases import stand_walk_stand, stick_figure, write_trial

REPORT = {
    "markers": {name: {"mean_mm": 2.0, "visible": 1.0} for name in ("RASI", "LASI", "C7", "T10")}
    | {"SACR": {"mean_mm": None, "visible": 0.0}},
    "stature_m": 1.74,
}


@pytest.fixture
def base(tmp_path):
    """Four trials of two healthy subjects and a sick one."""
    for number, name in enumerate(["healthy/P01/walk2", "healthy/P01/walk1", "healthy/P02/walk1", "sick/Q/walk1"]):
        write_trial(tmp_path, name, stick_figure(40 + number))
    return tmp_path


def names(found):
    return [trial.trial_id for trial in found.trials]


ALL = ["healthy/P01/walk1", "healthy/P01/walk2", "healthy/P02/walk1", "sick/Q/walk1"]


def assert_one_problem(found, *words):
    """Assert that there is one problem, one printable line with these texts, and return it."""
    (line,) = found.problems
    assert line.isprintable()
    for word in words:
        assert word in line
    return line


# --- valid input -----------------------------------------------------------------------------------------------------


def test_read_dataset_sorts_and_labels_trials(base):
    found = read_dataset(base)
    assert names(found) == ALL
    assert found.problems == ()
    assert [trial.subject_id for trial in found.trials] == ["healthy/P01", "healthy/P01", "healthy/P02", "sick/Q"]
    assert [trial.sick for trial in found.trials] == [False, False, False, True]
    first = found.trials[0]
    assert (first.subject, first.trial_name, first.rate_hz, first.folder) == ("P01", "walk1", 100.0, base / ALL[0])
    assert first.joints_m.dtype == np.float32
    np.testing.assert_array_equal(first.joints_m, stick_figure(41).astype(np.float32))


def test_read_dataset_resamples_to_one_rate(base):
    write_trial(base, "sick/Q/walk2", stick_figure(101, rate_hz=250), rate_hz=250.0)
    write_trial(base, "sick/Q/walk3", stick_figure(21, rate_hz=50), rate_hz=50.0)
    found = read_dataset(base)
    assert {trial.rate_hz for trial in found.trials} == {100.0}
    for trial, rate_hz, frames in zip(found.trials[-2:], (250.0, 50.0), (101, 21), strict=True):
        assert (trial.acquisition.rate_hz, trial.acquisition.num_frames) == (rate_hz, frames)
        assert trial.joints_m.shape == (41, 22, 3)
        np.testing.assert_allclose(trial.joints_m, stick_figure(41), atol=1e-3)
    assert len(read_dataset(base, 50.0).trials[0].joints_m) == 21


def test_read_dataset_reads_acquisition_info(base):
    num_visible = np.full(40, 4)
    num_visible[:10] = 0
    folder = write_trial(base, "sick/Q/walk2", stick_figure(40), num_visible_markers=num_visible)
    (folder / "fit_report.json").write_text(json.dumps(REPORT), encoding="utf-8")
    with_report, without = read_dataset(base).trials[-1].acquisition, read_dataset(base).trials[0].acquisition
    assert (with_report.markers, with_report.stature_m, with_report.missing_fraction) == (
        ("C7", "LASI", "RASI", "T10"),
        1.74,
        0.25,
    )
    assert without.markers == ()
    assert math.isnan(without.stature_m)
    assert math.isnan(without.missing_fraction)


def test_read_dataset_reads_segments_as_trials(base):
    for number in (10, 2, 1):
        write_trial(
            base,
            f"sick/Q/walk3/segment{number}",
            stick_figure(30 + number),
            num_visible_markers=np.full(30 + number, 4),
        )
    (base / "sick/Q/walk3/fit_report.json").write_text(json.dumps(REPORT), encoding="utf-8")
    segments = read_dataset(base).trials[-3:]
    assert [segment.trial_name for segment in segments] == ["walk3/segment1", "walk3/segment2", "walk3/segment10"]
    assert [len(segment.joints_m) for segment in segments] == [31, 32, 40]
    assert {segment.subject_id for segment in segments} == {"sick/Q"}
    assert {segment.acquisition.markers for segment in segments} == {("C7", "LASI", "RASI", "T10")}


def test_read_dataset_needs_body_for_poses_without_joints(base):
    body = load_body(OPEN_BODY)
    folder = base / "sick/Q/frames"
    folder.mkdir()
    rest = PoseSequence(
        np.zeros((5, body.num_pose), np.float32), np.zeros(50, np.float32), np.zeros((5, 3), np.float32),
        np.zeros((5, 22, 3), np.float32), 50.0, body.name,
    )  # fmt: skip
    write_json_frames(folder, rest)
    found = read_dataset(base)
    assert names(found) == ALL
    assert_one_problem(found, str(folder), "give --body and --pose_rate")
    found = read_dataset(base, body=body, pose_rate_hz=50.0, keep_standing=True)
    assert names(found) == sorted([*ALL, "sick/Q/frames"])
    assert found.problems == ()
    assert found.trials[-2].joints_m.shape == (9, 22, 3)


# --- invalid input ---------------------------------------------------------------------------------------------------


def test_read_dataset_ignores_and_reports_other_folders(base):
    write_trial(base, "trained_mlp/P09/walk1", stick_figure())
    write_trial(base, "Healthy_old/P09/walk1", stick_figure())
    write_trial(base, ".hidden/P09/walk1", stick_figure())
    found = read_dataset(base)
    assert names(found) == ALL
    assert_one_problem(found, "only healthy and sick are read", "Healthy_old, trained_mlp.")


def test_read_dataset_ignores_hidden_folders_and_locks(base):
    write_trial(base, "healthy/P01/.walk1.partial-00ff", stick_figure())
    write_trial(base, "healthy/.P03.old-00ff/walk1", stick_figure())
    (base / "healthy/.P01.lock").touch()
    found = read_dataset(base)
    assert (names(found), found.problems) == (ALL, ())


def test_read_dataset_reports_unexpected_files(base):
    (base / "notes.txt").touch()
    assert names(read_dataset(base)) == ALL
    assert_one_problem(read_dataset(base), str(base), "only folders are expected here", "notes.txt")
    (base / "notes.txt").unlink()
    (base / "healthy/P02/poses.npz").touch()
    (base / "healthy/P02/loop").symlink_to("loop")
    assert names(read_dataset(base)) == ALL
    assert_one_problem(read_dataset(base), str(base / "healthy/P02"), "<subject>/<trial>/", "loop, poses.npz.")


def damaged(path):
    path.write_bytes(path.read_bytes()[:300])


def without_numbers(key):
    def damage(path):
        with np.load(path) as archive:
            arrays = dict(archive)
        arrays[key] = arrays[key].copy()
        arrays[key].reshape(-1)[7] = np.nan
        np.savez_compressed(path, **arrays)

    return damage


def low_frame_rate(path):
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez_compressed(path, **arrays | {"mocap_frame_rate": np.float64(10.0)})


def far_away(path):
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez_compressed(path, **arrays | {"joints": arrays["joints"] * np.float32(1e30)})


def a_folder_instead(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (damaged, "damaged"),
        (lambda path: path.write_bytes(b""), "poses.npz"),
        (lambda path: path.unlink(), "no poses.npz"),
        (a_folder_instead, "poses.npz"),
        (without_numbers("joints"), "joints holds values that are not finite numbers; fit this trial again"),
        (without_numbers("poses"), "poses holds values that are not finite numbers; fit this trial again"),
        (far_away, "joint positions are beyond 100 km"),
        (low_frame_rate, "its frame rate is 10 Hz; it must be between 20 and 1000"),
    ],
)
def test_read_dataset_reports_unusable_trial_in_one_line(base, damage, expected):
    damage(base / "healthy/P01/walk2/poses.npz")
    found = read_dataset(base)
    assert names(found) == [name for name in ALL if name != "healthy/P01/walk2"]
    assert_one_problem(found, str(base / "healthy/P01/walk2"), expected)


def test_read_dataset_excludes_only_the_damaged_segment(base):
    for number in (1, 2):
        write_trial(base, f"sick/Q/walk3/segment{number}", stick_figure(30))
    damaged(base / "sick/Q/walk3/segment1/poses.npz")
    found = read_dataset(base)
    assert names(found) == [*ALL, "sick/Q/walk3/segment2"]
    assert_one_problem(found, "segment1/poses.npz")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"markers": []}', '{"markers": {"C7": 3}, "stature_m": 1}', "\xff"])
def test_read_dataset_keeps_poses_beside_damaged_report(base, text):
    (base / "sick/Q/walk1/fit_report.json").write_text(text, encoding="latin1")
    found = read_dataset(base)
    assert names(found) == ALL
    assert_one_problem(found, "fit_report.json", "the poses beside it are used")
    assert found.trials[-1].acquisition.markers == ()


@pytest.mark.parametrize("num_visible", [np.zeros(40, int), np.ones((40, 2), int), np.full(40, 0.5), np.full(7, 3)])
def test_read_dataset_ignores_invalid_marker_counts(base, num_visible):
    write_trial(base, "sick/Q/walk2", stick_figure(40), num_visible_markers=num_visible)
    assert math.isnan(read_dataset(base).trials[-1].acquisition.missing_fraction)


@pytest.mark.parametrize("case", ["no label folder", "no subject", "no trial", "all damaged"])
def test_read_dataset_reports_label_without_trials(base, case):
    (base / "sick/Q/walk1/poses.npz").unlink()
    if case != "all damaged":
        (base / "sick/Q/walk1").rmdir()
    if case in ("no subject", "no label folder"):
        (base / "sick/Q").rmdir()
    if case == "no label folder":
        (base / "sick").rmdir()
    found = read_dataset(base)
    assert names(found) == ALL[:3]
    assert found.problems[-1].startswith(f"{base / 'sick'}: holds no usable trial")
    assert len(found.problems) == (1 if case in ("no subject", "no label folder") else 2)


def test_read_dataset_raises_without_trials(tmp_path, base):
    for folder, words in (
        (tmp_path / "nowhere", "no such folder"),
        (base / "healthy", "has no folder healthy or sick, its folders: P01, P02; name the folder that"),
        (base / "healthy/P01/walk1", "its folders: none"),
        (base / "healthy/P01/walk1/poses.npz", "poses.npz"),
    ):
        with pytest.raises(GaitError, match=words) as error:
            read_dataset(folder)
        assert str(folder) in str(error.value)
    for path in base.rglob("poses.npz"):
        path.write_bytes(b"no archive")
    (base / "notes.txt").touch()
    (base / "trained_mlp").mkdir()
    with pytest.raises(GaitError, match=r"holds no usable trial; the first reason: .*P01/walk1"):
        read_dataset(base)


def test_read_dataset_reports_subject_under_both_labels(base):
    write_trial(base, "sick/P01/post", stick_figure())
    found = read_dataset(base)
    assert [trial.subject_id for trial in found.trials if trial.subject == "P01"] == ["healthy/P01"] * 2 + ["sick/P01"]
    assert_one_problem(found, "P01: occurs under both healthy and sick", "same fold")


def test_read_dataset_checks_frame_rate_before_reading(tmp_path):
    with pytest.raises(GaitError, match="the requested frame rate is 5 Hz"):
        read_dataset(tmp_path / "nowhere", 5.0)


@contextlib.contextmanager
def as_unprivileged_user():
    """Run as a user without privileges if the current one is root."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no user ids on this platform")
@pytest.mark.parametrize("closed", ["healthy", "healthy/P01", "healthy/P01/walk1", "healthy/P01/walk1/poses.npz"])
def test_read_dataset_reports_unreadable_path(closed):
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        base.chmod(0o755)
        for name in ALL:
            write_trial(base, name, stick_figure())
        (base / closed).chmod(0)
        try:
            with as_unprivileged_user():
                found = read_dataset(base)
        finally:
            (base / closed).chmod(0o755)
        assert names(found) == [name for name in ALL if not f"{name}/poses.npz".startswith(closed)]
        assert str(base / closed) in found.problems[0]
        assert len(found.problems) == (2 if closed == "healthy" else 1)
        assert "Permission denied" in found.problems[0]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no user ids on this platform")
@pytest.mark.parametrize("closed", ["healthy", "healthy/P01", "healthy/P01/walk1", "healthy/P03/walk1"])
def test_read_dataset_reports_folder_without_search_permission(closed):
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        base.chmod(0o755)
        for name in ALL:
            write_trial(base, name, stick_figure())
        for segment in ("segment1", "segment2"):
            write_trial(base, f"healthy/P03/walk1/{segment}", stick_figure())
        before = names(read_dataset(base))
        (base / closed).chmod(0o644)
        try:
            with as_unprivileged_user():
                found = read_dataset(base)
        finally:
            (base / closed).chmod(0o755)
        assert names(found) == [name for name in before if not f"{name}/".startswith(f"{closed}/")]
        assert str(base / closed) in found.problems[0]
        assert len(found.problems) == (2 if closed == "healthy" else 1)
        assert "Permission denied" in found.problems[0]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no user ids on this platform")
def test_read_dataset_raises_for_unreadable_poses_folder():
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "poses"
        write_trial(base, ALL[0], stick_figure())
        for closed, mode in [(base, 0o311), (base, 0o644), (Path(folder), 0o644)]:
            Path(folder).chmod(0o755)
            closed.chmod(mode)
            with as_unprivileged_user(), pytest.raises(GaitError, match=r"poses: cannot be read \(Permission denied"):
                read_dataset(base)


def test_read_dataset_escapes_control_characters_in_names(base):
    (base / "healthy/P\x1b[31m").mkdir()
    assert_one_problem(read_dataset(base), r"\x1b[31m", "holds no folder of a trial")


# --- walking alone ---------------------------------------------------------------------------------------------------


def test_read_dataset_finds_the_walk_between_two_stands(base):
    joints = stand_walk_stand(stick_figure(400), 150, 120)
    write_trial(base, "sick/Q/walk2", joints)
    found = read_dataset(base, min_frames=40)
    assert_one_problem(found, "sick/Q/walk2", "standing 2.", "not used, --keep_standing")
    (walk,) = found.trials[-1].walks
    assert 150 <= walk.start < walk.stop <= 550
    assert walk.stop - walk.start > 250
    assert all(trial.walks == (slice(0, len(trial.joints_m)),) for trial in found.trials[:-1])
    kept = read_dataset(base, min_frames=40, keep_standing=True)
    assert kept.problems == ()
    assert kept.trials[-1].walks == (slice(0, len(joints)),)
    assert dataset_hash(kept) != dataset_hash(found)


def test_read_dataset_leaves_out_a_trial_without_a_walk(base):
    before = read_dataset(base)
    write_trial(base, "sick/Q/static", np.repeat(stick_figure(1), 300, axis=0))
    found = read_dataset(base)
    assert names(found) == ALL
    assert_one_problem(found, "sick/Q/static: no walking in it (standing 3.0 s); excluded")
    assert dataset_hash(found) == dataset_hash(before)
    assert "sick/Q/static" in names(read_dataset(base, keep_standing=True))


def test_read_dataset_of_standing_alone_is_an_error(tmp_path):
    write_trial(tmp_path, "sick/Q/static", np.repeat(stick_figure(1), 300, axis=0))
    with pytest.raises(GaitError, match="no walking in it"):
        read_dataset(tmp_path)
