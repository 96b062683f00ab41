"""Input times gradient, and the same averaged along a path from a baseline."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gait.explaining.optional_captum import captum_attr

STEPS = 32
"""Of the path of integrated gradients."""


def gradient_input(network: nn.Module, windows: Tensor) -> tuple[Tensor, Tensor]:
    """Each coordinate times the logit's gradient by it: (N, L, J, 3), and the logits (N,), of windows (N, L, J, 3).

    Shrikumar et al. 2016, arXiv:1605.01713. Through layers of ReLU alone it is the ε-rule with ε = 0 (Ancona et al.
    2018, ICLR, proposition 1).
    """
    inputs = windows.detach().clone().requires_grad_()
    with torch.enable_grad():
        logits = network(inputs)
        (gradient,) = torch.autograd.grad(logits.sum(), inputs)
    return windows * gradient, logits.detach()


def integrated_gradients(
    network: nn.Module, windows: Tensor, baseline: Tensor, steps: int = STEPS
) -> tuple[Tensor, Tensor]:
    """The way from a baseline to each window (N, L, J, 3) times the mean gradient along it, and the logits.

    The baseline is one for all (L, J, 3), or one for each (N, L, J, 3). Values sum to the window's logit less the
    baseline's. Sundararajan et al. 2017, ICML; by captum.
    """
    attr = captum_attr("integrated_gradients")
    values = attr.IntegratedGradients(network).attribute(
        windows, baselines=baseline.expand_as(windows), n_steps=steps, internal_batch_size=max(len(windows), 64)
    )
    with torch.inference_mode():
        return values.to(windows), network(windows)
