"""Curves of controls for a norm, from the gait analysis of healthy subjects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gait.kinematics.gait_events import SIDES
from gait.kinematics.spatiotemporal import pool_parameters, scale_factor
from gait.kinematics.speed_norm import ControlCurves
from gait.kinematics.strides import pool_curves
from gait.kinematics.trial_analysis import SubjectAnalysis, TrialAnalysis

PACE_GAP = 0.05
"""Trials of a subject belong to different paces if no trial's dimensionless speed lies between them and they differ by
more."""


def control_curves(subjects: Iterable[SubjectAnalysis]) -> tuple[ControlCurves, ...]:
    """Return each subject's mean curves over the strides of each pace; a subject without straight strides has none."""
    return tuple(curves for subject in subjects for curves in curves_by_pace(subject.subject, subject.trials))


def curves_by_pace(person: str, trials: Sequence[TrialAnalysis]) -> tuple[ControlCurves, ...]:
    """Return the mean curves of one person's trials, of each pace."""
    return tuple(_by_pace(person, trials))


def _by_pace(person: str, all_trials: Sequence[TrialAnalysis]) -> Iterable[ControlCurves]:
    speeds = sorted((_median_speed(trial), number) for number, trial in enumerate(all_trials))
    paces: list[list[TrialAnalysis]] = []
    last = -np.inf
    for speed, number in speeds:
        if not np.isfinite(speed):
            continue
        if speed - last > PACE_GAP:
            paces.append([])
        paces[-1].append(all_trials[number])
        last = speed
    for trials in paces:
        curves = pool_curves([trial.curves for trial in trials])  # finds outliers among the strides of this pace alone
        used = {side: curves.used(side) for side in SIDES}
        parameters = pool_parameters([trial.parameters for trial in trials], used)
        means = {key: curves.mean(*key) for key in curves.curves if used[key[1]].any()}
        yield ControlCurves(person, parameters.dimensionless_speed, means)


def _median_speed(trial: TrialAnalysis) -> float:
    """Return the median dimensionless speed over the straight strides of a trial; NaN if there is none."""
    parameters = trial.parameters
    speeds = [
        speed
        for side in SIDES
        for stride, speed in zip(trial.curves.strides[side], parameters.values["walking_speed", side], strict=True)
        if stride.is_straight_and_level and np.isfinite(speed)
    ]
    return float(np.median(speeds)) * scale_factor("m/s", parameters.leg_length_m) if speeds else np.nan
