"""The networks that can be trained: each module here that defines ``NETWORK``. ``docs/add_network.md`` adds one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor, nn

from gait.errors import GaitError
from gait.learning import legacy_keys
from gait.learning.ensemble import members_of
from gait.learning.network import Architecture, Network
from gait.registry import discover

NETWORKS: Mapping[str, Network] = discover(__name__, "NETWORK")


def find_network(built: nn.Module | Architecture) -> Network:
    """Return the registered network of a module, an ensemble of them, or an architecture.

    Raises:
        GaitError: there is none.
    """
    one = members_of(built)[0] if isinstance(built, nn.Module) else built
    for network in NETWORKS.values():
        if isinstance(one, (*network.modules, network.architecture)):
            return network
    raise GaitError(f"{type(built).__name__}: no registered network; there are {', '.join(NETWORKS)}.")


def architecture_from_dict(plain: Mapping[str, Any]) -> Architecture:
    """Return the architecture from its plain data, also from that of earlier versions.

    Raises:
        GaitError: the data describe no known network.
    """
    sizes = legacy_keys.rename_keys(plain, legacy_keys.ARCHITECTURE)
    kind = sizes.pop("kind", None)
    try:
        network = next(network for network in NETWORKS.values() if kind in (network.kinds or (network.name,)))
        floats = {size.name for size in fields(network.architecture) if size.type == "float"}
        for name, size in sizes.items():
            for number in size if isinstance(size, list | tuple) else [size]:
                if not isinstance(number, int) and name not in floats:
                    raise TypeError
        return network.architecture(**sizes, **({"kind": kind} if network.kinds else {}))
    except (TypeError, StopIteration):
        shown = ", ".join(f"{name} {size}" for name, size in sizes.items())[:160] or "nothing"
        raise GaitError(f"network {kind!r} with {shown}: no known network.") from None


def infer_architecture(weights: Mapping[str, Tensor], **sizes: Any) -> Architecture:
    """Return the architecture of a state dict without metadata, which has the published names.

    ``sizes`` are those that cannot be inferred, e.g. ``pose_heads`` and ``classifier_heads`` of a transformer.

    Raises:
        GaitError: a size is missing, or the weights belong to no known network.
    """
    given = {name: size for name, size in sizes.items() if size is not None}
    for network in NETWORKS.values():
        if (found := network.architecture.from_weights(weights, given)) is not None:
            return found
    found_names = ", ".join(sorted(weights)[:4]) or "nothing"
    raise GaitError(f"weights of no known network (found {found_names}).")
