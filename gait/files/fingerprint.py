"""Decide whether a saved result is up to date: compare its inputs with the present inputs.

A fingerprint is plain data: hashes of the input files' content, settings, and the versions of the algorithms (stages).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

Stage = Literal["fit", "windows", "inputs", "training", "explanation", "page"]

STAGE_VERSIONS: dict[Stage, int] = {"fit": 11, "windows": 1, "inputs": 3, "training": 1, "explanation": 6, "page": 1}
"""Version of each stage's algorithm. Raise the number when a change of the code changes the stage's results.

"inputs" is of all windows but the published ones, other inputs and windows that begin at initial contacts, and of how
training with them begins.

``tests/golden`` fails when results change without it. Saved results of a lower version are computed again.
"""

_STAGES = "stages"
_PACKAGE_VERSION = frozenset(["suite", "version"])  # instead of "stages" in results written before there were stages


def fingerprint(*stages: Stage, **inputs: Any) -> dict[str, Any]:
    """Return plain data that is equal for two results of the same inputs and the same versions of the stages."""
    return {**inputs, _STAGES: {stage: STAGE_VERSIONS[stage] for stage in stages}}


def changed_inputs(
    saved: object,
    wanted: Mapping[str, Any],
    legacy_keys: Mapping[str, str] | None = None,
    added: Collection[str] = (),
) -> list[str]:
    """Return the names of the inputs that differ between two fingerprints; an empty list means up to date.

    Args:
        saved: the fingerprint of a saved result; without stages, as older results are, it has version 1 of each.
        wanted: the present fingerprint.
        legacy_keys: earlier names of inputs, and the present name of each.
        added: inputs that earlier versions did not save; a result without one of them counts as having the present one.
    """
    if not isinstance(saved, Mapping):
        return sorted(wanted)
    names = legacy_keys or {}
    known = {names.get(key, key): value for key, value in saved.items() if key not in _PACKAGE_VERSION}
    known.setdefault(_STAGES, dict.fromkeys(wanted[_STAGES], 1))
    compared = (known.keys() | wanted.keys()) - (set(added) - known.keys())
    return sorted(key for key in compared if known.get(key) != wanted.get(key))


def hash_files(files: Iterable[Path], *, full_path: bool = False) -> dict[str, str | None]:
    """Return the SHA-256 of each file's content by its name or path; None if it cannot be read."""
    return {str(file) if full_path else file.name: file_sha256(file) for file in sorted(files)}


def file_sha256(file: Path) -> str | None:
    """Return the SHA-256 of a file's content; None if it cannot be read."""
    try:
        status = file.stat()
        return _sha256(file, status.st_ino, status.st_mtime_ns, status.st_size)
    except OSError:
        return None


@lru_cache(maxsize=1024)
def _sha256(file: Path, *_version: int) -> str:
    """Return the hash; the cache avoids reading a body model again for each subject."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
