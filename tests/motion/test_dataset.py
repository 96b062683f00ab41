"""A folder of fitted gaits is read as it is; what cannot be used is a plain line, and the rest goes on."""

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
from gait.motion.dataset import read_gaits
from gait.motion.pose_files import write_json_frames
from tests.helpers.fitting_cases import OPEN_BODY
from tests.helpers.motion_cases import stick_walker, write_gait

REPORT = {
    "markers": {name: {"mean_mm": 2.0, "visible": 1.0} for name in ("RASI", "LASI", "C7", "T10")}
    | {"SACR": {"mean_mm": None, "visible": 0.0}},
    "stature_m": 1.74,
}


@pytest.fixture
def base(tmp_path):
    """Two healthy persons and an ill one, four gaits."""
    for number, name in enumerate(["healthy/P01/walk2", "healthy/P01/walk1", "healthy/P02/walk1", "sick/Q/walk1"]):
        write_gait(tmp_path, name, stick_walker(40 + number))
    return tmp_path


def names(found):
    return [gait.name for gait in found.gaits]


ALL = ["healthy/P01/walk1", "healthy/P01/walk2", "healthy/P02/walk1", "sick/Q/walk1"]


def the_line(found, *words):
    """The one problem, a plain line with these words in it."""
    (line,) = found.problems
    assert line.isprintable()
    for word in words:
        assert word in line
    return line


# --- what is read ----------------------------------------------------------------------------------------------------


def test_gaits_are_sorted_and_labelled(base):
    found = read_gaits(base)
    assert names(found) == ALL
    assert found.problems == ()
    assert [gait.person for gait in found.gaits] == ["healthy/P01", "healthy/P01", "healthy/P02", "sick/Q"]
    assert [gait.sick for gait in found.gaits] == [False, False, False, True]
    first = found.gaits[0]
    assert (first.subject, first.gait, first.rate_hz, first.folder) == ("P01", "walk1", 100.0, base / ALL[0])
    assert first.joints_m.dtype == np.float32
    np.testing.assert_array_equal(first.joints_m, stick_walker(41).astype(np.float32))


def test_all_come_at_one_rate(base):
    write_gait(base, "sick/Q/walk2", stick_walker(101, rate_hz=250), rate_hz=250.0)
    write_gait(base, "sick/Q/walk3", stick_walker(21, rate_hz=50), rate_hz=50.0)
    found = read_gaits(base)
    assert {gait.rate_hz for gait in found.gaits} == {100.0}
    for gait, rate_hz, frames in zip(found.gaits[-2:], (250.0, 50.0), (101, 21), strict=True):
        assert (gait.source.rate_hz, gait.source.frames) == (rate_hz, frames)
        assert gait.joints_m.shape == (41, 22, 3)
        np.testing.assert_allclose(gait.joints_m, stick_walker(41), atol=1e-3)
    assert len(read_gaits(base, 50.0).gaits[0].joints_m) == 21


def test_how_it_was_recorded(base):
    seen = np.full(40, 4)
    seen[:10] = 0
    folder = write_gait(base, "sick/Q/walk2", stick_walker(40), markers_seen=seen)
    (folder / "fit_report.json").write_text(json.dumps(REPORT), encoding="utf-8")
    known, unknown = read_gaits(base).gaits[-1].source, read_gaits(base).gaits[0].source
    assert (known.markers, known.stature_m, known.missing_share) == (("C7", "LASI", "RASI", "T10"), 1.74, 0.25)
    assert unknown.markers == ()
    assert math.isnan(unknown.stature_m)
    assert math.isnan(unknown.missing_share)


def test_parts_of_a_split_gait_are_recordings_of_their_own(base):
    for number in (10, 2, 1):
        write_gait(base, f"sick/Q/walk3/part{number}", stick_walker(30 + number), markers_seen=np.full(30 + number, 4))
    (base / "sick/Q/walk3/fit_report.json").write_text(json.dumps(REPORT), encoding="utf-8")
    parts = read_gaits(base).gaits[-3:]
    assert [part.gait for part in parts] == ["walk3/part1", "walk3/part2", "walk3/part10"]
    assert [len(part.joints_m) for part in parts] == [31, 32, 40]
    assert {part.person for part in parts} == {"sick/Q"}
    assert {part.source.markers for part in parts} == {("C7", "LASI", "RASI", "T10")}


def test_poses_without_joints_need_the_body(base):
    body = load_body(OPEN_BODY)
    folder = base / "sick/Q/frames"
    folder.mkdir()
    rest = PoseSequence(
        np.zeros((5, body.num_pose), np.float32), np.zeros(50, np.float32), np.zeros((5, 3), np.float32),
        np.zeros((5, 22, 3), np.float32), 50.0, body.name,
    )  # fmt: skip
    write_json_frames(folder, rest)
    found = read_gaits(base)
    assert names(found) == ALL
    the_line(found, str(folder), "name the body model and the frame rate (--body, --pose_rate)")
    found = read_gaits(base, body=body, pose_rate_hz=50.0)
    assert names(found) == sorted([*ALL, "sick/Q/frames"])
    assert found.problems == ()
    assert found.gaits[-2].joints_m.shape == (9, 22, 3)


# --- what is left out ------------------------------------------------------------------------------------------------


def test_other_folders_are_left_alone_by_name(base):
    write_gait(base, "trained_mlp/P09/walk1", stick_walker())
    write_gait(base, "Healthy_old/P09/walk1", stick_walker())
    write_gait(base, ".hidden/P09/walk1", stick_walker())
    found = read_gaits(base)
    assert names(found) == ALL
    the_line(found, "only healthy and sick are read", "Healthy_old, trained_mlp.")


def test_what_runs_at_work_leave_is_not_looked_at(base):
    write_gait(base, "healthy/P01/.walk1.partial-00ff", stick_walker())
    write_gait(base, "healthy/.P03.old-00ff/walk1", stick_walker())
    (base / "healthy/.P01.lock").touch()
    found = read_gaits(base)
    assert (names(found), found.problems) == (ALL, ())


def test_stray_files_are_named(base):
    (base / "notes.txt").touch()
    assert names(read_gaits(base)) == ALL
    the_line(read_gaits(base), str(base), "only folders are expected here", "notes.txt")
    (base / "notes.txt").unlink()
    (base / "healthy/P02/poses.npz").touch()
    (base / "healthy/P02/loop").symlink_to("loop")
    assert names(read_gaits(base)) == ALL
    the_line(read_gaits(base), str(base / "healthy/P02"), "<subject>/<gait>/", "loop, poses.npz.")


def damaged(path):
    path.write_bytes(path.read_bytes()[:300])


def without_numbers(key):
    def spoil(path):
        with np.load(path) as archive:
            arrays = dict(archive)
        arrays[key] = arrays[key].copy()
        arrays[key].reshape(-1)[7] = np.nan
        np.savez_compressed(path, **arrays)

    return spoil


def slow_camera(path):
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
    ("spoil", "words"),
    [
        (damaged, "damaged"),
        (lambda path: path.write_bytes(b""), "poses.npz"),
        (lambda path: path.unlink(), "no poses.npz"),
        (a_folder_instead, "poses.npz"),
        (without_numbers("joints"), "joints holds values that are no finite numbers; fit this gait again"),
        (without_numbers("poses"), "poses holds values that are no finite numbers; fit this gait again"),
        (far_away, "its joints lie kilometres away"),
        (slow_camera, "its frame rate is 10 Hz; a walk needs between 20 and 1000"),
    ],
)
def test_a_gait_that_cannot_be_used_is_one_line(base, spoil, words):
    spoil(base / "healthy/P01/walk2/poses.npz")
    found = read_gaits(base)
    assert names(found) == [name for name in ALL if name != "healthy/P01/walk2"]
    the_line(found, str(base / "healthy/P01/walk2"), words)


def test_a_damaged_part_leaves_the_others(base):
    for number in (1, 2):
        write_gait(base, f"sick/Q/walk3/part{number}", stick_walker(30))
    damaged(base / "sick/Q/walk3/part1/poses.npz")
    found = read_gaits(base)
    assert names(found) == [*ALL, "sick/Q/walk3/part2"]
    the_line(found, "part1/poses.npz")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"markers": []}', '{"markers": {"C7": 3}, "stature_m": 1}', "\xff"])
def test_a_damaged_report_costs_what_it_says_not_the_poses(base, text):
    (base / "sick/Q/walk1/fit_report.json").write_text(text, encoding="latin1")
    found = read_gaits(base)
    assert names(found) == ALL
    the_line(found, "fit_report.json", "the poses beside it are used")
    assert found.gaits[-1].source.markers == ()


@pytest.mark.parametrize("seen", [np.zeros(40, int), np.ones((40, 2), int), np.full(40, 0.5), np.full(7, 3)])
def test_marker_counts_that_say_nothing_are_unknown(base, seen):
    write_gait(base, "sick/Q/walk2", stick_walker(40), markers_seen=seen)
    assert math.isnan(read_gaits(base).gaits[-1].source.missing_share)


@pytest.mark.parametrize("how", ["no folder", "no person", "no gait", "all damaged"])
def test_an_empty_class_is_one_line(base, how):
    (base / "sick/Q/walk1/poses.npz").unlink()
    if how != "all damaged":
        (base / "sick/Q/walk1").rmdir()
    if how in ("no person", "no folder"):
        (base / "sick/Q").rmdir()
    if how == "no folder":
        (base / "sick").rmdir()
    found = read_gaits(base)
    assert names(found) == ALL[:3]
    assert found.problems[-1].startswith(f"{base / 'sick'}: holds no gait that can be used")
    assert len(found.problems) == (1 if how in ("no person", "no folder") else 2)


def test_nothing_at_all_is_an_error(tmp_path, base):
    for folder, words in (
        (tmp_path / "nowhere", "no such folder"),
        (base / "healthy", "has no folder healthy or sick, its folders: P01, P02; name the folder that"),
        (base / "healthy/P01/walk1", "its folders: none"),
        (base / "healthy/P01/walk1/poses.npz", "poses.npz"),
    ):
        with pytest.raises(GaitError, match=words) as error:
            read_gaits(folder)
        assert str(folder) in str(error.value)
    for path in base.rglob("poses.npz"):
        path.write_bytes(b"no archive")
    (base / "notes.txt").touch()
    (base / "trained_mlp").mkdir()
    with pytest.raises(GaitError, match=r"holds no gait that can be used; the first reason: .*P01/walk1"):
        read_gaits(base)


def test_a_name_under_both_labels_is_said(base):
    write_gait(base, "sick/P01/post", stick_walker())
    found = read_gaits(base)
    assert [gait.person for gait in found.gaits if gait.subject == "P01"] == ["healthy/P01"] * 2 + ["sick/P01"]
    the_line(found, "P01: stands under healthy and under sick", "same fold")


def test_a_frame_rate_that_shows_no_walk_is_refused_before_reading(tmp_path):
    with pytest.raises(GaitError, match="the frame rate asked for is 5 Hz"):
        read_gaits(tmp_path / "nowhere", 5.0)


@contextlib.contextmanager
def somebody_else():
    """Run as a user without rights, where this one has all of them."""
    everything = os.geteuid() == 0
    if everything:
        os.seteuid(65534)
    try:
        yield
    finally:
        if everything:
            os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no users here")
@pytest.mark.parametrize("closed", ["healthy", "healthy/P01", "healthy/P01/walk1", "healthy/P01/walk1/poses.npz"])
def test_what_may_not_be_read_is_one_line(closed):
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        base.chmod(0o755)
        for name in ALL:
            write_gait(base, name, stick_walker())
        (base / closed).chmod(0)
        try:
            with somebody_else():
                found = read_gaits(base)
        finally:
            (base / closed).chmod(0o755)
        assert names(found) == [name for name in ALL if not f"{name}/poses.npz".startswith(closed)]
        assert str(base / closed) in found.problems[0]
        assert len(found.problems) == (2 if closed == "healthy" else 1)
        assert "Permission denied" in found.problems[0]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no users here")
@pytest.mark.parametrize("closed", ["healthy", "healthy/P01", "healthy/P01/walk1", "healthy/P03/walk1"])
def test_what_may_be_listed_but_not_entered_is_one_line(closed):
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        base.chmod(0o755)
        for name in ALL:
            write_gait(base, name, stick_walker())
        for part in ("part1", "part2"):
            write_gait(base, f"healthy/P03/walk1/{part}", stick_walker())
        there = names(read_gaits(base))
        (base / closed).chmod(0o644)
        try:
            with somebody_else():
                found = read_gaits(base)
        finally:
            (base / closed).chmod(0o755)
        assert names(found) == [name for name in there if not f"{name}/".startswith(f"{closed}/")]
        assert str(base / closed) in found.problems[0]
        assert len(found.problems) == (2 if closed == "healthy" else 1)
        assert "Permission denied" in found.problems[0]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no users here")
def test_a_base_folder_that_may_not_be_read_is_one_line():
    with tempfile.TemporaryDirectory() as place:
        base = Path(place) / "poses"
        write_gait(base, ALL[0], stick_walker())
        for closed, mode in [(base, 0o311), (base, 0o644), (Path(place), 0o644)]:
            Path(place).chmod(0o755)
            closed.chmod(mode)
            with somebody_else(), pytest.raises(GaitError, match=r"poses: cannot be read \(Permission denied"):
                read_gaits(base)


def test_names_from_the_disk_cannot_draw_on_a_terminal(base):
    (base / "healthy/P\x1b[31m").mkdir()
    the_line(read_gaits(base), r"\x1b[31m", "holds no folder of a gait")
