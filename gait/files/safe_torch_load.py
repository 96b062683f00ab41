"""Read the tensors in a file of ``torch.save`` without running code.

It reads what ``torch.load(weights_only=True)`` refuses: whole modules, as published networks are saved, and objects of
classes that may not be installed, such as the settings in VPoser's checkpoint. torch parses the file, with an unpickler
that builds nothing but tensors and containers.
"""

from __future__ import annotations

import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch._utils
from torch import Tensor

from gait.errors import GaitError
from gait.files.safe_pickle import PythonUnpickler

MAX_BYTES = 512 << 20
"""Maximum size of a file, unpacked."""

_MAX_MODULES = 1000  # a network of this package has dozens; a malicious pickle can nest modules without end
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


def module_weights(module: OpaqueObject) -> dict[str, Tensor]:
    """Return the state dict of a pickled torch module; raise GaitError if it has too many modules for a network."""
    weights: dict[str, Tensor] = {}
    for name, attributes in _modules(module):
        for kind in ("_parameters", "_buffers"):
            tensors = attributes.get(kind)
            if isinstance(tensors, Mapping):
                weights |= {f"{name}{key}": value for key, value in tensors.items() if isinstance(value, Tensor)}
    return weights


def module_heads(module: OpaqueObject) -> dict[str, int]:
    """Return {name: number of heads} of the module's attention layers."""
    return {
        name.rstrip("."): attributes["num_heads"]
        for name, attributes in _modules(module)
        if isinstance(attributes.get("num_heads"), int)
    }


def _modules(module: OpaqueObject) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield (name prefix, attributes) of the module and all its submodules."""
    pending = [("", module)]
    for _ in range(_MAX_MODULES):
        if not pending:
            return
        prefix, current = pending.pop()
        if not isinstance(current.state, Mapping):
            continue
        yield prefix, current.state
        children = current.state.get("_modules")
        if isinstance(children, Mapping):
            pending += [
                (f"{prefix}{key}.", child) for key, child in children.items() if isinstance(child, OpaqueObject)
            ]
    raise GaitError(f"contains more than {_MAX_MODULES} modules, so it is no network of this package.")
