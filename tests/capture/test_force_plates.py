"""Force plates of a C3D file, of each type and in each number format."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from gait.capture.parse_c3d import parse_c3d
from gait.synthetic.force_plates import PlatePlan, record_plates, step_centres
from tests.helpers import plate_cases
from tests.helpers.paths import REPOSITORY
from tests.helpers.plate_cases import walk, walk_over

pytestmark = pytest.mark.usefixtures("one_thread")


def test_plates_of_all_types_give_the_same_force_and_centre_of_pressure(tmp_path):
    side, contact, off, centre = step_centres(walk())[2]
    plans = [PlatePlan(kind, centre, reaction=reaction) for kind in (1, 2, 3, 4) for reaction in (False, True)]
    recording = walk_over(plans, tmp_path)
    assert [plate.number for plate in recording.force_plates] == list(range(1, 9))
    first = recording.force_plates[0]
    loaded = first.vertical_n > 20
    time_s = np.flatnonzero(loaded) / first.rate_hz
    assert [time_s[0], time_s[-1]] == pytest.approx([contact, off], abs=1e-3)
    truth = walk().ground_truth
    heel, toe = (truth.landmark_m(f"{side[0].upper()}{name}_SOLE") for name in ("HEEL", "TOE"))
    flat = round((contact + 0.35 * (off - contact)) * truth.rate_hz)
    ends = [heel[flat] * [1, 0, 1], toe[flat] * [1, 0, 1]]
    np.testing.assert_allclose(first.cop_m[loaded][[0, -1]], ends, atol=2e-3)
    for plate in recording.force_plates:
        np.testing.assert_allclose(plate.corners_m.mean(axis=0), centre, atol=1e-6)
        np.testing.assert_allclose(plate.vertical_n, first.vertical_n, atol=1e-2)
        np.testing.assert_allclose(plate.cop_m[loaded], first.cop_m[loaded], atol=1e-4)
        assert plate.contains(plate.cop_m[loaded]).all()
        assert not plate.contains(centre + np.array([0.5, 0, 0.5]))


@pytest.mark.parametrize("processor", [84, 85, 86])
@pytest.mark.parametrize("scale", [-1.0, 0.1])
def test_analog_channels_are_scaled_in_every_number_format(tmp_path, monkeypatch, processor, scale):
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    writer = importlib.import_module("recording_writer")
    stored = np.arange(20 * 6, dtype=np.float64).reshape(20, 6) - 40
    positions = np.random.default_rng(0).normal(500, 1, (20, 5, 3)).cumsum(axis=0).astype(np.float32)
    content = writer.C3dContent(
        list("ABCDE"), positions, 100.0, channels=3, samples=2, processor=processor, scale=scale, analog=stored
    )
    content.parameter(writer.ANALOG, "GEN_SCALE").values = [2.0]
    content.parameter(writer.ANALOG, "SCALE").values = [1.0, 0.5, -0.25]
    content.parameter(writer.ANALOG, "OFFSET").values = [0, 10, -4]
    path = tmp_path / "walk.c3d"
    path.write_bytes(content.to_bytes())
    expected = (stored.reshape(40, 3) - [0, 10, -4]) * [2.0, 1.0, -0.5]
    np.testing.assert_allclose(parse_c3d(path).analog([2, 0]), expected[:, [2, 0]], rtol=1e-6)
    assert parse_c3d(path).analog([3]) is None
    np.testing.assert_allclose(parse_c3d(path).analog(range(3)), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"kinds": (7,)}, "its type is 7; types 1, 2, 3, 4 are known"),
        ({"corners_mm": np.zeros((3, 4, 1))}, "its corners are one point"),
        ({"corners_mm": np.full((3, 4, 1), np.inf)}, "its corners are missing"),
        ({"channel_numbers": np.full((8, 1), 99)}, "its channel numbers are missing or too large"),
        ({"channel_numbers": np.full((8, 1), np.nan)}, "its channel numbers are missing or too large"),
    ],
)
def test_plates_that_cannot_be_read_are_named(tmp_path, monkeypatch, damage, reason):
    original = record_plates
    monkeypatch.setattr(plate_cases, "record_plates", lambda *args: replace(original(*args), **damage))
    recording = walk_over([PlatePlan(2, step_centres(walk())[2][3])], tmp_path)
    assert recording.force_plates == ()
    assert [note for note in recording.notes if "plate" in note] == [f"Force plate 1 is not read: {reason}."]


def test_plates_of_absurd_numbers_stop_nothing(tmp_path, monkeypatch):
    original = record_plates
    monkeypatch.setattr(
        plate_cases,
        "record_plates",
        lambda *args: replace(
            original(*args), origins_mm=np.full((3, 1), 1e38), corners_mm=original(*args).corners_mm * 1e33
        ),
    )
    (plate,) = walk_over([PlatePlan(2, step_centres(walk())[2][3])], tmp_path).force_plates
    assert plate.vertical_n.max() > 500
