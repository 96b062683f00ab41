"""Layer-wise relevance propagation (LRP) through the MLP: each layer redistributes its relevance to its inputs.

Bach et al. 2015, PLoS ONE 10(7):e0130140; the ε-rule is their equation 58. It does not use autograd.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gait.learning.networks.mlp import MLP

EPSILON = 1e-6
"""ε of the ε-rule; so small that it absorbs almost no relevance."""
ORIGINAL_EPSILON = 0.25
ORIGINAL_STABILIZER = 1e-6


def lrp_epsilon(network: MLP, windows: Tensor, epsilon: float = EPSILON) -> tuple[Tensor, Tensor]:
    """Return the relevance (N, L, J, 3) of windows (N, L, J, 3) for the logits, and the logits (N,).

    The relevance of the input of a linear layer z = W x + b is R_x = x · Wᵀ (R_z / (z + ε sign z)), with sign 0 = 1.
    Activation layers pass relevance on unchanged. The relevance of b and ε is not assigned to any input.
    """
    with torch.inference_mode():
        layers = network.layers
        values = _layer_values(layers, windows)
        relevance = logits = values[-1]
        for layer, x, z in zip(reversed(layers), reversed(values[:-1]), reversed(values[1:]), strict=True):
            if isinstance(layer, nn.Linear):
                relevance = x * ((relevance / _stabilize(z, epsilon)) @ layer.weight)
            else:
                relevance = relevance.reshape(x.shape)
        return relevance.reshape(windows.shape), logits.squeeze(-1)


def lrp_original(network: MLP, windows: Tensor, epsilon: float = ORIGINAL_EPSILON) -> tuple[Tensor, Tensor]:
    """Return relevance (N, L, J, 3) and logits (N,) by the variant of the original implementation, for comparison.

    The output of each linear and each activation layer is multiplied by the constant output / (ε + output), with the
    denominator kept 1e-6 away from zero; relevance is input times gradient of that. Unlike in the ε-rule, activation
    layers also damp relevance, ε does not take the sign of the output, and the last layer inverts the relevance for
    logits between -ε and 0.
    """
    with torch.inference_mode():
        layers = network.layers
        values = _layer_values(layers, windows)
        logits = values[-1]
        gradient = torch.ones_like(logits)
        for layer, x, output in zip(reversed(layers), reversed(values[:-1]), reversed(values[1:]), strict=True):
            if isinstance(layer, nn.Flatten):
                gradient = gradient.reshape(x.shape)
                continue
            gradient = gradient * (output / _stabilize(epsilon + output, ORIGINAL_STABILIZER))
            if isinstance(layer, nn.Linear):
                gradient = gradient @ layer.weight
            else:
                slope = layer.negative_slope if isinstance(layer, nn.LeakyReLU) else 0.0
                gradient = torch.where(x > 0, gradient, slope * gradient)
        relevance = windows.flatten(2) * gradient.reshape(*windows.shape[:2], -1)
        return relevance.reshape(windows.shape), logits.squeeze(-1)


def _layer_values(layers: Sequence[nn.Module], windows: Tensor) -> list[Tensor]:
    """Return the input of each layer, followed by the output of the last one, (N, 1)."""
    values = [windows]
    for layer in layers:
        values.append(layer(values[-1]))
    return values


def _stabilize(values: Tensor, epsilon: float) -> Tensor:
    """Move values away from zero by ``epsilon``."""
    return values + torch.where(values < 0, -epsilon, epsilon)
