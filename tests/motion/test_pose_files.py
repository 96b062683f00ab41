"""Poses on disk: what is written is read again, and what is damaged is one plain line."""

import contextlib
import json
import zipfile

import numpy as np
import pytest
import torch

from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.motion.pose_files import POSES_FILE, read_poses, write_json_frames, write_npz
from tests.helpers.fitting_cases import OPEN_BODY, random_body

T = 5


@pytest.fixture(scope="module")
def body():
    return load_body(OPEN_BODY)


def sequence_of(body, betas=50, **more):
    """A movement of a body, with the joints that follow from it."""
    rng = np.random.default_rng(0)
    poses = rng.normal(0, 0.3, (T, body.num_pose)).astype(np.float32)
    shape = rng.normal(size=betas).astype(np.float32)
    place = rng.normal(size=(T, 3)).astype(np.float32)
    joints = body.posed_joints(*(torch.as_tensor(x).to(body.dtype) for x in (poses, shape[: body.num_betas], place)))
    return PoseSequence(
        poses, shape, place, joints[:, :22].numpy().astype(np.float32), 120.0, body.name, body.sha256, **more
    )


@pytest.fixture
def sequence(body):
    return sequence_of(body)


def refused(folder, **options):
    """The one line of a folder that cannot be read."""
    with pytest.raises(GaitError) as error:
        read_poses(folder, **options)
    line = str(error.value)
    assert "\n" not in line
    assert str(folder) in line
    return line


# --- npz -------------------------------------------------------------------------------------------------------------


def test_npz_is_read_as_written(tmp_path, body):
    written = sequence_of(
        body, gender="female", model_type="smplx", constrained=True, extra={"notes_on_frames": np.arange(T)}
    )
    assert write_npz(tmp_path, written) == tmp_path / POSES_FILE
    read = read_poses(tmp_path)
    for name in ("poses", "betas", "translation_m", "joints_m"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
        assert getattr(read, name).dtype == np.float32
    for name in ("rate_hz", "model_file", "model_sha256", "model_type", "gender", "constrained", "frames"):
        assert getattr(read, name) == getattr(written, name), name
    assert list(read.extra) == ["notes_on_frames"]
    np.testing.assert_array_equal(read.extra["notes_on_frames"], np.arange(T))


def test_confidence_and_bridges_are_read_as_written(tmp_path, body):
    sigma = np.linspace(0.001, 0.2, T * 22, dtype=np.float32).reshape(T, 22)
    bridged = np.arange(T) % 2 > 0
    write_npz(tmp_path, sequence_of(body, joints_sigma_m=sigma, bridged=bridged, first_frame=301))
    read = read_poses(tmp_path)
    np.testing.assert_array_equal(read.joints_sigma_m, sigma)
    np.testing.assert_array_equal(read.bridged, bridged)
    assert (read.first_frame, read.extra) == (301, {})
    for wrong in (
        {"joints_sigma": sigma[:, :3]},
        {"joints_sigma": np.full((T, 22), np.nan)},
        {"bridged": bridged[1:]},
        {"bridged": sigma[:, 0]},
        {"first_frame": np.float64(1.5)},
    ):
        write_npz(tmp_path, sequence_of(body))
        rewritten(tmp_path, **wrong)
        assert next(iter(wrong)) in refused(tmp_path)
    write_npz(tmp_path, sequence_of(body))
    rewritten(tmp_path, first_frame=None)
    read = read_poses(tmp_path)  # of before there were such figures
    assert (read.joints_sigma_m, read.bridged, read.first_frame) == (None, None, 1)


def test_npz_has_amass_keys(tmp_path, sequence, body):
    write_npz(tmp_path, sequence)
    with np.load(tmp_path / POSES_FILE, allow_pickle=False) as archive:
        assert {"poses", "betas", "trans", "mocap_frame_rate", "gender", "model", "joints"} <= set(archive.files)
        assert archive["poses"].shape == (T, body.num_pose)
        assert archive["trans"].shape == (T, 3)
        assert archive["joints"].shape == (T, 22, 3)
        assert archive["mocap_frame_rate"] == 120.0
        assert str(archive["model"]) == "open_neutral.npz"


def test_the_same_sequence_gives_the_same_bytes(tmp_path, sequence, monkeypatch):
    folders = [tmp_path / name for name in ("a", "b")]
    for day, folder in enumerate(folders):
        folder.mkdir()
        monkeypatch.setattr("time.time", lambda day=day: 1.7e9 + 86400 * day)
        write_npz(folder, sequence)
    assert (folders[0] / POSES_FILE).read_bytes() == (folders[1] / POSES_FILE).read_bytes()


@pytest.mark.parametrize("kind", ["empty", "text", "half", "flipped", "a folder in it"])
def test_a_damaged_npz_is_one_line(tmp_path, sequence, kind):
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
    assert POSES_FILE in refused(tmp_path)


def test_every_damaged_byte_of_an_npz_is_one_line_or_the_same_poses(tmp_path, sequence):
    """Never another exception, and never other poses."""
    path = write_npz(tmp_path, sequence)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.choice(len(data), 1000, replace=False):
        path.write_bytes(data[:place] + bytes([data[place] ^ int(rng.integers(1, 256))]) + data[place + 1 :])
        with contextlib.suppress(GaitError):
            np.testing.assert_array_equal(read_poses(tmp_path).poses, sequence.poses)


def rewritten(folder, **changed):
    with np.load(folder / POSES_FILE) as archive:
        data = {**archive, **changed}
    np.savez_compressed(folder / POSES_FILE, **{key: value for key, value in data.items() if value is not None})


@pytest.mark.parametrize("key", ["poses", "betas", "trans", "joints"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path, sequence, key, value):
    write_npz(tmp_path, sequence)
    with np.load(tmp_path / POSES_FILE) as archive:
        array = archive[key].copy()
    array.flat[3] = value
    rewritten(tmp_path, **{key: array})
    assert key in refused(tmp_path)


@pytest.mark.parametrize("key", ["poses", "betas", "trans", "joints", "mocap_frame_rate"])
def test_a_missing_key_is_named_beside_those_there(tmp_path, sequence, key):
    write_npz(tmp_path, sequence)
    rewritten(tmp_path, **{key: None})
    line = refused(tmp_path)
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
def test_lengths_that_do_not_fit_are_refused(tmp_path, sequence, key, shape):
    write_npz(tmp_path, sequence)
    rewritten(tmp_path, **{key: np.zeros(shape, np.float32)})
    refused(tmp_path)


def test_an_npz_that_would_run_code_is_refused(tmp_path, sequence):
    write_npz(tmp_path, sequence)
    rewritten(tmp_path, poses=np.array([{"a": 1}], dtype=object))
    refused(tmp_path)


def test_words_in_place_of_numbers_are_refused(tmp_path, sequence):
    write_npz(tmp_path, sequence)
    rewritten(tmp_path, trans=np.full((T, 3), "a"))
    assert "trans" in refused(tmp_path)


# --- one JSON file a frame -------------------------------------------------------------------------------------------


def test_json_frames_are_read_as_written(tmp_path, sequence, body):
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


def test_npz_is_preferred_to_json(tmp_path, sequence):
    write_json_frames(tmp_path, sequence)
    write_npz(tmp_path, sequence)
    assert read_poses(tmp_path).rate_hz == 120.0


def test_frames_without_a_body_or_a_rate_are_refused(tmp_path, sequence, body):
    write_json_frames(tmp_path, sequence)
    assert "body model" in refused(tmp_path)
    assert "rate" in refused(tmp_path, body=body)


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
def test_a_damaged_json_frame_is_one_line_that_names_it(tmp_path, sequence, body, changed):
    write_json_frames(tmp_path, sequence)
    name = with_frame(tmp_path, 3, **changed)
    assert name in refused(tmp_path, body=body, rate_hz=100.0)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", '"pose"', "[" * 100000, "\x00\xff"])
def test_what_is_no_json_frame_is_one_line_that_names_it(tmp_path, sequence, body, text):
    write_json_frames(tmp_path, sequence)
    (tmp_path / "pose_00002.json").write_text(text, encoding="latin1")
    assert "pose_00002.json" in refused(tmp_path, body=body, rate_hz=100.0)


def test_frames_of_different_lengths_are_not_of_one_gait(tmp_path, sequence, body):
    write_json_frames(tmp_path, sequence)
    with_frame(tmp_path, 1, pose=[[0.0] * 66])
    assert "different lengths" in refused(tmp_path, body=body, rate_hz=100.0)


@pytest.mark.parametrize("hinges", [False, True])
def test_poses_of_another_tree_are_refused(tmp_path, body, sequence, hinges):
    """What is written for the open body does not fit a hinge tree, and the other way round."""
    constrained = random_body(tmp_path, hinges=True)
    folder = tmp_path / "gait"
    folder.mkdir()
    write_json_frames(folder, sequence if hinges else sequence_of(constrained))
    reader = constrained if hinges else body
    line = refused(folder, body=reader, rate_hz=100.0)
    assert str(reader.num_pose) in line
    assert ("constrained" in line) == (not hinges)


def test_a_hinge_trees_poses_are_read_as_written(tmp_path):
    """Fewer shape coefficients than in the file are enough for the joints."""
    constrained = random_body(tmp_path, hinges=True)
    written = sequence_of(constrained, betas=6)
    folder = tmp_path / "gait"
    folder.mkdir()
    write_json_frames(folder, written)
    read = read_poses(folder, body=constrained, rate_hz=50.0)
    assert read.constrained
    np.testing.assert_allclose(read.joints_m, written.joints_m, atol=1e-5)


def test_shorter_betas_mean_zeros_for_the_rest(tmp_path, body):
    short = sequence_of(body, betas=10)
    write_json_frames(tmp_path, short)
    read = read_poses(tmp_path, body=body, rate_hz=50.0)
    np.testing.assert_allclose(read.joints_m, short.joints_m, atol=1e-6)
    np.testing.assert_array_equal(read.betas[:10], short.betas)


# --- 3D Body Twin's text files ---------------------------------------------------------------------------------------


def write_texts(folder, sequence):
    for t, (pose, place) in enumerate(zip(sequence.poses, sequence.translation_m, strict=True)):
        numbers = [*pose[:3], *place, *pose[3:], *sequence.betas]
        (folder / f"frame_{t:04d}.txt").write_text(" ".join(f"{x:.9g}" for x in numbers) + "\n", encoding="utf-8")


def test_text_frames_are_read(tmp_path, sequence, body):
    write_texts(tmp_path, sequence)
    read = read_poses(tmp_path, body=body, rate_hz=60.0)
    for name in ("poses", "betas", "translation_m"):
        np.testing.assert_array_equal(getattr(read, name), getattr(sequence, name))
    np.testing.assert_allclose(read.joints_m, sequence.joints_m, atol=1e-6)


@pytest.mark.parametrize("text", ["", "1 2 3", "0 " * 55, "x " * 281, "nan " * 281, "\xff\xfe"])
def test_a_damaged_text_frame_is_one_line_that_names_it(tmp_path, sequence, body, text):
    write_texts(tmp_path, sequence)
    (tmp_path / "frame_0002.txt").write_text(text, encoding="latin1")
    assert "frame_0002.txt" in refused(tmp_path, body=body, rate_hz=60.0)


def test_a_text_frame_that_was_cut_short_is_noticed(tmp_path, sequence, body):
    write_texts(tmp_path, sequence)
    path = tmp_path / "frame_0002.txt"
    path.write_text(" ".join(path.read_text(encoding="utf-8").split()[:-7]), encoding="utf-8")
    assert "different lengths" in refused(tmp_path, body=body, rate_hz=60.0)


# --- nothing there ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_poses_is_one_line(tmp_path, there):
    folder = tmp_path / "gait"
    if there:
        folder.mkdir()
        (folder / "fit_report.json").write_text("{}", encoding="utf-8")
    assert "poses.npz" in refused(folder)
