"""The folder of one fitted gait: written whole or not at all, whatever ends the program, and found again.

``<save_folder>/<healthy|sick>/<subject>/<gait>/`` holds ``poses.npz``, ``fit_report.json``, ``residuals.npz`` and
``fit.png``; with ``--pose_format json`` also one ``pose_00000.json`` a frame. The poses of a gait that was split are in
``part1/``, ``part2/``, … in it.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gait.body.pose_sequence import PoseSequence
from gait.cohort.cohort_file import Subject
from gait.cohort.fit_settings import PoseFormat, person_folder
from gait.errors import GaitError
from gait.files.atomic_write import replacing
from gait.fitting.fit_report import FitReport
from gait.fitting.subject_fit import TrialFit
from gait.motion.pose_files import POSES_FILE, pose_folders, read_poses, write_json_frames, write_npz
from gait.motion.trial_paths import PART_NAME, REPORT_FILE

RESIDUALS_FILE = "residuals.npz"
PICTURE_FILE = "fit.png"


@dataclass(frozen=True)
class TrialResult:
    """All that is kept of one fitted gait."""

    sequences: tuple[PoseSequence, ...]  # one, or the parts of a gait that was split
    report: FitReport
    fit: TrialFit
    origin: dict[str, Any]  # what made it: versions, arguments, files


def gait_folder(save_folder: Path, subject: Subject, gait: Path) -> Path:
    """Where a gait's results belong."""
    return person_folder(save_folder, subject) / gait.stem


def is_finished(folder: Path, pose_format: PoseFormat) -> bool:
    """Whether a gait has been written there, in the form that is asked for."""
    try:
        parts = pose_folders(folder)
        whole = (folder / REPORT_FILE).is_file() and len(parts) > 0
        whole = whole and all(zipfile.is_zipfile(part / POSES_FILE) for part in parts)
        return whole and (pose_format == "npz" or all(any(part.glob("pose_*.json")) for part in parts))
    except OSError:  # a name that is too long, a place that may not be looked at
        return False


def read_report(folder: Path) -> dict[str, Any]:
    """The report of a finished gait as plain data; a GaitError if it is damaged."""
    path = folder / REPORT_FILE
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GaitError(f"{path}: cannot be read ({error}); fit this gait again with --overwrite.") from error
    if not isinstance(report, dict):
        raise GaitError(f"{path}: is no fit report; fit this gait again with --overwrite.")
    return report


def write_gait(folder: Path, result: TrialResult, pose_format: PoseFormat, picture: bytes | None) -> None:
    """Write a gait's files beside their place, then move the folder there in one step.

    Raises:
        GaitError: the disk is full or the folder cannot be written; nothing half-written stays.
    """
    with replacing(folder) as partial:
        partial.mkdir(parents=True)
        for number, sequence in enumerate(result.sequences, start=1):
            place = partial if len(result.sequences) == 1 else partial / f"{PART_NAME}{number}"
            place.mkdir(exist_ok=True)
            write_npz(place, sequence)
            if pose_format == "json":
                write_json_frames(place, sequence)
        report = {**result.report.as_dict(), **result.origin}
        (partial / REPORT_FILE).write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        _write_residuals(partial, result.fit)
        if picture is not None:
            (partial / PICTURE_FILE).write_bytes(picture)


def add_json_frames(folder: Path) -> None:
    """Write the published per-frame files beside a finished gait's ``poses.npz``, all or none."""
    with replacing(folder) as partial:
        shutil.copytree(folder, partial)
        for part in pose_folders(partial):
            write_json_frames(part, read_poses(part))


def _write_residuals(folder: Path, fit: TrialFit) -> None:
    """``labels`` (M,), ``residual_mm`` (T, M) with NaN where unseen, ``observed_m`` and ``virtual_m`` (T, M, 3)."""
    columns = [fit.recording.labels.index(label) for label in fit.labels]
    np.savez_compressed(
        folder / RESIDUALS_FILE,
        labels=np.array(fit.labels),
        residual_mm=(fit.residual_m * 1e3).astype(np.float32),
        observed_m=fit.recording.positions_m[:, columns].astype(np.float32),
        virtual_m=fit.virtual_m.astype(np.float32),
    )
