"""The published way to windows, written from its description: one window after another, each kept as a copy.

It stands here to be measured beside the suite's own. Every window of every recording, one frame apart, is brought to
its first pelvis, turned by the shortest rotation that brings the pelvis's displacement to +x, turned about x by
quarters until the rounded direction from ankles to head is up, reflected where the left ankle is on the right, and
scaled. That rotation does not exist for who walks exactly along x, tilts the body of who walks nearly so, and means
nothing on a treadmill; such windows are made all the same, as time is what is measured.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gait.body.skeleton import Joint


def published_windows(joints_m: Tensor, length: int) -> Iterator[Tensor]:
    """Windows (L, 22, 3) of one recording (T, 22, 3), in their order."""
    for first in range(len(joints_m) - length + 1):
        window = _turned(joints_m[first : first + length])
        if window[:, Joint.LEFT_ANKLE, 2].mean() > window[:, Joint.RIGHT_ANKLE, 2].mean():
            window = window * torch.tensor([1.0, 1.0, -1.0])
        yield _scaled(window)


def _turned(window: Tensor) -> Tensor:
    window = window - window[0, Joint.PELVIS]
    ahead = torch.nn.functional.normalize(window[-1, Joint.PELVIS], dim=0)
    along_x = torch.tensor([1.0, 0.0, 0.0])
    axis = torch.linalg.cross(ahead, along_x)
    sine_squared, cosine = axis @ axis, ahead @ along_x
    a, b, c = axis
    turning = torch.tensor([[0.0, -c, b], [c, 0.0, -a], [-b, a, 0.0]])
    window = window @ (torch.eye(3) + turning + turning @ turning * ((1 - cosine) / sine_squared)).T
    up = torch.nn.functional.normalize(_stature(window[:1])[0], dim=0).round()
    lying, upright = -1 if up[2] < 0 else 1, 2 if up[1] < 0 else 0
    quarters = lying if up[1] == 0 else upright
    angle = torch.tensor(quarters * torch.pi / 2)
    c, s = angle.cos().round(), angle.sin().round()
    return window @ torch.tensor([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _scaled(window: Tensor) -> Tensor:
    low, high = window.reshape(-1, 3).amin(dim=0), window.reshape(-1, 3).amax(dim=0)
    scaled = (window - low) / (high - low) * 2 - 1
    scaled[..., 0] = window[..., 0] / _stature(window).norm(dim=1).max()
    return scaled


def _stature(window: Tensor) -> Tensor:
    return window[:, Joint.HEAD] - window[:, [Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE]].mean(dim=1)
