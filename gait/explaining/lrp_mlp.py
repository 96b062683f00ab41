"""Layer-wise relevance propagation through the MLPs: each layer hands what it was given on to its inputs.

Bach et al. 2015, PLoS ONE 10(7):e0130140; the ε-rule is their equation 58. Nothing here needs autograd.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gait.learning.mlp import MultiMLP, SequentialMLP

EPSILON = 1e-6
"""Of the ε-rule: small, so that as good as nothing is lost."""
PUBLISHED_EPSILON = 0.25
PUBLISHED_STABILISER = 1e-6


def lrp_epsilon(network: MultiMLP | SequentialMLP, windows: Tensor, epsilon: float = EPSILON) -> tuple[Tensor, Tensor]:
    """Relevance (N, L, J, 3) of windows (N, L, J, 3) for the logits, and the logits (N,).

    A linear layer z = W x + b gives its input R_x = x · Wᵀ (R_z / (z + ε sign z)), sign 0 being 1; activations pass
    relevance on as it is. What b and ε take is lost to the input.
    """
    with torch.inference_mode():
        layers = layers_in_order(network)
        seen = _forward(layers, windows)
        relevance = logits = seen[-1]
        for layer, x, z in zip(reversed(layers), reversed(seen[:-1]), reversed(seen[1:]), strict=True):
            if isinstance(layer, nn.Linear):
                relevance = x * ((relevance / _away_from_zero(z, epsilon)) @ layer.weight)
            else:
                relevance = relevance.reshape(x.shape)
        return relevance.reshape(windows.shape), logits.squeeze(-1)


def lrp_published(
    network: MultiMLP | SequentialMLP, windows: Tensor, epsilon: float = PUBLISHED_EPSILON
) -> tuple[Tensor, Tensor]:
    """The published variant of the same: relevance (N, L, J, 3) and logits (N,).

    Each linear and each activation layer counts as its output times a constant, output / z with z = ε + output kept
    1e-6 away from zero; relevance is the input times the gradient of that. So activations damp as well, ε has a sign
    of its own, and the last layer turns relevance around for logits between -ε and 0. It is here to compare with.
    """
    with torch.inference_mode():
        layers = layers_in_order(network)
        seen = _forward(layers, windows)
        logits = seen[-1]
        gradient = torch.ones_like(logits)
        for layer, x, output in zip(reversed(layers), reversed(seen[:-1]), reversed(seen[1:]), strict=True):
            if isinstance(layer, nn.Flatten):
                gradient = gradient.reshape(x.shape)
                continue
            gradient = gradient * (output / _away_from_zero(epsilon + output, PUBLISHED_STABILISER))
            if isinstance(layer, nn.Linear):
                gradient = gradient @ layer.weight
            else:
                slope = layer.negative_slope if isinstance(layer, nn.LeakyReLU) else 0.0
                gradient = torch.where(x > 0, gradient, slope * gradient)
        return (windows.flatten(2) * gradient.reshape(*windows.shape[:2], -1)).reshape(windows.shape), logits.squeeze(
            -1
        )


def layers_in_order(network: MultiMLP | SequentialMLP) -> list[nn.Module]:
    """The layers as windows (N, L, J, 3) go through them, the logit (N, 1) last."""
    if isinstance(network, SequentialMLP):
        return list(network.features)
    pose, classifier = network.posefeatureextractor.downs, network.featureclassifier.downs
    return [nn.Flatten(2), *pose, nn.Flatten(1), *classifier, network.last_layer]


def _forward(layers: Sequence[nn.Module], windows: Tensor) -> list[Tensor]:
    """What goes into each layer, and what comes out of the last one, (N, 1)."""
    seen = [windows]
    for layer in layers:
        seen.append(layer(seen[-1]))
    return seen


def _away_from_zero(values: Tensor, by: float) -> Tensor:
    return values + torch.where(values < 0, -by, by)
