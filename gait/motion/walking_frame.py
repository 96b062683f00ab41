"""The walking frame: in each frame of a trial, the axes along which the subject walks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait.arrays import UP, Vector
from gait.body.skeleton import Joint
from gait.kinematics.gait_events import progression_directions


def walking_frames(joints_m: NDArray[np.floating], rate_hz: float) -> Vector:
    """Return rotations R_world_walking (T, 3, 3) of joints (T, 22, 3) in metres, y up.

    The columns are the subject's left, up, and ahead, as the axes x, y and z of a body at rest. Ahead is the direction
    of progression (``progression_directions``), reversed where the subject walks backwards, so that a pelvis that faces
    ahead has about the rotation 0.
    """
    joints = np.asarray(joints_m, dtype=np.float64)
    ahead = progression_directions(joints, rate_hz)
    facing = _to_left(joints) if not is_mirror_image(joints) else -_to_left(joints)
    backwards = (np.cross(facing, UP) * ahead).sum(axis=1, keepdims=True) < 0
    ahead = np.where(backwards, -ahead, ahead)
    return np.stack([np.cross(UP, ahead), np.broadcast_to(UP, ahead.shape), ahead], axis=2)


def is_mirror_image(joints_m: NDArray[np.floating]) -> bool:
    """Return whether joints (T, 22, 3), y up, are a mirror image: the left hip on the right of where the feet point."""
    joints = np.asarray(joints_m, dtype=np.float64)
    ahead = sum(joints[:, Joint[f"{side}_FOOT"]] - joints[:, Joint[f"{side}_ANKLE"]] for side in ("LEFT", "RIGHT"))
    return bool((np.cross(UP, ahead) * _to_left(joints)).sum() < 0)


def _to_left(joints: Vector) -> Vector:
    """Return the vectors (T, 3) from the right to the left hip and shoulder, summed."""
    hips = joints[:, Joint.LEFT_HIP] - joints[:, Joint.RIGHT_HIP]
    return hips + joints[:, Joint.LEFT_SHOULDER] - joints[:, Joint.RIGHT_SHOULDER]
