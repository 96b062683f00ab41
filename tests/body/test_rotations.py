"""Rotations against slow formulas, scipy and finite differences."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gait.body import rotations as r
from tests.helpers.body_files import slow_feature, slow_product, slow_rotation


def axis_angles(count=200):
    """Return random axis-angle vectors with angles of 0, tiny angles, and angles up to more than π."""
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(count, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = np.concatenate([[0, 1e-12, 1e-7, 1e-3, 9.9e-3, 1.01e-2, np.pi, 4.0], rng.uniform(0, np.pi, count - 8)])
    return axes * angles[:, None]


def test_axis_angle_to_matrix_and_features_equal_slow_formulas():
    vectors = axis_angles()
    matrices, features = (
        r.axis_angle_to_matrix(torch.tensor(vectors)),
        r.quaternion_feature(torch.tensor(vectors)),
    )
    for a, matrix, feature in zip(vectors, matrices, features, strict=True):
        np.testing.assert_allclose(matrix, slow_rotation(a), atol=1e-14)
        np.testing.assert_allclose(feature, slow_feature(a), atol=1e-14)
    single = torch.tensor(vectors, dtype=torch.float32)
    torch.testing.assert_close(r.axis_angle_to_matrix(single).double(), matrices, atol=2e-6, rtol=0)


def test_hamilton_product_equals_slow_product():
    p, q = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = [slow_product(a.tolist(), b.tolist()) for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(r.hamilton_product(p, q), np.array(expected), atol=1e-14)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-7), (torch.float32, 1e-3)])
def test_matrix_to_axis_angle_equals_scipy(dtype, tolerance):
    """Angles up to π, where the sign of the axis is undefined."""
    vectors = axis_angles()
    near = np.array([np.pi - 1e-9, np.pi - 1e-5, np.pi, np.pi + 1e-4])
    turned = [u * a for a in near for u in (*np.eye(3), *-np.eye(3), np.array([0.6, 0, 0.8]), np.ones(3) / 3**0.5)]
    matrices = Rotation.from_rotvec(np.concatenate([vectors, turned])).as_matrix()
    found = r.matrix_to_axis_angle(torch.tensor(matrices, dtype=dtype)).double()
    expected = torch.tensor(Rotation.from_matrix(matrices).as_rotvec())
    torch.testing.assert_close(found.norm(dim=-1), expected.norm(dim=-1), atol=tolerance, rtol=0)
    torch.testing.assert_close(r.axis_angle_to_matrix(found), torch.tensor(matrices), atol=tolerance, rtol=0)
    inner = expected.norm(dim=-1) < 3.1
    torch.testing.assert_close(found[inner], expected[inner], atol=tolerance, rtol=0)


@pytest.mark.parametrize("function", [r.axis_angle_to_matrix, r.quaternion_feature])
def test_rotation_gradients_at_and_near_zero(function):
    for angle in (0, 1e-9, 1e-3, 9.9e-3, 0.0101, 1.0, 3.0):
        vector = torch.tensor([[0.6, 0.0, -0.8]], dtype=torch.float64) * angle
        assert torch.autograd.gradcheck(function, vector.requires_grad_(), eps=1e-6, atol=1e-7)


def test_matrix_to_axis_angle_inverts_axis_angle_to_matrix():
    for angle in (0, 1e-9, 1e-3, 1.0, 3.0):
        vector = torch.tensor([0.6, 0.0, -0.8], dtype=torch.float64) * angle
        round_trip = torch.autograd.functional.jacobian(
            lambda a: r.matrix_to_axis_angle(r.axis_angle_to_matrix(a)), vector
        )
        torch.testing.assert_close(round_trip, torch.eye(3, dtype=torch.float64), atol=1e-6, rtol=0)


def test_rot6d_to_matrix():
    columns = torch.randn(7, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for matrix, pair in zip(r.rot6d_to_matrix(columns).numpy(), columns.numpy(), strict=True):
        x = pair[:, 0] / np.linalg.norm(pair[:, 0])
        y = pair[:, 1] - x * (x @ pair[:, 1])
        y /= np.linalg.norm(y)
        np.testing.assert_allclose(matrix, np.stack([x, y, np.cross(x, y)], axis=1), atol=1e-14)
        assert np.linalg.det(matrix) == pytest.approx(1)


def test_mean_rotation_minimizes_squared_chords():
    torch.manual_seed(3)
    rotations = r.axis_angle_to_matrix(torch.randn(7, 2, 3, dtype=torch.float64))
    mean = r.mean_rotation(rotations)
    torch.testing.assert_close(mean @ mean.mT, torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    assert (torch.det(mean) > 0).all()

    def chords(candidate):
        return ((rotations - candidate) ** 2).sum((0, 2, 3))

    for turn in 0.05 * torch.randn(20, 2, 3, dtype=torch.float64):
        assert (chords(r.axis_angle_to_matrix(turn) @ mean) > chords(mean)).all()


def test_mean_rotation_about_one_axis_is_the_mean_angle():
    turns = torch.tensor([[0.1, 0, 0], [0.4, 0, 0], [0.7, 0, 0]], dtype=torch.float64)
    mean = r.matrix_to_axis_angle(r.mean_rotation(r.axis_angle_to_matrix(turns)))
    torch.testing.assert_close(mean, turns[1])
