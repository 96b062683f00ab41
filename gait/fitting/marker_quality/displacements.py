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
3 to 8 mm in most frames (``benchmarks/marker_error_detection.py`` on clean walks) ..."""
NOISIEST_M = 0.035
"""... or, on markers that the others hardly hold, than three times what is usual for it, but no more than this."""
CLEARLY_M = 0.040
"""A stretch without a break at either end counts only where it comes to this, ..."""
LASTING_S = 0.2
"""... lasts as long as this, ..."""
RETURNS_M = 0.080
"""... and does not end by itself; soft tissue comes back, what slid off does not. One that comes to this counts too."""
WINDOW_S = 0.25
"""Pieces of a track whose mean places are compared, in search of the right one."""
HARDLY_M = 0.030
"""Some frames of a smooth track that stay nearer than this are no stretch."""
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


def judged(
    off_m: Vector, broken: NDArray[np.bool_], rate_hz: float, placement_m: float, layout_m: Vector | None = None
) -> Course:
    """Find a marker's place and the stretches in which it is elsewhere.

    Args:
        off_m: (T, 3) observed − expected in the axes of the carrying joint; NaN where unseen.
        broken: (T,) True in the first frame after each break of its track.
        rate_hz: frames a second.
        placement_m: how far its place may be from the layout's, one standard deviation.
        layout_m: (3,) where the layout has it, in the same axes as ``off_m``; zero by default.
    """
    T = len(off_m)
    seen = np.asarray(np.isfinite(off_m).all(axis=1))
    place = _place(off_m, broken, seen, rate_hz, placement_m, np.zeros(3) if layout_m is None else layout_m)
    away = off_m - place
    distance = np.linalg.norm(away, axis=1)
    good = distance[seen & (np.nan_to_num(distance) < DISPLACED_M)]
    usual = 1.4826 * float(np.median(good)) / 1.54 if len(good) else 0.0  # Maxwell's median is 1.54 deviations
    limit = min(max(DISPLACED_M, 3 * usual), NOISIEST_M)
    bad = np.zeros(T, dtype=bool)
    near = round(BRIDGED_S * rate_hz)
    edges = [0, *np.flatnonzero(broken).tolist(), T]
    for a, b in pairwise(edges):
        rows = a + np.flatnonzero(seen[a:b])
        if not len(rows):
            continue
        smooth = median_filter(distance[rows], size=min(5, len(rows)), mode="nearest")
        over = smooth > limit
        if len(rows) < 0.1 * rate_hz:
            over[:] = np.median(distance[rows]) > limit
        else:
            for begin, end in _runs(over, np.ones_like(over), near):
                if smooth[begin : end + 1].max() < max(limit, HARDLY_M):
                    over[begin : end + 1] = False
        if (a > 0 or b < T) and over.mean() > 0.6:  # a break bounds it: one fault from there to its last bad frame
            begin, end = np.flatnonzero(over)[[0, -1]].tolist()
            begin = 0 if a > 0 and begin <= near else begin
            end = len(rows) - 1 if b < T and end >= len(rows) - 1 - near else end
            over[begin : end + 1] = True
        bad[rows] = over
    stretches = []
    for first, last in _runs(bad, seen, near):
        begins = bool(broken[max(first - 1, 0) : first + 2].any())
        ends = bool(broken[last : last + 3].any())
        peak = float(np.quantile(distance[first : last + 1][seen[first : last + 1]], 0.9))
        lost = not seen[last + 1 : last + 2 + near].all() or last + 1 == T
        lasting = last - first + 1 >= LASTING_S * rate_hz and peak > (CLEARLY_M if lost else RETURNS_M)
        if begins or ends or lasting:
            stretches.append(Stretch(first, last, begins))
    return Course(place, away, tuple(stretches))


def _place(
    off_m: Vector,
    broken: NDArray[np.bool_],
    seen: NDArray[np.bool_],
    rate_hz: float,
    placement_m: float,
    layout_m: Vector,
) -> Vector:
    """(3,) where a marker belongs: near the layout's place, for long, and rather early than late."""
    T = len(off_m)
    size = max(3, round(WINDOW_S * rate_hz))
    edges = [0, *np.flatnonzero(broken).tolist(), T]
    pieces = [(s, min(s + size, b)) for a, b in pairwise(edges) for s in range(a, b, size)]
    pieces = [(a, b) for a, b in pieces if seen[a:b].any()]
    middle = np.array([np.median(off_m[a:b][seen[a:b]], axis=0) for a, b in pieces])  # (K, 3)
    length = np.array([seen[a:b].sum() for a, b in pieces])
    apart = np.linalg.norm(middle[:, None] - middle[None], axis=-1)
    share = ((apart < DISPLACED_M) * length).sum(axis=1) / length.sum()
    early = np.array([1 - a / T if len(edges) == 2 else float(a < edges[1]) for a, _ in pieces])
    early *= length >= min(0.1 * rate_hz, length.max())
    score = 4 * share + 2.5 * early - 0.5 * (np.linalg.norm(middle - layout_m, axis=1) / placement_m) ** 2
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
