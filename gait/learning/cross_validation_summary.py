"""Cross-validation: the test folds of one experiment pooled, so that each subject is classified once, out of sample."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.errors import GaitError
from gait.learning.fold_result import FoldResult
from gait.learning.matched_speed import MatchedAuc, matched_auc
from gait.learning.metrics import (
    METRICS,
    THRESHOLD,
    MetricWithInterval,
    bootstrap_weights,
    estimate_metrics,
    with_interval,
)
from gait.learning.predictions import Predictions, SubjectPredictions

RESAMPLES = 1000
"""Bootstrap resamples per confidence interval."""

Estimates = Mapping[str, MetricWithInterval]
"""One estimate per name in ``METRICS``."""


@dataclass(frozen=True, eq=False)
class ClassifierSummary:
    """Out-of-sample predictions and metrics of the network or of a baseline classifier."""

    name: str  # transformer, walking_speed, …
    predictions: Predictions  # per window
    subject_predictions: SubjectPredictions
    window_metrics: Estimates
    subject_metrics: Estimates
    # Balanced accuracy of the network minus that of this classifier, by subject; NaN for the network itself.
    accuracy_gain: MetricWithInterval


@dataclass(frozen=True, eq=False)
class CrossValidationSummary:
    """One or more folds of one experiment, pooled."""

    folds: tuple[FoldResult, ...]  # sorted by index
    network: ClassifierSummary
    baselines: tuple[ClassifierSummary, ...]
    missing: dict[str, str]  # baseline -> reason why it is missing
    matched_speed: MatchedAuc | None = None  # of the network, by subject; None if no walking speed is known

    @property
    def classifiers(self) -> tuple[ClassifierSummary, ...]:
        """The network, then the baselines."""
        return (self.network, *self.baselines)

    @property
    def num_folds(self) -> int:
        """Number of folds of the cross-validation, whether or not they are trained."""
        return self.folds[0].fold.count

    @property
    def complete(self) -> bool:
        """True if all folds are present, so that every subject is classified."""
        return len(self.folds) == self.num_folds

    @property
    def best_baseline(self) -> ClassifierSummary | None:
        """The baseline with the highest balanced accuracy by subject; ROC AUC decides a tie."""
        defined = [
            classifier
            for classifier in self.baselines
            if math.isfinite(classifier.subject_metrics["balanced_accuracy"].value)
        ]
        return max(defined, key=_balanced_accuracy_then_auc, default=None)

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems of the data in any fold, each once."""
        return tuple(dict.fromkeys(line for result in self.folds for line in result.problems))


def pool_folds(results: Sequence[FoldResult]) -> CrossValidationSummary:
    """Pool the test predictions of one or more folds.

    A baseline is included only if every fold has it; otherwise its subjects would differ from those of the network.

    Raises:
        GaitError: there is no fold.
    """
    if not results:
        raise GaitError("No fold to report: train one first.")
    folds = tuple(sorted(results, key=lambda result: result.fold.index))
    predictions = Predictions.concatenate([result.evaluation for result in folds])
    of_network = predictions.by_subject()
    network = _summarize_classifier(folds[0].network, predictions, of_network)
    baselines, missing = [], {}
    for name in dict.fromkeys(name for result in folds for name in result.baselines):
        parts = {result.fold.index: result.baselines.get(name, "it was not requested") for result in folds}
        lines = {index: part for index, part in parts.items() if isinstance(part, str)}
        if lines:
            same = len(set(lines.values())) == 1 and len(lines) == len(folds)
            missing[name] = (
                next(iter(lines.values())) if same else "; ".join(f"fold {k}: {line}" for k, line in lines.items())
            )
        else:
            joined = Predictions.concatenate([part for part in parts.values() if isinstance(part, Predictions)])
            baselines.append(_summarize_classifier(name, joined, of_network))
    speeds = {name: speed for result in folds for name, speed in result.speeds.items()}
    matched = matched_auc(of_network, speeds)
    return CrossValidationSummary(folds, network, tuple(baselines), missing, matched)


def balanced_accuracy_gain(network: SubjectPredictions, other: SubjectPredictions) -> MetricWithInterval:
    """Return the network's balanced accuracy minus that of another classifier, over the subjects that both classified.

    The 95 % interval is a paired bootstrap over subjects (the same resamples for both), stratified by label.
    """
    both = sorted(set(network.subjects) & set(other.subjects))
    index_of = [{name: k for k, name in enumerate(predictions.subjects)} for predictions in (network, other)]
    rows = [[index[name] for name in both] for index in index_of]
    sick = network.sick[rows[0]]
    gain = _correct(network)[rows[0]] - _correct(other)[rows[1]]
    strata = [np.flatnonzero(sick), np.flatnonzero(~sick)]
    if any(len(stratum) == 0 for stratum in strata):
        return MetricWithInterval(math.nan)
    weight = np.zeros(len(both))
    for stratum in strata:
        weight[stratum] = 0.5 / len(stratum)
    value = float(weight @ gain)
    if any(len(stratum) == 1 for stratum in strata):
        return MetricWithInterval(value)
    resampled = bootstrap_weights(strata, RESAMPLES, np.random.default_rng(0)) @ (weight * gain)
    return with_interval(value, resampled, min(map(len, strata)))


def _summarize_classifier(name: str, predictions: Predictions, of_network: SubjectPredictions) -> ClassifierSummary:
    by_subject = predictions.by_subject()
    if not len(predictions):
        undefined = MetricWithInterval(math.nan)
        metrics = dict.fromkeys(METRICS, undefined)
        return ClassifierSummary(name, predictions, by_subject, metrics, metrics, undefined)
    return ClassifierSummary(
        name=name,
        predictions=predictions,
        subject_predictions=by_subject,
        window_metrics=estimate_metrics(predictions, by="windows", resamples=RESAMPLES),
        subject_metrics=estimate_metrics(predictions, by="subjects", resamples=RESAMPLES),
        accuracy_gain=balanced_accuracy_gain(of_network, by_subject),
    )


def _balanced_accuracy_then_auc(classifier: ClassifierSummary) -> tuple[float, float]:
    auc = classifier.subject_metrics["roc_auc_within_folds"].value
    return classifier.subject_metrics["balanced_accuracy"].value, auc if math.isfinite(auc) else 0.0


def _correct(predictions: SubjectPredictions) -> NDArray[np.float64]:
    return ((predictions.probability >= THRESHOLD) == predictions.sick).astype(np.float64)
