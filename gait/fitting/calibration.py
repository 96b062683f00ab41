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
    cost: float  # value of the objective


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

    @property
    def frame_weight(self) -> float:
        """Weight of each frame; it is below 1 as the residuals of frames are correlated."""
        return min(1.0, self.scales.calibration_frames_worth * self.num_trials / max(len(self.trial_index), 1))

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
    max_iterations: int = 40,
    tolerance: float = 1e-4,
) -> ShapeCalibration:
    """Solve shape, marker offsets and the poses of N frames together.

    ``betas`` (B,), ``pose`` and ``start``, zero by default, are where the iterations begin. They end when the objective
    decreases by a smaller fraction than ``tolerance``.
    """
    M, R = problem.reduced_body.num_markers, problem.num_trials
    offsets = start or MarkerOffsets(betas.new_zeros(M, 3), betas.new_zeros(R, M, 3))

    def linearize(betas: Tensor, offsets: MarkerOffsets, pose: Pose) -> tuple[SubjectModel, NormalEquations, Tensor]:
        subject, equations = problem.linearize(betas, offsets, pose)
        coupling, _ = offset_coupling_terms(offsets, problem.scales)
        value = (
            problem.frame_weight * equations.cost.sum()
            + 0.5 * (betas**2).sum() / problem.scales.shape**2
            + 0.5 * torch.einsum("rmi,mij,rmj->", offsets.trials, problem.precision, offsets.trials)
            + coupling
        )
        return subject, equations, value

    subject, equations, value = linearize(betas, offsets, pose)
    lam = 1e-2
    for _ in range(max_iterations):
        shape_step, offset_step, pose_step = _calibration_step(problem, subject, equations, offsets, lam)
        new_betas = betas + shape_step
        new_offsets = MarkerOffsets(offsets.subject + offset_step.subject, offsets.trials + offset_step.trials)
        new_pose = apply_step(pose, equations.kinematics.parent_world, pose_step, problem.reduced_body.hinges)
        new_subject, new_equations, new_value = linearize(new_betas, new_offsets, new_pose)
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
    return ShapeCalibration(betas, offsets, pose, float(value))


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
    pose_response: Tensor  # (N, D, 1 + S) step of a pose: −response · (1, step of shape and trial's offsets)

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
        offsets = -self.offset_response[..., 1:] @ self.inverse_curvature
        return torch.cat([self.inverse_curvature[: S - M3].expand(R, -1, -1), offsets], dim=1)


def _calibration_step(
    problem: CalibrationProblem,
    subject: SubjectModel,
    pose_equations: NormalEquations,
    offsets: MarkerOffsets,
    lam: float,
) -> tuple[Tensor, MarkerOffsets, Tensor]:
    """Return one damped Gauss–Newton step of the shape (B,), the offsets, and the poses (N, D)."""
    N, M = pose_equations.weight.shape
    B, R = problem.num_betas, len(offsets.trials)
    reduced = subject_normal_equations(problem, subject, pose_equations, offsets, lam)
    H = reduced.curvature + lam * torch.diag(reduced.curvature.diagonal())
    step = -torch.linalg.solve(H, reduced.gradient)
    trials = -(reduced.offset_response[..., 0] + reduced.offset_response[..., 1:] @ step)  # (R, 3M)
    outer = torch.cat([step[:B].expand(N, -1), trials[problem.trial_index]], dim=1)
    pose = -(reduced.pose_response[..., 0] + (reduced.pose_response[..., 1:] @ outer[..., None])[..., 0])
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
) -> SubjectNormalEquations:
    """Eliminate the poses of all frames and the offsets of all trials, both damped by ``lam``."""
    precision, scales, frame_weight = problem.precision, problem.scales, problem.frame_weight
    N, M = pose_equations.weight.shape
    B, R = subject.reduced_body.num_betas, len(offsets.trials)
    own = torch.zeros(N, M, 3, B + 3 * M, dtype=pose_equations.weight.dtype, device=pose_equations.weight.device)
    own[..., :B] = shape_jacobian(subject, pose_equations.kinematics)
    own_offsets = own[..., B:].unflatten(-1, (M, 3))
    own_offsets.diagonal(dim1=1, dim2=3).copy_(pose_equations.kinematics.blended_rotations.permute(0, 2, 3, 1))
    betas = subject.betas
    if problem.places is not None:
        own = own_offsets[..., problem.places, :].flatten(3)
        offsets = MarkerOffsets(offsets.subject[problem.places], offsets.trials[:, problem.places])
        B, betas, precision = 0, betas[:0], precision[problem.places]
    own = own.reshape(N, 3 * M, -1)
    weighted = own * pose_equations.weight.repeat_interleave(3, dim=1)[..., None]
    cross = pose_equations.jacobian.mT @ weighted  # (N, D, B + 3M)
    curvature = pose_equations.curvature.clone()
    diagonal = curvature.diagonal(dim1=1, dim2=2)
    diagonal.add_(lam * diagonal + 1e-6 * diagonal.amax(dim=1, keepdim=True))
    factor = torch.linalg.cholesky(curvature)
    pose_response = torch.cholesky_solve(torch.cat([pose_equations.gradient[..., None], cross], dim=-1), factor)
    gradient = (weighted.mT @ pose_equations.residual.reshape(N, -1, 1) - cross.mT @ pose_response[..., :1])[..., 0]

    S = own.shape[-1]
    H, g = precision.new_zeros(S, S), precision.new_zeros(S)  # of shape and subject's offsets
    H[:B, :B] += torch.eye(B, dtype=H.dtype, device=H.device) / scales.shape**2
    g[:B] += betas / scales.shape**2
    prior_precision = torch.block_diag(*precision)
    _, coupling_precision = offset_coupling_terms(offsets, scales)
    offset_responses, offset_curvatures, trial_curvatures = [], [], []
    for r in range(R):
        rows = (problem.trial_index == r).nonzero()[:, 0]
        Hr = frame_weight * (own[rows].flatten(0, 1).T @ weighted[rows].flatten(0, 1))
        Hr = Hr - frame_weight * (cross[rows].flatten(0, 1).T @ pose_response[rows, :, 1:].flatten(0, 1))
        gr = frame_weight * gradient[rows].sum(dim=0)
        coupling = coupling_precision[r].repeat_interleave(3)
        coupling_gradient = coupling * (offsets.trials[r] - offsets.subject).reshape(-1)
        prior_gradient = prior_precision @ offsets.trials[r].reshape(-1)
        inner = Hr[B:, B:] + prior_precision + torch.diag(coupling)
        inner = inner + lam * torch.diag(inner.diagonal())
        across = torch.cat([Hr[B:, :B], -torch.diag(coupling)], dim=1)  # (3M, S)
        response = torch.linalg.solve(
            inner, torch.cat([(gr[B:] + prior_gradient + coupling_gradient)[:, None], across], dim=1)
        )
        H[:B, :B] += Hr[:B, :B]
        H[B:, B:] += torch.diag(coupling)
        g[:B] += gr[:B]
        g[B:] -= coupling_gradient
        H -= across.T @ response[:, 1:]
        g -= across.T @ response[:, 0]
        offset_responses.append(response)
        offset_curvatures.append(inner)
        trial_curvatures.append(Hr)
    return SubjectNormalEquations(
        H,
        g,
        coupling_precision,
        torch.stack(trial_curvatures),
        torch.stack(offset_curvatures),
        torch.stack(offset_responses),
        pose_response,
    )
