"""The body models of the last subjects, kept in memory: the subjects of a cohort usually share one."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from gait.body.body import Body
from gait.body.model_file import load_body


def load_model(path: Path, device: str, *, constrained: bool = False) -> Body:
    """Load a body model, or return it as it was loaded before; a changed file is loaded again.

    Raises:
        GaitError: as ``load_body``.
        OSError: the file does not exist.
    """
    return _load(path, path.stat().st_mtime_ns, constrained, device)


@lru_cache(maxsize=2)
def _load(path: Path, _mtime_ns: int, constrained: bool, device: str) -> Body:
    return load_body(path, constrained=constrained, device=device)
