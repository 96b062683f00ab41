"""The benchmark of counterfactuals: what it compares, and a run in miniature."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gait.explaining.evidence.finding import Counterfactual
from gait.motion.inputs import INPUTS
from gait.synthetic import make_pathology
from tests.helpers.evidence_cases import counterfactual


def test_first_change_is_compared_with_what_is_undone(module, open_body):
    benchmark, evidence = module("counterfactuals"), module("evidence")
    knee = np.zeros(101)
    knee[60:80] = -27.8  # with the pathology minus without it
    truth = evidence.TrueChange(make_pathology("stiff_knee", "left"), {("knee_flexion", "left"): knee})
    found = counterfactual(open_body)  # left knee flexion, +13.9° at 71 %
    found = replace(found, median=found.boundary)
    trained = SimpleNamespace(input=INPUTS["rotations"], checkpoint=None)
    result = benchmark.compare(trained, found, truth, {"boundary": True}, 1.5)
    assert result.named
    assert result.truly
    assert (result.side, result.direction) == (1, 1)
    assert result.change_deg / result.true_deg == pytest.approx(0.5)
    against = evidence.TrueChange(make_pathology("stiff_knee", "right"), {("knee_flexion", "left"): -knee})
    other = benchmark.compare(trained, found, against, {"boundary": False}, 0.5)
    assert not other.named
    assert other.side == 0
    assert np.isnan(other.direction)
    none = benchmark.compare(trained, Counterfactual(0.9, None, None, "Why."), truth, {}, 1.0)
    figures = benchmark.summarize([result, other, none])
    assert figures["found"]["value"] == pytest.approx(2 / 3)
    assert figures["named_first"]["value"] == pytest.approx(1 / 3)
    assert (figures["direction"]["value"], figures["direction"]["count"]) == (1, 1)
    assert figures["amount_error"]["value"] == pytest.approx(0.5)
    assert figures["confirmed"]["value"] == 0.5
    assert figures["seconds"] == {"median": 1.0, "longest": 1.5}


@pytest.mark.slow
def test_counterfactuals_quick(run):
    found, *_ = run("counterfactuals", "--quick")
    mlp = found["networks"]["mlp"]
    assert mlp["called_sick"] + mlp["called_healthy"] == 1
