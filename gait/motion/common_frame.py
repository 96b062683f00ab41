"""The common frame: each window rotated so that the subject walks along +x, with y up and the right side at +z.

Networks, explanations and figures all use this alignment. Internally, windows are stored as (N, 3, 22, L) or
(N, 22, 3, L), so that the samples of each coordinate are contiguous in memory.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from gait.body.skeleton import BODY_JOINTS, Joint

MIN_PROGRESSION = 0.1
"""Minimum horizontal displacement of the pelvis over a window, as a fraction of the distance from ankles to head, for
which the displacement defines the heading."""

_UPWARDS = (Joint.HEAD, Joint.NECK, Joint.SPINE3, Joint.SPINE2, Joint.SPINE1, Joint.PELVIS)
_LEGS = tuple((Joint[f"LEFT_{name}"], Joint[f"RIGHT_{name}"]) for name in ("ANKLE", "KNEE", "HIP"))
"""Upper and lower ends of the stature; the first one that is not left out counts."""

_FLAT_M = 1e-6
"""A window with a smaller half range along an axis has no extent along it."""

_MIN_FACING = 0.02
"""Minimum length of the facing vector, as a fraction of the distance from ankles to head, to define a direction."""


def window_transforms(windows: Tensor, scratch: Tensor, left_out: Collection[Joint] = ()) -> Tensor:
    """Return the affine map of each window to normalized common-frame coordinates, for ``apply_transforms``.

    In the common frame, the pelvis of the first frame is at the origin, y is up, the subject walks along +x and has the
    right side at +z.

    * Up is the one of the six signed coordinate axes that is nearest to the mean vector from the ankles to the head.
      A coordinate axis does not tilt when the trunk leans.
    * A window is a mirror image, and is reflected, if (forward × up) · right < 0, summed over all frames. Forward is
      the direction from ankles to feet; right is the direction from left to right hip and shoulder. The ankles alone
      would fail if the legs cross, and in turns.
    * The heading is the horizontal displacement of the pelvis from the first frame to the last. If it is shorter than
      ``MIN_PROGRESSION`` (treadmill, standing), it is the mean facing direction of hips and shoulders. A window has
      one heading, as it is rotated as a whole; ``gait_events.progression_directions`` returns one per frame.
    * A subject who walks backwards faces +x and moves along −x: moving along +x with the right side at +z would need
      a reflection.

    The normalization is that of the original implementation. x is divided by the window's greatest distance between the
    head and the midpoint of the ankles. y and z are scaled to [−1, 1] over all joints and frames of the window. An axis
    along which the window has no extent becomes 0.

    Joints that are left out, because markers do not observe them, take no part in it: in place of the head the highest
    joint of the spine that is left counts, in place of the ankles the knees or hips, and hips alone face ahead without
    shoulders. Only the test for mirror images keeps the feet, whose direction from the ankles no marker is needed for.

    Args:
        windows: (N, 3, 22, L) joints in metres, along any axes of either handedness; finite, at most some ten metres
            from the origin.
        scratch: contiguous, of the same shape; is overwritten.
        left_out: joints to ignore, none of pelvis and hips.

    Returns:
        (N, 3, 4): a matrix (3, 3) and, in the last column, the translation that is added after it.
    """
    R = _common_frame_rotations(windows, left_out)
    rotated = _rotate(windows, R, scratch)
    center, half_range = _center_and_half_range(rotated, left_out)
    center[:, 0] = rotated[:, 0, Joint.PELVIS, 0]
    return torch.cat([R, -center[..., None]], dim=2) / half_range[..., None]


def apply_transforms(windows: Tensor, transforms: Tensor, scratch: Tensor, result: Tensor) -> None:
    """Apply affine maps (N, 3, 4) to windows without allocating, which would take longer than the arithmetic.

    The windows (N, 22, 3, L), contiguous, are those that ``window_transforms`` was given. ``scratch``, of their shape,
    is overwritten; ``result``, (N, L, 22, 3) and contiguous, with the normalized windows in the common frame.
    """
    N, J, _, L = windows.shape
    joint_transforms = transforms[:, None].expand(N, J, 3, 4).reshape(N * J, 3, 4)
    M, translation = joint_transforms[..., :3], joint_transforms[..., 3:]
    # Windows are made on the CPU, where matrix products keep single precision; graphics cards may reduce it.
    moved = torch.baddbmm(translation, M, windows.view(N * J, 3, L), out=scratch.view(N * J, 3, L)).view(N, J * 3, L)
    if result.is_cpu:  # numpy transposes in half of torch's time
        np.copyto(result.view(N, L, J * 3).numpy(), moved.numpy().transpose(0, 2, 1))
    else:
        result.view(N, L, J * 3).copy_(moved.transpose(1, 2))


def _rotate(windows: Tensor, matrices: Tensor, result: Tensor) -> Tensor:
    """Write matrices (N, 3, 3) times the joints of windows (N, 3, 22, L) into ``result``, and return it."""
    M = matrices[..., None, None]
    # Not a matrix product: graphics cards may compute that with a mantissa of ten bits.
    torch.mul(M[:, :, 0], windows[:, :1], out=result)
    return result.addcmul_(M[:, :, 1], windows[:, 1:2]).addcmul_(M[:, :, 2], windows[:, 2:])


def _common_frame_rotations(windows: Tensor, left_out: Collection[Joint] = ()) -> Tensor:
    """Return rotations (N, 3, 3), with a reflection where needed, of windows (N, 3, 22, L).

    The rows are the heading, up and right directions.
    """
    stature = _stature(windows, left_out)
    size = _max_length(stature)[:, None]
    up = _nearest_axis(stature.mean(dim=2))

    to_right = _segment(windows, Joint.LEFT_HIP, Joint.RIGHT_HIP)
    if not {Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER} & {*left_out}:
        to_right = to_right + _segment(windows, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER)  # (N, 3, L)
    forward = _segment(windows, Joint.LEFT_ANKLE, Joint.LEFT_FOOT)
    forward = forward + _segment(windows, Joint.RIGHT_ANKLE, Joint.RIGHT_FOOT)
    # (forward × up) · right = up · (right × forward), whose nine products are summed over the frames first.
    products = (to_right[:, :, None] * forward[:, None]).sum(dim=3)  # (N, 3, 3)
    crossed = products.roll((-1, -2), dims=(1, 2)).diagonal(dim1=1, dim2=2)
    crossed = crossed - products.roll((-2, -1), dims=(1, 2)).diagonal(dim1=1, dim2=2)
    handedness = torch.where((up * crossed).sum(dim=1, keepdim=True) < 0, -1.0, 1.0).to(up)

    facing = handedness * torch.linalg.cross(up, to_right.mean(dim=2))
    # The mean facing vector vanishes after a full turn; without hip and shoulder width there is none in any frame.
    facing = _fallback_if_short(facing, handedness * torch.linalg.cross(up, to_right[:, :, 0]), _MIN_FACING * size)
    facing = _fallback_if_short(facing, torch.roll(up.abs(), 1, dims=1), _MIN_FACING * size)
    displacement = (windows[:, :, Joint.PELVIS, -1] - windows[:, :, Joint.PELVIS, 0]) * (1 - up.abs())
    displacement = torch.where((displacement * facing).sum(dim=1, keepdim=True) < 0, -displacement, displacement)
    heading = torch.nn.functional.normalize(_fallback_if_short(displacement, facing, MIN_PROGRESSION * size), dim=1)
    return torch.stack([heading, up, handedness * torch.linalg.cross(heading, up)], dim=1)


def _center_and_half_range(windows: Tensor, left_out: Collection[Joint] = ()) -> tuple[Tensor, Tensor]:
    """Return the offset and the divisor (N, 3) of the normalization of windows (N, 3, 22, L)."""
    shown = windows[:, :, [j for j in BODY_JOINTS if j not in left_out]] if left_out else windows
    low, high = shown.flatten(2).amin(dim=2), shown.flatten(2).amax(dim=2)
    center, half_range = (high + low) / 2, (high - low) / 2
    center[:, 0], half_range[:, 0] = 0, _max_length(_stature(windows, left_out))
    return center, torch.where(half_range > _FLAT_M, half_range, 1.0)


def _stature(windows: Tensor, left_out: Collection[Joint] = ()) -> Tensor:
    """Return the vectors from the midpoint of the ankles to the head, or between joints that are left, (N, 3, L)."""
    top = next(joint for joint in _UPWARDS if joint not in left_out)
    left, right = next(pair for pair in _LEGS if not {*pair} & {*left_out})
    return windows[:, :, top] - (windows[:, :, left] + windows[:, :, right]) / 2


def _max_length(vectors: Tensor) -> Tensor:
    """Return the greatest length over time of vectors (N, 3, L), (N,)."""
    return vectors.square().sum(dim=1).amax(dim=1).sqrt()


def _segment(windows: Tensor, start: Joint, end: Joint) -> Tensor:
    return windows[:, :, end] - windows[:, :, start]


def _nearest_axis(vectors: Tensor) -> Tensor:
    """Return the signed coordinate axis nearest to each of the vectors (N, 3), as unit vectors (N, 3)."""
    axis = vectors.abs().argmax(dim=1, keepdim=True)
    sign = torch.where(vectors.gather(1, axis) < 0, -1.0, 1.0).to(vectors)
    return torch.zeros_like(vectors).scatter_(1, axis, sign)


def _fallback_if_short(vectors: Tensor, fallback: Tensor, min_length: Tensor) -> Tensor:
    """Return vectors (N, 3) where they are longer than ``min_length`` (N, 1), else ``fallback``."""
    return torch.where(vectors.norm(dim=1, keepdim=True) > min_length, vectors, fallback)
