"""The parser of C3D files reads every number format as ezc3d does, and finds points whatever is wrong elsewhere."""

import copy
import importlib
import random

import ezc3d
import numpy as np
import pytest

from gait.capture.formats.c3d import read_c3d
from gait.capture.parse_c3d import parse_c3d
from gait.capture.sandboxed_reader import read_raw_recording
from tests.capture.test_read_recording import LABELS, stick_figure, z_up
from tests.helpers.paths import CAPTURES, REPOSITORY

INTEL, DEC, SGI = 84, 85, 86
GAP = (slice(10, 14), 3)


@pytest.fixture
def writer(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    return importlib.import_module("recording_writer")


@pytest.fixture
def corruptions(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    return importlib.import_module("recording_corruptions")


def walk_mm():
    """The stick figure in mm, z up, with a gap."""
    positions = 1000.0 * z_up(stick_figure(40))
    positions[GAP] = np.nan
    return positions


def content(writer, processor=INTEL, scale=-1.0, **more):
    known = {"channels": 2, "samples": 10, "first_frame": 7} | more
    return writer.C3dContent(
        list(LABELS), walk_mm().astype(np.float32), 100.0, processor=processor, scale=scale, **known
    )


def ezc3d_points(path):
    return np.moveaxis(ezc3d.c3d(str(path))["data"]["points"][:3], 0, -1).swapaxes(0, 1)


@pytest.mark.parametrize("scale", [-1.0, -0.01, 0.1, 0.05])
@pytest.mark.parametrize("processor", [INTEL, DEC, SGI])
def test_parse_c3d_reads_every_number_format(writer, tmp_path, processor, scale):
    written, path = content(writer, processor, scale), tmp_path / "walk.c3d"
    path.write_bytes(written.to_bytes())
    parsed = parse_c3d(path)
    assert (parsed.rate_hz, parsed.first_frame, parsed.frames) == (100.0, 7, 40)
    assert (parsed.notes, parsed.warnings, parsed.regular) == ((), (), processor != SGI)
    np.testing.assert_array_equal(parsed.positions(), written.expected())
    assert np.isnan(parsed.positions()[GAP]).all()
    raw = read_c3d(path)
    np.testing.assert_array_equal(raw.positions, written.expected())
    assert [(event.label, event.side) for event in raw.events] == [("Foot Strike", "left"), ("Foot Off", "right")]
    if processor != SGI:  # ezc3d refuses these
        np.testing.assert_array_equal(ezc3d_points(path), parsed.positions())


@pytest.mark.captures
def test_parse_c3d_reads_recorded_files_as_ezc3d_does(captures):
    for path in sorted(captures.rglob("*.[cC]3[dD]")):
        parsed = parse_c3d(path)
        assert parsed.regular, path.name
        assert not parsed.warnings
        np.testing.assert_array_equal(parsed.positions(), ezc3d_points(path), err_msg=path.name)


def test_parse_c3d_reads_parameters_as_ezc3d_does(writer, tmp_path):
    paths = [tmp_path / "walk.c3d", *(sorted(CAPTURES.glob("formats/*.c3d")) if CAPTURES.is_dir() else [])]
    paths[0].write_bytes(content(writer).to_bytes())
    for path in paths:
        parameters = parse_c3d(path).parameters
        for group, of_group in ezc3d.c3d(str(path))["parameters"].items():
            for name, known in of_group.items():
                found = parameters.get(group.upper(), {}).get(name.upper())
                if name == "__METADATA__" or found is None or not found.count:  # ezc3d adds empty ones
                    continue
                if isinstance(found.value, list):
                    assert found.value == [str(text) for text in known["value"]], (path.name, group, name)
                else:
                    expected = np.ravel(known["value"], order="F")
                    np.testing.assert_array_equal(np.ravel(found.value, order="F"), expected, err_msg=name)


def test_corruptions_cover_what_archives_hold(corruptions):
    assert len(corruptions.C3D_CORRUPTIONS) > 30
    assert len(corruptions.TRC_CORRUPTIONS) > 15


@pytest.mark.parametrize("number_format", [(INTEL, -1.0), (DEC, 0.1), (SGI, -0.01)])
def test_read_raw_recording_of_corrupted_c3d(writer, corruptions, tmp_path, number_format):
    honest, path = content(writer, *number_format), tmp_path / "walk.c3d"
    for seed, corrupt in enumerate(corruptions.C3D_CORRUPTIONS):
        corrupted = corrupt(random.Random(seed), copy.deepcopy(honest))
        path.write_bytes(corrupted.data)
        raw = read_raw_recording(path)
        assert raw.labels == corrupted.labels, corrupt.__name__
        np.testing.assert_array_equal(raw.positions, corrupted.positions, err_msg=corrupt.__name__)
        assert raw.rate_hz == pytest.approx(corrupted.rate_hz, rel=1e-6), corrupt.__name__


def test_read_raw_recording_of_corrupted_trc(writer, corruptions, tmp_path):
    honest, path = writer.TrcContent(list(LABELS), walk_mm(), 100.0), tmp_path / "walk.trc"
    for seed, corrupt in enumerate(corruptions.TRC_CORRUPTIONS * 3):
        corrupted = corrupt(random.Random(seed), copy.deepcopy(honest))
        path.write_bytes(corrupted.data)
        raw = read_raw_recording(path)
        named = [m for m, label in enumerate(raw.labels) if label]
        expected = [m for m, label in enumerate(corrupted.labels) if label]
        assert [raw.labels[m] for m in named] == [corrupted.labels[m] for m in expected], corrupt.__name__
        found = raw.positions[:, named]
        np.testing.assert_array_equal(found, corrupted.positions[:, expected], err_msg=corrupt.__name__)
        assert raw.rate_hz == pytest.approx(100.0, rel=1e-3), corrupt.__name__


def test_read_raw_recording_of_odd_rates(writer, tmp_path):
    for rate, analog_rate, samples in ((23.976, 0.0, 4), (150.001, 3000.0, 20), (59.94, 0.0, 1)):
        written, path = content(writer, samples=samples, analog_rate_hz=analog_rate), tmp_path / "walk.c3d"
        written.rate_hz = written.parameter(writer.POINT, "RATE").values[0] = float(np.float32(rate))
        if not analog_rate:
            written.parameter(writer.ANALOG, "RATE").values = [written.rate_hz * samples]
        path.write_bytes(written.to_bytes())
        raw = read_raw_recording(path)
        assert raw.rate_hz == np.float32(rate)
        np.testing.assert_array_equal(raw.positions, written.expected())


def test_read_raw_recording_of_more_than_65535_frames(writer, corruptions, tmp_path):
    steps = np.random.default_rng(0).normal(0.0, 0.05, (66_000, 1, 3)).cumsum(axis=0)
    positions = (np.random.default_rng(1).uniform(200.0, 1500.0, (1, 2, 3)) + steps).astype(np.float32)
    for corrupt in corruptions.LONG_RECORDINGS:
        corrupted = corrupt(writer.C3dContent(["LASI", "RASI"], positions, 100.0))
        (tmp_path / "long.c3d").write_bytes(corrupted.data)
        raw = read_raw_recording(tmp_path / "long.c3d")
        np.testing.assert_array_equal(raw.positions, positions, err_msg=corrupt.__name__)
        assert raw.warnings == (), corrupt.__name__


def test_parse_c3d_says_what_was_lost_and_what_was_not(writer, corruptions, tmp_path):
    path = tmp_path / "walk.c3d"

    def texts(corrupt):
        path.write_bytes(corrupt(random.Random(0), content(writer)).data)
        parsed = parse_c3d(path)
        return parsed.notes, parsed.warnings

    assert texts(corruptions.float_frames) == (("POINT:FRAMES is not an integer.",), ())
    _, warnings = texts(corruptions.fewer_frames_than_promised)
    assert any(text.startswith("The file breaks off: it holds ") for text in warnings)
    assert texts(corruptions.header_counts_one_more)[1] == ("The header counts 41 frames; the file holds 40.",)
    path.write_bytes(corruptions.float_analog_offset(random.Random(0), content(writer)).data)
    raw = read_c3d(path)
    assert raw.warnings == ()
    assert len(raw.notes) == 1
    assert raw.notes[0].startswith("ezc3d cannot read this file")
