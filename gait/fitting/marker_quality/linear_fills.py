"""Find gaps of marker trajectories that were filled by straight lines or held positions, without a body model.

A marker on a body always accelerates, and its measurement is noisy. Linear interpolation over a gap has neither: its
second difference vanishes down to the numerical resolution of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.arrays import true_runs
from gait.fitting.marker_quality.marker_error import MarkerErrorKind

MIN_FILL_S = 0.08
"""Minimum duration of a filled gap that is reported; the error of a shorter one is small."""
MIN_FILL_FRAMES = 4
"""Minimum number of frames of a filled gap that is reported."""
MIN_CHORD_M = 0.010
"""Minimum distance of both ends of a filled gap: a marker that stands still has no acceleration either."""
SPACING_S = 0.03
"""Spacing of the three samples of a second difference: with a larger one, accelerations stand out from rounding."""
ROUNDING_STEPS = 4.0
"""Maximum second difference on a straight line, in steps of the file's resolution: 2·√3, and a margin."""
MIN_CONTRAST = 10.0
"""Second differences of the rest of the trajectory, over the same time, are at least so many times those of a fill."""
USUAL_QUANTILE = 0.05
"""Quantile of the rest's second differences that is compared: also its straightest parts are not so straight."""
MIN_KINK_RATIO = 0.75
"""Second difference at one end of a fill at least, relative to those beyond it. A velocity that jumps gives several, an
acceleration that jumps a half, and one that grows slowly a sixth."""
MIN_HELD_TOGETHER = 3
"""Minimum number of markers that are held at their positions over the same frames."""
MIN_USUAL_FRAMES = 10
"""Minimum number of frames of the rest from which its second differences are known."""


@dataclass(frozen=True)
class FilledGap:
    """A gap of one marker that was filled."""

    marker: int  # column
    first: int  # frame index, from 0
    last: int  # included
    kind: MarkerErrorKind = "linear_fill"  # or frozen


def find_linear_fills(
    positions_m: NDArray[np.float64], visible: NDArray[np.bool_], rate_hz: float
) -> tuple[FilledGap, ...]:
    """Find the filled gaps of trajectories (T, M, 3), metres, of any value where not ``visible`` (T, M)."""
    half = max(1, round(SPACING_S * rate_hz))
    min_frames = max(MIN_FILL_FRAMES, round(MIN_FILL_S * rate_hz))
    x = np.where(visible[..., None], positions_m, np.nan)
    resolution_m = _resolution(x)
    bent, _ = _second_difference(x, half)  # (T, M)
    return tuple(
        FilledGap(m, first, last)
        for m in np.flatnonzero((bent <= ROUNDING_STEPS * resolution_m).any(axis=0)).tolist()
        for first, last in _fills_of_trajectory(x[:, m], bent[:, m], half, min_frames, resolution_m)
    )


def _fills_of_trajectory(
    x: NDArray[np.float64], bent: NDArray[np.float64], half: int, min_frames: int, resolution_m: float
) -> Iterator[tuple[int, int]]:
    """Yield the first and last frame of each fill of one trajectory (T, 3), NaN where not visible.

    ``bent`` (T,) are its second differences over ``half``.
    """
    T, visible, rounding_m = len(x), np.isfinite(x[:, 0]), ROUNDING_STEPS * resolution_m
    lines = [slice(max(run.start - half, 0), min(run.stop + half, T)) for run in true_runs(bent <= rounding_m)]
    on_line = np.zeros(T, dtype=bool)
    for line in lines:
        on_line[line] = True
    for line in lines:
        # the samples at both ends are the measured ones between which was interpolated, unless a gap is next to them
        first = line.start + int(visible[line.start - 1 : line.start].any())
        last = line.stop - 1 - int(visible[line.stop : line.stop + 1].any())
        if last - first + 1 < min_frames or np.linalg.norm(x[line.stop - 1] - x[line.start]) < MIN_CHORD_M:
            continue
        if not (_has_kink(bent, line.start, -half) or _has_kink(bent, line.stop - 1, half)):
            continue  # it may have moved uniformly
        inner = (line.stop - line.start - 1) // 2
        over_same_time, chord = _second_difference(x, inner)
        own_m = np.nanmax(over_same_time[line.start + inner : line.stop - inner])
        usual_m = _usual(over_same_time, (chord >= MIN_CHORD_M) & ~on_line)
        if usual_m >= MIN_CONTRAST * max(own_m, resolution_m):
            yield first, last


def find_held_groups(
    positions_m: NDArray[np.float64], visible: NDArray[np.bool_], discontinuous: NDArray[np.bool_], rate_hz: float
) -> tuple[FilledGap, ...]:
    """Find gaps of several markers, as of a whole leg, in which they were held at their last or next position.

    Such markers stay at one point to the resolution of the file, and jump at an end: ``discontinuous`` (T, M) is True
    in the first frame after a discontinuity. One or two held markers are found by the others, see ``classify_error``.
    """
    x = np.where(visible[..., None], positions_m, np.nan)
    still = np.linalg.norm(np.diff(x, axis=0), axis=-1) <= ROUNDING_STEPS * _resolution(x)  # (T − 1, M)
    min_frames = max(MIN_FILL_FRAMES, round(MIN_FILL_S * rate_hz))
    held = []
    for m in np.flatnonzero(still.sum(axis=0) >= min_frames).tolist():
        for run in true_runs(still[:, m]):  # the position is the same in the frames from run.start to run.stop
            if run.stop - run.start < min_frames:
                continue
            jumps_before = bool(discontinuous[run.start, m])
            jumps_after = bool(discontinuous[run.stop + 1 : run.stop + 2, m].any())
            if jumps_before or jumps_after:  # at the other end is the measured sample
                first, last = run.start + int(not jumps_before), run.stop - int(not jumps_after)
                held.append(FilledGap(m, first, last, "frozen"))
    return tuple(
        one
        for one in held
        if sum(abs(one.first - other.first) <= 1 and abs(one.last - other.last) <= 1 for other in held)
        >= MIN_HELD_TOGETHER
    )


def _second_difference(x: NDArray[np.float64], half: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return |x(t − h) − 2·x(t) + x(t + h)| and |x(t + h) − x(t − h)| (T, …) of trajectories (T, …, 3).

    They are NaN at the ends.
    """
    bent, chord = np.full((2, *x.shape[:-1]), np.nan)
    before, middle, after = x[: -2 * half], x[half:-half], x[2 * half :]
    bent[half:-half] = np.linalg.norm(before - 2 * middle + after, axis=-1)
    chord[half:-half] = np.linalg.norm(after - before, axis=-1)
    return bent, chord


def _has_kink(bent: NDArray[np.float64], end: int, outwards: int) -> bool:
    """Return whether the velocity changes at one end of a line more suddenly than beyond it.

    ``bent`` (T,) are second differences, of which the next independent ones are ``outwards`` frames away.
    """
    beyond = bent[[t for t in (end + outwards, end + 2 * outwards) if 0 <= t < len(bent)]]
    return bool((bent[end] > MIN_KINK_RATIO * beyond).any())  # False where not visible


def _usual(bent: NDArray[np.float64], counted: NDArray[np.bool_]) -> float:
    """Return a low quantile of second differences (T,) in the frames that count; 0 if these are few."""
    values = bent[counted & np.isfinite(bent)]
    return float(np.quantile(values, USUAL_QUANTILE)) if len(values) >= MIN_USUAL_FRAMES else 0.0


def _resolution(x: NDArray[np.float64]) -> float:
    """Return the step, metres, to which positions (T, M, 3) are rounded: in single precision, or more coarsely."""
    steps = np.abs(np.diff(x, axis=0))
    steps = steps[steps > 0]  # False where not visible
    if not len(steps):
        return 0.0
    return max(float(steps.min()), float(np.nanmax(np.abs(x))) * float(np.finfo(np.float32).eps))
