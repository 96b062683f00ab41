"""Group attribution against slow averages, and selection of representative subjects."""

from __future__ import annotations

import numpy as np
import pytest

from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.explaining.group_attribution import SubjectAttribution, average_subject_attribution, compare_groups
from gait.kinematics.gait_cycle import GaitCycle, average_gait_cycles, combine_ipsilateral_cycles
from tests.helpers.explanation_cases import random_attribution
from tests.helpers.motion_cases import stick_figure


def make_subject(name: str, probability: float, attribution: np.ndarray, fold: int = 0) -> SubjectAttribution:
    return SubjectAttribution(name, name.startswith("sick"), probability, fold, 4, attribution)


def pattern(seed: int, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).normal(size=(101, NUM_BODY_JOINTS))


def test_compare_groups_averages_scaled_attribution() -> None:
    subjects = [
        make_subject("healthy/a", 0.1, pattern(1)),
        make_subject("healthy/b", 0.7, pattern(2)),
        make_subject("sick/c", 0.9, pattern(3, 50.0), fold=1),
        make_subject("sick/d", 0.4, pattern(4, 50.0), fold=1),
        make_subject("sick/e", 0.8, pattern(5, 50.0), fold=1),
    ]
    comparison = compare_groups(subjects)
    members = {"healthy": [0, 1], "sick": [2, 3, 4], "correct": [0, 2, 4], "incorrect": [1, 3]}
    scale = {0: np.mean([np.abs(subjects[k].attribution).mean() for k in (0, 1)])}
    scale[1] = np.mean([np.abs(subjects[k].attribution).mean() for k in (2, 3, 4)])
    for group, own in members.items():
        assert comparison.groups[group].subjects == tuple(subjects[k].subject for k in own)
        slow = sum(subjects[k].attribution / scale[subjects[k].fold] for k in own) / len(own)
        np.testing.assert_allclose(comparison.groups[group].attribution, slow, atol=1e-12)
    assert comparison.most_uncertain.subject == "sick/d"


def test_compare_groups_selects_representative_subject() -> None:
    shape = pattern(0)
    subjects = [make_subject(f"sick/{k}", 0.9, shape + pattern(k + 10, 0.8)) for k in range(5)]
    subjects.append(make_subject("sick/similar", 0.8, shape + pattern(99, 0.2)))
    subjects.append(make_subject("sick/misclassified", 0.2, shape))  # most similar, but misclassified
    subjects.append(make_subject("sick/dissimilar", 1.0, -shape))
    comparison = compare_groups(subjects)
    assert comparison.representative["sick"].subject == "sick/similar"
    assert "healthy" not in comparison.representative
    assert "healthy" not in comparison.groups


def test_compare_groups_averages_joints_over_the_subjects_that_observe_them() -> None:
    subjects = [make_subject(f"sick/{k}", 0.9, pattern(k)) for k in range(3)]
    subjects[0].attribution[:, Joint.LEFT_WRIST] = subjects[1].attribution[:, Joint.LEFT_WRIST] = np.nan
    for subject in subjects:
        subject.attribution[:, Joint.HEAD] = np.nan
    comparison = compare_groups(subjects)
    group = comparison.groups["sick"]
    assert (group.num_subjects[Joint.LEFT_WRIST], group.num_subjects[Joint.HEAD]) == (1, 0)
    assert (np.delete(group.num_subjects, [Joint.LEFT_WRIST, Joint.HEAD]) == 3).all()
    assert np.isnan(group.attribution[:, Joint.HEAD]).all()
    np.testing.assert_allclose(
        group.attribution[:, Joint.LEFT_WRIST], comparison.subjects[2].attribution[:, Joint.LEFT_WRIST]
    )
    np.testing.assert_array_equal(comparison.all_subjects.num_subjects, group.num_subjects)


def test_correct_counts_probability_of_one_half_as_sick() -> None:
    assert make_subject("sick/a", 0.5, pattern(0)).correct
    assert not make_subject("healthy/a", 0.5, pattern(0)).correct


def test_average_subject_attribution_weights_by_cycles() -> None:
    trials = []
    for k, frames in enumerate((500, 300)):
        attribution = random_attribution(frames, seed=k)
        trials.append(average_gait_cycles(attribution.values, stick_figure(frames, phase=0.2 + k), 100.0))
    subject = average_subject_attribution("sick/P1", 0.75, 3, trials, sick=True)
    assert (subject.subject, subject.sick, subject.probability, subject.fold) == ("sick/P1", True, 0.75, 3)
    assert subject.num_cycles == sum(cycle.num_cycles for cycles in trials for cycle in cycles.values())
    slow = {
        side: sum(c[side].values * c[side].num_cycles for c in trials) / sum(c[side].num_cycles for c in trials)
        for side in ("left", "right")
    }
    np.testing.assert_allclose(subject.attribution, combine_ipsilateral_cycles(slow), atol=1e-12)


def standing() -> dict[str, GaitCycle]:
    return dict(average_gait_cycles(np.ones((150, 22)), np.repeat(stick_figure(1), 150, axis=0), 100.0))


def test_compare_groups_with_subject_without_strides(recwarn: pytest.WarningsRecorder) -> None:
    still = average_subject_attribution("healthy/still", 0.2, 0, [standing()], sick=False)
    assert still.num_cycles == 0
    assert np.isnan(still.attribution).all()
    walking = make_subject("healthy/walking", 0.1, pattern(1))
    comparison = compare_groups([still, walking])
    np.testing.assert_allclose(
        comparison.groups["healthy"].attribution, walking.attribution / np.abs(walking.attribution).mean()
    )
    assert comparison.representative["healthy"].subject == "healthy/walking"
    assert comparison.most_uncertain.subject == "healthy/still"
    alone = compare_groups([still])
    assert np.isnan(alone.groups["healthy"].attribution).all()
    assert alone.representative == {}
    assert not recwarn.list


def test_compare_groups_keeps_zero_attribution() -> None:
    flat = np.zeros((101, NUM_BODY_JOINTS))
    comparison = compare_groups([make_subject("sick/a", 0.9, flat)])
    assert np.all(comparison.groups["sick"].attribution[:, Joint.HEAD] == 0)
