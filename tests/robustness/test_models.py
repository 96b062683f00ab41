"""Readers of models, checkpoints, poses, cohort files and marker layouts with malicious or damaged files."""

import json
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import scipy.sparse
import torch

from gait.body.constraints_file import read_constraints
from gait.body.model_file import load_body
from gait.body.vposer import load_vposer
from gait.cohort.cohort_file import read_cohort
from gait.errors import GaitError
from gait.files import safe_pickle
from gait.files.safe_pickle import read_array_dict
from gait.motion.pose_files import read_poses
from tests.body.test_vposer import folder_with, random_state
from tests.files.test_safe_pickle import Calls, opcodes
from tests.helpers.paths import REPOSITORY


@pytest.fixture(scope="module")
def body():
    return load_body(REPOSITORY / "data" / "SUPR" / "open_neutral.npz")


def refused(read, path):
    """Return the one-line message of a refusal, which must need little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(GaitError) as error:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()
    assert str(error.value).isprintable()
    return str(error.value)


# ------------------------------------------------------------------------------------------ arrays


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (opcodes(b"}r\xff\xff\xff\x7f", b"0N"), "contains a NoneType"),
        (opcodes(b"\x96" + struct.pack("<Q", 1 << 40)), "damaged, truncated"),
        (opcodes(b"\x8e" + struct.pack("<Q", 1 << 40)), "damaged, truncated"),
        (opcodes(b"\x95" + struct.pack("<Q", 1 << 40)), "damaged, truncated"),
        (opcodes(b"\x82\x01"), "extension code"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{'descr'", "damaged, truncated"),
    ],
)
def test_read_array_dict_memory_is_bounded_by_the_file_size(tmp_path, content, line):
    (tmp_path / "model.npy").write_bytes(content)
    assert line in refused(read_array_dict, tmp_path / "model.npy")


def test_read_array_dict_without_pickle_loads_none(tmp_path):
    """Poses and explanations are read so: no pickle, whatever it contains, is loaded."""
    for name, content in (("a.pkl", pickle.dumps({"a": np.eye(2)})), ("b.npy", opcodes(b"\x96" + bytes(7) + b"\x80"))):
        (tmp_path / name).write_bytes(content)
        assert "holds objects" in refused(lambda path: read_array_dict(path, allow_pickle=False), tmp_path / name)
    np.savez(tmp_path / "c.npz", more=np.array([None], dtype=object))
    assert "more holds objects" in refused(lambda path: read_array_dict(path, allow_pickle=False), tmp_path / "c.npz")


def test_read_array_dict_refuses_a_huge_empty_sparse_matrix(tmp_path):
    whole = pickle.dumps({"m": scipy.sparse.csc_matrix((70000, 3))}, protocol=2)
    assert whole.count(struct.pack("<i", 70000)) == 1
    (tmp_path / "m.pkl").write_bytes(whole.replace(struct.pack("<i", 70000), struct.pack("<i", 2_000_000_000)))
    assert "sparse matrix of 2000000000 by 3" in refused(read_array_dict, tmp_path / "m.pkl")


def npy(header, data=b""):
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    ("member", "line"),
    [
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000,), }"), "more than the file contains"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-4,), }", bytes(64)), "more than the file contains"),
        (npy("{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1,), }", bytes(8)), "not plain numbers"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", bytes(80)), "x is more than one array"),
        (pickle.dumps(Calls(print, "ran")), "is not an .npy array"),
    ],
)
def test_read_array_dict_refuses_archive_members_with_wrong_headers(tmp_path, member, line):
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "model.npz", "w", method) as archive:
            archive.writestr("x.npy", member)
        assert line in refused(read_array_dict, tmp_path / "model.npz")


def test_read_array_dict_checks_the_archive_checksum(tmp_path):
    np.savez(tmp_path / "model.npz", x=np.arange(100.0))
    data = bytearray((tmp_path / "model.npz").read_bytes())
    data[data.find(np.arange(100.0).tobytes()) + 9] ^= 1
    (tmp_path / "model.npz").write_bytes(data)
    assert "CRC" in refused(read_array_dict, tmp_path / "model.npz")


def test_read_array_dict_refuses_zip_bombs_and_duplicate_members(tmp_path, monkeypatch):
    one = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", bytes(8))
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as archive:
        archive.writestr("x.npy", one)
        archive.writestr("x", one)
    assert "contains x twice" in refused(read_array_dict, tmp_path / "twice.npz")
    monkeypatch.setattr(safe_pickle, "MAX_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(1 << 18))
    assert "unpacks to 2 MiB, more than 1 MiB" in refused(read_array_dict, tmp_path / "bomb.npz")


def test_load_body_refuses_huge_values(tmp_path):
    np.savez(tmp_path / "model.npz", v_template=np.full((4, 3), 1e200))
    assert "v_template has values up to 1e+200" in refused(load_body, tmp_path / "model.npz")
    np.savez_compressed(tmp_path / "model.npz", v_template=np.zeros((20_000_000, 3), np.int8))
    assert "too large for a body" in refused(load_body, tmp_path / "model.npz")


# ------------------------------------------------------------------------------------------ checkpoints


def test_load_vposer_refuses_a_tensor_larger_than_its_storage(tmp_path):
    """A stride of zero lets a few bytes claim any number of elements."""
    state = random_state(8, 4)
    state["vp_model.decoder_net.0.weight"] = torch.zeros(1, 1).expand(1 << 20, 1 << 20)
    assert "claims more numbers than the file" in refused(load_vposer, folder_with(tmp_path, {"state_dict": state}))


def test_load_vposer_refuses_the_oldest_checkpoint_format(tmp_path):
    folder = folder_with(tmp_path, {"state_dict": random_state(8, 4)}, _use_new_zipfile_serialization=False)
    assert "not a PyTorch checkpoint" in refused(load_vposer, folder)


# ------------------------------------------------------------------------------------------ poses


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"mocap_frame_rate": np.float64("nan")}, "mocap_frame_rate holds values that are not finite numbers"),
        ({"mocap_frame_rate": np.float64(-1)}, "mocap_frame_rate is -1"),
        ({"mocap_frame_rate": np.str_("fast")}, "mocap_frame_rate holds values that are not finite numbers"),
        ({"poses": np.full((2, 9), 1e300)}, "poses holds values that are not finite numbers"),
        ({"poses": np.zeros((0, 9))}, "poses has the shape (0, 9)"),
        ({"poses": np.zeros((2, 9), complex)}, "poses holds values that are not finite numbers"),
        ({"constrained": np.zeros(2, bool)}, "constrained has the shape (2,)"),
        ({"more": np.array([{"a": 1}, None], dtype=object)}, "more holds objects"),
    ],
)
def test_read_poses_refuses_invalid_arrays(tmp_path, change, line):
    valid = {
        "poses": np.zeros((2, 9)),
        "betas": np.zeros(4),
        "trans": np.zeros((2, 3)),
        "joints": np.zeros((2, 22, 3)),
    }
    np.savez(tmp_path / "poses.npz", **{**valid, "mocap_frame_rate": np.float64(100), **change})
    assert line in refused(read_poses, tmp_path)


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1" + "0" * 5000, "1e39", "[" * 2000, "null", '"x"'])
def test_read_poses_refuses_invalid_json_frames(tmp_path, body, number):
    (tmp_path / "pose_00000.json").write_text(f'{{"pose": [{number}], "betas": [0], "translation": [0, 0, 0]}}')
    assert "pose_00000.json: " in refused(lambda folder: read_poses(folder, body=body, rate_hz=100), tmp_path)


def test_read_poses_refuses_huge_angles(tmp_path, body):
    (tmp_path / "pose.txt").write_text(" ".join(["1e30"] * (body.num_pose + 53)))
    assert "too large to be angles" in refused(lambda folder: read_poses(folder, body=body, rate_hz=100), tmp_path)


# ------------------------------------------------------------------------------------------ cohorts, layouts


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"P": {"trials": ["a.c3d"], "healthy": 1' + "0" * 5000 + "}}", "a number in it is too long"),
        ('{"P\\ud800": {"trials": ["a.c3d"], "healthy": true}}', "cannot be the name of a folder"),
        ('{"P\\u0085": {"trials": ["a.c3d"], "healthy": true}}', "cannot be the name of a folder"),
        (json.dumps({"P" * 300: {"trials": ["a.c3d"], "healthy": True}}), "cannot be the name of a folder"),
        (json.dumps({"P": {"trials": ["a" * 5000], "healthy": True}}), "cannot be the name of a file"),
        (json.dumps({"P": {"trials": ["a\0.c3d"], "healthy": True}}), "cannot be the name of a file"),
        ('{"P": {"trials": ["\\ud800.c3d"], "healthy": true}}', "cannot be the name of a file"),
        (json.dumps({"P": {"trials": ["a.c3d"], "healthy": "x" * 9000}}), "'healthy' must be true or false"),
    ],
)
def test_read_cohort_refuses_invalid_names_and_numbers(tmp_path, text, line):
    (tmp_path / "cohort.json").write_text(text)
    found = refused(read_cohort, tmp_path / "cohort.json")
    assert line in found
    assert len(found) < 1000


@pytest.mark.parametrize(
    ("label", "marker", "line"),
    [
        ("C7", {"faceId": 10**400}, "faceId is 1000"),
        ("C7", {"distanceToSkin": -(10**400)}, "distanceToSkin is -1000"),
        ("C7", {"baryCoords": [1e300, -1e300, 1]}, "baryCoords"),
        ("", {}, "a marker has no name"),
        ("C7\n\x1b[31m", {"faceId": -1}, r"marker C7\n\x1b[31m: faceId"),
    ],
)
def test_read_constraints_refuses_huge_numbers_and_invalid_names(tmp_path, body, label, marker, line):
    entry = {"faceId": 3, "baryCoords": [1, 0, 0], "distanceToSkin": 0.01} | marker
    content = {"legs": {"type": "C3DMarker", "Markers": {label: entry}}}
    (tmp_path / "layout.json").write_text(json.dumps(content))
    assert line in refused(lambda path: read_constraints(path, body), tmp_path / "layout.json")
