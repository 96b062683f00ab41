"""When a marker is not where it belongs, by how far it is from where the other markers have it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

Vector = NDArray[np.float64]

DISPLACED_M = 0.020
"""A marker that is farther from its place than this is displaced; without the marker, the body has its place within
3 to 8 mm in most frames (``benchmarks/bad_data.py`` on clean walks) ..."""
NOISIEST_M = 0.035
"""... or, on markers that the others hardly hold, than three times what is usual for it, but no more than this."""
CLEARLY_M = 0.040
"""A stretch without a break at either end counts only where it comes to this, and lasts ..."""
LASTING_S = 0.2
"""... as long as this."""
WINDOW_S = 0.25
"""Pieces of a track whose mean places are compared, in search of the right one."""
BRIDGED_S = 0.08
"""Stretches of one marker that are closer than this are one."""


@dataclass(frozen=True)
class Stretch:
    """One marker away from its place."""

    first: int  # frame, from 0
    last: int  # included
    sudden: bool  # whether it began with a break


@dataclass(frozen=True)
class Course:
    """A marker's way about its place over a recording."""

    place_m: Vector  # (3,) where it belongs: observed − expected in most good frames
    away_m: Vector  # (T, 3) from there, NaN where unseen
    stretches: tuple[Stretch, ...]


def judged(off_m: Vector, broken: NDArray[np.bool_], rate_hz: float, placement_m: float) -> Course:
    """Find a marker's place and the stretches in which it is elsewhere.

    Args:
        off_m: (T, 3) observed − expected in the axes of the carrying joint; NaN where unseen.
        broken: (T,) True in the first frame after each break of its track.
        rate_hz: frames a second.
        placement_m: how far its place may be from zero, one standard deviation.
    """
    T = len(off_m)
    seen = np.asarray(np.isfinite(off_m).all(axis=1))
    place = _place(off_m, broken, seen, rate_hz, placement_m)
    away = off_m - place
    distance = np.linalg.norm(away, axis=1)
    good = distance[seen & (np.nan_to_num(distance) < DISPLACED_M)]
    usual = 1.4826 * float(np.median(good)) / 1.54 if len(good) else 0.0  # Maxwell's median is 1.54 deviations
    limit = min(max(DISPLACED_M, 3 * usual), NOISIEST_M)
    bad = np.zeros(T, dtype=bool)
    edges = [0, *np.flatnonzero(broken).tolist(), T]
    for a, b in pairwise(edges):
        rows = a + np.flatnonzero(seen[a:b])
        if not len(rows):
            continue
        smooth = median_filter(distance[rows], size=min(5, len(rows)), mode="nearest")
        over = smooth > limit
        if len(rows) < 0.1 * rate_hz or over.mean() > 0.85:
            bad[rows] = np.median(distance[rows]) > limit
        else:
            bad[rows] = over
    stretches = []
    for first, last in _runs(bad, seen, round(BRIDGED_S * rate_hz)):
        near = broken[max(first - 1, 0) : first + 2].any()
        ends = broken[last : last + 3].any()
        peak = float(np.quantile(distance[first : last + 1][seen[first : last + 1]], 0.9))
        if near or ends or (peak > CLEARLY_M and last - first + 1 >= LASTING_S * rate_hz):
            stretches.append(Stretch(first, last, bool(near)))
    return Course(place, away, tuple(stretches))


def _place(
    off_m: Vector, broken: NDArray[np.bool_], seen: NDArray[np.bool_], rate_hz: float, placement_m: float
) -> Vector:
    """(3,) where a marker belongs: near the layout's place, for long, and rather before a break than after it."""
    T = len(off_m)
    size = max(3, round(WINDOW_S * rate_hz))
    edges = [0, *np.flatnonzero(broken).tolist(), T]
    pieces = [(s, min(s + size, b)) for a, b in pairwise(edges) for s in range(a, b, size)]
    pieces = [(a, b) for a, b in pieces if seen[a:b].any()]
    middle = np.array([np.median(off_m[a:b][seen[a:b]], axis=0) for a, b in pieces])  # (K, 3)
    length = np.array([seen[a:b].sum() for a, b in pieces])
    apart = np.linalg.norm(middle[:, None] - middle[None], axis=-1)
    share = ((apart < DISPLACED_M) * length).sum(axis=1) / length.sum()
    begins = np.array([a < edges[1] for a, _ in pieces]) & (length >= min(0.1 * rate_hz, length.max()))
    score = 4 * share + 2.5 * begins - 0.5 * (np.linalg.norm(middle, axis=1) / placement_m) ** 2
    best = middle[int(score.argmax())]
    near = seen & (np.nan_to_num(np.linalg.norm(off_m - best, axis=1), nan=np.inf) < DISPLACED_M)
    return np.median(off_m[near], axis=0) if near.any() else best


def _runs(bad: NDArray[np.bool_], seen: NDArray[np.bool_], bridged: int) -> list[tuple[int, int]]:
    """(first, last) of each stretch; unseen frames and short good ones between two bad ones belong to it."""
    runs: list[tuple[int, int]] = []
    for frame in np.flatnonzero(bad).tolist():
        if runs and not (seen[runs[-1][1] + 1 : frame] & ~bad[runs[-1][1] + 1 : frame]).sum() > bridged:
            runs[-1] = (runs[-1][0], frame)
        else:
            runs.append((frame, frame))
    return runs
