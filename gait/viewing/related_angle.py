"""The angle that a gait laboratory would look at beside a joint's importance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import Joint
from gait.kinematics.joint_angles import JointAngles


def angle_beside(angles: JointAngles, joint: Joint) -> tuple[str, NDArray[np.float64]]:
    """The angle that goes with a joint: what it is called, and its course (T,) in degrees."""
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
        words, of_side = by_part[part]
        return f"{side} {words}", of_side[side]
    return "forward lean of the trunk", angles.trunk_lean
