"""Find the plug-in modules of a package: file formats, networks, explanation methods, exporters.

Each module of such a package that defines the registry's attribute (``FORMAT``, ``NETWORK``, ``METHOD``, ``EXPORTER``)
is one entry. To add an entry, add a module.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from types import ModuleType
from typing import Any


def discover(package: ModuleType | str, attribute: str) -> dict[str, Any]:
    """Import all modules of a package; return their entries by ``name``, sorted by ``order`` (0 if absent), then name.

    Args:
        package: the package or its dotted name.
        attribute: the module attribute that holds an entry, e.g. "NETWORK".

    Raises:
        ValueError: two modules define entries with the same name.
    """
    if isinstance(package, str):
        package = importlib.import_module(package)
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if module.name.endswith(".__main__"):
            continue
        entry = getattr(importlib.import_module(module.name), attribute, None)
        if entry is None:
            continue
        if entry.name in found:
            raise ValueError(f"{module.name}: another module of {package.__name__} has a {attribute} {entry.name!r}.")
        found[entry.name] = entry
    return dict(sorted(found.items(), key=lambda item: (getattr(item[1], "order", 0), item[0])))


def module_names(package: str) -> tuple[str, ...]:
    """Return the names of a package's modules, sorted, without importing them.

    They are those of its entries where each module is named for its entry, as in ``gait.explaining.methods`` and
    ``gait.learning.networks``.
    """
    spec = importlib.util.find_spec(package)
    folders = None if spec is None else spec.submodule_search_locations
    return tuple(sorted(module.name for module in pkgutil.iter_modules(folders)))
