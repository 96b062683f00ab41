"""Test the filters against those of scipy."""

import numpy as np
import pytest
from scipy import ndimage

from gait import filters


@pytest.mark.parametrize("length", [1, 2, 3, 8, 40])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 12])
def test_moving_average_and_median_are_those_of_scipy(length, size):
    values = np.random.default_rng(length).normal(size=(length, 3))
    expected = ndimage.uniform_filter1d(values, size, axis=0, mode="nearest")
    np.testing.assert_allclose(filters.moving_average(values, size), expected, rtol=0, atol=1e-14)
    expected = ndimage.median_filter(values[:, 0], size=size, mode="nearest")
    np.testing.assert_array_equal(filters.moving_median(values[:, 0], size), expected)


@pytest.mark.parametrize("length", [1, 2, 8, 40])
@pytest.mark.parametrize("sigma", [0.6, 1.0, 4.3])
def test_gaussian_smooth_is_that_of_scipy(length, sigma):
    values = np.random.default_rng(length).normal(size=(length, 2, 3))
    expected = ndimage.gaussian_filter1d(values, sigma, axis=0, mode="nearest")
    np.testing.assert_allclose(filters.gaussian_smooth(values, sigma), expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(filters.gaussian_smooth(values[:, 0, 0], sigma), expected[:, 0, 0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("length", range(1, 12))
def test_runs_of_masks_are_those_of_scipy(length):
    draw = np.random.default_rng(length)
    mask = np.repeat(draw.random((60, 5)) < 0.5, draw.integers(1, 12, 60), axis=0)
    shape = np.ones((length, 1), dtype=bool)
    np.testing.assert_array_equal(filters.close_gaps(mask, length), ndimage.binary_closing(mask, shape))
    np.testing.assert_array_equal(filters.remove_short_runs(mask, length), ndimage.binary_opening(mask, shape))
