from dataclasses import replace

import numpy as np
import pytest

from gait.explaining.evidence.finding import Verdict
from gait.explaining.evidence.norm_at_speed import BandsAtSpeed
from gait.explaining.evidence.verdicts import IGNORED_SHARE, Observation, find_verdict

DEVIATES = Observation(0.1, 0.2, 30.0, 60.0, 5.0, 1.0, 0.8, 0.9, False)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.REAL_DEVIATION),
        ({"motion_share": IGNORED_SHARE}, Verdict.IGNORED),
        ({"speed_predicts": True}, Verdict.SPEED),  # it deviates at matched speed, but the decision needs no deviation
        ({"speed_predicts": True, "motion_share": IGNORED_SHARE}, Verdict.IGNORED),
        ({"outside_fraction": 0.0}, Verdict.SPEED),
        ({"outside_fraction": 0.0, "outside_fraction_usual": 0.0}, Verdict.NO_DEVIATION),
        ({"outside_fraction": 0.0, "outside_fraction_usual": 0.0, "speed_predicts": True}, Verdict.SPEED),
        ({"value_deg": np.nan}, Verdict.NOT_OBSERVED),
        ({"norm_deg": np.nan}, Verdict.NO_NORM),
    ],
)
def test_rules(changes, verdict):
    found, reason = find_verdict(replace(DEVIATES, **changes))
    assert found == verdict
    assert reason.endswith(".")


def test_outside_needs_more_than_the_band_and_the_error_for_three_percent():
    bands = BandsAtSpeed("norm", {"knee_flexion": np.zeros(101)}, {"knee_flexion": np.full(101, 2.0)})
    curve, none = np.zeros(101), np.zeros(101)
    curve[10:13], curve[50:52] = 9.0, 20.0
    assert np.flatnonzero(bands.outside("knee_flexion", curve, none, 4.0)).tolist() == [10, 11, 12]
    # The half widths 8 and 1.96 · 3 add as squares to 9.9.
    assert not bands.outside("knee_flexion", curve, np.full(101, 3.0), 4.0).any()
    assert not bands.outside("knee_flexion", curve, none, 4.6).any()


def test_errors_of_the_norm_are_in_its_spread():
    zeros = np.zeros(101)
    bands = BandsAtSpeed("norm", {"a": zeros}, {"a": zeros + 2}, error_deg={"a": zeros + 3})
    curve = zeros + 9
    assert bands.outside("a", curve, zeros + 3, 4.0).all()
    assert not bands.outside("a", curve, zeros + 4, 4.0).any()  # 1.96 · √(4² - 3²) and 8 add as squares to 9.5


def test_band_holds_an_unknown_change_on_its_side_alone():
    zeros = np.zeros(101)
    bands = BandsAtSpeed("norm", {"a": zeros}, {"a": zeros + 2}, {"a": zeros + 5})
    low, high = bands.limits("a", 3.0)
    assert low.tolist() == [-6] * 101
    assert high.tolist() == [11] * 101
