"""Corrections for multiple tests: against their definitions, and the chance of a false finding among random groups."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.stats import fisher_exact

from gait.multiple_tests import holm, holm_of_testable


@cache
def exact_p(counts: tuple[int, int], size: int) -> float:
    return float(fisher_exact([[count, size - count] for count in counts]).pvalue)


def test_holm_equals_its_steps() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({}) == {}


def test_tests_that_cannot_be_significant_cost_nothing() -> None:
    p = {"a": 0.011, "b": 0.02, **dict.fromkeys("cdefgh", 1.0)}
    smallest = {"a": 0.01, "b": 0.02, **dict.fromkeys("cdefgh", 0.4)}
    # With two tests each needs p at most 0.025, which both can reach, and no other test.
    assert holm_of_testable(p, smallest) == pytest.approx({"a": 0.022, "b": 0.022, **dict.fromkeys("cdefgh", 1.0)})
    assert holm_of_testable(p, dict.fromkeys(p, 0.0)) == pytest.approx(holm(p))
    assert set(holm_of_testable(p, dict.fromkeys(p, 0.3)).values()) == {1.0}


def test_random_groups_rarely_have_a_significant_difference() -> None:
    random, false = np.random.default_rng(0), 0
    size, findings, trials = 8, 30, 120
    chance = random.uniform(0.02, 0.5, findings)
    for _ in range(trials):
        counts = random.binomial(1, chance, (2 * size, findings)).reshape(2, size, findings).sum(axis=1)
        p, smallest = {}, {}
        for k, (first, second) in enumerate(counts.T.tolist()):
            total = first + second
            tables = [(a, total - a) for a in range(size + 1) if 0 <= total - a <= size]
            values = {table: exact_p(table, size) for table in tables}
            p[k], smallest[k] = values[first, second], min(values.values())
        false += min(holm_of_testable(p, smallest).values()) <= 0.05
    assert false <= 0.05 * trials + 2 * np.sqrt(0.05 * trials)
