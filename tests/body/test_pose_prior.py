"""The default pose prior has the signs of a human body."""

import numpy as np
import pytest
import torch

from gait.body.model_file import load_body
from gait.body.pose_prior import default_pose_prior
from gait.body.skeleton import MIRROR_PAIRS, NUM_BODY_JOINTS, Joint
from tests.helpers.paths import OPEN_BODY

PRIOR = default_pose_prior()
X, Y, Z = 0, 1, 2


def test_default_pose_prior_shapes_and_order():
    for array in (PRIOR.mean, PRIOR.std, PRIOR.lower, PRIOR.upper):
        assert array.shape == (NUM_BODY_JOINTS, 3)
        assert array.dtype == np.float64
    assert (PRIOR.std > 0).all()
    body = slice(1, None)
    assert (PRIOR.lower[body] < PRIOR.mean[body]).all()
    assert (PRIOR.mean[body] < PRIOR.upper[body]).all()
    assert np.isinf(PRIOR.std[0]).all()
    assert np.isinf(PRIOR.lower[0]).all()
    assert np.isfinite(PRIOR.std[body]).all()
    assert (PRIOR.mean[0] == 0).all()
    within = PRIOR.std[body] <= (PRIOR.upper - PRIOR.lower)[body] / 2
    assert within.all()


def test_default_pose_prior_is_symmetric():
    flip = np.array([1, -1, -1])
    for left, right in MIRROR_PAIRS:
        np.testing.assert_array_equal(PRIOR.mean[right], PRIOR.mean[left] * flip)
        np.testing.assert_array_equal(PRIOR.std[right], PRIOR.std[left])
        low, high = PRIOR.lower[left] * flip, PRIOR.upper[left] * flip
        np.testing.assert_array_equal(PRIOR.lower[right], np.minimum(low, high))
        np.testing.assert_array_equal(PRIOR.upper[right], np.maximum(low, high))


# Range of a joint over a stride at natural cadence, degrees, with the signs of the module (Winter 1991).
WALKING = [
    ("LEFT_HIP", X, -30, 10),
    ("LEFT_KNEE", X, 0, 62),
    ("LEFT_ANKLE", X, -10, 20),
    ("LEFT_HIP", Z, -6, 7),
    ("LEFT_ELBOW", Y, -45, -8),
]


@pytest.mark.parametrize(("joint", "axis", "least", "most"), WALKING)
def test_default_pose_prior_contains_walking(joint, axis, least, most):
    row = Joint[joint]
    for angle in np.deg2rad([least, most]):
        assert abs(angle - PRIOR.mean[row, axis]) < 2.05 * PRIOR.std[row, axis]
        assert PRIOR.lower[row, axis] < angle < PRIOR.upper[row, axis]


@pytest.fixture(scope="module")
def body():
    if not OPEN_BODY.exists():
        pytest.skip("the open body is not in this checkout")
    return load_body(OPEN_BODY, num_betas=1, dtype=torch.float64)


def joints_with(body, **turned):
    """Return posed joints with some axis-angle vectors set, radians."""
    pose = torch.zeros(body.num_joints, 3, dtype=torch.float64)
    for name, row in turned.items():
        pose[Joint[name]] = torch.as_tensor(row)
    return body.posed_joints(pose.reshape(1, -1), torch.zeros(1, dtype=torch.float64))[0].numpy()


def test_default_pose_prior_mean_has_hanging_arms_and_flexed_elbows(body):
    pose = torch.zeros(1, body.num_joints, 3, dtype=torch.float64)
    pose[0, :NUM_BODY_JOINTS] = torch.tensor(PRIOR.mean)
    joints = body.posed_joints(pose.flatten(1), torch.zeros(1, dtype=torch.float64))[0].numpy()
    for side, sign in (("LEFT", 1), ("RIGHT", -1)):
        shoulder, elbow, wrist, hip = (joints[Joint[f"{side}_{n}"]] for n in ("SHOULDER", "ELBOW", "WRIST", "HIP"))
        arm = elbow - shoulder
        tilt = np.degrees(np.arctan2(sign * arm[0], -arm[1]))
        assert 5 < tilt < 25
        assert sign * (wrist[0] - hip[0]) > 0.05
        assert wrist[2] > elbow[2] + 0.03
        assert wrist[1] < elbow[1]


# Direction in which a joint at its wider limit moves a joint below it.
FAR_LIMITS = [
    ("LEFT_HIP", X, "lower", "LEFT_KNEE", Z, +1),
    ("LEFT_KNEE", X, "upper", "LEFT_ANKLE", Z, -1),
    ("LEFT_ANKLE", X, "upper", "LEFT_FOOT", Y, -1),
    ("LEFT_FOOT", X, "lower", "LEFT_TOE2_2", Y, +1),
    ("LEFT_HIP", Z, "upper", "LEFT_KNEE", X, +1),
    ("SPINE1", X, "upper", "HEAD", Z, +1),
    ("LEFT_ELBOW", Y, "lower", "LEFT_WRIST", Z, +1),
    ("LEFT_COLLAR", Z, "upper", "LEFT_SHOULDER", Y, +1),
    ("LEFT_SHOULDER", Y, "lower", "LEFT_ELBOW", Z, +1),
]


@pytest.mark.parametrize(("joint", "axis", "side", "moved", "direction", "sign"), FAR_LIMITS)
def test_default_pose_prior_wider_limit_has_the_anatomical_sign(body, joint, axis, side, moved, direction, sign):
    row = Joint[joint]
    far, near = (
        getattr(PRIOR, side)[row, axis],
        getattr(PRIOR, "lower" if side == "upper" else "upper")[row, axis],
    )
    assert abs(far) > 1.2 * abs(near)
    rest = joints_with(body)[Joint[moved]]
    turn = np.zeros(3)
    turn[axis] = np.sign(far) * min(abs(far), np.deg2rad(60))
    after = joints_with(body, **{joint: turn})[Joint[moved]]
    assert sign * (after - rest)[direction] > 0.005
