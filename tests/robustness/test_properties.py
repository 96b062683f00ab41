"""Property tests: for any file content, every reader reads correctly or raises a one-line error."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from gait.body.constraints_file import read_constraints
from gait.body.model_file import load_body
from gait.body.vposer import load_vposer
from gait.capture.marker_names import canonical_marker, split_prefixes, strip_label
from gait.capture.read_recording import read_recording
from gait.cohort.cohort_file import read_cohort
from gait.errors import GaitError
from gait.files.safe_pickle import read_array_dict
from gait.motion.pose_files import read_poses
from tests.helpers.paths import REPOSITORY

repeatable = settings(max_examples=60, derandomize=True, database=None, deadline=None)

NUMBERS = st.floats(width=32) | st.integers() | st.floats()
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["LASI", "RASI", "Ann:LKNE", "*1", ""]) | st.text(max_size=8)


@pytest.fixture(scope="module")
def body():
    return load_body(REPOSITORY / "data" / "SUPR" / "open_neutral.npz")


def outcome(read, name, content):
    """Return what a reader returns, or None if it raised a one-line error that names the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        try:
            return read(path)
        except GaitError as error:
            line = str(error)
    assert line.isprintable()
    assert folder in line
    assert "please report" not in line
    return None


def check_recording(recording):
    assert len(set(recording.labels)) == len(recording.labels) == recording.positions_m.shape[1]
    visible = np.isfinite(recording.positions_m).all(axis=2)
    np.testing.assert_array_equal(visible, recording.visible)
    assert visible.any(axis=0).all()
    assert all(name.isprintable() for name in (*recording.labels, *recording.notes, *recording.warnings))
    assert 1 <= recording.rate_hz <= 10_000


@pytest.mark.parametrize(
    "name", ["a.c3d", "a.trc", "a.json", "poses.npz", "body.npy", "snapshots/a.ckpt", "cohort.json"]
)
@repeatable
@given(
    content=st.binary(max_size=3000),
    start=st.sampled_from([b"", b"\x02P", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"{", b"\x80\x02"]),
)
def test_readers_with_any_bytes(name, content, start):
    readers = {
        "poses.npz": lambda path: read_poses(path.parent),
        "body.npy": read_array_dict,
        "snapshots/a.ckpt": lambda path: load_vposer(path.parents[1]),
        "cohort.json": read_cohort,
    }
    outcome(readers.get(name, read_recording), name, start + content)


@repeatable
@given(
    frames=st.dictionaries(
        st.integers(-1, 40).map(str) | st.text(max_size=3),
        st.dictionaries(NAMES, st.lists(NUMBERS | st.none(), min_size=3, max_size=3) | VALUES, max_size=4) | VALUES,
        max_size=5,
    ),
    rate=st.sampled_from([100, 60.0]) | VALUES,
)
def test_read_recording_any_marker_json(frames, rate):
    recording = outcome(read_recording, "a.json", json.dumps({"Frames": frames, "framerate": rate}))
    if recording is not None:
        check_recording(recording)
        assert recording.num_frames == max(map(int, frames)) - min(map(int, frames)) + 1
        max_visible = sum(position is not None for frame in frames.values() for position in frame.values())
        assert recording.visible.sum() <= max_visible


@repeatable
@given(
    names=st.lists(NAMES, min_size=1, max_size=4),
    rows=st.lists(st.lists(NUMBERS.map(str) | st.sampled_from(["", "1,5", "x", "nan"]), max_size=14), max_size=4),
    stated=st.integers(-1, 5) | st.text(max_size=4),
    unit=st.sampled_from(["mm", "m", "", "238"]) | st.text(max_size=5),
)
def test_read_recording_any_trc(names, rows, stated, unit):
    text = "PathFileType\t4\nDataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\n"
    text += f"100\t100\t{stated}\t{len(names)}\t{unit}\n"
    text += "Frame#\tTime\t" + "\t\t\t".join(names) + "\n\n" + "\n".join("\t".join(row) for row in rows)
    recording = outcome(read_recording, "a.trc", text)
    if recording is not None:
        check_recording(recording)
        assert recording.num_frames <= len(rows)


@repeatable
@given(
    positions=arrays_of.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 4), st.just(3))),
    rate=st.sampled_from([50, 100]),
)
def test_trc_positions_are_read_as_written(positions, rate):
    T, M = positions.shape[:2]
    lines = ["PathFileType\t4", "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits", f"{rate}\t{rate}\t{T}\t{M}\tm"]
    lines += ["Frame#\tTime\t" + "\t\t\t".join(f"M{m}" for m in range(M)), ""]
    lines += [
        "\t".join([str(t + 1), str(t / rate), *map(repr, map(float, row.ravel()))]) for t, row in enumerate(positions)
    ]
    recording = outcome(read_recording, "a.trc", "\n".join(lines))
    with np.errstate(invalid="ignore"):
        missing = (
            ~np.isfinite(positions).all(axis=2) | (positions == 0).all(axis=2) | (np.abs(positions) >= 1e7).any(axis=2)
        )
    if recording is None:
        assert missing.all()
        return
    check_recording(recording)
    assert recording.visible.sum() == (~missing).sum()


@repeatable
@given(
    content=st.dictionaries(
        st.text(max_size=6),
        st.fixed_dictionaries(
            {"trials": st.lists(st.text(max_size=8), max_size=3) | VALUES, "healthy": st.booleans() | VALUES}
        )
        | VALUES,
        max_size=3,
    )
)
def test_read_cohort_any_content(content):
    subjects = outcome(read_cohort, "cohort.json", json.dumps(content))
    if subjects is not None:
        assert [subject.name for subject in subjects] == sorted(content)
        for subject in subjects:
            assert len(subject.trials) == len(content[subject.name]["trials"])
            assert subject.healthy is content[subject.name]["healthy"]


MARKERS = st.fixed_dictionaries(
    {
        "faceId": st.integers(-1, 100) | VALUES,
        "baryCoords": st.just([0.5, 0.25, 0.25]) | st.lists(NUMBERS, min_size=3, max_size=3) | VALUES,
        "distanceToSkin": st.floats(-0.1, 0.1) | VALUES,
    }
)


@repeatable
@given(
    markers=st.dictionaries(NAMES, MARKERS | VALUES, max_size=3),
    bounds=st.lists(st.tuples(st.integers(-1, 70), NUMBERS, NUMBERS), max_size=3),
    more=VALUES,
)
def test_read_constraints_any_content(body, markers, bounds, more):
    joints, lower, upper = (list(column) for column in zip(*bounds, strict=True)) if bounds else ([], [], [])
    content = {
        "legs": {"type": "C3DMarker", "Markers": markers},
        "knees": {"type": "Angle", "joints": joints, "lbounds": lower, "upbounds": upper},
        "more": more,
    }
    read = outcome(lambda path: read_constraints(path, body), "layout.json", json.dumps(content))
    if read is not None:
        assert read.layouts[0].face.tolist() == [marker["faceId"] for marker in markers.values()]
        assert (read.angle_bounds.lower <= read.angle_bounds.upper).all()
        assert np.isfinite(read.angle_bounds.upper).all()


@repeatable
@given(
    content=st.dictionaries(
        st.text("abcdefgh_", min_size=1, max_size=6).filter(lambda key: key != "file"),
        arrays_of.arrays(
            st.sampled_from([np.float64, np.int16, np.bool_, "U3"]), arrays_of.array_shapes(max_dims=3, max_side=4)
        ),
        max_size=4,
    ),
    pickled=st.booleans(),
)
def test_read_array_dict_any_arrays(content, pickled):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.npy" if pickled else "a.npz")
        if pickled:
            np.save(path, np.array(content, dtype=object), allow_pickle=True)
        else:
            np.savez_compressed(path, **content)
        found = read_array_dict(path)
    assert found.keys() == content.keys()
    for key, array in content.items():
        np.testing.assert_array_equal(found[key], array)


@repeatable
@given(number=NUMBERS | st.sampled_from(["nan", "1e400", "x", "1_0", "", None, [1, [2]]]), count=st.integers(0, 60))
def test_read_poses_any_frame(body, number, count):
    text = " ".join([str(number)] * count)
    outcome(lambda path: read_poses(path.parent, body=body, rate_hz=100), "a.txt", text)
    frame = {"pose": [number] * count, "betas": [number], "translation": [0, 0, 0]}
    outcome(lambda path: read_poses(path.parent, body=body, rate_hz=100), "pose_0.json", json.dumps(frame))


@repeatable
@given(labels=st.lists(st.text(max_size=40), max_size=8))
def test_marker_names_any_labels(labels):
    for name, label in zip(split_prefixes(labels), labels, strict=True):
        assert (name.prefix + name.name).isprintable()
        assert strip_label(strip_label(label)) == strip_label(label)
        assert canonical_marker(name.name) is None or canonical_marker(name.name).isupper()
    assert str(GaitError("".join(labels))).isprintable()
