"""Errors of mean curves: those of one trial as its angles have them, of several trials as one; none where unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gait.arrays import Vector
from gait.body.rotation_error import NUM_COMPONENTS
from gait.kinematics.angle_errors import AngleErrors
from gait.kinematics.curve_errors import TrialErrors, mean_curve_errors, stride_errors
from gait.kinematics.strides import ExcludedStride, Stride, StrideCurves

KEY = ("knee_flexion", "left")
STRIDES = (Stride("left", 1, 3.5, 103.5, 100.0), Stride("left", 2, 103.5, 198.25, 100.0))


def angle_errors(noise_deg: float = 0.0, lasting_deg: Vector | float = 1.0) -> AngleErrors:
    """Return errors of one angle of 200 frames: a lasting one, and noise without correlation over time."""
    parts = np.zeros((200, 1 + 2 * NUM_COMPONENTS), dtype=np.float32)
    parts[:, 0] = lasting_deg
    parts[:, 1 + NUM_COMPONENTS] = noise_deg
    return AngleErrors({KEY: parts}, 1, np.array([1.0, 0.0], dtype=np.float32), 1, 200, 100.0)


def curves_of(strides: tuple[Stride, ...] = STRIDES, trial: str = "walk1") -> StrideCurves:
    named = tuple(replace(stride, trial=trial) for stride in strides)
    return StrideCurves({"left": named, "right": ()}, {KEY: np.zeros((len(named), 101))})


def test_noise_averages_out_over_strides_and_lasting_errors_do_not() -> None:
    found = mean_curve_errors([TrialErrors(curves_of(), angle_errors(noise_deg=3.0))])
    assert found[KEY] == pytest.approx(np.full(101, np.sqrt(1 + 9 / 2)), rel=1e-5)


def test_strides_that_do_not_count_have_no_part() -> None:
    errors = angle_errors(lasting_deg=np.where(np.arange(200) < 104, 1.0, 5.0))
    both = mean_curve_errors([TrialErrors(curves_of(), errors)])
    curves = curves_of()
    excluded = ExcludedStride(curves.strides["left"][1], "turn", 40.0, 20.0)
    one = mean_curve_errors([TrialErrors(replace(curves, excluded=(excluded,)), errors)])
    assert both[KEY][10:90] == pytest.approx(np.full(80, 3.0), rel=1e-5)
    assert one[KEY][10:90] == pytest.approx(np.ones(80), rel=1e-5)


def test_errors_of_trials_are_taken_as_one() -> None:
    first = TrialErrors(curves_of(), angle_errors(lasting_deg=1.0))
    second = TrialErrors(curves_of(STRIDES[:1], "walk2"), angle_errors(lasting_deg=4.0))
    assert mean_curve_errors([first, second])[KEY] == pytest.approx(np.full(101, (2 * 1 + 4) / 3), rel=1e-5)


def test_curve_of_a_trial_without_errors_has_none() -> None:
    known, unknown = TrialErrors(curves_of(), angle_errors()), TrialErrors(curves_of(trial="walk2"), None)
    assert mean_curve_errors([known, unknown]) == {}
    standing = TrialErrors(curves_of((), "static"), None)
    assert mean_curve_errors([known, standing]).keys() == {KEY}
    assert mean_curve_errors([standing]) == {}


def test_errors_of_strides_are_those_of_their_frames() -> None:
    errors = angle_errors(lasting_deg=np.linspace(1, 3, 200))
    found = stride_errors(errors, *KEY, STRIDES)
    assert found.shape == (2, 101)
    frames = np.linspace(STRIDES[1].start, STRIDES[1].end, 101)
    assert found[1] == pytest.approx(np.interp(frames, np.arange(200), np.linspace(1, 3, 200)), rel=1e-5)
