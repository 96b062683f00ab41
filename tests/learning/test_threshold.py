"""The threshold lies between controls and patients of the training whom a network has not seen."""

import numpy as np
import pytest

from gait.errors import GaitError
from gait.learning.threshold import find_threshold, pooled_logits, split_training

SUBJECTS = {f"{label}/P{k}{label[0]}": label == "sick" for label in ("healthy", "sick") for k in range(5)}


def test_every_training_subject_is_judged_once_by_a_network_that_has_not_seen_it():
    judged = []
    for training, part in split_training(SUBJECTS, 3):
        assert not {*training} & {*part}
        assert {*training} | {*part} == {*SUBJECTS}
        assert {SUBJECTS[name] for name in training} == {False, True}
        judged += part
    assert sorted(judged) == sorted(SUBJECTS)
    assert len([*split_training({name: sick for name, sick in SUBJECTS.items() if name < "sick/P2"}, 3)]) == 2
    with pytest.raises(GaitError, match="two controls and two patients"):
        next(split_training({"healthy/A": False, "sick/B": True}, 3))


def test_logits_of_all_parts_are_pooled():
    seen = []

    def judge(training, judged):
        seen.append(training)
        return {name: float(len(seen)) for name in judged if name != "healthy/P0h"}  # it has no window

    logits, sick = pooled_logits(SUBJECTS, 2, judge)
    assert len(logits) == len(sick) == 9
    assert {*logits} == {1.0, 2.0}
    assert sick.sum() == 5


def test_threshold_is_between_the_labels():
    sick = np.repeat([0.0, 1.0], 20)
    random = np.random.default_rng(0)
    logits = random.normal(0, 0.5, 40) + np.where(sick > 0, 3.0, -1.0)
    found = find_threshold(logits, sick)
    assert found.logit == pytest.approx(1.0, abs=0.4)
    assert (found.recall, found.specificity, found.num_subjects) == (1.0, 1.0, 40)
    shifted = find_threshold(logits + 7, sick)
    assert shifted.logit == pytest.approx(found.logit + 7, abs=0.02)
    for wanted in (0.5, 0.95):
        strict = find_threshold(logits, sick, wanted)
        assert strict.logit == pytest.approx(np.quantile(logits[:20], wanted), abs=0.3)
        assert strict.specificity == pytest.approx(wanted, abs=0.1)
    with pytest.raises(GaitError, match="no control or no patient"):
        find_threshold(logits[:5], sick[:5])
