"""Covariance of the errors in the calibrated shape and marker offsets of a subject.

The error of the solution is −H⁻¹·s, where H is the curvature at the end of the calibration and s the gradient that the
errors of priors and residuals cause. If these errors had the size of ``ResidualScales``, the covariance of s would be H
and that of the solution H⁻¹. In fact markers may be placed better or worse than assumed, and the residuals contain only
noise. So the size of both is estimated from the trials of the subject, and the covariance of the solution is the
sandwich H⁻¹·cov(s)·H⁻¹ (Huber 1967, Proc. Fifth Berkeley Symp. 1:221; White 1982, Econometrica 50:1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gait.body.marker_layout import MarkerKind
from gait.fitting.calibration import (
    CalibrationProblem,
    ShapeCalibration,
    SubjectNormalEquations,
    subject_normal_equations,
)
from gait.fitting.reference_normal_equations import NormalEquations

PRIOR_PSEUDO_COUNT = 3
"""Number of pseudo-observations with the assumed variance that are added when a variance factor is estimated, so that
few observations cannot give an extreme factor."""


def shape_offset_covariance(problem: CalibrationProblem, calibrated: ShapeCalibration) -> Tensor:
    """Return the covariance (R, B + 3·M, B + 3·M) of the errors in the shape and in the offsets of each trial.

    It is that of a calibration of the shape and all offsets, also if only some places were solved.
    """
    places, problem = problem.places, replace(problem, places=None)
    precision = problem.precision
    subject, pose_equations = problem.linearize(calibrated.betas, calibrated.marker_offsets, calibrated.pose)
    equations = subject_normal_equations(problem, subject, pose_equations, calibrated.marker_offsets, 0.0)
    by_prior = pose_prior_curvature(pose_equations)
    noise = variance_factor(pose_equations, by_prior, problem.observation.visible)
    response = equations.pose_response[..., 1:]
    shape = torch.eye(len(calibrated.betas), dtype=precision.dtype, device=precision.device) / problem.scales.shape**2
    by_trial = []  # (R) covariance of the gradient that the frames of each trial cause in shape and own offsets
    for r in range(problem.num_trials):
        rows = problem.trial_index == r
        from_prior = problem.frame_weight * (response[rows].mT @ by_prior[rows] @ response[rows]).sum(dim=0)
        by_trial.append(from_prior + noise * (equations.trial_curvature[r] - from_prior))
    by_frames = torch.stack(by_trial)
    by_offset_prior = torch.block_diag(*precision)
    others = propagate_covariance(equations, by_frames, torch.zeros_like(by_offset_prior), shape)
    factors = offset_variance_factors(equations, calibrated, others, precision, problem.kinds)
    if places is not None:  # the prior of these offsets is centred on the observed places
        factors.view(-1, 3)[places] = 1.0
    by_offset_prior = by_offset_prior * factors
    return propagate_covariance(equations, by_frames, by_offset_prior, shape)


def select_covariance(covariance: Tensor, num_betas: int, markers: Tensor) -> Tensor:
    """Select the rows and columns of the shape and of some markers from a covariance (B + 3·M, B + 3·M)."""
    offsets = num_betas + 3 * markers[:, None] + torch.arange(3, device=markers.device)
    rows = torch.cat([torch.arange(num_betas, device=markers.device), offsets.flatten()])
    return covariance[rows[:, None], rows]


def propagate_covariance(
    equations: SubjectNormalEquations, by_frames: Tensor, by_offset_prior: Tensor, shape: Tensor
) -> Tensor:
    """Propagate the covariance of the gradient to that of the solution.

    Args:
        equations: undamped equations of the S = B + 3·M subject parameters.
        by_frames: (R, B + 3·M, B + 3·M) covariance caused by the frames of each trial; trials are independent.
        by_offset_prior: (3·M, 3·M) covariance caused by the prior of the offsets; the same error in all trials.
        shape: (B, B) covariance caused by the prior of the shape.

    Returns:
        (R, B + 3·M, B + 3·M) covariance of the shape and the offsets of each trial.
    """
    B, R = len(shape), len(by_frames)
    eye = torch.eye(len(equations.curvature), dtype=by_offset_prior.dtype, device=by_offset_prior.device)
    inverse = torch.linalg.inv(equations.curvature)
    inner = torch.linalg.inv(equations.offset_curvature)  # (R, 3M, 3M)
    follows = -equations.offset_response[..., 1:]  # (R, 3M, S): derivative of a trial's offsets in the S parameters
    coupling = torch.diag_embed(equations.coupling_precision.repeat_interleave(3, dim=1))

    # Covariance of the gradient in the subject parameters: direct, and through the offsets of each trial.
    all_follow = follows.sum(dim=0)
    gradient_covariance = all_follow.mT @ by_offset_prior @ all_follow
    gradient_covariance[:B, :B] += shape
    crosses = []  # (R) cross-covariance with the gradient in the offsets of each trial
    for r in range(R):
        to_subject = torch.cat([eye[:, :B], follows[r].mT], dim=1)  # from shape and own offsets
        # the coupling acts on a trial's offsets and, with opposite sign, on the subject's
        coupling_effect = follows[r].mT - eye[:, B:]
        gradient_covariance = (
            gradient_covariance
            + to_subject @ by_frames[r] @ to_subject.mT
            + coupling_effect @ coupling[r] @ coupling_effect.mT
        )
        crosses.append(
            to_subject @ by_frames[r][:, B:] + coupling_effect @ coupling[r] + all_follow.mT @ by_offset_prior
        )
    parameters = inverse @ gradient_covariance @ inverse
    result = []
    for r in range(R):
        own = by_frames[r][B:, B:] + coupling[r] + by_offset_prior
        with_subject = inverse @ crosses[r] @ inner[r]  # (S, 3M)
        offsets = follows[r] @ parameters @ follows[r].mT + inner[r] @ own @ inner[r]
        cross = follows[r] @ with_subject
        across = parameters[:B] @ follows[r].mT + with_subject[:B]
        offsets = offsets + cross + cross.mT
        result.append(torch.cat([torch.cat([parameters[:B, :B], across], 1), torch.cat([across.mT, offsets], 1)]))
    covariance = torch.stack(result)
    return (covariance + covariance.mT) / 2


def pose_prior_curvature(pose_equations: NormalEquations) -> Tensor:
    """Return the part of the curvature (T, D, D) that comes from the priors and not from the markers."""
    weight = pose_equations.weight.to(pose_equations.jacobian.dtype).repeat_interleave(3, dim=1)[..., None]
    return pose_equations.curvature - pose_equations.jacobian.mT @ (pose_equations.jacobian * weight)


def variance_factor(pose_equations: NormalEquations, by_prior: Tensor, visible: Tensor) -> float:
    """Return the variance of the residuals relative to the assumed one (a posteriori factor, Koch 1999, sec. 3.2.5).

    The degrees of freedom of a frame are its visible coordinates minus the pose parameters that the markers determine.
    """
    curvature = pose_equations.curvature.clone()
    diagonal = curvature.diagonal(dim1=1, dim2=2)
    diagonal.add_(1e-6 * diagonal.amax(dim=1, keepdim=True))
    by_markers = pose_equations.curvature - by_prior
    used = float(torch.linalg.solve(curvature, by_markers).diagonal(dim1=1, dim2=2).sum())
    free = max(3 * float(visible.sum()) - used, 0.0)
    square = float((pose_equations.weight * (pose_equations.residual**2).sum(dim=-1)).sum())
    return (square + PRIOR_PSEUDO_COUNT) / (free + PRIOR_PSEUDO_COUNT)


def offset_variance_factors(
    equations: SubjectNormalEquations,
    calibrated: ShapeCalibration,
    others: Tensor,
    precision: Tensor,
    kinds: Sequence[MarkerKind],
) -> Tensor:
    """Return the variance of the marker offsets relative to the assumed one, (3·M,), equal for all markers of a kind.

    The estimated offsets are the true ones, reduced by the prior, plus the errors from all other sources. So their mean
    square is compared with its expectation, in which the factor is the only unknown (estimation of a variance
    component, Koch 1999, sec. 3.6).

    ``calibrated`` is the solution of the undamped ``equations``; ``others`` (R, B + 3·M, B + 3·M) the covariance of the
    errors from all sources but the true offsets; ``precision`` (M, 3, 3), 1/m², the prior one of the offsets.
    """
    offsets = calibrated.marker_offsets.trials.flatten(1)  # (R, 3M)
    R, M3 = offsets.shape
    prior_precision = torch.block_diag(*precision)
    follows = -equations.offset_response[..., 1:]
    response = follows @ torch.linalg.inv(equations.curvature) @ follows.sum(dim=0).mT
    response = response + torch.linalg.inv(equations.offset_curvature)
    recovered = torch.eye(M3, dtype=prior_precision.dtype, device=prior_precision.device) - response @ prior_precision
    spread = others[:, -M3:, -M3:]
    factors = torch.ones_like(offsets[0])
    for kind in set(kinds):
        of_kind = torch.tensor([k == kind for k in kinds], device=offsets.device).repeat_interleave(3)
        kind_precision = of_kind[:, None] * prior_precision
        square = torch.einsum("ri,ij,rj->", offsets, kind_precision, offsets) / R
        by_others = (kind_precision * spread).sum() / R
        part = recovered * of_kind  # (R, 3M, 3M) fraction of the true offsets that the estimate contains
        expected = torch.einsum("ij,rjk,kl,ril->", kind_precision, part, torch.linalg.inv(prior_precision), part) / R
        factors[of_kind] = ((square - by_others).clamp_min(0) + PRIOR_PSEUDO_COUNT) / (expected + PRIOR_PSEUDO_COUNT)
    return factors
