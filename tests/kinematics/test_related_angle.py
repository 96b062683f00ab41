"""Angles and the joints that they describe."""

from gait.body.skeleton import BODY_JOINTS, Joint
from gait.kinematics.joint_angles import ANGLES
from gait.kinematics.related_angle import moved_joint, related_angle

NAMES = {angle.name for angle in ANGLES}


def test_each_joint_has_an_angle_of_its_side() -> None:
    for joint in BODY_JOINTS:
        name, side = related_angle(joint)
        assert name in NAMES
        assert side == ("right" if joint.name.startswith("RIGHT") else "left")
    assert related_angle(Joint.RIGHT_KNEE) == ("knee_flexion", "right")
    assert related_angle(Joint.HEAD)[0] == "thorax_tilt"


def test_each_angle_moves_a_joint() -> None:
    moved = {(angle.name, side): moved_joint(angle.name, side) for angle in ANGLES for side in ("left", "right")}
    assert moved["hip_rotation", "left"] == Joint.LEFT_HIP
    assert moved["foot_progression", "right"] == Joint.RIGHT_FOOT
    assert moved["pelvis_tilt", "right"] == moved["pelvis_tilt", "left"] == Joint.PELVIS
