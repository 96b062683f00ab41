"""Tensors in a file that ``torch.save`` wrote, read without running what its pickle asks for.

For files that hold more than tensors and plain data, which torch's own ``weights_only`` refuses: objects of classes
that may not be installed, whole modules.
"""

from __future__ import annotations

import math
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from gait.errors import GaitError
from gait.files.safe_pickle import LimitedUnpickler

MAX_BYTES = 512 << 20
"""Larger files (unpacked) are refused."""

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


def read_tensor_file(path: Path) -> Any:
    """What ``torch.save`` wrote, tensors as they were, all that is neither tensor nor container as ``OpaqueObject``.

    Nothing in the file is imported or executed. Raises GaitError, one line, if it cannot be read.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise GaitError(f"{path}: cannot be read ({error.strerror}).") from None
    if size > MAX_BYTES:
        raise GaitError(f"{path}: larger than {MAX_BYTES >> 20} MiB, more than any file of weights here.")
    try:
        return _unpickled(path)
    except Exception as error:  # a damaged zip or pickle can raise nearly anything
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise GaitError(f"{path}: damaged, or no PyTorch checkpoint ({reason}).") from None


class _TensorUnpickler(LimitedUnpickler):
    """Reads the tensors of a file; whatever else its pickle names becomes an inert object."""

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
        return type("Inert", (OpaqueObject,), {})

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


class OpaqueObject:
    """Stands for anything a file names that is no tensor: takes everything, does nothing."""

    state: Any = None  # what its object was to be filled with: of a torch module its attributes

    def __new__(cls, *args: Any, **kwargs: Any) -> OpaqueObject:  # noqa: D102
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __call__(self, *args: Any, **kwargs: Any) -> OpaqueObject:  # noqa: D102
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

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
    """The content of a file, objects that are no tensors or containers replaced by inert ones."""
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
            raise ValueError(f"unpacks to more than {MAX_BYTES >> 20} MiB")
        pickles = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("no data.pkl in it")
        prefix = pickles[0].removesuffix("data.pkl")
        if f"{prefix}byteorder" in archive.namelist() and archive.read(f"{prefix}byteorder") != b"little":
            raise ValueError("big-endian numbers")
        with archive.open(pickles[0]) as stream:
            size = archive.getinfo(pickles[0]).file_size
            return _TensorUnpickler(stream, size, archive, prefix).load()
