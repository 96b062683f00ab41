"""Test the rotations of pose sequences against those of scipy."""

import numpy as np
from scipy.spatial.transform import Rotation

from gait.body.pose_sequence import axis_angle_matrices


def test_axis_angle_matrices_are_those_of_scipy():
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(200, 22, 3)) * 10 ** draw.uniform(-9, 0.5, (200, 22, 1))
    vectors[0] = 0
    expected = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(200, 22, 3, 3)
    np.testing.assert_allclose(axis_angle_matrices(vectors), expected, rtol=0, atol=1e-14)
