"""Read the tensors in a file of ``torch.save`` without running code.

It also reads files that ``torch.load(weights_only=True)`` refuses: whole modules, and objects of classes that may not
be installed.
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
"""Maximum size of a file, unpacked."""

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
    """Read a file of ``torch.save``: tensors and containers as saved, any other object as an ``OpaqueObject``.

    Nothing in the file is imported or executed. Raises GaitError if it cannot be read.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise GaitError(f"{path}: cannot be read ({error.strerror}).") from None
    if size > MAX_BYTES:
        raise GaitError(f"{path}: larger than {MAX_BYTES >> 20} MiB, too large for a file of weights.")
    try:
        return _unpickled(path)
    except Exception as error:  # a damaged zip or pickle can raise nearly any error
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise GaitError(f"{path}: damaged, or not a PyTorch checkpoint ({reason}).") from None


class _TensorUnpickler(LimitedUnpickler):
    """Rebuilds tensors; any other class or function that the pickle names becomes an ``OpaqueObject``."""

    def __init__(self, stream: IO[bytes], size: int, archive: zipfile.ZipFile, prefix: str):
        super().__init__(stream, size)
        self._archive = archive
        self._prefix = prefix
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        # New classes at each call, since a pickle can set attributes on them.
        if (module, name) == ("collections", "OrderedDict"):
            return type("OrderedDict", (OrderedDict,), {})
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: _strided(storage, offset, size, stride)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if module == "torch" and name in _STORAGE_TYPES:
            return type(name, (_StorageType,), {"dtype": _STORAGE_TYPES[name]})
        return type("OpaqueObject", (OpaqueObject,), {})

    def persistent_load(self, pid: Any) -> Any:
        kind, storage_type, key, _, count = pid
        if kind != "storage" or not issubclass(storage_type, _StorageType):
            raise ValueError("a storage of unknown type")
        key = str(key)
        if key not in self._storages:
            member, dtype = f"{self._prefix}data/{key}", storage_type.dtype
            size = self._archive.getinfo(member).file_size
            if size != count * dtype.itemsize:  # checked before unpacking
                raise ValueError(f"storage {key} has {size} bytes, expected {count * dtype.itemsize}")
            raw = bytearray(self._archive.read(member))
            storage = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
            self._storages[key] = storage
        return self._storages[key]


class _StorageType:
    """Placeholder for one of torch's storage classes."""

    dtype: torch.dtype


class OpaqueObject:
    """Placeholder for an object of any class except tensors and containers; it can be built, but does nothing."""

    state: Any = None  # the pickled state of the object; for a torch module its attributes

    def __new__(cls, *args: Any, **kwargs: Any) -> OpaqueObject:  # noqa: D102
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __call__(self, *args: Any, **kwargs: Any) -> OpaqueObject:  # noqa: D102
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, item: Any) -> None:
        """Do nothing."""

    def extend(self, items: Any) -> None:
        """Do nothing."""

    def add(self, item: Any) -> None:
        """Do nothing."""


def _strided(storage: Any, offset: int, size: Any, stride: Any) -> Tensor:
    """Return a strided view of a storage. torch checks that it lies inside; here the total size is checked."""
    if not isinstance(storage, Tensor):
        raise ValueError("a tensor without a storage")
    if math.prod(size) > len(storage):
        raise ValueError("a tensor larger than its storage")
    return torch.as_strided(storage, tuple(size), tuple(stride), offset)


def _unpickled(path: Path) -> Any:
    """Return the content of a file, with placeholders for objects other than tensors and containers."""
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
