"""Recordings of different cameras at one rate."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt

from gait.errors import GaitError

LEAST_HZ = 20.0
"""Joints bend at up to 10 Hz; fewer than two frames to each bend cannot show it."""
MOST_HZ = 1000.0
UNFILTERED_HZ = 50.0
"""From this rate on, nothing in a joint's movement is fast enough to fold back into it."""


def check_rate(rate_hz: float, what: str) -> None:
    """Refuse a rate that cannot show a walk, as a GaitError that begins with what it is the rate of."""
    if not LEAST_HZ <= rate_hz <= MOST_HZ:
        raise GaitError(f"{what} is {rate_hz:g} Hz; a walk needs between {LEAST_HZ:g} and {MOST_HZ:g}.")


def resampled(joints_m: NDArray[np.float32], rate_hz: float, to_hz: float) -> NDArray[np.float32]:
    """Joints (T, J, 3) at another rate, (T', J, 3): what they are where the rates are equal.

    Cubic splines through the samples. The first frame stays, and nothing is invented after the last one: the result
    ends with the last of the new moments that lies within the recording. Down to 50 Hz no filter is needed, as joints
    bend below 10 Hz; for slower rates all that is faster than 0.4 ``to_hz`` is taken out before (Butterworth, of the
    fourth order, forwards and backwards).

    Raises:
        GaitError: one of the rates is not between 20 and 1000 Hz.
    """
    check_rate(rate_hz, "the recordings' frame rate")
    check_rate(to_hz, "the frame rate asked for")
    if math.isclose(rate_hz, to_hz, rel_tol=1e-6) or len(joints_m) < 2:
        return joints_m
    T = len(joints_m)
    samples = np.asarray(joints_m, dtype=np.float64)
    if to_hz < min(rate_hz, UNFILTERED_HZ):
        low_pass = butter(4, 0.4 * to_hz, fs=rate_hz, output="sos")
        # Two of the slowest swings that pass are mirrored about each end, so that the filter is in swing there.
        samples = sosfiltfilt(low_pass, samples, axis=0, padlen=min(T - 1, round(5 * rate_hz / to_hz)))
    # A moment that rounding puts a hair after the last sample is the last sample.
    last = math.floor((T - 1) / rate_hz * to_hz + 1e-6)
    moments = np.minimum(np.arange(last + 1) * (rate_hz / to_hz), T - 1)
    return np.asarray(CubicSpline(np.arange(T), samples, axis=0)(moments), dtype=np.float32)
