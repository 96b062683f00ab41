"""Write and read the results folder of one fitted trial; it is written atomically.

``<save_folder>/<healthy|sick>/<subject>/<trial>/`` has ``poses.npz``, ``fit_report.json``, ``residuals.npz`` and
``fit.png``; with ``--pose_format json`` also ``pose_00000.json``, one per frame. The poses of a trial that was split at
gaps are in its folders ``segment1/``, ``segment2/``, …
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
from gait.cohort.fit_settings import PoseFormat, subject_folder
from gait.files.atomic_write import atomic_directory
from gait.fitting.fit_report import FitReport
from gait.fitting.subject_fit import TrialFit
from gait.motion.pose_files import POSES_FILE, find_pose_folders, read_poses, write_json_frames, write_npz
from gait.motion.trial_paths import FIT_FIGURE_FILE, REPORT_FILE, RESIDUALS_FILE, SEGMENT_PREFIX


@dataclass(frozen=True)
class TrialResult:
    """Results of one fitted trial."""

    sequences: tuple[PoseSequence, ...]  # one, or one per segment of a trial that was split
    report: FitReport
    fit: TrialFit
    provenance: dict[str, Any]  # versions, arguments and files of the fit


def trial_folder(save_folder: Path, subject: Subject, recording: Path) -> Path:
    """Return the folder of a trial's results."""
    return subject_folder(save_folder, subject) / recording.stem


def is_finished(folder: Path, pose_format: PoseFormat) -> bool:
    """Return True if ``folder`` has the results of a trial in the given pose format."""
    try:
        segments = find_pose_folders(folder)
        complete = (folder / REPORT_FILE).is_file() and len(segments) > 0
        complete = complete and all(zipfile.is_zipfile(segment / POSES_FILE) for segment in segments)
        return complete and (pose_format == "npz" or all(any(segment.glob("pose_*.json")) for segment in segments))
    except OSError:  # the name is too long, or the folder is not readable
        return False


def write_trial(folder: Path, result: TrialResult, pose_format: PoseFormat, figure: bytes | None) -> None:
    """Write the results folder of a trial atomically.

    Args:
        folder: is created or replaced.
        result: what to write.
        pose_format: "json" also writes one JSON file per frame.
        figure: the PNG file of the fit figure.

    Raises:
        GaitError: the disk is full or not writable; an existing folder stays unchanged.
    """
    with atomic_directory(folder) as partial:
        partial.mkdir(parents=True)
        for number, sequence in enumerate(result.sequences, start=1):
            segment = partial if len(result.sequences) == 1 else partial / f"{SEGMENT_PREFIX}{number}"
            segment.mkdir(exist_ok=True)
            write_npz(segment, sequence)
            if pose_format == "json":
                write_json_frames(segment, sequence)
        report = {**result.report.as_dict(), **result.provenance}
        (partial / REPORT_FILE).write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        _write_residuals(partial, result.fit)
        if figure is not None:
            (partial / FIT_FIGURE_FILE).write_bytes(figure)


def add_json_frames(folder: Path) -> None:
    """Add one JSON file per frame (the format of the original implementation) to a finished trial, atomically."""
    with atomic_directory(folder) as partial:
        shutil.copytree(folder, partial)
        for segment in find_pose_folders(partial):
            write_json_frames(segment, read_poses(segment))


def _write_residuals(folder: Path, fit: TrialFit) -> None:
    """Write ``labels`` (M,), ``residual_mm`` (T, M; NaN if not visible), ``observed_m`` and ``virtual_m`` (T, M, 3)."""
    columns = [fit.recording.labels.index(label) for label in fit.labels]
    np.savez_compressed(
        folder / RESIDUALS_FILE,
        labels=np.array(fit.labels),
        residual_mm=(fit.residual_m * 1e3).astype(np.float32),
        observed_m=fit.recording.positions_m[:, columns].astype(np.float32),
        virtual_m=fit.virtual_m.astype(np.float32),
    )
