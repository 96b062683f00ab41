"""Find what earlier runs have finished with the present inputs. It reads one report per trial and imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gait.capture.pose_formats import trial_name
from gait.cohort.cohort_file import Subject
from gait.cohort.fit_inputs import ADDED, OLD_NAMES, fit_fingerprint
from gait.cohort.fit_settings import FitSettings
from gait.cohort.trial_folder import TrialOutcome, is_finished, trial_folder
from gait.errors import GaitError
from gait.files.fingerprint import changed_inputs
from gait.fitting.fit_report import FitReport
from gait.motion.pose_files import find_pose_folders
from gait.motion.trial_paths import read_fit_report


def find_finished_subject(subject: Subject, settings: FitSettings) -> tuple[TrialOutcome, ...]:
    """Return the outcomes of a subject whose trials are all finished, in order; none if anything is left to do.

    Files are hashed only if every trial has results.
    """
    folders = [trial_folder(settings.save_folder, subject, path) for path in subject.trials]
    if settings.overwrite or not all(is_finished(folder, settings.export_as) for folder in folders):
        return ()
    found = find_finished(subject, settings, fit_fingerprint(subject, settings))
    return tuple(found.values()) if len(found) == len(folders) else ()


def find_finished(subject: Subject, settings: FitSettings, inputs: Mapping[str, Any]) -> dict[Path, TrialOutcome]:
    """Return the outcomes of the finished trials by recording; ``inputs`` is the subject's present fingerprint.

    Exported files may be missing.
    """
    if settings.overwrite:
        return {}
    outcomes = {}
    for path in subject.trials:
        report = _read_finished_report(trial_folder(settings.save_folder, subject, path), inputs)
        if report is not None:
            outcomes[path] = TrialOutcome(subject.name, trial_name(path), "already finished", report=report)
    return outcomes


def _read_finished_report(folder: Path, inputs: Mapping[str, Any]) -> FitReport | None:
    """Return the report of a finished trial; None if it is not finished or its inputs have changed."""
    if not is_finished(folder):
        return None
    try:
        content = read_fit_report(folder)
        report = FitReport.from_dict(content)
    except GaitError:
        return None
    complete = len(report.segments) == len(find_pose_folders(folder))
    return report if complete and not changed_inputs(content.get("inputs"), inputs, OLD_NAMES, ADDED) else None
