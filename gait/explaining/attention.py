"""Attention of the CLS tokens as attribution, as in the original implementation."""

from __future__ import annotations

import torch
from torch import Tensor

from gait.learning.networks.transformer import GaitTransformer


def attention(network: GaitTransformer, windows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the attention to each joint of each frame, (N, L, J), and the logits (N,), of windows (N, L, J, 3).

    It is the product of the attention of both CLS tokens, each averaged over its heads: to the joint within its frame,
    and to the frame within the window. Attention to the CLS tokens themselves is excluded, so the values of a window
    sum to at most 1. Attention has no sign: evidence for the healthy and for the sick class cannot be distinguished.
    """
    with torch.inference_mode():
        logits, maps = network.with_attention(windows)
        joint_attention = maps.joints.mean(dim=2)[..., 1:]  # (N, L, J)
        frame_attention = maps.frames.mean(dim=1)[:, 1:]  # (N, L)
        return joint_attention * frame_attention[..., None], logits
