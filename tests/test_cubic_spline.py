"""Test the cubic splines against those of scipy."""

import numpy as np
import pytest
from scipy import interpolate

from gait.cubic_spline import CubicSpline


@pytest.mark.parametrize("ends", ["not-a-knot", "natural"])
@pytest.mark.parametrize("number", [2, 3, 4, 5, 40])
@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_spline_is_that_of_scipy(ends, number, shape):
    draw = np.random.default_rng(number)
    positions = np.cumsum(draw.uniform(0.5, 4, number))
    values = draw.normal(size=(number, *shape))
    at = np.concatenate([np.linspace(positions[0] - 0.3, positions[-1] + 0.3, 101), positions])
    own, expected = CubicSpline(positions, values, ends), interpolate.CubicSpline(positions, values, bc_type=ends)
    for derivative in (0, 1):
        np.testing.assert_allclose(own(at, derivative), expected(at, derivative), rtol=1e-9, atol=1e-9)


def test_spline_of_frames_is_exact_at_them():
    values = np.random.default_rng(1).normal(size=(30, 4))
    np.testing.assert_array_equal(CubicSpline(np.arange(30), values)(np.arange(30)), values)
