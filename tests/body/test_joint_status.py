"""Test the status of joints."""

import numpy as np

from gait.body.joint_status import JointStatus, limit_to_inferred, status_from_sigma


def test_status_from_sigma_and_limit_to_inferred():
    status = status_from_sigma(np.array([[0.004, 0.03, 0.031, 0.05, 0.051]]))
    assert status.dtype == np.uint8
    assert status.tolist() == [[2, 2, 1, 1, 0]]
    limited = limit_to_inferred(status, np.array([[True, False, True, False, True]]))
    assert limited.dtype == np.uint8
    assert [JointStatus(each).name for each in limited[0]] == [
        "INFERRED",
        "OBSERVED",
        "INFERRED",
        "INFERRED",
        "NOT_OBSERVED",
    ]
