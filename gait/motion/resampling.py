"""Recordings of different cameras at one rate."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt

from gait.errors import GaitError

LEAST_HZ = 20.0
"""Slower than this no rate can show how joints move, which they do at up to 10 Hz."""
UNFILTERED_HZ = 50.0
"""From this rate on, nothing in the movement of joints is fast enough to fold back."""


def resampled(joints_m: NDArray[np.float32], rate_hz: float, to_hz: float) -> NDArray[np.float32]:
    """Joints (T, J, 3) at another rate: (T', J, 3), by cubic splines through the samples.

    The first frame stays what it is and nothing is invented after the last: the result ends with the last moment
    that lies within the recording. Joints bend below 10 Hz, so no filter is needed down to 50 Hz; towards slower
    rates what is faster than 0.4 ``to_hz`` is taken away before (Butterworth, zero phase).

    Raises:
        GaitError: one of the rates is below 20 Hz or no number.
    """
    for rate, what in ((rate_hz, "recorded"), (to_hz, "asked for")):
        if not (math.isfinite(rate) and rate >= LEAST_HZ):
            raise GaitError(f"{rate:g} Hz {what}: a walk needs at least {LEAST_HZ:g} frames a second.")
    if math.isclose(rate_hz, to_hz, rel_tol=1e-6) or len(joints_m) < 2:
        return joints_m
    samples = np.asarray(joints_m, dtype=np.float64)
    if to_hz < UNFILTERED_HZ and to_hz < rate_hz:
        low_pass = butter(4, 0.4 * to_hz, fs=rate_hz, output="sos")
        samples = sosfiltfilt(low_pass, samples, axis=0, padlen=min(len(samples) - 1, round(rate_hz / to_hz * 10)))
    last = (len(samples) - 1) / rate_hz
    times = np.arange(math.floor(last * to_hz * (1 + 1e-9) + 1e-9) + 1) / to_hz
    spline = CubicSpline(np.arange(len(samples)) / rate_hz, samples, axis=0)
    return np.asarray(spline(np.minimum(times, last)), dtype=np.float32)
