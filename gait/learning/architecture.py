"""What a network is made of: enough to build it again, or to say why it can't be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from torch import Tensor

from gait.errors import GaitError
from gait.learning.mlp import MultiMLP, SequentialMLP
from gait.learning.transformer import GaitTransformer

MLP_KINDS = ("multi_mlp", "sequential_mlp")


@dataclass(frozen=True)
class TransformerArchitecture:
    """Sizes of a ``GaitTransformer``.

    Raises GaitError, naming the flags, if the heads don't divide the dimensions or a size makes no sense.
    """

    kind: ClassVar[str] = "transformer"
    pose_dim: int = 128  # of a frame's vector
    classifier_dim: int = 128  # of a window's vector
    pose_heads: int = 2
    classifier_heads: int = 2
    ffn_dim: int = 2048
    dropout: float = 0.1  # share of values set to zero in training
    one_frame_in: int = 1  # of so many consecutive frames one is looked at in training

    def __post_init__(self) -> None:
        for dim, heads, flags in (
            (self.pose_dim, self.pose_heads, ("--pfe_dim", "--pfe_head")),
            (self.classifier_dim, self.classifier_heads, ("--fc_dim", "--fc_head")),
        ):
            if dim < 2 or dim % 2:
                raise GaitError(f"{flags[0]} {dim}: must be an even number, 2 or more; positions are pairs of numbers.")
            if heads < 1 or dim % heads:
                fitting = ", ".join(str(n) for n in range(1, dim + 1) if dim % n == 0)
                raise GaitError(f"{flags[1]} {heads} does not divide {flags[0]} {dim}; these do: {fitting}.")
        if self.ffn_dim < 1:
            raise GaitError(f"--ffn_dim {self.ffn_dim}: must be 1 or more.")
        if not 0 <= self.dropout < 1:
            raise GaitError(f"dropout {self.dropout}: must be at least 0 and less than 1.")
        if self.one_frame_in < 1:
            raise GaitError(f"--one_frame_in {self.one_frame_in}: must be 1 or more.")

    def build(self) -> GaitTransformer:
        """The network, its weights random (torch's generator)."""
        return GaitTransformer(**asdict(self))

    def as_dict(self) -> dict[str, Any]:
        """Plain data, of which ``architecture_from_dict`` makes the same again."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class MLPArchitecture:
    """Sizes of a ``MultiMLP`` or ``SequentialMLP``; raises GaitError, naming the flags, if one makes no sense."""

    kind: str  # "multi_mlp" or "sequential_mlp"
    window_length: int  # frames
    pose_layers: tuple[int, ...]
    classifier_layers: tuple[int, ...]
    joints: int = 22

    def __post_init__(self) -> None:
        object.__setattr__(self, "pose_layers", tuple(self.pose_layers))
        object.__setattr__(self, "classifier_layers", tuple(self.classifier_layers))
        if self.kind not in MLP_KINDS:
            raise GaitError(f"network {self.kind!r} is unknown; there are {', '.join(MLP_KINDS)}.")
        for flag, sizes in (("--pfe_layers", self.pose_layers), ("--fc_layers", self.classifier_layers)):
            if not sizes or min(sizes) < 1:
                said = " ".join(map(str, sizes)) or "(none)"
                raise GaitError(f"{flag} {said}: needs at least one layer, each of 1 or more numbers.")
        if self.window_length < 1:
            raise GaitError(f"--interval_size {self.window_length}: must be 1 or more.")
        if self.joints < 1:
            raise GaitError(f"{self.joints} joints: there must be at least one.")

    def build(self) -> MultiMLP | SequentialMLP:
        """The network, its weights random (torch's generator)."""
        network = MultiMLP if self.kind == "multi_mlp" else SequentialMLP
        return network(self.window_length, self.pose_layers, self.classifier_layers, self.joints)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, of which ``architecture_from_dict`` makes the same again."""
        return {
            **asdict(self),
            "pose_layers": list(self.pose_layers),
            "classifier_layers": list(self.classifier_layers),
        }


Architecture = TransformerArchitecture | MLPArchitecture


def architecture_from_dict(plain: Mapping[str, Any]) -> Architecture:
    """The architecture that ``as_dict`` wrote; raises GaitError if this is none."""
    sizes = dict(plain)
    kind = sizes.pop("kind", None)
    try:
        for name, size in sizes.items():
            for one in size if isinstance(size, list | tuple) else [size]:
                if not isinstance(one, int) and name != "dropout":
                    raise TypeError
        return TransformerArchitecture(**sizes) if kind == "transformer" else MLPArchitecture(kind=kind, **sizes)
    except TypeError:
        raise GaitError(f"network {kind!r} with {_listed(sizes)}: no known network.") from None


def _listed(sizes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {size}" for name, size in sizes.items())[:160] or "nothing"


def architecture_of(
    weights: Mapping[str, Tensor], *, pose_heads: int | None = None, classifier_heads: int | None = None
) -> Architecture:
    """The architecture of bare weights under the published names.

    A transformer's numbers of heads show nowhere in its weights and must be given. Raises GaitError if they are not,
    or the weights are those of no known network.
    """
    if "feature_extractor.input_embedding.weight" in weights:
        return _of_transformer(weights, pose_heads, classifier_heads)
    if "last_layer.weight" in weights:
        pose = _row_sizes(weights, r"posefeatureextractor\.downs\.(\d+)\.weight")
        classifier = _row_sizes(weights, r"featureclassifier\.downs\.(\d+)\.weight")
        return _of_mlp("multi_mlp", pose, classifier)
    if "features.1.weight" in weights:
        layers = _row_sizes(weights, r"features\.(\d+)\.weight")
        pose = {place: sizes for place, sizes in layers.items() if place % 2}
        classifier = {place: sizes for place, sizes in layers.items() if not place % 2}
        return _of_mlp("sequential_mlp", pose, dict(list(classifier.items())[:-1]))
    some = ", ".join(sorted(weights)[:4]) or "nothing"
    raise GaitError(f"weights of no known network (found {some}).")


def _of_transformer(
    weights: Mapping[str, Tensor], pose_heads: int | None, classifier_heads: int | None
) -> TransformerArchitecture:
    if pose_heads is None or classifier_heads is None:
        raise GaitError(
            "bare weights of a transformer do not say how many heads it has: give --pfe_head and --fc_head."
        )
    try:
        pose_dim, _ = weights["feature_extractor.input_embedding.weight"].shape
        classifier_dim, _ = weights["feature_merger.input_embedding.weight"].shape
        ffn_dim, _ = weights["feature_extractor.transformer_encoder.layers.0.linear1.weight"].shape
    except (KeyError, ValueError) as error:
        raise GaitError(f"weights of a transformer, but not all or of other shapes ({error}).") from None
    return TransformerArchitecture(pose_dim, classifier_dim, pose_heads, classifier_heads, ffn_dim)


def _row_sizes(weights: Mapping[str, Tensor], pattern: str) -> dict[int, tuple[int, int]]:
    """(outputs, inputs) of the linear layers whose names match, by their place, in order."""
    found = ((re.fullmatch(pattern, name), tensor) for name, tensor in weights.items())
    sizes = {int(match[1]): tuple(tensor.shape) for match, tensor in found if match}
    if any(len(shape) != 2 for shape in sizes.values()):
        raise GaitError("weights of an MLP, but of other shapes than a linear layer's.")
    return {place: (shape[0], shape[1]) for place, shape in sorted(sizes.items())}


def _of_mlp(kind: str, pose: dict[int, tuple[int, int]], classifier: dict[int, tuple[int, int]]) -> MLPArchitecture:
    if not pose or not classifier:
        raise GaitError("weights of an MLP, but layers are missing.")
    pose_sizes, classifier_sizes = list(pose.values()), list(classifier.values())
    window_length, rest = divmod(classifier_sizes[0][1], pose_sizes[-1][0])
    joints, odd = divmod(pose_sizes[0][1], 3)
    if rest or odd:
        raise GaitError("weights of an MLP, but its first layers fit no whole number of joints and frames.")
    return MLPArchitecture(
        kind, window_length, tuple(out for out, _ in pose_sizes), tuple(out for out, _ in classifier_sizes), joints
    )
