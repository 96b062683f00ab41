"""Which joint angle belongs to which joint of the body."""

from __future__ import annotations

from gait.body.skeleton import Joint

_ANGLES = {
    "HIP": "hip_flexion", "KNEE": "knee_flexion", "ANKLE": "ankle_dorsiflexion", "FOOT": "ankle_dorsiflexion",
    "SHOULDER": "shoulder_flexion", "COLLAR": "shoulder_flexion", "ELBOW": "elbow_flexion", "WRIST": "elbow_flexion",
}  # fmt: skip
"""The angle in the sagittal plane by joint without side; of all others, the tilt of the thorax."""
_JOINTS = {
    "hip": "HIP", "knee": "KNEE", "ankle": "ANKLE", "foot": "FOOT", "shoulder": "SHOULDER", "elbow": "ELBOW",
}  # fmt: skip
_MIDLINE = {"pelvis": Joint.PELVIS, "thorax": Joint.SPINE3, "spine": Joint.SPINE2, "head": Joint.HEAD}
"""The joint by the first word of an angle's name."""


def related_angle(joint: Joint) -> tuple[str, str]:
    """Return name and side of the angle that best shows the motion of a joint; that of midline joints is the left."""
    side, _, part = joint.name.rpartition("_")
    return (_ANGLES[part], side.lower()) if part in _ANGLES else ("thorax_tilt", "left")


def moved_joint(angle: str, side: str) -> Joint:
    """Return the joint whose motion an angle of ``ANGLES`` and a side describes."""
    part = angle.partition("_")[0]
    return _MIDLINE[part] if part in _MIDLINE else Joint[f"{side.upper()}_{_JOINTS[part]}"]
