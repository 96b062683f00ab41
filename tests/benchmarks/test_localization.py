"""Localization metrics against slow versions of their definitions, and rankings without a network."""

import itertools
import math

import numpy as np
import pytest
import torch

from gait.body.skeleton import NUM_BODY_JOINTS, Joint


@pytest.fixture
def localization(module):
    return module("localization")


@pytest.fixture
def knee(localization):
    return localization.Cause((Joint.LEFT_KNEE,), axis=0)


def scores(**values):
    found = np.zeros((NUM_BODY_JOINTS, 3))
    for name, value in values.items():
        found[Joint[name]] = value
    return found


def test_localize_names_joint_side_and_axis(localization, knee):
    found = localization.localize(scores(LEFT_KNEE=(5, 0, 1), RIGHT_KNEE=(1, 0, 0), LEFT_HIP=(0, 3, 0)), knee)
    assert found.first == found.first_three == found.side == found.joint_and_axis == found.rank_auc == 1


def test_localize_keeps_the_sign(localization, knee):
    found = localization.localize(scores(LEFT_KNEE=(-9, 0, 0), RIGHT_KNEE=(1, 0, 0)), knee)
    assert found.first == found.first_three == found.side == found.rank_auc == found.joint_and_axis == 0


def test_localize_sees_the_wrong_axis_of_the_right_joint(localization, knee):
    found = localization.localize(scores(LEFT_KNEE=(1, 4, 0)), knee)
    assert (found.first, found.joint_and_axis) == (1, 0)
    assert math.isnan(localization.localize(scores(LEFT_KNEE=1).sum(axis=1), knee).joint_and_axis)  # without axes


def test_a_pathology_of_the_middle_has_no_side(localization, knee):
    spine = localization.Cause((Joint.SPINE1, Joint.SPINE2, Joint.SPINE3), axis=2)
    assert spine.contralateral is None
    assert math.isnan(localization.localize(scores(SPINE2=1), spine).side)
    assert knee.contralateral == (Joint.RIGHT_KNEE,)


@pytest.mark.parametrize("ties", [1, 3, 1000])
def test_chance_is_the_mean_over_random_orders(localization, ties):
    random = np.random.default_rng(0)
    cause = localization.Cause((Joint.LEFT_HIP, Joint.LEFT_KNEE), 1)
    drawn = [localization.localize(1.0 * random.integers(ties, size=(NUM_BODY_JOINTS, 3)), cause) for _ in range(3000)]
    chance = localization.chance_localization(cause, NUM_BODY_JOINTS, with_axes=True)
    mean = localization.mean_localization(drawn)
    for name in localization.METRICS:
        assert getattr(mean, name) == pytest.approx(getattr(chance, name), abs=0.03), name


def test_ties_count_as_their_mean_over_all_orders(localization):
    values = np.array([2.0, 1, 1, 1, 0, *[-1.0] * 17])
    wanted = localization.Cause((Joint(2), Joint(4)))
    found = localization.localize(values, wanted)
    hits = []
    for order in itertools.permutations(range(1, 4)):
        hits.append(bool({0, *order[:2]} & {2, 4}))
    assert found.first_three == pytest.approx(np.mean(hits))
    others = sorted(set(range(22)) - {2, 4})
    pairs = [(values[j] > values[k]) + 0.5 * (values[j] == values[k]) for j in (2, 4) for k in others]
    assert found.rank_auc == pytest.approx(np.mean(pairs))


def test_localization_over_persons_and_paired_lead(localization, knee):
    hit, miss = localization.localize(scores(LEFT_KNEE=1), knee), localization.localize(scores(HEAD=1), knee)
    persons = [hit] * 8 + [miss] * 2
    found = localization.localization_over_persons(persons)["first"]
    assert found.value == pytest.approx(0.8)
    assert found.low < 0.8 < found.high
    lead = localization.localization_lead(persons, [*persons[:5], *[miss] * 5])["first"]
    assert lead.value == pytest.approx(0.3)
    assert 0 <= lead.low < 0.3 < lead.high
    assert localization.best_ranking({"one": [miss], "other": [hit]}) == "other"


def test_scores_of_mirrored_windows_are_given_back_to_the_own_side(localization):
    values = torch.zeros(2, 4, NUM_BODY_JOINTS, 3)
    values[0, :, Joint.LEFT_KNEE, 0] = 1
    values[1, :, Joint.RIGHT_KNEE, 0] = 1
    found = localization.scores_of_windows(values, torch.tensor([False, True]))
    assert found[Joint.LEFT_KNEE, 0] == 4
    assert found.sum() == 4
    assert np.array_equal(localization.scores_of_windows(values.sum(-1), torch.tensor([False, True])), found.sum(-1))


def test_scores_of_bones_move_to_the_joint_where_they_begin(localization):
    found = localization.to_proximal_joints(scores(LEFT_ANKLE=1))
    assert found[Joint.LEFT_KNEE].tolist() == [1, 1, 1]
    assert found.sum() == 3


def test_deviation_rankings(localization):
    random = torch.Generator().manual_seed(0)
    mean, sd = torch.randn(6, 22, 3, generator=random), torch.ones(6, 22, 3)
    windows = mean + torch.zeros(2, 6, 22, 3)
    windows[:, :, Joint.HEAD, 1] += 2
    windows[:, 3, Joint.LEFT_KNEE, 0] -= 3
    sd[:, Joint.HEAD] = 8
    found = {
        name: value.sum(dim=(0, 1, 3)) for name, value in localization.deviation_rankings(windows, mean, sd).items()
    }
    assert {name: Joint(int(value.argmax())) for name, value in found.items()} == {
        "deviation": Joint.HEAD,
        "squared_deviation": Joint.HEAD,
        "varying_deviation": Joint.LEFT_KNEE,
        "deviation_in_sds": Joint.LEFT_KNEE,
    }
