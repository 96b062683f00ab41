"""Uncertainty of each joint position in each frame.

The error of a joint has two parts. In every frame, the pose is affected by noise and by the priors. And all frames
share the calibration errors in shape and marker offsets, to which each pose has adapted. Let H be the curvature of the
objective of a frame in its pose and A the part of it that comes from the markers. Then the error of the pose has the
covariance H⁻¹·(H − A + f·A)·H⁻¹, where f is the variance of the residuals relative to the assumed one. An error in
shape or offsets moves the pose by −H⁻¹·∂²/∂pose∂(shape, offsets) (implicit function theorem); its size is given by
``shape_offset_covariance``.

Soft-tissue motion that is common to all markers of a segment leaves no residual and is therefore not included (Leardini
et al. 2005, Gait & Posture 21:212).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_opening
from torch import Tensor

from gait.body.skeleton import NUM_BODY_JOINTS
from gait.fitting.frame_batches import FrameBatches
from gait.fitting.joint_parametrization import Pose
from gait.fitting.marker_kinematics import (
    SubjectModel,
    joint_pose_jacobian,
    joint_shape_jacobian,
    orientation_jacobian,
    shape_jacobian,
)
from gait.fitting.objective_terms import JointPrior
from gait.fitting.offset_covariance import (
    MOTION_VARIANCE,
    PRIOR_PSEUDO_COUNT,
    CalibrationErrors,
    covariance_root,
    joint_blocks,
    pose_prior_curvature,
    posture_axes,
    posture_prior_root,
)
from gait.fitting.orientation_error import OrientationErrors
from gait.fitting.reference_normal_equations import NormalEquations, normal_equations
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.valid_frames import baseline_sigma

SAMPLE_SPACING_S = 0.25
"""Spacing of the frames for which the uncertainty is computed; it changes slowly while the same markers are visible."""
MIN_CHANGE_S = 0.1
"""A change in the visible markers that lasts less than this is not evaluated."""
FEW_MARKERS_FRACTION = 2 / 3
"""Frames with fewer visible markers than this fraction of the median are always evaluated separately."""
ORIENTATION_SPACING_S = 0.5
"""Spacing of the frames, of those with the same visible markers, for which the errors of orientations are computed."""
ORIENTATION_GAP_SPACING_S = 0.1
"""The same in frames that are solved together with their neighbours, in which it changes faster."""
MAX_ORIENTATION_SAMPLES = 256
"""Number of these frames at most, apart from one for each set of visible markers."""
BATCH_FRAMES = 32
"""Frames per batch: few, so that all cores are used."""
UNCONSTRAINED_RAD = 1.0
UNCONSTRAINED_M = 1.0
"""Standard deviation of the orientation and the position of the body in a frame without markers."""
COVERAGE = 0.6827
"""Probability that an error is within the given radius: that of one standard deviation in one dimension."""


@dataclass(frozen=True)
class JointUncertainty:
    """Expected errors of the joint positions of one trial."""

    sigma_m: NDArray[np.float32]  # (T, J) radius that contains the error with probability ``COVERAGE``
    sigma_single_frame_m: NDArray[np.float32]  # (T, J) the same without the information of neighbouring frames
    data_fraction: NDArray[np.float32]  # (T, J) fraction of the rotation determined by markers, not the prior, 0 to 1
    noise: float  # variance of the residuals relative to the assumed one
    orientation: OrientationErrors | None = None  # of the 22 body joints; None for bodies with other joints

    def with_neighbours(
        self, radius_m: NDArray[np.float64], turned_rad: NDArray[np.float64], rate_hz: float
    ) -> JointUncertainty:
        """Return the uncertainty of frames that were solved together with others, as ``solve_weak_frames`` returns it.

        ``radius_m`` (T, J) and ``turned_rad`` (T, 3·J) are NaN in the other frames. The error of shape and offsets,
        which they do not include, is part of the uncertainty in the best frames.
        """
        together = np.hypot(radius_m, baseline_sigma(self.sigma_single_frame_m))
        sigma = np.fmin(self.sigma_m, together).astype(np.float32)
        orientation = self.orientation
        if orientation is not None:
            orientation = orientation.with_neighbours(turned_rad, round(ORIENTATION_GAP_SPACING_S * rate_hz))
        return replace(self, sigma_m=sigma, orientation=orientation)


def estimate_joint_uncertainty(
    subject: SubjectModel,
    pose: Pose,
    observation: ObservedMarkers,
    prior: JointPrior,
    scales: ResidualScales,
    calibration: CalibrationErrors,
    rate_hz: float,
    batches: FrameBatches,
) -> JointUncertainty:
    """Compute the uncertainty for some frames and interpolate it to all T frames."""
    visible = steady_visibility(observation.visible.cpu().numpy(), rate_hz)
    frames = sample_frames(visible, rate_hz)
    observation = replace(observation, visible=observation.visible & torch.as_tensor(visible).to(observation.visible))
    root = covariance_root(calibration.covariance).to(torch.float32)
    calibration = calibration.to(torch.float32)
    turning, position = orientation_samples(visible, frames, rate_hz)
    if subject.reduced_body.num_joints != NUM_BODY_JOINTS:
        turning = turning[:0]
    order = np.r_[turning, np.setdiff1d(np.arange(len(frames)), turning)]
    rows = torch.as_tensor(frames[order], device=pose.rotations.device)
    small = batches if pose.translation.is_cuda else replace(batches, size=min(batches.size, BATCH_FRAMES))

    def work(batch: slice) -> _UncertaintyTerms:
        sample = rows[batch]
        turned = min(max(len(turning) - batch.start, 0), len(sample))
        return _uncertainty_terms(subject, pose[sample], observation[sample], prior, scales, calibration, root, turned)

    terms = small.map(len(rows), work)
    free, square = sum(float(term.free.sum()) for term in terms), sum(float(term.square.sum()) for term in terms)
    noise = (square + PRIOR_PSEUDO_COUNT) / (max(free, 0.0) + PRIOR_PSEUDO_COUNT)
    back = torch.as_tensor(np.argsort(order), device=rows.device)
    joint_covariance = torch.cat([term.calibration + term.prior + noise * term.noise for term in terms])[back]
    determined = torch.cat([term.determined for term in terms])[back]
    radius = confidence_radius(joint_covariance)  # NaN where the equations of a frame cannot be solved
    radius = torch.nan_to_num(radius, nan=UNCONSTRAINED_M, posinf=UNCONSTRAINED_M)
    sigma = interpolate_between_samples(radius.double().cpu().numpy(), frames, visible)
    fraction = interpolate_between_samples(
        (determined / _num_rotation_parameters(subject)).cpu().numpy(), frames, visible
    )
    orientation = None
    if len(turning):
        parts = zip(*(term.orientation for term in terms if term.orientation is not None), strict=True)
        lasting, motion, slow, white = (torch.cat(part).float().cpu().numpy() for part in parts)
        parameters = calibration.parameters.float().cpu().numpy()
        orientation = OrientationErrors(lasting, motion, slow, white, parameters, position)
    return JointUncertainty(
        sigma_m=sigma.astype(np.float32),
        sigma_single_frame_m=sigma.astype(np.float32),
        data_fraction=fraction.astype(np.float32),
        noise=noise,
        orientation=orientation,
    )


def _num_rotation_parameters(subject: SubjectModel) -> Tensor:
    """Return the number of rotational degrees of freedom of each joint (J,)."""
    reduced_body = subject.reduced_body
    three = reduced_body.joint_template.new_full((reduced_body.num_joints,), 3)
    if reduced_body.hinges is None:
        return three
    return torch.where(reduced_body.hinges.hinged, 1 + reduced_body.hinges.double.to(three), three)


def confidence_radius(covariance: Tensor) -> Tensor:
    """Return the radius that contains an error of covariance (..., 3, 3) with probability ``COVERAGE``.

    |e|² is a weighted sum of χ² variables. It is approximated by a scaled χ² variable of equal mean and variance (Box
    1954, Ann. Math. Stat. 25:290, theorem 3.1), whose quantile follows Wilson and Hilferty 1931 (PNAS 17:684). The
    probability is accurate to 0.02.
    """
    mean = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    freedom = mean**2 / (covariance**2).sum((-1, -2)).clamp_min(1e-30)
    spread = 2 / (9 * freedom.clamp(1, 3))
    return (mean * (1 - spread + _NORMAL_QUANTILE * spread.sqrt()) ** 3).clamp_min(0).sqrt()


_NORMAL_QUANTILE = 0.4753
"""Constant of the Wilson–Hilferty approximation: quantile of the standard normal distribution at ``COVERAGE``."""


def steady_visibility(visible: NDArray[np.bool_], rate_hz: float) -> NDArray[np.bool_]:
    """Return which markers are visible (T, M) without changes that last less than ``MIN_CHANGE_S``.

    Short gaps are closed, then short appearances removed: the frames between flickers count as those without them.
    """
    length = max(1, round(MIN_CHANGE_S * rate_hz))
    shape = np.ones((length, 1), dtype=bool)
    padded = np.pad(visible, ((length, length), (0, 0)), mode="edge")
    return binary_opening(binary_closing(padded, shape), shape)[length:-length]


def sample_frames(visible: NDArray[np.bool_], rate_hz: float) -> NDArray[np.int64]:
    """Select the frames to evaluate: evenly spaced ones, and the middle of each run with the same visible markers."""
    T = len(visible)
    grid = np.unique(np.linspace(0, T - 1, max(2, round(T / (SAMPLE_SPACING_S * rate_hz)))).round().astype(np.int64))
    starts = np.flatnonzero(np.r_[True, (visible[1:] != visible[:-1]).any(axis=1)])
    ends = np.r_[starts[1:], T]
    number = visible.sum(axis=1)
    evaluated = ends - starts >= max(1, round(MIN_CHANGE_S * rate_hz))
    evaluated |= number[starts] < FEW_MARKERS_FRACTION * np.median(number)
    return np.union1d(grid, (starts[evaluated] + ends[evaluated] - 1) // 2)


def orientation_samples(
    visible: NDArray[np.bool_], frames: NDArray[np.int64], rate_hz: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Select from the K ``frames`` to evaluate those for the errors of the orientations.

    Frames with the same visible markers share S samples, which are ``ORIENTATION_SPACING_S`` of these frames apart.

    Returns:
        Indices (S,) into ``frames``, sorted by visible markers, then by time; and the position of each of all T frames
        among the samples (T,), from 0 to S − 1. Frames whose visible markers have no sample are at those of the most
        similar ones.
    """
    starts = np.flatnonzero(np.r_[True, (visible[1:] != visible[:-1]).any(axis=1)])
    number_of: dict[bytes, int] = {}
    of_run = [number_of.setdefault(visible[start].tobytes(), len(number_of)) for start in starts]
    patterns = np.array([np.frombuffer(key, dtype=bool) for key in number_of])
    pattern = np.repeat(of_run, np.diff(np.r_[starts, len(visible)]))
    evaluated = np.unique(pattern[frames])
    changes = (patterns[:, None] != patterns[evaluated]).sum(axis=2)
    pattern = evaluated[changes.argmin(axis=1)][pattern]
    wanted = np.maximum(1, np.bincount(pattern, minlength=len(patterns)) / (ORIENTATION_SPACING_S * rate_hz))
    wanted *= min(1.0, MAX_ORIENTATION_SAMPLES / wanted[evaluated].sum())
    chosen: list[NDArray[np.int64]] = []
    position, done = np.empty(len(visible)), 0
    for own in evaluated:
        candidates = np.flatnonzero(pattern[frames] == own)
        number = min(len(candidates), max(1, round(float(wanted[own]))))
        middle = (np.arange(number) + 0.5) / number * len(candidates)
        chosen.append(candidates[middle.astype(np.int64)])
        at = np.flatnonzero(pattern == own)
        position[at] = done + np.interp(at, frames[chosen[-1]], np.arange(number))
        done += number
    return np.concatenate(chosen), position


def interpolate_between_samples(
    values: NDArray[np.floating], frames: NDArray[np.int64], visible: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Interpolate the values (K, J) of some ``frames`` (K,) to all T frames, as ``position_between_samples`` says."""
    position = position_between_samples(frames, visible)
    left = np.floor(position).astype(np.int64)
    t = (position - left)[:, None]
    return (1 - t) * values[left] + t * values[np.minimum(left + 1, len(frames) - 1)]


def position_between_samples(frames: NDArray[np.int64], visible: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the position of each of T frames (T,) among K evaluated ones, from 0 to K − 1.

    A frame is at the previous or the next evaluated frame, whichever has the more similar visible markers. If both are
    equally similar, it is between them. ``frames`` (K,) increase; ``visible`` is (T, M).
    """
    at = np.arange(len(visible))
    right = np.clip(np.searchsorted(frames, at), 0, len(frames) - 1)
    left = np.clip(np.searchsorted(frames, at, side="right") - 1, 0, len(frames) - 1)
    t = (at - frames[left]) / np.maximum(frames[right] - frames[left], 1)
    changes_left, changes_right = ((visible != visible[frames[side]]).sum(axis=1) for side in (left, right))
    t = np.select([changes_left < changes_right, changes_right < changes_left], [0.0, 1.0], t)
    return np.where(right > left, left + t, left)


@dataclass(frozen=True)
class _UncertaintyTerms:
    """Contributions to the covariance of the joint positions of T frames, and sums for the residual variance."""

    calibration: Tensor  # (T, J, 3, 3) from the errors in shape and marker offsets
    prior: Tensor  # (T, J, 3, 3) from the priors
    noise: Tensor  # (T, J, 3, 3) from residuals of the assumed size
    orientation: tuple[Tensor, Tensor, Tensor, Tensor] | None  # as ``OrientationErrors`` has them, of the first frames
    determined: Tensor  # (T, J) number of rotation parameters determined by the markers
    free: Tensor  # (T,) visible coordinates minus the pose parameters that they determine
    square: Tensor  # (T,) weighted square of the residuals


def _uncertainty_terms(
    subject: SubjectModel,
    pose: Pose,
    observation: ObservedMarkers,
    prior: JointPrior,
    scales: ResidualScales,
    calibration: CalibrationErrors,
    root: Tensor,
    turned: int,
) -> _UncertaintyTerms:
    """Return the terms, with those of the orientations of the first ``turned`` frames."""
    equations = normal_equations(subject, pose, observation, prior, scales)
    equations = replace(equations, curvature=equations.curvature.float(), jacobian=equations.jacobian.float())
    J = pose.rotations.shape[1]
    by_prior = pose_prior_curvature(equations)
    unconstrained = torch.zeros_like(equations.curvature[..., 0])
    unconstrained[:, :3], unconstrained[:, 3 * J :] = 1 / UNCONSTRAINED_RAD**2, 1 / UNCONSTRAINED_M**2
    by_prior = by_prior + torch.diag_embed(unconstrained)
    H = equations.curvature + torch.diag_embed(unconstrained)
    by_markers = H - by_prior
    diagonal = H.diagonal(dim1=1, dim2=2)
    diagonal.add_(1e-6 * diagonal.amax(dim=1, keepdim=True))
    factor, _ = torch.linalg.cholesky_ex(H)
    inverse = torch.cholesky_inverse(factor)
    joints_by_pose = joint_pose_jacobian(subject, equations.kinematics).to(H.dtype)  # (T, 3J, D)
    response = inverse @ joints_by_pose.mT  # (T, D, 3J): H⁻¹·(derivative of the joints in the pose)
    determined = (inverse * by_markers).sum(dim=-1).clamp(0, 1)  # diagonal of H⁻¹·A
    by_shape = joint_shape_jacobian(subject, equations.kinematics).to(H.dtype).flatten(1, 2)  # (T, 3J, B)
    markers_by_shape = shape_jacobian(subject, equations.kinematics).to(H.dtype).flatten(1, 2)  # (T, 3M, B)
    shift = _shift_by_shape_and_offsets(markers_by_shape, equations, equations.jacobian @ response)
    shift[..., : by_shape.shape[-1]] += by_shape
    by_calibration = shift @ root
    orientation = None
    if turned:
        first = slice(turned)
        orientation = _orientation_terms(
            subject, equations[first], by_prior[first], markers_by_shape[first], scales, calibration
        )
    return _UncertaintyTerms(
        calibration=_joint_blocks(by_calibration, by_calibration),
        prior=_joint_blocks(response.mT @ by_prior, response.mT),
        noise=_joint_blocks(response.mT @ by_markers, response.mT),
        orientation=orientation,
        determined=determined[:, : 3 * J].unflatten(1, (J, 3)).sum(dim=-1),
        free=3 * observation.visible.sum(dim=1) - determined.sum(dim=1),
        square=(equations.weight * (equations.residual**2).sum(dim=-1)).sum(dim=1),
    )


def _orientation_terms(
    subject: SubjectModel,
    equations: NormalEquations,
    by_prior: Tensor,
    markers_by_shape: Tensor,
    scales: ResidualScales,
    calibration: CalibrationErrors,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the errors of the orientations: the lasting ones (T, 3·J, L), and covariances (T, 3·J, 3·J).

    The covariances are those of the motion, and of noise if all of it is slow, and if all of it is white.

    Given the markers, the true pose is distributed about the solution that residuals and motion of their actual size
    would have, with the inverse of the curvature that they would have. The fitted pose is a known step away from it,
    because the fit assumes larger residuals and more motion. The step counts as an error of the motion.
    """
    J = by_prior.shape[1] // 3 - 1
    axes = posture_axes(subject, equations.kinematics).to(by_prior)
    prior_root = posture_prior_root(joint_blocks(by_prior, J), axes) / MOTION_VARIANCE**0.5  # (T, D, 3J)
    step = (equations.gradient.to(by_prior) - _marker_gradient(equations)) / MOTION_VARIANCE
    turns = orientation_jacobian(subject, equations.kinematics).to(by_prior).mT  # (T, D, 3J)
    by_white_noise = _smoothed_response(equations, scales, turns, calibration.noise)
    equations = replace(equations, weight=equations.weight / calibration.noise)
    step += _marker_gradient(equations)
    weight = equations.weight.sqrt().to(by_prior).repeat_interleave(3, dim=1)[..., None]
    marker_root = (weight * equations.jacobian).mT  # (T, D, 3M)
    curvature = marker_root @ marker_root.mT + prior_root @ prior_root.mT
    diagonal = curvature.diagonal(dim1=1, dim2=2)
    diagonal[:, 3 * J :] += 1 / UNCONSTRAINED_M**2
    diagonal.add_(1e-6 * diagonal.amax(dim=1, keepdim=True))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky_ex(curvature)[0])
    response = inverse @ turns
    by_posture = response.mT @ prior_root
    mean = axes @ calibration.posture.unflatten(0, (J, 3))  # (T, J, 3, L) error of the mean of the prior
    moved = equations.jacobian @ response  # (T, 3M, 3J)
    lasting = _shift_by_shape_and_offsets(markers_by_shape, equations, moved) @ calibration.parameters
    lasting += by_posture @ (prior_root[:, : 3 * J].mT @ mean.flatten(1, 2))
    by_motion = torch.cat([response.mT @ step[..., None], by_posture], dim=-1)  # (T, 3J, 1 + 3J)
    by_noise = weight * moved  # (T, 3M, 3J)
    slow, white = (each.mT @ each for each in (by_noise, by_white_noise))
    return lasting, by_motion @ by_motion.mT, slow, white


def _smoothed_response(equations: NormalEquations, scales: ResidualScales, turns: Tensor, noise: Tensor) -> Tensor:
    """Return how the orientations change with white noise of all markers (T, 3·M, 3·J), of its actual size.

    The fit draws the poses towards a smooth trajectory, which white noise hardly moves (``pose_trajectory``).
    ``turns`` (T, D, 3·J) is the derivative of the orientations in the pose, ``noise`` (M,) the relative variance.
    """
    curvature = equations.curvature.clone()
    diagonal = curvature.diagonal(dim1=1, dim2=2)
    diagonal[:, :-3] += 1 / scales.smooth_rad**2
    diagonal[:, -3:] += 1 / scales.smooth_m**2
    response = torch.cholesky_solve(turns, torch.linalg.cholesky_ex(curvature)[0])
    weight = (equations.weight * noise).sqrt().to(turns).repeat_interleave(3, dim=1)[..., None]
    return (weight * equations.jacobian) @ response


def _marker_gradient(equations: NormalEquations) -> Tensor:
    """Return the gradient (T, D) of the marker terms in the pose."""
    force = (equations.residual * equations.weight[..., None]).flatten(1)[..., None]
    return (equations.jacobian.mT @ force.to(equations.jacobian.dtype))[..., 0]


def _shift_by_shape_and_offsets(markers_by_shape: Tensor, equations: NormalEquations, moved: Tensor) -> Tensor:
    """Return the derivative of some quantities in shape and offsets, through the poses that adapt: (T, X, B + 3·M).

    ``moved`` (T, 3·M, X) is the derivative of the markers in the pose times H⁻¹ times that of the quantities,
    ``markers_by_shape`` is (T, 3·M, B).
    """
    M = equations.weight.shape[1]
    weight = equations.weight.to(moved.dtype)
    weighted = moved.unflatten(1, (M, 3)) * weight[..., None, None]  # (T, M, 3, X)
    with_shape = -weighted.flatten(1, 2).mT @ markers_by_shape
    with_offsets = -equations.kinematics.blended_rotations.to(moved.dtype).mT @ weighted  # (T, M, 3, X)
    return torch.cat([with_shape, with_offsets.flatten(1, 2).mT], dim=-1)


def _joint_blocks(left: Tensor, right: Tensor) -> Tensor:
    """Return the diagonal blocks (T, J, 3, 3) of left·rightᵀ, both (T, 3·J, X)."""
    return left.unflatten(1, (-1, 3)) @ right.unflatten(1, (-1, 3)).mT
