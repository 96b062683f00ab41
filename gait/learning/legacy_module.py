"""The weights of a whole module that ``torch.save(model)`` pickled, its code neither needed nor run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from gait.errors import GaitError
from gait.files.safe_torch_load import OpaqueObject

_MOST_MODULES = 1000  # a network here has some dozen; a pickle may nest and share them without end


def module_weights(module: OpaqueObject) -> dict[str, Tensor]:
    """The state dict that the module would have given; raises GaitError if this is no module."""
    weights: dict[str, Tensor] = {}
    for name, attributes in _modules(module):
        for kind in ("_parameters", "_buffers"):
            tensors = attributes.get(kind)
            if isinstance(tensors, Mapping):
                weights |= {f"{name}{key}": value for key, value in tensors.items() if isinstance(value, Tensor)}
    return weights


def module_heads(module: OpaqueObject) -> dict[str, int]:
    """The heads of its attentions, by the attention's name."""
    return {
        name.rstrip("."): attributes["num_heads"]
        for name, attributes in _modules(module)
        if isinstance(attributes.get("num_heads"), int)
    }


def _modules(module: OpaqueObject) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Prefixes of names and attributes of a module and all in it."""
    left = [("", module)]
    for _ in range(_MOST_MODULES):
        if not left:
            return
        name, one = left.pop()
        if not isinstance(one.state, Mapping):
            continue
        yield name, one.state
        inner = one.state.get("_modules")
        if isinstance(inner, Mapping):
            left += [(f"{name}{key}.", part) for key, part in inner.items() if isinstance(part, OpaqueObject)]
    raise GaitError(f"holds more than {_MOST_MODULES} modules, so no network of walking.")
