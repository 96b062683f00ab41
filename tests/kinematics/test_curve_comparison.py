"""Differences of curves: clusters against a slow search, known differences, and how often chance is significant."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.stats import t as student_t
from scipy.stats import ttest_ind

from gait.arrays import Vector
from gait.kinematics.curve_comparison import MIN_ROWS, compare_curves, smallest_p


def smooth_curves(random: np.random.Generator, rows: int, spread_deg: float = 3.0) -> Vector:
    """Return curves (rows, 101) around one mean, as strides of a subject are."""
    noise = gaussian_filter1d(random.standard_normal((rows, 101)), 8, axis=1, mode="wrap")
    return 20 * np.sin(np.arange(101) / 16) + spread_deg * noise / noise.std()


def test_compare_curves_finds_a_difference_where_it_is() -> None:
    random = np.random.default_rng(0)
    bump = 12 * np.exp(-(((np.arange(101) - 70) / 6) ** 2))
    first = {name: smooth_curves(random, 8, spread_deg=1.5) for name in ("knee_flexion", "hip_flexion")}
    second = {name: smooth_curves(random, 9, spread_deg=1.5) for name in first}
    second["knee_flexion"] -= bump
    found = compare_curves(first, second)
    knee = found["knee_flexion"]
    (cluster,) = knee.significant
    assert 40 <= cluster.first_percent <= 64
    assert 74 <= cluster.last_percent <= 90
    assert knee.degrees[70] == pytest.approx(-12, abs=3), "second minus first"
    assert (knee.num_first, knee.num_second) == (8, 9)
    assert not found["hip_flexion"].significant


def test_significance_of_chance_alone_is_as_rare_as_promised() -> None:
    random = np.random.default_rng(1)
    p = []
    for seed in range(200):
        first, second = smooth_curves(random, 6), smooth_curves(random, 9, spread_deg=3.0)
        p.append(compare_curves({"a": first}, {"a": second}, seed=seed, permutations=199)["a"].p)
    rate = float(np.mean(np.array(p) < 0.05))
    assert 0.02 <= rate <= 0.085, "0.05 ± two standard errors of 200 tests"


def test_corrected_p_of_many_curves_without_difference_is_rarely_significant() -> None:
    random = np.random.default_rng(2)
    names = [str(k) for k in range(8)]
    wrong = 0
    for seed in range(40):
        first, second = ({name: smooth_curves(random, 7) for name in names} for _ in range(2))
        found = compare_curves(first, second, seed=seed, permutations=499)
        wrong += any(each.significant for each in found.values())
    assert wrong <= 6


def test_p_is_that_of_all_exchanges() -> None:
    random = np.random.default_rng(3)
    a, b = smooth_curves(random, 5), smooth_curves(random, 6) + 2.0
    rows = np.concatenate([a, b])
    threshold = student_t.isf(0.025, len(rows) - 2)

    def largest_mass(second: tuple[int, ...]) -> float:
        chosen = np.isin(np.arange(len(rows)), second)
        t = ttest_ind(rows[chosen], rows[~chosen], equal_var=False).statistic
        masses, mass = [0.0], 0.0
        for k, value in enumerate(t):
            same = k > 0 and value * t[k - 1] > 0
            mass = (mass if same else 0.0) + abs(value) if abs(value) > threshold else 0.0
            masses.append(mass)
        return max(masses)

    masses = [largest_mass(second) for second in combinations(range(11), 6)]
    expected = np.mean(np.array(masses) >= largest_mass(tuple(range(5, 11))) - 1e-9)
    result = compare_curves({"a": a}, {"a": b})["a"]
    assert result.p == pytest.approx(expected)
    assert max((cluster.mass for cluster in result.clusters), default=0) == pytest.approx(
        largest_mass(tuple(range(5, 11)))
    )


def test_fewer_than_five_rows_have_a_difference_and_no_p() -> None:
    random = np.random.default_rng(4)
    first, second = smooth_curves(random, MIN_ROWS - 1), smooth_curves(random, 20) + 50
    result = compare_curves({"a": first}, {"a": second})["a"]
    assert math.isnan(result.p)
    assert math.isnan(result.p_corrected)
    assert result.clusters == ()
    assert result.degrees.mean() == pytest.approx(50, abs=3)
    assert math.isnan(smallest_p(MIN_ROWS - 1, 20))


def test_rows_that_are_not_observed_do_not_count() -> None:
    random = np.random.default_rng(5)
    first, second = smooth_curves(random, 6), smooth_curves(random, 6)
    second[:2, 40] = np.nan
    result = compare_curves({"a": first}, {"a": second})["a"]
    assert (result.num_first, result.num_second) == (6, 4)
    assert math.isnan(result.p)


@pytest.mark.parametrize(("first", "second"), [(5, 5), (5, 6), (20, 20)])
def test_smallest_p_is_that_of_samples_far_apart(first: int, second: int) -> None:
    random = np.random.default_rng(6)
    result = compare_curves({"a": smooth_curves(random, first)}, {"a": smooth_curves(random, second) + 90})["a"]
    assert result.p == pytest.approx(smallest_p(first, second), rel=1.1)
    assert result.p_corrected == result.p, "of one curve"
