"""C3D files are read back by two independent readers (the packages c3d and ezc3d), and by this package's own."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import c3d
import ezc3d
import numpy as np
import pytest
from numpy.typing import NDArray

from gait.body.joint_status import JointStatus
from gait.body.pose_sequence import PoseSequence, RecordedEvents
from gait.body.skeleton import BODY_JOINTS, Joint
from gait.capture.formats.c3d import read_c3d
from gait.capture.read_recording import read_recording
from gait.errors import GaitError
from gait.exporting import export_trial_folder
from gait.exporting.c3d import joint_centre_label
from gait.exporting.c3d_encoding import encode_c3d
from gait.exporting.exporter import NotExportableError
from gait.kinematics.event_sources import choose_events
from gait.kinematics.gait_events import SIDES
from gait.kinematics.joint_angles import compute_joint_angles
from tests.exporting.conftest import FIRST_FRAME, SavedTrial


@pytest.fixture(scope="module")
def exported(walk: SavedTrial, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (path,) = export_trial_folder(["c3d"], walk.folder, tmp_path_factory.mktemp("out"))
    assert path.name == "walk1.c3d"
    return path


def read_points(content: bytes) -> tuple[c3d.Reader, dict[str, NDArray[np.float64]]]:
    """Return the reader of the package c3d, and its points (T, 3) by label; NaN where the residual is negative."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there are no analog data
        reader = c3d.Reader(io.BytesIO(content))
        frames = np.stack([points for _, points, _ in reader.read_frames()]).astype(np.float64)
    frames[frames[..., 3] < 0, :3] = np.nan
    return reader, {label.strip(): frames[:, k, :3] for k, label in enumerate(reader.point_labels)}


def test_another_reader_finds_markers_and_joint_centres(walk: SavedTrial, exported: Path) -> None:
    reader, points = read_points(exported.read_bytes())
    last = FIRST_FRAME + walk.sequence.num_frames - 1
    assert (reader.first_frame, reader.last_frame, reader.point_rate) == (FIRST_FRAME, last, walk.sequence.rate_hz)
    assert reader.get("POINT:UNITS").string_value.strip() == "mm"
    for suffix, positions in (("", walk.observed_m), ("_FIT", walk.virtual_m)):
        for label, expected in zip(walk.labels, np.moveaxis(positions, 1, 0), strict=True):
            x, y, z = points[f"{label}{suffix}"].T
            np.testing.assert_allclose(np.stack([y, z, x], axis=1), 1e3 * expected, atol=0.01)
    for joint in BODY_JOINTS:
        expected = 1e3 * walk.sequence.joints_m[:, joint].astype(np.float64)
        expected[walk.sequence.joint_status[:, joint] == JointStatus.NOT_OBSERVED] = np.nan
        x, y, z = points[joint_centre_label(joint.name)].T
        np.testing.assert_allclose(np.stack([y, z, x], axis=1), expected, atol=0.01)
    assert np.isnan(points["HEAD_JC"]).any()
    computed = {label.strip() for label in reader.get("POINT:MODELED_MARKERS").string_array}
    assert computed == {label for label in points if label.endswith(("_FIT", "JC"))}


def test_another_reader_finds_the_angles_of_plug_in_gait(walk: SavedTrial, exported: Path) -> None:
    reader, points = read_points(exported.read_bytes())
    angles = compute_joint_angles(walk.sequence)
    components = {
        "PelvisAngles": ("pelvis_tilt", "pelvis_obliquity", "pelvis_rotation"),
        "HipAngles": ("hip_flexion", "hip_adduction", "hip_rotation"),
        "KneeAngles": ("knee_flexion", "knee_adduction", "knee_rotation"),
        "AnkleAngles": ("ankle_dorsiflexion", "ankle_inversion", "ankle_rotation"),
        "FootProgressAngles": ("", "", "foot_progression"),
        "ThoraxAngles": ("thorax_tilt", "thorax_obliquity", "thorax_rotation"),
        "SpineAngles": ("spine_flexion", "spine_lateral_flexion", "spine_rotation"),
        "ShoulderAngles": ("shoulder_flexion", "shoulder_abduction", "shoulder_rotation"),
        "ElbowAngles": ("elbow_flexion", "", ""),
        "HeadAngles": ("head_tilt", "head_obliquity", "head_rotation"),
    }
    listed = [label.strip() for label in reader.get("POINT:ANGLES").string_array]
    assert listed == [f"{side}{output}" for side in "LR" for output in components]
    for side in SIDES:
        for output, names in components.items():
            found = points[f"{side[0].upper()}{output}"]
            seen = np.isfinite(found[:, 0])
            for component, name in enumerate(names):
                expected = angles[name, side] if name else np.where(seen, 0.0, np.nan)
                np.testing.assert_allclose(found[:, component], expected, atol=0.001)
    hidden = np.isnan(points["LHeadAngles"][:, 0])
    np.testing.assert_array_equal(hidden, walk.sequence.joint_status[:, Joint.HEAD] == JointStatus.NOT_OBSERVED)
    assert np.ptp(points["LKneeAngles"][:, 0]) > 40


def test_poses_without_rotations_have_flexion_angles_alone(
    walk: SavedTrial, poses_only: Callable[[PoseSequence], Path]
) -> None:
    (path,) = export_trial_folder(["c3d"], poses_only(replace(walk.sequence, anatomy=None)))
    reader, points = read_points(path.read_bytes())
    labels = [label.strip() for label in reader.get("POINT:LABELS").string_array]
    descriptions = [text.strip() for text in reader.get("POINT:DESCRIPTIONS").string_array]
    assert descriptions[labels.index("LKneeAngles")] == "X flexion +"
    assert (points["LKneeAngles"][:, 1:] == 0).all()
    assert "LPelvisAngles" not in labels


def expected_events(sequence: PoseSequence) -> list[tuple[float, str, str]]:
    found = choose_events(sequence)
    return sorted(
        ((sequence.first_frame - 1 + frame) / sequence.rate_hz, label, side)
        for label, frames in (("Foot Strike", found.initial_contacts), ("Foot Off", found.foot_offs))
        for side in SIDES
        for frame in frames[side]
    )


def test_another_reader_finds_events_on_the_clock_of_the_file(walk: SavedTrial, exported: Path) -> None:
    reader, _ = read_points(exported.read_bytes())
    minutes, seconds = reader.get("EVENT:TIMES").float_array.T
    labels, sides = (
        [text.strip() for text in reader.get(f"EVENT:{key}").string_array] for key in ("LABELS", "CONTEXTS")
    )
    expected = expected_events(walk.sequence)
    assert len(expected) >= 6
    np.testing.assert_allclose(60 * minutes + seconds, [time_s for time_s, _, _ in expected], atol=1e-4)
    assert list(zip(labels, map(str.lower, sides), strict=True)) == [event[1:] for event in expected]


def test_events_of_the_laboratory_are_written_with_their_source(
    walk: SavedTrial, poses_only: Callable[[PoseSequence], Path]
) -> None:
    clock_s = (walk.sequence.first_frame - 1) / walk.sequence.rate_hz
    own = expected_events(walk.sequence)
    kinds = {"Foot Strike": "initial contact", "Foot Off": "foot off"}
    recorded = RecordedEvents(
        np.array([time_s - clock_s + 0.0037 for time_s, _, _ in own]),
        tuple(kinds[label] for _, label, _ in own),
        tuple(side for *_, side in own),
        ("laboratory",) * len(own),
    )
    (path,) = export_trial_folder(["c3d"], poses_only(replace(walk.sequence, recorded_events=recorded)))
    reader, _ = read_points(path.read_bytes())
    minutes, seconds = reader.get("EVENT:TIMES").float_array.T
    np.testing.assert_allclose(60 * minutes + seconds, [time_s + 0.0037 for time_s, _, _ in own], atol=1e-5)
    assert {text.strip() for text in reader.get("EVENT:DESCRIPTIONS").string_array} == {"from laboratory"}


def test_own_reader_gives_the_same_recording_and_takes_no_computed_point_for_a_marker(
    walk: SavedTrial, exported: Path
) -> None:
    recording = read_recording(exported)
    assert recording.labels == walk.labels
    assert (recording.first_frame, recording.warnings) == (FIRST_FRAME, ())
    np.testing.assert_allclose(recording.positions_m, walk.observed_m, atol=1e-5)
    np.testing.assert_allclose(recording.model_outputs["LHJC"], walk.sequence.joints_m[:, Joint.LEFT_HIP], atol=1e-5)
    assert [(event.label, event.side) for event in recording.events] == [
        event[1:] for event in expected_events(walk.sequence)
    ]


def test_poses_without_markers_have_joint_centres(walk: SavedTrial, poses_only: Callable[[PoseSequence], Path]) -> None:
    (path,) = export_trial_folder(["c3d"], poses_only(walk.sequence))
    _, points = read_points(path.read_bytes())
    assert "LHJC" in points
    assert "LASI" not in points


def test_residuals_of_other_poses_are_refused(walk: SavedTrial, poses_only: Callable[[PoseSequence], Path]) -> None:
    folder = poses_only(walk.sequence)
    (folder / "residuals.npz").write_bytes((walk.folder / "residuals.npz").read_bytes())
    with pytest.raises(GaitError, match=r"residuals\.npz: is not of the poses"):
        export_trial_folder(["c3d"], folder)


@pytest.mark.parametrize(
    ("frames", "points", "first_frame", "events"), [(20, 300, 50, 4), (70_000, 2, 1, 600), (30, 5, 66_000, 0)]
)
def test_large_numbers_of_points_frames_and_events(
    tmp_path: Path, frames: int, points: int, first_frame: int, events: int
) -> None:
    random = np.random.default_rng(frames)
    positions = 1000 + np.cumsum(random.normal(size=(frames, points, 3)), axis=0)
    times = np.sort(random.uniform(0, frames / 100, events))
    parameters = {
        "POINT": {"LABELS": [f"P{k}" for k in range(points)], "UNITS": ["mm"]},
        "EVENT": {
            "USED": np.array(events, np.int16),
            "LABELS": ["Foot Off"] * events,
            "TIMES": np.stack([times // 60, times % 60]).astype(np.float32),
        },
    }
    content = encode_c3d(positions, 100.0, first_frame, parameters)
    path = tmp_path / "large.c3d"
    path.write_bytes(content)
    own = read_c3d(path)
    assert (own.first_frame, own.labels[-1], own.notes, own.warnings) == (first_frame, f"P{points - 1}", (), ())
    np.testing.assert_allclose(own.positions, positions, atol=1e-3)
    np.testing.assert_allclose([event.time_s for event in own.events], times, atol=1e-4)
    theirs = np.moveaxis(ezc3d.c3d(str(path))["data"]["points"][:3], 0, -1).swapaxes(0, 1)[:frames]
    np.testing.assert_allclose(theirs, positions, atol=1e-3)
    if first_frame <= 0xFFFF:  # the package c3d multiplies the upper word by 65535
        reader, _ = read_points(content)
        assert (reader.first_frame, reader.last_frame) == (first_frame, first_frame + frames - 1)


def test_too_many_events_are_refused() -> None:
    parameters = {"POINT": {"LABELS": ["A"]}, "EVENT": {"LABELS": ["Foot Strike"] * 20_000}}
    with pytest.raises(NotExportableError, match="export a shorter part"):
        encode_c3d(np.zeros((1, 1, 3)), 100.0, 1, parameters)
