"""How well healthy and sick are told apart, with 95 % intervals over persons.

Windows of one person are not independent, so persons are what is resampled, for both views. The intervals are
Efron's percentile intervals (Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13), widened for few
persons as Student's t is (Hesterberg 2015, Am. Stat. 69:371, expanded percentiles). They hold the trained network as it
is: they tell how the figure would vary with other persons of the same kind, not with another training, and nothing
about persons of a kind that is not among these (``interval_note``).

``roc_auc`` of several folds counts only pairs of a sick and a healthy person of the same fold (Forman & Scholz 2010,
SIGKDD Explor. 12(1):49). Each fold has a network of its own, with a scale of its own; and the more sick persons a fold
judges, the fewer were left to train on, so that over all pairs (``roc_auc_pooled``) a constant rule is below chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from gait.errors import GaitError
from gait.learning.predictions import PersonPredictions, Predictions

Vector = NDArray[np.float64]

THRESHOLD = 0.5
"""A probability of sick from which on a window or a person is called sick."""

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "roc_auc",
    "roc_auc_pooled",
    "brier",
)
EPOCH_METRICS = ("accuracy", "precision", "recall", "specificity", "f1")
_FEW_PERSONS = 10


@dataclass(frozen=True)
class MetricWithInterval:
    """A metric and its 95 % interval. NaN is what is not defined, such as the precision where nobody is called sick."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def as_json(self) -> dict[str, float | None]:
        """``value``, ``low`` and ``high``; None for what is not defined."""
        return {name: none_if_undefined(getattr(self, name)) for name in ("value", "low", "high")}


def none_if_undefined(value: float) -> float | None:
    """A float as JSON can have it."""
    return float(value) if math.isfinite(value) else None


def as_json(estimates: Mapping[str, MetricWithInterval]) -> dict[str, dict[str, float | None]]:
    """Metric -> ``value``, ``low``, ``high``."""
    return {name: estimate.as_json() for name, estimate in estimates.items()}


def epoch_metrics(probability: ArrayLike, sick: ArrayLike) -> dict[str, float]:
    """The published figures of one epoch over its windows, without the loss; NaN where one is not defined.

    Args:
        probability: (N,) of sick.
        sick: (N,) the truth.
    """
    called, truth = np.asarray(probability, dtype=np.float64) >= THRESHOLD, np.asarray(sick, dtype=bool)
    counts = np.stack([truth & called, ~truth & called, ~truth & ~called, truth & ~called]).sum(axis=1)
    of_all = _of_counts(counts[None].astype(np.float64))
    return {name: float(of_all[name][0]) for name in EPOCH_METRICS}


def metric_estimates(
    predictions: Predictions,
    *,
    by: Literal["windows", "persons"],
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, MetricWithInterval]:
    """Every metric of ``METRICS`` over all windows, or over persons (the mean probability of each).

    Resamples draw as many sick and as many healthy persons as there are, so that each has both; those in which a
    metric is not defined do not count for its interval. A person who is drawn keeps the fold. Where a label has a
    single person there is no interval, as nothing tells how persons differ.

    Raises:
        GaitError: there are no windows.
    """
    if not len(predictions):
        raise GaitError("No window to measure: every recording of these persons is shorter than --interval_size.")
    people = predictions.by_person()
    if by == "persons":
        person, probability = np.arange(len(people.persons)), people.probability
    else:
        present = np.unique(predictions.person)
        person, probability = np.searchsorted(present, predictions.person), predictions.probability
    tally = _tally(person, probability, people.sick, np.array(people.fold))
    value = tally.metrics(np.ones((1, len(people.sick))))
    sides = [np.flatnonzero(people.sick), np.flatnonzero(~people.sick)]
    if any(len(side) == 1 for side in sides):
        return {name: MetricWithInterval(float(value[name][0])) for name in METRICS}
    drawn = tally.metrics(person_draws(sides, resamples, np.random.default_rng(seed)))
    fewest = min(len(side) for side in sides if len(side))
    return {name: estimate_of(float(value[name][0]), drawn[name], fewest) for name in METRICS}


def roc_auc(sick: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve of scores (N,), a tie counting half; NaN where one label is missing."""
    truth, score = np.asarray(sick, dtype=bool), np.asarray(score, dtype=np.float64)
    wins = _wins(score[truth], np.sort(score[~truth])).sum()
    pairs = truth.sum() * (~truth).sum()
    return float(wins / pairs) if pairs else math.nan


def interval_note(people: PersonPredictions) -> str | None:
    """What the intervals cannot know, one plain line; None where there are persons enough."""
    sick, healthy = int(people.sick.sum()), int((~people.sick).sum())
    if min(sick, healthy) >= _FEW_PERSONS:
        return None
    who = f"{sick} sick and {healthy} healthy person{'' if healthy == 1 else 's'}"
    if not sick or not healthy:
        return f"With {who}, neither ROC AUC nor balanced accuracy is defined."
    if min(sick, healthy) == 1:
        return f"With {who} there are no intervals: a single person does not tell how persons differ."
    return (
        f"The intervals come from {who} alone and may be too narrow: so few do not show how much others would differ, "
        "and where all of them are right the interval has no width at all."
    )


def estimate_of(value: float, drawn: Vector, persons: int) -> MetricWithInterval:
    """A metric and its 95 % interval.

    Args:
        value: the metric itself.
        drawn: (R,) in the resamples, NaN where it is not defined.
        persons: of the label with fewer; 2 or more.
    """
    defined = drawn[np.isfinite(drawn)]
    if not math.isfinite(value) or not len(defined):
        return MetricWithInterval(value)
    low, high = np.quantile(defined, interval_shares(persons))
    return MetricWithInterval(value, float(low), float(high))


def interval_shares(persons: int) -> tuple[float, float]:
    """Between which shares of the resamples, in order, the 95 % interval lies: 0.025 and 0.975 of very many persons."""
    below = float(stats.norm.cdf(math.sqrt(persons / (persons - 1)) * stats.t.ppf(0.025, persons - 1)))
    return below, 1 - below


def person_draws(sides: list[NDArray[np.intp]], resamples: int, random: np.random.Generator) -> Vector:
    """(R, P) how often each person is drawn in each resample; as many of each label as there are in it.

    Args:
        sides: the persons' indices, label by label, each person in one.
        resamples: how many, R.
        random: draws them.
    """
    weights = np.zeros((resamples, sum(map(len, sides))))
    for side in sides:
        if len(side):
            weights[:, side] = random.multinomial(len(side), np.full(len(side), 1 / len(side)), size=resamples)
    return weights


@dataclass(frozen=True, eq=False)
class _Tally:
    """What each person adds to the metrics, so that a resample is a weighted sum over persons."""

    sick: NDArray[np.bool_]  # (P,)
    counts: Vector  # (P, 4) windows: truly called sick, wrongly sick, truly healthy, wrongly healthy
    squared_error: Vector  # (P,) sum over windows
    # (S, H) of each sick and each healthy person, over pairs of their windows: sick one's probability is the higher
    wins: Vector
    same_fold: NDArray[np.bool_]  # (S, H)

    def metrics(self, weights: Vector) -> dict[str, Vector]:
        """Every metric (R,), persons counted as often as ``weights`` (R, P) says."""
        metrics = _of_counts(weights @ self.counts)
        windows = self.counts.sum(axis=1)
        sick, healthy = weights[:, self.sick], weights[:, ~self.sick]
        pairs = np.outer(windows[self.sick], windows[~self.sick])
        for name, counted in (("roc_auc", self.same_fold), ("roc_auc_pooled", np.ones_like(self.same_fold))):
            won, of = (((sick @ (each * counted)) * healthy).sum(axis=1) for each in (self.wins, pairs))
            metrics[name] = _share(won, of)
        metrics["brier"] = _share(weights @ self.squared_error, weights @ windows)
        return metrics


def _tally(person: NDArray[np.intp], probability: Vector, sick: NDArray[np.bool_], fold: NDArray[np.int64]) -> _Tally:
    """Of windows (N,) and their persons' labels and folds (P,); every person has a window."""
    P = len(sick)
    truth, called = sick[person], probability >= THRESHOLD
    cells = (truth & called, ~truth & called, ~truth & ~called, truth & ~called)
    squared = np.bincount(person, weights=(probability - truth) ** 2, minlength=P).astype(np.float64)
    index = np.flatnonzero(sick)
    row = np.searchsorted(index, person[truth])
    wins = [
        np.bincount(row, weights=_wins(probability[truth], np.sort(probability[person == other])), minlength=len(index))
        for other in np.flatnonzero(~sick)
    ]
    return _Tally(
        sick=sick,
        counts=np.stack([np.bincount(person, weights=cell, minlength=P) for cell in cells], axis=1),
        squared_error=squared,
        wins=np.stack(wins, axis=1) if wins else np.zeros((len(index), 0)),
        same_fold=fold[sick][:, None] == fold[~sick],
    )


def _wins(scores: Vector, others: Vector) -> Vector:
    """(N,) how many of the sorted ``others`` each score is above, a tie counting half (Mann & Whitney 1947)."""
    below, not_above = (np.searchsorted(others, scores, side) for side in ("left", "right"))
    return 0.5 * (below + not_above).astype(np.float64)


def _of_counts(counts: Vector) -> dict[str, Vector]:
    """Metrics (R,) of counts (R, 4): truly called sick, wrongly sick, truly healthy, wrongly healthy."""
    tp, fp, tn, fn = counts.T
    recall, specificity = _share(tp, tp + fn), _share(tn, tn + fp)
    return {
        "accuracy": _share(tp + tn, tp + fp + tn + fn),
        "balanced_accuracy": 0.5 * (recall + specificity),
        "precision": _share(tp, tp + fp),
        "recall": recall,
        "specificity": specificity,
        "f1": _share(2 * tp, 2 * tp + fp + fn),
    }


def _share(part: Vector, whole: Vector) -> Vector:
    """NaN of nothing."""
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
