"""Arrays of joints, and keypoints of video: recordings of joint centres."""

import numpy as np
import pytest

from gait.body.skeleton import BODY_JOINTS, Joint
from gait.capture.formats.joint_arrays import JOINT_CENTRES
from gait.capture.marker_names import canonical_markers
from gait.capture.read_recording import read_recording
from gait.errors import GaitError
from gait.exporting.joints_trc import write_trc
from gait.marker_sets import MARKERS
from tests.helpers.foreign_files import COCO, HALPE, Y_TO_Z_UP
from tests.helpers.motion_cases import stick_figure


@pytest.fixture(scope="module")
def joints():
    """Joints (T, 22, 3) of a walking stick figure, metres, y up."""
    return stick_figure(60).astype(np.float32)


def test_joint_centres_are_those_of_the_body_in_order():
    assert [Joint[MARKERS[name].joint] for name in JOINT_CENTRES] == list(BODY_JOINTS)


def test_read_recording_of_humanml3d(tmp_path, joints):
    np.save(tmp_path / "walk.npy", joints)
    recording = read_recording(tmp_path / "walk.npy")
    assert recording.labels == JOINT_CENTRES
    assert recording.rate_hz == 20
    assert any("20 Hz is assumed" in note for note in recording.notes)
    assert "Its points are joint centres, not markers on the skin, and are fitted as such." in recording.notes
    np.testing.assert_allclose(recording.positions_m, joints, atol=1e-6)


@pytest.mark.parametrize("rate_key", ["mocap_frame_rate", "mocap_framerate", "fps"])
def test_read_recording_of_an_archive_of_joints(tmp_path, joints, rate_key):
    """SMPL's two hands, z up, and a gap."""
    z_up = np.concatenate([joints, joints[:, 20:]], axis=1) @ Y_TO_Z_UP.T
    z_up[5, 3] = np.nan
    np.savez(tmp_path / "walk.npz", joints=z_up, **{rate_key: 30})
    recording = read_recording(tmp_path / "walk.npz")
    assert (recording.labels, recording.rate_hz, recording.source_up) == (JOINT_CENTRES, 30, "+z")
    assert recording.visible.sum() == 60 * 22 - 1
    np.testing.assert_allclose(recording.positions_m[recording.visible], joints[recording.visible], atol=1e-6)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (np.zeros((4, 21, 3)), "has an array of float64 of the shape (4, 21, 3); joint positions (frames, 22, 3) are"),
        (np.zeros((4, 263)), "of the shape (4, 263); joint positions (frames, 22, 3)"),
        (np.full((4, 22, 3), "x"), "has an array of <U1"),
        (np.array([{"a": 1}]), "holds objects, not numbers or text"),
        ({"joints": np.zeros((4, 22, 3))}, "has joints; (T, 22, 3) in 'joints' and one number in 'mocap_frame_rate'"),
        ({"data": np.zeros(3), "fps": 20}, "has data, fps; (T, 22, 3) in 'joints'"),
    ],
)
def test_read_recording_refuses_other_arrays_in_one_line(tmp_path, content, line):
    path = tmp_path / ("walk.npz" if isinstance(content, dict) else "walk.npy")
    np.savez(path, **content) if isinstance(content, dict) else np.save(path, content)
    with pytest.raises(GaitError) as caught:
        read_recording(path)
    assert str(caught.value).startswith(f"{path}")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


OPENCAP = ("Neck", "midHip", *(side + name for name in ("Shoulder", "Hip", "Knee", "BigToe") for side in "RL"))


@pytest.mark.parametrize(
    "names", [COCO, HALPE, OPENCAP, tuple(name.lower() for name in ("nose", "left_eye", "right_knee"))]
)
def test_canonical_markers_of_video_keypoints_are_joint_centres(names):
    found = canonical_markers(names)
    assert found.keys() == set(names)
    assert {MARKERS[marker].kind for marker in found.values()} == {"joint_centre"}
    knees = [name for name in names if "knee" in name.lower()]
    assert [MARKERS[found[name]].joint.partition("_")[2] for name in knees] == ["KNEE"] * len(knees)


def test_canonical_markers_of_keypoints_beside_markers():
    """OpenCap's augmenter writes both: the keypoint RKnee, and the marker r_knee_study."""
    sides = [("R", "r"), ("L", "L")]
    points = [
        "Neck",
        "midHip",
        *(side + name for side, _ in sides for name in ("Hip", "Knee", "Ankle", "Heel", "BigToe")),
    ]
    markers = [f"{side}_{name}_study" for _, side in sides for name in ("knee", "mknee", "ankle", "mankle", "calc")]
    found = canonical_markers([*points, *markers])
    assert {MARKERS[found[name]].kind for name in points} == {"joint_centre"}
    assert [found[name] for name in markers[:5]] == ["RKNE", "RKNM", "RANK", "RMED", "RHEE"]


def test_canonical_markers_of_a_laboratory_are_no_joint_centres():
    found = canonical_markers(["RKnee", "RAnkle", "RHip", "RASI", "LASI", "SACR", "RHeel", "Head"])
    assert found["RKnee"] == "RKNE"
    assert all(MARKERS[marker].kind != "joint_centre" for marker in found.values())


def test_read_recording_of_exported_joints(tmp_path, joints):
    """The package's own export of joints is read as joint centres."""
    write_trc(tmp_path / "walk.trc", [joint.name for joint in BODY_JOINTS], joints * 1e3, 100.0)
    recording = read_recording(tmp_path / "walk.trc")
    assert recording.labels == JOINT_CENTRES
    np.testing.assert_allclose(recording.positions_m, joints, atol=1e-5)
