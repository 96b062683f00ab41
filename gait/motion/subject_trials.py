"""Reading a subject's fitted trials from a save folder, and their gait analysis."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.kinematics.trial_analysis import SubjectAnalysis, TrialAnalysis, analyse_subject, analyse_trial
from gait.motion.pose_files import find_pose_folders, read_poses
from gait.motion.trial_paths import HEALTHY, REPORT_FILE, SICK, parse_subject_id, read_fit_report
from gait.text import natural_key

if TYPE_CHECKING:  # it imports torch
    from gait.body.body import Body


@dataclass(frozen=True, eq=False)
class FittedTrial:
    """One fitted trial, or one segment of a trial that was split at gaps, at the rate of its recording."""

    subject: str  # "sick/P02"; unlabelled, "P02"
    name: str  # "walk1"; of a segment "walk1/segment2"
    folder: Path  # of the poses
    sequence: PoseSequence
    residual_mean_mm: float  # of the fit; NaN without a fit report

    def analyse(self) -> TrialAnalysis:
        """Return the gait analysis of the trial."""
        return analyse_trial(
            self.sequence, subject=self.subject, trial=self.name, residual_mean_mm=self.residual_mean_mm
        )


def find_subject_folders(folder: Path) -> tuple[Path, ...]:
    """Return the folders of subjects in a save folder, healthy ones first, by name.

    The folder is ``<save_folder>``, one of its folders ``healthy`` and ``sick``, or that of one subject.

    Raises:
        GaitError: there is no fitted trial in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise GaitError(f"{folder}: no such folder; name the folder that shape_optimizer.py saved in.")
    labels = [folder / label for label in (HEALTHY, SICK) if (folder / label).is_dir()]
    if find_trial_folders(folder):
        return (folder,)
    subjects = [
        subject for label in labels or [folder] for subject in _subfolders(label) if find_trial_folders(subject)
    ]
    if subjects:
        return tuple(subjects)
    raise GaitError(f"{folder}: no fitted trial in it; name the folder that shape_optimizer.py saved in.")


def read_subject_trials(
    folder: Path, *, body: Body | None = None, rate_hz: float | None = None
) -> Iterator[FittedTrial]:
    """Read all trials of a subject's folder, by name; segments of a split trial are trials of their own.

    ``body`` and ``rate_hz`` are needed for poses without joints and rate (``read_poses``).

    Raises:
        GaitError: there is no trial in it, or one cannot be read.
    """
    folder = Path(folder)
    trials = find_trial_folders(folder) if folder.is_dir() else ()
    if not trials:
        raise GaitError(f"{folder}: no fitted trial in it; name the folder of a subject, <healthy|sick>/<subject>.")
    for trial in trials:
        yield from read_fitted_trial(trial, body=body, rate_hz=rate_hz)


def read_fitted_trial(trial: Path, *, body: Body | None = None, rate_hz: float | None = None) -> Iterator[FittedTrial]:
    """Read a trial's folder, or its segments one by one; arguments and errors of ``read_subject_trials``."""
    residual_mm = math.nan
    if (trial / REPORT_FILE).is_file():
        mean = read_fit_report(trial).get("residual_mm", {}).get("mean")
        residual_mm = math.nan if mean is None else float(mean)
    for segment in find_pose_folders(trial):
        name = trial.name if segment == trial else f"{trial.name}/{segment.name}"
        sequence = read_poses(segment, body=body, rate_hz=rate_hz)
        yield FittedTrial(parse_subject_id(segment), name, segment, sequence, residual_mm)


def find_trial_folders(subject: Path) -> tuple[Path, ...]:
    """Return the folders of the fitted trials in a subject's folder, by name; none if there is no fitted trial."""
    return tuple(folder for folder in _subfolders(subject) if find_pose_folders(folder))


def analyse_subject_folder(folder: Path, *, body: Body | None = None, rate_hz: float | None = None) -> SubjectAnalysis:
    """Return the gait analysis of all trials of a subject's folder; arguments and errors of ``read_subject_trials``."""
    return analyse_subject(trial.analyse() for trial in read_subject_trials(folder, body=body, rate_hz=rate_hz))


def _subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder by name; hidden ones belong to a run in progress, and are ignored."""
    inside = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(inside, key=lambda path: natural_key(path.name))
