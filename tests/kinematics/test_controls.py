"""Controls from the analysis of subjects: one curve per pace, from the strides that count."""

from dataclasses import replace

import numpy as np
import pytest

from gait.body.body import Body
from gait.kinematics.controls import control_curves
from gait.kinematics.trial_analysis import analyse_subject, analyse_trial
from gait.synthetic import make_subject, make_trial

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_subject_gives_one_curve_per_pace(open_body: Body) -> None:
    subject = make_subject(open_body, 3, adult=True)
    trials = []
    for name, pace in (("a", 1.0), ("b", 0.6), ("c", 1.0)):
        trial = make_trial(open_body, subject.at_own_pace(pace), seconds=4.5, seed=ord(name))
        trials.append(analyse_trial(trial.ground_truth, subject="healthy/P1", trial=name))
    analysis = analyse_subject(trials)
    slow, own = control_curves([analysis])
    assert slow.person == own.person == "healthy/P1"
    assert slow.dimensionless_speed == pytest.approx(0.6 * own.dimensionless_speed, rel=0.05)
    left = [trial.curves.used_curves("knee_flexion", "left") for trial in trials]
    np.testing.assert_allclose(slow.curves["knee_flexion", "left"], left[1].mean(axis=0))
    np.testing.assert_allclose(own.curves["knee_flexion", "left"], np.concatenate([left[0], left[2]]).mean(axis=0))
    assert control_curves([analyse_subject([replace(trials[0], trial="d")])])[0].person == "healthy/P1"
