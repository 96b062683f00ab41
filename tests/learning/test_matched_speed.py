"""ROC AUC at matched walking speed."""

import itertools
import math

import numpy as np
import pytest

from gait.learning.matched_speed import matched_speed_auc, same_person_auc
from gait.learning.metrics import roc_auc


def slow_matched_auc(sick, score, speed, fold, within):
    won = []
    for one, other in itertools.product(range(len(sick)), repeat=2):
        if sick[one] and not sick[other] and abs(speed[one] - speed[other]) <= within and fold[one] == fold[other]:
            won.append(1.0 if score[one] > score[other] else 0.5 if score[one] == score[other] else 0.0)
    return np.mean(won), len(won)


def test_matched_auc_counts_pairs_of_equal_speed_and_fold():
    random = np.random.default_rng(0)
    sick, fold = random.random(60) < 0.5, random.integers(2, size=60)
    speed, score = random.uniform(0.3, 0.5, 60), random.integers(5, size=60) + 1.5 * sick
    found = matched_speed_auc(sick, score, speed, fold=fold)
    value, count = slow_matched_auc(sick, score, speed, fold, 0.03)
    assert found.auc.value == pytest.approx(value)
    assert found.num_pairs == count
    assert found.auc.low < value < found.auc.high
    assert matched_speed_auc(sick, score, speed, within=1.0).auc.value == pytest.approx(roc_auc(sick, score))


def test_the_speed_alone_stands_beside_as_a_score_of_the_pace_stays_above_chance():
    random = np.random.default_rng(1)
    sick = np.repeat([True, False], 200)
    speed = np.where(sick, 0.36, 0.43) + 0.04 * random.standard_normal(400)
    assert roc_auc(sick, -speed) > 0.85
    found = matched_speed_auc(sick, -speed, speed)
    assert 0.65 < found.auc.value < 0.75
    assert found.speed_alone == found.auc
    closer = matched_speed_auc(sick, random.standard_normal(400), speed, within=0.002)
    assert closer.speed_alone.value == pytest.approx(0.5, abs=0.06)


def test_matched_auc_is_undefined_under_ten_pairs():
    sick, score = [True] * 3 + [False] * 3, [1, 2, 3, 0, 0, 0]
    found = matched_speed_auc(sick, score, [0.4] * 6)
    assert (found.num_pairs, found.num_sick, found.num_healthy) == (9, 3, 3)
    assert math.isnan(found.auc.value)
    assert math.isnan(found.speed_alone.value)
    assert matched_speed_auc([*sick, False], [*score, 0], [0.4] * 7).auc.value == 1
    unknown = matched_speed_auc([*sick, False], [*score, 0], [0.4] * 6 + [math.nan])
    assert unknown.num_pairs == 9


def test_matched_auc_has_no_interval_if_all_pairs_share_a_control():
    found = matched_speed_auc([True] * 12 + [False], [*range(12), 5], [0.4] * 13)
    assert found.auc.value == pytest.approx(6.5 / 12)
    assert math.isnan(found.auc.low)


def test_same_person_auc_resamples_persons():
    random = np.random.default_rng(2)
    person = 3 * random.standard_normal(30)
    sick, healthy = person + 1, person + 0.2 * random.standard_normal(30)
    found = same_person_auc(sick, healthy)
    assert found.value == pytest.approx(roc_auc([True] * 30 + [False] * 30, [*sick, *healthy]))
    # Persons keep both scores, so the AUC varies less than with patients and controls drawn apart.
    apart = matched_speed_auc([True] * 30 + [False] * 30, [*sick, *healthy], [0.4] * 60).auc
    assert found.high - found.low < 0.6 * (apart.high - apart.low)
    assert math.isnan(same_person_auc([], []).value)
    assert same_person_auc([1, 11], [0, 10], group=[0, 1]).value == 1
    assert same_person_auc([1, 11], [0, 10]).value == 0.75
