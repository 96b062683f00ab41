"""Read the tensors in a file of ``torch.save`` without running code.

It reads what ``torch.load(weights_only=True)`` refuses: whole modules, as published networks are saved, and objects of
classes that may not be installed, such as the settings in VPoser's checkpoint. torch parses the file, with an unpickler
that builds nothing but tensors and containers.
"""

from __future__ import annotations

import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
import torch._utils

from gait.errors import GaitError
from gait.files.safe_pickle import PythonUnpickler

MAX_BYTES = 512 << 20
"""Maximum size of a file, unpacked."""

_REBUILD = ("_rebuild_tensor_v2", "_rebuild_parameter")


def read_tensor_file(path: Path) -> Any:
    """Read a file of ``torch.save``: tensors and containers as saved, any other object as an ``OpaqueObject``.

    A tensor may claim more elements than its storage has, by a stride of zero. Nothing in the file is imported or
    executed. Raises GaitError if it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"unpacks to more than {MAX_BYTES >> 20} MiB")
            if any(name.endswith("constants.pkl") for name in archive.namelist()):
                raise ValueError("a TorchScript program")
        return torch.load(path, map_location="cpu", pickle_module=_PICKLE, weights_only=False)
    except OSError as error:
        raise GaitError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except Exception as error:  # a damaged zip or pickle can raise nearly any error
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise GaitError(f"{path}: damaged, or not a PyTorch checkpoint ({reason}).") from None


class _TensorUnpickler(PythonUnpickler):
    """Rebuilds tensors; any other class or function that the pickle names becomes an ``OpaqueObject``.

    Each name stands for a new class or function at each call, since a pickle can set attributes on them.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return type("OrderedDict", (OrderedDict,), {})
        if module == "torch._utils" and name in _REBUILD:
            return lambda *args: getattr(torch._utils, name)(*args)
        return type("OpaqueObject", (OpaqueObject,), {})


_PICKLE = types.ModuleType("pickle of tensors")  # torch uses its Unpickler alone; older formats need more, and fail
_PICKLE.Unpickler = _TensorUnpickler  # type: ignore[attr-defined]


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
