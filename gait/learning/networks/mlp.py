"""The multi-layer perceptron: it encodes the joints of each frame to a vector, and all frames of a window to a logit.

Its weights have one of two published namings: separate stacks of layers ("multi_mlp"), or a single sequence of layers
("sequential_mlp").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor, nn

from gait.cli.arguments import argument, whole_number
from gait.errors import GaitError
from gait.learning.network import RECOMMENDED, Architecture, Network


class MLP(nn.Module):
    """The network: maps windows of a fixed length, in the common frame, to logits of the sick class."""

    def __init__(
        self,
        window_length: int,
        pose_layers: Sequence[int],
        classifier_layers: Sequence[int],
        joints: int = 22,
        *,
        sequential: bool = False,
    ):
        super().__init__()
        pose = _layers(3 * joints, pose_layers)
        classifier = _layers(window_length * pose_layers[-1], classifier_layers)
        last = nn.Linear(classifier_layers[-1], 1)
        layers = [nn.Flatten(2), *pose, nn.Flatten(1), *classifier, last]
        if sequential:
            self.features = nn.Sequential(*layers)
        else:
            self.posefeatureextractor = nn.ModuleDict({"downs": nn.Sequential(*pose)})
            self.featureclassifier = nn.ModuleDict({"downs": nn.Sequential(*classifier)})
            self.last_layer = last

    @property
    def layers(self) -> list[nn.Module]:
        """The layers in order, from windows (N, L, J, 3) to the logit (N, 1)."""
        if hasattr(self, "features"):
            return list(self.features)
        pose, classifier = self.posefeatureextractor["downs"], self.featureclassifier["downs"]
        return [nn.Flatten(2), *pose, nn.Flatten(1), *classifier, self.last_layer]  # type: ignore[misc]

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits (N,) of windows (N, L, J, 3)."""
        values = windows
        for layer in self.layers:
            values = layer(values)
        return values.squeeze(-1)


def _layers(inputs: int, sizes: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for index, (before, after) in enumerate(zip([inputs, *sizes], sizes, strict=False)):
        layers += [nn.Linear(before, after), nn.ReLU() if index else nn.LeakyReLU(0.01)]
    return layers


_LAYERS = (256, 512, 256, 64)
_KINDS = ("multi_mlp", "sequential_mlp")


def _layer_flag(level: str, flag: str, alias: str) -> Any:
    return argument(
        _LAYERS, f"units per layer of the {level}", flag=flag, aliases=(alias,), type=whole_number, metavar="N"
    )


@dataclass(frozen=True)
class MLPArchitecture(Architecture):
    """The sizes of an ``MLP``, and the naming of its weights.

    Raises:
        GaitError: a size is out of range; the message names the flags.
    """

    kind: str = argument(  # type: ignore[misc]  # a field here, the same for all in other architectures
        "multi_mlp",
        "name the weights as the sequential form does; the same function, does not compute LRP",
        flag="--lrp",
        aliases=("--sequential",),
        action="store_const",
        const="sequential_mlp",
    )
    window_length: int = 128  # frames
    pose_layers: tuple[int, ...] = _layer_flag("frame encoder", "--pfe_layers", "--frame_layers")
    classifier_layers: tuple[int, ...] = _layer_flag("window classifier", "--fc_layers", "--window_layers")
    joints: int = 22

    def __post_init__(self) -> None:
        object.__setattr__(self, "pose_layers", tuple(self.pose_layers))
        object.__setattr__(self, "classifier_layers", tuple(self.classifier_layers))
        if self.kind not in _KINDS:
            raise GaitError(f"unknown network {self.kind!r}; there are {', '.join(_KINDS)}.")
        for flag, sizes in (("--pfe_layers", self.pose_layers), ("--fc_layers", self.classifier_layers)):
            if not sizes or min(sizes) < 1:
                given = " ".join(map(str, sizes)) or "(none)"
                raise GaitError(f"{flag} {given}: needs at least one layer, each of 1 or more units.")
        if self.window_length < 1:
            raise GaitError(f"--interval_size {self.window_length}: must be 1 or more.")
        if self.joints < 1:
            raise GaitError(f"{self.joints} joints: there must be at least one.")

    def build(self) -> MLP:
        """Return a network with random weights, drawn from torch's global generator."""
        sequential = self.kind == "sequential_mlp"
        return MLP(self.window_length, self.pose_layers, self.classifier_layers, self.joints, sequential=sequential)

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor], sizes: Mapping[str, Any]) -> Self | None:
        """Return the architecture of a state dict with either naming."""
        if "last_layer.weight" in weights:
            kind = "multi_mlp"
            pose = _layer_shapes(weights, r"posefeatureextractor\.downs\.(\d+)\.weight")
            classifier = _layer_shapes(weights, r"featureclassifier\.downs\.(\d+)\.weight")
        elif "features.1.weight" in weights:
            kind = "sequential_mlp"
            layers = _layer_shapes(weights, r"features\.(\d+)\.weight")
            pose = {index: shape for index, shape in layers.items() if index % 2}
            classifier = {index: shape for index, shape in layers.items() if not index % 2}
            classifier.popitem()  # the last layer gives the logit
        else:
            return None
        if not pose or not classifier:
            raise GaitError("weights of an MLP, but layers are missing.")
        pose_sizes, classifier_sizes = list(pose.values()), list(classifier.values())
        window_length, rest = divmod(classifier_sizes[0][1], pose_sizes[-1][0])
        joints, odd = divmod(pose_sizes[0][1], 3)
        if rest or odd:
            raise GaitError("weights of an MLP, but its input sizes give no whole number of joints and frames.")
        pose_layers, classifier_layers = (tuple(out for out, _ in shapes) for shapes in (pose_sizes, classifier_sizes))
        return cls(kind, window_length, pose_layers, classifier_layers, joints)


def _layer_shapes(weights: Mapping[str, Tensor], pattern: str) -> dict[int, tuple[int, int]]:
    """Return {layer index: (outputs, inputs)} of the linear layers whose names match, in order."""
    found = ((re.fullmatch(pattern, name), tensor) for name, tensor in weights.items())
    shapes = {int(match[1]): tuple(tensor.shape) for match, tensor in found if match}
    if any(len(shape) != 2 for shape in shapes.values()):
        raise GaitError("weights of an MLP, but not with the shapes of linear layers.")
    return {index: (shape[0], shape[1]) for index, shape in sorted(shapes.items())}


NETWORK = Network(
    name="mlp",
    title="MLP",
    description="The MLP (multi-layer perceptron) weights every joint of every frame.",
    architecture=MLPArchitecture,
    modules=(MLP,),
    kinds=_KINDS,
    defaults={"batch_size": 64, "window_length": 128, "epochs": 75, "learning_rate": 1e-5},
    recommended={
        **RECOMMENDED,
        "specificity": 0.98,
        "offset": 0.18,
        "individuality": 2.0,
        "ensemble": 8,
        "epochs": 80,
        "learning_rate": 0.001,
        "pose_layers": (32,),
        "classifier_layers": (32,),
    },
    relevance_rules={
        "epsilon": "gait.explaining.lrp_mlp:lrp_epsilon",
        "original": "gait.explaining.lrp_mlp:lrp_original",
    },
    weights_per_frame=True,
    order=0,
)
