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
from gait.body.rotations import matrix_to_axis_angle, mean_rotation
from gait.body.segments import SEGMENT_JOINTS
from gait.body.skeleton import BODY_JOINTS, Joint
from gait.fitting.calibration import (
    CalibrationProblem,
    ShapeCalibration,
    SubjectNormalEquations,
    subject_normal_equations,
)
from gait.fitting.marker_kinematics import MarkerKinematics, SubjectModel
from gait.fitting.objective_terms import JointPrior
from gait.fitting.reduced_body import ReducedBody
from gait.fitting.reference_normal_equations import NormalEquations

POSTURE_VARIANCE: dict[str, tuple[float, float, float]] = {
    "SPINE1": (0.7, 0.1, 0.1), "SPINE2": (0.7, 0.1, 0.1), "SPINE3": (0.7, 0.1, 0.1),
    "NECK": (1.0, 0.1, 0.1), "HEAD": (1.0, 0.1, 0.1),
    "HIP": (0.1, 0.6, 0.2), "KNEE": (0.3, 0.3, 0.1), "ANKLE": (0.1, 1.2, 0.4), "FOOT": (0.4, 0.4, 0.4),
    "COLLAR": (0.7, 0.7, 0.7), "SHOULDER": (0.1, 0.1, 0.1), "ELBOW": (0.2, 0.2, 0.4), "WRIST": (0.1, 0.1, 0.1),
}  # fmt: skip
"""Variance of subjects' mean postures relative to that of the pose prior, about x, y and z.

It was estimated from fits of recorded trials of 17 persons (expectation maximization of the same model as in
``errors_given_posture``; at least 0.1). About axes that the markers hardly determine it is 0.4, as on average."""
MOTION_VARIANCE = 0.25
"""The same of the motion about the mean posture, of all joints alike: the mean square in these fits."""
_BENT_TOGETHER = ((Joint.SPINE1, Joint.SPINE2, Joint.SPINE3), (Joint.NECK, Joint.HEAD))
_MEAN_POSTURE_RAD = 0.01
"""Error of the mean rotation of a joint over a trial from all that is not modelled."""
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
    noise: Tensor  # (M,) variance of each marker's residuals relative to the assumed one

    @staticmethod
    def from_covariance(covariance: Tensor, num_joints: int, num_markers: int) -> CalibrationErrors:
        """Return errors of shape and offsets with a covariance (B + 3·M, B + 3·M); all else is as assumed."""
        root = covariance_root(covariance)
        return CalibrationErrors(
            covariance, root, root.new_zeros(3 * num_joints, root.shape[1]), root.new_ones(num_markers)
        )

    def to(self, dtype: torch.dtype) -> CalibrationErrors:
        """Return the errors in another floating-point type."""
        return replace(
            self,
            covariance=self.covariance.to(dtype),
            parameters=self.parameters.to(dtype),
            posture=self.posture.to(dtype),
            noise=self.noise.to(dtype),
        )

    def select(self, num_betas: int, markers: Tensor) -> CalibrationErrors:
        """Return the errors of the shape and of some markers."""
        offsets = num_betas + 3 * markers[:, None] + torch.arange(3, device=markers.device)
        rows = torch.cat([torch.arange(num_betas, device=markers.device), offsets.flatten()])
        covariance = self.covariance[rows[:, None], rows]
        return replace(self, covariance=covariance, parameters=self.parameters[rows], noise=self.noise[markers])


def calibration_errors(
    problem: CalibrationProblem, calibrated: ShapeCalibration, observed_places: Sequence[int] = ()
) -> list[CalibrationErrors]:
    """Return the errors of the shape, the offsets and the mean posture of each of the R trials.

    They are those of a calibration of the shape and all offsets, also if only some places were solved. The prior of
    the offsets of some markers is centred on ``observed_places``.
    """
    problem = replace(problem, places=None)
    precision = problem.precision
    subject, pose_equations = calibrated.linearization
    equations = subject_normal_equations(problem, subject, pose_equations, calibrated.marker_offsets, 0.0)
    factor = equations.poses.factor.float()  # sums over frames need no more digits
    leverage, inverse = marker_leverage(pose_equations, factor)
    noise = variance_factor(pose_equations, leverage, problem.observation.visible)
    # step of the poses (N, D, B + 3M): −response · step of shape and own offsets
    response = torch.linalg.solve_triangular(factor.mT, equations.poses.across.float().mT, upper=True)
    shape = torch.eye(len(calibrated.betas), dtype=precision.dtype, device=precision.device) / problem.scales.shape**2
    axes = posture_axes(subject, pose_equations.kinematics)
    J = axes.shape[1]
    by_prior = joint_blocks(pose_equations.curvature, J) - pose_equations.marker_curvature[:, :J]
    # gradient (N, D, 3J) that a posture with the variance of the prior causes
    posture_root = (problem.scales.calibration_pose_prior**0.5 * posture_prior_root(by_prior, axes)).to(response)
    pulled = posture_root.mT @ response  # (N, 3J, B + 3M)
    frame_weight = problem.frame_weight.to(pulled)[:, None, None]
    rows_of = [problem.trial_index == r for r in range(problem.num_trials)]
    # (R, B + 3M, B + 3M) covariance of the gradient that the frames of each trial cause in shape and own offsets
    weighted = frame_weight.sqrt() * pulled
    from_prior = torch.stack([each.T @ each for each in (weighted[rows].flatten(0, 1) for rows in rows_of)])
    from_prior = from_prior.to(precision) / problem.scales.calibration_pose_prior
    by_frames = from_prior + noise * (equations.trial_curvature - from_prior)
    by_offset_prior = torch.block_diag(*precision)
    others = propagate_covariance(equations, by_frames, shape)
    components = offset_components(problem.reduced_body, problem.kinds)
    factors = offset_variance_factors(equations, calibrated, others, precision, components)
    free = torch.ones_like(by_offset_prior[0])
    free.view(-1, 3)[list(observed_places)] = 0.0
    excess = sum(
        ((f - 1) * part for f, part in zip(factors, components, strict=True)), torch.zeros_like(by_offset_prior)
    )
    by_offset_prior = by_offset_prior + (free[:, None] * excess * free) @ by_offset_prior
    covariance = others + propagate_offset_prior(equations, by_offset_prior)
    # the motion about the mean posture instead of all postures
    less = problem.scales.calibration_pose_prior * MOTION_VARIANCE - 1
    given_posture = covariance + less * propagate_frames(equations, from_prior)
    pull = [-(frame_weight * pulled)[rows].sum(dim=0).mT.to(precision) for rows in rows_of]
    followed = propagate_gradient(equations, torch.stack(pull))  # (R, B + 3M, D)
    drawn = inverse @ posture_root  # (N, D, 3J)
    of_markers = marker_variance_factors(pose_equations, leverage, problem.observation.visible, subject, noise)
    together, prior_weight = _independent_postures(J).to(precision), problem.scales.calibration_pose_prior
    errors = []
    for r, rows in enumerate(rows_of):
        root = covariance_root(given_posture[r])
        # error of the mean posture with shape and offsets, and that caused by the prior
        turned = axes[rows].to(response)
        with_parameters = -_in_posture_axes(response[rows], turned).mean(dim=0).to(precision)
        by_prior_alone = -_in_posture_axes(drawn[rows], turned).mean(dim=0).to(precision)
        by_posture = (by_prior_alone + with_parameters @ followed[r]) @ together
        parameters = torch.cat([followed[r] @ together, root], dim=1)
        posture = torch.cat([by_posture, with_parameters @ root], dim=1)
        rotations = calibrated.pose.rotations[rows]
        given_fit = errors_given_posture(problem.prior, prior_weight, rotations, posture, together)
        errors.append(CalibrationErrors(covariance[r], parameters @ given_fit, posture @ given_fit, of_markers))
    return errors


def errors_given_posture(
    prior: JointPrior, weight: float, rotations: Tensor, errors: Tensor, together: Tensor
) -> Tensor:
    """Return what the mean posture of a trial says about L independent standard normal errors: (L, 1 + L).

    The first U errors are postures, all others those of the calibration. The mean posture that was found is the true
    one with its error. So the errors have, given it, a mean, which is the first column, and the covariance whose root
    the other columns are. The mean counts as an error, as the fit does not correct it.

    Args:
        prior: of the calibration.
        weight: of this prior; without it, the standard deviations are those of the pose prior.
        rotations: (T, J, 3, 3) poses of the trial.
        errors: (3·J, L) error of the mean posture for each error.
        together: (3·J, U) change of the true posture, in standard deviations of the prior, for each posture.
    """
    known = (prior.precision > 0).flatten()
    sigma = (weight / prior.precision.flatten()[known]).sqrt().to(errors)
    deviation = matrix_to_axis_angle(mean_rotation(rotations) @ prior.mean.mT).flatten()[known].to(errors)
    found = errors[known].clone()
    found[:, : together.shape[1]] += sigma[:, None] * together[known]
    noise = torch.full_like(deviation, _MEAN_POSTURE_RAD**2).diag()
    gain = torch.linalg.solve(found @ found.mT + noise, found).mT  # (L, K)
    eye = torch.eye(len(gain), dtype=gain.dtype, device=gain.device)
    return torch.cat([gain @ deviation[:, None], covariance_root(eye - gain @ found)], dim=1)


def _independent_postures(num_joints: int) -> Tensor:
    """Return the change of all rotations (3·J, U), in standard deviations of the prior, by U independent postures.

    The spine bends as a whole, and so does the neck: their joints share it, as they do in the pose prior.
    """
    group = {int(joint): int(joints[0]) for joints in _BENT_TOGETHER for joint in joints}
    first = [3 * group.get(joint, joint) + axis for joint in range(num_joints) for axis in range(3)]
    variance = torch.ones(num_joints, 3, dtype=torch.float64)
    for joint in BODY_JOINTS[1:]:
        variance[joint] = torch.tensor(POSTURE_VARIANCE[joint.name.rpartition("_")[2]])
    shared = torch.nn.functional.one_hot(torch.tensor(first), 3 * num_joints)[:, sorted(set(first))]
    return shared * variance.sqrt().flatten()[:, None]


def covariance_root(covariance: Tensor) -> Tensor:
    """Return a root of a covariance (n, n), a triangular one if it exists."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return factor
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


def joint_blocks(curvature: Tensor, num_joints: int) -> Tensor:
    """Return the blocks (T, J, 3, 3) of each joint's rotation in a curvature (T, D, D)."""
    J = num_joints
    blocks = curvature[:, : 3 * J, : 3 * J].unflatten(2, (J, 3)).unflatten(1, (J, 3))
    return blocks.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)


def posture_prior_root(by_prior: Tensor, axes: Tensor) -> Tensor:
    """Return a root (T, 3·J + 3, 3·J) of the priors' curvature (T, J, 3, 3), whose columns are ``posture_axes``."""
    T, J = axes.shape[:2]
    axes = axes.to(by_prior)
    values, vectors = torch.linalg.eigh(axes.mT @ by_prior @ axes)
    roots = axes @ vectors @ (values.clamp_min(0).sqrt()[..., None] * vectors.mT)
    root = by_prior.new_zeros(T, 3 * J + 3, 3 * J)
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
    follows = equations.followed_offsets
    gradient = (follows.mT @ by_frames[:, B:]).sum(dim=0)
    gradient[:B] += by_frames[:, :B].sum(dim=0)
    parameters = -equations.inverse_curvature @ gradient
    offsets = follows @ parameters - equations.inverse_offset_curvature @ by_frames[:, B:]
    return torch.cat([parameters[:B].expand(len(offsets), -1, -1), offsets], dim=1)


def propagate_covariance(equations: SubjectNormalEquations, by_frames: Tensor, shape: Tensor) -> Tensor:
    """Propagate the covariance of the gradient to that of the solution, without that of the offsets' prior.

    Args:
        equations: undamped equations of the S = B + 3·M subject parameters.
        by_frames: (R, B + 3·M, B + 3·M) covariance caused by the frames of each trial; trials are independent.
        shape: (B, B) covariance caused by the prior of the shape.

    Returns:
        (R, B + 3·M, B + 3·M) covariance of the shape and the offsets of each trial.
    """
    B = len(shape)
    follows = equations.followed_offsets
    # the coupling acts on a trial's offsets and, with opposite sign, on the subject's
    effect = follows.clone()
    effect[..., B:].diagonal(dim1=1, dim2=2).sub_(1)
    coupled = equations.coupling_precision.repeat_interleave(3, dim=1)[..., None] * effect  # (R, 3M, S)
    gradient = (effect.mT @ coupled).sum(dim=0)
    gradient[:B, :B] += shape
    own = torch.diag_embed(equations.coupling_precision.repeat_interleave(3, dim=1))
    return propagate_frames(equations, by_frames, gradient, coupled.mT, own)


def propagate_frames(
    equations: SubjectNormalEquations,
    by_frames: Tensor,
    gradient: Tensor | float = 0.0,
    cross: Tensor | float = 0.0,
    own: Tensor | float = 0.0,
) -> Tensor:
    """Propagate only the covariance that the frames of each trial cause (``propagate_covariance``).

    Further independent errors of the gradient have the covariances ``gradient`` (S, S) in the subject parameters, with
    the offsets of the trials eliminated, ``own`` (R, 3·M, 3·M) in the offsets of each trial, and ``cross``
    (R, S, 3·M) between both.
    """
    follows = equations.followed_offsets
    B = by_frames.shape[1] - follows.shape[1]
    # in the subject parameters: direct, and through the offsets of each trial
    from_frames = follows.mT @ by_frames[:, B:]  # (R, S, B + 3M)
    from_frames[:, :B] += by_frames[:, :B]
    covariance = (from_frames[..., B:] @ follows).sum(dim=0)
    covariance[:, :B] += from_frames[..., :B].sum(dim=0)
    covariance = covariance + gradient
    to_trial, inner = equations.parameter_response, equations.inverse_offset_curvature
    part = to_trial @ (0.5 * covariance) @ to_trial.mT  # (R, B + 3M, B + 3M)
    part[..., B:] += to_trial @ (from_frames[..., B:] + cross) @ inner
    part[:, B:, B:] += inner @ (0.5 * (by_frames[:, B:, B:] + own)) @ inner
    return part + part.mT


def propagate_offset_prior(equations: SubjectNormalEquations, by_offset_prior: Tensor) -> Tensor:
    """Propagate the covariance (3·M, 3·M) that the prior of the offsets causes, the same error in all trials.

    ``equations`` and result are those of ``propagate_covariance``.
    """
    response = equations.parameter_response @ equations.followed_offsets.sum(dim=0).mT  # (R, B + 3M, 3M)
    response[:, -len(by_offset_prior) :] += equations.inverse_offset_curvature
    return response @ by_offset_prior @ response.mT


def pose_prior_curvature(pose_equations: NormalEquations) -> Tensor:
    """Return the part of the curvature (T, D, D) that comes from the priors and not from the markers."""
    weight = pose_equations.weight.to(pose_equations.jacobian.dtype).repeat_interleave(3, dim=1)[..., None]
    return pose_equations.curvature - pose_equations.jacobian.mT @ (pose_equations.jacobian * weight)


def marker_leverage(pose_equations: NormalEquations, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far each marker determines its residual (N, M), and the inverse of the curvature (N, D, D).

    The leverage of a marker is the number of its coordinates, 0 to 3, that the pose parameters follow. ``factor``
    (N, D, D) is the lower Cholesky factor of the curvature.
    """
    inverse, jacobian = torch.cholesky_inverse(factor), pose_equations.jacobian.to(factor)
    followed = ((jacobian @ inverse) * jacobian).sum(dim=-1).unflatten(1, (-1, 3)).sum(dim=-1)
    return pose_equations.weight * followed, inverse


def variance_factor(pose_equations: NormalEquations, leverage: Tensor, visible: Tensor) -> float:
    """Return the variance of the residuals relative to the assumed one (a posteriori factor, Koch 1999, sec. 3.2.5).

    The degrees of freedom of a frame are its visible coordinates minus the pose parameters that the markers determine.
    """
    free = max(3 * float(visible.sum()) - float(leverage.sum()), 0.0)
    square = float((pose_equations.weight * (pose_equations.residual**2).sum(dim=-1)).sum())
    return (square + PRIOR_PSEUDO_COUNT) / (free + PRIOR_PSEUDO_COUNT)


def marker_variance_factors(
    pose_equations: NormalEquations, leverage: Tensor, visible: Tensor, subject: SubjectModel, noise: float
) -> Tensor:
    """Return the variance of the residuals of each marker (M,) relative to the assumed one, equal within a segment.

    Skin moves more on thighs than on feet. ``noise`` is the factor of all markers, ``leverage`` is (N, M).
    """
    free = (3 * visible - leverage).clamp_min(0).sum(dim=0)
    square = (pose_equations.weight * (pose_equations.residual**2).sum(dim=-1)).sum(dim=0)
    joint = subject.reduced_body.skinning_weights.argmax(dim=1).tolist()
    factors = torch.empty_like(square)
    for joints in SEGMENT_JOINTS.values():
        own = torch.tensor([j in joints for j in joint], device=square.device)
        factors[own] = (square[own].sum() + PRIOR_PSEUDO_COUNT * noise) / (free[own].sum() + PRIOR_PSEUDO_COUNT)
    return factors


def offset_components(reduced_body: ReducedBody, kinds: Sequence[MarkerKind]) -> list[Tensor]:
    """Return projections (3·M, 3·M) onto the offsets of each kind of marker; they sum to the identity.

    Markers on bony landmarks have two: along the skin, where they are placed by hand, and away from it.
    """
    normal = reduced_body.normal
    away = normal[:, :, None] * normal[:, None]
    along = torch.eye(3, dtype=away.dtype, device=away.device) - away
    components = []
    for kind in sorted(set(kinds)):
        own = torch.tensor([k == kind for k in kinds], device=away.device)[:, None, None]
        blocks = (own * along, own * away) if kind == "anatomical" else (own * (along + away),)
        components += [torch.block_diag(*block) for block in blocks]
    return components


def offset_variance_factors(
    equations: SubjectNormalEquations,
    calibrated: ShapeCalibration,
    others: Tensor,
    precision: Tensor,
    components: Sequence[Tensor],
) -> list[float]:
    """Return the variance of the marker offsets relative to the assumed one, of each component.

    The estimated offsets are the true ones, reduced by the prior, plus the errors from all other sources. So their mean
    square is compared with its expectation, in which the factor is the only unknown (estimation of a variance
    component, Koch 1999, sec. 3.6).

    ``calibrated`` is the solution of the undamped ``equations``; ``others`` (R, B + 3·M, B + 3·M) the covariance of the
    errors from all sources but the true offsets; ``precision`` (M, 3, 3), 1/m², the prior one of the offsets;
    ``components`` are projections (3·M, 3·M) that commute with it.
    """
    offsets = calibrated.marker_offsets.trials.flatten(1)  # (R, 3M)
    R, M3 = offsets.shape
    prior_precision = torch.block_diag(*precision)
    follows = equations.followed_offsets
    response = follows @ (equations.inverse_curvature @ follows.sum(dim=0).mT) + equations.inverse_offset_curvature
    recovered = torch.eye(M3, dtype=prior_precision.dtype, device=prior_precision.device) - response @ prior_precision
    variance = torch.linalg.inv(prior_precision)
    factors = []
    for component in components:
        own_precision = component @ prior_precision
        square = float(((offsets @ own_precision) * offsets).sum()) / R
        by_others = float((own_precision * others[:, -M3:, -M3:]).sum()) / R
        part = recovered @ component  # (R, 3M, 3M) fraction of the true offsets that the estimate contains
        expected = float(((own_precision @ part) * (part @ variance)).sum()) / R
        factors.append((max(square - by_others, 0.0) + PRIOR_PSEUDO_COUNT) / (expected + PRIOR_PSEUDO_COUNT))
    return factors
