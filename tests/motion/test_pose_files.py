"""Pose files: what is written is read again; damage raises a GaitError of one line."""

import contextlib
import json
import zipfile

import numpy as np
import pytest
import torch

from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.exporting.pose_json import write_json_frames
from gait.motion.pose_files import find_pose_folders, read_pose_sequences, read_poses
from gait.motion.pose_npz import POSES_FILE, write_npz
from tests.helpers.fitting_cases import OPEN_BODY, random_body

T = 5


@pytest.fixture(scope="module")
def body():
    return load_body(OPEN_BODY)


def sequence_of(body, betas=50, **more):
    """Return a random pose sequence of a body, with its joints."""
    rng = np.random.default_rng(0)
    poses = rng.normal(0, 0.3, (T, body.num_pose)).astype(np.float32)
    shape = rng.normal(size=betas).astype(np.float32)
    translation = rng.normal(size=(T, 3)).astype(np.float32)
    joints = body.posed_joints(
        *(torch.as_tensor(x).to(body.dtype) for x in (poses, shape[: body.num_betas], translation))
    )
    return PoseSequence(
        poses, shape, translation, joints[:, :22].numpy().astype(np.float32), 120.0, body.name, body.sha256, **more
    )


@pytest.fixture
def sequence(body):
    return sequence_of(body)


def read_error(folder, **options):
    """Return the error message of a folder that cannot be read, and assert that it is one line."""
    with pytest.raises(GaitError) as error:
        read_poses(folder, **options)
    line = str(error.value)
    assert "\n" not in line
    assert str(folder) in line
    return line


# --- npz -------------------------------------------------------------------------------------------------------------


def test_write_npz_round_trip(tmp_path, body):
    written = sequence_of(
        body, gender="female", model_type="smplx", constrained=True, extra={"notes_on_frames": np.arange(T)}
    )
    assert write_npz(tmp_path, written) == tmp_path / POSES_FILE
    read = read_poses(tmp_path)
    for name in ("poses", "betas", "translation_m", "joints_m"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
        assert getattr(read, name).dtype == np.float32
    for name in ("rate_hz", "model_file", "model_sha256", "model_type", "gender", "constrained", "num_frames"):
        assert getattr(read, name) == getattr(written, name), name
    assert list(read.extra) == ["notes_on_frames"]
    np.testing.assert_array_equal(read.extra["notes_on_frames"], np.arange(T))


def test_write_npz_round_trip_of_optional_arrays(tmp_path, body):
    sigma = np.linspace(0.001, 0.2, T * 22, dtype=np.float32).reshape(T, 22)
    gap_filled = np.arange(T) % 2 > 0
    write_npz(tmp_path, sequence_of(body, joint_sigma_m=sigma, gap_filled=gap_filled, first_frame=301))
    read = read_poses(tmp_path)
    np.testing.assert_array_equal(read.joint_sigma_m, sigma)
    np.testing.assert_array_equal(read.gap_filled, gap_filled)
    assert (read.first_frame, read.extra) == (301, {})
    for wrong in (
        {"joint_sigma": sigma[:, :3]},
        {"joint_sigma": np.full((T, 22), np.nan)},
        {"gap_filled": gap_filled[1:]},
        {"gap_filled": sigma[:, 0]},
        {"first_frame": np.float64(1.5)},
    ):
        write_npz(tmp_path, sequence_of(body))
        rewrite(tmp_path, **wrong)
        assert next(iter(wrong)) in read_error(tmp_path)
    write_npz(tmp_path, sequence_of(body))
    rewrite(tmp_path, first_frame=None)
    read = read_poses(tmp_path)  # files of earlier versions have none of these arrays
    assert (read.joint_sigma_m, read.gap_filled, read.first_frame) == (None, None, 1)


def test_read_poses_accepts_keys_of_earlier_versions(tmp_path, body):
    sigma = np.linspace(0.001, 0.2, T * 22, dtype=np.float32).reshape(T, 22)
    gap_filled, num_visible = np.arange(T) % 2 > 0, np.arange(T, dtype=np.int16)
    write_npz(tmp_path, sequence_of(body))
    rewrite(tmp_path, joints_sigma=sigma, bridged=gap_filled, markers_seen=num_visible)
    read = read_poses(tmp_path)
    np.testing.assert_array_equal(read.joint_sigma_m, sigma)
    np.testing.assert_array_equal(read.gap_filled, gap_filled)
    assert list(read.extra) == ["num_visible_markers"]
    np.testing.assert_array_equal(read.extra["num_visible_markers"], num_visible)
    write_npz(tmp_path, read)
    with np.load(tmp_path / POSES_FILE) as archive:
        assert {"joint_sigma", "gap_filled", "num_visible_markers"} <= set(archive.files)
        assert not {"joints_sigma", "bridged", "markers_seen"} & set(archive.files)


@pytest.mark.parametrize("prefix", ["segment", "part"])
def test_read_pose_sequences_reads_segments_in_order(tmp_path, body, prefix):
    """Earlier versions named the folders of segments ``part1``, ``part2``, …"""
    for number in (10, 2, 1):
        folder = tmp_path / f"{prefix}{number}"
        folder.mkdir()
        write_npz(folder, sequence_of(body, first_frame=100 * number))
    assert [path.name for path in find_pose_folders(tmp_path)] == [f"{prefix}{number}" for number in (1, 2, 10)]
    assert [sequence.first_frame for sequence in read_pose_sequences(tmp_path)] == [100, 200, 1000]
    assert f"split at gaps in the markers; name one of its folders {prefix}1, {prefix}2" in read_error(tmp_path)


def test_write_npz_uses_amass_keys(tmp_path, sequence, body):
    write_npz(tmp_path, sequence)
    with np.load(tmp_path / POSES_FILE, allow_pickle=False) as archive:
        assert {"poses", "betas", "trans", "mocap_frame_rate", "gender", "model", "joints"} <= set(archive.files)
        assert archive["poses"].shape == (T, body.num_pose)
        assert archive["trans"].shape == (T, 3)
        assert archive["joints"].shape == (T, 22, 3)
        assert archive["mocap_frame_rate"] == 120.0
        assert str(archive["model"]) == "open_neutral.npz"


def test_write_npz_is_reproducible(tmp_path, sequence, monkeypatch):
    folders = [tmp_path / name for name in ("a", "b")]
    for day, folder in enumerate(folders):
        folder.mkdir()
        monkeypatch.setattr("time.time", lambda day=day: 1.7e9 + 86400 * day)
        write_npz(folder, sequence)
    assert (folders[0] / POSES_FILE).read_bytes() == (folders[1] / POSES_FILE).read_bytes()


@pytest.mark.parametrize("kind", ["empty", "text", "half", "flipped", "a folder in it"])
def test_read_poses_raises_for_damaged_npz(tmp_path, sequence, kind):
    path = write_npz(tmp_path, sequence)
    data = path.read_bytes()
    if kind == "a folder in it":
        path.unlink()
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("poses.npy", b"")
    else:
        middle = len(data) // 4
        flipped = data[:middle] + bytes(b ^ 0x55 for b in data[middle : middle + 40]) + data[middle + 40 :]
        path.write_bytes({"empty": b"", "text": b"no poses", "half": data[: len(data) // 2], "flipped": flipped}[kind])
    assert POSES_FILE in read_error(tmp_path)


def test_read_poses_of_npz_with_one_damaged_byte(tmp_path, sequence):
    """It raises a GaitError or returns the same poses."""
    path = write_npz(tmp_path, sequence)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.choice(len(data), 1000, replace=False):
        path.write_bytes(data[:position] + bytes([data[position] ^ int(rng.integers(1, 256))]) + data[position + 1 :])
        with contextlib.suppress(GaitError):
            np.testing.assert_array_equal(read_poses(tmp_path).poses, sequence.poses)


def rewrite(folder, **changed):
    with np.load(folder / POSES_FILE) as archive:
        data = {**archive, **changed}
    np.savez_compressed(folder / POSES_FILE, **{key: value for key, value in data.items() if value is not None})


@pytest.mark.parametrize("key", ["poses", "betas", "trans", "joints"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_read_poses_raises_for_values_that_are_not_finite(tmp_path, sequence, key, value):
    write_npz(tmp_path, sequence)
    with np.load(tmp_path / POSES_FILE) as archive:
        array = archive[key].copy()
    array.flat[3] = value
    rewrite(tmp_path, **{key: array})
    assert key in read_error(tmp_path)


@pytest.mark.parametrize("key", ["poses", "betas", "trans", "joints", "mocap_frame_rate"])
def test_read_poses_names_a_missing_key(tmp_path, sequence, key):
    write_npz(tmp_path, sequence)
    rewrite(tmp_path, **{key: None})
    line = read_error(tmp_path)
    assert f"lacks {key}" in line
    assert "surface_model_type" in line


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("trans", (T - 1, 3)),
        ("trans", (T, 2)),
        ("joints", (T, 21, 3)),
        ("joints", (T + 1, 22, 3)),
        ("mocap_frame_rate", (2,)),
        ("poses", (T, 3, 3)),
    ],
)
def test_read_poses_raises_for_wrong_shapes(tmp_path, sequence, key, shape):
    write_npz(tmp_path, sequence)
    rewrite(tmp_path, **{key: np.zeros(shape, np.float32)})
    read_error(tmp_path)


def test_read_poses_raises_for_objects(tmp_path, sequence):
    write_npz(tmp_path, sequence)
    rewrite(tmp_path, poses=np.array([{"a": 1}], dtype=object))
    read_error(tmp_path)


def test_read_poses_raises_for_text_in_place_of_numbers(tmp_path, sequence):
    write_npz(tmp_path, sequence)
    rewrite(tmp_path, trans=np.full((T, 3), "a"))
    assert "trans" in read_error(tmp_path)


# --- one JSON file per frame -----------------------------------------------------------------------------------------


def test_write_json_frames_round_trip(tmp_path, sequence, body):
    paths = write_json_frames(tmp_path, sequence)
    assert [path.name for path in paths] == [f"pose_{t:05d}.json" for t in range(T)]
    content = json.loads(paths[0].read_text(encoding="utf-8"))
    assert {key: np.shape(value) for key, value in content.items()} == {
        "betas": (1, 50),
        "pose": (1, body.num_pose),
        "translation": (1, 3),
    }
    read = read_poses(tmp_path, body=body, rate_hz=120.0)
    for name in ("poses", "betas", "translation_m"):
        np.testing.assert_array_equal(getattr(read, name), getattr(sequence, name))
    np.testing.assert_allclose(read.joints_m, sequence.joints_m, atol=1e-6)
    assert read.rate_hz == 120.0
    assert (read.model_file, read.model_sha256) == (body.name, body.sha256)


def test_read_poses_prefers_npz_to_json(tmp_path, sequence):
    write_json_frames(tmp_path, sequence)
    write_npz(tmp_path, sequence)
    assert read_poses(tmp_path).rate_hz == 120.0


def test_read_poses_of_json_frames_needs_body_and_rate(tmp_path, sequence, body):
    write_json_frames(tmp_path, sequence)
    assert "--body" in read_error(tmp_path)
    assert "rate" in read_error(tmp_path, body=body)


def with_frame(folder, frame, **changed):
    path = folder / f"pose_{frame:05d}.json"
    content = {**json.loads(path.read_text(encoding="utf-8")), **changed}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}), encoding="utf-8")
    return path.name


@pytest.mark.parametrize(
    "changed",
    [
        {"pose": None},
        {"translation": None},
        {"betas": "many"},
        {"pose": [["a", "b"]]},
        {"translation": [[0.0, 1.0]]},
        {"translation": [[0.0, 1.0, float("nan")]]},
        {"pose": [[float("inf")] * 225]},
        {"pose": {"a": 1}},
        {"pose": [[1.0], [1.0, 2.0]]},
        {"translation": None, "pose": None, "betas": None},
    ],
)
def test_read_poses_names_a_damaged_json_frame(tmp_path, sequence, body, changed):
    write_json_frames(tmp_path, sequence)
    name = with_frame(tmp_path, 3, **changed)
    assert name in read_error(tmp_path, body=body, rate_hz=100.0)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", '"pose"', "[" * 100000, "\x00\xff"])
def test_read_poses_names_a_file_that_is_not_a_json_frame(tmp_path, sequence, body, text):
    write_json_frames(tmp_path, sequence)
    (tmp_path / "pose_00002.json").write_text(text, encoding="latin1")
    assert "pose_00002.json" in read_error(tmp_path, body=body, rate_hz=100.0)


def test_read_poses_raises_for_frames_of_different_lengths(tmp_path, sequence, body):
    write_json_frames(tmp_path, sequence)
    with_frame(tmp_path, 1, pose=[[0.0] * 66])
    assert "different lengths" in read_error(tmp_path, body=body, rate_hz=100.0)


@pytest.mark.parametrize("hinges", [False, True])
def test_read_poses_raises_for_poses_of_another_kinematic_tree(tmp_path, body, sequence, hinges):
    """Poses of the open body do not fit a constrained tree, and vice versa."""
    constrained = random_body(tmp_path, hinges=True)
    folder = tmp_path / "trial"
    folder.mkdir()
    write_json_frames(folder, sequence if hinges else sequence_of(constrained))
    reader = constrained if hinges else body
    line = read_error(folder, body=reader, rate_hz=100.0)
    assert str(reader.num_pose) in line
    assert ("constrained" in line) == (not hinges)


def test_write_json_frames_round_trip_of_constrained_body(tmp_path):
    """The body has fewer shape coefficients than the file."""
    constrained = random_body(tmp_path, hinges=True)
    written = sequence_of(constrained, betas=6)
    folder = tmp_path / "trial"
    folder.mkdir()
    write_json_frames(folder, written)
    read = read_poses(folder, body=constrained, rate_hz=50.0)
    assert read.constrained
    np.testing.assert_allclose(read.joints_m, written.joints_m, atol=1e-5)


def test_read_poses_pads_betas_with_zeros(tmp_path, body):
    short = sequence_of(body, betas=10)
    write_json_frames(tmp_path, short)
    read = read_poses(tmp_path, body=body, rate_hz=50.0)
    np.testing.assert_allclose(read.joints_m, short.joints_m, atol=1e-6)
    np.testing.assert_array_equal(read.betas[:10], short.betas)


# --- 3D Body Twin's text files ---------------------------------------------------------------------------------------


def write_text_frames(folder, sequence):
    for t, (pose, translation) in enumerate(zip(sequence.poses, sequence.translation_m, strict=True)):
        numbers = [*pose[:3], *translation, *pose[3:], *sequence.betas]
        (folder / f"frame_{t:04d}.txt").write_text(" ".join(f"{x:.9g}" for x in numbers) + "\n", encoding="utf-8")


def test_read_poses_reads_text_frames(tmp_path, sequence, body):
    write_text_frames(tmp_path, sequence)
    read = read_poses(tmp_path, body=body, rate_hz=60.0)
    for name in ("poses", "betas", "translation_m"):
        np.testing.assert_array_equal(getattr(read, name), getattr(sequence, name))
    np.testing.assert_allclose(read.joints_m, sequence.joints_m, atol=1e-6)


@pytest.mark.parametrize("text", ["", "1 2 3", "0 " * 55, "x " * 281, "nan " * 281, "\xff\xfe"])
def test_read_poses_names_a_damaged_text_frame(tmp_path, sequence, body, text):
    write_text_frames(tmp_path, sequence)
    (tmp_path / "frame_0002.txt").write_text(text, encoding="latin1")
    assert "frame_0002.txt" in read_error(tmp_path, body=body, rate_hz=60.0)


def test_read_poses_raises_for_truncated_text_frame(tmp_path, sequence, body):
    write_text_frames(tmp_path, sequence)
    path = tmp_path / "frame_0002.txt"
    path.write_text(" ".join(path.read_text(encoding="utf-8").split()[:-7]), encoding="utf-8")
    assert "different lengths" in read_error(tmp_path, body=body, rate_hz=60.0)


# --- no poses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exists", [True, False])
def test_read_poses_raises_for_folder_without_poses(tmp_path, exists):
    folder = tmp_path / "trial"
    if exists:
        folder.mkdir()
        (folder / "fit_report.json").write_text("{}", encoding="utf-8")
    assert "poses.npz" in read_error(folder)
