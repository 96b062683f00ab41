"""Versions of the software that computed a result, for reports."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib.metadata import version

from gait.version import VERSION

_version = lru_cache(version)  # it parses all metadata of a package


def package_versions(*packages: str) -> dict[str, str]:
    """Return the versions of this package ("gait"), of Python ("python") and of the named installed packages."""
    return {"gait": VERSION, "python": platform.python_version(), **{name: _version(name) for name in packages}}
