"""Read the weights of a whole module that ``torch.save(model)`` pickled, without needing or running its code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from gait.errors import GaitError
from gait.files.safe_torch_load import OpaqueObject

_MAX_MODULES = 1000  # a network of this package has dozens; a malicious pickle can nest modules without end


def module_weights(module: OpaqueObject) -> dict[str, Tensor]:
    """Return the module's state dict; raise GaitError if it has too many modules for a network."""
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
