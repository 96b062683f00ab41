"""What the CLS tokens look at, as published: the joints' attention in each frame times that frame's own."""

from __future__ import annotations

import torch
from torch import Tensor

from gait.learning.transformer import GaitTransformer


def attention(network: GaitTransformer, windows: Tensor) -> tuple[Tensor, Tensor]:
    """How much each joint of each frame was looked at, (N, L, J), and the logits (N,), of windows (N, L, J, 3).

    Attention of both CLS tokens, the mean of their heads; what goes to the CLS tokens themselves is left out, so that
    the values of a window sum to at most 1. They have no sign: a joint that speaks for healthy and one that speaks for
    sick look alike.
    """
    with torch.inference_mode():
        logits, maps = network.with_attention(windows)
        of_joints = maps.joints.mean(dim=2)[..., 1:]  # (N, L, J)
        of_frames = maps.frames.mean(dim=1)[:, 1:]  # (N, L)
        return of_joints * of_frames[..., None], logits
