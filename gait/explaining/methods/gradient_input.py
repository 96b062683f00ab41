"""Input times gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gait.explaining.method import Explanation, Method


def gradient_input(network: nn.Module, windows: Tensor, baseline: Tensor | None, rule: str | None) -> Explanation:
    """Return each coordinate times its gradient, (N, L, J, 3), and the logits (N,), of windows (N, L, J, 3).

    Shrikumar et al. 2016, arXiv:1605.01713. For ReLU networks it equals the ε-rule of LRP with ε = 0 (Ancona et al.
    2018, ICLR, proposition 1).
    """
    inputs = windows.detach().clone().requires_grad_()
    with torch.enable_grad():
        logits = network(inputs)
        (gradient,) = torch.autograd.grad(logits.sum(), inputs)
    return windows * gradient, logits.detach(), {}


METHOD = Method(
    name="gradient_input",
    title="Input times gradient",
    description="gradient of the logit with respect to the input, times the input",
    explain=gradient_input,
    order=3,
)
