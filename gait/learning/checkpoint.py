"""Trained networks on disk. A checkpoint holds only tensors and plain data, so reading one never runs code from it."""

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
from gait.files.atomic_write import atomic_file
from gait.files.safe_torch_load import OpaqueObject, module_heads, module_weights, read_tensor_file
from gait.learning import legacy_keys
from gait.learning.ensemble import build_ensemble, with_threshold
from gait.learning.network import Architecture
from gait.learning.networks import architecture_from_dict, infer_architecture
from gait.motion.inputs import INPUTS, PUBLISHED
from gait.motion.window_input import InputReference
from gait.motion.window_placement import FRAMES, PLACEMENTS

FORMAT = "gait network"
FORMAT_VERSION = 3
"""Version 1 has other keys (``legacy_keys``) and is still read. Version 3 is of networks that need more than the
published input; others are written as version 2, which earlier versions of this package read, too."""
_PUBLISHED_VERSION = 2
_MAX_MEMBERS = 1000

_TYPES: dict[str, Any] = {
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
    "left_out_joints": tuple,
    "input": str,
    "windows": str,
    "reference": dict,
    "ensemble": int,
    "threshold": float | int,
    "control_logit": float | int | None,
}
_LATER_FIELDS = frozenset(
    {"left_out_joints", "input", "windows", "reference", "ensemble", "threshold", "control_logit"}
)
"""The fields that files of earlier versions do not have."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained network, its windows, its training data and its training settings."""

    architecture: Architecture
    weights: Mapping[str, Tensor]  # state dict, published names
    window_length: int  # frames
    frame_rate_hz: float
    normalisation: str  # name of the windows' normalization
    joints: tuple[str, ...]  # names, in the order of the windows
    fold: Mapping[str, Any] = field(default_factory=dict)  # index, count, training and evaluation subjects
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of the command line
    versions: Mapping[str, str] = field(default_factory=dict)  # of packages
    metrics: Mapping[str, Any] = field(default_factory=dict)  # by windows and by subjects
    mean_window: Tensor | None = None  # (L, J, 3) of the training set, in the common frame
    training_state: Mapping[str, Any] | None = None  # optimizer, epochs, best weights: all that resuming needs
    left_out_joints: tuple[str, ...] = ()  # names of joints that are 0 in every window
    input: str = PUBLISHED  # one of ``INPUTS``
    windows: str = FRAMES  # one of ``PLACEMENTS``
    reference: InputReference = field(default_factory=InputReference)  # what windows are relative to
    ensemble: int = 1  # number of networks whose mean logit counts
    threshold: float = 0.0  # logit above which the prediction is sick
    # median logit of training controls by networks that have not seen them, minus the threshold; None if unknown
    control_logit: float | None = None

    def build_network(self) -> nn.Module:
        """Return the network with these weights, in evaluation mode."""
        network = _build_network(self.architecture, self.weights, self.ensemble)
        return with_threshold(network, self.threshold)

    @property
    def is_published(self) -> bool:
        """True if the network alone, with windows of the published input, gives the predictions."""
        return (self.input, self.windows, self.ensemble, self.threshold) == (PUBLISHED, FRAMES, 1, 0)


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically.

    Raises:
        GaitError: the file cannot be written; an earlier file at this path stays.
        TypeError: the checkpoint contains something that is neither a tensor nor plain data.
    """
    content = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    content["architecture"] = checkpoint.architecture.as_dict()
    content["reference"] = checkpoint.reference.as_dict()
    version = _PUBLISHED_VERSION if checkpoint.is_published else FORMAT_VERSION
    plain = _to_plain_data(content, "checkpoint")
    written = io.BytesIO()  # if torch writes to a full disk itself, its error message names torch as the cause
    torch.save({"format": FORMAT, "format_version": version, **plain}, written)
    with atomic_file(Path(path)) as partial:
        partial.write_bytes(written.getbuffer())


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint; its tensors are on the CPU.

    Raises:
        GaitError: the file cannot be read, is damaged, is no checkpoint, or comes from a newer version.
    """
    path = Path(path)
    with _prefix_errors(path):
        content = _read_content(path)
        if not _is_checkpoint(content):
            raise GaitError("weights without metadata, no checkpoint of this package; train the network with it.")
        return _parse_checkpoint(content)


def read_network(
    path: str | Path, *, window_length: int | None = None, **sizes: int | None
) -> tuple[nn.Module, Checkpoint | None]:
    """Return the network in a checkpoint, or in weights that have the published names, on the CPU in evaluation mode.

    Weights without metadata are a state dict or a whole module, as ``torch.save(model)`` pickles it. From such a module
    only the weights are read; none of its code is run. The checkpoint is returned, too; None for such weights.
    ``sizes`` are those that a state dict lacks, e.g. ``pose_heads`` and ``classifier_heads`` of a transformer.

    Raises:
        GaitError: the file cannot be read, is damaged, or contains no known network or one for windows that are not of
            ``window_length`` frames, if given.
    """
    path = Path(path)
    with _prefix_errors(path):
        content = _read_content(path)
        if _is_checkpoint(content):
            checkpoint = _parse_checkpoint(content)
            _check_window_length(checkpoint.window_length, window_length)
            return checkpoint.build_network(), checkpoint
        if isinstance(content, OpaqueObject):
            sizes |= {f"{layer}.num_heads": heads for layer, heads in module_heads(content).items()}
            content = module_weights(content)
        weights = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        architecture = infer_architecture(weights, **sizes)
        _check_window_length(getattr(architecture, "window_length", None), window_length)
        return _build_network(architecture, weights), None


@contextmanager
def _prefix_errors(path: Path) -> Iterator[None]:
    """Prefix error messages with the file."""
    try:
        yield
    except GaitError as error:
        raise GaitError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None


def _check_window_length(length: int | None, required: int | None) -> None:
    if None not in (length, required) and length != required:
        raise GaitError(f"a network for windows of {length} frames, not of {required}.")


def _read_content(path: Path) -> Mapping[str, Any] | OpaqueObject:
    content: Any
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise GaitError(f"cannot be read ({error.strerror or error}).") from None
    except Exception:  # damaged, or it contains other objects: read what is possible without running code
        content = read_tensor_file(path)
    if not isinstance(content, Mapping | OpaqueObject):
        raise GaitError(f"contains a {type(content).__name__}, no checkpoint and no weights.")
    return content


def _is_checkpoint(content: Mapping[str, Any] | OpaqueObject) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(content, Mapping) and content.get("format") == FORMAT


def _parse_checkpoint(content: Mapping[str, Any]) -> Checkpoint:
    version = content.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise GaitError(f"format {version} of a newer version of this package; use that version.")
    try:
        names = [field.name for field in fields(Checkpoint)]
        values = {name: content[name] for name in names if name in content or name not in _LATER_FIELDS}
        for name, types in _TYPES.items():
            if name in values and not isinstance(values[name], types):
                raise GaitError(f"damaged checkpoint: {name} is a {type(values[name]).__name__}.")
        mean = values["mean_window"]
        if mean is not None and mean.shape != (values["window_length"], len(values["joints"]), 3):
            raise GaitError(f"damaged checkpoint: mean_window has shape {tuple(mean.shape)}.")
        if unknown := [name for name in values.get("left_out_joints", ()) if name not in values["joints"]]:
            raise GaitError(f"damaged checkpoint: left_out_joints names {unknown[0]!r}, which is no joint of it.")
        values["architecture"] = architecture_from_dict(values["architecture"])
        _check_input(values)
        if "reference" in values:
            values["reference"] = InputReference.from_dict(values["reference"], values["window_length"])
        if version < _PUBLISHED_VERSION:
            values |= _rename_old_keys(values["metrics"], values["training_state"])
        return Checkpoint(**values)
    except KeyError as error:
        raise GaitError(f"damaged checkpoint: no {error.args[0]} in it.") from None


def _check_input(values: Mapping[str, Any]) -> None:
    for name, known in (("input", INPUTS), ("windows", PLACEMENTS)):
        if (value := values.get(name)) is not None and value not in known:
            raise GaitError(f"its {name} is {value!r}; this version of the package has {', '.join(known)}.")
    if not 1 <= values.get("ensemble", 1) <= _MAX_MEMBERS:
        raise GaitError(f"damaged checkpoint: an ensemble of {values['ensemble']} networks.")


def _rename_old_keys(metrics: Mapping[str, Any], state: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the metrics and the training state of a version 1 checkpoint with present keys."""
    if state is not None:
        state = legacy_keys.rename_keys(state, legacy_keys.TRAINING_STATE)
        if isinstance(state.get("inputs"), Mapping):
            state["inputs"] = legacy_keys.rename_inputs(state["inputs"])
    return {"metrics": legacy_keys.rename_metrics(metrics), "training_state": state}


def _build_network(architecture: Architecture, weights: Mapping[str, Tensor], ensemble: int = 1) -> nn.Module:
    try:
        with torch.device("meta"):  # names and shapes without the memory for them
            needed = {
                name: tuple(tensor.shape)
                for name, tensor in build_ensemble(architecture, ensemble).state_dict().items()
            }
    except RuntimeError:
        raise GaitError(f"no network can be as large as {architecture}.") from None
    for name, shape in needed.items():
        found = tuple(weights[name].shape) if name in weights else None
        if found != shape:
            raise GaitError(f"weights {name} have shape {found}, expected {shape}.")
        if weights[name].untyped_storage().nbytes() < weights[name].nbytes:
            raise GaitError(f"weights {name} claim more numbers than the file contains.")
        if not torch.isfinite(weights[name]).all():
            raise GaitError(f"weights {name} contain numbers that are not finite.")
    unknown = sorted(weights.keys() - needed.keys())
    if unknown:
        raise GaitError(f"weights of another network: a {architecture.kind} has no {unknown[0]}.")
    network = build_ensemble(architecture, ensemble)
    network.load_state_dict(dict(weights))
    return network.eval()


def _to_plain_data(value: Any, name: str) -> Any:
    """Return the value as dicts, lists, tuples, tensors on the CPU and plain values only."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {_to_plain_data(key, name): _to_plain_data(item, f"{name}.{key}") for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_to_plain_data(item, f"{name}[{index}]") for index, item in enumerate(value))
    raise TypeError(f"{name} is a {type(value).__name__}: a checkpoint holds tensors and plain data only")
