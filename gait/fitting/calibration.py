"""Calibrate the shape and the marker offsets of a subject, together with the poses of some frames.

Shape, offsets and poses are the parameters of one Gauss–Newton problem. The pose of each frame is eliminated from the
normal equations (Schur complement), then the offsets of each trial, so that a step costs little more than those of the
frames alone, and few steps are needed.

Markers keep their place between trials of one session, but not between sessions; sometimes a marker falls off and is
reattached, or two labels are swapped. So each trial has its own offsets, which are coupled to those of the subject:
strongly while they agree, weakly if they clearly differ (Cauchy's ρ(d) = ½(c/σ)²·log(1 + d²/c²), Black & Rangarajan
1996, Int. J. Computer Vision 19:57).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gait.body.body import Body
from gait.body.marker_layout import MarkerKind
from gait.body.skeleton import Joint
from gait.fitting.joint_parametrization import Pose, apply_step
from gait.fitting.marker_kinematics import SubjectModel, shape_jacobian
from gait.fitting.objective_terms import JointPrior
from gait.fitting.reduced_body import ReducedBody
from gait.fitting.reference_normal_equations import NormalEquations, normal_equations
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers

_HIPS = (Joint.LEFT_HIP, Joint.RIGHT_HIP)


@dataclass(frozen=True)
class MarkerOffsets:
    """Offsets of the markers of one subject from the layout."""

    subject: Tensor  # (M, 3) common to all trials, rest axes, metres
    trials: Tensor  # (R, M, 3) of each trial


@dataclass(frozen=True)
class ShapeCalibration:
    """Shape and marker offsets of a subject, with the poses of the calibration frames."""

    betas: Tensor  # (B,)
    marker_offsets: MarkerOffsets
    pose: Pose  # (N) frames
    linearization: tuple[SubjectModel, NormalEquations]  # the subject in each frame, and the equations of the poses


def offset_precision(reduced_body: ReducedBody, kinds: tuple[MarkerKind, ...], scales: ResidualScales) -> Tensor:
    """Return the prior precision (M, 3, 3) of each marker offset in rest axes, 1/m².

    An anatomical marker is misplaced by the palpation error, a joint centre by what its annotators mean. A technical
    marker may be anywhere along its segment (the line from the joint with the largest skinning weight to its child),
    less far around it, and off the skin on a wand.
    """
    M = reduced_body.num_markers
    eye = torch.eye(3, dtype=reduced_body.marker_template.dtype, device=reduced_body.marker_template.device)
    precision = (eye / scales.anatomical_offset_m**2).repeat(M, 1, 1)
    for m, kind in enumerate(kinds):
        if kind == "joint_centre":
            is_hip = reduced_body.centre_of is not None and int(reduced_body.centre_of[m]) in _HIPS
            precision[m] = eye / (scales.hip_centre_offset_m if is_hip else scales.joint_centre_offset_m) ** 2
        if kind != "technical":
            continue
        joint = int(reduced_body.skin_joints[m, reduced_body.skin_joint_weights[m].argmax()])
        child = next((j for j, p in enumerate(reduced_body.parents) if p == joint), joint)
        normal = reduced_body.normal[m]
        along = reduced_body.joint_template[child] - reduced_body.joint_template[joint]
        along = along - (along @ normal) * normal
        if float(along.norm()) < 1e-6:
            along = torch.linalg.cross(normal, eye[int(normal.abs().argmin())])
        along = along / along.norm()
        around = torch.linalg.cross(normal, along)
        precision[m] = (
            torch.outer(along, along) / scales.technical_along_m**2
            + torch.outer(around, around) / scales.technical_around_m**2
            + torch.outer(normal, normal) / scales.technical_off_skin_m**2
        )
    return precision


def betas_for_size(body: ReducedBody | Body, size: float, sigma_m: float = 0.01) -> Tensor:
    """Return the shape (B,) of the most likely body whose joints are those of the mean body scaled by ``size``."""
    J = body.joint_template - body.joint_template[:1]
    A = (body.joint_shapedirs - body.joint_shapedirs[:1]).reshape(-1, body.num_betas)
    b = ((size - 1) * J).reshape(-1)
    H = A.T @ A / sigma_m**2 + torch.eye(body.num_betas, dtype=A.dtype, device=A.device)
    return torch.linalg.solve(H, A.T @ b / sigma_m**2)


@dataclass(frozen=True)
class CalibrationProblem:
    """Input of a calibration: N frames of R trials."""

    reduced_body: ReducedBody  # at the markers of all trials
    observation: ObservedMarkers  # of the N frames
    trial_index: Tensor  # (N,) trial of each frame, from 0
    prior: JointPrior
    kinds: tuple[MarkerKind, ...]  # of the M markers
    precision: Tensor  # (M, 3, 3) prior precision of the marker offsets, 1/m²
    scales: ResidualScales  # of which ``calibration_frames_worth`` weights frames against priors
    places: Tensor | None = None  # (K,) markers whose offsets alone are solved; None: the shape and all offsets

    @property
    def num_trials(self) -> int:
        """Number of trials R."""
        return int(self.trial_index.max()) + 1

    @property
    def num_betas(self) -> int:
        """Number of shape coefficients B that are solved."""
        return self.reduced_body.num_betas if self.places is None else 0

    @cached_property
    def frame_weight(self) -> Tensor:
        """Weight of each frame (N,); it is at most 1 as the residuals of frames are correlated.

        All frames of a trial are worth the same number of observations of each marker. So a frame weighs more if its
        markers are visible in few of them.
        """
        visible = self.observation.visible.to(self.precision)
        of_trial = torch.nn.functional.one_hot(self.trial_index, self.num_trials).to(visible)  # (N, R)
        rarity = of_trial.sum(dim=0)[:, None] / (of_trial.T @ visible).clamp_min(1)  # (R, M)
        mean_rarity = (visible * rarity[self.trial_index]).sum(dim=1) / visible.sum(dim=1).clamp_min(1)
        worth = self.scales.calibration_frames_worth * self.num_trials / max(len(self.trial_index), 1)
        return (worth * mean_rarity).clamp_max(1)

    def linearize(self, betas: Tensor, offsets: MarkerOffsets, pose: Pose) -> tuple[SubjectModel, NormalEquations]:
        """Return the subject in each frame, and the normal equations of the poses."""
        subject = SubjectModel(self.reduced_body, betas, offsets.trials[self.trial_index])
        return subject, normal_equations(subject, pose, self.observation, self.prior, self.scales)


def calibrate(
    problem: CalibrationProblem,
    betas: Tensor,
    pose: Pose,
    *,
    start: MarkerOffsets | None = None,
    linearization: tuple[SubjectModel, NormalEquations] | None = None,
    max_iterations: int = 40,
    tolerance: float = 1e-4,
    damping: float = 1e-4,
) -> ShapeCalibration:
    """Solve shape, marker offsets and the poses of N frames together.

    ``betas`` (B,), ``pose`` and ``start``, zero by default, are where the iterations begin; ``linearization`` may be
    given if it is known there. They end when the objective decreases by a smaller fraction than ``tolerance``.
    ``damping`` is that of the first step.
    """
    M, R = problem.reduced_body.num_markers, problem.num_trials
    offsets = start or MarkerOffsets(betas.new_zeros(M, 3), betas.new_zeros(R, M, 3))

    def objective(betas: Tensor, offsets: MarkerOffsets, equations: NormalEquations) -> Tensor:
        coupling, _ = offset_coupling_terms(offsets, problem.scales)
        return (
            (problem.frame_weight * equations.cost).sum()
            + 0.5 * (betas**2).sum() / problem.scales.shape**2
            + 0.5 * torch.einsum("rmi,mij,rmj->", offsets.trials, problem.precision, offsets.trials)
            + coupling
        )

    subject, equations = linearization or problem.linearize(betas, offsets, pose)
    value = objective(betas, offsets, equations)
    lam = damping
    for _ in range(max_iterations):
        shape_step, offset_step, pose_step = _calibration_step(problem, subject, equations, offsets, lam)
        new_betas = betas + shape_step
        new_offsets = MarkerOffsets(offsets.subject + offset_step.subject, offsets.trials + offset_step.trials)
        new_pose = apply_step(pose, equations.kinematics.parent_world, pose_step, problem.reduced_body.hinges)
        new_subject, new_equations = problem.linearize(new_betas, new_offsets, new_pose)
        new_value = objective(new_betas, new_offsets, new_equations)
        if bool(new_value < value):
            gain = float((value - new_value) / value)
            betas, offsets, pose = new_betas, new_offsets, new_pose
            subject, equations, value, lam = new_subject, new_equations, new_value, max(lam / 8, 1e-6)
            if gain < tolerance:
                break
        else:
            lam *= 6
            if lam > 1e4:
                break
    return ShapeCalibration(betas, offsets, pose, (subject, equations))


def offset_coupling_terms(offsets: MarkerOffsets, scales: ResidualScales) -> tuple[Tensor, Tensor]:
    """Return the cost of differences between trials' offsets and the subject's, and its precision (R, M), 1/m²."""
    square = ((offsets.trials - offsets.subject) ** 2).sum(-1) / scales.replaced_m**2
    scale = (scales.replaced_m / scales.same_session_m) ** 2
    return 0.5 * scale * torch.log1p(square).sum(), scale / scales.replaced_m**2 / (1 + square)


@dataclass(frozen=True)
class SubjectNormalEquations:
    """Normal equations of the S = B + 3·M subject parameters (shape and common offsets).

    The parameters of trials and frames are eliminated; their steps follow from the responses.
    """

    curvature: Tensor  # (S, S)
    gradient: Tensor  # (S,)
    coupling_precision: Tensor  # (R, M) of each trial's offsets around the subject's, 1/m²
    trial_curvature: Tensor  # (R, B + 3M, B + 3M) of shape and own offsets, from the trial's frames, poses eliminated
    offset_curvature: Tensor  # (R, 3M, 3M) of each trial's own offsets
    offset_response: Tensor  # (R, 3M, 1 + S) step of a trial's offsets: −response · (1, step of the S)
    poses: EliminatedPoses

    @property
    def followed_offsets(self) -> Tensor:
        """Derivative of each trial's offsets in the subject parameters (R, 3M, S)."""
        return -self.offset_response[..., 1:]

    @cached_property
    def inverse_curvature(self) -> Tensor:
        """Inverse of the curvature (S, S)."""
        return torch.linalg.inv(self.curvature)

    @cached_property
    def inverse_offset_curvature(self) -> Tensor:
        """Inverse of the curvature of each trial's own offsets (R, 3M, 3M)."""
        return torch.linalg.inv(self.offset_curvature)

    @cached_property
    def parameter_response(self) -> Tensor:
        """Step of the shape and each trial's offsets (R, B + 3M, S): −response · gradient of the subject parameters."""
        R, M3, S = len(self.offset_response), self.offset_curvature.shape[1], len(self.curvature)
        offsets = self.followed_offsets @ self.inverse_curvature
        return torch.cat([self.inverse_curvature[: S - M3].expand(R, -1, -1), offsets], dim=1)


@dataclass(frozen=True)
class EliminatedPoses:
    """Poses of N frames with D parameters, eliminated from normal equations: L·Lᵀ is the curvature of each frame."""

    factor: Tensor  # (N, D, D) L
    gradient: Tensor  # (N, 1, D) gradient in the pose · L⁻ᵀ
    across: Tensor  # (N, B + 3M, D) curvature between shape and own offsets and the pose · L⁻ᵀ

    def step(self, outer: Tensor) -> Tensor:
        """Return the step of the poses (N, D) that follows a step of shape and own offsets (N, B + 3M)."""
        right_side = self.gradient + outer[:, None].to(self.across) @ self.across
        step = -torch.linalg.solve_triangular(self.factor, right_side, upper=False, left=False)[:, 0]
        return step.to(outer)


def _calibration_step(
    problem: CalibrationProblem,
    subject: SubjectModel,
    pose_equations: NormalEquations,
    offsets: MarkerOffsets,
    lam: float,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, MarkerOffsets, Tensor]:
    """Return one damped Gauss–Newton step of the shape (B,), the offsets, and the poses (N, D).

    Sums over frames in single precision are exact enough for it, as the objective decides whether it is taken.
    """
    N, M = pose_equations.weight.shape
    B, R = problem.num_betas, len(offsets.trials)
    reduced = subject_normal_equations(problem, subject, pose_equations, offsets, lam, dtype)
    H = reduced.curvature + lam * torch.diag(reduced.curvature.diagonal())
    step = -torch.linalg.solve(H, reduced.gradient)
    trials = -(reduced.offset_response[..., 0] + reduced.offset_response[..., 1:] @ step)  # (R, 3M)
    pose = reduced.poses.step(torch.cat([step[:B].expand(N, -1), trials[problem.trial_index]], dim=1))
    if problem.places is None:
        return step[:B], MarkerOffsets(step[B:].view(M, 3), trials.view(R, M, 3)), pose
    steps = MarkerOffsets(torch.zeros_like(offsets.subject), torch.zeros_like(offsets.trials))
    steps.subject[problem.places] = step.view(-1, 3)
    steps.trials[:, problem.places] = trials.view(R, -1, 3)
    return torch.zeros_like(subject.betas), steps, pose


def subject_normal_equations(
    problem: CalibrationProblem,
    subject: SubjectModel,
    pose_equations: NormalEquations,
    offsets: MarkerOffsets,
    lam: float,
    dtype: torch.dtype = torch.float64,
) -> SubjectNormalEquations:
    """Eliminate the poses of all frames and the offsets of all trials, both damped by ``lam``.

    A marker is moved by all shape coefficients, but only by its own offset, so the derivative in the offsets is one
    block (3, 3) for each marker. Sums over frames are computed in ``dtype``.
    """
    precision, scales, frame_weight = problem.precision, problem.scales, problem.frame_weight.to(dtype)
    M, R = len(problem.kinds), len(offsets.trials)
    by_shape = shape_jacobian(subject, pose_equations.kinematics).to(dtype)  # (N, M, 3, B)
    by_offset = pose_equations.kinematics.blended_rotations.to(dtype)  # (N, M, 3, 3)
    by_pose = pose_equations.jacobian.to(dtype).unflatten(1, (M, 3))  # (N, M, 3, D)
    residual, weight, betas = pose_equations.residual.to(dtype), pose_equations.weight.to(dtype), subject.betas
    if (places := problem.places) is not None:
        by_shape, betas = by_shape[:, places, :, :0], betas[:0]
        by_offset, by_pose, residual, weight = (each[:, places] for each in (by_offset, by_pose, residual, weight))
        offsets = MarkerOffsets(offsets.subject[places], offsets.trials[:, places])
        precision = precision[places]
    weighted_shape, weighted_offset = (each * weight[..., None, None] for each in (by_shape, by_offset))
    poses = _eliminate_poses(pose_equations, by_pose, weighted_shape, weighted_offset, lam)

    # curvature and gradient in shape and own offsets, from the frames of each trial
    B, M3 = len(betas), 3 * len(precision)
    curvature = by_offset.new_zeros(R, B + M3, B + M3)
    gradient = by_offset.new_zeros(R, B + M3)
    for r in range(R):
        rows = (problem.trial_index == r).nonzero()[:, 0]
        of_frame = frame_weight[rows][:, None, None]
        shape, offset = (each[rows].mul_(of_frame[..., None]) for each in (by_shape, by_offset))
        weighted = weighted_shape[rows].permute(1, 3, 0, 2).flatten(2)  # (M, B, 3·n)
        curvature[r, :B, :B] = weighted.transpose(0, 1).flatten(1) @ shape.transpose(0, 1).flatten(0, 2)
        mixed = weighted @ offset.transpose(0, 1).flatten(1, 2)  # (M, B, 3)
        curvature[r, :B, B:] = mixed.transpose(0, 1).flatten(1)
        curvature[r, B:, :B] = curvature[r, :B, B:].T
        blocks = curvature[r, B:, B:].view(M3 // 3, 3, M3 // 3, 3).diagonal(dim1=0, dim2=2)  # (3, 3, M)
        own = weighted_offset[rows].permute(1, 3, 0, 2).flatten(2) @ offset.transpose(0, 1).flatten(1, 2)  # (M, 3, 3)
        blocks += own.permute(1, 2, 0)
        force = (residual[rows] * of_frame).transpose(0, 1).reshape(-1, 3 * len(rows), 1)  # (M, 3·n, 1)
        gradient[r, :B] = (weighted @ force).sum(dim=0)[:, 0]
        gradient[r, B:] = (weighted_offset[rows].permute(1, 3, 0, 2).flatten(2) @ force).flatten()
        across = poses.across[rows].mul_(of_frame.sqrt()).transpose(0, 1).flatten(1)  # (B + 3M, n·D)
        curvature[r] -= across @ across.T
        gradient[r] -= across @ poses.gradient[rows].mul_(of_frame.sqrt()).flatten()
    curvature, gradient = curvature.to(precision), gradient.to(precision)

    # the offsets of the trials, eliminated
    prior_precision = torch.block_diag(*precision)
    _, coupling_precision = offset_coupling_terms(offsets, scales)
    coupling = coupling_precision.repeat_interleave(3, dim=1)  # (R, 3M)
    coupling_gradient = coupling * (offsets.trials - offsets.subject).flatten(1)
    prior_gradient = offsets.trials.flatten(1) @ prior_precision
    inner = curvature[:, B:, B:] + prior_precision
    diagonal = inner.diagonal(dim1=1, dim2=2)
    diagonal += coupling
    diagonal *= 1 + lam
    factor = torch.linalg.cholesky(inner)
    own_gradient = (gradient[:, B:] + prior_gradient + coupling_gradient)[..., None]
    right_side = torch.cat([own_gradient, curvature[:, B:, :B], -torch.diag_embed(coupling)], dim=2)  # (R, 3M, 1 + S)
    half = torch.linalg.solve_triangular(factor, right_side, upper=False)
    response = torch.linalg.solve_triangular(factor.mT, half, upper=True)

    eliminated = half.flatten(0, 1).T @ half.flatten(0, 1)
    H, g = -eliminated[1:, 1:], -eliminated[1:, 0]  # of shape and subject's offsets
    H[:B, :B] += curvature[:, :B, :B].sum(dim=0)
    H.diagonal()[:B] += 1 / scales.shape**2
    H.diagonal()[B:] += coupling.sum(dim=0)
    g[:B] += gradient[:, :B].sum(dim=0) + betas / scales.shape**2
    g[B:] -= coupling_gradient.sum(dim=0)
    return SubjectNormalEquations(H, g, coupling_precision, curvature, inner, response, poses)


def _eliminate_poses(
    pose_equations: NormalEquations, by_pose: Tensor, weighted_shape: Tensor, weighted_offset: Tensor, lam: float
) -> EliminatedPoses:
    """Eliminate the poses, damped by ``lam``.

    The derivatives of the markers are (N, M, 3, D) in the pose; multiplied by the markers' weights, they are
    (N, M, 3, B) in the shape and (N, M, 3, 3) in the own offset of each marker.
    """
    curvature = pose_equations.curvature.clone()
    diagonal = curvature.diagonal(dim1=1, dim2=2)
    diagonal.add_(lam * diagonal + 1e-6 * diagonal.amax(dim=1, keepdim=True))
    factor = torch.linalg.cholesky(curvature).to(by_pose)
    across_shape = weighted_shape.flatten(1, 2).mT @ by_pose.flatten(1, 2)  # (N, B, D)
    across_offsets = (weighted_offset.mT @ by_pose).flatten(1, 2)  # (N, 3M, D)
    right_sides = torch.cat([pose_equations.gradient[:, None].to(by_pose), across_shape, across_offsets], dim=1)
    half = torch.linalg.solve_triangular(factor.mT, right_sides, upper=True, left=False)
    return EliminatedPoses(factor, half[:, :1], half[:, 1:])
