"""Find what comes in kinds: one module of a package is one file format, network, explanation method or exporter.

A module that holds the attribute named by the package's registry (``FORMAT``, ``NETWORK``, ``METHOD``, ``EXPORTER``)
is registered by being there. To add one, add a file.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any


def discover(package: ModuleType | str, attribute: str) -> dict[str, Any]:
    """Return the entries of a package by their ``name``, sorted by ``order`` where they have one, then by name.

    Args:
        package: whose modules are imported.
        attribute: that an entry's module holds.

    Raises:
        ValueError: two modules hold entries of one name.
    """
    if isinstance(package, str):
        package = importlib.import_module(package)
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        entry = getattr(importlib.import_module(module.name), attribute, None)
        if entry is None:
            continue
        if entry.name in found:
            raise ValueError(f"{module.name}: another module of {package.__name__} holds a {attribute} {entry.name!r}.")
        found[entry.name] = entry
    return dict(sorted(found.items(), key=lambda item: (getattr(item[1], "order", 0), item[0])))
