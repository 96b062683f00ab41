"""Test functions of arrays against those of numpy."""

import numpy as np

from gait.arrays import cross


def test_cross_is_that_of_numpy():
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(4, 7, 3)), draw.normal(size=(7, 3))
    np.testing.assert_array_equal(cross(a, b), np.cross(a, b))
    np.testing.assert_array_equal(cross(b[0], a), np.cross(b[0], a))
