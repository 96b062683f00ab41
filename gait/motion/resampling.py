"""Resampling of joint trajectories to one frame rate."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
import scipy
from numpy.typing import NDArray

from gait.errors import GaitError

Scalar = TypeVar("Scalar", bound=np.generic)

MIN_RATE_HZ = 20.0
"""Joint movement has frequencies up to 10 Hz, which need at least 20 frames per second (Nyquist)."""
MAX_RATE_HZ = 1000.0
MIN_UNFILTERED_RATE_HZ = 50.0
"""From this rate on, joint movement has no frequencies that alias, and no low-pass filter is applied."""


def check_rate(rate_hz: float, what: str) -> None:
    """Raise a GaitError that begins with ``what`` if the rate is not between ``MIN_RATE_HZ`` and ``MAX_RATE_HZ``."""
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise GaitError(f"{what} is {rate_hz:g} Hz; it must be between {MIN_RATE_HZ:g} and {MAX_RATE_HZ:g}.")


def resample(joints_m: NDArray[np.float32], rate_hz: float, to_hz: float) -> NDArray[np.float32]:
    """Resample joints (T, J, 3) to another rate, (T', J, 3), by cubic splines; equal rates return the input.

    The first frame stays the first. The last frame is the last sample time within the trial; nothing is extrapolated.
    For ``to_hz`` below 50 Hz, a zero-lag fourth-order Butterworth low-pass filter at 0.4 ``to_hz`` is applied first.

    Raises:
        GaitError: one of the rates is not between 20 and 1000 Hz.
    """
    check_rate(rate_hz, "the trials' frame rate")
    check_rate(to_hz, "the requested frame rate")
    if math.isclose(rate_hz, to_hz, rel_tol=1e-6) or len(joints_m) < 2:
        return joints_m
    T = len(joints_m)
    samples = np.asarray(joints_m, dtype=np.float64)
    if to_hz < min(rate_hz, MIN_UNFILTERED_RATE_HZ):
        low_pass = scipy.signal.butter(4, 0.4 * to_hz, fs=rate_hz, output="sos")
        # Each end is padded by five output samples (two periods at the cut-off), so that the filter settles.
        samples = scipy.signal.sosfiltfilt(low_pass, samples, axis=0, padlen=min(T - 1, round(5 * rate_hz / to_hz)))
    spline = scipy.interpolate.CubicSpline(np.arange(T), samples, axis=0)
    return np.asarray(spline(_times(T, rate_hz, to_hz)), dtype=np.float32)


def resample_nearest(values: NDArray[Scalar], rate_hz: float, to_hz: float) -> NDArray[Scalar]:
    """Resample ``values`` (T, ...) that cannot be interpolated, such as flags, to the frames of ``resample``."""
    if math.isclose(rate_hz, to_hz, rel_tol=1e-6) or len(values) < 2:
        return values
    return values[_times(len(values), rate_hz, to_hz).round().astype(np.intp)]


def _times(frames: int, rate_hz: float, to_hz: float) -> NDArray[np.float64]:
    """Return the times of the resampled frames, in frames of the input."""
    # A time that rounding puts slightly after the last sample is the last sample.
    last = math.floor((frames - 1) / rate_hz * to_hz + 1e-6)
    return np.minimum(np.arange(last + 1) * (rate_hz / to_hz), frames - 1)


def sample_at(values: NDArray[np.floating], times: NDArray[np.float64]) -> NDArray[Any]:
    """Return ``values`` (T, ...) at ``times`` (S,) in frames, within the trial, by cubic splines.

    Times that are the frames themselves return the input as it is.
    """
    if len(times) == len(values) and np.array_equal(times, np.arange(len(values))):
        return values
    samples = np.asarray(values, dtype=np.float64)
    return np.asarray(scipy.interpolate.CubicSpline(np.arange(len(values)), samples, axis=0)(times))
