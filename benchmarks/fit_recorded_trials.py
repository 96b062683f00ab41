"""Fits of the recorded trials, and metrics of each."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from recorded_trials import RecordedSubject, is_walking_trial

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.rotations import matrix_to_axis_angle
from gait.body.skeleton import Joint
from gait.capture.read_recording import read_recording
from gait.fitting.fit_report import build_fit_report
from gait.fitting.subject_fit import SubjectFit, TrialFit, fit_shape_and_poses

KNEE_TOLERANCE_DEG = 8.0
ELBOW_TOLERANCE_DEG = 10.0
"""Hyperextension of knees and elbows beyond these tolerances counts as implausible."""


@dataclass(frozen=True)
class FittedTrial:
    """One recorded trial with the fit of its subject."""

    name: str  # path relative to the captures folder
    subject_fit: SubjectFit
    trial_fit: TrialFit


def fit_trials(subjects: Iterable[RecordedSubject], captures: Path, body: Body) -> list[FittedTrial]:
    """Fit all recordings of each subject together; return the walking trials."""
    layout = plug_in_gait_layout(body)
    trials = []
    for subject in subjects:
        print(f"fitting {subject.name}", file=sys.stderr)
        fit = fit_shape_and_poses([read_recording(path) for path in subject.paths], body, layout)
        trials += [
            FittedTrial(path.relative_to(captures).as_posix(), fit, trial_fit)
            for path, trial_fit in zip(subject.paths, fit.trials, strict=True)
            if is_walking_trial(path)
        ]
    return trials


def trial_metrics(trial: FittedTrial) -> dict[str, Any]:
    """Return metrics from the trial's fit report, and the hyperextension of knees and elbows."""
    report = build_fit_report(trial.subject_fit, trial.trial_fit)
    return {
        "residual_mm": report.residual_mm["mean"],
        "max_frame_mean_mm": report.residual_mm["max_frame_mean"],
        "offset_mm": report.placement_offset_mm["anatomical"],
        "technical_offset_mm": report.placement_offset_mm["technical"],
        "worst_markers": {label: report.markers[label]["mean_mm"] for label in report.worst_markers[:3]},
        "hyperextended_fraction": hyperextended_fraction(trial.trial_fit.rotations),
        "stature_m": report.stature_m,
        "frames": report.frames,
    }


def worst_metrics(trials: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the maximum of each metric over all trials, and the mean residual."""
    metrics = list(trials.values())
    return {
        "residual_mm": max(f["residual_mm"] for f in metrics),
        "mean_residual_mm": float(np.mean([f["residual_mm"] for f in metrics])),
        "max_frame_mean_mm": max(f["max_frame_mean_mm"] for f in metrics),
        "offset_mm": max(f["offset_mm"] for f in metrics),
        "no_hyperextension": not any(any(f["hyperextended_fraction"].values()) for f in metrics),
    }


def hyperextended_fraction(rotations: NDArray[np.float64]) -> dict[str, float]:
    """Return the fraction of frames in which a knee or an elbow is hyperextended beyond tolerance.

    Rotations are (T, J, 3, 3) relative to the parent. A knee flexes about +x, the left elbow about −y, the right about
    +y (``gait.body.pose_prior``).
    """
    degrees = np.degrees(matrix_to_axis_angle(torch.as_tensor(rotations)).numpy())
    knees = degrees[:, [Joint.LEFT_KNEE, Joint.RIGHT_KNEE], 0]
    elbows = degrees[:, [Joint.LEFT_ELBOW, Joint.RIGHT_ELBOW], 1] * [-1, 1]
    return {
        "knees": float((knees < -KNEE_TOLERANCE_DEG).any(axis=1).mean()),
        "elbows": float((elbows < -ELBOW_TOLERANCE_DEG).any(axis=1).mean()),
    }
