"""The joint angle shown with the attribution of a joint."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import Joint
from gait.kinematics.joint_angles import JointAngles


def related_angle(angles: JointAngles, joint: Joint) -> tuple[str, NDArray[np.float64]]:
    """Return the name of the angle that belongs to a joint, and its curve (T,) in degrees."""
    side = joint.name.split("_")[0].lower()
    by_part = {
        "HIP": ("hip flexion", angles.hip),
        "KNEE": ("knee flexion", angles.knee),
        "ANKLE": ("ankle angle", angles.ankle),
        "FOOT": ("ankle angle", angles.ankle),
        "SHOULDER": ("arm swing", angles.shoulder),
        "COLLAR": ("arm swing", angles.shoulder),
        "ELBOW": ("elbow flexion", angles.elbow),
        "WRIST": ("elbow flexion", angles.elbow),
    }
    part = joint.name.split("_")[-1]
    if part in by_part:
        name, by_side = by_part[part]
        return f"{side} {name}", by_side[side]
    return "trunk lean (forward)", angles.trunk_lean
