"""Attention of the CLS tokens as attribution, as in the original implementation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gait.explaining.method import Explanation, Method


def attention(network: nn.Module, windows: Tensor, baseline: Tensor | None, rule: str | None) -> Explanation:
    """Return the attention to each joint of each frame, (N, L, J), and the logits (N,), of windows (N, L, J, 3).

    It is the product of the attention of both CLS tokens, each averaged over its heads: to the joint within its frame,
    and to the frame within the window. Attention to the CLS tokens themselves is excluded, so the values of a window
    sum to at most 1. Attention has no sign: evidence for the healthy and for the sick class cannot be distinguished.
    """
    transformer: Any = network
    with torch.inference_mode():
        logits, maps = transformer.with_attention(windows)
        joint_attention = maps.joints.mean(dim=2)[..., 1:]  # (N, L, J)
        frame_attention = maps.frames.mean(dim=1)[:, 1:]  # (N, L)
        return joint_attention * frame_attention[..., None], logits, {"heads": "mean"}


METHOD = Method(
    name="attention",
    title="Attention",
    description="attention weights: what the network attends to, without a sign for sick or healthy",
    explain=attention,
    signed=False,
    supports=lambda network: hasattr(network, "with_attention"),
    order=2,
)
