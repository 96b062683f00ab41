"""Find pairs of markers whose labels are swapped in a whole trial.

Such a swap causes no discontinuity, and calibrated marker offsets can absorb it. So a body with all markers at their
positions in the layout is fitted to a few frames, and it is tested whether it fits better with two labels swapped.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.fitting.calibration import betas_for_size
from gait.fitting.marker_kinematics import SubjectModel, compute_marker_kinematics
from gait.fitting.marker_quality.leave_out_prediction import FittedBody
from gait.fitting.objective_terms import JointPrior
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.rigid_initialization import align_rigidly
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.solver.pose_solver import PoseSolver
from gait.fitting.subject_fit import TrialFit, observed_markers, select_calibration_frames

NUM_FRAMES = 12
MIN_GAIN_M = 0.02
"""Minimum decrease of the summed distance of both markers from their predicted positions."""
MIN_GAIN_FRACTION = 0.25
"""Minimum relative decrease of that distance."""
MIN_COST_REDUCTION = 0.03
"""Minimum relative decrease of the objective by a swap."""
MAX_OFFSET_M = {"anatomical": 0.030, "technical": 0.120, "joint_centre": 0.060}
"""A marker with a larger offset from the layout may have a swapped label."""
MAX_RESIDUAL_M = 0.020
"""A marker with a larger residual in half of the frames may have a swapped label."""


def swap_suspected(trial: TrialFit) -> bool:
    """Return whether some marker of a fit has a large offset, or large residuals in half of the frames."""
    limit = np.array([MAX_OFFSET_M[kind] for kind in trial.layout.kinds])
    if (np.linalg.norm(trial.offset_m, axis=1) > limit).any():
        return True
    visible = np.isfinite(trial.residual_m)
    large = np.nan_to_num(trial.residual_m) > MAX_RESIDUAL_M
    return bool((large.sum(axis=0) > 0.5 * visible.sum(axis=0)).any())


def find_swapped_labels(fitted_body: FittedBody) -> list[tuple[str, str, float]]:
    """Find pairs of labels that are swapped in a whole trial, each with the mean decrease of the distance in metres.

    Only the recording, the priors and the markers' positions in the layout are used, not the fitted shape and offsets;
    so a marker of which the layout does not know the position is in no pair.
    """
    reduced_body, prior, scales = fitted_body.reduced_body, fitted_body.prior, fitted_body.scales
    # markers at their positions in the layout have their placement error, too
    scales = replace(scales, marker_m=float(np.hypot(scales.marker_m, scales.anatomical_offset_m)))
    labels = reduced_body.labels
    approximate = fitted_body.trial.layout.approximate
    placed = np.array([label not in approximate for label in labels])
    pairs: list[tuple[str, str, float]] = []
    with torch.inference_mode():
        observation = observed_markers(fitted_body.trial.recording, labels, reduced_body.marker_template)
        (rows,) = select_calibration_frames([observation.visible.cpu().numpy()], NUM_FRAMES)
        frames = observation[
            torch.as_tensor(rows[np.linspace(0, len(rows) - 1, min(NUM_FRAMES, len(rows))).astype(int)])
        ]
        subject = SubjectModel.mean(reduced_body)
        _, size, determined = align_rigidly(subject, prior.mean, frames)
        if not bool(determined.any()):
            return []
        subject = SubjectModel(
            reduced_body, betas_for_size(reduced_body, float(size[determined].median())), subject.offset
        )
        cost, virtual = _fit_poses(subject, frames, prior, scales)
        for _ in range(len(labels) // 2):
            pair, gain = _best_swap(frames, virtual, placed)
            if pair is None:
                break
            swapped = ObservedMarkers(_swap_columns(frames.markers, pair), _swap_columns(frames.visible, pair))
            new_cost, new_virtual = _fit_poses(subject, swapped, prior, scales)
            if new_cost > (1 - MIN_COST_REDUCTION) * cost:
                break
            pairs.append((labels[pair[0]], labels[pair[1]], gain / 2))
            frames, cost, virtual = swapped, new_cost, new_virtual
    return pairs


def _fit_poses(
    subject: SubjectModel, frames: ObservedMarkers, prior: JointPrior, scales: ResidualScales
) -> tuple[float, Tensor]:
    """Fit the poses of some frames and return the objective and the virtual markers (N, M, 3)."""
    start, _, _ = align_rigidly(subject, prior.mean, frames)
    solved = PoseSolver(subject, prior, scales).solve(start, frames)
    return float(solved.cost.sum()), compute_marker_kinematics(subject, solved.pose).markers


def _best_swap(
    frames: ObservedMarkers, virtual: Tensor, placed: NDArray[np.bool_]
) -> tuple[tuple[int, int] | None, float]:
    """Return the pair with the largest decrease of its summed mean distance by a swap, and the decrease in metres.

    Only pairs of ``placed`` (M,) markers are compared.
    """
    # (N, M, M) marker i from the predicted position of j
    distance = (frames.markers[:, :, None] - virtual[:, None]).norm(dim=-1)
    own = distance.diagonal(dim1=1, dim2=2)
    both = (frames.visible[:, :, None] & frames.visible[:, None]).double()
    count = both.sum(dim=0).clamp_min(1)
    unswapped = ((own[:, :, None] + own[:, None]) * both).sum(dim=0) / count
    swapped = ((distance + distance.mT) * both).sum(dim=0) / count
    decrease = unswapped - swapped
    too_small = (decrease < MIN_GAIN_FRACTION * unswapped) | (both.sum(dim=0) < 3)
    gain: NDArray[np.float64] = decrease.masked_fill(too_small, 0).cpu().numpy()
    gain[~(placed[:, None] & placed)] = 0
    i, j = np.unravel_index(int(gain.argmax()), gain.shape)
    if gain[i, j] < MIN_GAIN_M:
        return None, 0.0
    return (int(i), int(j)), float(gain[i, j])


def _swap_columns(values: Tensor, pair: tuple[int, int]) -> Tensor:
    order = torch.arange(values.shape[1], device=values.device)
    order[list(pair)] = order[list(pair[::-1])]
    return values[:, order]
