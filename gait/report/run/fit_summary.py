"""Marker residuals of a cohort, read from the fit reports in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gait.errors import GaitError
from gait.fitting.fit_report import FitReport
from gait.motion.trial_paths import FIT_FIGURE_FILE, HEALTHY, REPORT_FILE, SICK, read_fit_report
from gait.text import natural_key


@dataclass(frozen=True)
class TrialFitSummary:
    """Fit report of one trial."""

    folder: Path
    subject: str  # "sick/P02"
    trial: str
    report: FitReport
    provenance: dict[str, Any]  # body model, marker layout, versions

    @property
    def name(self) -> str:
        """Subject and trial: "sick/P02/walk1"."""
        return f"{self.subject}/{self.trial}"

    @property
    def figure(self) -> Path | None:
        """Path of the fit figure, or None if there is none."""
        file = self.folder / FIT_FIGURE_FILE
        return file if file.is_file() else None

    @property
    def mean_mm(self) -> float:
        """Mean residual; NaN if no marker is visible."""
        return _number(self.report.residual_mm["mean"])

    @property
    def worst_frame_mm(self) -> float:
        """Largest mean residual of a frame."""
        return _number(self.report.residual_mm["max_frame_mean"])


@dataclass(frozen=True)
class CohortFitSummary:
    """Fit reports of all trials in a folder."""

    trials: tuple[TrialFitSummary, ...]  # sorted by subject and trial; at least one
    problems: tuple[str, ...]  # one message per unreadable report

    @property
    def subjects(self) -> dict[str, tuple[TrialFitSummary, ...]]:
        """The trials of each subject."""
        return {
            subject: tuple(trial for trial in self.trials if trial.subject == subject)
            for subject in dict.fromkeys(trial.subject for trial in self.trials)
        }

    @property
    def mean_mm(self) -> float:
        """Mean residual over all frames of all trials."""
        return mean_residual_mm(self.trials)

    @property
    def worst_trial(self) -> TrialFitSummary:
        """The trial with the largest mean residual."""
        return max(self.trials, key=lambda trial: np.nan_to_num(trial.mean_mm, nan=-1.0))

    @property
    def worst_marker(self) -> tuple[str, float, TrialFitSummary] | None:
        """Marker with the largest mean residual in any trial, that residual in mm, and the trial, if any."""
        return worst_marker_of(self.trials)


def read_cohort_fits(poses: Path) -> CohortFitSummary:
    """Read all fit reports in the save folder of ``shape_optimizer.py``.

    Raises:
        GaitError: no report can be read.
    """
    trials, problems = [], []
    poses = Path(poses)
    for label in (HEALTHY, SICK):
        for file in sorted((poses / label).glob(f"*/*/{REPORT_FILE}")):
            try:
                content = read_fit_report(file.parent)
                subject = f"{label}/{file.parent.parent.name}"
                report = FitReport.from_dict(content)
                trials.append(TrialFitSummary(file.parent, subject, file.parent.name, report, _provenance(content)))
            except GaitError as error:
                line = str(error)
                problems.append(line if str(file.parent) in line else f"{file}: {line}")
    if not trials:
        raise GaitError(
            problems[0]
            if problems
            else f"{poses}: no {REPORT_FILE} in its folders {HEALTHY} and {SICK}; name the folder that "
            "shape_optimizer.py saved in."
        )
    trials.sort(key=lambda trial: natural_key(trial.name))
    return CohortFitSummary(tuple(trials), tuple(problems))


def _provenance(content: Mapping[str, Any]) -> dict[str, Any]:
    versions = content.get("versions")
    return {
        "body": content.get("model_file"),
        "markers": content.get("layout"),
        **(versions if isinstance(versions, dict) else {}),
    }


def mean_residual_mm(trials: Sequence[TrialFitSummary]) -> float:
    """Return the mean residual over all frames of some trials in mm; NaN if no marker is visible."""
    known = [trial for trial in trials if np.isfinite(trial.mean_mm)]
    if not known:
        return float("nan")
    return float(np.average([trial.mean_mm for trial in known], weights=[trial.report.frames for trial in known]))


def worst_marker_of(trials: Sequence[TrialFitSummary]) -> tuple[str, float, TrialFitSummary] | None:
    """Return the marker with the largest mean residual in any of the trials, that residual in mm, and the trial."""
    found = [
        (label, float(marker["mean_mm"]), trial)
        for trial in trials
        for label, marker in trial.report.markers.items()
        if marker["mean_mm"] is not None
    ]
    return max(found, key=lambda one: one[1], default=None)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
