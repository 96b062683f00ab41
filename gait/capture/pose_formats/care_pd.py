"""Read CARE-PD files: one pickle per cohort, ``{subject: {walk: {pose, trans, beta, fps, UPDRS_GAIT, …}}}``.

Adeli et al. 2025, CARE-PD: A Multi-Site Anonymized Clinical Dataset for Parkinson's Disease Gait Assessment, NeurIPS
Datasets and Benchmarks. Poses rotate the 24 joints of SMPL; shapes are zero, for privacy; the axes differ by cohort.
The pickle is read without running it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gait.capture.pose_format import MODEL_TYPES, Field, ForeignPoses, Member, PoseFormat, TrialPath, check_poses
from gait.errors import GaitError
from gait.text import join_names

_MAX_NUMBER = 1e300  # integers of Python are unlimited, floats are not
_FORM = "a CARE-PD file is {subject: {walk: {pose, trans, fps, ...}}}"


def list_walks(path: Path) -> tuple[Member, ...]:
    """Return the walks of all subjects in the order of the file, with their fields that are numbers or text.

    Raises:
        GaitError: the file is missing, damaged, would run code, or is not of this form.
    """
    return tuple(
        Member(subject, walk, {key: _field(value) for key, value in entry.items() if _is_field(value)})
        for subject, walks in _subjects(path).items()
        for walk, entry in walks.items()
    )


def read_care_pd(trial: TrialPath) -> ForeignPoses:
    """Read the poses of one walk.

    Raises:
        GaitError: as ``list_walks``; there is no such subject or walk, or an array is missing or damaged.
    """
    subjects = _subjects(trial.file)
    where = f"{trial.file}#{trial.subject}/{trial.walk}"
    if trial.subject not in subjects:
        raise GaitError(f"{where}: no such subject; the file has {join_names(list(subjects))}.")
    walks = subjects[trial.subject]
    if trial.walk not in walks:
        raise GaitError(f"{where}: no such walk; the subject has {join_names(list(walks))}.")
    entry = walks[trial.walk]
    if missing := [key for key in ("pose", "trans", "fps") if key not in entry]:
        raise GaitError(f"{where}: lacks {', '.join(missing)}; it has {', '.join(entry) or 'nothing'}; {_FORM}.")
    poses, translation, rate_hz, betas = check_poses(
        where, entry["pose"], entry["trans"], entry["fps"], entry.get("beta", ())
    )
    return ForeignPoses(
        model_type=MODEL_TYPES[poses.shape[1]],
        poses=poses,
        translation_m=translation,
        rate_hz=rate_hz,
        betas=betas if betas.any() else np.zeros(0),  # zeros stand for an unknown shape
    )


def _subjects(path: Path) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    try:
        modified = path.stat().st_mtime_ns
    except OSError as error:
        raise GaitError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
    return _read_subjects(path, modified)


@lru_cache(maxsize=1)  # the subjects of a cohort share one file
def _read_subjects(path: Path, _mtime_ns: int) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    from gait.files.safe_pickle import read_array_dict  # imports scipy

    subjects: dict[str, dict[str, dict[str, Any]]] = {}
    for subject, walks in read_array_dict(path).items():
        if not isinstance(walks, dict) or not walks:
            raise GaitError(f"{path}: subject {subject!r} is not a dictionary of walks; {_FORM}.")
        for walk, entry in walks.items():
            if not isinstance(entry, dict):
                raise GaitError(f"{path}: walk {walk!r} of subject {subject!r} is not a dictionary of arrays; {_FORM}.")
        subjects[subject] = {str(walk): {str(key): item for key, item in e.items()} for walk, e in walks.items()}
    if not subjects:
        raise GaitError(f"{path}: has no subject; {_FORM}.")
    return subjects


def _is_field(value: Any) -> bool:
    scalar = isinstance(value, np.ndarray) and value.shape == ()
    return value is None or isinstance(value, str | bool | int | float | np.generic) or scalar


def _field(value: Any) -> Field:
    """Return a number as float, text as it is; None for NaN, for a number that is no float, and for what is neither."""
    item = value.item() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(item, bool | int | float):
        return float(item) if abs(item) <= _MAX_NUMBER else None
    return item if isinstance(item, str) and item else None


FORMAT = PoseFormat("care_pd", "CARE-PD", (".pkl", ".pickle"), read_care_pd, members=list_walks)
