"""The 75 joints of SUPR: names, left-right pairs, and their indices in other body models."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum

from gait.text import join_words


class Joint(IntEnum):
    """The joints of a full SUPR body; "collar" is the clavicle, "foot" the base of the toes."""

    PELVIS = 0
    LEFT_HIP = 1
    RIGHT_HIP = 2
    SPINE1 = 3
    LEFT_KNEE = 4
    RIGHT_KNEE = 5
    SPINE2 = 6
    LEFT_ANKLE = 7
    RIGHT_ANKLE = 8
    SPINE3 = 9
    LEFT_FOOT = 10
    RIGHT_FOOT = 11
    NECK = 12
    LEFT_COLLAR = 13
    RIGHT_COLLAR = 14
    HEAD = 15
    LEFT_SHOULDER = 16
    RIGHT_SHOULDER = 17
    LEFT_ELBOW = 18
    RIGHT_ELBOW = 19
    LEFT_WRIST = 20
    RIGHT_WRIST = 21
    JAW = 22
    LEFT_EYE = 23
    RIGHT_EYE = 24
    LEFT_INDEX1 = 25
    LEFT_INDEX2 = 26
    LEFT_INDEX3 = 27
    LEFT_MIDDLE1 = 28
    LEFT_MIDDLE2 = 29
    LEFT_MIDDLE3 = 30
    LEFT_PINKY1 = 31
    LEFT_PINKY2 = 32
    LEFT_PINKY3 = 33
    LEFT_RING1 = 34
    LEFT_RING2 = 35
    LEFT_RING3 = 36
    LEFT_THUMB1 = 37
    LEFT_THUMB2 = 38
    LEFT_THUMB3 = 39
    RIGHT_INDEX1 = 40
    RIGHT_INDEX2 = 41
    RIGHT_INDEX3 = 42
    RIGHT_MIDDLE1 = 43
    RIGHT_MIDDLE2 = 44
    RIGHT_MIDDLE3 = 45
    RIGHT_PINKY1 = 46
    RIGHT_PINKY2 = 47
    RIGHT_PINKY3 = 48
    RIGHT_RING1 = 49
    RIGHT_RING2 = 50
    RIGHT_RING3 = 51
    RIGHT_THUMB1 = 52
    RIGHT_THUMB2 = 53
    RIGHT_THUMB3 = 54
    LEFT_TOE1_1 = 55
    LEFT_TOE1_2 = 56
    LEFT_TOE2_1 = 57
    LEFT_TOE2_2 = 58
    LEFT_TOE3_1 = 59
    LEFT_TOE3_2 = 60
    LEFT_TOE4_1 = 61
    LEFT_TOE4_2 = 62
    LEFT_TOE5_1 = 63
    LEFT_TOE5_2 = 64
    RIGHT_TOE1_1 = 65
    RIGHT_TOE1_2 = 66
    RIGHT_TOE2_1 = 67
    RIGHT_TOE2_2 = 68
    RIGHT_TOE3_1 = 69
    RIGHT_TOE3_2 = 70
    RIGHT_TOE4_1 = 71
    RIGHT_TOE4_2 = 72
    RIGHT_TOE5_1 = 73
    RIGHT_TOE5_2 = 74


NUM_JOINTS = len(Joint)
NUM_BODY_JOINTS = 22
"""The first 22 joints, without face, fingers and toes. They are the input of the networks."""

BODY_JOINTS = tuple(Joint(i) for i in range(NUM_BODY_JOINTS))
BODY_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
"""Parent of each body joint in all models of the SUPR and SMPL families."""

_SMPL_JOINTS, _SMPLH_JOINTS = 24, 52


def joint_indices(num_joints: int) -> dict[Joint, int]:
    """Return the index of each joint in a body model with ``num_joints`` joints.

    The 75 joints of SUPR and the 55 of SMPL-X are in the order of ``Joint``. The 52 of SMPL-H lack the three joints of
    the face, so the fingers begin at 22. The last two of SMPL's 24 are hand joints that SUPR does not have.
    """
    if num_joints == _SMPLH_JOINTS:
        joints = (*BODY_JOINTS, *(Joint(i) for i in range(Joint.LEFT_INDEX1, Joint.RIGHT_THUMB3 + 1)))
    elif num_joints == _SMPL_JOINTS:
        joints = BODY_JOINTS
    else:
        joints = tuple(Joint)[:num_joints]
    return {joint: row for row, joint in enumerate(joints)}


def contralateral_joint(joint: Joint) -> Joint:
    """Return the corresponding joint of the other side; a midline joint itself."""
    name = joint.name
    if name.startswith("LEFT_"):
        return Joint["RIGHT_" + name.removeprefix("LEFT_")]
    if name.startswith("RIGHT_"):
        return Joint["LEFT_" + name.removeprefix("RIGHT_")]
    return joint


MIRROR_ORDER = tuple(int(contralateral_joint(joint)) for joint in BODY_JOINTS)
"""Index of each joint's contralateral joint: ``joints[MIRROR_ORDER]`` has left and right exchanged."""

MIRROR_PAIRS = tuple((j, contralateral_joint(j)) for j in BODY_JOINTS if j.name.startswith("LEFT_"))
"""(left, right) pairs among the 22 body joints."""

HEAD_TO_FEET = (
    Joint.HEAD, Joint.NECK, Joint.LEFT_COLLAR, Joint.RIGHT_COLLAR, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER,
    Joint.LEFT_ELBOW, Joint.RIGHT_ELBOW, Joint.LEFT_WRIST, Joint.RIGHT_WRIST, Joint.SPINE3, Joint.SPINE2, Joint.SPINE1,
    Joint.PELVIS, Joint.LEFT_HIP, Joint.RIGHT_HIP, Joint.LEFT_KNEE, Joint.RIGHT_KNEE, Joint.LEFT_ANKLE,
    Joint.RIGHT_ANKLE, Joint.LEFT_FOOT, Joint.RIGHT_FOOT,
)  # fmt: skip
"""The 22 body joints in the order of figures and tables: head, arms, trunk, legs, left before right."""

_DISPLAY_NAMES = {
    Joint.SPINE1: "lower spine",
    Joint.SPINE2: "middle spine",
    Joint.SPINE3: "upper spine",
    Joint.LEFT_COLLAR: "left collarbone",
    Joint.RIGHT_COLLAR: "right collarbone",
    Joint.LEFT_FOOT: "left forefoot",  # the joint lies at the ball of the foot
    Joint.RIGHT_FOOT: "right forefoot",
}


def display_name(joint: Joint) -> str:
    """Return the name of a body joint for figures and tables, e.g. "left knee" or "lower spine"."""
    return _DISPLAY_NAMES.get(joint, joint.name.lower().replace("_", " "))


def display_names(joints: Collection[Joint]) -> str:
    """Return the names of body joints as text, from head to feet, e.g. "head, elbows and left knee"."""
    names = []
    for joint in (joint for joint in HEAD_TO_FEET if joint in joints):
        name, other = display_name(joint), contralateral_joint(joint)
        if other == joint or other not in joints:
            names.append(name)
        elif name.startswith("left "):  # stands for both sides
            noun = name.removeprefix("left ")
            names.append("forefeet" if noun == "forefoot" else f"{noun}s")
    return join_words(names)
