"""Cardan angles against scipy's, and their rates against finite differences."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gait.kinematics.cardan_angles import angle_rates, cardan_angles, continuous_angles, mirror_to_right

ORDERS = ("ZXY", "YXZ", "ZYX", "XYZ", "YXY")


@pytest.mark.parametrize("order", ORDERS)
def test_cardan_angles_give_the_rotation_back(order: str) -> None:
    rotations = Rotation.random(100, random_state=0)
    angles = cardan_angles(rotations.as_matrix(), order)
    np.testing.assert_allclose(Rotation.from_euler(order, angles).as_matrix(), rotations.as_matrix(), atol=1e-9)
    if order != "YXY":
        np.testing.assert_allclose(angles, rotations.as_euler(order), atol=1e-9)


@pytest.mark.parametrize("order", ORDERS)
def test_angle_rates_against_finite_differences(order: str) -> None:
    small = 1e-6
    rotations = Rotation.random(50, random_state=1).as_matrix()
    angles = cardan_angles(rotations, order)
    angles[:, 1] = np.where(np.abs(np.sin(2 * angles[:, 1])) < 0.2, -0.7, angles[:, 1])  # away from the singularities
    rotations, rates = Rotation.from_euler(order, angles).as_matrix(), angle_rates(angles, order)
    for axis in range(3):
        turned = Rotation.from_rotvec(small * np.eye(3)[axis]).as_matrix() @ rotations
        change = (cardan_angles(turned, order) - angles + np.pi) % (2 * np.pi) - np.pi
        np.testing.assert_allclose(change / small, rates[..., axis], atol=1e-4)


def test_angle_rates_are_nan_where_two_axes_coincide() -> None:
    assert np.isnan(angle_rates(np.array([[0.3, np.pi / 2, 0.1]]), "ZXY")).all()
    assert np.isfinite(angle_rates(np.array([[0.3, 0.0, 0.1]]), "ZXY")).all()


def test_continuous_angles_follow_turns_and_the_other_branch() -> None:
    time = np.linspace(0, 1, 120)
    truth = np.stack([4 * np.pi * time, 2.5 * np.sin(2 * np.pi * time), 0.4 + time], axis=-1)
    wrapped = cardan_angles(Rotation.from_euler("ZXY", truth).as_matrix(), "ZXY")
    assert np.abs(np.diff(wrapped, axis=0)).max() > 3
    wrapped[50:53] = np.nan
    found = continuous_angles(wrapped, "ZXY")
    known = np.isfinite(wrapped).all(axis=1)
    assert known.sum() == 117
    np.testing.assert_allclose(found[known], truth[known], atol=1e-6)
    assert np.isnan(found[~known]).all()


def test_mirror_to_right_keeps_flexion_and_reverses_the_others() -> None:
    angles = np.array([[0.4, 0.2, -0.3]])
    mirrored = mirror_to_right(Rotation.from_euler("ZXY", angles).as_matrix())
    np.testing.assert_allclose(cardan_angles(mirrored, "ZXY"), angles * [1, -1, -1], atol=1e-12)
