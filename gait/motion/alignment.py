"""The common frame: every window of a walk as if its person walked along +x, with y up and the right side at +z.

The only copy of the alignment; networks, explanations and pictures all use it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gait.body.skeleton import BODY_JOINTS, Joint
from gait.body.skeleton import mirrored as joint_of_the_other_side

WALKS = 0.1
"""Somebody walks whose pelvis moves farther over a window than this share of the head's distance from the ankles."""

_MIRROR_ORDER = [int(joint_of_the_other_side(joint)) for joint in BODY_JOINTS]


def common_frame(windows: Tensor) -> Tensor:
    """Windows (N, L, 22, 3) of joints as the networks see them: aligned, then normalised; same shape."""
    return normalised(aligned(windows))


def aligned(windows: Tensor) -> Tensor:
    """Windows in the common frame, in metres.

    The pelvis of the first frame is at the origin, +y is up, the person walks along +x and has the right side at +z.

    * Up is that one of the six signed axes which is nearest to the mean vector from the ankles to the head. A choice
      among axes does not tilt a body that leans.
    * A window is a mirror image, and is reflected, if feet that point forward and the body's right side say so:
      (forward × up) · right < 0.
    * The heading is the way of the pelvis over the ground from the first frame to the last; where that is
      shorter than ``WALKS`` (a treadmill, standing), the mean facing direction of hips and shoulders.
    * Who walks backwards faces +x and moves along −x: else left and right, or the person's sides, would be exchanged.

    Args:
        windows: (N, L, 22, 3) joints in metres, any axes and handedness, finite.

    Returns:
        (N, L, 22, 3), finite whatever the person does.
    """
    to_common = _rotation(windows)
    start = windows[:, :1, :1]
    return torch.einsum("nij,nlkj->nlki", to_common, windows - start)


def normalised(aligned: Tensor) -> Tensor:
    """The published normalisation of windows (N, L, 22, 3) in the common frame: no unit, same shape.

    x is divided by the window's greatest distance between the head and the middle of the ankles; y and z are brought
    to [−1, 1] over the window, all joints and frames together; a coordinate without any extent becomes 0.
    """
    size = _stature(aligned).norm(dim=-1).amax(dim=1)
    low, high = aligned.amin(dim=(1, 2)), aligned.amax(dim=(1, 2))
    half, middle = (high - low) / 2, (high + low) / 2
    half[:, 0], middle[:, 0] = size, 0
    half = torch.where(half > 0, half, torch.ones_like(half))
    return (aligned - middle[:, None, None]) / half[:, None, None]


def mirrored(windows: Tensor) -> Tensor:
    """The mirror image (…, 22, 3): left and right joints exchanged, the last axis reversed.

    Of windows in the common frame it is the same walk with sides exchanged; of joints as recorded too, seen in axes of
    the other handedness of which ``aligned`` knows nothing: aligning before or after gives the same.
    """
    return windows[..., _MIRROR_ORDER, :] * windows.new_tensor([1.0, 1.0, -1.0])


def _rotation(windows: Tensor) -> Tensor:
    """Rotation, or rotation and reflection, (N, 3, 3) into the common frame: its rows are heading, up and right."""
    stature = _stature(windows)  # (N, L, 3)
    mean = stature.mean(dim=1)
    axis = mean.abs().argmax(dim=1, keepdim=True)
    up = torch.zeros_like(mean).scatter(1, axis, torch.where(mean.gather(1, axis) < 0, -1.0, 1.0).to(mean))

    def pair(left: Joint, right: Joint) -> Tensor:
        return windows[:, :, right] - windows[:, :, left]

    right = pair(Joint.LEFT_HIP, Joint.RIGHT_HIP) + pair(Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER)
    feet = pair(Joint.LEFT_ANKLE, Joint.LEFT_FOOT) + pair(Joint.RIGHT_ANKLE, Joint.RIGHT_FOOT)
    triple = (torch.linalg.cross(feet, up[:, None].expand_as(feet)) * right).sum(dim=(1, 2))
    hand = torch.where(triple < 0, -1.0, 1.0).to(mean)[:, None]

    def on_the_ground(vectors: Tensor) -> Tensor:
        return vectors * (1 - up.abs())

    facing = hand * torch.linalg.cross(up, right.mean(dim=1))
    # Somebody who turned all the way round faces nowhere on average; joints that all coincide have no side at all.
    first = hand * torch.linalg.cross(up, right[:, 0])
    aside = on_the_ground(torch.roll(up.abs(), 1, dims=1))
    size = stature.norm(dim=-1).amax(dim=1, keepdim=True)
    for candidate in (first, aside):
        facing = torch.where(facing.norm(dim=1, keepdim=True) > 1e-3 * size, facing, candidate)
    facing = torch.where(facing.norm(dim=1, keepdim=True) > 0, facing, aside)
    way = on_the_ground(windows[:, -1, Joint.PELVIS] - windows[:, 0, Joint.PELVIS])
    way = torch.where((way * facing).sum(dim=1, keepdim=True) < 0, -way, way)
    walks = way.norm(dim=1, keepdim=True) > WALKS * size
    heading = torch.nn.functional.normalize(torch.where(walks, way, facing), dim=1, eps=0)
    return torch.stack([heading, up, hand * torch.linalg.cross(heading, up)], dim=1)


def _stature(windows: Tensor) -> Tensor:
    """From the middle of the ankles to the head: (N, L, 3)."""
    return windows[:, :, Joint.HEAD] - (windows[:, :, Joint.LEFT_ANKLE] + windows[:, :, Joint.RIGHT_ANKLE]) / 2
