"""VPoser v2, a learned prior of body poses, read from its published (licensed) folder.

Pavlakos et al. 2019, Expressive Body Capture: 3D Hands, Face, and Body from a Single Image, CVPR, section 3.3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from gait.body.rotations import rot6d_to_matrix
from gait.errors import GaitError
from gait.files.safe_torch_load import read_tensor_file

NUM_POSED_JOINTS = 21
"""Body joints 1 to 21; VPoser does not include the root."""
_BATCH_NORM_KEYS = ("running_mean", "running_var", "weight", "bias")


@dataclass(frozen=True, eq=False)
class VPoser:
    """The differentiable encoder and decoder in evaluation mode."""

    name: str  # file name of the checkpoint
    sha256: str  # of the checkpoint
    weights: Mapping[str, Tensor]  # by their names in the state dict, e.g. "decoder_net.0.weight"

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> VPoser:
        """Return this VPoser on another device or in another precision."""
        return replace(self, weights={k: w.to(device=device, dtype=dtype) for k, w in self.weights.items()})

    def decode(self, latent: Tensor) -> Tensor:
        """Return rotations (N, 21, 3, 3) of body joints 1 to 21 relative to their parents, of latent codes (N, 32).

        Natural poses have standard normal codes.
        """
        x = functional.leaky_relu(self._linear(latent, "decoder_net.0"), 0.01)
        x = functional.leaky_relu(self._linear(x, "decoder_net.3"), 0.01)
        return rot6d_to_matrix(self._linear(x, "decoder_net.5").unflatten(-1, (NUM_POSED_JOINTS, 3, 2)))

    def encode(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation (N, 32) of the codes of axis-angle poses (N, 63) or (N, 21, 3)."""
        x = self._batch_norm(pose.flatten(1), "encoder_net.1")
        x = functional.leaky_relu(self._linear(x, "encoder_net.2"), 0.01)
        x = self._batch_norm(x, "encoder_net.4")
        x = self._linear(self._linear(x, "encoder_net.6"), "encoder_net.7")
        mean = self._linear(x, "encoder_net.8.mu")
        return mean, functional.softplus(self._linear(x, "encoder_net.8.logvar"))

    def _linear(self, x: Tensor, layer: str) -> Tensor:
        return functional.linear(x, self.weights[f"{layer}.weight"], self.weights[f"{layer}.bias"])

    def _batch_norm(self, x: Tensor, layer: str) -> Tensor:
        mean, var, weight, bias = (self.weights[f"{layer}.{key}"] for key in _BATCH_NORM_KEYS)
        return functional.batch_norm(x, mean, var, weight, bias)


def _expected_shapes(hidden: int, latent: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights by name, given the sizes of the first decoder layer."""
    pose = 3 * NUM_POSED_JOINTS
    linears = {
        "decoder_net.0": (hidden, latent),
        "decoder_net.3": (hidden, hidden),
        "decoder_net.5": (2 * pose, hidden),
        "encoder_net.2": (hidden, pose),
        "encoder_net.6": (hidden, hidden),
        "encoder_net.7": (hidden, hidden),
        "encoder_net.8.mu": (latent, hidden),
        "encoder_net.8.logvar": (latent, hidden),
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, shape in linears.items():
        shapes[f"{layer}.weight"] = shape
        shapes[f"{layer}.bias"] = shape[:1]
    for layer, size in (("encoder_net.1", pose), ("encoder_net.4", hidden)):
        for key in _BATCH_NORM_KEYS:
            shapes[f"{layer}.{key}"] = (size,)
    return shapes


def _newest_checkpoint(folder: Path) -> Path:
    for pattern in ("snapshots/*.ckpt", "*/snapshots/*.ckpt"):
        found = sorted(folder.glob(pattern), key=lambda path: (path.stat().st_mtime, path.name))
        if found:
            return found[-1]
    raise GaitError(f"{folder}: no snapshots/*.ckpt, so not VPoser v2; unpack V02_05.zip there, or fit without it.")


def load_vposer(
    folder: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> VPoser:
    """Read VPoser v2 from its folder (the newest of ``snapshots/*.ckpt``), on ``device`` in ``dtype``.

    Sizes come from the checkpoint; nothing in it is executed. Raises GaitError if there is no checkpoint, it cannot be
    read, or a weight is missing or has an unexpected shape.
    """
    path = _newest_checkpoint(Path(folder))
    content = read_tensor_file(path)
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise GaitError(f"{path}: contains no state_dict.")
    tensors = {str(k).removeprefix("vp_model."): v for k, v in state.items() if isinstance(v, Tensor)}
    first = tensors.get("decoder_net.0.weight")
    if first is None or first.ndim != 2:
        raise GaitError(f"{path}: no decoder_net.0.weight, so not VPoser v2; it has {_list_some(sorted(tensors))}.")
    expected = _expected_shapes(first.shape[0], first.shape[1])
    for key, shape in expected.items():
        found = tuple(tensors[key].shape) if key in tensors else None
        if found != shape:
            raise GaitError(f"{path}: {key} has shape {found}, expected {shape}.")
        if tensors[key].untyped_storage().nbytes() < tensors[key].nbytes:
            raise GaitError(f"{path}: {key} claims more numbers than the file contains.")
        if not torch.isfinite(tensors[key]).all():
            raise GaitError(f"{path}: {key} has values that are not finite.")
    return VPoser(
        name=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        weights={key: tensors[key].detach().to(device=device, dtype=dtype) for key in expected},
    )


def _list_some(names: list[str]) -> str:
    """Return at most eight of the names as text, for an error message."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "no tensors"
