import numpy as np
import pytest

from gait.explaining.evidence.concepts import CONCEPTS, _concept
from gait.explaining.evidence.controls import CohortPerson, logit_by_speed
from gait.explaining.evidence.motions import motions_of, part_of
from gait.explaining.evidence.verdicts import EQUAL_VARIANCE
from gait.kinematics.gait_phases import PHASE_NAMES
from gait.motion.inputs import INPUTS


def test_concepts_name_parts_and_phases_that_exist():
    parts = {part_of(motion.joint) for motion in motions_of(INPUTS["rotations"])}
    for concept in CONCEPTS:
        assert set(concept.parts) <= parts
        assert set(concept.phases) <= set(PHASE_NAMES)


def test_interval_holds_variation_of_strides_and_networks():
    same = _concept("a", "a", np.ones((3, 4)))
    assert (same.value, same.networks_agree) == (1.0, True)
    assert np.isnan(same.low)
    strides = _concept("a", "a", np.array([[1.0, 2, 3, 2]]))
    # Four strides alone: 2 ± t(3) · SD / √4.
    assert strides.low == pytest.approx(2 - 3.182 * np.std([1, 2, 3, 2], ddof=1) / 2, abs=1e-3)
    assert strides.networks_agree is None
    both = _concept("a", "a", np.array([[1.0, 2, 3, 2], [-2, -1, 0, -1]]))
    assert both.networks_agree is False
    assert both.high - both.low > strides.high - strides.low


def _person(number: int, speed: float, logit: float, *, sick: bool) -> CohortPerson:
    return CohortPerson(f"P{number}", sick, speed, logit, (), None, np.empty(0))


@pytest.mark.parametrize("steep", [1.0, 100.0])
def test_a_network_that_goes_by_speed_is_distinguished_from_one_of_patients_who_walk_slowly(steep):
    random = np.random.default_rng(0)
    speeds = np.concatenate([random.normal(0.45, 0.03, 20), random.normal(0.35, 0.03, 20)])
    by_label = [_person(k, v, 6.0 * (k >= 20) - 3 + random.normal(), sick=k >= 20) for k, v in enumerate(speeds)]
    found = logit_by_speed(by_label)
    assert found.variance_explained > 0.5
    assert found.variance_explained < found.variance_explained_by_label
    by_speed = [
        _person(k, v, -3 * np.tanh(10 * steep * (v - 0.4)) + random.normal(0, 0.3), sick=v < 0.4)
        for k, v in enumerate(speeds)
    ]
    found = logit_by_speed(by_speed)
    assert found.variance_explained > 0.9
    assert found.variance_explained > found.variance_explained_by_label - EQUAL_VARIANCE
    assert found.at(0.3) > 1
    assert found.at(0.1) == found.at(0.2)  # beyond the persons' speeds it stays
    low, high = found.interval(0.45)
    assert low <= found.at(0.45) <= high < 0
    assert logit_by_speed(by_speed[:5]) is None


def test_a_curve_that_follows_few_persons_explains_nothing():
    random = np.random.default_rng(1)
    few = [_person(k, random.normal(0.4, 0.05), random.normal(), sick=k >= 12) for k in range(24)]
    found = logit_by_speed(few)
    at_persons = np.array([found.at(person.dimensionless_speed) for person in few])
    logits = np.array([person.logit for person in few])
    assert 1 - ((logits - at_persons) ** 2).mean() / logits.var() > 0.1  # where it was fitted
    assert found.variance_explained < 0
    assert found.variance_explained_by_label < 0.05


def test_logits_that_rise_with_speed():
    rising = [_person(k, v, 20 * v, sick=False) for k, v in enumerate(np.linspace(0.3, 0.5, 15))]
    assert logit_by_speed(rising).at(0.4) == pytest.approx(8)
