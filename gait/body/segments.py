"""The segments of the body on which markers lie, and the two that meet at each joint."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import BODY_JOINTS, NUM_BODY_JOINTS, Joint

_TRUNK = ("SPINE1", "SPINE2", "SPINE3", "NECK", "LEFT_COLLAR", "RIGHT_COLLAR")
_LIMBS = {
    "thigh": ("HIP",), "shank": ("KNEE",), "foot": ("ANKLE", "FOOT"),
    "upper arm": ("SHOULDER",), "forearm": ("ELBOW",), "hand": ("WRIST",),
}  # fmt: skip
SEGMENT_JOINTS: dict[str, tuple[Joint, ...]] = {
    "pelvis": (Joint.PELVIS,),
    "trunk": tuple(Joint[name] for name in _TRUNK),
    "head": (Joint.HEAD,),
    **{
        f"{side} {segment}": tuple(Joint[f"{side.upper()}_{name}"] for name in joints)
        for side in ("left", "right")
        for segment, joints in _LIMBS.items()
    },
}
"""The body joints whose rotation moves each segment; the skin between spine, neck and shoulders is one, the trunk."""

SEGMENTS = tuple(SEGMENT_JOINTS)

_PROXIMAL = {
    "HIP": "pelvis", "KNEE": "thigh", "ANKLE": "shank", "SPINE1": "pelvis", "HEAD": "trunk",
    "SHOULDER": "trunk", "ELBOW": "upper arm", "WRIST": "forearm",
}  # fmt: skip


def _meeting_segments(joint: Joint) -> tuple[str, str]:
    distal = next(segment for segment, joints in SEGMENT_JOINTS.items() if joint in joints)
    side, _, part = joint.name.rpartition("_")
    proximal = _PROXIMAL.get(part, distal)
    return (proximal if proximal in SEGMENTS else f"{side.lower()} {proximal}"), distal


MEETING_SEGMENTS = tuple(_meeting_segments(joint) for joint in BODY_JOINTS)
"""(proximal, distal) segment of each body joint (22,); a joint within a segment has it twice."""


_MOVED_BY = {
    "PELVIS": "pelvis", "SPINE1": "trunk", "SPINE2": "trunk", "SPINE3": "trunk", "NECK": "neck", "HEAD": "head",
    "HIP": "thigh", "KNEE": "shank", "ANKLE": "foot", "FOOT": "forefoot",
    "COLLAR": "shoulder", "SHOULDER": "upper arm", "ELBOW": "forearm", "WRIST": "hand",
}  # fmt: skip


def segment_name(joint: int) -> str:
    """Return the name of the segment that a body joint moves, e.g. "left shank" for the left knee."""
    side, _, part = Joint(joint).name.rpartition("_")
    return f"{side.lower()} {_MOVED_BY[part]}".strip()


def segment_weights(skinning_weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return how far each segment moves a point, (M, S), from its skinning weights of the body joints (M, 22)."""
    belongs = np.zeros((NUM_BODY_JOINTS, len(SEGMENTS)))
    for s, joints in enumerate(SEGMENT_JOINTS.values()):
        belongs[list(joints), s] = 1
    return np.asarray(skinning_weights, dtype=np.float64) @ belongs
