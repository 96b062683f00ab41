"""VPoser v2: a learned prior of body poses, read from the folder that its authors publish (licensed).

Pavlakos et al. 2019, Expressive Body Capture: 3D Hands, Face, and Body from a Single Image, CVPR, section
3.3.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from gait.body.array_pickle import BoundedUnpickler
from gait.body.rotations import matrix_to_axis_angle, two_columns_to_matrix
from gait.errors import GaitError

NUM_POSED_JOINTS = 21
"""Body joints 1 to 21; the root is not VPoser's."""

_MAX_BYTES = 512 << 20
_STORAGE_TYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class DecodedPose(NamedTuple):
    """Rotations of body joints 1 to 21 relative to their parents."""

    axis_angle: Tensor  # (N, 21, 3) radians
    matrix: Tensor  # (N, 21, 3, 3)


@dataclass(frozen=True, eq=False)
class VPoser:
    """The decoder and encoder in evaluation mode; differentiable."""

    name: str  # file name of the checkpoint
    sha256: str  # of the checkpoint
    weights: Mapping[str, Tensor]  # by the names of the state dict, e.g. "decoder_net.0.weight"

    @property
    def latent_size(self) -> int:
        """Numbers in a latent code, 32 in the published model."""
        return self.weights["decoder_net.0.weight"].shape[1]

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> VPoser:
        """The same networks elsewhere or in another precision."""
        return replace(self, weights={k: w.to(device=device, dtype=dtype) for k, w in self.weights.items()})

    def decode(self, latent: Tensor) -> DecodedPose:
        """Poses of latent codes (N, 32); codes of natural poses are standard normal."""
        x = functional.leaky_relu(self._linear(latent, "decoder_net.0"), 0.01)
        x = functional.leaky_relu(self._linear(x, "decoder_net.3"), 0.01)
        columns = self._linear(x, "decoder_net.5").unflatten(-1, (NUM_POSED_JOINTS, 3, 2))
        matrix = two_columns_to_matrix(columns)
        return DecodedPose(matrix_to_axis_angle(matrix), matrix)

    def encode(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation (N, 32) of the codes of axis-angle poses (N, 63) or (N, 21, 3), radians."""
        x = self._batch_norm(pose.flatten(1), "encoder_net.1")
        x = functional.leaky_relu(self._linear(x, "encoder_net.2"), 0.01)
        x = self._batch_norm(x, "encoder_net.4")
        x = self._linear(self._linear(x, "encoder_net.6"), "encoder_net.7")
        mean = self._linear(x, "encoder_net.8.mu")
        return mean, functional.softplus(self._linear(x, "encoder_net.8.logvar"))

    def _linear(self, x: Tensor, layer: str) -> Tensor:
        return functional.linear(x, self.weights[f"{layer}.weight"], self.weights[f"{layer}.bias"])

    def _batch_norm(self, x: Tensor, layer: str) -> Tensor:
        mean, var, weight, bias = (
            self.weights[f"{layer}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, var, weight, bias)


def _needed_shapes(hidden: int, latent: int) -> dict[str, tuple[int, ...]]:
    """Shapes of all weights by name, for the sizes of the first decoder layer."""
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
        for key in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{layer}.{key}"] = (size,)
    return shapes


class _TensorUnpickler(BoundedUnpickler):
    """Reads the tensors of a checkpoint; whatever else its pickle names becomes an inert object."""

    def __init__(self, stream: IO[bytes], size: int, archive: zipfile.ZipFile, prefix: str):
        super().__init__(stream, size)
        self._archive = archive
        self._prefix = prefix
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        # Made anew at each call: a pickle may set attributes on what it is given.
        if (module, name) == ("collections", "OrderedDict"):
            return type("OrderedDict", (OrderedDict,), {})
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: _strided(storage, offset, size, stride)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if module == "torch" and name in _STORAGE_TYPES:
            return type(name, (_StorageType,), {"dtype": _STORAGE_TYPES[name]})
        return type("Inert", (_Inert,), {})

    def persistent_load(self, pid: Any) -> Any:
        kind, storage_type, key, _, count = pid
        if kind != "storage" or not issubclass(storage_type, _StorageType):
            raise ValueError("a storage of unknown type")
        key = str(key)
        if key not in self._storages:
            member, dtype = f"{self._prefix}data/{key}", storage_type.dtype
            there = self._archive.getinfo(member).file_size
            if there != count * dtype.itemsize:  # before it is unpacked
                raise ValueError(f"storage {key} has {there} bytes, needed are {count * dtype.itemsize}")
            raw = bytearray(self._archive.read(member))
            storage = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
            self._storages[key] = storage
        return self._storages[key]


class _StorageType:
    """Stands for one of torch's storage classes in a pickle."""

    dtype: torch.dtype


class _Inert:
    """Stands for anything a checkpoint names that is no tensor: takes everything, does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __call__(self, *args: Any, **kwargs: Any) -> _Inert:
        return self

    def __setstate__(self, state: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, item: Any) -> None:
        """Nothing."""

    def extend(self, items: Any) -> None:
        """Nothing."""

    def add(self, item: Any) -> None:
        """Nothing."""


def _strided(storage: Any, offset: int, size: Any, stride: Any) -> Tensor:
    """A view of part of a storage; torch checks that the part lies inside, we that it is no larger."""
    if not isinstance(storage, Tensor):
        raise ValueError("a tensor without a storage")
    if math.prod(size) > len(storage):
        raise ValueError("a tensor larger than its storage")
    return torch.as_strided(storage, tuple(size), tuple(stride), offset)


def _unpickled(path: Path) -> Any:
    """The content of a checkpoint, objects that are no tensors or containers replaced by inert ones."""
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > _MAX_BYTES:
            raise ValueError(f"unpacks to more than {_MAX_BYTES >> 20} MiB")
        pickles = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("no data.pkl in it")
        prefix = pickles[0].removesuffix("data.pkl")
        if f"{prefix}byteorder" in archive.namelist() and archive.read(f"{prefix}byteorder") != b"little":
            raise ValueError("big-endian numbers")
        with archive.open(pickles[0]) as stream:
            size = archive.getinfo(pickles[0]).file_size
            return _TensorUnpickler(stream, size, archive, prefix).load()


def _read_checkpoint(path: Path) -> Any:
    """The content of a checkpoint, nothing in it executed. Raises GaitError if it cannot be read."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise GaitError(f"{path}: cannot be read ({error.strerror}).") from None
    if size > _MAX_BYTES:
        raise GaitError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, so no VPoser checkpoint.")
    try:
        return _unpickled(path)
    except Exception as error:  # a damaged zip or pickle can raise nearly anything
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise GaitError(f"{path}: damaged, or no PyTorch checkpoint ({reason}).") from None


def _newest_checkpoint(folder: Path) -> Path:
    for pattern in ("snapshots/*.ckpt", "*/snapshots/*.ckpt"):
        found = sorted(folder.glob(pattern), key=lambda path: (path.stat().st_mtime, path.name))
        if found:
            return found[-1]
    raise GaitError(
        f"{folder}: no snapshots/*.ckpt in it, so no VPoser v2; unpack V02_05.zip there, or fit without it."
    )


def load_vposer(
    folder: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> VPoser:
    """VPoser v2 from its folder (the newest of ``snapshots/*.ckpt``), on ``device`` in ``dtype``.

    Sizes come from the checkpoint. Raises GaitError, one line, if there is no checkpoint, it cannot be
    read, or a weight is missing or has another shape than needed. Nothing in the checkpoint is executed.
    """
    path = _newest_checkpoint(Path(folder))
    content = _read_checkpoint(path)
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise GaitError(f"{path}: holds no state_dict.")
    tensors = {str(k).removeprefix("vp_model."): v for k, v in state.items() if isinstance(v, Tensor)}
    first = tensors.get("decoder_net.0.weight")
    if first is None or first.ndim != 2:
        raise GaitError(f"{path}: no decoder_net.0.weight, so no VPoser v2; it has {_some(sorted(tensors))}.")
    needed = _needed_shapes(first.shape[0], first.shape[1])
    for key, shape in needed.items():
        found = tuple(tensors[key].shape) if key in tensors else None
        if found != shape:
            raise GaitError(f"{path}: {key} has shape {found}, needed is {shape}.")
        if not torch.isfinite(tensors[key]).all():
            raise GaitError(f"{path}: {key} holds numbers that are not finite.")
    return VPoser(
        name=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        weights={key: tensors[key].detach().to(device=device, dtype=dtype) for key in needed},
    )


def _some(names: list[str]) -> str:
    """A few of the names, for an error line."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "no tensors"
