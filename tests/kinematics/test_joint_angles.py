"""Angles of joints against a stick walker whose limbs were bent by known ones."""

import numpy as np
import pytest

from gait.body.skeleton import Joint
from gait.kinematics.joint_angles import joint_angles
from gait.motion.common_frame import MIRROR_ORDER
from tests.helpers.motion_cases import about_y, stick_walker

RATE_HZ = 100.0
PHASE = 2 * np.pi * 0.9 * np.arange(150) / RATE_HZ + 0.3


def bent(side: str) -> np.ndarray:
    """Degrees of the stick walker's knee."""
    return np.degrees(0.3 + 0.25 * np.cos(PHASE + np.pi * (side == "right")))


def swung(side: str) -> np.ndarray:
    """Degrees by which both segments of a limb of the stick walker swing ahead."""
    return np.degrees(0.35 * np.sin(PHASE)) * (-1 if side == "left" else 1)


@pytest.mark.parametrize("side", ["left", "right"])
def test_limbs_of_a_stick_walker_bend_as_they_were_bent(side: str) -> None:
    walker = stick_walker(150, lean_deg=0.0)
    angles = joint_angles(walker, RATE_HZ)
    np.testing.assert_allclose(angles.knee[side], bent(side), atol=1e-3)
    np.testing.assert_allclose(angles.hip[side], swung(side) + bent(side) / 2, atol=1e-3)
    np.testing.assert_allclose(angles.elbow[side], np.degrees(0.5), atol=1e-3)
    shank = np.degrees(np.arctan2(0.12, 0.05)) - (swung(side) - bent(side) / 2)  # from the foot, whose direction stays
    sideways = np.hypot(0.12, 0.05) / np.linalg.norm([0.12, 0.05, 0.02])
    np.testing.assert_allclose(np.cos(np.radians(angles.ankle[side])), -sideways * np.cos(np.radians(shank)), atol=1e-6)
    at_shoulder, at_wrist = (walker[:, Joint[f"{side.upper()}_{name}"]] for name in ("SHOULDER", "WRIST"))
    arm = at_wrist - at_shoulder
    np.testing.assert_allclose(angles.shoulder[side], np.degrees(np.arctan2(arm[:, 0], -arm[:, 1])), atol=1e-3)


def test_a_trunk_that_leans_ahead_and_to_the_left() -> None:
    walker = stick_walker(150, lean_deg=0.0)
    hips = walker[:, [Joint.LEFT_HIP, Joint.RIGHT_HIP]].mean(axis=1)
    walker[:, Joint.NECK] = np.add(hips, [0.1, 0.5, -0.05])  # the left side of who walks along +x is at -z
    angles = joint_angles(walker, RATE_HZ)
    np.testing.assert_allclose(angles.trunk_lean, np.degrees(np.arctan2(0.1, 0.5)), atol=1e-3)
    np.testing.assert_allclose(angles.trunk_sway, np.degrees(np.arctan2(0.05, 0.5)), atol=1e-3)


def test_heading_and_sides_change_nothing_but_their_names() -> None:
    walker = stick_walker(150)
    angles, turned = joint_angles(walker, RATE_HZ), joint_angles(walker @ about_y(2.2).T, RATE_HZ)
    other = joint_angles((walker * [1, 1, -1])[:, MIRROR_ORDER], RATE_HZ)
    for name in ("hip", "knee", "ankle", "shoulder", "elbow"):
        for side, mirror in (("left", "right"), ("right", "left")):
            np.testing.assert_allclose(getattr(turned, name)[side], getattr(angles, name)[side], atol=1e-6)
            np.testing.assert_allclose(getattr(other, name)[mirror], getattr(angles, name)[side], atol=1e-6)
    np.testing.assert_allclose(other.trunk_sway, -angles.trunk_sway, atol=1e-6)
