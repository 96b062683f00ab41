"""Versions of the software that computed a result, for reports."""

from __future__ import annotations

import platform
import re
from functools import cache
from importlib.metadata import distribution

from gait.version import VERSION


def package_versions(*packages: str) -> dict[str, str]:
    """Return the versions of this package ("gait"), of Python ("python") and of the named installed packages."""
    return {"gait": VERSION, "python": platform.python_version(), **{name: _version(name) for name in packages}}


@cache
def _version(package: str) -> str:
    """Return the version of an installed package; to parse its metadata, with all licences, would take longer."""
    installed = distribution(package)
    found = re.search(r"^Version: *(\S+)", installed.read_text("METADATA") or "", re.MULTILINE)
    return found[1] if found else installed.version
