"""Irregularities of real files, reproduced deliberately: each file must give the same recording of one stick figure."""

import json
from pathlib import Path

import ezc3d
import numpy as np
import pytest

from gait.capture.formats.c3d import read_c3d
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.capture.units import infer_unit
from gait.capture.up_axis import UpAxis, infer_up_axis, is_mirrored, rotation_to_y_up
from gait.errors import GaitError

RATE_HZ = 100.0
FRAMES = 50
HEIGHT_M = 1.7

# (fraction of the height, left m, front m) of a stick figure facing +z with its left at +x
_BODY = {
    **{
        "LFHD": (0.95, 0.07, 0.08),
        "LBHD": (0.94, 0.07, -0.08),
        "C7": (0.85, 0, -0.06),
        "CLAV": (0.81, 0, 0.06),
    },
    **{"STRN": (0.72, 0, 0.1), "T10": (0.72, 0, -0.1), "LSHO": (0.82, 0.18, 0), "LELB": (0.63, 0.3, -0.02)},
    **{
        "LWRA": (0.5, 0.32, 0.08),
        "LWRB": (0.49, 0.34, 0.03),
        "LASI": (0.56, 0.12, 0.1),
        "LPSI": (0.57, 0.05, -0.1),
    },
    **{
        "LTHI": (0.4, 0.15, 0.05),
        "LKNE": (0.28, 0.14, 0),
        "LTIB": (0.18, 0.13, 0.02),
        "LANK": (0.05, 0.13, -0.03),
    },
    **{"LHEE": (0.03, 0.1, -0.1), "LTOE": (0.02, 0.11, 0.12)},
}
BODY = {
    **_BODY,
    **{"R" + name[1:]: (level, -left, front) for name, (level, left, front) in _BODY.items() if name[0] == "L"},
}
LABELS = tuple(BODY)


def stick_figure(frames: int = FRAMES) -> np.ndarray:
    """(T, M, 3) metres, y up: walking towards +z, each foot in stance half of the time."""
    t = np.arange(frames) / RATE_HZ
    positions = np.empty((frames, len(BODY), 3))
    for m, (name, (level, left, front)) in enumerate(BODY.items()):
        phase = 0.0 if name[0] != "R" else np.pi
        swing = max(0.0, 0.5 - level) * 2  # full at the foot, zero at the pelvis
        positions[:, m, 0] = left + 0.5
        positions[:, m, 1] = HEIGHT_M * level + 0.02 * np.sin(4 * np.pi * t)
        positions[:, m, 2] = front + 1.2 * t + 0.3 * swing * np.sin(2 * np.pi * t + phase)
    return positions


def write_c3d(
    path: Path,
    labels=LABELS,
    positions=None,
    *,
    unit: str | None = "mm",
    rate: float = RATE_HZ,
    residuals=None,
    events=(),
    first_frame: int = 1,
    point: dict | None = None,
    extra: dict | None = None,
) -> Path:
    """Write points (T, P, 3), given in the unit and axes of the file."""
    if positions is None:
        positions = z_up(stick_figure()) * 1000
    file = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [rate]
    file["parameters"]["POINT"]["LABELS"]["value"] = list(labels)
    file["parameters"]["POINT"]["UNITS"]["value"] = [unit or ""]
    data = np.ones((4, len(labels), len(positions)))
    data[:3] = positions.transpose(2, 1, 0)
    file["data"]["points"] = data
    if residuals is not None:
        file["data"]["meta_points"]["residuals"] = residuals.T[None]
    for key, value in (point or {}).items():
        file.add_parameter("POINT", key, value)
    for (group, key), value in (extra or {}).items():
        file.add_parameter(group, key, value)
    for minutes, seconds, context, label in events:
        file.add_event([minutes, seconds], context, label)
    file["header"]["points"]["first_frame"] = first_frame - 1
    written = path.with_suffix(".c3d")  # ezc3d requires this suffix
    file.write(str(written))
    if unit is None:  # ezc3d always writes the parameter: give it an unknown name
        written.write_bytes(written.read_bytes().replace(b"UNITS", b"UNITX"))
    return written.rename(path)


def z_up(positions: np.ndarray) -> np.ndarray:
    """Convert from y up to the axes of most laboratories: (x, y, z) = (forward, left, up)."""
    return positions[..., [2, 0, 1]]


def assert_is_stick_figure(recording: Recording, tolerance_m: float = 2e-6) -> None:
    assert recording.labels == LABELS
    np.testing.assert_allclose(recording.positions_m, stick_figure(), atol=tolerance_m)
    assert recording.visible.all()
    assert recording.rate_hz == RATE_HZ


def test_read_recording_reads_c3d(tmp_path):
    recording = read_recording(write_c3d(tmp_path / "walk.c3d"))
    assert_is_stick_figure(recording)
    assert (recording.source_unit, recording.source_up, recording.first_frame) == ("mm", "+z", 1)
    assert recording.unused_labels == ()
    assert recording.events == ()
    assert recording.duration_s == pytest.approx(0.5)


def test_read_recording_accepts_upper_case_extension_and_str_path(tmp_path):
    assert_is_stick_figure(read_recording(str(write_c3d(tmp_path / "WALK.C3D"))))


@pytest.mark.parametrize("coding", ["residual", "zeros", "zeros with residual 65535", "nan"])
def test_missing_samples_are_nan_and_not_visible(tmp_path, coding):
    positions = z_up(stick_figure()) * 1000
    residuals = np.zeros(positions.shape[:2])
    gap = (slice(10, 20), 3)
    if coding == "residual":
        residuals[gap] = -1  # and the coordinates stay: a point declared invalid
    elif coding == "nan":
        positions[gap] = np.nan
    else:
        positions[gap] = 0
        residuals[gap] = 65535 if "65535" in coding else 0
    recording = read_recording(write_c3d(tmp_path / "walk.c3d", positions=positions, residuals=residuals))
    expected = np.ones(positions.shape[:2], dtype=bool)
    expected[gap] = False
    np.testing.assert_array_equal(recording.visible, expected)
    np.testing.assert_array_equal(np.isnan(recording.positions_m).all(axis=2), ~expected)
    np.testing.assert_allclose(recording.positions_m[expected], stick_figure()[expected], atol=2e-6)


def test_never_visible_marker_is_noted_and_excluded(tmp_path):
    positions = z_up(stick_figure()) * 1000
    positions[:, 3] = np.nan
    recording = read_recording(write_c3d(tmp_path / "walk.c3d", positions=positions))
    assert "CLAV" not in recording.labels
    assert "CLAV" in recording.unused_labels
    assert any("Never visible" in note and "CLAV" in note for note in recording.notes)


@pytest.mark.parametrize(
    ("stated", "scale", "name", "guessed"),
    [
        *[
            ("mm", 1000, "mm", False),
            ("mm   ", 1000, "mm", False),
            ("cm", 100, "cm", False),
            ("m", 1, "m", False),
        ],
        *[
            ("M ", 1, "m", False),
            ("meters", 1, "meters", False),
            (None, 1000, "mm", True),
            (None, 1, "m", True),
        ],
        *[("", 100, "cm", True), ("238", 1000, "mm", True), ("mm", 1, "m", True), ("m", 1000, "mm", True)],
    ],
)
@pytest.mark.parametrize("lower_body", [False, True])
def test_source_unit_is_read_or_inferred(tmp_path, stated, scale, name, guessed, lower_body):
    keep = [m for m, label in enumerate(LABELS) if not lower_body or BODY[label][0] < 0.58]
    keep = [m for m in keep if not lower_body or LABELS[m][1:] not in ("WRA", "WRB")]
    path = write_c3d(
        tmp_path / "walk.c3d", [LABELS[m] for m in keep], z_up(stick_figure())[:, keep] * scale, unit=stated
    )
    recording = read_recording(path)
    assert recording.source_unit == name
    np.testing.assert_allclose(recording.positions_m, stick_figure()[:, keep], atol=2e-6)
    assert any("read as" in note for note in recording.warnings) == guessed


def test_infer_unit_of_unnamed_markers_from_their_extent():
    labels = [f"M{k}" for k in range(len(LABELS))]
    unit = infer_unit("", labels, stick_figure() * 1000)
    assert (unit.name, unit.metres) == ("mm", 0.001)
    assert infer_unit("mm", labels, stick_figure()).metres == 1.0


def test_infer_unit_keeps_stated_unit_if_no_unit_is_plausible():
    unit = infer_unit("m", LABELS, stick_figure() * 3)
    assert unit.metres == 1.0
    assert "implausible" in unit.note


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("named", [True, False])
def test_infer_up_axis(axis, sign, named):
    labels = LABELS if named else [f"M{k}" for k in range(len(LABELS))]
    rotation = rotation_to_y_up(UpAxis(axis, sign, ""))
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    in_file = stick_figure() @ rotation  # p_file = Rᵀ p
    up = infer_up_axis(labels, in_file, RATE_HZ)
    assert (up.axis, up.sign) == (axis, sign)
    np.testing.assert_allclose(in_file @ rotation_to_y_up(up).T, stick_figure(), atol=1e-12)


def test_rotation_to_y_up_of_z_up_is_a_cyclic_permutation():
    np.testing.assert_array_equal(rotation_to_y_up(UpAxis(2, 1, "")) @ [1.0, 2.0, 3.0], [2.0, 3.0, 1.0])
    np.testing.assert_array_equal(rotation_to_y_up(UpAxis(1, 1, "")), np.eye(3))


def test_infer_up_axis_of_standing_subject_without_known_names():
    standing = np.repeat(stick_figure()[:1], 20, axis=0)
    labels = [f"M{k}" for k in range(len(LABELS))]
    assert infer_up_axis(labels, z_up(standing), RATE_HZ).name == "+z"


def test_infer_up_axis_uses_screen_axes_only_to_break_a_tie(tmp_path):
    path = write_c3d(tmp_path / "walk.c3d", point={"X_SCREEN": ["+Z"], "Y_SCREEN": ["+X"]})
    assert read_recording(path).source_up == "+z"
    cube = np.stack(np.meshgrid([0.1, 1.1], [0.1, 1.1], [0.1, 1.1]), axis=-1).reshape(1, 8, 3)
    cube = np.repeat(cube, 5, axis=0)
    labels = [f"M{k}" for k in range(8)]
    assert {infer_up_axis(labels, cube, RATE_HZ, y).name for y in ("+X", "+Y", "+Z")} == {"+x", "+y", "+z"}


def test_is_mirrored_is_noted_and_not_corrected(tmp_path):
    positions = z_up(stick_figure()) * 1000
    positions[..., 1] *= -1
    recording = read_recording(write_c3d(tmp_path / "walk.c3d", positions=positions))
    assert any("swapped" in note for note in recording.warnings)
    assert is_mirrored(recording.labels, recording.positions_m)
    assert not is_mirrored(LABELS, stick_figure())
    assert not is_mirrored(["M1", "M2"], stick_figure()[:, :2])


def test_label_prefix_is_removed_and_never_shown(tmp_path):
    labels = [f"Jane Doe:{label}" for label in LABELS]
    path = write_c3d(tmp_path / "walk.c3d", labels, extra={("SUBJECTS", "NAMES"): ["Jane Doe 1990-01-01"]})
    recording = read_recording(path)
    assert_is_stick_figure(recording)
    assert "Jane" not in repr(recording)


@pytest.fixture
def two_subjects(tmp_path):
    """The stick figure as Bob without three markers and as Ann 3 m aside, a box, and model outputs of both."""
    one, two = z_up(stick_figure())[:, :-3] * 1000, z_up(stick_figure()) * 1000 + [0, 3000, 0]
    box = np.ones((FRAMES, 2, 3)) * [100.0, 200.0, 300.0]
    outputs = [f"{subject}:{name}" for subject in ("Bob", "Ann") for name in ("LHJC", "LHipAngles")]
    labels = [
        *[f"Bob:{label}" for label in LABELS[:-3]],
        *[f"Ann:{label}" for label in LABELS],
        *["Box:P1", "Box:P2", "*98", *outputs],
    ]
    positions = np.concatenate([one, two, box, box[:, :1], one[:, :1], one[:, :1], two[:, :1], two[:, :1]], axis=1)
    return write_c3d(tmp_path / "two.c3d", labels, positions)


def test_select_subject_reads_the_one_with_most_markers(two_subjects):
    recording = read_recording(two_subjects)
    assert recording.labels == LABELS
    np.testing.assert_allclose(recording.positions_m, stick_figure() + np.array([3.0, 0, 0]), atol=2e-6)
    np.testing.assert_allclose(recording.model_outputs["LHJC"], recording.positions_m[:, 0], atol=1e-9)
    assert any("Subject 2 of 2" in note for note in recording.warnings)
    assert not any(word in repr(recording) for word in ("Bob", "Ann", "Box"))
    assert {"P1", "P2", "*98", "LHipAngles", "LASI"} <= set(recording.unused_labels)


@pytest.mark.parametrize(
    "subject",
    [{"subject_prefix": "Bob"}, {"subject_prefix": "bob"}, {"subject_prefix": "Bob:"}, {"subject_index": 1}],
)
def test_select_subject_by_prefix_or_number(two_subjects, subject):
    recording = read_recording(two_subjects, **subject)
    assert recording.labels == LABELS[:-3]
    np.testing.assert_allclose(recording.positions_m, stick_figure()[:, :-3], atol=2e-6)
    assert any("Subject 1 of 2" in note for note in recording.notes)


@pytest.mark.parametrize(
    "subject", [{"subject_prefix": "Carl"}, {"subject_prefix": ""}, {"subject_index": 3}, {"subject_index": 0}]
)
def test_select_subject_refuses_unknown_subject(two_subjects, subject):
    with pytest.raises(GaitError, match=r"two\.c3d: has no such subject; it has 2") as error:
        read_recording(two_subjects, **subject)
    assert not any(word in str(error.value) for word in ("Bob", "Ann"))


def test_select_subject_ignores_number_in_single_subject_file(tmp_path):
    """The number applies to all trials of a subject, including files with this subject only."""
    path = write_c3d(tmp_path / "alone.c3d", [f"Ann:{label}" for label in LABELS], z_up(stick_figure()) * 1000)
    assert read_recording(path, subject_index=2).labels == LABELS


def test_select_subject_without_prefix_next_to_object(tmp_path):
    positions = np.concatenate([z_up(stick_figure()) * 1000, np.full((FRAMES, 2, 3), 50.0)], axis=1)
    recording = read_recording(write_c3d(tmp_path / "walk.c3d", [*LABELS, "Wand:A", "Wand:B"], positions))
    assert_is_stick_figure(recording)
    assert recording.unused_labels == ("A", "B")


def test_marker_aliases_lower_case_and_blanks(tmp_path):
    other = {
        "LASI": "L_IAS",
        "RASI": "rasis",
        "LKNE": "L.Knee ",
        "C7": "CV7",
        "LHEE": "LeftHeel",
        "LSHO": "lsho",
    }
    recording = read_recording(write_c3d(tmp_path / "walk.c3d", [other.get(label, label) for label in LABELS]))
    assert_is_stick_figure(recording)
    assert any("L_IAS as LASI" in note and "rasis as RASI" in note for note in recording.notes)


def test_canonical_name_has_precedence_over_alias(tmp_path):
    positions = np.concatenate([z_up(stick_figure()) * 1000 + 500, z_up(stick_figure()) * 1000], axis=1)
    labels = ["LASIS" if label == "LASI" else f"X{label}1" for label in LABELS] + list(LABELS)
    recording = read_recording(write_c3d(tmp_path / "walk.c3d", labels, positions))
    column = recording.labels.index("LASI")
    np.testing.assert_allclose(recording.positions_m[:, column], stick_figure()[:, LABELS.index("LASI")], atol=2e-6)
    assert "LASIS" in recording.unused_labels


def test_other_markers_keep_their_names_and_unlabelled_points_are_unused(tmp_path):
    positions = np.concatenate([z_up(stick_figure()) * 1000, z_up(stick_figure())[:, :4] * 1000], axis=1)
    recording = read_recording(write_c3d(tmp_path / "walk.c3d", [*LABELS, "lth1", "*12", "C_3", ""], positions))
    assert recording.labels == (*LABELS, "LTH1")
    assert recording.unused_labels == ("*12", "C_3", "")


def test_measured_sacrum_is_kept_and_computed_midpoint_excluded(tmp_path):
    body = z_up(stick_figure()) * 1000
    middle = 0.5 * (body[:, [LABELS.index("LPSI")]] + body[:, [LABELS.index("RPSI")]])
    copy = read_recording(write_c3d(tmp_path / "a.c3d", [*LABELS, "SACR"], np.concatenate([body, middle], axis=1)))
    assert "SACR" not in copy.labels
    real = read_recording(
        write_c3d(
            tmp_path / "b.c3d",
            [*LABELS, "SACR"],
            np.concatenate([body, middle + np.array([-8.0, 0, 3.0])], axis=1),
        )
    )
    assert "SACR" in real.labels


def test_model_outputs_are_not_markers(tmp_path):
    names = [
        "LHJC",
        "LFEO",
        "LFEP",
        "LFEA",
        "LFEL",
        "LHipAngles",
        "MyOwnThing",
        "LKneeForce",
        "CentreOfMass",
        "VIRT",
    ]
    body = z_up(stick_figure()) * 1000
    points = np.concatenate([body, body[:, : len(names)]], axis=1)
    points[5, len(LABELS)] = 0.0
    path = write_c3d(
        tmp_path / "walk.c3d",
        [*LABELS, *names],
        points,
        point={"ANGLES": ["LHipAngles", "MyOwnThing"], "MODELED_MARKERS": ["VIRT"]},
    )
    recording = read_recording(path)
    assert recording.labels == LABELS
    assert recording.unused_labels == tuple(names)
    assert set(recording.model_outputs) == {"LHJC", "LFEO", "LFEP", "CentreOfMass", "VIRT"}
    hip = recording.model_outputs["LHJC"]
    assert np.isnan(hip[5]).all()
    np.testing.assert_allclose(np.delete(hip, 5, 0), np.delete(stick_figure()[:, 0], 5, 0), atol=2e-6)


def test_computed_marker_replaces_missing_one(tmp_path):
    path = write_c3d(tmp_path / "static.c3d", point={"MODELED_MARKERS": ["LKNE", "RKNE"]})
    recording = read_recording(path)
    assert recording.labels == LABELS
    assert any("Computed" in note and "LKNE, RKNE" in note for note in recording.notes)


def test_read_c3d_with_more_than_255_labels(tmp_path):
    many = [f"Thing{k}Angles" for k in range(260)]
    body = z_up(stick_figure()) * 1000
    positions = np.concatenate([np.ones((FRAMES, 260, 3)), body], axis=1)
    recording = read_recording(write_c3d(tmp_path / "walk.c3d", [*many, *LABELS], positions))
    assert_is_stick_figure(recording)
    assert len(recording.unused_labels) == 260


def test_events_and_first_frame_above_1(tmp_path):
    events = [
        *[(1, 2.5, "Right", "Foot Off"), (0, 30.25, "Left", "Foot Strike"), (0, 31.0, "General", "Start")],
        *[(0, 32.0, "", "RHS"), (0, 33.0, "", "Turn")],
    ]
    recording = read_recording(write_c3d(tmp_path / "walk.c3d", events=events, first_frame=3001))
    assert_is_stick_figure(recording)
    assert recording.first_frame == 3001
    assert recording.start_s == pytest.approx(30.0)
    found = [(event.time_s, event.side, event.label) for event in recording.events]
    assert found == [
        *[(30.25, "left", "Foot Strike"), (31.0, "", "Start"), (32.0, "right", "RHS"), (33.0, "", "Turn")],
        (62.5, "right", "Foot Off"),
    ]
    assert all(type(event.time_s) is float for event in recording.events)


def test_read_c3d_with_integer_coordinates(tmp_path):
    """Scaled integers of 0.1 mm. Written by hand, because ezc3d writes floats only."""
    path = write_c3d(tmp_path / "float.c3d")
    data = bytearray(path.read_bytes())
    start = (int.from_bytes(data[16:18], "little") - 1) * 512
    floats = np.frombuffer(bytes(data[start:]), "<f4", count=FRAMES * len(LABELS) * 4).reshape(-1, 4)
    data[12:16] = np.float32(0.1).tobytes()
    scale_at = data.find(b"SCALE") + 5 + 2 + 2
    data[scale_at : scale_at + 4] = np.float32(0.1).tobytes()
    integers = np.concatenate([np.rint(floats[:, :3] / 0.1), np.zeros((len(floats), 1))], axis=1).astype("<i2")
    (tmp_path / "int.c3d").write_bytes(bytes(data[:start]) + integers.tobytes())
    assert_is_stick_figure(read_recording(tmp_path / "int.c3d"), tolerance_m=6e-5)


# ------------------------------------------------------------------------------------------ refused files


def test_missing_file_folder_and_extension_are_refused(tmp_path):
    with pytest.raises(GaitError, match=r"nowhere\.c3d: does not exist"):
        read_recording(tmp_path / "nowhere.c3d")
    (tmp_path / "folder.c3d").mkdir()
    with pytest.raises(GaitError, match=r"folder\.c3d: is a folder"):
        read_recording(tmp_path / "folder.c3d")
    with pytest.raises(
        GaitError, match=r"C3D \(\.c3d\), joint arrays \(\.npy, \.npz\), marker JSON \(\.json\), TRC \(\.trc\)"
    ):
        read_recording(tmp_path / "walk.fbx")


@pytest.mark.parametrize("suffix", [".c3d", ".trc"])
def test_empty_file_is_refused(tmp_path, suffix):
    (tmp_path / f"walk{suffix}").write_bytes(b"")
    with pytest.raises(GaitError, match=rf"walk\{suffix}: the file is empty"):
        read_recording(tmp_path / f"walk{suffix}")


def test_file_of_another_format_is_refused(tmp_path):
    (tmp_path / "walk.c3d").write_bytes(b"PK\x03\x04" + bytes(5000))
    with pytest.raises(GaitError, match=r"walk\.c3d: is not a C3D file"):
        read_recording(tmp_path / "walk.c3d")


@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.95])
def test_truncated_file_is_read_as_far_as_it_goes(tmp_path, fraction):
    path = write_c3d(tmp_path / "walk.c3d")
    data = path.read_bytes()
    path.write_bytes(data[: int(fraction * len(data))])
    recording = read_recording(path)
    start = 512 * (int.from_bytes(data[16:18], "little") - 1)
    frames = (int(fraction * len(data)) - start) // (16 * len(LABELS))
    assert recording.num_frames == frames
    np.testing.assert_allclose(recording.positions_m, stick_figure()[:frames], atol=2e-6)
    assert f"The file breaks off: it holds {frames} of {FRAMES} frames." in recording.warnings


def test_file_that_ends_in_its_parameters_is_refused(tmp_path):
    path = write_c3d(tmp_path / "walk.c3d")
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(GaitError, match=r"walk\.c3d: is damaged, its points cannot be found"):
        read_recording(path)


def test_header_that_contradicts_the_parameters_is_overruled_by_the_points(tmp_path):
    path = write_c3d(tmp_path / "walk.c3d")
    data = bytearray(path.read_bytes())
    data[2] -= 1  # one point less: every later sample would shift
    path.write_bytes(data)
    recording = read_recording(path)
    assert_is_stick_figure(recording)
    assert any("Header and parameters disagree" in text for text in recording.warnings)


def test_parameter_with_a_wrong_length_is_read(tmp_path):
    path = write_c3d(tmp_path / "walk.c3d")
    data = bytearray(path.read_bytes())
    at = data.find(b"LABELS") + 6
    data[at : at + 2] = b"\xff\xff"
    path.write_bytes(data)
    assert_is_stick_figure(read_recording(path))


@pytest.mark.parametrize("name", [b"SCALE", b"OFFSET"])
def test_analog_channels_without_scale_are_noted(tmp_path, name):
    file = ezc3d.c3d(str(write_c3d(tmp_path / "walk.c3d")))
    file["parameters"]["ANALOG"]["LABELS"]["value"] = ["Fz1"]
    file["parameters"]["ANALOG"]["RATE"]["value"] = [RATE_HZ]
    file["data"]["analogs"] = np.zeros((1, 1, FRAMES))
    file.write(str(tmp_path / "walk.c3d"))
    assert_is_stick_figure(read_recording(tmp_path / "walk.c3d"))
    data = bytearray((tmp_path / "walk.c3d").read_bytes())
    at = data.find(name, data.find(b"ANALOG"))
    while data[at - 2] != len(name):  # GEN_SCALE has the same ending
        at = data.find(name, at + 1)
    data[at : at + len(name)] = b"X" * len(name)
    (tmp_path / "walk.c3d").write_bytes(data)
    recording = read_recording(tmp_path / "walk.c3d")
    assert_is_stick_figure(recording)
    assert f"ANALOG:{name.decode()} has 0 values for 1 channels." in recording.notes


def test_read_c3d_notes_the_message_of_ezc3d(tmp_path, monkeypatch):
    path = write_c3d(tmp_path / "walk.c3d")
    expected = read_c3d(path)

    def refuse(*_args, **_kwargs):
        raise RuntimeError("Parameter type unrecognized:\n iostream error")

    monkeypatch.setattr("ezc3d.c3d", refuse)
    raw = read_c3d(path)
    reason = "Parameter type unrecognized: iostream error"
    assert raw.notes == (f"ezc3d cannot read this file ({reason}); its points were read without ezc3d.",)
    np.testing.assert_array_equal(raw.positions, expected.positions)


def test_no_markers_no_samples_no_rate_are_refused(tmp_path):
    with pytest.raises(GaitError, match="has no visible marker"):
        read_recording(write_c3d(tmp_path / "a.c3d", ["*1", "LHipAngles"], np.ones((5, 2, 3))))
    with pytest.raises(GaitError, match="has no visible marker"):
        read_recording(write_c3d(tmp_path / "b.c3d", ["LASI", "RASI"], np.full((5, 2, 3), np.nan)))
    with pytest.raises(GaitError, match="holds no points"):
        read_recording(write_c3d(tmp_path / "c.c3d", [], np.ones((5, 0, 3))))
    path = write_c3d(tmp_path / "d.c3d", rate=50.0)
    path.write_bytes(path.read_bytes().replace(np.float32(50.0).tobytes(), np.float32(-1.0).tobytes()))
    with pytest.raises(GaitError, match="rate of -1 frames"):
        read_recording(path)


def test_error_messages_are_one_line(tmp_path):
    for name, content in (("a.c3d", b"x" * 2000), ("b.trc", b"hello"), ("c.json", b"{"), ("d.json", b"[1]")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(GaitError) as error:
            read_recording(tmp_path / name)
        assert "\n" not in str(error.value)
        assert name in str(error.value)


# ------------------------------------------------------------------------------------------ TRC


def write_trc(path: Path, positions=None, *, labels=LABELS, unit="mm", head=None, blank=(), first=1) -> Path:
    """Write a TRC file like OpenSim; ``blank`` holds (frame, marker) pairs to leave empty."""
    positions = stick_figure() * 1000 if positions is None else positions
    keys = "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames"
    count = len(positions)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        keys,
        head or f"{RATE_HZ}\t{RATE_HZ}\t{count}\t{len(labels)}\t{unit}\t{RATE_HZ}\t1\t{count}",
        "Frame#\tTime\t" + "\t\t\t".join(labels) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{m + 1}" for m in range(len(labels)) for axis in "XYZ"),
        "",
    ]
    for frame, row in enumerate(positions):
        cells = [["", "", ""] if (frame, m) in blank else [f"{value:.6f}" for value in p] for m, p in enumerate(row)]
        lines.append("\t".join([str(first + frame), f"{frame / RATE_HZ:.5f}", *(c for cell in cells for c in cell)]))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_read_trc(tmp_path):
    recording = read_recording(write_trc(tmp_path / "walk.trc", first=7))
    assert_is_stick_figure(recording)
    assert (recording.source_unit, recording.source_up, recording.first_frame) == ("mm", "+y", 7)


def test_read_trc_z_up_in_metres_with_gaps(tmp_path):
    last = len(LABELS) - 1
    blank = {(3, 0), (4, last)}
    path = write_trc(tmp_path / "walk.TRC", z_up(stick_figure()), unit="m", blank=blank)
    lines = path.read_text().splitlines()
    lines[10] = lines[10].rstrip("\t")  # trailing markers may be missing
    path.write_text("\r\n".join(lines))
    recording = read_recording(path)
    assert recording.source_up == "+z"
    assert {tuple(pair) for pair in np.argwhere(~recording.visible)} == blank
    np.testing.assert_allclose(recording.positions_m[0], stick_figure()[0], atol=2e-6)


def test_read_trc_with_empty_columns_in_header(tmp_path):
    """As in real files: the number of frames stands in the column of the unit."""
    head = f"  {RATE_HZ}\t\t  {RATE_HZ}\t\t    {FRAMES}\t\t    {len(LABELS)}\t mm\t {RATE_HZ}\t   1\t  {FRAMES}"
    recording = read_recording(write_trc(tmp_path / "walk.trc", head=head))
    assert_is_stick_figure(recording)
    assert recording.source_unit == "mm"


def test_read_trc_with_number_as_unit(tmp_path):
    recording = read_recording(write_trc(tmp_path / "walk.trc", unit="238"))
    assert_is_stick_figure(recording)
    assert any("'238', which is not a unit" in note for note in recording.warnings)


def test_read_trc_infers_missing_rate_from_times(tmp_path):
    head = f"\t\t{FRAMES}\t{len(LABELS)}\tmm\t\t1\t{FRAMES}"
    recording = read_recording(write_trc(tmp_path / "walk.trc", head=head))
    assert recording.rate_hz == pytest.approx(RATE_HZ)


@pytest.mark.parametrize("stated", [50, 200, 60])
def test_read_trc_believes_the_time_column(tmp_path, stated):
    head = f"{stated}\t{stated}\t{FRAMES}\t{len(LABELS)}\tmm\t{stated}\t1\t{FRAMES}"
    recording = read_recording(write_trc(tmp_path / "walk.trc", head=head))
    assert_is_stick_figure(recording)
    line = f"The header states {stated} frames per second, the time column 100, which is used."
    assert recording.warnings == (line,)


@pytest.mark.parametrize("scale", [1000.0, RATE_HZ, 0.0])
def test_read_trc_with_times_in_other_units_keeps_the_stated_rate(tmp_path, scale):
    path = write_trc(tmp_path / "walk.trc")
    lines = path.read_text().splitlines()
    for k, line in enumerate(lines[5:], 5):
        fields = line.split("\t")
        if fields[0]:
            lines[k] = "\t".join([fields[0], f"{float(fields[1]) * scale:.3f}", *fields[2:]])
    path.write_text("\n".join(lines) + "\n")
    recording = read_recording(path)
    assert_is_stick_figure(recording)
    assert recording.warnings == ()


def test_read_trc_with_irregular_lines(tmp_path):
    path = write_trc(tmp_path / "walk.trc")
    lines = path.read_text().splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("1\t"))
    assert lines[start + 3].split("\t")[2]
    lines[start + 1] += "\t\t"  # trailing columns
    lines[start + 2] = lines[start + 2].rpartition("\t")[0]  # the last coordinate is missing
    fields = lines[start + 3].split("\t")
    lines[start + 3] = "\t".join([*fields[:2], "abc", *fields[3:]])
    path.write_text("\n".join([*lines[:-5], lines[-5][:40]]))
    recording = read_recording(path)
    T = FRAMES - 5
    assert recording.labels == LABELS
    missing = {(2, len(LABELS) - 1), (3, 0)}
    assert {tuple(pair) for pair in np.argwhere(~recording.visible)} == missing
    seen = recording.visible
    np.testing.assert_allclose(recording.positions_m[seen], stick_figure()[:T][seen], atol=2e-6)
    assert recording.warnings == (
        "The last line breaks off and is not read.",
        f"The file breaks off: it holds {T} of {FRAMES} frames.",
        f"1 fields are not numbers, first in line {start + 4}; such samples are not visible.",
    )


@pytest.mark.parametrize("stated", [len(LABELS) - 3, len(LABELS) + 2])
def test_read_trc_whose_header_counts_other_frames_and_markers(tmp_path, stated):
    head = f"100\t100\t{FRAMES - 2}\t{stated}\tmm\t100\t1\t{FRAMES}"
    recording = read_recording(write_trc(tmp_path / "walk.trc", head=head))
    assert_is_stick_figure(recording)
    assert f"The header states {stated} markers; the file has {len(LABELS)}." in recording.notes
    assert f"The header states {FRAMES - 2} frames; the file has {FRAMES}." in recording.notes


def test_read_trc_with_unnamed_columns(tmp_path):
    """A name is blank, and three columns follow that the header does not name."""
    path = write_trc(tmp_path / "walk.trc")
    lines = path.read_text().splitlines()
    head = next(k for k, line in enumerate(lines) if line.startswith("Frame#"))
    lines[head] = lines[head].replace(LABELS[4], "  ")
    lines = [line + "\t1\t2\t3" if line[:1].isdigit() and k > head else line for k, line in enumerate(lines)]
    path.write_text("\n".join(lines) + "\n")
    recording = read_recording(path)
    assert recording.labels == (*LABELS[:4], *LABELS[5:])
    np.testing.assert_allclose(recording.positions_m, np.delete(stick_figure(), 4, axis=1), atol=2e-6)
    assert f"2 of {len(LABELS) + 1} markers have no name and are not used." in recording.warnings


def test_read_trc_without_frames_is_refused(tmp_path):
    path = write_trc(tmp_path / "walk.trc")
    path.write_text("\n".join(path.read_text().splitlines()[:6]))
    with pytest.raises(GaitError, match="has no frames"):
        read_recording(path)


# ------------------------------------------------------------------------------------------ JSON


def marker_json(**changes) -> dict:
    frames = {
        str(t): {label: list(position) for label, position in zip(LABELS, row, strict=True)}
        for t, row in enumerate(stick_figure())
    }
    return {"Frames": frames, "framerate": 100, "nFrames": FRAMES, "nPoints": len(LABELS)} | changes


def test_read_marker_json(tmp_path):
    path = tmp_path / "walk.json"
    content = marker_json()
    path.write_text(json.dumps(content))
    assert_is_stick_figure(read_recording(path))
    del content["Frames"]["4"]["C7"]
    content["Frames"]["5"]["C7"] = None
    content["Frames"]["6"]["C7"] = [None, 1.0, 2.0]
    del content["Frames"]["8"]
    path.write_text(json.dumps(content))
    recording = read_recording(path)
    assert recording.labels[:3] == LABELS[:3]
    assert recording.num_frames == FRAMES
    assert not recording.visible[8].any()
    gaps = np.flatnonzero(~recording.visible[:, LABELS.index("C7")])
    assert gaps.tolist() == [4, 5, 6, 8]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Frames": []}, "is not a marker file"),
        ({"framerate": "60"}, '"framerate" must be a number'),
        ({"framerate": 0}, "rate of 0 frames"),
        ({"Frames": {"a": {}}}, "must be frame numbers"),
        ({"Frames": {"0": {"C7": [1, 2]}}}, "frame 0: marker C7 must be"),
        ({"Frames": {"0": {"C7": [1, 2, "x"]}}}, "frame 0: marker C7 must be"),
        ({"Frames": {"0": 3}}, "must be an object of markers"),
        ({"Frames": {"0": {}, "999999999": {}}}, "number them in order"),
        ({"Frames": {"0": {}}}, "holds no points"),
        ({"Frames": {"0": {"C7": None}}}, "has no visible marker"),
    ],
)
def test_read_marker_json_refuses_damaged_files(tmp_path, changes, message):
    path = tmp_path / "walk.json"
    path.write_text(json.dumps(marker_json(**changes)))
    with pytest.raises(GaitError, match=message):
        read_recording(path)


def test_read_marker_json_error_names_line_and_column(tmp_path):
    (tmp_path / "walk.json").write_text('{"Frames":\n {]}')
    with pytest.raises(GaitError, match=r"walk\.json, line 2, column 3: is not JSON"):
        read_recording(tmp_path / "walk.json")
