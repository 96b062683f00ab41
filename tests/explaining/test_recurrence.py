"""Findings that recur in patients and not in controls, against counts by hand."""

from __future__ import annotations

import math

import pytest
from scipy.stats import hypergeom

from gait.explaining.evidence.finding import Evidence, Verdict
from gait.explaining.evidence.recurrence import Proportion, recurring_findings
from tests.helpers.evidence_cases import evidence, finding

LEFT, RIGHT = finding(), finding(motion="right knee flexion", side="right")
ANKLE = finding(motion="left ankle dorsiflexion", sds=2.5)
NOT_REAL = finding(motion="left hip flexion", verdict=Verdict.NO_DEVIATION)


def cohort() -> list[Evidence]:
    """8 patients, of whom 7 have the knee on either or both sides; 9 controls, of whom 1 has; 2 and 2 the ankle."""
    found = [evidence(LEFT, RIGHT, subject=f"sick/P{k}") for k in range(3)]
    found += [evidence(RIGHT, NOT_REAL, subject=f"sick/P{k}") for k in range(3, 7)]
    found += [evidence(NOT_REAL, ANKLE, subject="sick/P7"), evidence(ANKLE, LEFT, subject="healthy/C0")]
    found += [evidence(NOT_REAL, subject=f"healthy/C{k}") for k in range(1, 9)]
    return found


def test_persons_count_once_and_sides_together() -> None:
    rows = {(row.motion, row.direction): row for row in recurring_findings(cohort())}
    assert set(rows) == {("knee flexion", "below"), ("ankle dorsiflexion", "above")}
    knee, ankle = rows["knee flexion", "below"], rows["ankle dorsiflexion", "above"]
    assert (knee.patients, knee.controls) == (Proportion(7, 8), Proportion(1, 9))
    assert (ankle.patients, ankle.controls) == (Proportion(1, 8), Proportion(1, 9))
    # Fisher's p by its definition: all tables with these margins that are as improbable
    chances = hypergeom(17, 8, 8).pmf(range(9))
    assert knee.p == pytest.approx(sum(chance for chance in chances if chance <= chances[7] * (1 + 1e-9)))
    assert knee.p_corrected == pytest.approx(knee.p), "2 of 17 persons cannot differ, so the ankle is not tested"
    assert ankle.p_corrected == 1
    assert knee.recurs
    assert not ankle.recurs
    assert ankle.p == pytest.approx(1)


def test_a_finding_of_few_of_a_persons_trials_does_not_count() -> None:
    trials = [evidence(LEFT, trial="walk1"), *(evidence(NOT_REAL, trial=f"walk{k}") for k in (2, 3))]
    assert recurring_findings(trials) == ()
    (row,) = recurring_findings(trials[:2])
    assert row.patients == Proportion(1, 1)
    assert math.isnan(row.p)
    assert not row.recurs, "without controls nothing can be compared"


def test_wilson_interval_equals_its_formula() -> None:
    low, high = Proportion(7, 8).interval
    z, n, p = 1.959964, 8, 7 / 8
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert (low, high) == pytest.approx((centre - half, centre + half), abs=1e-6)
    assert all(map(math.isnan, Proportion(0, 0).interval))
