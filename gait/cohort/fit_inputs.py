"""Inputs of a subject's fit: recordings, body model, marker layout and priors, identified by hashes of their content.

A finished trial is skipped only if all inputs are unchanged. A recording that is added, replaced or removed changes the
body shape that all trials of the subject share.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import gait
from gait.cohort.cohort_file import Subject
from gait.fitting.residual_scales import ResidualScales

_OLD_KEYS = {"constraint_file": "marker_layout_file", "person_number": "subject_index", "suite": "version"}
"""Keys in the inputs of older fit reports, which are still compared."""


def collect_inputs(subject: Subject, model: Path, vposer: Path, repair: bool = False) -> dict[str, Any]:
    """Return plain data that is equal for two fits of the same inputs; missing files are ignored.

    Args:
        subject: the entry of the cohort file.
        model: the file of the body model.
        vposer: the folder of the learned pose prior.
        repair: True if swapped labels and mirrored data are corrected.
    """
    prior = sorted(vposer.rglob("*.ckpt"))
    layout = subject.marker_layout_file
    return {
        "recordings": {path.name: _sha256(path) for path in subject.trials if path.is_file()},
        "model": _sha256(model),
        "constrained_model": subject.constrained_model,
        "marker_layout_file": None if layout is None else {layout.name: _sha256(layout)},
        "learned_prior": {path.name: _sha256(path) for path in prior},
        "repair": repair,
        "version": gait.__version__,
        "weights": asdict(ResidualScales()),
        **({} if subject.subject_index is None else {"subject_index": subject.subject_index}),
    }


def is_same_inputs(stored: object, inputs: dict[str, Any]) -> bool:
    """Return True if the inputs in a fit report, which may be an old one, equal ``inputs``."""
    return isinstance(stored, dict) and {_OLD_KEYS.get(key, key): value for key, value in stored.items()} == inputs


def _sha256(path: Path) -> str | None:
    try:
        status = path.stat()
        return _sha256_of_version(path, status.st_mtime_ns, status.st_size)
    except OSError:
        return None


@lru_cache(maxsize=8)
def _sha256_of_version(path: Path, _mtime_ns: int, _size: int) -> str:
    """Return the hash of a file; the cache avoids reading a body model again for each subject."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
