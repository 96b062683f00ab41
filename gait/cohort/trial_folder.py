"""Results folder of one fitted trial, and the outcome of fitting it.

``<save_folder>/<healthy|sick>/<subject>/<trial>/`` has ``poses.npz``, ``fit_report.json``, ``residuals.npz`` and
``fit.png``, and the files of ``--export_as``. The poses of a trial that was split at
gaps are in its folders ``segment1/``, ``segment2/``, …
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gait.capture.pose_formats import trial_name
from gait.cohort.cohort_file import Subject
from gait.cohort.fit_settings import subject_folder
from gait.exporting import export_where_possible, missing_exports
from gait.files.atomic_write import atomic_directory
from gait.fitting.fit_report import FitReport
from gait.motion.pose_files import find_pose_folders
from gait.motion.pose_npz import POSES_FILE
from gait.motion.trial_paths import REPORT_FILE


@dataclass(frozen=True)
class TrialOutcome:
    """Outcome of fitting one trial."""

    subject: str
    trial: str
    state: Literal["fitted", "already finished", "failed"]
    message: str = ""  # the error, or warnings, one a line
    report: FitReport | None = None


def trial_folder(save_folder: Path, subject: Subject, recording: Path) -> Path:
    """Return the folder of a trial's results."""
    return subject_folder(save_folder, subject) / trial_name(recording)


def is_finished(folder: Path, exporters: Iterable[str] = ()) -> bool:
    """Return True if ``folder`` has the results of a trial, and the files of the exporters."""
    try:
        segments = find_pose_folders(folder)
        complete = (folder / REPORT_FILE).is_file() and len(segments) > 0
        complete = complete and all(zipfile.is_zipfile(segment / POSES_FILE) for segment in segments)
        return complete and not missing_exports(exporters, folder, segments)
    except OSError:  # the name is too long, or the folder is not readable
        return False


def add_exports(folder: Path, exporters: Iterable[str]) -> str:
    """Add the missing files of exporters to a finished trial, atomically; say which formats cannot hold it."""
    missing = missing_exports(exporters, folder, find_pose_folders(folder))
    with atomic_directory(folder) as partial:
        shutil.copytree(folder, partial)
        return export_where_possible(missing, partial, folder.name)
