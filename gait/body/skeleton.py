"""The 75 joints of the SUPR layout: names, sides, mirror pairs. The only copy in the suite."""

from __future__ import annotations

from enum import IntEnum

_FINGERS = ("INDEX", "MIDDLE", "PINKY", "RING", "THUMB")

_BODY_NAMES = (
    "PELVIS LEFT_HIP RIGHT_HIP SPINE1 LEFT_KNEE RIGHT_KNEE SPINE2 LEFT_ANKLE RIGHT_ANKLE SPINE3 LEFT_FOOT RIGHT_FOOT "
    "NECK LEFT_COLLAR RIGHT_COLLAR HEAD LEFT_SHOULDER RIGHT_SHOULDER LEFT_ELBOW RIGHT_ELBOW LEFT_WRIST RIGHT_WRIST"
).split()
_HEAD_NAMES = ["JAW", "LEFT_EYE", "RIGHT_EYE"]
_HAND_NAMES = [f"{side}_{finger}{k}" for side in ("LEFT", "RIGHT") for finger in _FINGERS for k in (1, 2, 3)]
_TOE_NAMES = [f"{side}_TOE{toe}_{k}" for side in ("LEFT", "RIGHT") for toe in range(1, 6) for k in (1, 2)]

Joint = IntEnum("Joint", [(name, i) for i, name in enumerate(_BODY_NAMES + _HEAD_NAMES + _HAND_NAMES + _TOE_NAMES)])
"""Joints of a full SUPR body by name; ``Joint.LEFT_KNEE == 4``."""

NUM_JOINTS = len(Joint)
NUM_BODY_JOINTS = 22
"""The first 22 joints, the ones without face, fingers and toes: what the networks see."""

BODY_JOINTS = tuple(Joint(i) for i in range(NUM_BODY_JOINTS))


def mirrored(joint: Joint) -> Joint:
    """The joint of the other side; a joint of the midline is its own mirror."""
    name = joint.name
    if name.startswith("LEFT_"):
        return Joint["RIGHT_" + name.removeprefix("LEFT_")]
    if name.startswith("RIGHT_"):
        return Joint["LEFT_" + name.removeprefix("RIGHT_")]
    return joint


MIRROR_PAIRS = tuple((j, mirrored(j)) for j in BODY_JOINTS if j.name.startswith("LEFT_"))
"""(left, right) pairs of the 22 body joints, collars included."""
