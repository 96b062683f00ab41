"""Integrated gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gait.explaining.method import Explanation, Method, captum_attr

STEPS = 32
"""Number of steps along the path."""


def integrated_gradients(network: nn.Module, windows: Tensor, baseline: Tensor | None, rule: str | None) -> Explanation:
    """Return the difference from the baseline times the mean gradient along the straight path from it.

    The values of a window sum to its logit minus that of the baseline. Sundararajan et al. 2017, ICML; computed by
    captum.
    """
    assert baseline is not None
    values = (
        captum_attr("integrated_gradients")
        .IntegratedGradients(network)
        .attribute(
            windows, baselines=baseline.expand_as(windows), n_steps=STEPS, internal_batch_size=max(len(windows), 64)
        )
    )
    with torch.inference_mode():
        return values.to(windows), network(windows), {"steps": STEPS}


METHOD = Method(
    name="integrated_gradients",
    title="Integrated gradients",
    description="integrates the gradient of the logit along a straight path from the mean training window",
    explain=integrated_gradients,
    needs_baseline=True,
    stride=8,
    order=0,
)
