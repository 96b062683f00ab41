"""ROC curves and calibration."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from gait.learning.cross_validation_summary import pool_folds
from gait.learning.curves import calibration_bins, mean_roc_curve, roc_band
from gait.learning.predictions import Predictions, SubjectPredictions
from tests.helpers.learning_results import fold_results, predicted, subject_labels


def test_mean_roc_curve_area_equals_roc_auc_within_folds() -> None:
    results = fold_results(13, 11, 4, skill=0.7)
    only_sick = tuple(name for name in results[0].fold.evaluation if name.startswith("sick/"))
    results[0] = dataclasses.replace(
        results[0], evaluation=predicted(only_sick, subject_labels(13, 11), 0.7), baselines={}
    )
    classifiers = (
        *pool_folds(results).classifiers,
        *pool_folds(results[1:]).classifiers,
        *pool_folds(results[1:2]).classifiers,
    )
    assert len(classifiers) == 1 + 4 + 4
    for classifier in classifiers:
        fpr, tpr = mean_roc_curve(classifier.subject_predictions)
        assert np.trapezoid(tpr, fpr) == pytest.approx(classifier.subject_metrics["roc_auc_within_folds"].value)
        assert (np.diff(fpr) >= 0).all()
        assert (np.diff(tpr) >= -1e-12).all()


def test_roc_band_uses_pairs_within_folds() -> None:
    labels = subject_labels(40, 40)
    parts = []
    for k, shift in enumerate((0.0, 0.9)):  # each fold separates all, on its own scale
        names = tuple(sorted(labels))[k::2]
        said = predicted(names, labels, 0.0, windows=1)
        parts.append(dataclasses.replace(said, probability=shift + 0.05 * said.sick + 0.01))
    low, high = roc_band(Predictions.concatenate(parts).by_subject(), np.linspace(0, 1, 11))
    assert (low == 1).all()
    assert (high == 1).all()


def test_roc_band_contains_the_curve_and_narrows_with_more_subjects() -> None:
    grid = np.linspace(0, 1, 21)
    width = {}
    for count in (10, 160):
        labels = subject_labels(count, count)
        said = predicted(tuple(labels), labels, 1.0, seed=4).by_subject()
        low, high = roc_band(said, grid)
        fpr, tpr, _ = roc_curve(said.sick, said.probability, drop_intermediate=False)
        curve = tpr[np.searchsorted(fpr, grid + 1e-9, "right") - 1]
        assert (low <= curve + 1e-9).all()
        assert (curve <= high + 1e-9).all()
        assert (low[-1], high[-1]) == (1, 1)
        width[count] = (high - low).mean()
    assert width[160] < width[10] / 2


def test_calibration_bins_contain_each_subject_once() -> None:
    for count in (1, 3, 9, 20, 200):
        labels = subject_labels(count, count)
        said = predicted(tuple(labels), labels, 1.0, seed=5).by_subject()
        bins = calibration_bins(said)
        assert sum(each.num_subjects for each in bins) == 2 * count
        assert sum(each.sick_fraction * each.num_subjects for each in bins) == pytest.approx(count)
        assert {each.num_bins for each in bins} == {max(1, min(5, 2 * count // 8))}
        for each in bins:
            assert abs(each.mean_probability - each.centre) <= 0.5 / each.num_bins
            assert each.low <= each.sick_fraction <= each.high


def test_calibration_bins_of_probabilities_0_and_1() -> None:
    sick = np.arange(40) % 2 > 0
    bins = calibration_bins(SubjectPredictions(tuple(map(str, range(40))), sick, sick.astype(float)))
    assert [(each.centre, each.sick_fraction) for each in bins] == [(0.1, 0.0), (0.9, 1.0)]


def test_percentiles_by_subject_use_windows_of_the_subject() -> None:
    labels = subject_labels(3, 3)
    said = predicted(tuple(labels), labels, 1.0, windows=9)
    order = np.random.default_rng(0).permutation(len(said))
    fields = {f.name: getattr(said, f.name) for f in dataclasses.fields(said)}
    mixed = Predictions(**{k: v[order] if isinstance(v, np.ndarray) else v for k, v in fields.items()})
    low, high = mixed.percentiles_by_subject([10, 90])
    for k in range(6):
        own = said.probability[said.subject_index == k]
        assert (low[k], high[k]) == pytest.approx(np.percentile(own, [10, 90]))
