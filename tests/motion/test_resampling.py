"""Resampling of joint trajectories: the movement stays the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gait.errors import GaitError
from gait.motion.resampling import check_rate, resample


def oscillation(hz, rate_hz, seconds=2.0):
    """Return joints (T, 22, 3) that oscillate by 1 m at a frequency, each coordinate with its own phase."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    return at(hz, time).astype(np.float32)


def at(hz, time):
    phase = np.linspace(0, 2, 66).reshape(22, 3)
    return np.sin(2 * np.pi * hz * time[:, None, None] + phase)


@pytest.mark.parametrize("rate_hz", [50.0, 120.0, 250.0, 59.94])
@pytest.mark.parametrize(("hz", "max_error"), [(1.0, 1e-5), (4.0, 3e-4), (8.0, 5e-3)])
def test_resample_keeps_an_oscillation(rate_hz, hz, max_error):
    """Joint movement lies below 10 Hz; the stride frequency is about 1 Hz."""
    found = resample(oscillation(hz, rate_hz), rate_hz, 100.0)
    assert found.dtype == np.float32
    error = np.abs(found - at(hz, np.arange(len(found)) / 100.0))
    assert error[10:-10].max() < max_error
    assert error.max() < 10 * max_error, "at the ends"


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 700), st.sampled_from([50.0, 59.94, 60.0, 100.0, 120.0, 128.0, 250.0]), st.floats(25, 300))
def test_resample_keeps_first_frame_and_duration(frames, rate_hz, to_hz):
    joints = np.random.default_rng(frames).normal(size=(frames, 1, 3)).astype(np.float32)
    found = resample(joints, rate_hz, to_hz)
    assert np.isfinite(found).all()
    if to_hz >= 50 or to_hz >= rate_hz:
        np.testing.assert_allclose(found[0], joints[0], atol=1e-6)
    end = (frames - 1) / rate_hz
    assert (len(found) - 1) / to_hz <= end + 1e-6
    assert len(found) / to_hz > end - 1e-6


@pytest.mark.parametrize(("rate_hz", "to_hz", "frames", "expected"), [(50, 100, 142, 283), (250, 100, 1001, 401)])
def test_resample_number_of_frames(rate_hz, to_hz, frames, expected):
    joints = np.linspace(0, 1, frames, dtype=np.float32)[:, None, None] * np.ones((1, 22, 3), np.float32)
    found = resample(joints, rate_hz, to_hz)
    assert len(found) == expected
    np.testing.assert_allclose(found[-1], 1, atol=1e-6)


def test_resample_at_equal_rate_returns_input():
    joints = oscillation(3, 100)
    assert resample(joints, 100.0, 100.0) is joints
    (one,) = resample(joints[:1], 250.0, 100.0)
    np.testing.assert_array_equal(one, joints[0])


@pytest.mark.parametrize("frames", [2, 3, 4])
def test_resample_few_frames(frames):
    joints = np.arange(frames, dtype=np.float32)[:, None, None] * np.ones((1, 22, 3), np.float32)
    found = resample(joints, 50.0, 100.0)
    np.testing.assert_allclose(found[:, 5, 1], np.arange(2 * frames - 1) / 2, atol=1e-6)
    assert np.isfinite(resample(joints, 50.0, 25.0)).all()


def test_resample_does_not_alias():
    """18 Hz at 25 frames per second would alias to 7 Hz."""
    fast, slow = (resample(oscillation(hz, 100, 4), 100.0, 25.0)[10:-10] for hz in (18.0, 2.0))
    assert np.abs(fast).max() < 0.01
    time = np.arange(10, 10 + len(slow)) / 25.0
    np.testing.assert_allclose(slow, at(2.0, time), atol=0.01)


@pytest.mark.parametrize("rate_hz", [0.0, -5.0, 12.0, 1e4, np.nan, np.inf])
def test_check_rate_raises_for_rates_out_of_range(rate_hz):
    joints = oscillation(1, 100)
    with pytest.raises(GaitError, match=r"^the trials' frame rate is .* between 20 and 1000"):
        resample(joints, rate_hz, 100.0)
    with pytest.raises(GaitError, match=r"^the requested frame rate is"):
        resample(joints, 100.0, rate_hz)
    with pytest.raises(GaitError, match=r"^this rate is"):
        check_rate(rate_hz, "this rate")
