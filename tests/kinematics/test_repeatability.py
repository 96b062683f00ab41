"""Symmetry of sides, and repeatability over trials, against slow definitions."""

import math

import numpy as np
import pytest

from gait.kinematics.repeatability import repeatability, variance_components
from gait.kinematics.spatiotemporal import PARAMETER_NAMES, GaitParameters
from gait.kinematics.strides import PERCENT, Stride, StrideCurves, pool_curves
from gait.kinematics.symmetry import curve_symmetry, parameter_symmetry


def curves_of(left, right=(), trial="walk1") -> StrideCurves:
    values = {"left": np.reshape(left, (-1, 101)), "right": np.reshape(right, (-1, 101))}
    strides = {
        side: tuple(Stride(side, k + 1, 100.0 * k, 100.0 * k + 100, 100.0, trial=trial) for k in range(len(rows)))
        for side, rows in values.items()
    }
    return StrideCurves(strides, {("knee_flexion", side): rows for side, rows in values.items()})


def test_variance_components_recover_known_ones() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.normal(0, 3.0, (1, 2000)) + rng.normal(0, 2.0, (size, 2000)) for size in (3, 5, 4, 6, 2, 5)]
    within, between = variance_components(groups)
    assert np.mean(within) == pytest.approx(4.0, rel=0.05)
    assert np.mean(between) == pytest.approx(9.0, rel=0.1)
    pooled = sum(((group - group.mean(axis=0)) ** 2).sum(axis=0) for group in groups) / (25 - 6)
    np.testing.assert_allclose(within, pooled)


def test_variance_components_of_equal_groups_are_those_of_anova() -> None:
    groups = [np.array([[1.0], [3.0]]), np.array([[5.0], [9.0]])]
    within, between = variance_components(groups)
    assert within[0] == pytest.approx((2 + 8) / 2)  # sums of squares / degrees of freedom
    assert between[0] == pytest.approx((2 * ((2 - 4.5) ** 2 + (7 - 4.5) ** 2) - 5) / 2)
    assert variance_components([groups[0], groups[0]])[1][0] == 0
    assert np.isnan(variance_components(groups[:1])[1]).all()
    assert np.isfinite(variance_components(groups[:1])[0]).all()
    assert np.isnan(variance_components([group[:1] for group in groups])).all()


def test_repeatability_counts_strides_that_are_observed() -> None:
    wave = 20 * np.sin(PERCENT / 16)
    gap = np.where(PERCENT == 5, np.nan, wave)
    first, second = curves_of([wave, wave + 2, gap]), curves_of([wave + 4], trial="walk2/segment1")
    third = curves_of([wave + 6], trial="walk2/segment2")
    (left,) = repeatability(pool_curves([first, second, third]))
    assert (left.side, left.num_strides, left.num_trials) == ("left", 4, 2)
    assert left.within_trial_rms_deg == pytest.approx(math.sqrt(2))
    assert left.between_trials_rms_deg == pytest.approx(math.sqrt((16 - 2) / 2))
    assert repeatability(curves_of([])) == ()
    assert math.isnan(repeatability(first)[0].between_trials_rms_deg)


def test_curve_symmetry() -> None:
    wave = 20 * np.sin(PERCENT / 16)
    (found,) = curve_symmetry(curves_of([wave, wave], [1.5 * wave - 3]))
    difference = 3 - 0.5 * wave
    assert found.rms_deg == pytest.approx(np.sqrt(np.mean(difference**2)))
    assert found.offset_deg == pytest.approx(difference.mean())
    assert found.range_difference_deg == pytest.approx(-0.5 * np.ptp(wave))
    assert found.max_difference_deg == pytest.approx(difference[np.abs(difference).argmax()])
    assert PERCENT[np.abs(difference).argmax()] == found.max_difference_percent
    assert curve_symmetry(curves_of([wave])) == ()


def test_parameter_symmetry_is_that_of_robinson() -> None:
    values = {(name, side): np.array([np.nan]) for name in PARAMETER_NAMES for side in ("left", "right")}
    values |= {("step_length", "left"): np.array([0.6, 0.6]), ("step_length", "right"): np.array([0.4])}
    used = {"left": np.array([True, True]), "right": np.array([True])}
    one = {key: np.resize(each, used[key[1]].size) for key, each in values.items()}
    (found,) = parameter_symmetry(GaitParameters(0.9, one, used))
    assert (found.name, found.index_percent) == ("step_length", pytest.approx(40.0))
