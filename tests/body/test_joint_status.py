"""Test the status of joints."""

import numpy as np

from gait.body.joint_status import status_from_sigma


def test_status_from_sigma():
    status = status_from_sigma(np.array([[0.004, 0.025, 0.026, 0.05, 0.051]]))
    assert status.dtype == np.uint8
    assert status.tolist() == [[2, 2, 1, 1, 0]]
