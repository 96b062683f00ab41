"""Bones: the direction of each joint from its parent, for trials of joint positions without rotations.

A joint's three numbers are the unit vector from its parent, along the walking frame: x to the subject's left, y up, z
ahead. The values of a joint so belong to the segment that ends at it. The pelvis has no parent and is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.skeleton import BODY_JOINTS, BODY_PARENTS, Joint
from gait.motion.dataset import Trial
from gait.motion.resampling import sample_at
from gait.motion.walking_frame import is_mirror_image, walking_frames
from gait.motion.window_input import WindowInput, names_of_axes

if TYPE_CHECKING:
    from torch import Tensor

_MIN_BONE_M = 1e-4  # shorter ones have no direction
_SIDES = ("LEFT", "RIGHT")


def _both(*parts: str) -> list[int]:
    return [Joint[f"{side}_{part}"] for side in _SIDES for part in parts]


_THIGHS, _SHANKS, _FEET, _UPPER_ARMS, _FOREARMS = map(_both, ("KNEE", "ANKLE", "FOOT", "ELBOW", "WRIST"))
_REST = [j for j in BODY_JOINTS if j not in {*_THIGHS, *_SHANKS, *_FEET, *_UPPER_ARMS, *_FOREARMS}]
_SEGMENTS = {
    "PELVIS": "pelvis", "HIP": "pelvis side", "SPINE1": "lower spine", "KNEE": "thigh", "SPINE2": "middle spine",
    "ANKLE": "shank", "SPINE3": "upper spine", "FOOT": "foot", "NECK": "neck", "COLLAR": "collarbone", "HEAD": "head",
    "SHOULDER": "shoulder", "ELBOW": "upper arm", "WRIST": "forearm",
}  # fmt: skip
_JOINT_NAMES = [joint.name for joint in BODY_JOINTS]
_TERMS = {part: (f"{name} sideways", f"{name} up", f"{name} ahead") for part, name in _SEGMENTS.items()}


def directions(trial: Trial, times: Vector) -> Vector:
    """Return the direction (S, 22, 3) of each joint from its parent."""
    joints = trial.joints_m.astype(np.float64)
    bones = np.zeros_like(joints)
    bones[:, 1:] = joints[:, 1:] - joints[:, list(BODY_PARENTS[1:])]
    values = np.einsum("tjw,twa->tja", bones, walking_frames(joints, trial.rate_hz))
    if is_mirror_image(joints):  # as keypoints in axes of the other handedness are
        values[..., 0] *= -1
    return _unit(sample_at(_unit(values), times))


def _unit(vectors: Vector) -> Vector:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), _MIN_BONE_M)


def _inclinations_deg(values: Vector) -> Vector:
    """Return the angle between a bone and the plane across each axis, degrees."""
    return np.degrees(np.arcsin(np.clip(values, -1, 1)))


def _observed(status: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the status (T, 22) of bones: the lower one of the joints at both ends."""
    return np.minimum(status, status[:, [max(parent, 0) for parent in BODY_PARENTS]])


def walk_at_pace(windows: Tensor, factor: Tensor, random: Tensor) -> Tensor:
    """Return windows (N, L, 22, 3) at another pace.

    The sagittal excursion of the thighs about its mean over the window is multiplied by the factor (N,); those of the
    knees, the feet, the upper arms and the elbows, and of the other bones, by numbers between 1 and the factor, made of
    ``random`` (N, 22). Shanks and forearms move with thighs and upper arms.
    """
    import torch  # takes seconds; a window that shows this input's values does without it

    knees, feet, arms, elbows, others = (((factor - 1) * random[:, k])[:, None, None] for k in range(5))
    thigh, shank, foot, upper, fore = (
        torch.atan2(windows[:, :, joints, 2], -windows[:, :, joints, 1])
        for joints in (_THIGHS, _SHANKS, _FEET, _UPPER_ARMS, _FOREARMS)
    )
    by_thigh = (factor - 1)[:, None, None] * _about_mean(thigh)
    by_arm = arms * _about_mean(upper)
    turns = (
        (_THIGHS, by_thigh),
        (_SHANKS, by_thigh - knees * _about_mean(thigh - shank)),
        (_FEET, feet * _about_mean(foot)),
        (_UPPER_ARMS, by_arm),
        (_FOREARMS, by_arm + elbows * _about_mean(fore - upper)),
    )
    paced = windows.clone()
    mean = windows[:, :, _REST].mean(dim=1, keepdim=True)
    paced[:, :, _REST] = mean + (1 + others[..., None]) * (windows[:, :, _REST] - mean)
    for joints, angle in turns:
        cosine, sine, up, ahead = angle.cos(), angle.sin(), windows[:, :, joints, 1], windows[:, :, joints, 2]
        paced[:, :, joints, 2] = ahead * cosine - up * sine
        paced[:, :, joints, 1] = ahead * sine + up * cosine
    return paced


def _about_mean(angles: Tensor) -> Tensor:
    return angles - angles.mean(dim=1, keepdim=True)


INPUT = WindowInput(
    name="bones",
    normalization="directions of the bones in the walking frame",
    samples=directions,
    mirror_signs=(-1.0, 1.0, 1.0),
    of_segments=True,
    part_names=[name for (name,) in names_of_axes({part: (name,) for part, name in _SEGMENTS.items()}, _JOINT_NAMES)],
    deviation=5.0,
    offset=0.036,
    pace=walk_at_pace,
    observed=_observed,
    axis_names=names_of_axes(_TERMS, _JOINT_NAMES),
    to_degrees=_inclinations_deg,
    order=2,
)
