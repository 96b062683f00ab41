"""The multi-layer perceptron: it encodes the joints of each frame to a vector, and all frames of a window to a logit.

The same function exists under two published naming schemes of weights: ``MultiMLP``, and ``SequentialMLP``, a single
sequence of layers for layer-wise relevance propagation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class PerceptronStack(nn.Module):
    """A stack of layers: Linear and LeakyReLU, then pairs of Linear and ReLU."""

    def __init__(self, inputs: int, sizes: Sequence[int]):
        super().__init__()
        self.downs = nn.Sequential(*_layers(inputs, sizes))

    def forward(self, values: Tensor) -> Tensor:
        """Return (..., last size) for values (..., inputs)."""
        return self.downs(values)


class MultiMLP(nn.Module):
    """The network with separate stacks: maps windows of a fixed length, in the common frame, to sick-class logits."""

    def __init__(
        self, window_length: int, pose_layers: Sequence[int], classifier_layers: Sequence[int], joints: int = 22
    ):
        super().__init__()
        self.posefeatureextractor = PerceptronStack(3 * joints, pose_layers)
        self.featureclassifier = PerceptronStack(window_length * pose_layers[-1], classifier_layers)
        self.last_layer = nn.Linear(classifier_layers[-1], 1)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits (N,) of windows (N, L, J, 3)."""
        frames = self.posefeatureextractor(windows.flatten(2))
        return self.last_layer(self.featureclassifier(frames.flatten(1))).squeeze(-1)


class SequentialMLP(nn.Module):
    """The same function as one sequence of layers."""

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
        """Return logits (N,) of windows (N, L, J, 3)."""
        return self.features(windows).squeeze(-1)


def to_sequential_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of a ``SequentialMLP`` from that of a ``MultiMLP``; the tensors are shared."""
    pose = sum(name.startswith("posefeatureextractor.") and name.endswith(".weight") for name in weights)
    classifier = sum(name.startswith("featureclassifier.") and name.endswith(".weight") for name in weights)
    return _rename_layers(weights, sequential_layer_names(pose, classifier))


def to_multi_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of a ``MultiMLP`` from that of a ``SequentialMLP``; the tensors are shared."""
    indices = [int(name.split(".")[1]) for name in weights if name.endswith(".weight")]
    pose = sum(index % 2 for index in indices)  # the second Flatten shifts the following indices by one
    names = sequential_layer_names(pose, len(indices) - pose - 1)
    return _rename_layers(weights, {sequential: multi for multi, sequential in names.items()})


def sequential_layer_names(pose_layers: int, classifier_layers: int) -> dict[str, str]:
    """Return {name in ``MultiMLP``: name in ``SequentialMLP``} of the layers that have weights, in order."""
    multi = [f"posefeatureextractor.downs.{2 * layer}" for layer in range(pose_layers)]
    multi += [f"featureclassifier.downs.{2 * layer}" for layer in range(classifier_layers)] + ["last_layer"]
    return {name: f"features.{2 * index + 1 + (index >= pose_layers)}" for index, name in enumerate(multi)}


def _rename_layers(weights: Mapping[str, Tensor], layers: Mapping[str, str]) -> dict[str, Tensor]:
    return {
        f"{layers[layer]}.{kind}": tensor
        for layer, _, kind, tensor in ((*name.rpartition("."), tensor) for name, tensor in weights.items())
    }


def _layers(inputs: int, sizes: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for index, (before, after) in enumerate(zip([inputs, *sizes], sizes, strict=False)):
        layers += [nn.Linear(before, after), nn.ReLU() if index else nn.LeakyReLU(0.01)]
    return layers
