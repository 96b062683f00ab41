"""Several networks of one architecture that judge together, and a decision threshold that is not at logit 0."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gait.learning.network import Architecture


class Ensemble(nn.Module):
    """Networks whose mean logit is the logit, minus a threshold, so that above 0 the prediction is sick.

    The threshold is no weight: checkpoints keep it beside them.
    """

    def __init__(self, members: Sequence[nn.Module], threshold: float = 0.0):
        super().__init__()
        self.members = nn.ModuleList(members)
        self.threshold = threshold

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits (N,) of windows (N, L, J, 3)."""
        return torch.stack([member(windows) for member in self.members]).mean(dim=0) - self.threshold


def members_of(network: nn.Module) -> list[nn.Module]:
    """Return the networks of an ensemble, or the network itself."""
    return list(network.members) if isinstance(network, Ensemble) else [network]


def threshold_of(network: nn.Module) -> float:
    """Return the threshold that is subtracted from the mean logit of the network's members; 0 without one."""
    return network.threshold if isinstance(network, Ensemble) else 0.0


def build_ensemble(architecture: Architecture, count: int) -> nn.Module:
    """Return an ensemble of so many networks with random weights; of one, the network itself."""
    members = [architecture.build() for _ in range(count)]
    return members[0] if count == 1 else Ensemble(members)


def with_threshold(network: nn.Module, threshold: float) -> nn.Module:
    """Return a network whose logit is lower by the threshold; with a threshold of 0, the network itself."""
    return network if threshold == 0 else Ensemble(members_of(network), threshold).train(network.training)
