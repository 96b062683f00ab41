"""Points of one name that complement each other in time are one marker; others are left as they are."""

import numpy as np
import pytest

from gait.capture.merge_tracks import merge_tracks
from gait.capture.read_recording import read_recording
from tests.capture.test_read_recording import FRAMES, LABELS, stick_figure, write_c3d, z_up

RATE_HZ = 100.0
KNEE = LABELS.index("LKNE")
HEEL = LABELS.index("RHEE")


def split(first, second, marker=KNEE):
    """Return the stick figure with a marker in the frames ``first``, and a further column with it in ``second``."""
    body = stick_figure()
    tracks = np.full((FRAMES, 2, 3), np.nan)
    for k, frames in enumerate((first, second)):
        tracks[list(frames), k] = body[list(frames), marker]
    return np.concatenate([np.delete(body, marker, axis=1), tracks], axis=1), body[:, marker]


def merge(positions):
    columns = {f"M{k}": [k] for k in range(positions.shape[1] - 2)}
    last = positions.shape[1] - 1
    joined, merged = merge_tracks(columns | {"LKNE": [last - 1, last]}, positions, RATE_HZ)
    assert merged in ({}, {"LKNE": (last,)})
    return joined[:, last - 1], bool(merged)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (range(30), range(30, FRAMES)),
        (range(20), range(31, FRAMES)),  # a gap between them
        ([*range(10), *range(25, FRAMES)], range(10, 25)),
        (range(30), range(20, FRAMES)),  # equal where both are visible
        (range(0, FRAMES, 2), range(1, FRAMES, 2)),
    ],
)
def test_merge_tracks_that_complement_each_other(first, second):
    positions, expected = split(first, second)
    before = positions.copy()
    joined, merged = merge(positions)
    assert merged
    seen = sorted({*first, *second})
    np.testing.assert_array_equal(joined[seen], expected[seen])
    assert np.isnan(np.delete(joined, seen, axis=0)).all()
    np.testing.assert_array_equal(positions, before)


def test_merge_tracks_that_differ_in_three_frames_but_not_in_four():
    for shared, expected in ((3, True), (4, False)):
        positions, _ = split(range(30), range(30 - shared, FRAMES))
        positions[:30, -1] += 0.03
        assert merge(positions)[1] == expected


@pytest.mark.parametrize("first", [range(FRAMES), range(10, 20)])
def test_merge_tracks_leaves_a_track_inside_another(first):
    positions, _ = split(first, range(10, 20))
    assert not merge(positions)[1]


def test_merge_tracks_leaves_a_track_that_no_body_reaches():
    positions, _ = split(range(30), range(30, FRAMES))
    positions[:, -1] += 0.5  # in 10 ms
    assert not merge(positions)[1]
    positions, _ = split(range(20), range(32, FRAMES))
    positions[:, -1] += 0.5  # in 130 ms
    assert merge(positions)[1]


def test_read_recording_merges_tracks_of_one_marker(tmp_path):
    """LKNE under two names, RHEE under one name twice."""
    body = stick_figure()
    more = np.full((FRAMES, 2, 3), np.nan)
    for k, marker in enumerate((KNEE, HEEL)):
        more[20:, k] = body[20:, marker]
        body[20:, marker] = np.nan
    labels = [*LABELS, "L.Knee", "RHEE"]
    path = write_c3d(tmp_path / "walk.c3d", labels, z_up(np.concatenate([body, more], axis=1)) * 1000)
    recording = read_recording(path)
    assert recording.labels == LABELS
    assert recording.visible.all()
    np.testing.assert_allclose(recording.positions_m, stick_figure(), atol=2e-6)
    assert recording.unused_labels == ()
    line = "Tracks that complement each other are read as one marker: 2 of LKNE, 2 of RHEE."
    assert recording.warnings == (line,)
