"""Two measurements of a subject, or two groups, as samples of curves and parameters to be compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from gait.arrays import Vector
from gait.errors import GaitError
from gait.kinematics.curve_comparison import CurveDifference, compare_curves
from gait.kinematics.gait_events import SIDES
from gait.kinematics.spatiotemporal import PARAMETERS
from gait.motion.trial_paths import HEALTHY, LABEL_NOUNS, SICK
from gait.report.gait.curve_grid import AXES
from gait.report.gait.measured_subject import MeasuredSubject
from gait.report.gait.subject_summary import SubjectSummary
from gait.text import join_names

BOTH = "both"
"""In place of a side: the mean of both sides of a subject."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Curves and parameters of one measurement, a row per stride, or of one group, a row per subject."""

    title: str
    row: str  # "stride" or "subject"
    curves: Mapping[tuple[str, str], Vector]  # (angle, side) -> (n, 101) degrees; rows that are not observed are absent
    parameters: Mapping[tuple[str, str], Vector]  # (name, side) -> (n,)


@dataclass(frozen=True, eq=False)
class Comparison:
    """The differences of two samples, second minus first."""

    first: Sample
    second: Sample
    differences: Mapping[tuple[str, str], CurveDifference[tuple[str, str]]]  # by (angle, side), in the order of pages

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that are compared: "left" and "right", or "both" of groups."""
        return SIDES if self.first.row == "stride" else (BOTH,)

    @property
    def num_tested(self) -> int:
        """Number of curves with a p."""
        return sum(math.isfinite(each.p) for each in self.differences.values())


def compare(first: Sample, second: Sample) -> Comparison:
    """Compare two samples.

    Raises:
        GaitError: one is a group and the other a measurement, or they have no curve in common.
    """
    if first.row != second.row:
        raise GaitError(
            f"--compare {first.title} {second.title}: one is a group and the other a measurement; name two of a kind."
        )
    order = [(name, side) for name in AXES for side in (SIDES if first.row == "stride" else (BOTH,))]
    common = [key for key in order if key in first.curves and key in second.curves]
    if not common:
        raise GaitError(f"--compare {first.title} {second.title}: they have no observed curve in common.")
    differences = compare_curves(
        {key: first.curves[key] for key in common}, {key: second.curves[key] for key in common}
    )
    return Comparison(first, second, differences)


def find_sample(name: str, subjects: Sequence[SubjectSummary], measure: Callable[[str], MeasuredSubject]) -> Sample:
    """Return the sample that ``--compare`` names.

    Args:
        name: a group (``healthy``, ``sick``), a subject (``sick/P02`` or ``P02``), or trials of one
            (``P02/walk1``, with * for any characters).
        subjects: all subjects.
        measure: returns the analysis of a subject by its id.

    Raises:
        GaitError: nothing has this name, or several subjects have it.
    """
    if name in (HEALTHY, SICK):
        group = [each for each in subjects if each.label == name]
        if not group:
            raise GaitError(f"--compare {name}: there is no {LABEL_NOUNS[name]}; name two subjects to compare them.")
        return _group_sample(f"{LABEL_NOUNS[name]}s", group)
    found = []
    for subject in subjects:
        for own in dict.fromkeys((subject.subject_id, subject.name)):
            if name == own:
                found.append((subject.subject_id, "*"))
            elif name.startswith(f"{own}/"):
                found.append((subject.subject_id, name[len(own) + 1 :]))
    if not found:
        ids = join_names([subject.subject_id for subject in subjects])
        raise GaitError(f"--compare {name}: no such subject; name {HEALTHY}, {SICK} or one of {ids}.")
    if len({subject_id for subject_id, _ in found}) > 1:
        ids = join_names([subject_id for subject_id, _ in found])
        raise GaitError(f"--compare {name}: may be {ids}; write which one.")
    subject_id, pattern = found[0]
    return _stride_sample(name, measure(subject_id), pattern)


def _group_sample(title: str, group: Sequence[SubjectSummary]) -> Sample:
    curves = {}
    for name in AXES:
        rows = [row for each in group if (row := each.curve_of_both_sides(name)) is not None]
        complete = [row for row in rows if np.isfinite(row).all()]
        if complete:
            curves[name, BOTH] = np.array(complete)
    parameters = {
        (each.name, BOTH): _finite([subject.parameters[each.name, BOTH] for subject in group]) for each in PARAMETERS
    }
    return Sample(title, "subject", curves, parameters)


def _stride_sample(title: str, subject: MeasuredSubject, pattern: str) -> Sample:
    """Return the strides that count, of the trials whose names match a pattern."""
    analysis = subject.analysis
    curves, parameters = {}, {}
    trials = [trial.trial for trial in analysis.trials]
    if not any(fnmatchcase(trial, pattern) for trial in trials):
        raise GaitError(f"--compare {title}: {subject.subject_id} has no such trial, it has {join_names(trials)}.")
    for side in SIDES:
        used = analysis.curves.used(side)
        chosen = [
            k
            for k, stride in enumerate(analysis.curves.strides[side])
            if used[k] and fnmatchcase(stride.trial, pattern)
        ]
        for name in AXES:
            if (name, side) in analysis.curves.curves:
                rows = analysis.curves.curves[name, side][chosen]
                rows = rows[np.isfinite(rows).all(axis=1)]
                if len(rows):
                    curves[name, side] = rows
        for each in PARAMETERS:
            parameters[each.name, side] = _finite(analysis.parameters.values[each.name, side][chosen])
    return Sample(title, "stride", curves, parameters)


def _finite(values: Any) -> Vector:
    numbers = np.asarray(values, np.float64)
    return numbers[np.isfinite(numbers)]
