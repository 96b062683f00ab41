"""Pooled folds, and the comparison of two classifiers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from gait.learning.cross_validation_summary import balanced_accuracy_gain, pool_folds
from gait.learning.metrics import expanded_percentiles
from gait.learning.predictions import SubjectPredictions
from gait.report.training.text_summary import missing_baselines
from tests.helpers.learning_results import fold_results, predicted, subject_labels


def test_balanced_accuracy_gain_equals_a_slow_paired_bootstrap() -> None:
    labels = subject_labels(9, 7)
    names = tuple(sorted(labels))
    network = predicted(names, labels, 1.2, seed=1).by_subject()
    shuffled = tuple(reversed(names[:-2]))  # another order, and two subjects are missing
    other = predicted(shuffled, labels, 0.3, seed=2).by_subject()
    found = balanced_accuracy_gain(network, other)

    def of(predictions_: SubjectPredictions, drawn: list[str]) -> float:
        said = dict(zip(predictions_.subjects, predictions_.probability, strict=True))
        return sklearn_metrics.balanced_accuracy_score(
            [labels[name] for name in drawn], [said[name] >= 0.5 for name in drawn]
        )

    both = sorted(shuffled)
    assert found.value == pytest.approx(of(network, both) - of(other, both))
    random = np.random.default_rng(9)
    drawn = []
    sides = [[name for name in both if labels[name] == is_sick] for is_sick in (False, True)]
    for _ in range(600):
        some = [str(name) for side in sides for name in random.choice(side, len(side))]
        drawn.append(of(network, some) - of(other, some))
    assert (found.low, found.high) == pytest.approx(
        np.quantile(drawn, expanded_percentiles(min(map(len, sides)))), abs=0.08
    )


def test_pool_folds_reports_a_baseline_missing_in_one_fold() -> None:
    first, second, third = fold_results()
    second.baselines["gait_features"] = "no features: no trial has two steps."
    summary = pool_folds([first, second, third])
    assert [classifier.name for classifier in summary.baselines] == ["prior_baseline", "walking_speed"]
    assert summary.missing["gait_features"] == "fold 1: no features: no trial has two steps."
    assert summary.missing["minirocket"] == "MiniRocket needs aeon, which is not installed."
    assert "Gait features is missing: fold 1: no features: no trial has two steps." in missing_baselines(summary)
