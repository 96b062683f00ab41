"""Recordings that hang or crash their parser, use too much memory, or have wrong headers: each is named in an error."""

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import ezc3d
import numpy as np
import pytest

from gait.capture import sandboxed_reader
from gait.capture.read_recording import read_recording
from gait.capture.sandboxed_reader import read_raw_recording
from gait.errors import GaitError

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")

LABELS = ("LASI", "RASI", "SACR", "LKNE")
POSITIONS = np.random.default_rng(0).uniform(100.0, 1000.0, (4, 3)) + np.arange(6.0)[:, None, None]


def write_c3d(path, frames=POSITIONS):
    """Write float points, two analog channels at twice the rate, and a subject name that must never be printed."""
    c3d = ezc3d.c3d()
    point, analog = c3d["parameters"]["POINT"], c3d["parameters"]["ANALOG"]
    point["UNITS"]["value"], point["RATE"]["value"], point["LABELS"]["value"] = ["mm"], [100.0], list(LABELS)
    analog["LABELS"]["value"], analog["RATE"]["value"] = ["Fz1", "Fz2"], [200.0]
    c3d.add_parameter("SUBJECTS", "NAMES", ["Alonso Quijano 1605"])
    c3d["data"]["points"] = np.concatenate([frames.transpose(2, 1, 0), np.ones((1, 4, len(frames)))])
    c3d["data"]["analogs"] = np.zeros((1, 2, 2 * len(frames)))
    c3d.write(str(path))
    return path


def changed(path, at, values, layout="<H"):
    """Replace a number in the header of a file."""
    data = bytearray(path.read_bytes())
    struct.pack_into(layout, data, at, *([values] if np.isscalar(values) else values))
    path.write_bytes(data)


def value_of(path, name, group=b"POINT"):
    """Return the byte offset of the value of a scalar parameter."""
    data = path.read_bytes()
    at = data.index(name, data.index(group))
    while data[at - 2] not in (len(name), 256 - len(name)):  # negative: locked
        at = data.index(name, at + 1)
    return at + len(name) + 4


@pytest.fixture
def pipe(tmp_path):
    """A file that never ends."""
    path = tmp_path / "endless.c3d"
    os.mkfifo(path)
    return path


def child_process():
    return sandboxed_reader._reader._child


# ------------------------------------------------------------------------------------------ the sandboxed reader


def test_read_raw_recording_stops_a_hanging_parser(tmp_path, pipe, monkeypatch):
    monkeypatch.setattr(sandboxed_reader, "_MIN_TIMEOUT_S", 0.5)
    with pytest.raises(GaitError, match=r"endless\.c3d: could not be read within \d+ s, its parser was stopped"):
        sandboxed_reader.read_raw_recording(pipe)
    monkeypatch.undo()
    assert read_recording(write_c3d(tmp_path / "walk.c3d")).num_frames == 6


def test_read_raw_recording_names_a_file_that_crashes_both_parsers(tmp_path, pipe, monkeypatch):
    monkeypatch.setattr(sandboxed_reader, "_MIN_TIMEOUT_S", 2.0)
    read_recording(write_c3d(tmp_path / "walk.c3d"))
    first = child_process()
    threading.Timer(0.2, first.send_signal, [signal.SIGSEGV]).start()
    with pytest.raises(GaitError, match=r"endless\.c3d: its parser crashed \(SIGSEGV\)"):
        sandboxed_reader.read_raw_recording(pipe)
    assert read_recording(tmp_path / "walk.c3d").num_frames == 6
    assert child_process().pid != first.pid


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not enforce memory limits")
def test_read_recording_names_a_file_that_needs_too_much_memory(tmp_path, monkeypatch):
    (tmp_path / "lists.json").write_text("[" + "[]," * 3_000_000 + "1]")
    monkeypatch.setattr(sandboxed_reader, "_MEMORY_BYTES", 32 << 20)
    monkeypatch.setattr(sandboxed_reader, "_MEMORY_PER_FILE_BYTE", 2)
    with pytest.raises(GaitError, match=r"lists\.json: needs more than 49 MB of memory"):
        read_recording(tmp_path / "lists.json")
    monkeypatch.undo()
    assert read_recording(write_c3d(tmp_path / "walk.c3d")).num_frames == 6


def test_read_recording_uses_one_child_and_replaces_a_killed_one(tmp_path):
    path = write_c3d(tmp_path / "walk.c3d")
    read_recording(path)
    first = child_process()
    read_recording(path)
    assert child_process() is first
    first.kill()
    first.wait()
    assert read_recording(path).num_frames == 6
    assert child_process() is not first


def test_read_raw_recording_recovers_after_an_interrupt(tmp_path, pipe):
    def interrupted(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupted)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            sandboxed_reader.read_raw_recording(pipe)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert read_recording(write_c3d(tmp_path / "walk.c3d")).num_frames == 6


def test_read_recording_relative_paths_after_chdir(tmp_path, monkeypatch):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        write_c3d(Path("walk.c3d"))
        assert read_recording("walk.c3d").path == Path("walk.c3d")
        with pytest.raises(GaitError, match=r"^missing\.c3d: does not exist"):
            read_recording("missing.c3d")


def test_read_recording_in_a_forked_process_uses_its_own_child(tmp_path):
    path = write_c3d(tmp_path / "walk.c3d")
    read_recording(path)
    own = child_process()
    pid = os.fork()
    if pid == 0:
        fine = child_process() is None and read_recording(path).num_frames == 6 and child_process().pid != own.pid
        sandboxed_reader._reader.stop()
        os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert read_recording(path).num_frames == 6
    assert child_process() is own


def test_sandboxed_reader_ends_with_its_parent(tmp_path):
    path = write_c3d(tmp_path / "walk.c3d")
    program = (
        "import sys, time\nfrom gait.capture import sandboxed_reader\n"
        "from gait.capture.read_recording import read_recording\n"
        f"read_recording({str(path)!r})\nprint(sandboxed_reader._reader._child.pid, flush=True)\ntime.sleep(60)"
    )
    package = str(Path(sandboxed_reader.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-P", "-c", program],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": package},
    ) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + 5
    while time.monotonic() < until and alive(child):
        time.sleep(0.02)
    assert not alive(child)


def alive(pid):
    """Return whether a process is running; a zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_capture_does_not_import_torch():
    program = "import sys, gait.capture.read_recording; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    package = str(Path(sandboxed_reader.__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": package}, check=False)
    assert done.returncode == 0


# ------------------------------------------------------------------------------------------ C3D


@pytest.mark.parametrize(
    ("name", "layout", "value", "line"),
    [
        ("FRAMES", "<H", 60000, "POINT:FRAMES is 60000; the file holds 6 frames"),
        ("FRAMES", "<H", 5, "POINT:FRAMES is 5; the file holds 6 frames"),
        ("USED", "<H", 5, "the points show 4 points"),
        ("SCALE", "<f", 1.0, "the points show 4 points and 4 analog samples per frame of floats"),
        ("SCALE", "<f", np.nan, "POINT:SCALE has no number"),
        ("RATE", "<f", 50.0, "The parameters state 50 frames per second, the header 100, which is used"),
        ("DATA_START", "<H", 60000, "POINT:DATA_START is 60000; the points begin in block 4"),
    ],
)
def test_read_recording_reads_points_whose_c3d_parameters_are_wrong(tmp_path, name, layout, value, line):
    path = write_c3d(tmp_path / "walk.c3d")
    expected = read_recording(path)
    changed(path, value_of(path, name.encode()), value, layout)
    recording = read_recording(path)
    assert any(line in text for text in (*recording.notes, *recording.warnings))
    np.testing.assert_array_equal(recording.positions_m, expected.positions_m)
    assert recording.rate_hz == 100.0


@pytest.mark.parametrize(("at", "value"), [(6, 9), (8, 60000), (8, 7), (16, 1), (16, 60000), (2, 0), (4, 9), (18, 9)])
def test_read_recording_reads_points_whose_c3d_header_is_wrong(tmp_path, at, value):
    path = write_c3d(tmp_path / "walk.c3d")
    expected = read_recording(path)
    changed(path, at, value)
    recording = read_recording(path)
    np.testing.assert_array_equal(recording.positions_m, expected.positions_m)
    assert (recording.labels, recording.rate_hz) == (expected.labels, 100.0)


def test_read_recording_refuses_a_c3d_whose_points_cannot_be_told(tmp_path):
    path = write_c3d(tmp_path / "walk.c3d", np.random.default_rng(0).uniform(-1e4, 1e4, (6, 4, 3)))
    changed(path, 2, 5)
    path.write_bytes(path.read_bytes() + bytes(2000))
    with pytest.raises(GaitError, match=r"walk\.c3d: is damaged, its points cannot be found \(5 points and 4 analog"):
        read_recording(path)


def test_read_recording_notes_a_different_rate_in_the_c3d_header(tmp_path):
    path = write_c3d(tmp_path / "walk.c3d")
    changed(path, 20, 50.0, "<f")
    recording = read_recording(path)
    assert recording.rate_hz == 100.0
    assert "The header states 50 frames per second, the parameters 100, which is used." in recording.warnings


def test_read_recording_c3d_with_more_than_65535_frames(tmp_path):
    walk = np.random.default_rng(1).normal(0, 0.01, (66_000, 1, 3)).cumsum(axis=0)
    frames = (POSITIONS[:1] + walk).astype(np.float32)
    path = write_c3d(tmp_path / "long.c3d", frames)
    np.testing.assert_array_equal(read_raw_recording(path).positions, frames)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert 30_000 < read_recording(path).num_frames < 33_000


def test_read_recording_labels_are_printable(tmp_path):
    path = write_c3d(tmp_path / "walk.c3d")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"LKNE", b"Gen\xf3").replace(b"SACR", b"S\x1b[m"))
    labels = read_recording(path).labels
    assert labels == ("LASI", "RASI", "S_[M", "GENÓ")
    " ".join(labels).encode()


# ------------------------------------------------------------------------------------------ text


def trc(tmp_path, **changes):
    fields = {"markers": "2", "names": "LASI\t\t\tRASI", "row": "1\t0.00\t1\t2\t3\t4\t5\t6"} | changes
    path = tmp_path / "walk.trc"
    path.write_text(
        "PathFileType\t4\t(X/Y/Z)\twalk.trc\nDataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\n"
        f"100\t100\t1\t{fields['markers']}\tm\nFrame#\tTime\t{fields['names']}\n\tX1\tY1\tZ1\n{fields['row']}\n",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize(
    ("changes", "labels", "visible"),
    [
        ({"names": "LA\tSI\t\t\tRASI"}, ("LASI", "RASI"), 2),
        ({"row": "1\t0.00\t1\t2\t3\t4\t5_0\t6"}, ("LASI",), 1),
        ({"row": "1\t0.00\tAnn\t2\t3\t4\t5\t6"}, ("RASI",), 1),
        ({"row": "1e300\t0.00\t1\t2\t3\t4\t5\t6"}, ("LASI", "RASI"), 2),
        ({"row": "1\t0.00\t1\t2\t3\t4\t5\t6\n2"}, ("LASI", "RASI"), 2),
    ],
)
def test_read_recording_reads_the_rest_of_a_damaged_trc(tmp_path, changes, labels, visible):
    recording = read_recording(trc(tmp_path, **changes))
    assert recording.labels == labels
    assert recording.visible.sum() == visible
    assert recording.first_frame == 1
    assert "Ann" not in repr(recording)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"row": "1"}, "has no visible marker"),
        ({"row": "x\ty\t1\t2\t3"}, "has no frames"),
        ({"names": ""}, "has no markers"),
        ({"names": "L" * 300 + "\t\t\tRASI"}, "has a name of 300 characters"),
    ],
)
def test_read_recording_names_damage_in_a_trc(tmp_path, changes, line):
    with pytest.raises(GaitError, match=line):
        read_recording(trc(tmp_path, **changes))


def test_read_recording_refuses_a_small_text_with_a_huge_table(tmp_path):
    names = "\t".join(f"M{k}" for k in range(9000))
    path = trc(tmp_path, names=names, markers="9000", row="1\t0.0\t1\t2\t3\n" + "1\t0.0\n" * 9000)
    with pytest.raises(GaitError, match="has 1 marker positions for 9001 frames of 9000 markers"):
        read_recording(path)
    many = {f"M{k}": [1.0, 2.0, 3.0] for k in range(3000)}
    (tmp_path / "wide.json").write_text(json.dumps({"Frames": {"0": many, "1010": {}}, "framerate": 100}))
    with pytest.raises(GaitError, match="has 3000 marker positions for 1011 frames of 3000 markers"):
        read_recording(tmp_path / "wide.json")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"Frames": {"0": {"A": [1' + "0" * 5000 + ', 0, 0]}}, "framerate": 9}', "a number in it is too long"),
        ('{"Frames": {"0": {"A": [1, 2, 3]}}, "framerate": 1' + "0" * 400 + "}", '"framerate" must be a number'),
        ('{"Frames": {"1' + "0" * 400 + '": {"A": [1, 2, 3]}}, "framerate": 9}', "distinct numbers from 0"),
        ('{"Frames": {"0": {"A": [1' + "0" * 400 + ', 0, 0]}}, "framerate": 9}', "has no visible marker"),
        ('{"Frames": {"0": {"A": [1, 2, 3]}}, "framerate": NaN}', "rate of nan"),
        ('{"Frames": {"0": {"A\\nB": [1, 2]}}, "framerate": 9}', r"marker A\\nB must be"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_read_recording_names_damage_in_marker_json(tmp_path, text, line):
    (tmp_path / "walk.json").write_text(text)
    with pytest.raises(GaitError, match=line) as error:
        read_recording(tmp_path / "walk.json")
    assert str(error.value).isprintable()


def test_read_recording_refuses_impossible_paths(tmp_path):
    for name in ("a" * 5000, "a\0b", "\udcff\ud800"):
        with pytest.raises(GaitError) as error:
            read_recording(tmp_path / f"{name}.c3d")
        assert str(error.value).isprintable()
