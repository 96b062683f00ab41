"""What computed a result: part of every report."""

from __future__ import annotations

import platform
from importlib.metadata import version

import gait


def versions_of(*packages: str) -> dict[str, str]:
    """Versions of this suite, of Python and of these installed packages."""
    return {"gait": gait.__version__, "python": platform.python_version(), **{name: version(name) for name in packages}}
