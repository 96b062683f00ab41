"""The gait analysis of a subject's fitted trials, read from the save folder of a fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gait.arrays import Vector
from gait.errors import GaitError
from gait.fitting.fit_report import FitReport
from gait.kinematics.curve_errors import stride_errors
from gait.kinematics.gait_events import SIDES
from gait.kinematics.trial_analysis import SubjectAnalysis, TrialAnalysis, analyse_subject
from gait.motion.subject_trials import find_trial_folders, read_fitted_trial
from gait.motion.trial_paths import HEALTHY, REPORT_FILE, SICK, read_fit_report


@dataclass(frozen=True, eq=False)
class GroupMember:
    """A subject and its group."""

    subject_id: str  # "sick/P02"

    @property
    def label(self) -> str:
        """The folder of the group, "healthy" or "sick"; "" if the subject is in none."""
        label, _, name = self.subject_id.partition("/")
        return label if name and label in (HEALTHY, SICK) else ""

    @property
    def name(self) -> str:
        """The subject without its group."""
        return self.subject_id.removeprefix(f"{self.label}/")


@dataclass(frozen=True, eq=False)
class MeasuredSubject(GroupMember):
    """One subject: the analysis of all trials, and the reports of their fits."""

    analysis: SubjectAnalysis
    reports: Mapping[str, FitReport]  # by trial; trials without one are absent
    problems: tuple[str, ...] = ()  # one line per trial that could not be read
    # by trial, then by (angle, side): standard errors (n, 101) of all strides, degrees; trials without known ones are
    # absent. They stand in place of the ``angle_errors`` of the trials, which need eight times the memory of the rest.
    stride_errors_deg: Mapping[str, Mapping[tuple[str, str], Vector]] = field(default_factory=dict)

    @property
    def num_strides(self) -> dict[str, int]:
        """Number of strides that count in means, by side."""
        return {side: int(self.analysis.curves.used(side).sum()) for side in SIDES}

    @property
    def mean_curves(self) -> dict[tuple[str, str], Vector]:
        """Mean curves (101,) over strides by angle and side, degrees; those that no stride observes are absent."""
        return self.analysis.curves.means()

    @property
    def dimensionless_speed(self) -> float:
        """That of the subject's parameters; NaN without a stride."""
        return self.analysis.parameters.dimensionless_speed

    @property
    def residual_mean_mm(self) -> float:
        """Mean residual of the fits, weighted by frames; NaN if no fit report has one."""
        known = [t.quality for t in self.analysis.trials if math.isfinite(t.quality.residual_mean_mm)]
        frames = sum(quality.num_frames for quality in known)
        return sum(q.residual_mean_mm * q.num_frames for q in known) / frames if frames else math.nan


def measure_subject(folder: Path) -> MeasuredSubject:
    """Read and analyse the fitted trials in a subject's folder.

    Raises:
        GaitError: none of them can be read.
    """
    analyses: list[TrialAnalysis] = []
    reports: dict[str, FitReport] = {}
    problems: list[str] = []
    for trial in find_trial_folders(folder):
        try:
            own = [each.analyse() for each in read_fitted_trial(trial)]
            if (trial / REPORT_FILE).is_file():
                report = FitReport.from_dict(read_fit_report(trial))
                reports |= {each.trial: report for each in own}
        except GaitError as error:
            problems.append(str(error) if str(trial) in str(error) else f"{trial / REPORT_FILE}: {error}")
        else:
            analyses += own
    if not analyses:
        raise GaitError(problems[0] if problems else f"{folder}: no fitted trial in it; fit this subject again.")
    analysis = analyse_subject(analyses)
    errors = {
        each.trial: {key: stride_errors(of_angles, *key, each.curves.strides[key[1]]) for key in each.curves.curves}
        for each in analysis.trials
        if (of_angles := each.angle_errors) is not None
    }
    analysis = replace(analysis, trials=tuple(replace(each, angle_errors=None) for each in analysis.trials))
    return MeasuredSubject(analysis.subject, analysis, reports, tuple(problems), errors)
