"""A trial that is split at a long gap, from the recording to its results and back."""

from dataclasses import replace

import ezc3d
import numpy as np
import pytest
from PIL import Image

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.cohort.cohort_file import Subject
from gait.cohort.fit_settings import FitSettings
from gait.cohort.terminal_summary import format_summary
from gait.cohort.trial_folder import is_finished
from gait.errors import GaitError
from gait.motion.pose_files import find_pose_folders, read_pose_sequences, read_poses
from gait.motion.trial_paths import read_fit_report
from gait.synthetic import MeasurementErrors, make_subject, make_trial, read_ground_truth
from tests.helpers.fit_cohort import fit_cohort
from tests.helpers.fitting_cases import OPEN_BODY, model_folder, write_c3d

MISSING = ((0, 6), (40, 52), (80, 112), (140, 146))
"""Runs of frames without markers: at the start, a short gap, a long gap, and at the end."""
SEGMENTS = ((6, 80), (112, 140))


def without_markers(path, ranges):
    """Rewrite a C3D file without visible markers in these frames."""
    c3d = ezc3d.c3d(str(path))
    points = c3d["data"]["points"]
    for first, end in ranges:
        points[:3, :, first:end] = 0
        c3d["data"]["meta_points"]["residuals"][:, :, first:end] = -1
    c3d["data"]["points"] = points
    c3d.write(str(path))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split")
    model_folder(folder / "data")
    body = load_body(OPEN_BODY)
    subject = make_subject(body, 51)
    errors = MeasurementErrors(placement_m=0.005, noise_m=0.001, gap_fraction=0.0)
    for number, seconds in ((1, 1.46), (2, 0.6)):
        trial = make_trial(body, subject, seconds=seconds, seed=number)
        write_c3d(folder / f"walk{number}.c3d", body, plug_in_gait_layout(body), trial, errors)
    without_markers(folder / "walk1.c3d", MISSING)
    return folder


@pytest.fixture(scope="module")
def summary(workspace):
    """Output of the command at its end."""
    settings = FitSettings(workspace / "data", workspace / "out")
    return "\n".join(format_summary(list(fit_cohort([subject_of(workspace)], settings)), settings.save_folder))


def subject_of(workspace):
    return Subject("p1", (workspace / "walk1.c3d", workspace / "walk2.c3d"), healthy=True)


@pytest.fixture(scope="module")
def folder(workspace, summary):
    return workspace / "out/healthy/p1/walk1"


def test_trial_folder_has_segments_and_one_report(folder, summary):
    assert {path.name for path in folder.iterdir()} == {
        "segment1",
        "segment2",
        "fit_report.json",
        "residuals.npz",
        "fit.png",
    }
    assert [path.name for path in find_pose_folders(folder)] == ["segment1", "segment2"]
    report = read_fit_report(folder)
    assert report["segments"] == [[first + 1, end] for first, end in SEGMENTS]
    assert report["gap_filled_frames"] == [[41, 52]]
    assert report["joints"]["pelvis"]["worst_mm"] < 30, "excluded frames are ignored"
    assert report["joints"]["pelvis"]["data_fraction"] > 0.8
    assert report["excluded_frames"] == [[1, 6], [81, 112], [141, 146]]
    assert "split: p1/walk1: the markers do not determine the body in frames 1-6, 81-112, 141-146" in summary
    with np.load(folder / "residuals.npz") as archive:
        assert len(archive["residual_mm"]) == report["frames"] == 146
        assert np.isnan(archive["residual_mm"][80:112]).all()
    with Image.open(folder / "fit.png") as figure:
        assert figure.width > 1000


def test_segments_match_ground_truth(workspace, folder):
    truth = read_ground_truth(workspace / "walk1.c3d")
    for sequence, (first, end) in zip(read_pose_sequences(folder), SEGMENTS, strict=True):
        assert (sequence.num_frames, sequence.first_frame) == (end - first, first + 1)
        error = np.linalg.norm(sequence.joints_m - truth.joints_m[first:end], axis=-1)
        assert error.mean() < 0.015
        assert error.mean(axis=1).max() < 0.03, "also at the ends of the segments"
        assert sequence.joint_sigma_m.shape == (end - first, 22)
        np.testing.assert_array_equal(sequence.extra["num_visible_markers"] == 0, sequence.gap_filled)
    gap_filled = [np.flatnonzero(sequence.gap_filled).tolist() for sequence in read_pose_sequences(folder)]
    assert gap_filled == [list(range(40 - 6, 52 - 6)), []]


def test_read_pose_sequences_of_split_and_whole_trials(folder):
    with pytest.raises(GaitError, match=r"split.*segment1, segment2"):
        read_poses(folder)
    whole = folder.with_name("walk2")
    assert find_pose_folders(whole) == (whole,)
    (sequence,) = read_pose_sequences(whole)
    assert sequence.first_frame == 1
    assert not sequence.gap_filled.any()
    assert read_fit_report(whole)["segments"] == [[1, sequence.num_frames]]
    with pytest.raises(GaitError, match=r"no poses\.npz"):
        read_pose_sequences(folder.parent)


@pytest.mark.parametrize("prefix", ["segment", "part"])
def test_find_pose_folders_sorts_segments_by_number(tmp_path, prefix):
    """Also with the folder names of older results."""
    for number in (10, 2, 1):
        (tmp_path / f"{prefix}{number}").mkdir()
    (tmp_path / f"{prefix}s_of_something").mkdir()
    (tmp_path / "notes.txt").write_text("of a subject\n", encoding="utf-8")
    assert [path.name for path in find_pose_folders(tmp_path)] == [f"{prefix}{number}" for number in (1, 2, 10)]


def test_split_trial_is_finished_gets_json_frames_and_is_repaired(workspace, folder):
    """Finished segments stay unchanged, JSON frames are added to each; a damaged segment is fitted again."""
    settings = FitSettings(workspace / "data", workspace / "out", figures=False)
    subject = subject_of(workspace)
    poses = [(segment / "poses.npz").read_bytes() for segment in find_pose_folders(folder)]
    assert is_finished(folder)
    assert not is_finished(folder, ["pose_json"])
    outcomes = list(fit_cohort([subject], replace(settings, export_as=("pose_json",))))
    assert [o.state for o in outcomes] == ["already finished"] * 2
    assert is_finished(folder, ["pose_json"])
    for segment, (first, end), before in zip(find_pose_folders(folder), SEGMENTS, poses, strict=True):
        assert (segment / "poses.npz").read_bytes() == before
        assert len(list(segment.glob("pose_*.json"))) == end - first
    (folder / "segment2/poses.npz").write_bytes(b"")
    assert not is_finished(folder)
    outcomes = list(fit_cohort([subject], settings))
    assert [o.state for o in outcomes] == ["fitted", "already finished"]
    assert [(segment / "poses.npz").read_bytes() for segment in find_pose_folders(folder)] == poses
    assert not list(folder.rglob("pose_*.json"))
