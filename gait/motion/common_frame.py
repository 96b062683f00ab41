"""The common frame: every window of a walk as if its person walked along +x, with y up and the right side at +z.

The only copy of the alignment; networks, explanations and pictures all use it. Inside, windows are (N, 3, 22, L) or
(N, 22, 3, L), so that each coordinate of a joint lies together in memory.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gait.body.skeleton import BODY_JOINTS, Joint
from gait.body.skeleton import mirrored as other_side

WALKS = 0.1
"""Somebody walks whose pelvis moves farther over a window than this share of the head's distance from the ankles."""

MIRROR_ORDER = tuple(int(other_side(joint)) for joint in BODY_JOINTS)
"""Row of each joint's mirror image: ``joints[MIRROR_ORDER]`` has left and right exchanged."""

NORMALISATION = "x by stature, y and z to [-1, 1]"
"""What ``normalised`` does, as a checkpoint says it."""

_FLAT_M = 1e-6
"""Joints that are less than this away from the middle of a coordinate have no extent along it."""

_FACES = 0.02
"""Hips and shoulders point somewhere on average if they do by more than this share of the same distance."""


def aligned(windows: Tensor) -> Tensor:
    """Windows in the common frame, in metres.

    The pelvis of the first frame is at the origin, y is up, the person walks along +x and has the right side at +z.

    * Up is that one of the six signed axes which is nearest to the mean vector from the ankles to the head. Being one
      of six it does not tilt with a body that leans.
    * A window is a mirror image, and is reflected, where the feet, which point forward, and the way from left to right
      in hips and shoulders say so: (forward × up) · right < 0, summed over all frames. The ankles alone would be
      wrong for legs that cross, and for turns.
    * The heading is the way of the pelvis over the ground from the first frame to the last; where that is shorter
      than ``WALKS`` (on a treadmill, in standing), the mean facing direction of hips and shoulders. There is one for
      a window, as it is turned as a whole; ``gait_events.headings`` has one a frame, as steps follow each turn.
    * Who walks backwards faces +x, and moves along −x: heading +x, right +z and no reflection cannot all be had.

    Args:
        windows: (N, L, 22, 3) joints in metres, along any axes of either handedness; finite, below 1e9.

    Returns:
        (N, L, 22, 3), finite whatever the person does.
    """
    own = _from_the_start(windows)
    return _frames_first(_turned(own, _to_common_frame(own), torch.empty_like(own)))


def normalised(windows: Tensor) -> Tensor:
    """The published normalisation of windows (N, L, 22, 3) in the common frame: same shape, no unit.

    x is divided by the window's greatest distance between the head and the middle of the ankles; y and z are brought
    to [−1, 1] over the window, all joints and frames together. A window without extent along an axis is 0 there.
    """
    own = windows.permute(0, 3, 2, 1).contiguous()
    middle, half = _middle_and_half(own)
    return _frames_first((own - middle[:, :, None, None]) / half[:, :, None, None])


def common_frame(windows: Tensor) -> Tensor:
    """Windows (N, L, 22, 3) of joints in metres as the networks see them: ``normalised(aligned(windows))``."""
    result = torch.empty_like(windows, memory_format=torch.contiguous_format)
    own = _from_the_start(windows)
    scratch = torch.empty_like(own)
    placed = placements(own, scratch)
    tracks = own.transpose(1, 2).contiguous()
    place(tracks, placed, scratch.view_as(tracks), result)
    return result


def placements(windows: Tensor, scratch: Tensor) -> Tensor:
    """What brings windows into the common frame and normalises them, for ``place``: each one's affine map.

    Args:
        windows: (N, 3, 22, L), metres, at most some ten metres from the origin.
        scratch: as large, contiguous; is overwritten.

    Returns:
        (N, 3, 4): a matrix, and in the last column what is added after it.
    """
    R = _to_common_frame(windows)
    turned = _turned(windows, R, scratch)
    middle, half = _middle_and_half(turned)
    middle[:, 0] = turned[:, 0, Joint.PELVIS, 0]
    return torch.cat([R, -middle[..., None]], dim=2) / half[..., None]


def place(windows: Tensor, placements: Tensor, scratch: Tensor, result: Tensor) -> None:
    """Windows by their placements, without new memory, which would take longer than the sums themselves.

    Args:
        windows: (N, 22, 3, L), contiguous; the joints of those that ``placements`` was given.
        placements: (N, 3, 4) of these windows.
        scratch: like ``windows``; is overwritten.
        result: (N, L, 22, 3), contiguous; is overwritten with the windows in the common frame.
    """
    N, J, _, L = windows.shape
    of_joints = placements[:, None].expand(N, J, 3, 4).reshape(N * J, 3, 4)
    M, added = of_joints[..., :3], of_joints[..., 3:]
    # Windows are made on the CPU, where products are never rounded to less, as they may be on graphics cards.
    placed = torch.baddbmm(added, M, windows.view(N * J, 3, L), out=scratch.view(N * J, 3, L)).view(N, J * 3, L)
    if result.is_cpu:  # numpy turns frames and joints round in half of torch's time
        np.copyto(result.view(N, L, J * 3).numpy(), placed.numpy().transpose(0, 2, 1))
    else:
        result.view(N, L, J * 3).copy_(placed.transpose(1, 2))


def mirrored(joints: Tensor) -> Tensor:
    """The mirror image of joints (…, 22, 3): left and right exchanged, the last axis reversed.

    The same before and after ``aligned``, which also knows a window whose sides are only exchanged as a mirror image
    and reflects it: ``aligned(windows[..., MIRROR_ORDER, :])`` is the mirrored window too.
    """
    return joints[..., list(MIRROR_ORDER), :] * joints.new_tensor([1, 1, -1])


def _from_the_start(windows: Tensor) -> Tensor:
    """Windows (N, L, 22, 3) from the pelvis of their first frame, as (N, 3, 22, L) in memory of their own."""
    joints_first = windows.permute(0, 3, 2, 1)
    own = torch.empty_like(joints_first, memory_format=torch.contiguous_format)
    return torch.sub(joints_first, joints_first[:, :, Joint.PELVIS, 0][:, :, None, None], out=own)


def _frames_first(windows: Tensor) -> Tensor:
    return windows.permute(0, 3, 2, 1).contiguous()


def _turned(windows: Tensor, matrices: Tensor, result: Tensor) -> Tensor:
    """``result``, overwritten with matrices (N, 3, 3) times the joints of windows (N, 3, 22, L)."""
    M = matrices[..., None, None]
    # No matrix product: on graphics cards it may be rounded to ten bits.
    torch.mul(M[:, :, 0], windows[:, :1], out=result)
    return result.addcmul_(M[:, :, 1], windows[:, 1:2]).addcmul_(M[:, :, 2], windows[:, 2:])


def _to_common_frame(windows: Tensor) -> Tensor:
    """Rotations, with a reflection where needed, (N, 3, 3) of windows (N, 3, 22, L): rows heading, up and right."""
    stature = _stature(windows)
    size = _greatest_length(stature)[:, None]
    up = _nearest_axis(stature.mean(dim=2))

    to_right = _between(windows, Joint.LEFT_HIP, Joint.RIGHT_HIP)
    to_right = to_right + _between(windows, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER)  # (N, 3, L)
    forward = _between(windows, Joint.LEFT_ANKLE, Joint.LEFT_FOOT)
    forward = forward + _between(windows, Joint.RIGHT_ANKLE, Joint.RIGHT_FOOT)
    # (forward × up) · right = up · (right × forward), whose nine products are summed over the frames first.
    products = (to_right[:, :, None] * forward[:, None]).sum(dim=3)  # (N, 3, 3)
    crossed = products.roll((-1, -2), dims=(1, 2)).diagonal(dim1=1, dim2=2)
    crossed = crossed - products.roll((-2, -1), dims=(1, 2)).diagonal(dim1=1, dim2=2)
    hand = torch.where((up * crossed).sum(dim=1, keepdim=True) < 0, -1.0, 1.0).to(up)

    facing = hand * torch.linalg.cross(up, to_right.mean(dim=2))
    # Who turned all the way round faces nowhere on average; a body without hips and shoulders, nowhere at all.
    facing = _longer(facing, hand * torch.linalg.cross(up, to_right[:, :, 0]), _FACES * size)
    facing = _longer(facing, torch.roll(up.abs(), 1, dims=1), _FACES * size)
    way = (windows[:, :, Joint.PELVIS, -1] - windows[:, :, Joint.PELVIS, 0]) * (1 - up.abs())
    way = torch.where((way * facing).sum(dim=1, keepdim=True) < 0, -way, way)
    heading = torch.nn.functional.normalize(_longer(way, facing, WALKS * size), dim=1)
    return torch.stack([heading, up, hand * torch.linalg.cross(heading, up)], dim=1)


def _middle_and_half(windows: Tensor) -> tuple[Tensor, Tensor]:
    """What the published normalisation takes from windows (N, 3, 22, L), and then divides them by; both (N, 3)."""
    low, high = windows.flatten(2).amin(dim=2), windows.flatten(2).amax(dim=2)
    middle, half = (high + low) / 2, (high - low) / 2
    middle[:, 0], half[:, 0] = 0, _greatest_length(_stature(windows))
    return middle, torch.where(half > _FLAT_M, half, 1.0)


def _stature(windows: Tensor) -> Tensor:
    """From the middle of the ankles to the head, (N, 3, L)."""
    return windows[:, :, Joint.HEAD] - (windows[:, :, Joint.LEFT_ANKLE] + windows[:, :, Joint.RIGHT_ANKLE]) / 2


def _greatest_length(vectors: Tensor) -> Tensor:
    """Of vectors (N, 3, L) over time: (N,)."""
    return vectors.square().sum(dim=1).amax(dim=1).sqrt()


def _between(windows: Tensor, start: Joint, end: Joint) -> Tensor:
    return windows[:, :, end] - windows[:, :, start]


def _nearest_axis(vectors: Tensor) -> Tensor:
    """Of vectors (N, 3), the unit vector along the axis, or against it, that is nearest."""
    axis = vectors.abs().argmax(dim=1, keepdim=True)
    sign = torch.where(vectors.gather(1, axis) < 0, -1.0, 1.0).to(vectors)
    return torch.zeros_like(vectors).scatter_(1, axis, sign)


def _longer(vectors: Tensor, otherwise: Tensor, least: Tensor) -> Tensor:
    """Vectors (N, 3) where they are longer than ``least`` (N, 1), the other ones elsewhere."""
    return torch.where(vectors.norm(dim=1, keepdim=True) > least, vectors, otherwise)
