"""The benchmark of verdicts: its rates, its true changes, and a run in miniature."""

from dataclasses import replace

import numpy as np
import pytest

from gait.body.skeleton import Joint
from gait.explaining.evidence.finding import Verdict
from gait.synthetic import make_pathology
from tests.helpers.evidence_cases import finding


def test_rate_has_wilsons_interval(module):
    found = module("evidence").rate([True] * 9 + [False])
    assert (found["value"], found["count"]) == (0.9, 10)
    assert (found["low"], found["high"]) == pytest.approx((0.596, 0.982), abs=1e-3)
    assert np.isnan(module("evidence").rate([])["value"])


def test_patients_are_judged_by_what_truly_changes(module):
    evidence = module("evidence")
    knee, still = np.zeros(101), np.zeros(101)
    knee[60:80] = 30
    curves = {("knee_flexion", "left"): knee, ("knee_flexion", "right"): still, ("hip_flexion", "right"): still}
    change = evidence.TrueChange(make_pathology("stiff_knee", "left"), curves)
    right, wrong = finding(), finding(joint=Joint.RIGHT_KNEE, side="right", motion="right knee flexion")
    stance = replace(right, percents=(12, 30), phase="mid-stance")
    missed = replace(right, verdict=Verdict.NO_DEVIATION)
    found = evidence.summarize_patients([(change, evidence.Decision(0.9, (right, wrong, stance, missed)))])
    assert (found["real_on_true"]["value"], found["real_on_true"]["count"]) == (0.5, 2)
    assert found["real_on_true_first"]["value"] == 1
    assert (found["side"]["value"], found["side"]["count"]) == (pytest.approx(2 / 3), 3)
    assert found["patients_with_real_on_true"]["value"] == 1
    assert found["changed_is_called_so"]["value"] == pytest.approx(1 / 3)
    assert found["called_sick"]["value"] == 1


@pytest.mark.slow
def test_evidence_quick(run):
    found, *_ = run("evidence", "--quick")
    mlp = found["networks"]["mlp"]
    assert mlp["patients"] == 1
    assert mlp["shuffled"]["count"] == mlp["randomized"]["count"] == mlp["speed"]["decisions"]["count"] == 1
    assert found["seconds"]["evidence_mlp"] > 0
