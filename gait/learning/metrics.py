"""Classification metrics with 95 % intervals over subjects.

Windows of one subject are not independent. Therefore the bootstrap resamples subjects, for metrics over windows and
over subjects alike. The intervals are Efron's percentile intervals (Efron & Tibshirani 1993, An Introduction to the
Bootstrap, ch. 13), widened for few subjects (Hesterberg 2015, Am. Stat. 69:371, expanded percentiles). They describe
how a metric would vary with other subjects of the same population, given this trained network. They do not describe the
variation between trainings or between populations (``interval_caveat``).

``roc_auc_within_folds`` counts only pairs of a sick and a healthy subject of the same fold (Forman & Scholz 2010,
SIGKDD Explor. 12(1):49), because each fold has its own network with its own scale of probabilities. Over all pairs
(``roc_auc_pooled``) even a constant classifier is below chance: the more sick subjects a fold evaluates, the fewer were
left to train on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from gait.arrays import Vector
from gait.errors import GaitError
from gait.learning.predictions import Predictions, SubjectPredictions

THRESHOLD = 0.5
"""Probability of the sick class from which a window or a subject is classified as sick."""

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "roc_auc_within_folds",
    "roc_auc_pooled",
    "brier",
)
EPOCH_METRICS = ("accuracy", "precision", "recall", "specificity", "f1")
_MIN_SUBJECTS = 10  # of each label, for intervals without a caveat


@dataclass(frozen=True)
class MetricWithInterval:
    """A metric and its 95 % interval; NaN where undefined, such as precision if nothing is classified as sick."""

    value: float
    low: float = math.nan
    high: float = math.nan


def epoch_metrics(probability: ArrayLike, sick: ArrayLike) -> dict[str, float]:
    """Return the published metrics of an epoch, without the loss; NaN where undefined.

    They are over windows, given the probability of the sick class (N,) and the true labels (N,).
    """
    called, truth = np.asarray(probability, dtype=np.float64) >= THRESHOLD, np.asarray(sick, dtype=bool)
    counts = np.stack([truth & called, ~truth & called, ~truth & ~called, truth & ~called]).sum(axis=1)
    metrics = _metrics_from_counts(counts[None].astype(np.float64))
    return {name: float(metrics[name][0]) for name in EPOCH_METRICS}


def estimate_metrics(
    predictions: Predictions,
    *,
    by: Literal["windows", "subjects"],
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, MetricWithInterval]:
    """Return every metric of ``METRICS`` over all windows, or over subjects (mean probability of each).

    Each resample draws as many sick and as many healthy subjects as there are, and a subject keeps its fold. Resamples
    in which a metric is undefined are ignored for its interval. There is no interval if a label has a single subject,
    because the variation between subjects is unknown.

    Raises:
        GaitError: there are no windows.
    """
    if not len(predictions):
        raise GaitError("No window to evaluate: every trial of these subjects is shorter than --interval_size.")
    subjects = predictions.by_subject()
    if by == "subjects":
        subject, probability = np.arange(len(subjects.subjects)), subjects.probability
    else:
        present = np.unique(predictions.subject_index)
        subject, probability = np.searchsorted(present, predictions.subject_index), predictions.probability
    counts = _count_per_subject(subject, probability, subjects.sick, np.array(subjects.fold))
    value = counts.metrics(np.ones((1, len(subjects.sick))))
    classes = [np.flatnonzero(subjects.sick), np.flatnonzero(~subjects.sick)]
    if any(len(members) == 1 for members in classes):
        return {name: MetricWithInterval(float(value[name][0])) for name in METRICS}
    resampled = counts.metrics(bootstrap_weights(classes, resamples, np.random.default_rng(seed)))
    smaller = min(len(members) for members in classes if len(members))
    return {name: with_interval(float(value[name][0]), resampled[name], smaller) for name in METRICS}


def roc_auc(sick: ArrayLike, score: ArrayLike) -> float:
    """Return the area under the ROC curve of scores (N,), a tie counting half; NaN if a label is missing."""
    truth, score = np.asarray(sick, dtype=bool), np.asarray(score, dtype=np.float64)
    wins = _pair_wins(score[truth], np.sort(score[~truth])).sum()
    pairs = truth.sum() * (~truth).sum()
    return float(wins / pairs) if pairs else math.nan


def interval_caveat(predictions: SubjectPredictions) -> str | None:
    """Return one line on the limits of the intervals, or None if each label has at least 10 subjects."""
    sick, healthy = int(predictions.sick.sum()), int((~predictions.sick).sum())
    if min(sick, healthy) >= _MIN_SUBJECTS:
        return None
    counts = f"{sick} sick and {healthy} healthy subject{'' if healthy == 1 else 's'}"
    if not sick or not healthy:
        return f"With {counts}, neither ROC AUC nor balanced accuracy is defined."
    if min(sick, healthy) == 1:
        return f"With {counts} there are no intervals: a single subject does not show how subjects differ."
    return (
        f"The intervals are based on only {counts} and may be too narrow: so few do not show how other subjects would "
        "differ, and if all of them are classified correctly the interval has no width at all."
    )


def with_interval(value: float, resampled: Vector, num_subjects: int) -> MetricWithInterval:
    """Return a metric with its 95 % interval.

    ``resampled`` (R,) is the metric in each resample, NaN where undefined; ``num_subjects`` is that of the label with
    fewer subjects, 2 or more.
    """
    defined = resampled[np.isfinite(resampled)]
    if not math.isfinite(value) or not len(defined):
        return MetricWithInterval(value)
    low, high = np.quantile(defined, expanded_percentiles(num_subjects))
    return MetricWithInterval(value, float(low), float(high))


def mean_over_persons(values: ArrayLike, *, resamples: int = 1000, seed: int = 0) -> MetricWithInterval:
    """Return the mean of values (P,), one per person, with its interval; NaN are persons without a value."""
    found = np.asarray(values, dtype=np.float64)
    return ratio_over_persons(found, np.ones(len(found)), resamples=resamples, seed=seed)


def ratio_over_persons(
    parts: ArrayLike, wholes: ArrayLike, *, resamples: int = 1000, seed: int = 0
) -> MetricWithInterval:
    """Return the sum of parts (P,) over the sum of wholes (P,), one of each per person, with its interval.

    Persons with a NaN are omitted. Without a person the ratio is undefined, of a single one there is no interval.
    """
    part, whole = np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)
    known = np.isfinite(part) & np.isfinite(whole)
    part, whole = part[known], whole[known]
    value = float(_ratio(part.sum(keepdims=True), whole.sum(keepdims=True))[0])
    if len(part) < 2:
        return MetricWithInterval(value)
    weights = bootstrap_weights([np.arange(len(part))], resamples, np.random.default_rng(seed))
    return with_interval(value, _ratio(weights @ part, weights @ whole), len(part))


def expanded_percentiles(num_subjects: int) -> tuple[float, float]:
    """Return the quantiles of the resamples that bound the 95 % interval; 0.025 and 0.975 for very many subjects."""
    t = scipy.stats.t.ppf(0.025, num_subjects - 1)
    below = float(scipy.stats.norm.cdf(math.sqrt(num_subjects / (num_subjects - 1)) * t))
    return below, 1 - below


def bootstrap_weights(classes: list[NDArray[np.intp]], resamples: int, random: np.random.Generator) -> Vector:
    """Return the number of times (R, P) that each subject is drawn in each resample; each class keeps its size.

    A class holds the indices of the subjects of one label; each subject is in one class.
    """
    weights = np.zeros((resamples, sum(map(len, classes))))
    for members in classes:
        if len(members):
            weights[:, members] = random.multinomial(len(members), np.full(len(members), 1 / len(members)), resamples)
    return weights


@dataclass(frozen=True, eq=False)
class _PerSubjectCounts:
    """The contribution of each subject to the metrics; a resample is then a weighted sum over subjects."""

    sick: NDArray[np.bool_]  # (P,)
    counts: Vector  # (P, 4) windows: true positives, false positives, true negatives, false negatives
    squared_error: Vector  # (P,) sum over windows
    pair_wins: Vector  # (S, H) pairs of windows in which the sick subject has the higher probability
    same_fold: NDArray[np.bool_]  # (S, H)

    def metrics(self, weights: Vector) -> dict[str, Vector]:
        """Return every metric, (R,), with each subject counted ``weights`` (R, P) times."""
        metrics = _metrics_from_counts(weights @ self.counts)
        windows = self.counts.sum(axis=1)
        sick, healthy = weights[:, self.sick], weights[:, ~self.sick]
        pairs = np.outer(windows[self.sick], windows[~self.sick])
        everywhere = np.ones_like(self.same_fold)
        for name, counted in (("roc_auc_within_folds", self.same_fold), ("roc_auc_pooled", everywhere)):
            won, total = (((sick @ (each * counted)) * healthy).sum(axis=1) for each in (self.pair_wins, pairs))
            metrics[name] = _ratio(won, total)
        metrics["brier"] = _ratio(weights @ self.squared_error, weights @ windows)
        return metrics


def _count_per_subject(
    subject: NDArray[np.intp], probability: Vector, sick: NDArray[np.bool_], fold: NDArray[np.int64]
) -> _PerSubjectCounts:
    """Return the counts of windows (N,), given labels and folds (P,); every subject has at least one window."""
    P = len(sick)
    truth, called = sick[subject], probability >= THRESHOLD
    cells = (truth & called, ~truth & called, ~truth & ~called, truth & ~called)
    squared = np.bincount(subject, weights=(probability - truth) ** 2, minlength=P).astype(np.float64)
    index = np.flatnonzero(sick)
    row = np.searchsorted(index, subject[truth])
    wins = [
        np.bincount(
            row, weights=_pair_wins(probability[truth], np.sort(probability[subject == other])), minlength=len(index)
        )
        for other in np.flatnonzero(~sick)
    ]
    return _PerSubjectCounts(
        sick=sick,
        counts=np.stack([np.bincount(subject, weights=cell, minlength=P) for cell in cells], axis=1),
        squared_error=squared,
        pair_wins=np.stack(wins, axis=1) if wins else np.zeros((len(index), 0)),
        same_fold=fold[sick][:, None] == fold[~sick],
    )


def _pair_wins(scores: Vector, others: Vector) -> Vector:
    """Return the number (N,) of sorted ``others`` that each score exceeds; a tie counts half (Mann & Whitney 1947)."""
    below, not_above = (np.searchsorted(others, scores, side) for side in ("left", "right"))
    return 0.5 * (below + not_above).astype(np.float64)


def _metrics_from_counts(counts: Vector) -> dict[str, Vector]:
    """Return metrics (R,) of counts (R, 4): true positives, false positives, true negatives, false negatives."""
    tp, fp, tn, fn = counts.T
    recall, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    return {
        "accuracy": _ratio(tp + tn, tp + fp + tn + fn),
        "balanced_accuracy": 0.5 * (recall + specificity),
        "precision": _ratio(tp, tp + fp),
        "recall": recall,
        "specificity": specificity,
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
    }


def _ratio(part: Vector, whole: Vector) -> Vector:
    """Return part / whole; NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
