"""How well the markers hold each joint in each frame.

A joint's error has two parts. In every frame the pose gives way to noise and to the pull of the priors; and all frames
share what calibration got wrong, shape and placement, to which each pose has then adapted. With H the curvature of a
frame's objective in its pose and A the markers' part of it, the error in the pose has the covariance
H⁻¹·(H − A + f·A)·H⁻¹, f the residuals' variance over the assumed one, and an error in shape or offsets moves the pose
by −H⁻¹·∂²/∂pose∂(shape, offsets) (implicit function theorem); ``placement_covariance`` says how large it may be.

What soft tissue does to all markers of a segment alike leaves no residual, so that no figure from residuals can tell
of it (Leardini et al. 2005, Gait & Posture 21:212).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.fitting.frame_batches import FrameBatches
from gait.fitting.joint_parametrization import Pose
from gait.fitting.marker_kinematics import SubjectModel, joint_pose_jacobian, joint_shape_jacobian, shape_jacobian
from gait.fitting.objective_terms import JointPrior
from gait.fitting.offset_covariance import AS_ASSUMED, pose_prior_part
from gait.fitting.reference_normal_equations import NormalEquations, normal_equations
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.valid_frames import LOST_TIMES, usual_figures

EVERY_SECONDS = 0.25
"""Spacing of the frames in which confidence is worked out; it changes slowly while the same markers are seen."""
SHORTEST_CHANGE_SECONDS = 0.1
"""Markers that come or go for less than this get no figure of their own; neighbouring frames hold the body."""
FEW = 2 / 3
"""Of the usual number of markers: frames that see fewer always get a figure of their own."""
BATCH = 16
"""Frames at a time: few, so that all cores have some."""
BRIDGES_SECONDS = (0.1, 0.2, 0.4, 0.8)
"""Lengths of bridge at which the error of bridging is measured on the recording's own course."""
LOOSE_RAD = 1.0
LOOSE_M = 1.0
"""What a body's place and direction may be where no marker says anything."""
SHARE = 0.6827
"""Probability that an error is within the figure: that of one standard deviation of a single coordinate."""


@dataclass(frozen=True)
class JointUncertainty:
    """How well one recording's markers hold the body."""

    sigma_m: NDArray[np.float32]  # (T, J) an error is within this radius with the probability ``SHARE``
    alone_m: NDArray[np.float32]  # (T, J) the same if a frame had no neighbours
    observed: NDArray[np.float32]  # (T, J) part of each joint's turn that markers decided and not the prior, 0 to 1
    noise: float  # variance of the residuals over the assumed one


def joint_confidence(
    wearer: SubjectModel,
    pose: Pose,
    joints_m: NDArray[np.float64],
    observation: ObservedMarkers,
    prior: JointPrior,
    weights: ResidualScales,
    placement: Tensor,
    rate_hz: float,
    batches: FrameBatches,
) -> JointUncertainty:
    """Work confidence out in some frames and carry it over to all T.

    Args:
        wearer: whose pose it is.
        pose: as solved.
        joints_m: (T, J, 3) where it has the joints.
        observation: the markers.
        prior: of the joints.
        weights: of the objective.
        placement: (B + 3·M, B + 3·M) covariance of the wearer's shape and offsets.
        rate_hz: frames a second.
        batches: for the work.
    """
    seen = observation.seen.cpu().numpy()
    frames = chosen_frames(seen, rate_hz)
    rows = torch.as_tensor(frames, device=pose.rotations.device)
    values, vectors = torch.linalg.eigh(placement)
    root = (vectors * values.clamp_min(0).sqrt()).to(torch.float32)

    def work(part: slice) -> _Parts:
        some = rows[part]
        return _frame_parts(wearer, pose[some], observation[some], prior, weights, root)

    small = batches if pose.translation.is_cuda else replace(batches, size=min(batches.size, BATCH))
    parts = small.map(len(frames), work)
    free = sum(float(part.free.sum()) for part in parts)
    noise = (sum(float(part.square.sum()) for part in parts) + AS_ASSUMED) / (max(free, 0.0) + AS_ASSUMED)
    covariance = torch.cat([part.placement + part.pull + noise * part.noise for part in parts])
    decided = torch.cat([part.decided for part in parts])
    figures = torch.nan_to_num(radius(covariance), nan=LOOSE_M, posinf=LOOSE_M)  # a frame that cannot be solved
    sigma = between(figures.double().cpu().numpy(), frames, seen)
    return JointUncertainty(
        sigma_m=bridged(sigma, joints_m, rate_hz).astype(np.float32),
        alone_m=sigma.astype(np.float32),
        observed=between((decided / _unknowns(wearer)).cpu().numpy(), frames, seen).astype(np.float32),
        noise=noise,
    )


def _unknowns(wearer: SubjectModel) -> Tensor:
    """(J,) in how many ways each joint can turn."""
    skin = wearer.skin
    three = skin.joint.new_full((skin.num_joints,), 3)
    return three if skin.hinges is None else torch.where(skin.hinges.hinged, 1 + skin.hinges.double.to(three), three)


def radius(covariance: Tensor) -> Tensor:
    """Radius that holds an error with probability ``SHARE``, from its covariance (..., 3, 3).

    |e|² is a weighted sum of χ²; it is taken for a scaled χ² with its mean and variance (Box 1954, Ann. Math. Stat.
    25:290, theorem 3.1), whose quantile follows Wilson and Hilferty 1931 (PNAS 17:684). The share is right to 0.02.
    """
    mean = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    freedom = mean**2 / (covariance**2).sum((-1, -2)).clamp_min(1e-30)
    spread = 2 / (9 * freedom.clamp(1, 3))
    return (mean * (1 - spread + _QUANTILE * spread.sqrt()) ** 3).clamp_min(0).sqrt()


_QUANTILE = 0.4753
"""Of the normal distribution at ``SHARE``."""


def chosen_frames(seen: NDArray[np.bool_], rate_hz: float) -> NDArray[np.int64]:
    """Frames to work in: spread evenly, and one in the middle of each stretch that shows other markers.

    Args:
        seen: (T, M).
        rate_hz: frames a second.
    """
    T = len(seen)
    grid = np.unique(np.linspace(0, T - 1, max(2, round(T / (EVERY_SECONDS * rate_hz)))).round().astype(np.int64))
    starts = np.flatnonzero(np.r_[True, (seen[1:] != seen[:-1]).any(axis=1)])
    ends = np.r_[starts[1:], T]
    number = seen.sum(axis=1)
    counts = ends - starts >= max(1, round(SHORTEST_CHANGE_SECONDS * rate_hz))
    counts |= number[starts] < FEW * np.median(number)
    return np.union1d(grid, (starts[counts] + ends[counts] - 1) // 2)


def between(values: NDArray[np.floating], frames: NDArray[np.int64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values (K, J) of some frames for all T: of the frame before or after, whichever saw the more similar markers; in
    a straight line if both did.

    Args:
        values: (K, J).
        frames: (K,) increasing.
        seen: (T, M).
    """
    at = np.arange(len(seen))
    right = np.clip(np.searchsorted(frames, at), 0, len(frames) - 1)
    left = np.clip(np.searchsorted(frames, at, side="right") - 1, 0, len(frames) - 1)
    share = (at - frames[left]) / np.maximum(frames[right] - frames[left], 1)
    unlike_left, unlike_right = ((seen != seen[frames[side]]).sum(axis=1) for side in (left, right))
    share = np.select([unlike_left < unlike_right, unlike_right < unlike_left], [0.0, 1.0], share)[:, None]
    return (1 - share) * values[left] + share * values[right]


def bridged(sigma: NDArray[np.float64], joints_m: NDArray[np.float64], rate_hz: float) -> NDArray[np.float64]:
    """Figures (T, J) that know of the frames before and after, where a joint's own frame does not hold it.

    A gap is bridged by the smooth course (``smooth_course``). Over a short one that is off by what the joint does in so
    short a time, which the rest of the recording shows: the distance of its course from the cubic bridge between place
    and velocity at both ends. Within a bridge the error goes with (u·(1 − u))^1.5, u the part of it that has passed, as
    that of a course with white acceleration does (Wahba 1978, J. R. Stat. Soc. B 40:364).

    Args:
        sigma: (T, J) by each frame's own markers and the priors.
        joints_m: (T, J, 3).
        rate_hz: frames a second.
    """
    T = len(sigma)
    held = sigma <= LOST_TIMES * usual_figures(sigma)
    if held.all():
        return sigma
    at = np.arange(T)[:, None]
    before = np.maximum.accumulate(np.where(held, at, -1), axis=0)
    after = np.minimum.accumulate(np.where(held, at, T)[::-1], axis=0)[::-1]
    inside = ~held & (before >= 0) & (after < T)
    left, right = np.where(inside, before, at), np.where(inside, after, at)
    length = np.maximum(right - left, 1)
    passed = (at - left) / length
    ends = (1 - passed) * np.take_along_axis(sigma, left, 0) ** 2 + passed * np.take_along_axis(sigma, right, 0) ** 2
    middle = np.empty_like(sigma)
    for j in np.flatnonzero(inside.any(axis=0)):
        seconds, error = bridge_errors(joints_m[:, j], held[:, j], rate_hz)
        middle[:, j] = np.exp(np.interp(np.log(length[:, j] / rate_hz), np.log(seconds), np.log(error)))
        beyond = length[:, j] / rate_hz > seconds[-1]
        middle[beyond, j] = np.inf
    spread = np.where(inside, middle * (4 * passed * (1 - passed)) ** 1.5, 0.0)
    return np.where(inside, np.minimum(sigma, np.sqrt(ends + spread**2)), sigma)


def bridge_errors(
    course_m: NDArray[np.float64], held: NDArray[np.bool_], rate_hz: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lengths of bridges, seconds, and the root mean square error in their middle, metres.

    Args:
        course_m: (T, 3) of one joint.
        held: (T,) where it can be relied on; lengths for which there is no room are left out.
        rate_hz: frames a second.
    """
    T = len(course_m)
    velocity = np.gradient(course_m, axis=0) if T > 1 else np.zeros_like(course_m)  # a frame
    lengths, errors = [1 / rate_hz], [1e-6]
    for seconds in BRIDGES_SECONDS:
        half = max(1, round(seconds * rate_hz / 2))
        middle = np.arange(half, T - half)
        a, b = middle - half, middle + half
        good = held[a] & held[b] & held[middle]
        if not good.any():
            break
        bridge = (course_m[a] + course_m[b]) / 2 + 2 * half / 8 * (velocity[a] - velocity[b])
        off = ((bridge - course_m[middle])[good] ** 2).sum(axis=-1)
        lengths.append(2 * half / rate_hz)
        errors.append(max(float(np.sqrt(off.mean())), errors[-1]))
    return np.array(lengths), np.array(errors)


@dataclass(frozen=True)
class _Parts:
    """Of some frames: what a joint's error (…, 3, 3) comes from, and what the residuals say."""

    placement: Tensor  # (T, J, 3, 3) from shape and offsets
    pull: Tensor  # (T, J, 3, 3) from the priors
    noise: Tensor  # (T, J, 3, 3) from residuals as large as assumed
    decided: Tensor  # (T, J) unknowns of each joint's turn that the markers decided
    free: Tensor  # (T,) coordinates seen, less what the pose takes up
    square: Tensor  # (T,) weighted square of the residuals


def _frame_parts(
    wearer: SubjectModel,
    pose: Pose,
    observation: ObservedMarkers,
    prior: JointPrior,
    weights: ResidualScales,
    root: Tensor,
) -> _Parts:
    here = normal_equations(wearer, pose, observation, prior, weights)
    here = replace(here, curvature=here.curvature.float(), jacobian=here.jacobian.float())
    J = pose.rotations.shape[1]
    by_prior = pose_prior_part(here)
    loose = torch.zeros_like(here.curvature[..., 0])
    loose[:, :3], loose[:, 3 * J :] = 1 / LOOSE_RAD**2, 1 / LOOSE_M**2
    by_prior = by_prior + torch.diag_embed(loose)
    H = here.curvature + torch.diag_embed(loose)
    by_markers = H - by_prior
    diagonal = H.diagonal(dim1=1, dim2=2)
    diagonal.add_(1e-6 * diagonal.amax(dim=1, keepdim=True))
    factor, _ = torch.linalg.cholesky_ex(H)
    inverse = torch.cholesky_inverse(factor)
    by_pose = joint_pose_jacobian(wearer, here.motion).to(H.dtype)  # (T, 3J, D)
    follows = inverse @ by_pose.mT  # (T, D, 3J): H⁻¹·(change of the joints with the pose)
    decided = (inverse * by_markers).sum(dim=-1).clamp(0, 1)  # diagonal of H⁻¹·A
    moved = _moved_by_placement(wearer, here, follows) @ root.to(H.device)
    return _Parts(
        placement=_joint_blocks(moved, moved),
        pull=_joint_blocks(follows.mT @ by_prior, follows.mT),
        noise=_joint_blocks(follows.mT @ by_markers, follows.mT),
        decided=decided[:, : 3 * J].unflatten(1, (J, 3)).sum(dim=-1),
        free=3 * observation.seen.sum(dim=1) - decided.sum(dim=1),
        square=(here.weight * (here.residual**2).sum(dim=-1)).sum(dim=1),
    )


def _moved_by_placement(wearer: SubjectModel, here: NormalEquations, follows: Tensor) -> Tensor:
    """(T, 3·J, B + 3·M) change of the joints with shape and offsets, poses adapting to them."""
    M = here.weight.shape[1]
    weight = here.weight.to(follows.dtype)
    pulled = (here.jacobian @ follows).unflatten(1, (M, 3)) * weight[..., None, None]  # (T, M, 3, 3J)
    by_shape = shape_jacobian(wearer, here.motion).to(follows.dtype)
    with_shape = joint_shape_jacobian(wearer, here.motion).to(follows.dtype).flatten(1, 2)  # (T, 3J, B)
    with_shape = with_shape - pulled.flatten(1, 2).mT @ by_shape.flatten(1, 2)
    with_offsets = -here.motion.mixed.to(follows.dtype).mT @ pulled  # (T, M, 3, 3J)
    return torch.cat([with_shape, with_offsets.flatten(1, 2).mT], dim=-1)


def _joint_blocks(left: Tensor, right: Tensor) -> Tensor:
    """(T, J, 3, 3) the joints' own blocks of left·rightᵀ, both (T, 3·J, X)."""
    return left.unflatten(1, (-1, 3)) @ right.unflatten(1, (-1, 3)).mT
