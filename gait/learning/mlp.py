"""The two perceptrons: the joints of each frame to a few numbers, those of all frames to one decision.

One function under two naming schemes: ``MultiMLP``, and ``SequentialMLP``, whose layers stand in one row, as layer-wise
relevance propagation wants them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class PerceptronStack(nn.Module):
    """Linear, LeakyReLU, then pairs of Linear and ReLU."""

    def __init__(self, inputs: int, sizes: Sequence[int]):
        super().__init__()
        self.downs = nn.Sequential(*_layers(inputs, sizes))

    def forward(self, values: Tensor) -> Tensor:
        """(..., last size) of (..., inputs)."""
        return self.downs(values)


class MultiMLP(nn.Module):
    """Windows of one length in the common frame to the logit of "sick"."""

    def __init__(
        self, window_length: int, pose_layers: Sequence[int], classifier_layers: Sequence[int], joints: int = 22
    ):
        super().__init__()
        self.posefeatureextractor = PerceptronStack(3 * joints, pose_layers)
        self.featureclassifier = PerceptronStack(window_length * pose_layers[-1], classifier_layers)
        self.last_layer = nn.Linear(classifier_layers[-1], 1)

    def forward(self, windows: Tensor) -> Tensor:
        """(N,) logits of windows (N, L, J, 3)."""
        frames = self.posefeatureextractor(windows.flatten(2))
        return self.last_layer(self.featureclassifier(frames.flatten(1))).squeeze(-1)


class SequentialMLP(nn.Module):
    """The same function, all layers in one row."""

    def __init__(
        self, window_length: int, pose_layers: Sequence[int], classifier_layers: Sequence[int], joints: int = 22
    ):
        super().__init__()
        self.features = nn.Sequential(
            nn.Flatten(2),
            *_layers(3 * joints, pose_layers),
            nn.Flatten(1),
            *_layers(window_length * pose_layers[-1], classifier_layers),
            nn.Linear(classifier_layers[-1], 1),
        )

    def forward(self, windows: Tensor) -> Tensor:
        """(N,) logits of windows (N, L, J, 3)."""
        return self.features(windows).squeeze(-1)


def sequential_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a ``SequentialMLP`` from that of a ``MultiMLP``; tensors are shared."""
    pose = sum(name.startswith("posefeatureextractor.") and name.endswith(".weight") for name in weights)
    classifier = sum(name.startswith("featureclassifier.") and name.endswith(".weight") for name in weights)
    return _renamed(weights, sequential_names(pose, classifier))


def multi_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a ``MultiMLP`` from that of a ``SequentialMLP``; tensors are shared."""
    places = [int(name.split(".")[1]) for name in weights if name.endswith(".weight")]
    pose = sum(place % 2 for place in places)  # the flattening in between moves all that follow by one
    names = sequential_names(pose, len(places) - pose - 1)
    return _renamed(weights, {there: here for here, there in names.items()})


def sequential_names(pose_layers: int, classifier_layers: int) -> dict[str, str]:
    """Names of the layers with weights, from ``MultiMLP``'s to ``SequentialMLP``'s, in order."""
    here = [f"posefeatureextractor.downs.{2 * layer}" for layer in range(pose_layers)]
    here += [f"featureclassifier.downs.{2 * layer}" for layer in range(classifier_layers)] + ["last_layer"]
    return {name: f"features.{2 * place + 1 + (place >= pose_layers)}" for place, name in enumerate(here)}


def _renamed(weights: Mapping[str, Tensor], layers: Mapping[str, str]) -> dict[str, Tensor]:
    return {
        f"{layers[layer]}.{kind}": tensor
        for layer, _, kind, tensor in ((*name.rpartition("."), tensor) for name, tensor in weights.items())
    }


def _layers(inputs: int, sizes: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for place, (before, after) in enumerate(zip([inputs, *sizes], sizes, strict=False)):
        layers += [nn.Linear(before, after), nn.ReLU() if place else nn.LeakyReLU(0.01)]
    return layers
