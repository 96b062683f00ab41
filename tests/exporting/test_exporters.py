"""Exporters write what a reader of the format gives back, for whole trials and for segments."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gait.body.joint_status import JointStatus
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import BODY_JOINTS, Joint
from gait.capture.formats.trc import read_trc
from gait.errors import GaitError
from gait.exporting import EXPORTERS, export_trial_folder
from gait.exporting.__main__ import Arguments, main
from gait.kinematics.joint_angles import ANGLES, compute_joint_angles
from gait.motion.pose_files import read_poses
from gait.motion.pose_npz import write_npz

JOINTS_M = np.random.default_rng(0).normal(size=(5, 22, 3)).astype(np.float32)


def write_trial(folder: Path, first_frame: int = 1, joint_status: NDArray[np.uint8] | None = None) -> Path:
    folder.mkdir(parents=True)
    poses = PoseSequence(
        poses=np.zeros((5, 225), np.float32), betas=np.zeros(10, np.float32), translation_m=JOINTS_M[:, 0],
        joints_m=JOINTS_M, rate_hz=50.0, model_file="open_neutral.npz",
        joint_sigma_m=np.full((5, 22), 0.004, np.float32), joint_status=joint_status, first_frame=first_frame,
    )  # fmt: skip
    write_npz(folder, poses)
    return folder


def test_joints_trc_is_read_back(tmp_path: Path) -> None:
    (path,) = export_trial_folder(["joints_trc"], write_trial(tmp_path / "walk1", first_frame=101))
    assert path == tmp_path / "walk1" / "walk1_joints.trc"
    found = read_trc(path)
    assert found.labels == tuple(joint.name for joint in BODY_JOINTS)
    assert (found.rate_hz, found.first_frame, found.unit) == (50.0, 101, "mm")
    np.testing.assert_allclose(found.positions, JOINTS_M * 1e3, rtol=1e-5)


def test_joints_csv_has_one_row_per_frame_and_joint(tmp_path: Path) -> None:
    (path,) = export_trial_folder(["joints_csv"], write_trial(tmp_path / "walk1", first_frame=101))
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * 22
    row = rows[2 * 22 + Joint.LEFT_ANKLE]
    assert (row["frame"], row["time_s"], row["joint"], row["sigma_m"]) == ("103", "0.04000", "LEFT_ANKLE", "0.00400")
    found = [float(row[f"{axis}_m"]) for axis in "xyz"]
    np.testing.assert_allclose(found, JOINTS_M[2, Joint.LEFT_ANKLE], atol=1e-6)


def test_angles_csv_is_read_back(tmp_path: Path) -> None:
    (path,) = export_trial_folder(["angles_csv"], write_trial(tmp_path / "walk1", first_frame=101))
    assert path == tmp_path / "walk1" / "walk1_angles.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = compute_joint_angles(read_poses(path.parent))
    for side in ("left", "right"):
        of_side = [row for row in rows if row["side"] == side]
        assert [row["frame"] for row in of_side] == ["101", "102", "103", "104", "105"]
        assert [row["time_s"] for row in of_side[:2]] == ["0.00000", "0.02000"]
        for angle in ANGLES:
            found = [float(row[f"{angle.name}_deg"] or "nan") for row in of_side]
            np.testing.assert_allclose(found, expected[angle.name, side], atol=1e-4)


def test_joints_that_are_not_observed_are_empty(tmp_path: Path) -> None:
    status = np.full((5, 22), JointStatus.OBSERVED, np.uint8)
    status[1:3, Joint.LEFT_ANKLE] = JointStatus.NOT_OBSERVED
    status[:, Joint.RIGHT_KNEE] = JointStatus.INFERRED
    folder = write_trial(tmp_path / "walk1", joint_status=status)
    trc, joints, angles = export_trial_folder(["joints_trc", "joints_csv", "angles_csv"], folder)
    positions = read_trc(trc).positions
    assert np.isnan(positions[1:3, Joint.LEFT_ANKLE]).all()
    assert np.isnan(positions).sum() == 2 * 3
    with joints.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    ankle, knee = rows[22 + Joint.LEFT_ANKLE], rows[22 + Joint.RIGHT_KNEE]
    assert (ankle["x_m"], ankle["y_m"], ankle["z_m"], ankle["status"]) == ("", "", "", "not_observed")
    assert knee["status"] == "inferred"
    assert knee["x_m"] == f"{JOINTS_M[1, Joint.RIGHT_KNEE, 0]:.6f}"
    with angles.open(encoding="utf-8", newline="") as file:
        empty = {(row["frame"], row["side"], key) for row in csv.DictReader(file) for key in row if row[key] == ""}
    known = compute_joint_angles(read_poses(folder)).degrees
    lost = {(f, "left", key) for f in "23" for key in ("knee_flexion_deg", "ankle_dorsiflexion_deg")}
    never = {
        (f, side, f"{name}_deg") for (name, side), curve in known.items() if np.isnan(curve).all() for f in "12345"
    }
    assert empty == lost | never
    assert not lost & never


def test_segments_of_a_split_trial_are_exported_one_by_one(tmp_path: Path) -> None:
    for number in (1, 2):
        write_trial(tmp_path / "walk1" / f"segment{number}")
    paths = export_trial_folder(["joints_csv", "pose_json"], tmp_path / "walk1", tmp_path / "out")
    segments = [tmp_path / "out" / f"segment{number}" for number in (1, 2)]
    assert paths == [path for segment in segments for path in (segment / f"walk1_{segment.name}_joints.csv", segment)]
    assert len(list(segments[1].glob("pose_*.json"))) == 5
    assert EXPORTERS["pose_json"].is_written(segments[0], "walk1_segment1")
    assert not EXPORTERS["joints_trc"].is_written(segments[0], "walk1_segment1")


def test_exporting_command_names_trials_and_exports_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for trial in ("sick/P1/walk1", "healthy/P2/walk1"):
        write_trial(tmp_path / "poses" / trial)
    (tmp_path / "poses/sick/P1/walk1/poses.npz").write_bytes(b"damaged")
    arguments = Arguments(exporter="joints_csv", folders=(tmp_path / "poses",), output=tmp_path / "out")
    assert main(arguments) == 1
    output = capsys.readouterr()
    assert output.out.split() == [str(tmp_path / "out/healthy/P2/walk1/walk1_joints.csv")]
    assert "sick/P1/walk1/poses.npz" in output.err
    with pytest.raises(GaitError, match="no fitted trial"):
        main(Arguments(exporter="joints_csv", folders=(tmp_path / "nothing",)))
