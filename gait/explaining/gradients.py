"""Input times gradient, and integrated gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gait.explaining.optional_captum import captum_attr

STEPS = 32
"""Number of steps along the path of integrated gradients."""


def gradient_input(network: nn.Module, windows: Tensor) -> tuple[Tensor, Tensor]:
    """Return each coordinate times its gradient, (N, L, J, 3), and the logits (N,), of windows (N, L, J, 3).

    Shrikumar et al. 2016, arXiv:1605.01713. For ReLU networks it equals the ε-rule of LRP with ε = 0 (Ancona et al.
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
    """Return the integrated gradients (N, L, J, 3) and the logits (N,) of windows (N, L, J, 3).

    Each value is the difference from the baseline times the mean gradient along the straight path from it. The baseline
    is one for all windows, (L, J, 3), or one per window, (N, L, J, 3). The values of a window sum to its logit minus
    that of the baseline. Sundararajan et al. 2017, ICML; computed by captum.
    """
    attr = captum_attr("integrated_gradients")
    values = attr.IntegratedGradients(network).attribute(
        windows, baselines=baseline.expand_as(windows), n_steps=steps, internal_batch_size=max(len(windows), 64)
    )
    with torch.inference_mode():
        return values.to(windows), network(windows)
