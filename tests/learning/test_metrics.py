"""Predictions by window and by person, and metrics with intervals over persons."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as sk

from gait.errors import GaitError
from gait.learning import metrics
from gait.learning.metrics import (
    METRICS,
    MetricWithInterval,
    as_json,
    epoch_metrics,
    interval_note,
    metric_estimates,
    roc_auc,
)
from gait.learning.predictions import Predictions

Vector = NDArray[np.float64]


def predicted(people: dict[str, list[float]], folds: int = 1) -> Predictions:
    """Of persons named by their label folder, "sick/P01": the probabilities of their windows, in one walk."""
    names = sorted(people)
    person = np.repeat(np.arange(len(names)), [len(people[name]) for name in names])
    return Predictions(
        persons=tuple(names),
        gaits=tuple(f"{name}/walk1" for name in names),
        person=person,
        gait=person,
        first_frame=np.concatenate([np.arange(len(people[name])) for name in names]),
        sick=np.array([names[p].startswith("sick/") for p in person], dtype=bool),
        probability=np.concatenate([np.asarray(people[name], dtype=np.float64) for name in names]),
        fold=tuple(k % folds for k in range(len(names))),
    )


def random_people(seed: int, sick: int = 5, healthy: int = 7, effect: float = 1.0, folds: int = 1) -> Predictions:
    """People who differ by more than their windows do; probabilities in steps, so that some are alike."""
    random = np.random.default_rng(seed)
    people = {}
    for label, count, centre in (("sick", sick, effect), ("healthy", healthy, -effect)):
        for k in range(count):
            logits = centre + 1.5 * random.standard_normal() + 0.5 * random.standard_normal(random.integers(1, 30))
            people[f"{label}/P{k:02d}"] = np.round(1 / (1 + np.exp(-logits)), 2).tolist()
    return predicted(people, folds)


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
        "roc_auc": np.average(areas, weights=pairs) if both else math.nan,
        "roc_auc_pooled": sk.roc_auc_score(truth, probability),
        "brier": sk.brier_score_loss(truth, probability),
    }


@pytest.mark.parametrize("by", ["windows", "persons"])
@pytest.mark.parametrize(("seed", "folds"), [(0, 1), (1, 3)])
def test_values_and_intervals_equal_a_slow_bootstrap_with_sklearn(by: str, seed: int, folds: int) -> None:
    predictions = random_people(seed, folds=folds)
    estimates = metric_estimates(predictions, by=by, resamples=60, seed=3)  # type: ignore[arg-type]
    people = predictions.by_person()
    windows = (
        [predictions.probability[predictions.person == p] for p in range(len(people.persons))]
        if by == "windows"
        else [np.array([p]) for p in people.probability]
    )

    def slow(times_drawn: NDArray[np.int64]) -> dict[str, float]:
        drawn = np.repeat(np.arange(len(windows)), times_drawn)
        truth, fold = (
            np.concatenate([np.full(len(windows[p]), each[p]) for p in drawn]) for each in (people.sick, people.fold)
        )
        return by_sklearn(truth, np.concatenate([windows[p] for p in drawn]), fold)

    whole = slow(np.ones(len(windows), dtype=np.int64))
    sides = [np.flatnonzero(people.sick), np.flatnonzero(~people.sick)]
    draws = metrics.person_draws(sides, 60, np.random.default_rng(3)).astype(np.int64)
    assert (draws[:, people.sick].sum(axis=1) == people.sick.sum()).all()
    resampled = [slow(weights) for weights in draws]
    fewer = int(min(people.sick.sum(), (~people.sick).sum()))
    outside = stats.norm.cdf((fewer / (fewer - 1)) ** 0.5 * stats.t.ppf(0.025, fewer - 1))
    shares = [100 * outside, 100 - 100 * outside]
    for name in METRICS:
        defined = [r[name] for r in resampled if not math.isnan(r[name])]
        assert estimates[name].value == pytest.approx(whole[name], abs=1e-12)
        assert (estimates[name].low, estimates[name].high) == pytest.approx(np.percentile(defined, shares))


def test_known_case() -> None:
    predictions = predicted({"sick/A": [0.9, 0.7], "sick/B": [0.2, 0.4, 0.6], "healthy/A": [0.1], "healthy/B": [0.5]})
    windows = metric_estimates(predictions, by="windows", resamples=50)
    assert windows["recall"].value == pytest.approx(3 / 5)
    assert windows["specificity"].value == pytest.approx(1 / 2)  # 0.5 is called sick
    assert windows["precision"].value == pytest.approx(3 / 4)
    assert windows["roc_auc"].value == pytest.approx(8 / 10)
    persons = metric_estimates(predictions, by="persons", resamples=50)
    assert persons["recall"].value == pytest.approx(1 / 2)  # means 0.8 and 0.4
    assert persons["roc_auc"].value == pytest.approx(3 / 4)
    assert persons["brier"].value == pytest.approx((0.2**2 + 0.6**2 + 0.1**2 + 0.5**2) / 4)


def test_the_seed_decides_the_interval() -> None:
    predictions = random_people(4)
    assert metric_estimates(predictions, by="windows", seed=1) == metric_estimates(predictions, by="windows", seed=1)
    assert metric_estimates(predictions, by="windows", seed=1) != metric_estimates(predictions, by="windows", seed=2)


def coverage(interval: Callable[[Predictions], MetricWithInterval], truth: float, runs: int = 150) -> float:
    estimates = [interval(random_people(100 + k, 20, 20)) for k in range(runs)]
    return float(np.mean([e.low <= truth <= e.high for e in estimates]))


def test_intervals_over_persons_hold_the_truth_about_as_often_as_they_say() -> None:
    population = metric_estimates(random_people(99, 1500, 1500), by="persons", resamples=2)

    def over_persons(predictions: Predictions) -> MetricWithInterval:
        return metric_estimates(predictions, by="persons", resamples=400)["roc_auc"]

    def over_windows(predictions: Predictions) -> MetricWithInterval:
        each = {
            f"{'sick' if s else 'healthy'}/{k:05d}": [p]
            for k, (s, p) in enumerate(zip(predictions.sick, predictions.probability, strict=True))
        }
        return metric_estimates(predicted(each), by="persons", resamples=100)["roc_auc"]

    assert 0.90 <= coverage(over_persons, population["roc_auc"].value) <= 0.99
    of_windows = metric_estimates(random_people(99, 1500, 1500), by="windows", resamples=2)["roc_auc"].value
    assert coverage(over_windows, of_windows, runs=60) < 0.7, "windows of one person would be taken for independent"


def test_few_persons_widen_the_interval() -> None:
    assert metrics.interval_shares(10**6) == pytest.approx((0.025, 0.975), abs=1e-5)
    below = [metrics.interval_shares(persons)[0] for persons in (2, 5, 10, 40)]
    assert below == sorted(below)
    assert below[1] < 0.002


def test_what_is_not_defined_is_no_zero() -> None:
    nobody_called = predicted({"sick/A": [0.1, 0.2], "sick/B": [0.3], "healthy/A": [0.1], "healthy/B": [0.2]})
    estimates = metric_estimates(nobody_called, by="windows", resamples=20)
    assert math.isnan(estimates["precision"].value)
    assert as_json(estimates)["precision"] == {"value": None, "low": None, "high": None}
    assert estimates["recall"].value == estimates["f1"].value == 0

    one_label = predicted({"healthy/A": [0.1, 0.7], "healthy/B": [0.2]})
    estimates = metric_estimates(one_label, by="persons", resamples=20)
    for name in ("roc_auc", "balanced_accuracy", "recall"):
        assert math.isnan(estimates[name].value)
        assert math.isnan(estimates[name].low)
    assert estimates["specificity"].value == 1
    assert "neither ROC AUC nor balanced accuracy" in (interval_note(one_label.by_person()) or "")


def test_a_single_person_of_a_label_has_no_interval() -> None:
    estimates = metric_estimates(predicted({"sick/A": [0.9], "healthy/A": [0.2], "healthy/B": [0.6]}), by="persons")
    assert estimates["roc_auc"].value == 1
    assert math.isnan(estimates["roc_auc"].low)
    assert math.isnan(estimates["accuracy"].high)


@pytest.mark.parametrize(
    ("sick", "healthy", "says"), [(1, 1, "1 sick and 1 healthy person there"), (2, 4, "too narrow"), (10, 12, None)]
)
def test_few_persons_are_said_to_be_few(sick: int, healthy: int, says: str | None) -> None:
    note = interval_note(random_people(0, sick, healthy).by_person())
    assert note is None if says is None else says in (note or "")


def test_metrics_of_an_epoch() -> None:
    truth, probability = np.array([True, True, False, False, False]), np.array([0.5, 0.4, 0.6, 0.1, 0.2])
    assert epoch_metrics(probability, truth) == pytest.approx(
        {"accuracy": 3 / 5, "precision": 1 / 2, "recall": 1 / 2, "specificity": 2 / 3, "f1": 1 / 2}
    )
    assert math.isnan(epoch_metrics([0.1], [False])["precision"])
    assert math.isnan(epoch_metrics([], [])["accuracy"])


@pytest.mark.parametrize("by", ["windows", "persons"])
def test_folds_of_unlike_scales_and_shares_do_not_move_the_roc_auc(by: str) -> None:
    told = predicted({"sick/A": [0.3, 0.2], "healthy/A": [0.1]})
    shifted = predicted({"sick/B": [0.9], "healthy/B": [0.8], "healthy/C": [0.7, 0.8]})
    both = metric_estimates(Predictions.joined([told, shifted]), by=by, resamples=50)  # type: ignore[arg-type]
    assert both["roc_auc"].value == 1
    assert both["roc_auc_pooled"].value < 0.8
    alone = metric_estimates(told, by=by)  # type: ignore[arg-type]
    assert alone["roc_auc"] == alone["roc_auc_pooled"]


def test_roc_auc_counts_ties_half_and_needs_both_labels() -> None:
    assert roc_auc([True, True, False, False], [0.5, 0.5, 0.5, 0.2]) == pytest.approx(0.75)
    assert math.isnan(roc_auc([True, True], [0.1, 0.2]))


def test_no_window_is_a_plain_line() -> None:
    nothing = Predictions((), (), *(np.zeros(0, np.int64),) * 3, np.zeros(0, bool), np.zeros(0))
    with pytest.raises(GaitError, match="No window to measure"):
        metric_estimates(nothing, by="windows")


def test_a_diverged_network_is_a_plain_line() -> None:
    with pytest.raises(GaitError, match=r"sick/A/walk1, frame 1: the probability is nan"):
        predicted({"sick/A": [0.2, math.nan]})


def test_folds_are_joined_by_name() -> None:
    one, other = predicted({"sick/B": [0.9], "healthy/A": [0.2, 0.4]}), predicted({"sick/A": [0.6], "healthy/A": [0.9]})
    both = Predictions.joined([one, other])
    assert both.persons == ("healthy/A", "sick/A", "sick/B")
    assert [both.persons[p] for p in both.person] == ["healthy/A", "healthy/A", "sick/B", "healthy/A", "sick/A"]
    assert both.by_person().probability == pytest.approx([0.5, 0.6, 0.9])
    assert both.by_person().fold == both.fold == (1, 1, 0)
    again = Predictions.joined([predicted({"sick/C": [0.1]}), both])
    assert len(set(again.fold)) == 3, "folds joined before stay folds"
    assert both.sick.tolist() == [False, False, True, False, True]
