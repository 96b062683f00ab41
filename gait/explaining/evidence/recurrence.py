"""Which findings recur in patients and not in controls: counts of persons, intervals, and corrected p-values."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scipy

from gait.explaining.attribution_files import write_table
from gait.explaining.evidence.finding import Evidence, Finding, Verdict
from gait.motion.trial_paths import SICK
from gait.multiple_tests import ALPHA, holm_of_testable

MIN_TRIALS = 0.5
"""A person has a finding that is in at least this fraction of the person's trials."""
CONFIDENCE = 0.95
COLUMNS = (
    "motion", "phase", "direction", "patients", "num_patients", "patients_low", "patients_high", "controls",
    "num_controls", "controls_low", "controls_high", "p", "p_corrected", "recurs",
)  # fmt: skip
"""Columns of ``recurring_findings_<network>.csv``; bounds are those of 95 % intervals of the fractions of persons."""


@dataclass(frozen=True)
class Proportion:
    """How many persons of a group have a finding."""

    count: int
    total: int

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval (Wilson 1927, J. Am. Stat. Assoc. 22:209); NaN of an empty group."""
        if not self.total:
            return math.nan, math.nan
        found = scipy.stats.binomtest(self.count, self.total).proportion_ci(CONFIDENCE, method="wilson")
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class Recurrence:
    """A real deviation on which decisions rely, of either side of the body, in both groups."""

    motion: str  # "knee flexion"
    phase: str  # "initial swing"
    direction: str  # "below" or "above" the norm
    patients: Proportion
    controls: Proportion
    p: float  # two-sided, Fisher's exact test (Fisher 1935, J. R. Stat. Soc. 98:39); NaN without a group
    p_corrected: float  # for all findings that enough persons have to be tested (``holm_of_testable``)

    @property
    def recurs(self) -> bool:
        """Whether it is more frequent in patients than in controls, corrected p below 0.05."""
        more = self.patients.count * self.controls.total > self.controls.count * self.patients.total
        return more and self.p_corrected < ALPHA


@dataclass(frozen=True)
class TrialFindings:
    """The findings of one trial, without what else belongs to its evidence."""

    subject: str  # "sick/P02"
    findings: tuple[Finding, ...]


def recurring_findings(evidence: Iterable[Evidence | TrialFindings]) -> tuple[Recurrence, ...]:
    """Return the real deviations of a cohort, those with the smallest p first.

    Each person counts once, by the subject's folder; a finding of both sides of a person counts once, too.
    """
    trials: dict[str, list[Evidence | TrialFindings]] = defaultdict(list)
    for each in evidence:
        trials[each.subject].append(each)
    persons = {subject: _findings_of(own) for subject, own in trials.items()}
    totals = {sick: sum(_is_sick(subject) == sick for subject in persons) for sick in (True, False)}
    keys = dict.fromkeys(key for own in persons.values() for key in sorted(own))
    patients, controls = (
        {key: _proportion(key, persons, totals[sick], sick=sick) for key in keys} for sick in (True, False)
    )
    p = {key: _exact_p(patients[key], controls[key]) for key in keys}
    corrected = p
    if all(totals.values()):
        smallest = {key: _smallest_p(patients[key].count + controls[key].count, totals) for key in keys}
        corrected = holm_of_testable(p, smallest, ALPHA)
    found = [Recurrence(*key, patients[key], controls[key], p[key], corrected[key]) for key in keys]
    return tuple(sorted(found, key=lambda row: (_nan_last(row.p), -row.patients.count, row.motion)))


def write_recurrences(path: Path, recurrences: Iterable[Recurrence]) -> Path:
    """Write one row per finding; ``docs/evidence.md`` describes the columns.

    Raises:
        GaitError: the file cannot be written.
    """
    return write_table(path, COLUMNS, (list(row_of(each).values()) for each in recurrences))


def row_of(recurrence: Recurrence) -> dict[str, Any]:
    """Return a finding as plain data, by the names of ``COLUMNS``."""
    patients, controls = recurrence.patients, recurrence.controls
    values = (
        recurrence.motion, recurrence.phase, recurrence.direction,
        patients.count, patients.total, *patients.interval, controls.count, controls.total, *controls.interval,
        recurrence.p, recurrence.p_corrected, int(recurrence.recurs),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


Key = tuple[str, str, str]


def _findings_of(trials: Sequence[Evidence | TrialFindings]) -> set[Key]:
    """Return motion, phase and direction of what a person has in enough trials."""
    counts: dict[Key, int] = defaultdict(int)
    for each in trials:
        for key in {_key(finding) for finding in each.findings if finding.verdict == Verdict.REAL_DEVIATION}:
            counts[key] += 1
    return {key for key, count in counts.items() if count >= MIN_TRIALS * len(trials)}


def _key(finding: Finding) -> Key:
    motion = finding.motion.removeprefix("left ").removeprefix("right ")
    return motion, finding.phase, "below" if finding.sds < 0 else "above"


def _proportion(key: Key, persons: Mapping[str, set[Key]], total: int, *, sick: bool) -> Proportion:
    return Proportion(sum(key in own for subject, own in persons.items() if _is_sick(subject) == sick), total)


def _exact_p(patients: Proportion, controls: Proportion) -> float:
    if not patients.total or not controls.total:
        return math.nan
    table = [[group.count, group.total - group.count] for group in (patients, controls)]
    return float(scipy.stats.fisher_exact(table).pvalue)


def _smallest_p(count: int, totals: Mapping[bool, int]) -> float:
    """Return the smallest p of a finding of so many persons: if all, or as many as can, are of one group."""
    patients, controls = totals[True], totals[False]
    extremes = ((min(count, patients), max(count - patients, 0)), (max(count - controls, 0), min(count, controls)))
    return min(_exact_p(Proportion(a, patients), Proportion(b, controls)) for a, b in extremes)


def _is_sick(subject: str) -> bool:
    return subject.startswith(f"{SICK}/")


def _nan_last(value: float) -> float:
    return value if math.isfinite(value) else math.inf
