"""The folds of one question taken together: every person judged once, by a network that never saw that person."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.errors import GaitError
from gait.learning.fold_result import FoldResult
from gait.learning.metrics import METRICS, THRESHOLD, MetricWithInterval, estimate_of, metric_estimates, person_draws
from gait.learning.predictions import PersonPredictions, Predictions

RESAMPLES = 1000

Estimates = Mapping[str, MetricWithInterval]


@dataclass(frozen=True, eq=False)
class ClassifierSummary:
    """The network or a baseline, and how well it told apart whom it never saw."""

    name: str  # transformer, walking_speed, …
    said: Predictions
    people: PersonPredictions
    windows: Estimates
    persons: Estimates
    network_ahead: (
        MetricWithInterval  # the network's balanced accuracy by person less this one's; NaN for the network itself
    )


@dataclass(frozen=True, eq=False)
class CrossValidationSummary:
    """Folds of one question, and what they say together."""

    folds: tuple[FoldResult, ...]  # by index
    network: ClassifierSummary
    baselines: tuple[ClassifierSummary, ...]
    missing: dict[str, str]  # baseline -> the line why it is missing

    @property
    def judges(self) -> tuple[ClassifierSummary, ...]:
        """The network, then the baselines."""
        return (self.network, *self.baselines)

    @property
    def fold_count(self) -> int:
        """How many folds the persons were divided into, trained here or not."""
        return self.folds[0].fold.count

    @property
    def whole(self) -> bool:
        """Whether every fold is there, and so every person judged."""
        return len(self.folds) == self.fold_count

    @property
    def best_baseline(self) -> ClassifierSummary | None:
        """The one of the highest balanced accuracy by person; of equal ones that of the higher ROC AUC."""
        able = [judge for judge in self.baselines if math.isfinite(judge.persons["balanced_accuracy"].value)]
        return max(able, key=_ability, default=None)

    @property
    def problems(self) -> tuple[str, ...]:
        """Every fold's lines, each once."""
        return tuple(dict.fromkeys(line for result in self.folds for line in result.problems))


def pooled(results: Sequence[FoldResult]) -> CrossValidationSummary:
    """The folds together; of a single one, that one.

    A baseline counts only where every fold has it: judged on fewer persons it could not be compared.

    Raises:
        GaitError: there is none.
    """
    if not results:
        raise GaitError("No fold to report: train one first.")
    folds = tuple(sorted(results, key=lambda result: result.fold.index))
    said = Predictions.joined([result.evaluation for result in folds])
    people = said.by_person()
    network = _judge(folds[0].network, said, people)
    baselines, missing = [], {}
    for name in dict.fromkeys(name for result in folds for name in result.baselines):
        parts = {result.fold.index: result.baselines.get(name, "it was not asked for") for result in folds}
        lines = {index: part for index, part in parts.items() if isinstance(part, str)}
        if lines:
            same = len(set(lines.values())) == 1 and len(lines) == len(folds)
            missing[name] = (
                next(iter(lines.values())) if same else "; ".join(f"fold {k}: {line}" for k, line in lines.items())
            )
        else:
            baselines.append(
                _judge(name, Predictions.joined([p for p in parts.values() if isinstance(p, Predictions)]), people)
            )
    return CrossValidationSummary(folds, network, tuple(baselines), missing)


def estimates_or_undefined(said: Predictions, by: str) -> Estimates:
    """``metric_estimates``; every one undefined where no recording is as long as a window."""
    if not len(said):
        return dict.fromkeys(METRICS, MetricWithInterval(math.nan))
    return metric_estimates(said, by="persons" if by == "persons" else "windows", resamples=RESAMPLES)


def balanced_accuracy_ahead(network: PersonPredictions, other: PersonPredictions) -> MetricWithInterval:
    """How far the network's balanced accuracy by person is ahead, on the persons that both judged.

    The 95 % interval resamples persons, the same ones for both (paired bootstrap), healthy and sick apart.
    """
    both = sorted(set(network.persons) & set(other.persons))
    place = [{name: k for k, name in enumerate(judge.persons)} for judge in (network, other)]
    rows = [[places[name] for name in both] for places in place]
    sick = network.sick[rows[0]]
    gain = _right(network)[rows[0]] - _right(other)[rows[1]]
    sides = [np.flatnonzero(sick), np.flatnonzero(~sick)]
    if any(len(side) == 0 for side in sides):
        return MetricWithInterval(math.nan)
    share = np.zeros(len(both))
    for side in sides:
        share[side] = 0.5 / len(side)
    value = float(share @ gain)
    if any(len(side) == 1 for side in sides):
        return MetricWithInterval(value)
    drawn = person_draws(sides, RESAMPLES, np.random.default_rng(0)) @ (share * gain)
    return estimate_of(value, drawn, min(map(len, sides)))


def _judge(name: str, said: Predictions, of_network: PersonPredictions) -> ClassifierSummary:
    people = said.by_person()
    ahead = MetricWithInterval(math.nan) if people.persons == () else balanced_accuracy_ahead(of_network, people)
    return ClassifierSummary(
        name=name,
        said=said,
        people=people,
        windows=estimates_or_undefined(said, "windows"),
        persons=estimates_or_undefined(said, "persons"),
        network_ahead=ahead,
    )


def _ability(judge: ClassifierSummary) -> tuple[float, float]:
    auc = judge.persons["roc_auc"].value
    return judge.persons["balanced_accuracy"].value, auc if math.isfinite(auc) else 0.0


def _right(people: PersonPredictions) -> NDArray[np.float64]:
    return ((people.probability >= THRESHOLD) == people.sick).astype(np.float64)
