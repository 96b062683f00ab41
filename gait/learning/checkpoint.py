"""A trained network on disk: tensors and plain data only, so that reading one never runs anything in it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from gait.errors import GaitError
from gait.files.atomic_write import replacing_file
from gait.files.safe_torch_load import OpaqueObject, read_tensor_file
from gait.learning.architecture import Architecture, MLPArchitecture, architecture_from_dict, architecture_of
from gait.learning.legacy_module import module_heads, module_weights

FORMAT = "gait network"
FORMAT_VERSION = 1


_KINDS: dict[str, Any] = {
    "architecture": dict,
    "weights": dict,
    "window_length": int,
    "frame_rate_hz": float | int,
    "normalisation": str,
    "joints": tuple,
    "fold": dict,
    "arguments": dict,
    "versions": dict,
    "metrics": dict,
    "mean_window": Tensor | None,
    "training_state": dict | None,
}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A network, what it was trained on, and how it came to be."""

    architecture: Architecture
    weights: Mapping[str, Tensor]  # state dict, published names
    window_length: int  # frames
    frame_rate_hz: float
    normalisation: str  # of the windows: its name
    joints: tuple[str, ...]  # names, in the order of the windows
    fold: Mapping[str, Any] = field(default_factory=dict)  # index, count, training and evaluation persons
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of the command
    versions: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    mean_window: Tensor | None = None  # (L, J, 3) of the training set, common frame
    training_state: Mapping[str, Any] | None = None  # optimiser, epoch, random state, history: what resuming needs

    def network(self) -> nn.Module:
        """The network with these weights, in evaluation mode."""
        return _filled(self.architecture, self.weights)


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        GaitError: the place cannot be written; what was there stays.
        TypeError: something in it is neither a tensor nor plain data.
    """
    content = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    content["architecture"] = checkpoint.architecture.as_dict()
    plain = _plain(content, "checkpoint")
    written = io.BytesIO()  # torch's own files say of a full disk that torch is broken
    torch.save({"format": FORMAT, "format_version": FORMAT_VERSION, **plain}, written)
    with replacing_file(Path(path)) as partial:
        partial.write_bytes(written.getbuffer())


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint of this suite; tensors come to the CPU, dicts, lists and plain values as they were.

    Raises:
        GaitError: it cannot be read, is damaged, no checkpoint of this suite, or of a newer one.
    """
    path = Path(path)
    with _named(path):
        content = _content(path)
        if not _is_checkpoint(content):
            raise GaitError("weights alone, no checkpoint of this suite; only training here makes one.")
        return _as_checkpoint(content)


def load_network(
    path: str | Path,
    *,
    pose_heads: int | None = None,
    classifier_heads: int | None = None,
    window_length: int | None = None,
) -> tuple[nn.Module, Checkpoint | None]:
    """A network in evaluation mode, on the CPU, from a checkpoint or from weights under the published names.

    Such weights may be a state dict or a whole module as ``torch.save(model)`` pickles it; of that the weights are
    taken and nothing is run.

    Args:
        path: the file.
        pose_heads: of a transformer whose state dict this is: it does not hold them.
        classifier_heads: likewise.
        window_length: frames that the network must take, if that is to be checked.

    Returns:
        the network, and the checkpoint, None if there are weights alone.

    Raises:
        GaitError: it cannot be read, is damaged, holds no known network, or one for other windows.
    """
    path = Path(path)
    with _named(path):
        content = _content(path)
        if _is_checkpoint(content):
            checkpoint = _as_checkpoint(content)
            _check_length(checkpoint.window_length, window_length)
            return checkpoint.network(), checkpoint
        if isinstance(content, OpaqueObject):
            heads = module_heads(content)
            pose_heads = pose_heads or heads.get("feature_extractor.transformer_encoder.layers.0.self_attn")
            classifier_heads = classifier_heads or heads.get("feature_merger.transformer_encoder.layers.0.self_attn")
            content = module_weights(content)
        weights = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        architecture = architecture_of(weights, pose_heads=pose_heads, classifier_heads=classifier_heads)
        if isinstance(architecture, MLPArchitecture):
            _check_length(architecture.window_length, window_length)
        return _filled(architecture, weights), None


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors say which file they are about."""
    try:
        yield
    except GaitError as error:
        raise GaitError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None


def _check_length(length: int, wanted: int | None) -> None:
    if wanted not in (None, length):
        raise GaitError(f"a network for windows of {length} frames, not of {wanted}.")


def _content(path: Path) -> Mapping[str, Any] | OpaqueObject:
    content: Any
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise GaitError(f"cannot be read ({error.strerror or error}).") from None
    except Exception:  # damaged, or there is more in it: what can be read of it without running it?
        content = read_tensor_file(path)
    if not isinstance(content, Mapping | OpaqueObject):
        raise GaitError(f"holds a {type(content).__name__}, no checkpoint and no weights.")
    return content


def _is_checkpoint(content: Mapping[str, Any] | OpaqueObject) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(content, Mapping) and content.get("format") == FORMAT


def _as_checkpoint(content: Mapping[str, Any]) -> Checkpoint:
    version = content.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise GaitError(f"format {version} of a newer suite, this one knows up to {FORMAT_VERSION}; use the newer one.")
    try:
        parts = {field.name: content[field.name] for field in fields(Checkpoint)}
        for name, kinds in _KINDS.items():
            if not isinstance(parts[name], kinds):
                raise GaitError(f"damaged checkpoint: {name} is a {type(parts[name]).__name__}.")
        mean = parts["mean_window"]
        if mean is not None and mean.shape != (parts["window_length"], len(parts["joints"]), 3):
            raise GaitError(f"damaged checkpoint: mean_window has shape {tuple(mean.shape)}.")
        parts["architecture"] = architecture_from_dict(parts["architecture"])
        return Checkpoint(**parts)
    except KeyError as error:
        raise GaitError(f"damaged checkpoint: no {error.args[0]} in it.") from None


def _filled(architecture: Architecture, weights: Mapping[str, Tensor]) -> nn.Module:
    try:
        with torch.device("meta"):  # names and shapes without the memory for them
            needed = {name: tuple(tensor.shape) for name, tensor in architecture.build().state_dict().items()}
    except RuntimeError:
        raise GaitError(f"no network can be that large: {architecture}.") from None
    for name, shape in needed.items():
        found = tuple(weights[name].shape) if name in weights else None
        if found != shape:
            raise GaitError(f"weights {name} have shape {found}, needed is {shape}.")
        if weights[name].untyped_storage().nbytes() < weights[name].nbytes:
            raise GaitError(f"weights {name} claim more numbers than the file holds.")
        if not torch.isfinite(weights[name]).all():
            raise GaitError(f"weights {name} hold numbers that are not finite.")
    unknown = sorted(weights.keys() - needed.keys())
    if unknown:
        raise GaitError(f"weights of another network: {unknown[0]} has no place in a {architecture.kind}.")
    network = architecture.build()
    network.load_state_dict(dict(weights))
    return network.eval()


def _plain(value: Any, name: str) -> Any:
    """The same in dicts, lists, tuples, tensors on the CPU and plain values alone."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {_plain(key, name): _plain(item, f"{name}.{key}") for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item, f"{name}[{place}]") for place, item in enumerate(value))
    raise TypeError(f"{name} is a {type(value).__name__}: a checkpoint holds tensors and plain data only")
