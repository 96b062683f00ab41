"""What a person's poses are made from: recordings, body, placement, prior, by the hash of their content.

A finished gait is left alone only while all of it is the same; a recording that is added, replaced or taken away
changes the body that all of the person's recordings share.
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


def fit_inputs(subject: Subject, model: Path, vposer: Path, repair: bool = False) -> dict[str, Any]:
    """Plain data that two fits of the same input share; files that are not there do not count.

    Args:
        subject: the cohort file's entry.
        model: the body model's file.
        vposer: the folder of the learned prior.
        repair: whether bad data is put right.
    """
    prior = sorted(vposer.rglob("*.ckpt"))
    layout = subject.constraint_file
    return {
        "recordings": {path.name: _sha256(path) for path in subject.gaits if path.is_file()},
        "model": _sha256(model),
        "constrained_model": subject.constrained_model,
        "constraint_file": None if layout is None else {layout.name: _sha256(layout)},
        "learned_prior": {path.name: _sha256(path) for path in prior},
        "repair": repair,
        "suite": gait.__version__,
        "weights": asdict(ResidualScales()),
        **({} if subject.person_number is None else {"person_number": subject.person_number}),
    }


def _sha256(path: Path) -> str | None:
    try:
        about = path.stat()
        return _sha256_of_version(path, about.st_mtime_ns, about.st_size)
    except OSError:
        return None


@lru_cache(maxsize=8)
def _sha256_of_version(path: Path, _mtime_ns: int, _size: int) -> str:
    """A body model is read once for a cohort, not once a subject."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
