"""Test that linear fills of gaps are found in marker trajectories, and nothing else is."""

from dataclasses import replace

import numpy as np
import pytest

from gait.capture.read_recording import read_recording
from gait.fitting.fit_recordings import fit_recordings
from gait.fitting.marker_quality.discontinuities import find_discontinuities
from gait.fitting.marker_quality.linear_fills import FilledGap, find_held_groups, find_linear_fills
from gait.synthetic.inject_errors import LEG_LANDMARKS, inject_error

pytestmark = pytest.mark.usefixtures("one_thread")

RATE_HZ = 100.0


def foot(frames=200, noise_m=3e-4, seed=0):
    """Return the trajectory (T, 1, 3) of a foot that stands and swings once per second, metres."""
    t = np.arange(frames) / RATE_HZ
    swing = np.clip((t % 1.0 - 0.6) / 0.4, 0, 1)
    smooth = swing**3 * (10 - 15 * swing + 6 * swing**2)
    x = np.stack([1.3 * (np.floor(t) + smooth), 0.3 * smooth * (1 - smooth), np.zeros(frames)], axis=-1)[:, None]
    return x + noise_m * np.random.default_rng(seed).standard_normal(x.shape)


def fill(x, first, last, marker=0):
    """Replace the frames from first to last by a straight line between the neighbouring ones."""
    x[first - 1 : last + 2, marker] = np.linspace(x[first - 1, marker], x[last + 1, marker], last - first + 3)


def fills_of(x, visible=None):
    return find_linear_fills(x, np.isfinite(x).all(axis=-1) if visible is None else visible, RATE_HZ)


@pytest.mark.parametrize("resolution_m", [None, "single", 1e-6, 1e-5, 1e-4])
@pytest.mark.parametrize(("first", "last"), [(55, 80), (70, 80), (160, 190)])
def test_find_linear_fills_at_the_resolution_of_the_file(first, last, resolution_m):
    x = foot()
    fill(x, first, last)
    if resolution_m == "single":
        x = x.astype(np.float32).astype(np.float64)
    elif resolution_m is not None:
        x = np.round(x / resolution_m) * resolution_m
    (found,) = fills_of(x)
    assert found.marker == 0
    assert abs(found.first - first) <= 1
    assert abs(found.last - last) <= 1


def test_find_linear_fills_beside_a_gap_that_is_left():
    x = foot()
    fill(x, 60, 85)
    x[60:70] = np.nan
    assert fills_of(x) == (FilledGap(0, 70, 85),)


@pytest.mark.parametrize("noise_m", [0.0, 1e-5, 3e-4])
def test_find_linear_fills_finds_none_in_stance_and_swing(noise_m):
    assert fills_of(foot(noise_m=noise_m)) == ()


def test_find_linear_fills_finds_none_in_a_held_marker():
    x = foot()
    x[60:90] = x[60]
    assert fills_of(x) == ()


def test_find_linear_fills_finds_none_where_a_marker_moves_uniformly():
    uniform = np.zeros((200, 1, 3))
    uniform[:, 0, 0] = 0.012 * np.arange(200)
    assert fills_of(uniform) == ()  # no acceleration anywhere, as of a box on a belt
    x = foot()
    fill(x, 72, 76)  # for a few frames
    assert fills_of(x) == ()


@pytest.mark.parametrize("noise_m", [0.0, 1e-5, 3e-4])
def test_find_linear_fills_finds_none_in_the_stance_on_a_treadmill(noise_m):
    """A foot on a belt: uniform in stance, fast in swing."""
    x = foot(noise_m=noise_m)
    x[:, 0, 0] -= 1.3 * np.arange(200) / RATE_HZ
    assert fills_of(x) == ()


@pytest.mark.parametrize("held_at", ["last", "next"])
def test_find_held_groups_needs_three_markers_that_jump_at_an_end(held_at):
    x = np.concatenate([foot(seed=seed) + seed for seed in range(4)], axis=1)
    x[65:86, :3] = x[64, :3] if held_at == "last" else x[86, :3]
    visible = np.ones(x.shape[:2], dtype=bool)
    discontinuous = find_discontinuities(x, visible, RATE_HZ)
    held = find_held_groups(x, visible, discontinuous, RATE_HZ)
    assert [(gap.marker, gap.kind) for gap in held] == [(m, "frozen") for m in range(3)]
    for gap in held:
        assert (gap.first, gap.last) == (pytest.approx(65, abs=1), pytest.approx(85, abs=1))
    x[:, 1] = foot(seed=1)[:, 0]
    assert find_held_groups(x, visible, discontinuous, RATE_HZ) == ()


def test_fit_recordings_excludes_a_linear_fill_of_a_whole_leg(recording, open_body, layout):
    clean = fit_recordings([recording], open_body, layout).trials[0]
    leg = [recording.labels.index("R" + landmark) for landmark in LEG_LANDMARKS]
    positions = recording.positions_m.copy()
    for m in leg:
        fill(positions, 60, 85, m)
    fit = fit_recordings([replace(recording, positions_m=positions)], open_body, layout).trials[0]
    displaced = np.linalg.norm(positions - recording.positions_m, axis=-1)[:, leg].max(axis=0) > 0.020
    named = {error.marker for error in fit.marker_errors}
    assert {recording.labels[m] for m in np.array(leg)[displaced]} <= named
    assert named <= {recording.labels[m] for m in leg}
    for error in fit.marker_errors:
        assert (error.kind, error.action) == ("linear_fill", "excluded")
        assert (error.first_frame, error.last_frame) == (
            pytest.approx(recording.first_frame + 60, abs=1),
            pytest.approx(recording.first_frame + 85, abs=1),
        )
        assert not np.isfinite(fit.residual_m[60:86, fit.labels.index(error.marker)]).any()
    assert np.linalg.norm(fit.joints_m - clean.joints_m, axis=-1)[50:96].mean() < 0.006


@pytest.mark.parametrize("seed", range(4))
def test_injected_linear_fills_are_found(seed, recording):
    bad, truth = inject_error(recording, "linear_fill", recording.labels, np.random.default_rng(seed))
    found = {bad.labels[f.marker]: f for f in find_linear_fills(bad.positions_m, bad.visible, bad.rate_hz)}
    for name in truth.markers:
        assert abs(bad.first_frame + found[name].first - truth.first_frame) <= 2
        assert abs(bad.first_frame + found[name].last - truth.last_frame) <= 2
    assert find_linear_fills(recording.positions_m, recording.visible, recording.rate_hz) == ()


@pytest.mark.captures
def test_find_linear_fills_of_recorded_trials(captures):
    for name in ("healthy/HC033A/walk10", "healthy/HC033A/static", "formats/treadmill_events", "formats/prefixed_gaps"):
        recording = read_recording(captures / f"{name}.c3d")
        assert find_linear_fills(recording.positions_m, recording.visible, recording.rate_hz) == ()
    inputs = captures.parent / "inputs"
    for name, markers in (
        ("linear_fill_foot", {"RANK", "RHEE", "RTOE"}),
        ("linear_fill_leg_60_90", {"RKNE", "RTIB", "RANK", "RHEE", "RTOE"}),
    ):
        recording = read_recording(inputs / f"{name}.c3d")
        found = find_linear_fills(recording.positions_m, recording.visible, recording.rate_hz)
        assert {recording.labels[fill.marker] for fill in found} == markers
