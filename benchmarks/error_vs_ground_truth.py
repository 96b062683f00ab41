"""Errors of fits of synthetic subjects against the ground truth."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from synthetic_subjects import simulate_trials

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import BODY_JOINTS, NUM_BODY_JOINTS
from gait.fitting.subject_fit import TrialFit, fit_shape_and_poses
from gait.synthetic.virtual_markers import MeasurementErrors

VERTEX_STRIDE = 10
"""Vertices are compared in every tenth frame."""


@dataclass(frozen=True)
class GroundTruthErrors:
    """Errors of one fitted trial."""

    joints_m: NDArray[np.float64]  # (T, 22)
    vertices_m: NDArray[np.float64]  # (T', V) in every VERTEX_STRIDE-th frame
    covered: NDArray[np.bool_]  # (T, 22) the joint's error is within its sigma
    sigma_m: NDArray[np.float32]  # (T, 22) uncertainty that the fit reports


def errors_vs_ground_truth(
    names: Iterable[str], body: Body, errors: MeasurementErrors, *, trials: int
) -> dict[str, Any]:
    """Fit synthetic subjects with measurement errors; return mean errors over all frames, by joint and by subject."""
    layout = plug_in_gait_layout(body)
    found: dict[str, list[GroundTruthErrors]] = {}
    for name in names:
        print(f"fitting {name}, placement error {1e3 * errors.placement_m:g} mm", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            known = simulate_trials(name, body, errors, Path(folder), trials=trials)
        fit = fit_shape_and_poses([trial.recording for trial in known], body, layout)
        found[name] = [
            trial_errors(body, trial_fit, trial.ground_truth)
            for trial_fit, trial in zip(fit.trials, known, strict=True)
        ]
    every = [distance for distances in found.values() for distance in distances]
    by_joint = np.concatenate([distance.joints_m for distance in every]).mean(axis=0)
    covered = np.concatenate([distance.covered for distance in every]).mean(axis=0)
    return {
        **mean_errors(every),
        "by_joint_mm": {joint.name.lower(): 1e3 * float(m) for joint, m in zip(BODY_JOINTS, by_joint, strict=True)},
        "sigma_mm": 1e3 * float(np.concatenate([distance.sigma_m for distance in every]).mean()),
        "coverage_by_joint": {joint.name.lower(): float(c) for joint, c in zip(BODY_JOINTS, covered, strict=True)},
        "by_subject": {name: mean_errors(distances) for name, distances in found.items()},
        "trials": len(every),
    }


def trial_errors(body: Body, trial_fit: TrialFit, truth: PoseSequence) -> GroundTruthErrors:
    """Compute the errors of one trial's joints and vertices."""
    ours, theirs = (vertices(body, motion) for motion in (trial_fit, truth))
    distance = np.linalg.norm(trial_fit.joints_m[:, :NUM_BODY_JOINTS] - truth.joints_m, axis=-1)
    sigma = trial_fit.uncertainty.sigma_m[:, :NUM_BODY_JOINTS]
    return GroundTruthErrors(distance, (ours - theirs).norm(dim=-1).double().cpu().numpy(), distance <= sigma, sigma)


def vertices(body: Body, motion: TrialFit | PoseSequence) -> torch.Tensor:
    """Compute vertices (T', V, 3) in every ``VERTEX_STRIDE``-th frame, metres."""
    arrays = motion.poses[::VERTEX_STRIDE], motion.betas, motion.translation_m[::VERTEX_STRIDE]
    with torch.inference_mode():
        return body(*(torch.as_tensor(array).to(body.v_template) for array in arrays)).vertices


def mean_errors(distances: Sequence[GroundTruthErrors]) -> dict[str, float]:
    """Return mean errors over all frames of some trials, mm, and the fraction of joint errors within their sigma."""
    return {
        "joints_mm": 1e3 * float(np.concatenate([d.joints_m for d in distances]).mean()),
        "vertices_mm": 1e3 * float(np.concatenate([d.vertices_m for d in distances]).mean()),
        "sigma_coverage": float(np.concatenate([d.covered for d in distances]).mean()),
    }
