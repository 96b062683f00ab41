"""The analysis of a trial and of a subject, on synthetic trials with known steps."""

from functools import cache

import numpy as np
import pytest

from gait.body.model_file import load_body
from gait.errors import GaitError
from gait.kinematics.gait_events import SIDES
from gait.kinematics.trial_analysis import TrialAnalysis, analyse_subject, analyse_trial
from gait.synthetic import SyntheticTrial, make_subject, make_trial
from tests.helpers.paths import OPEN_BODY

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def synthetic_trial(seed: int) -> SyntheticTrial:
    body = load_body(OPEN_BODY)
    return make_trial(body, make_subject(body, 4, adult=True), None, seconds=5.0, seed=seed)


@cache
def analysis(seed: int = 1) -> TrialAnalysis:
    return analyse_trial(synthetic_trial(seed).ground_truth, subject="P04", trial=f"walk{seed}")


def test_analyse_trial_finds_the_steps_of_a_synthetic_walk() -> None:
    found, pattern = analysis(), synthetic_trial(1).pattern
    for side in SIDES:
        assert found.quality.num_strides[side] >= 3
        assert found.parameters.mean("stride_length", side) == pytest.approx(pattern.stride_length_m, rel=0.02)
        assert found.parameters.mean("stride_time", side) == pytest.approx(pattern.stride_time_s, rel=0.03)
        assert found.curves.mean("knee_flexion", side).shape == (101,)
    assert found.quality.walking_fraction == 1
    assert not found.curves.excluded


def test_analyse_subject_pools_the_strides_of_its_trials() -> None:
    trials = [analysis(1), analysis(2)]
    found = analyse_subject(trials)
    for side in SIDES:
        count = sum(trial.quality.num_strides[side] for trial in trials)
        assert len(found.curves.strides[side]) == count == len(found.curves.curves["knee_flexion", side])
        pooled = np.concatenate([trial.curves.curves["knee_flexion", side] for trial in trials])
        used = found.curves.used(side)
        np.testing.assert_allclose(found.curves.mean("knee_flexion", side), pooled[used].mean(axis=0))
        np.testing.assert_allclose(found.curves.sd("knee_flexion", side), pooled[used].std(axis=0, ddof=1))
    assert {(each.name, each.side) for each in found.repeatability} == set(found.curves.curves)
    with pytest.raises(GaitError, match="two trials are called walk1"):
        analyse_subject([analysis(1), analysis(1)])
    with pytest.raises(GaitError, match="no trial"):
        analyse_subject([])
