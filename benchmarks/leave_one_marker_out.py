"""Error of predicted markers that are left out of the pose stage, one at a time."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from fit_recorded_trials import FittedTrial
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.pose_prior import default_pose_prior
from gait.fitting.frame_batches import frame_batches
from gait.fitting.marker_kinematics import SubjectModel, compute_marker_kinematics
from gait.fitting.objective_terms import build_joint_prior
from gait.fitting.pose_trajectory import fit_pose_trajectory
from gait.fitting.reduced_body import reduce_body
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.solver.pose_solver import PoseSolver
from gait.fitting.subject_fit import observed_markers


def left_out_marker_metrics(trials: Iterable[FittedTrial], body: Body, *, frames: int | None = None) -> dict[str, Any]:
    """Compute mean prediction errors in mm, by trial and by marker; only in the first ``frames`` of each trial."""
    found = {}
    for trial in trials:
        print(f"leaving out the markers of {trial.name}", file=sys.stderr)
        found[trial.name] = predict_left_out_markers(trial, body, frames)
    by_marker: dict[str, list[NDArray[np.float64]]] = {}
    for distances in found.values():
        for label, distance in distances.items():
            by_marker.setdefault(label, []).append(distance)
    return {
        "mean": mean_mm([distance for distances in found.values() for distance in distances.values()]),
        "by_trial": {name: mean_mm([*distances.values()]) for name, distances in found.items()},
        "by_marker": {label: mean_mm(distances) for label, distances in sorted(by_marker.items())},
    }


def predict_left_out_markers(
    trial: FittedTrial, body: Body, frames: int | None = None, labels: Collection[str] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Repeat the pose stage without each marker of a trial, or of ``labels``, in turn.

    Shape and marker offsets are those of the full fit.

    The pose prior is centred on the neutral posture, not on that of the recording, which was estimated with the marker.
    Return the distance (T,) from the predicted to the observed marker by label, metres; NaN where it is not visible.
    """
    trial_fit, scales = trial.trial_fit, ResidualScales()
    layout = trial_fit.layout
    with torch.inference_mode(), frame_batches(body.device) as batches:
        reduced_body = reduce_body(body, layout)
        like = reduced_body.marker_template
        subject = SubjectModel(
            reduced_body, torch.as_tensor(trial_fit.betas).to(like), torch.as_tensor(trial_fit.offset_m).to(like)
        )
        prior = build_joint_prior(default_pose_prior(), scales, body=body, hinges=reduced_body.hinges)
        solver = PoseSolver(subject, prior, scales)
        observed = observed_markers(trial_fit.recording, layout.labels, reduced_body.marker_template)[:frames]
        distances = {}
        for m, label in enumerate(layout.labels):
            if labels is not None and label not in labels:
                continue
            visible = observed.visible.clone()
            visible[:, m] = False
            observation = ObservedMarkers(observed.markers, visible)
            pose, _ = fit_pose_trajectory(solver, observation, trial_fit.recording.rate_hz, None, batches)
            predicted = compute_marker_kinematics(subject, pose).markers[:, m]
            error = (predicted - observed.markers[:, m]).norm(dim=-1).double().cpu().numpy()
            distances[label] = np.where(observed.visible[:, m].cpu().numpy(), error, np.nan)
    return distances


def mean_mm(distances_m: Sequence[NDArray[np.float64]]) -> float | None:
    """Return the mean of the finite values, mm; None without any."""
    every = np.concatenate(distances_m)
    return 1e3 * float(np.nanmean(every)) if np.isfinite(every).any() else None
