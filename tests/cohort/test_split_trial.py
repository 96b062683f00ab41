"""A gait that a long gap splits, from its recording to its folder and back, by the command line and in one process."""

import json
import subprocess
import sys
from dataclasses import replace

import ezc3d
import numpy as np
import pytest
from PIL import Image

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.cohort.cohort_file import Subject
from gait.cohort.fit_settings import FitSettings
from gait.cohort.fit_subject import fit_cohort
from gait.cohort.trial_folder import is_finished, read_report
from gait.errors import GaitError
from gait.motion.pose_files import pose_folders, pose_sequences, read_poses
from gait.synthetic import MarkerErrors, make_person, make_walk, read_truth
from tests.helpers.fitting_cases import OPEN_BODY, model_folder, write_c3d
from tests.helpers.paths import REPOSITORY

LOST = ((0, 6), (40, 52), (80, 112), (140, 146))
"""Frames without any marker: at the start, a short gap, a long one, and at the end."""
PARTS = ((6, 80), (112, 140))


def without_markers(path, ranges):
    """Rewrite a C3D file as if no camera had seen anything in these frames."""
    c3d = ezc3d.c3d(str(path))
    points = c3d["data"]["points"]
    for first, end in ranges:
        points[:3, :, first:end] = 0
        c3d["data"]["meta_points"]["residuals"][:, :, first:end] = -1
    c3d["data"]["points"] = points
    c3d.write(str(path))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split")
    model_folder(folder / "data")
    body = load_body(OPEN_BODY)
    person = make_person(body, 51)
    errors = MarkerErrors(placement_m=0.005, noise_m=0.001, gap_share=0.0)
    for number, seconds in ((1, 1.46), (2, 0.6)):
        walk = make_walk(body, person, seconds=seconds, seed=number)
        write_c3d(folder / f"walk{number}.c3d", body, plug_in_gait_layout(body), walk, errors)
    without_markers(folder / "walk1.c3d", LOST)
    cohort = {"p1": {"gaits": [f"walk{number}.c3d" for number in (1, 2)], "healthy": True}}
    (folder / "cohort.json").write_text(json.dumps(cohort), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(place):
    command = [
        sys.executable,
        str(REPOSITORY / "shape_optimizer.py"),
        "--cohort",
        "cohort.json",
        "--save_folder",
        "out",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(place, run):
    return place / "out/healthy/p1/walk1"


def test_the_folder_holds_the_parts_and_one_report(folder, run):
    assert {path.name for path in folder.iterdir()} == {"part1", "part2", "fit_report.json", "residuals.npz", "fit.png"}
    assert [path.name for path in pose_folders(folder)] == ["part1", "part2"]
    report = read_report(folder)
    assert report["parts"] == [[first + 1, end] for first, end in PARTS]
    assert report["bridged_frames"] == [[41, 52]]
    assert report["joints"]["pelvis"]["worst_mm"] < 30, "what is left out does not count"
    assert report["joints"]["pelvis"]["observed"] > 0.8
    assert report["left_out_frames"] == [[1, 6], [81, 112], [141, 146]]
    assert "split: p1/walk1: no body is held by the markers of frames 1-6, 81-112, 141-146" in run.stdout
    with np.load(folder / "residuals.npz") as archive:
        assert len(archive["residual_mm"]) == report["frames"] == 146
        assert np.isnan(archive["residual_mm"][80:112]).all()
    with Image.open(folder / "fit.png") as picture:
        assert picture.width > 1000


def test_the_parts_are_the_walk(place, folder):
    truth = read_truth(place / "walk1.c3d")
    for sequence, (first, end) in zip(pose_sequences(folder), PARTS, strict=True):
        assert (sequence.frames, sequence.first_frame) == (end - first, first + 1)
        error = np.linalg.norm(sequence.joints_m - truth.joints_m[first:end], axis=-1)
        assert error.mean() < 0.015
        assert error.mean(axis=1).max() < 0.03, "nothing is invented"
        assert sequence.joints_sigma_m.shape == (end - first, 22)
        np.testing.assert_array_equal(sequence.extra["markers_seen"] == 0, sequence.bridged)
    bridged = [np.flatnonzero(sequence.bridged).tolist() for sequence in pose_sequences(folder)]
    assert bridged == [list(range(40 - 6, 52 - 6)), []]


def test_one_reader_for_split_and_whole_gaits(folder):
    with pytest.raises(GaitError, match=r"split.*part1, part2"):
        read_poses(folder)
    whole = folder.with_name("walk2")
    assert pose_folders(whole) == (whole,)
    (sequence,) = pose_sequences(whole)
    assert sequence.first_frame == 1
    assert not sequence.bridged.any()
    assert read_report(whole)["parts"] == [[1, sequence.frames]]
    with pytest.raises(GaitError, match=r"no poses\.npz"):
        pose_sequences(folder.parent)


def test_ten_parts_are_in_the_order_of_time(tmp_path):
    for number in (10, 2, 1):
        (tmp_path / f"part{number}").mkdir()
    (tmp_path / "parts_of_something").mkdir()
    (tmp_path / "notes.txt").write_text("of a person\n", encoding="utf-8")
    assert [path.name for path in pose_folders(tmp_path)] == ["part1", "part2", "part10"]


def test_a_split_gait_is_finished_goes_on_and_gets_its_frames(place, folder):
    """What the command line wrote is left alone; frames are added to each part; a part that lacks is fitted again."""
    settings = FitSettings(place / "data", place / "out", pictures=False)
    subject = Subject("p1", (place / "walk1.c3d", place / "walk2.c3d"), healthy=True)
    poses = [(part / "poses.npz").read_bytes() for part in pose_folders(folder)]
    assert is_finished(folder, "npz")
    assert not is_finished(folder, "json")
    outcomes = list(fit_cohort([subject], replace(settings, pose_format="json")))
    assert [o.state for o in outcomes] == ["finished before"] * 2
    assert is_finished(folder, "json")
    for part, (first, end), before in zip(pose_folders(folder), PARTS, poses, strict=True):
        assert (part / "poses.npz").read_bytes() == before
        assert len(list(part.glob("pose_*.json"))) == end - first
    (folder / "part2/poses.npz").write_bytes(b"")
    assert not is_finished(folder, "npz")
    outcomes = list(fit_cohort([subject], settings))
    assert [o.state for o in outcomes] == ["fitted", "finished before"]
    assert [(part / "poses.npz").read_bytes() for part in pose_folders(folder)] == poses
    assert not list(folder.rglob("pose_*.json"))
