"""Compare curves over the gait cycle of two measurements or two groups: difference and significance.

Permutation test by cluster (Maris & Oostenveld 2007, J. Neurosci. Methods 164:177): at each percent of the cycle,
Welch's t compares the two samples; neighbouring percents with |t| beyond a threshold and of one sign are a cluster,
whose mass is the sum of |t|. If both samples came from one distribution, their rows could be exchanged; the p of a
cluster is the fraction of exchanges whose largest cluster has at least its mass. That controls the error over the whole
cycle for any threshold. Over curves, p is corrected by Holm's method.

What a test says depends on its rows. Strides of one measurement stand for that measurement alone: a difference of two
measurements of a subject can also come from marker placement or from the day. Only one mean curve per subject stands
for a population.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Generic, TypeVar

import numpy as np
import scipy

from gait.arrays import Vector, true_runs
from gait.multiple_tests import holm

MIN_ROWS = 5
"""Of each sample, for a p: with four of each, no p is below 0.028."""
SIGNIFICANCE_LEVEL = 0.05
PERMUTATIONS = 4999
"""Random exchanges; if there are no more different ones, each of them is made once."""
_CLUSTER_P = 0.05  # two-sided, of the threshold of t
_TIE = 1e-9

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Cluster:
    """Neighbouring percents of the cycle at which two samples of curves differ in one direction."""

    first_percent: int
    last_percent: int
    mass: float  # sum of |t|
    p: float  # over the whole cycle
    p_corrected: float  # over all curves as well

    @property
    def significant(self) -> bool:
        """Whether the corrected p is below ``SIGNIFICANCE_LEVEL``."""
        return self.p_corrected < SIGNIFICANCE_LEVEL


@dataclass(frozen=True, eq=False)
class CurveDifference(Generic[Name]):
    """The second sample of a curve minus the first one."""

    name: Name
    num_first: int  # rows without NaN
    num_second: int
    degrees: Vector  # (101,) difference of the means; NaN if a sample has no row
    standard_error: Vector  # (101,) of the difference, from the spread of both samples; NaN below two rows of either
    p: float  # of the largest cluster; 1 without one, NaN with fewer than ``MIN_ROWS`` rows of either sample
    p_corrected: float
    clusters: tuple[Cluster, ...] = ()

    @property
    def significant(self) -> tuple[Cluster, ...]:
        """The clusters whose corrected p is below ``SIGNIFICANCE_LEVEL``."""
        return tuple(cluster for cluster in self.clusters if cluster.significant)


def compare_curves(
    first: Mapping[Name, Vector], second: Mapping[Name, Vector], *, seed: int = 0, permutations: int = PERMUTATIONS
) -> dict[Name, CurveDifference[Name]]:
    """Return the difference of each curve that both samples have, second minus first.

    Args:
        first: curves by name, (n, points): one row per stride of a measurement, or per subject of a group.
        second: the same of the other measurement or group.
        seed: of the random exchanges.
        permutations: number of exchanges.
    """
    random = np.random.default_rng(seed)
    tests: dict[Name, tuple[Vector, Vector, float, list[tuple[slice, float, float]]]] = {}
    for name in first:
        if name in second:
            a, b = _complete(first[name]), _complete(second[name])
            tests[name] = (a, b, *_test(a, b, random, permutations))
    corrected = holm({name: p for name, (_, _, p, _) in tests.items() if math.isfinite(p)})
    found = {}
    for name, (a, b, p, clusters) in tests.items():
        difference, error = _difference(a, b)
        p_corrected = corrected.get(name, math.nan)
        found[name] = CurveDifference(
            name, len(a), len(b), difference, error, p, p_corrected,
            tuple(
                Cluster(run.start, run.stop - 1, mass, own, max(p_corrected, min(1.0, own * p_corrected / p)))
                for run, mass, own in clusters
            ),
        )  # fmt: skip
    return found


def smallest_p(num_first: int, num_second: int, permutations: int = PERMUTATIONS) -> float:
    """Return the smallest p that a test of so many rows can have, before the correction; NaN where there is no test."""
    if min(num_first, num_second) < MIN_ROWS:
        return math.nan
    exchanges = math.comb(num_first + num_second, num_first)
    if exchanges > permutations + 1:
        return 1 / (permutations + 1)
    return (2 if num_first == num_second else 1) / exchanges  # exchanging equal samples as a whole keeps |t|


def _complete(rows: Vector) -> Vector:
    """Return the rows (n, points) without NaN."""
    rows = np.asarray(rows, np.float64)
    return rows[np.isfinite(rows).all(axis=1)]


def _difference(a: Vector, b: Vector) -> tuple[Vector, Vector]:
    """Return the difference of the means and its standard error, (points,)."""
    unknown = np.full(a.shape[1], np.nan)
    difference = b.mean(axis=0) - a.mean(axis=0) if len(a) and len(b) else unknown
    if min(len(a), len(b)) < 2:
        return difference, unknown
    return difference, np.sqrt(a.var(axis=0, ddof=1) / len(a) + b.var(axis=0, ddof=1) / len(b))


def _test(
    a: Vector, b: Vector, random: np.random.Generator, permutations: int
) -> tuple[float, list[tuple[slice, float, float]]]:
    """Return p of the largest cluster, and percents, mass and p of each cluster of rows (n, points) and (m, points)."""
    if min(len(a), len(b)) < MIN_ROWS:
        return math.nan, []
    rows = np.concatenate([a, b])
    rows = rows - rows.mean(axis=0)
    threshold = float(scipy.stats.t.isf(_CLUSTER_P / 2, len(rows) - 2))
    observed = _welch_t(rows, (np.arange(len(rows)) >= len(a))[None].astype(np.float64))
    largest = _largest_mass(_welch_t(rows, _exchanges(len(rows), len(b), random, permutations)), threshold)

    def p_of(mass: float) -> float:
        return float((largest >= mass - _TIE).mean())

    clusters = []
    for sign in (1, -1):
        for run in true_runs(sign * observed[0] > threshold):
            mass = float(np.abs(observed[0, run]).sum())
            clusters.append((run, mass, p_of(mass)))
    clusters.sort(key=lambda cluster: cluster[0].start)
    return min((p for _, _, p in clusters), default=1.0), clusters


def _exchanges(rows: int, second: int, random: np.random.Generator, permutations: int) -> Vector:
    """Return masks (P, rows) of the rows that form the second sample; the last one has them as they are."""
    if math.comb(rows, second) <= permutations + 1:
        chosen = np.array(list(combinations(range(rows), second)))  # the last combination is the last rows
    else:
        chosen = random.permuted(np.tile(np.arange(rows), (permutations + 1, 1)), axis=1)[:, :second]
        chosen[-1] = np.arange(rows - second, rows)
    masks = np.zeros((len(chosen), rows))
    np.put_along_axis(masks, chosen, 1.0, axis=1)
    return masks


def _welch_t(rows: Vector, second: Vector) -> Vector:
    """Return Welch's t, (P, points), of rows (N, points) for masks (P, N) of the rows of the second sample."""
    m = second[0].sum()
    n = len(rows) - m
    squares = rows**2
    sum_b, square_b = second @ rows, second @ squares
    sum_a, square_a = rows.sum(axis=0) - sum_b, squares.sum(axis=0) - square_b
    variance_a = (square_a - sum_a**2 / n) / (n - 1)
    variance_b = (square_b - sum_b**2 / m) / (m - 1)
    smallest = 1e-12 * (squares.mean(axis=0) + 1e-12)  # equal values, up to rounding
    return np.asarray((sum_b / m - sum_a / n) / np.sqrt(np.maximum(variance_a / n + variance_b / m, smallest)))


def _largest_mass(t: Vector, threshold: float) -> Vector:
    """Return the mass (P,) of the largest cluster of either sign in t (P, points); 0 without a cluster."""
    largest = np.zeros(len(t))
    for sign in (1, -1):
        mass = np.zeros(len(t))
        for point in (sign * t).T:
            mass = np.where(point > threshold, mass + point, 0.0)
            np.maximum(largest, mass, out=largest)
    return largest
