"""A trained network on disk: tensors and plain data only, so that reading one never runs anything in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gait.crew.whole_folder import replacing_file
from gait.errors import GaitError
from gait.learning.architecture import Architecture, MLPArchitecture, architecture_from_dict, architecture_of

FORMAT = "gait network"
FORMAT_VERSION = 1


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
    with replacing_file(Path(path)) as partial:
        torch.save({"format": FORMAT, "format_version": FORMAT_VERSION, **plain}, partial)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint of this suite; tensors come to the CPU.

    Raises:
        GaitError: it can't be read, is damaged, no checkpoint of this suite, or of a newer one.
    """
    return _as_checkpoint(_content(Path(path)), Path(path))


def load_network(
    path: str | Path,
    *,
    pose_heads: int | None = None,
    classifier_heads: int | None = None,
    window_length: int | None = None,
) -> tuple[nn.Module, Checkpoint | None]:
    """A network in evaluation mode from a checkpoint, or from a bare state dict under the published names.

    Args:
        path: the file.
        pose_heads: of a transformer whose bare weights these are.
        classifier_heads: likewise.
        window_length: frames the network must take, if that is to be checked.

    Returns:
        the network, and the checkpoint, None of bare weights.

    Raises:
        GaitError: it can't be read, is damaged, holds no known network, or one for other windows.
    """
    path = Path(path)
    content = _content(path)
    checkpoint = None
    length: int | None = None
    try:
        if "format" in content:
            checkpoint = _as_checkpoint(content, path)
            network = checkpoint.network()
            length = checkpoint.window_length
        else:
            weights = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
            architecture = architecture_of(weights, pose_heads=pose_heads, classifier_heads=classifier_heads)
            network = _filled(architecture, weights)
            if isinstance(architecture, MLPArchitecture):
                length = architecture.window_length
    except GaitError as error:
        raise GaitError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    if None not in (window_length, length) and window_length != length:
        raise GaitError(f"{path}: a network for windows of {length} frames, not {window_length}.")
    return network, checkpoint


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise GaitError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except Exception as error:  # a damaged zip or pickle can raise nearly anything
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise GaitError(f"{path}: damaged, or no checkpoint of tensors and plain data ({reason}).") from None
    if not isinstance(content, Mapping):
        raise GaitError(f"{path}: holds a {type(content).__name__}, no checkpoint.")
    return content


def _as_checkpoint(content: Mapping[str, Any], path: Path) -> Checkpoint:
    if content.get("format") != FORMAT:
        raise GaitError(f"{path}: no checkpoint of this suite.")
    version = content.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise GaitError(
            f"{path}: checkpoint format {version}, this suite knows up to {FORMAT_VERSION}; use a newer one."
        )
    try:
        parts = {field.name: content[field.name] for field in fields(Checkpoint)}
        parts["architecture"] = architecture_from_dict(parts["architecture"])
        parts["joints"] = tuple(parts["joints"])
        return Checkpoint(**parts)
    except (KeyError, TypeError, ValueError) as error:
        raise GaitError(f"{path}: damaged checkpoint ({error}).") from None
    except GaitError as error:
        raise GaitError(f"{path}: damaged checkpoint: {error}") from None


def _filled(architecture: Architecture, weights: Mapping[str, Tensor]) -> nn.Module:
    network = architecture.build()
    for name, needed in network.state_dict().items():
        found = tuple(weights[name].shape) if name in weights else None
        if found != tuple(needed.shape):
            raise GaitError(f"weights {name} have shape {found}, needed is {tuple(needed.shape)}.")
        if not torch.isfinite(weights[name]).all():
            raise GaitError(f"weights {name} hold numbers that are not finite.")
    network.load_state_dict(dict(weights), strict=False)
    return network.eval()


def _plain(value: Any, name: str) -> Any:
    """The same in dicts, lists, tensors and plain values alone."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {_plain(key, name): _plain(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{name}[{place}]") for place, item in enumerate(value)]
    raise TypeError(f"{name} is a {type(value).__name__}: a checkpoint holds tensors and plain data only")
