"""Find the frames in which a marker is displaced from the position predicted by the other markers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from gait.arrays import Vector

DISPLACED_M = 0.020
"""A marker farther than this from its usual position is displaced. The position predicted without the marker is
accurate to 3 to 8 mm in most frames (``benchmarks/marker_error_detection.py`` on error-free trials)."""
MAX_THRESHOLD_M = 0.035
"""Upper bound of the marker-specific threshold, which is three times the usual deviation of the marker."""
MIN_PEAK_M = 0.040
"""Minimum peak of a displacement without a discontinuity at either end, if the marker does not return."""
MIN_DURATION_S = 0.2
"""Minimum duration of a displacement without a discontinuity at either end."""
MIN_RECOVERING_PEAK_M = 0.080
"""Minimum peak of a displacement without discontinuity from which the marker returns, as soft tissue does."""
WINDOW_S = 0.25
"""Length of the pieces of a trajectory whose median positions are compared to find the usual one."""
NEGLIGIBLE_M = 0.030
"""Displacements within a continuous trajectory whose peak is below this are ignored."""
MERGE_GAP_S = 0.08
"""Displacement intervals of one marker with a shorter gap between them are merged."""


@dataclass(frozen=True)
class DisplacementInterval:
    """Frames in which a marker is displaced."""

    first: int  # frame index, from 0
    last: int  # included
    sudden: bool  # it begins with a discontinuity


@dataclass(frozen=True)
class MarkerDisplacement:
    """Displacement of one marker from its usual position during a trial."""

    offset_m: Vector  # (3,) usual position relative to the predicted one
    displacement_m: Vector  # (T, 3) from the usual position, NaN where not visible
    intervals: tuple[DisplacementInterval, ...]


def find_displacements(
    deviation_m: Vector,
    discontinuous: NDArray[np.bool_],
    rate_hz: float,
    offset_sigma_m: float,
    layout_m: Vector | None = None,
    predicted_sigma_m: float = 0.0,
) -> MarkerDisplacement:
    """Find the usual position of a marker and the intervals in which it is displaced from it.

    Args:
        deviation_m: (T, 3) observed − predicted position in the axes of the main joint; NaN where not visible.
        discontinuous: (T,) True in the first frame after each discontinuity.
        rate_hz: frames per second.
        offset_sigma_m: standard deviation of the usual position around that of the layout.
        layout_m: (3,) position in the layout, in the same coordinates as ``deviation_m``; zero by default.
        predicted_sigma_m: standard deviation of the predicted position; a smaller deviation is no displacement.
    """
    T = len(deviation_m)
    visible = np.asarray(np.isfinite(deviation_m).all(axis=1))
    layout_m = np.zeros(3) if layout_m is None else layout_m
    offset = _usual_offset(deviation_m, discontinuous, visible, rate_hz, offset_sigma_m, layout_m)
    displacement = deviation_m - offset
    distance = np.linalg.norm(displacement, axis=1)
    good = distance[visible & (np.nan_to_num(distance) < DISPLACED_M)]
    # The median of a Maxwell distribution is 1.54 sigma.
    usual = 1.4826 * float(np.median(good)) / 1.54 if len(good) else 0.0
    limit = max(min(max(DISPLACED_M, 3 * usual), MAX_THRESHOLD_M), predicted_sigma_m)
    bad = np.zeros(T, dtype=bool)
    merge_frames = round(MERGE_GAP_S * rate_hz)
    edges = [0, *np.flatnonzero(discontinuous).tolist(), T]
    for a, b in pairwise(edges):
        rows = a + np.flatnonzero(visible[a:b])
        if not len(rows):
            continue
        smooth = median_filter(distance[rows], size=min(5, len(rows)), mode="nearest")
        over = smooth > limit
        if len(rows) < 0.1 * rate_hz:
            over[:] = np.median(distance[rows]) > limit
        else:
            for begin, end in _merged_runs(over, np.ones_like(over), merge_frames):
                if smooth[begin : end + 1].max() < max(limit, NEGLIGIBLE_M):
                    over[begin : end + 1] = False
        if (a > 0 or b < T) and over.mean() > 0.6:  # next to a discontinuity: one interval up to the last bad frame
            begin, end = np.flatnonzero(over)[[0, -1]].tolist()
            begin = 0 if a > 0 and begin <= merge_frames else begin
            end = len(rows) - 1 if b < T and end >= len(rows) - 1 - merge_frames else end
            over[begin : end + 1] = True
        bad[rows] = over
    intervals = []
    for first, last in _merged_runs(bad, visible, merge_frames):
        begins = bool(discontinuous[max(first - 1, 0) : first + 2].any())
        ends = bool(discontinuous[last : last + 3].any())
        peak = float(np.quantile(distance[first : last + 1][visible[first : last + 1]], 0.9))
        lost = not visible[last + 1 : last + 2 + merge_frames].all() or last + 1 == T
        min_peak = MIN_PEAK_M if lost else MIN_RECOVERING_PEAK_M
        lasting = last - first + 1 >= MIN_DURATION_S * rate_hz and peak > min_peak
        if begins or ends or lasting:
            intervals.append(DisplacementInterval(first, last, begins))
    return MarkerDisplacement(offset, displacement, tuple(intervals))


def _usual_offset(
    deviation_m: Vector,
    discontinuous: NDArray[np.bool_],
    visible: NDArray[np.bool_],
    rate_hz: float,
    offset_sigma_m: float,
    layout_m: Vector,
) -> Vector:
    """Estimate the usual position (3,): close to the layout, taken for long, and preferably early in the trial."""
    T = len(deviation_m)
    size = max(3, round(WINDOW_S * rate_hz))
    edges = [0, *np.flatnonzero(discontinuous).tolist(), T]
    pieces = [(s, min(s + size, b)) for a, b in pairwise(edges) for s in range(a, b, size)]
    pieces = [(a, b) for a, b in pieces if visible[a:b].any()]
    median = np.array([np.median(deviation_m[a:b][visible[a:b]], axis=0) for a, b in pieces])  # (K, 3)
    length = np.array([visible[a:b].sum() for a, b in pieces])
    distance = np.linalg.norm(median[:, None] - median[None], axis=-1)
    fraction = ((distance < DISPLACED_M) * length).sum(axis=1) / length.sum()
    early = np.array([1 - a / T if len(edges) == 2 else float(a < edges[1]) for a, _ in pieces])
    early *= length >= min(0.1 * rate_hz, length.max())
    score = 4 * fraction + 2.5 * early - 0.5 * (np.linalg.norm(median - layout_m, axis=1) / offset_sigma_m) ** 2
    best = median[int(score.argmax())]
    near = visible & (np.nan_to_num(np.linalg.norm(deviation_m - best, axis=1), nan=np.inf) < DISPLACED_M)
    return np.median(deviation_m[near], axis=0) if near.any() else best


def _merged_runs(bad: NDArray[np.bool_], visible: NDArray[np.bool_], max_gap: int) -> list[tuple[int, int]]:
    """Return the first and last frame of each run of bad frames; runs with at most ``max_gap`` good frames between
    them, not counting frames in which the marker is not visible, are merged."""
    runs: list[tuple[int, int]] = []
    for frame in np.flatnonzero(bad).tolist():
        if runs and not (visible[runs[-1][1] + 1 : frame] & ~bad[runs[-1][1] + 1 : frame]).sum() > max_gap:
            runs[-1] = (runs[-1][0], frame)
        else:
            runs.append((frame, frame))
    return runs
