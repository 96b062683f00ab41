"""Predictions by window and by subject, and metrics with intervals over subjects."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as sk

from gait.errors import GaitError
from gait.learning import metrics
from gait.learning.fold_result import to_strict_json
from gait.learning.metrics import (
    METRICS,
    MetricWithInterval,
    epoch_metrics,
    estimate_metrics,
    interval_caveat,
    roc_auc,
)
from gait.learning.predictions import Predictions

Vector = NDArray[np.float64]


def predicted(subjects: dict[str, list[float]], folds: int = 1) -> Predictions:
    """Return predictions from {"sick/P01": probabilities of its windows}, one trial per subject."""
    names = sorted(subjects)
    index = np.repeat(np.arange(len(names)), [len(subjects[name]) for name in names])
    return Predictions(
        subjects=tuple(names),
        trials=tuple(f"{name}/walk1" for name in names),
        subject_index=index,
        trial_index=index,
        first_frame=np.concatenate([np.arange(len(subjects[name])) for name in names]),
        sick=np.array([names[p].startswith("sick/") for p in index], dtype=bool),
        probability=np.concatenate([np.asarray(subjects[name], dtype=np.float64) for name in names]),
        fold=tuple(k % folds for k in range(len(names))),
    )


def random_predictions(seed: int, sick: int = 5, healthy: int = 7, effect: float = 1.0, folds: int = 1) -> Predictions:
    """Return predictions that vary more between subjects than within; probabilities are rounded, so there are ties."""
    random = np.random.default_rng(seed)
    subjects = {}
    for label, count, centre in (("sick", sick, effect), ("healthy", healthy, -effect)):
        for k in range(count):
            logits = centre + 1.5 * random.standard_normal() + 0.5 * random.standard_normal(random.integers(1, 30))
            subjects[f"{label}/P{k:02d}"] = np.round(1 / (1 + np.exp(-logits)), 2).tolist()
    return predicted(subjects, folds)


def by_sklearn(truth: NDArray[np.bool_], probability: Vector, fold: NDArray[np.int64]) -> dict[str, float]:
    called = probability >= 0.5
    both = [k for k in np.unique(fold) if len(np.unique(truth[fold == k])) == 2]
    areas = [sk.roc_auc_score(truth[fold == k], probability[fold == k]) for k in both]
    pairs = [truth[fold == k].sum() * (~truth[fold == k]).sum() for k in both]
    return {
        "accuracy": sk.accuracy_score(truth, called),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, called),
        "precision": sk.precision_score(truth, called, zero_division=np.nan),
        "recall": sk.recall_score(truth, called),
        "specificity": sk.recall_score(~truth, ~called),
        "f1": sk.f1_score(truth, called),
        "roc_auc_within_folds": np.average(areas, weights=pairs) if both else math.nan,
        "roc_auc_pooled": sk.roc_auc_score(truth, probability),
        "brier": sk.brier_score_loss(truth, probability),
    }


@pytest.mark.parametrize("by", ["windows", "subjects"])
@pytest.mark.parametrize(("seed", "folds"), [(0, 1), (1, 3)])
def test_estimate_metrics_equals_a_slow_bootstrap_with_sklearn(by: str, seed: int, folds: int) -> None:
    predictions = random_predictions(seed, folds=folds)
    estimates = estimate_metrics(predictions, by=by, resamples=60, seed=3)  # type: ignore[arg-type]
    subjects = predictions.by_subject()
    windows = (
        [predictions.probability[predictions.subject_index == p] for p in range(len(subjects.subjects))]
        if by == "windows"
        else [np.array([p]) for p in subjects.probability]
    )

    def slow(times_drawn: NDArray[np.int64]) -> dict[str, float]:
        drawn = np.repeat(np.arange(len(windows)), times_drawn)
        truth, fold = (
            np.concatenate([np.full(len(windows[p]), each[p]) for p in drawn])
            for each in (subjects.sick, subjects.fold)
        )
        return by_sklearn(truth, np.concatenate([windows[p] for p in drawn]), fold)

    whole = slow(np.ones(len(windows), dtype=np.int64))
    classes = [np.flatnonzero(subjects.sick), np.flatnonzero(~subjects.sick)]
    draws = metrics.bootstrap_weights(classes, 60, np.random.default_rng(3)).astype(np.int64)
    assert (draws[:, subjects.sick].sum(axis=1) == subjects.sick.sum()).all()
    resampled = [slow(weights) for weights in draws]
    smaller_class = int(min(subjects.sick.sum(), (~subjects.sick).sum()))
    outside = stats.norm.cdf((smaller_class / (smaller_class - 1)) ** 0.5 * stats.t.ppf(0.025, smaller_class - 1))
    percentiles = [100 * outside, 100 - 100 * outside]
    for name in METRICS:
        defined = [r[name] for r in resampled if not math.isnan(r[name])]
        assert estimates[name].value == pytest.approx(whole[name], abs=1e-12)
        assert (estimates[name].low, estimates[name].high) == pytest.approx(np.percentile(defined, percentiles))


def test_estimate_metrics_of_a_known_case() -> None:
    predictions = predicted({"sick/A": [0.9, 0.7], "sick/B": [0.2, 0.4, 0.6], "healthy/A": [0.1], "healthy/B": [0.5]})
    windows = estimate_metrics(predictions, by="windows", resamples=50)
    assert windows["recall"].value == pytest.approx(3 / 5)
    assert windows["specificity"].value == pytest.approx(1 / 2)  # 0.5 is classified as sick
    assert windows["precision"].value == pytest.approx(3 / 4)
    assert windows["roc_auc_within_folds"].value == pytest.approx(8 / 10)
    subjects = estimate_metrics(predictions, by="subjects", resamples=50)
    assert subjects["recall"].value == pytest.approx(1 / 2)  # means 0.8 and 0.4
    assert subjects["roc_auc_within_folds"].value == pytest.approx(3 / 4)
    assert subjects["brier"].value == pytest.approx((0.2**2 + 0.6**2 + 0.1**2 + 0.5**2) / 4)


def test_estimate_metrics_depends_on_the_seed() -> None:
    predictions = random_predictions(4)
    assert estimate_metrics(predictions, by="windows", seed=1) == estimate_metrics(predictions, by="windows", seed=1)
    assert estimate_metrics(predictions, by="windows", seed=1) != estimate_metrics(predictions, by="windows", seed=2)


def coverage(interval: Callable[[Predictions], MetricWithInterval], truth: float, runs: int = 150) -> float:
    estimates = [interval(random_predictions(100 + k, 20, 20)) for k in range(runs)]
    return float(np.mean([e.low <= truth <= e.high for e in estimates]))


def test_intervals_over_subjects_have_nominal_coverage() -> None:
    population = estimate_metrics(random_predictions(99, 1500, 1500), by="subjects", resamples=2)

    def over_subjects(predictions: Predictions) -> MetricWithInterval:
        return estimate_metrics(predictions, by="subjects", resamples=400)["roc_auc_within_folds"]

    def over_windows(predictions: Predictions) -> MetricWithInterval:
        each = {
            f"{'sick' if s else 'healthy'}/{k:05d}": [p]
            for k, (s, p) in enumerate(zip(predictions.sick, predictions.probability, strict=True))
        }
        return estimate_metrics(predicted(each), by="subjects", resamples=100)["roc_auc_within_folds"]

    assert 0.90 <= coverage(over_subjects, population["roc_auc_within_folds"].value) <= 0.99
    of_windows = estimate_metrics(random_predictions(99, 1500, 1500), by="windows", resamples=2)[
        "roc_auc_within_folds"
    ].value
    assert coverage(over_windows, of_windows, runs=60) < 0.7, "windows of one subject would be treated as independent"


def test_expanded_percentiles_are_wider_for_few_subjects() -> None:
    assert metrics.expanded_percentiles(10**6) == pytest.approx((0.025, 0.975), abs=1e-5)
    below = [metrics.expanded_percentiles(number)[0] for number in (2, 5, 10, 40)]
    assert below == sorted(below)
    assert below[1] < 0.002


def test_undefined_metrics_are_nan() -> None:
    none_called_sick = predicted({"sick/A": [0.1, 0.2], "sick/B": [0.3], "healthy/A": [0.1], "healthy/B": [0.2]})
    estimates = estimate_metrics(none_called_sick, by="windows", resamples=20)
    assert math.isnan(estimates["precision"].value)
    assert to_strict_json(estimates)["precision"] == {"value": None, "low": None, "high": None}
    assert estimates["recall"].value == estimates["f1"].value == 0

    one_label = predicted({"healthy/A": [0.1, 0.7], "healthy/B": [0.2]})
    estimates = estimate_metrics(one_label, by="subjects", resamples=20)
    for name in ("roc_auc_within_folds", "balanced_accuracy", "recall"):
        assert math.isnan(estimates[name].value)
        assert math.isnan(estimates[name].low)
    assert estimates["specificity"].value == 1
    assert "neither ROC AUC nor balanced accuracy" in (interval_caveat(one_label.by_subject()) or "")


def test_estimate_metrics_gives_no_interval_for_a_single_subject_of_a_label() -> None:
    estimates = estimate_metrics(predicted({"sick/A": [0.9], "healthy/A": [0.2], "healthy/B": [0.6]}), by="subjects")
    assert estimates["roc_auc_within_folds"].value == 1
    assert math.isnan(estimates["roc_auc_within_folds"].low)
    assert math.isnan(estimates["accuracy"].high)


@pytest.mark.parametrize(
    ("sick", "healthy", "expected"),
    [(1, 1, "1 sick and 1 healthy subject there"), (2, 4, "too narrow"), (10, 12, None)],
)
def test_interval_caveat_for_few_subjects(sick: int, healthy: int, expected: str | None) -> None:
    note = interval_caveat(random_predictions(0, sick, healthy).by_subject())
    assert note is None if expected is None else expected in (note or "")


def test_epoch_metrics_of_a_known_case() -> None:
    truth, probability = np.array([True, True, False, False, False]), np.array([0.5, 0.4, 0.6, 0.1, 0.2])
    assert epoch_metrics(probability, truth) == pytest.approx(
        {"accuracy": 3 / 5, "precision": 1 / 2, "recall": 1 / 2, "specificity": 2 / 3, "f1": 1 / 2}
    )
    assert math.isnan(epoch_metrics([0.1], [False])["precision"])
    assert math.isnan(epoch_metrics([], [])["accuracy"])


@pytest.mark.parametrize("by", ["windows", "subjects"])
def test_roc_auc_within_folds_ignores_the_scale_of_each_fold(by: str) -> None:
    first = predicted({"sick/A": [0.3, 0.2], "healthy/A": [0.1]})
    shifted = predicted({"sick/B": [0.9], "healthy/B": [0.8], "healthy/C": [0.7, 0.8]})
    both = estimate_metrics(Predictions.concatenate([first, shifted]), by=by, resamples=50)  # type: ignore[arg-type]
    assert both["roc_auc_within_folds"].value == 1
    assert both["roc_auc_pooled"].value < 0.8
    alone = estimate_metrics(first, by=by)  # type: ignore[arg-type]
    assert alone["roc_auc_within_folds"] == alone["roc_auc_pooled"]


def test_roc_auc_counts_ties_half_and_is_nan_without_both_labels() -> None:
    assert roc_auc([True, True, False, False], [0.5, 0.5, 0.5, 0.2]) == pytest.approx(0.75)
    assert math.isnan(roc_auc([True, True], [0.1, 0.2]))


def test_estimate_metrics_raises_without_windows() -> None:
    empty = Predictions((), (), *(np.zeros(0, np.int64),) * 3, np.zeros(0, bool), np.zeros(0))
    with pytest.raises(GaitError, match="No window to evaluate"):
        estimate_metrics(empty, by="windows")


def test_predictions_reject_nan_probabilities() -> None:
    with pytest.raises(GaitError, match=r"sick/A/walk1, frame 1: the probability is nan"):
        predicted({"sick/A": [0.2, math.nan]})


def test_concatenate_merges_subjects_by_name() -> None:
    one, other = predicted({"sick/B": [0.9], "healthy/A": [0.2, 0.4]}), predicted({"sick/A": [0.6], "healthy/A": [0.9]})
    both = Predictions.concatenate([one, other])
    assert both.subjects == ("healthy/A", "sick/A", "sick/B")
    assert [both.subjects[p] for p in both.subject_index] == ["healthy/A", "healthy/A", "sick/B", "healthy/A", "sick/A"]
    assert both.by_subject().probability == pytest.approx([0.5, 0.6, 0.9])
    assert both.by_subject().fold == both.fold == (1, 1, 0)
    again = Predictions.concatenate([predicted({"sick/C": [0.1]}), both])
    assert len(set(again.fold)) == 3, "concatenated folds stay separate"
    assert both.sick.tolist() == [False, False, True, False, True]
