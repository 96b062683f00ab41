"""Segment angles of a stick figure with known angles."""

import numpy as np
import pytest

from gait.body.joint_status import JointStatus
from gait.body.skeleton import MIRROR_ORDER, Joint
from gait.kinematics.segment_angles import compute_segment_angles
from tests.helpers.motion_cases import rot_y, stick_figure

RATE_HZ = 100.0
PHASE = 2 * np.pi * 0.9 * np.arange(150) / RATE_HZ + 0.3


def knee_flexion_deg(side: str) -> np.ndarray:
    """Return the knee flexion of the stick figure."""
    return np.degrees(0.3 + 0.25 * np.cos(PHASE + np.pi * (side == "right")))


def leg_swing_deg(side: str) -> np.ndarray:
    """Return the angle by which thigh and shank of the stick figure are both swung forward."""
    return np.degrees(0.35 * np.sin(PHASE)) * (-1 if side == "left" else 1)


@pytest.mark.parametrize("side", ["left", "right"])
def test_compute_segment_angles_of_limbs(side: str) -> None:
    joints = stick_figure(150, lean_deg=0.0)
    angles = compute_segment_angles(joints, RATE_HZ)
    np.testing.assert_allclose(angles.knee[side], knee_flexion_deg(side), atol=1e-3)
    np.testing.assert_allclose(angles.hip[side], leg_swing_deg(side) + knee_flexion_deg(side) / 2, atol=1e-3)
    np.testing.assert_allclose(angles.elbow[side], np.degrees(0.5), atol=1e-3)
    shank = np.degrees(np.arctan2(0.12, 0.05)) - (
        leg_swing_deg(side) - knee_flexion_deg(side) / 2
    )  # relative to the foot, whose direction is constant
    sideways = np.hypot(0.12, 0.05) / np.linalg.norm([0.12, 0.05, 0.02])
    np.testing.assert_allclose(np.cos(np.radians(angles.ankle[side])), -sideways * np.cos(np.radians(shank)), atol=1e-6)
    at_shoulder, at_wrist = (joints[:, Joint[f"{side.upper()}_{name}"]] for name in ("SHOULDER", "WRIST"))
    arm = at_wrist - at_shoulder
    np.testing.assert_allclose(angles.shoulder[side], np.degrees(np.arctan2(arm[:, 0], -arm[:, 1])), atol=1e-3)


def test_compute_segment_angles_of_trunk() -> None:
    joints = stick_figure(150, lean_deg=0.0)
    hips = joints[:, [Joint.LEFT_HIP, Joint.RIGHT_HIP]].mean(axis=1)
    joints[:, Joint.NECK] = np.add(hips, [0.1, 0.5, -0.05])  # walking along +x, the left side is at -z
    angles = compute_segment_angles(joints, RATE_HZ)
    np.testing.assert_allclose(angles.trunk_lean, np.degrees(np.arctan2(0.1, 0.5)), atol=1e-3)
    np.testing.assert_allclose(angles.trunk_sway, np.degrees(np.arctan2(0.05, 0.5)), atol=1e-3)


def test_compute_segment_angles_is_invariant_to_heading_and_mirroring() -> None:
    joints = stick_figure(150)
    angles, rotated = compute_segment_angles(joints, RATE_HZ), compute_segment_angles(joints @ rot_y(2.2).T, RATE_HZ)
    other = compute_segment_angles((joints * [1, 1, -1])[:, MIRROR_ORDER], RATE_HZ)
    for name in ("hip", "knee", "ankle", "shoulder", "elbow"):
        for side, mirror in (("left", "right"), ("right", "left")):
            np.testing.assert_allclose(getattr(rotated, name)[side], getattr(angles, name)[side], atol=1e-6)
            np.testing.assert_allclose(getattr(other, name)[mirror], getattr(angles, name)[side], atol=1e-6)
    np.testing.assert_allclose(other.trunk_sway, -angles.trunk_sway, atol=1e-6)


def test_compute_segment_angles_without_joints_that_are_not_observed() -> None:
    joints = np.random.default_rng(0).normal(size=(6, 22, 3))
    status = np.full((6, 22), JointStatus.INFERRED, np.uint8)
    status[2:4, Joint.LEFT_WRIST] = status[:3, Joint.NECK] = JointStatus.NOT_OBSERVED
    angles, plain = compute_segment_angles(joints, RATE_HZ, status), compute_segment_angles(joints, RATE_HZ)
    for name in ("hip", "knee", "ankle", "shoulder", "elbow"):
        for side in ("left", "right"):
            expected = getattr(plain, name)[side].copy()
            if side == "left" and name in ("shoulder", "elbow"):
                expected[2:4] = np.nan
            np.testing.assert_array_equal(getattr(angles, name)[side], expected)
    for name in ("trunk_lean", "trunk_sway"):
        np.testing.assert_array_equal(np.isnan(getattr(angles, name)), np.arange(6) < 3)
