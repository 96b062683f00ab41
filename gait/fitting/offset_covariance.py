"""Covariance of the errors in the calibrated shape and marker offsets of a subject.

The error of the solution is −H⁻¹·s, where H is the curvature at the end of the calibration and s the gradient that the
errors of priors and residuals cause. If these errors had the size of ``ResidualScales``, the covariance of s would be H
and that of the solution H⁻¹. In fact markers may be placed better or worse than assumed, and the residuals contain only
noise. So the size of both is estimated from the trials of the subject, and the covariance of the solution is the
sandwich H⁻¹·cov(s)·H⁻¹ (Huber 1967, Proc. Fifth Berkeley Symp. 1:221; White 1982, Econometrica 50:1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gait.body.marker_layout import MarkerKind
from gait.fitting.calibration import (
    CalibrationProblem,
    ShapeCalibration,
    SubjectNormalEquations,
    subject_normal_equations,
)
from gait.fitting.marker_kinematics import MarkerKinematics, SubjectModel
from gait.fitting.reference_normal_equations import NormalEquations

POSTURE_VARIANCE = 0.3
"""Variance of a subject's mean posture relative to that of the pose prior, on average over the joints."""
MOTION_VARIANCE = 0.25
"""The same of the motion about the mean posture. Both are mean squares of fits of 23 recorded walks of 20 subjects."""
PRIOR_PSEUDO_COUNT = 3
"""Number of pseudo-observations with the assumed variance that are added when a variance factor is estimated, so that
few observations cannot give an extreme factor."""


@dataclass(frozen=True)
class CalibrationErrors:
    """Errors of the calibration in one trial: L independent ones, each for one standard deviation.

    A subject's posture differs from the mean of the pose prior in all frames alike, so that shape and offsets adapt to
    the prior. The mean posture that the calibration finds, around which the frames of the trial are fitted
    (``posture_and_vposer.recentre_prior``), has an error that belongs to those of shape and offsets.
    """

    covariance: Tensor  # (B + 3·M, B + 3·M) of the shape and the offsets, if the posture were different in each frame
    parameters: Tensor  # (B + 3·M, L) of the shape and the offsets of the trial
    posture: Tensor  # (3·J, L) of the mean rotation of each joint, radians, axes of the parent
    noise: float = 1.0  # variance of the residuals relative to the assumed one

    @staticmethod
    def from_covariance(covariance: Tensor, num_joints: int) -> CalibrationErrors:
        """Return errors of shape and offsets with a covariance (B + 3·M, B + 3·M); the mean posture has none."""
        root = covariance_root(covariance)
        return CalibrationErrors(covariance, root, root.new_zeros(3 * num_joints, root.shape[1]))

    def to(self, dtype: torch.dtype) -> CalibrationErrors:
        """Return the errors in another floating-point type."""
        return replace(
            self,
            covariance=self.covariance.to(dtype),
            parameters=self.parameters.to(dtype),
            posture=self.posture.to(dtype),
        )

    def select(self, num_betas: int, markers: Tensor) -> CalibrationErrors:
        """Return the errors of the shape and of some markers."""
        offsets = num_betas + 3 * markers[:, None] + torch.arange(3, device=markers.device)
        rows = torch.cat([torch.arange(num_betas, device=markers.device), offsets.flatten()])
        covariance = self.covariance[rows[:, None], rows]
        return replace(self, covariance=covariance, parameters=self.parameters[rows])


def calibration_errors(problem: CalibrationProblem, calibrated: ShapeCalibration) -> list[CalibrationErrors]:
    """Return the errors of the shape, the offsets and the mean posture of each of the R trials.

    They are those of a calibration of the shape and all offsets, also if only some places were solved.
    """
    places, problem = problem.places, replace(problem, places=None)
    precision = problem.precision
    subject, pose_equations = problem.linearize(calibrated.betas, calibrated.marker_offsets, calibrated.pose)
    equations = subject_normal_equations(problem, subject, pose_equations, calibrated.marker_offsets, 0.0)
    by_prior = pose_prior_curvature(pose_equations)
    noise = variance_factor(pose_equations, by_prior, problem.observation.visible)
    response = equations.pose_response[..., 1:]
    shape = torch.eye(len(calibrated.betas), dtype=precision.dtype, device=precision.device) / problem.scales.shape**2
    # (R) covariance of the gradient that the frames of each trial cause in shape and own offsets
    by_trial, by_motion = [], []
    rows_of = [problem.trial_index == r for r in range(problem.num_trials)]
    for r, rows in enumerate(rows_of):
        from_prior = problem.frame_weight * (response[rows].mT @ by_prior[rows] @ response[rows]).sum(dim=0)
        from_markers = noise * (equations.trial_curvature[r] - from_prior)
        by_trial.append(from_prior + from_markers)
        by_motion.append(problem.scales.calibration_pose_prior * MOTION_VARIANCE * from_prior + from_markers)
    by_frames = torch.stack(by_trial)
    by_offset_prior = torch.block_diag(*precision)
    others = propagate_covariance(equations, by_frames, torch.zeros_like(by_offset_prior), shape)
    factors = offset_variance_factors(equations, calibrated, others, precision, problem.kinds)
    if places is not None:  # the prior of these offsets is centred on the observed places
        factors.view(-1, 3)[places] = 1.0
    by_offset_prior = by_offset_prior * factors
    covariance = propagate_covariance(equations, by_frames, by_offset_prior, shape)
    axes = posture_axes(subject, pose_equations.kinematics)
    given_posture = propagate_covariance(equations, torch.stack(by_motion), by_offset_prior, shape)
    size = (problem.scales.calibration_pose_prior * POSTURE_VARIANCE) ** 0.5
    prior_root = size * posture_prior_root(by_prior, axes)  # (N, D, 3J): gradient that the posture causes
    pull = [-problem.frame_weight * (response[rows].mT @ prior_root[rows]).sum(dim=0) for rows in rows_of]
    followed = propagate_gradient(equations, torch.stack(pull))  # (R, B + 3M, D)
    curvature = pose_equations.curvature.clone()
    diagonal = curvature.diagonal(dim1=1, dim2=2)
    diagonal.add_(1e-6 * diagonal.amax(dim=1, keepdim=True))
    drawn = torch.linalg.solve(curvature, prior_root)  # (N, D, D)
    found = []
    for r, rows in enumerate(rows_of):
        root = covariance_root(given_posture[r])
        # error of the mean posture with shape and offsets, and that caused by the prior
        with_parameters = -_in_posture_axes(response[rows], axes[rows]).mean(dim=0)
        by_posture = -_in_posture_axes(drawn[rows], axes[rows]).mean(dim=0) + with_parameters @ followed[r]
        found.append(
            CalibrationErrors(
                covariance[r],
                torch.cat([root, followed[r]], dim=1),
                torch.cat([with_parameters @ root, by_posture], dim=1),
                noise,
            )
        )
    return found


def covariance_root(covariance: Tensor) -> Tensor:
    """Return a root of a covariance (n, n)."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp_min(0).sqrt()


def posture_axes(subject: SubjectModel, kinematics: MarkerKinematics) -> Tensor:
    """Return the axes (T, J, 3, 3) of each joint's parent, relative to those of the joint's parameters.

    In the axes of the parent, a posture is the same in all frames. The parameters of hinge joints are angles, which are
    also.
    """
    hinges = subject.reduced_body.hinges
    if hinges is None:
        return kinematics.parent_world
    eye = torch.eye(3, dtype=kinematics.world.dtype, device=kinematics.world.device)
    return torch.where(hinges.hinged[:, None, None], eye, kinematics.parent_world)


def posture_prior_root(by_prior: Tensor, axes: Tensor) -> Tensor:
    """Return a root (T, D, 3·J) of the curvature of the priors (T, D, D), whose columns belong to ``posture_axes``."""
    T, J = axes.shape[:2]
    blocks = by_prior[:, : 3 * J, : 3 * J].unflatten(2, (J, 3)).unflatten(1, (J, 3)).diagonal(dim1=1, dim2=3)
    axes = axes.to(by_prior)
    values, vectors = torch.linalg.eigh(axes.mT @ blocks.permute(0, 3, 1, 2) @ axes)
    roots = axes @ (vectors * values.clamp_min(0).sqrt()[..., None, :]) @ vectors.mT
    root = by_prior.new_zeros(T, by_prior.shape[1], 3 * J)
    block = root[:, : 3 * J].unflatten(2, (J, 3)).unflatten(1, (J, 3))
    block.diagonal(dim1=1, dim2=3).copy_(roots.permute(0, 2, 3, 1))
    return root


def _in_posture_axes(by_pose: Tensor, axes: Tensor) -> Tensor:
    """Return the rotations (T, 3·J, X) of all joints in ``posture_axes`` from changes of the pose (T, D, X)."""
    J = axes.shape[1]
    return (axes.mT @ by_pose[:, : 3 * J].unflatten(1, (J, 3))).flatten(1, 2)


def propagate_gradient(equations: SubjectNormalEquations, by_frames: Tensor) -> Tensor:
    """Return the error (R, B + 3·M, X) of shape and offsets of each trial from X errors of the gradient.

    Args:
        equations: undamped equations of the S = B + 3·M subject parameters.
        by_frames: (R, B + 3·M, X) error of the gradient in shape and own offsets, caused by the frames of each trial.
    """
    B = by_frames.shape[1] - equations.offset_curvature.shape[1]
    follows = -equations.offset_response[..., 1:]  # (R, 3M, S)
    gradient = (follows.mT @ by_frames[:, B:]).sum(dim=0)
    gradient[:B] += by_frames[:, :B].sum(dim=0)
    parameters = -torch.linalg.solve(equations.curvature, gradient)
    offsets = follows @ parameters - torch.linalg.solve(equations.offset_curvature, by_frames[:, B:])
    return torch.cat([parameters[:B].expand(len(offsets), -1, -1), offsets], dim=1)


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
