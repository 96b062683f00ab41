"""Windows as in the original implementation, written from its description: one after another, each a copy.

Only its speed is compared with ours. Each window of each recording, one frame apart, is processed as follows: subtract
the first pelvis position; apply the minimal rotation that brings the pelvis displacement to +x; rotate about x in steps
of 90° until the rounded direction from ankles to head is up; mirror if the left ankle is on the right; scale. The
minimal rotation is undefined for walking exactly along x, tilts the body for directions close to it, and is meaningless
on a treadmill; such windows are computed anyway.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gait.body.skeleton import Joint


def make_reference_windows(joints_m: Tensor, length: int) -> Iterator[Tensor]:
    """Yield the windows (L, 22, 3) of one recording (T, 22, 3) in order."""
    for first in range(len(joints_m) - length + 1):
        window = _rotate(joints_m[first : first + length])
        if window[:, Joint.LEFT_ANKLE, 2].mean() > window[:, Joint.RIGHT_ANKLE, 2].mean():
            window = window * torch.tensor([1.0, 1.0, -1.0])
        yield _scale(window)


def _rotate(window: Tensor) -> Tensor:
    window = window - window[0, Joint.PELVIS]
    ahead = torch.nn.functional.normalize(window[-1, Joint.PELVIS], dim=0)
    along_x = torch.tensor([1.0, 0.0, 0.0])
    axis = torch.linalg.cross(ahead, along_x)
    sine_squared, cosine = axis @ axis, ahead @ along_x
    a, b, c = axis
    cross = torch.tensor([[0.0, -c, b], [c, 0.0, -a], [-b, a, 0.0]])
    window = window @ (torch.eye(3) + cross + cross @ cross * ((1 - cosine) / sine_squared)).T
    up = torch.nn.functional.normalize(_stature(window[:1])[0], dim=0).round()
    lying, upright = -1 if up[2] < 0 else 1, 2 if up[1] < 0 else 0
    quarters = lying if up[1] == 0 else upright
    angle = torch.tensor(quarters * torch.pi / 2)
    c, s = angle.cos().round(), angle.sin().round()
    return window @ torch.tensor([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _scale(window: Tensor) -> Tensor:
    low, high = window.reshape(-1, 3).amin(dim=0), window.reshape(-1, 3).amax(dim=0)
    scaled = (window - low) / (high - low) * 2 - 1
    scaled[..., 0] = window[..., 0] / _stature(window).norm(dim=1).max()
    return scaled


def _stature(window: Tensor) -> Tensor:
    return window[:, Joint.HEAD] - window[:, [Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE]].mean(dim=1)
