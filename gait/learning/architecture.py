"""The sizes of each kind of network: enough to build it, or to explain why it cannot be built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from torch import Tensor

from gait.errors import GaitError
from gait.learning import old_names
from gait.learning.mlp import MultiMLP, SequentialMLP
from gait.learning.transformer import GaitTransformer

MLP_KINDS = ("multi_mlp", "sequential_mlp")


@dataclass(frozen=True)
class TransformerArchitecture:
    """The sizes of a ``GaitTransformer``.

    Raises:
        GaitError: the heads do not divide the dimensions, or a size is out of range; the message names the flags.
    """

    kind: ClassVar[str] = "transformer"
    pose_dim: int = 128  # of the vector of a frame
    classifier_dim: int = 128  # of the vector of a window
    pose_heads: int = 2
    classifier_heads: int = 2
    ffn_dim: int = 2048
    dropout: float = 0.1  # probability
    frame_subsampling: int = 1  # in training, one frame out of this many consecutive frames is used

    def __post_init__(self) -> None:
        for dim, heads, flags in (
            (self.pose_dim, self.pose_heads, ("--pfe_dim", "--pfe_head")),
            (self.classifier_dim, self.classifier_heads, ("--fc_dim", "--fc_head")),
        ):
            if dim < 2 or dim % 2:
                raise GaitError(f"{flags[0]} {dim}: must be an even number, 2 or more, for the positional encoding.")
            if heads < 1 or dim % heads:
                divisors = ", ".join(str(n) for n in range(1, dim + 1) if dim % n == 0)
                raise GaitError(f"{flags[1]} {heads} does not divide {flags[0]} {dim}; these do: {divisors}.")
        if self.ffn_dim < 1:
            raise GaitError(f"--ffn_dim {self.ffn_dim}: must be 1 or more.")
        if not 0 <= self.dropout < 1:
            raise GaitError(f"dropout {self.dropout}: must be at least 0 and less than 1.")
        if self.frame_subsampling < 1:
            raise GaitError(f"--one_frame_in {self.frame_subsampling}: must be 1 or more.")

    def build(self) -> GaitTransformer:
        """Return a network with random weights, drawn from torch's global generator."""
        return GaitTransformer(**asdict(self))

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, the inverse of ``architecture_from_dict``."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class MLPArchitecture:
    """The sizes of a ``MultiMLP`` or ``SequentialMLP``.

    Raises:
        GaitError: a size is out of range; the message names the flags.
    """

    kind: str  # "multi_mlp" or "sequential_mlp"
    window_length: int  # frames
    pose_layers: tuple[int, ...]
    classifier_layers: tuple[int, ...]
    joints: int = 22

    def __post_init__(self) -> None:
        object.__setattr__(self, "pose_layers", tuple(self.pose_layers))
        object.__setattr__(self, "classifier_layers", tuple(self.classifier_layers))
        if self.kind not in MLP_KINDS:
            raise GaitError(f"unknown network {self.kind!r}; there are {', '.join(MLP_KINDS)}.")
        for flag, sizes in (("--pfe_layers", self.pose_layers), ("--fc_layers", self.classifier_layers)):
            if not sizes or min(sizes) < 1:
                given = " ".join(map(str, sizes)) or "(none)"
                raise GaitError(f"{flag} {given}: needs at least one layer, each of 1 or more units.")
        if self.window_length < 1:
            raise GaitError(f"--interval_size {self.window_length}: must be 1 or more.")
        if self.joints < 1:
            raise GaitError(f"{self.joints} joints: there must be at least one.")

    def build(self) -> MultiMLP | SequentialMLP:
        """Return a network with random weights, drawn from torch's global generator."""
        network = MultiMLP if self.kind == "multi_mlp" else SequentialMLP
        return network(self.window_length, self.pose_layers, self.classifier_layers, self.joints)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, the inverse of ``architecture_from_dict``."""
        return {
            **asdict(self),
            "pose_layers": list(self.pose_layers),
            "classifier_layers": list(self.classifier_layers),
        }


Architecture = TransformerArchitecture | MLPArchitecture


def architecture_from_dict(plain: Mapping[str, Any]) -> Architecture:
    """Return the architecture from its plain data, also from that of earlier versions.

    Raises:
        GaitError: the data describe no known network.
    """
    sizes = old_names.rename_keys(plain, old_names.ARCHITECTURE)
    kind = sizes.pop("kind", None)
    try:
        for name, size in sizes.items():
            for number in size if isinstance(size, list | tuple) else [size]:
                if not isinstance(number, int) and name != "dropout":
                    raise TypeError
        return TransformerArchitecture(**sizes) if kind == "transformer" else MLPArchitecture(kind=kind, **sizes)
    except TypeError:
        shown = ", ".join(f"{name} {size}" for name, size in sizes.items())[:160] or "nothing"
        raise GaitError(f"network {kind!r} with {shown}: no known network.") from None


def infer_architecture(
    weights: Mapping[str, Tensor], *, pose_heads: int | None = None, classifier_heads: int | None = None
) -> Architecture:
    """Return the architecture of a state dict without metadata, which has the published names.

    The numbers of heads of a transformer cannot be inferred from its weights and must be given.

    Raises:
        GaitError: a number of heads is missing, or the weights belong to no known network.
    """
    if "feature_extractor.input_embedding.weight" in weights:
        return _infer_transformer(weights, pose_heads, classifier_heads)
    if "last_layer.weight" in weights:
        pose = _layer_shapes(weights, r"posefeatureextractor\.downs\.(\d+)\.weight")
        classifier = _layer_shapes(weights, r"featureclassifier\.downs\.(\d+)\.weight")
        return _infer_mlp("multi_mlp", pose, classifier)
    if "features.1.weight" in weights:
        layers = _layer_shapes(weights, r"features\.(\d+)\.weight")
        pose = {index: shape for index, shape in layers.items() if index % 2}
        classifier = {index: shape for index, shape in layers.items() if not index % 2}
        return _infer_mlp("sequential_mlp", pose, dict(list(classifier.items())[:-1]))
    found = ", ".join(sorted(weights)[:4]) or "nothing"
    raise GaitError(f"weights of no known network (found {found}).")


def _infer_transformer(
    weights: Mapping[str, Tensor], pose_heads: int | None, classifier_heads: int | None
) -> TransformerArchitecture:
    if pose_heads is None or classifier_heads is None:
        raise GaitError(
            "the weights of a transformer without metadata do not contain its numbers of heads: give --pfe_head and "
            "--fc_head."
        )
    try:
        pose_dim, _ = weights["feature_extractor.input_embedding.weight"].shape
        classifier_dim, _ = weights["feature_merger.input_embedding.weight"].shape
        ffn_dim, _ = weights["feature_extractor.transformer_encoder.layers.0.linear1.weight"].shape
    except (KeyError, ValueError) as error:
        raise GaitError(f"weights of a transformer, but incomplete or of wrong shapes ({error}).") from None
    return TransformerArchitecture(pose_dim, classifier_dim, pose_heads, classifier_heads, ffn_dim)


def _layer_shapes(weights: Mapping[str, Tensor], pattern: str) -> dict[int, tuple[int, int]]:
    """Return {layer index: (outputs, inputs)} of the linear layers whose names match, in order."""
    found = ((re.fullmatch(pattern, name), tensor) for name, tensor in weights.items())
    shapes = {int(match[1]): tuple(tensor.shape) for match, tensor in found if match}
    if any(len(shape) != 2 for shape in shapes.values()):
        raise GaitError("weights of an MLP, but not with the shapes of linear layers.")
    return {index: (shape[0], shape[1]) for index, shape in sorted(shapes.items())}


def _infer_mlp(kind: str, pose: dict[int, tuple[int, int]], classifier: dict[int, tuple[int, int]]) -> MLPArchitecture:
    if not pose or not classifier:
        raise GaitError("weights of an MLP, but layers are missing.")
    pose_sizes, classifier_sizes = list(pose.values()), list(classifier.values())
    window_length, rest = divmod(classifier_sizes[0][1], pose_sizes[-1][0])
    joints, odd = divmod(pose_sizes[0][1], 3)
    if rest or odd:
        raise GaitError("weights of an MLP, but its input sizes give no whole number of joints and frames.")
    return MLPArchitecture(
        kind, window_length, tuple(out for out, _ in pose_sizes), tuple(out for out, _ in classifier_sizes), joints
    )
