"""The cohort's view against slow averages, and persons whose maps say who is typical."""

from __future__ import annotations

import numpy as np
import pytest

from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.explaining.group_attribution import SubjectAttribution, cohort_view, person_importance
from gait.kinematics.gait_cycle import GaitCycle, gait_cycles, on_own_cycle
from tests.helpers.explanation_cases import importance
from tests.helpers.motion_cases import stick_walker


def person(name: str, probability: float, importance: np.ndarray, fold: int = 0) -> SubjectAttribution:
    return SubjectAttribution(name, name.startswith("sick"), probability, fold, 4, importance)


def pattern(seed: int, size: float = 1.0) -> np.ndarray:
    return size * np.random.default_rng(seed).normal(size=(101, NUM_BODY_JOINTS))


def test_groups_are_means_over_persons_in_the_usual_size_of_their_network() -> None:
    persons = [
        person("healthy/a", 0.1, pattern(1)),
        person("healthy/b", 0.7, pattern(2)),
        person("sick/c", 0.9, pattern(3, 50.0), fold=1),
        person("sick/d", 0.4, pattern(4, 50.0), fold=1),
        person("sick/e", 0.8, pattern(5, 50.0), fold=1),
    ]
    view = cohort_view(persons)
    members = {"healthy": [0, 1], "sick": [2, 3, 4], "right": [0, 2, 4], "wrong": [1, 3]}
    usual = {0: np.mean([np.abs(persons[k].importance).mean() for k in (0, 1)])}
    usual[1] = np.mean([np.abs(persons[k].importance).mean() for k in (2, 3, 4)])
    for group, own in members.items():
        assert view.groups[group].persons == tuple(persons[k].person for k in own)
        slow = sum(persons[k].importance / usual[persons[k].fold] for k in own) / len(own)
        np.testing.assert_allclose(view.groups[group].importance, slow, atol=1e-12)
    assert view.doubtful.person == "sick/d"


def test_the_typical_one_is_like_the_others_and_was_judged_right() -> None:
    shape = pattern(0)
    persons = [person(f"sick/{k}", 0.9, shape + pattern(k + 10, 0.8)) for k in range(5)]
    persons.append(person("sick/like", 0.8, shape + pattern(99, 0.2)))
    persons.append(person("sick/wrong", 0.2, shape))  # the most alike of all, but the network was wrong
    persons.append(person("sick/unlike", 1.0, -shape))
    view = cohort_view(persons)
    assert view.typical["sick"].person == "sick/like"
    assert "healthy" not in view.typical
    assert "healthy" not in view.groups


def test_half_a_probability_counts_as_sick_as_everywhere() -> None:
    assert person("sick/a", 0.5, pattern(0)).right
    assert not person("healthy/a", 0.5, pattern(0)).right


def test_one_persons_cycles_are_counted_by_strides() -> None:
    parts = []
    for k, frames in enumerate((500, 300)):
        said = importance(frames, seed=k)
        parts.append(gait_cycles(said.values, stick_walker(frames, phase=0.2 + k), 100.0))
    one = person_importance("sick/P1", 0.75, 3, parts, sick=True)
    assert (one.person, one.sick, one.probability, one.fold) == ("sick/P1", True, 0.75, 3)
    assert one.cycles == sum(cycle.cycles for cycles in parts for cycle in cycles.values())
    slow = {
        side: sum(c[side].importance * c[side].cycles for c in parts) / sum(c[side].cycles for c in parts)
        for side in ("left", "right")
    }
    np.testing.assert_allclose(one.importance, on_own_cycle(slow), atol=1e-12)


def standing() -> dict[str, GaitCycle]:
    return dict(gait_cycles(np.ones((150, 22)), np.repeat(stick_walker(1), 150, axis=0), 100.0))


def test_who_has_no_stride_counts_for_no_map_but_is_there(recwarn: pytest.WarningsRecorder) -> None:
    still = person_importance("healthy/still", 0.2, 0, [standing()], sick=False)
    assert still.cycles == 0
    assert np.isnan(still.importance).all()
    walking = person("healthy/walks", 0.1, pattern(1))
    view = cohort_view([still, walking])
    np.testing.assert_allclose(
        view.groups["healthy"].importance, walking.importance / np.abs(walking.importance).mean()
    )
    assert view.typical["healthy"].person == "healthy/walks"
    assert view.doubtful.person == "healthy/still"
    alone = cohort_view([still])
    assert np.isnan(alone.groups["healthy"].importance).all()
    assert alone.typical == {}
    assert not recwarn.list


def test_a_joint_of_zero_importance_stays_zero() -> None:
    flat = np.zeros((101, NUM_BODY_JOINTS))
    view = cohort_view([person("sick/a", 0.9, flat)])
    assert np.all(view.groups["sick"].importance[:, Joint.HEAD] == 0)
