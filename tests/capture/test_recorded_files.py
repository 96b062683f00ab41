"""Each real recording next to the checkout is read with the right unit, axes, markers and gaps.

The expected numbers were determined by inspection of each file. Names of subjects are compared, but never printed.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import ezc3d
import numpy as np
import pytest

from gait.capture.marker_heights import stature_vector
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.marker_sets import MARKERS

pytestmark = pytest.mark.captures


@dataclass(frozen=True)
class Expected:
    canonical: int  # markers that some marker set has
    others: int  # markers under their own names
    missing: float  # fraction of samples
    stature_m: float  # from the relative heights of the markers; the true stature to about 20 %
    rate_hz: float = 100.0
    first_frame: int = 1
    frames: int = 0
    events: int = 0
    unit: str = "mm"
    up: str = "+z"
    walks: bool = True  # overground: the body moves in the direction it faces


EXPECTED = {
    "cerebral_palsy/CP01/static.c3d": Expected(35, 0, 0.0, 1.61, frames=300, walks=False),
    "cerebral_palsy/CP01/walk.c3d": Expected(35, 0, 0.000, 1.61, first_frame=153, frames=364, events=16),
    "cerebral_palsy/CP02/static.c3d": Expected(39, 6, 0.0, 1.43, first_frame=152, frames=189, walks=False),
    "cerebral_palsy/CP02/walk08_post.C3D": Expected(41, 10, 0.005, 1.54, first_frame=760, frames=310, events=10),
    "cerebral_palsy/CP02/walk08_pre.C3D": Expected(37, 6, 0.004, 1.43, first_frame=558, frames=381, events=13),
    "cerebral_palsy/CP02/walk10_pre.C3D": Expected(37, 6, 0.015, 1.43, first_frame=544, frames=266, events=10),
    "formats/analog_scaled.c3d": Expected(16, 0, 0.0, 1.70, rate_hz=120, frames=358),
    "formats/dec_int.c3d": Expected(27, 9, 0.071, 1.48, rate_hz=50, frames=89),
    "formats/gappy_250hz.c3d": Expected(38, 0, 0.475, 1.73, rate_hz=250, frames=1249),
    "formats/lowerbody_clinic_static.c3d": Expected(18, 6, 0.0, 1.63, frames=99, walks=False),
    "formats/lowerbody_clinic_walk.c3d": Expected(16, 0, 0.0, 1.52, first_frame=152, frames=215, events=8),
    "formats/lowerbody_overground.c3d": Expected(16, 0, 0.006, 1.07, first_frame=2, frames=459, events=5),
    "formats/metres_emg.c3d": Expected(22, 2, 0.007, 1.58, rate_hz=60, frames=134, unit="m"),
    "formats/pc_real.c3d": Expected(27, 9, 0.071, 1.48, rate_hz=50, frames=89),
    "formats/pig35_adult_walk.c3d": Expected(35, 0, 0.0, 1.76, first_frame=143, frames=320, events=10),
    "formats/pig39_stairs.c3d": Expected(39, 0, 0.0, 1.60, rate_hz=120, first_frame=695, frames=323),
    "formats/pig39_static.c3d": Expected(39, 0, 0.0, 1.71, rate_hz=120, frames=498, walks=False),
    "formats/prefixed_gaps.c3d": Expected(13, 0, 0.055, 1.65, rate_hz=50, frames=142),
    "formats/qualisys_isb_labels.c3d": Expected(55, 0, 0.0, 1.56, rate_hz=200, first_frame=705, frames=340, events=7),
    "formats/treadmill_events.c3d": Expected(26, 0, 0.0, 1.62, first_frame=45, frames=1206, events=43, walks=False),
    "formats/yup_walk.trc": Expected(41, 0, 0.0, 1.72, frames=238, up="+y"),
    "healthy/HC002D/static.c3d": Expected(39, 28, 0.0, 1.47, first_frame=50, frames=51, walks=False),
    "healthy/HC002D/walk06.c3d": Expected(37, 22, 0.001, 1.42, first_frame=124, frames=255, events=12),
    "healthy/HC030A/walk05.c3d": Expected(37, 22, 0.0, 1.46, first_frame=286, frames=197, events=8),
    "healthy/HC033A/static.c3d": Expected(39, 28, 0.0, 1.60, first_frame=58, frames=53, events=2, walks=False),
    "healthy/HC033A/walk10.c3d": Expected(37, 22, 0.007, 1.57, first_frame=128, frames=170, events=8),
    "healthy/HC036A/turn23.c3d": Expected(37, 22, 0.0, 1.28, first_frame=109, frames=223),
    "healthy/HC036A/walk10.c3d": Expected(37, 22, 0.002, 1.29, first_frame=79, frames=178, events=9),
}


WITHOUT_PELVIS = ("formats/dec_int.c3d", "formats/pc_real.c3d")


@cache
def read(path: Path) -> Recording:
    return read_recording(path)


def test_all_recorded_files_are_listed(captures):
    files = [path for path in captures.rglob("*") if path.suffix.lower() in (".c3d", ".trc")]
    assert {path.relative_to(captures).as_posix() for path in files} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_read_recording_of_recorded_file(captures, name):
    recording, expected = read(captures / name), EXPECTED[name]
    assert (recording.source_unit, recording.source_up) == (expected.unit, expected.up)
    assert (recording.rate_hz, recording.first_frame) == (expected.rate_hz, expected.first_frame)
    assert (recording.num_frames, len(recording.events)) == (expected.frames, expected.events)

    known = [label for label in recording.labels if label in MARKERS]
    assert (len(known), len(recording.labels) - len(known)) == (expected.canonical, expected.others)
    assert len(set(recording.labels)) == len(recording.labels)
    assert not any(character in label for label in recording.labels for character in "*: ")
    assert 1 - recording.visible.mean() == pytest.approx(expected.missing, abs=0.0015)
    np.testing.assert_array_equal(np.isfinite(recording.positions_m).all(axis=2), recording.visible)
    np.testing.assert_array_equal(np.isnan(recording.positions_m).any(axis=2), ~recording.visible)
    assert recording.visible.any(axis=0).all()

    stature = stature_vector(recording.labels, recording.positions_m)
    assert stature[1] == pytest.approx(expected.stature_m, rel=0.05)
    assert abs(stature[1]) > 0.98 * np.linalg.norm(stature)
    lowest = np.nanmin(recording.positions_m[..., 1])
    assert -0.2 < lowest < 0.1  # the floor; 0.17 m lower in the laboratory with stairs


@pytest.mark.parametrize("name", [name for name, e in EXPECTED.items() if e.walks and name not in WITHOUT_PELVIS])
def test_left_side_and_walking_direction_agree(captures, name):
    recording = read(captures / name)
    assert not any("swapped" in text for text in recording.warnings)
    position = {label: recording.positions_m[:, m] for m, label in enumerate(recording.labels)}
    midpoint = 0.5 * (position["LASI"] + position["RASI"])
    step = np.diff(midpoint, axis=0)
    forward = np.cross(position["LASI"] - position["RASI"], [0.0, 1.0, 0.0])[:-1]  # left × up
    progress = np.sum(step * forward, axis=1)
    assert np.mean(progress[np.isfinite(progress)] > 0) > 0.9


def test_model_outputs_are_inside_the_body(captures):
    nearby_marker = {"LHJC": "LASI", "RFEP": "RASI", "LFEO": "LKNE", "RKJC": "RKNE", "RTIO": "RANK", "LAJC": "LANK"}
    with_centres = 0
    for name in EXPECTED:
        recording = read(captures / name)
        pairs = [
            pair for pair in nearby_marker.items() if pair[0] in recording.model_outputs and pair[1] in recording.labels
        ]
        for output, marker in pairs:
            marker_m = recording.positions_m[:, recording.labels.index(marker)]
            distance = np.linalg.norm(recording.model_outputs[output] - marker_m, axis=1)
            assert 0.02 < np.nanmedian(distance) < 0.2, (name, output)
        with_centres += bool(pairs)
    assert with_centres == 17


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.lower().endswith(".c3d")])
def test_every_point_is_a_marker_or_unused(captures, name):
    recording = read(captures / name)
    points = ezc3d.c3d(str(captures / name))["header"]["points"]["size"]
    assert len(recording.labels) + len(recording.unused_labels) == points
    assert not any(":" in label for label in recording.unused_labels)


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.lower().endswith(".c3d")])
def test_no_subject_name_in_recording(captures, name):
    parameters = ezc3d.c3d(str(captures / name))["parameters"]
    text = repr(replace(read(captures / name), path=Path("recording.c3d"))).casefold()
    subjects = parameters.get("SUBJECTS", {})
    names = [
        str(value).strip().casefold()
        for key in ("NAMES", "LABEL_PREFIXES")
        if key in subjects
        for value in subjects[key]["value"]
    ]
    leaked = any(value.strip(":_") in text for value in names if len(value) > 3)
    assert not leaked, "a subject's name is in the recording"


def test_integer_and_float_files_of_one_trial_agree(captures):
    integers, floats = read(captures / "formats/dec_int.c3d"), read(captures / "formats/pc_real.c3d")
    assert integers.labels == floats.labels
    np.testing.assert_array_equal(integers.visible, floats.visible)
    np.testing.assert_allclose(integers.positions_m, floats.positions_m, atol=0.0005)


def test_event_times_match_force_plate(captures):
    """Check against an initial contact that the software detected in the force plate data."""
    path = captures / "formats/lowerbody_overground.c3d"
    recording, content = read(path), ezc3d.c3d(str(path))
    channel = content["parameters"]["ANALOG"]["LABELS"]["value"].index("Force.Fz2")
    force = content["data"]["analogs"][0, channel]
    onset = np.flatnonzero(np.abs(force - np.median(force)) > 20)[0]
    onset_s = recording.start_s + onset / content["header"]["analogs"]["frame_rate"]
    assert recording.events[0].time_s == pytest.approx(onset_s, abs=0.001)


def test_computed_copies_of_markers_are_not_read(captures):
    treadmill = read(captures / "formats/treadmill_events.c3d")
    assert any("LASIS as LASI" in note for note in treadmill.notes)
    assert "LASI" in treadmill.unused_labels
    assert "LASI" not in treadmill.model_outputs
    assert "SACR" not in read(captures / "cerebral_palsy/CP01/walk.c3d").labels
    assert "SACR" in read(captures / "healthy/HC030A/walk05.c3d").labels


def test_events_of_recorded_files(captures):
    contacts = [e for e in read(captures / "formats/treadmill_events.c3d").events if e.label == "Foot Strike"]
    assert {event.side for event in contacts} == {"left", "right"}
    for name, expected in EXPECTED.items():
        recording = read(captures / name)
        times = [event.time_s for event in recording.events]
        assert times == sorted(times)
        if expected.walks and times:
            assert recording.start_s <= times[0]
            assert times[-1] <= recording.start_s + recording.duration_s
    sides = [(event.label, event.side) for event in read(captures / "formats/qualisys_isb_labels.c3d").events]
    assert sides[:2] == [("LHS", "left"), ("RTO", "right")]
