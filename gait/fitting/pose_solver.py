"""Levenberg–Marquardt over many frames at once.

Each frame has its own damping and stops by itself; a step is taken only where it lowers that frame's objective. The
damping scales each unknown's own curvature (Marquardt 1963, J. SIAM 11:431, eq. 2.1; Nielsen 1999, IMM-REP-1999-05 for
the accept and refuse rule), so that twists that no marker sees stay put instead of losing positive definiteness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gait.fitting.joint_turning import Pose, turned
from gait.fitting.marker_motion import MarkerMotion, Wearer, marker_motion, pose_jacobian
from gait.fitting.residuals import JointPrior, Leaning, joint_cost, joint_parts, joint_terms, marker_terms
from gait.fitting.weights import FitWeights


@dataclass(frozen=True)
class Observation:
    """Observed markers of T frames, in the wearer's order of markers."""

    markers: Tensor  # (T, M, 3) metres, zero where unseen
    seen: Tensor  # (T, M) bool

    def __getitem__(self, frames: Tensor | slice) -> Observation:
        """Some of the frames."""
        return Observation(self.markers[frames], self.seen[frames])


@dataclass(frozen=True)
class NormalEquations:
    """Objective of T frames with its gradient and Gauss–Newton curvature in the pose's unknowns."""

    cost: Tensor  # (T,)
    gradient: Tensor  # (T, D), D = 3·J + 3
    curvature: Tensor  # (T, D, D)
    known: Tensor  # (T, J + 1, 3, 3) each joint's own part of the curvature, and the place's, from the markers alone
    motion: MarkerMotion
    weight: Tensor  # (T, M) robust weight of each marker, 1/m²
    residual: Tensor  # (T, M, 3) metres
    jacobian: Tensor  # (T, 3·M, D)


@dataclass(frozen=True)
class Solved:
    """What the solver ends with."""

    pose: Pose
    cost: Tensor  # (T,)
    iterations: Tensor  # (T,) steps tried in each frame
    known: Tensor  # (T, J + 1, 3, 3) as in ``NormalEquations``, where each frame ended


def objective(
    wearer: Wearer,
    pose: Pose,
    observation: Observation,
    prior: JointPrior,
    weights: FitWeights,
    leanings: Sequence[Leaning] = (),
) -> Tensor:
    """(T,) the objective of ``gait.fitting.residuals`` alone, without its derivatives."""
    markers = marker_motion(wearer, pose).markers
    cost, _, _ = marker_terms(markers, observation.markers, observation.seen, weights.marker_m, weights.marker_robust_m)
    return cost + joint_cost(joint_parts(pose, prior, leanings)) + place_cost(pose, leanings)


def place_cost(pose: Pose, leanings: Sequence[Leaning]) -> Tensor:
    """(T,) what leanings add for the place of the body."""
    cost = torch.zeros_like(pose.translation[:, 0])
    for leaning in leanings:
        cost = cost + 0.5 * leaning.translation_precision * ((pose.translation - leaning.translation) ** 2).sum(1)
    return cost


def normal_equations(
    wearer: Wearer,
    pose: Pose,
    observation: Observation,
    prior: JointPrior,
    weights: FitWeights,
    leanings: Sequence[Leaning] = (),
    *,
    linear: torch.dtype = torch.float64,
) -> NormalEquations:
    """Evaluate the objective of ``gait.fitting.residuals`` and its derivatives at a pose.

    Positions and the objective are always in double precision; ``linear`` is the precision of the derivatives.
    """
    motion = marker_motion(wearer, pose)
    jacobian = pose_jacobian(wearer, motion).to(linear)
    cost, residual, weight = marker_terms(
        motion.markers, observation.markers, observation.seen, weights.marker_m, weights.marker_robust_m
    )
    T, M = weight.shape
    weighted = jacobian * weight.to(linear).repeat_interleave(3, dim=1)[..., None]
    curvature = jacobian.mT @ weighted
    gradient = (weighted.mT @ residual.to(linear).reshape(T, 3 * M, 1))[..., 0]
    J = pose.rotations.shape[1]
    own = curvature.unflatten(2, (J + 1, 3)).unflatten(1, (J + 1, 3)).diagonal(dim1=1, dim2=3)
    known = own.permute(0, 3, 1, 2).clone()
    terms = joint_terms(pose, motion, prior, leanings)
    gradient[:, : 3 * J] += terms.gradient.reshape(T, 3 * J)
    blocks = curvature[:, : 3 * J, : 3 * J].unflatten(2, (J, 3)).unflatten(1, (J, 3))  # (T, J, 3, J, 3)
    blocks.diagonal(dim1=1, dim2=3).add_(terms.curvature.permute(0, 2, 3, 1))
    for leaning in leanings:
        gradient[:, 3 * J :] += leaning.translation_precision[:, None] * (pose.translation - leaning.translation)
        curvature.diagonal(dim1=1, dim2=2)[:, 3 * J :] += leaning.translation_precision[:, None]
    cost = cost + terms.cost + place_cost(pose, leanings)
    return NormalEquations(cost, gradient, curvature, known, motion, weight, residual, jacobian)


def damped_step(gradient: Tensor, curvature: Tensor, damping: Tensor, floor: float = 1e-6) -> Tensor:
    """Solve (H + damping·diag(H) + floor·I)·step = −gradient for each frame: (T, D)."""
    H = curvature.clone()
    diagonal = H.diagonal(dim1=1, dim2=2)
    diagonal.add_(damping[:, None].to(H.dtype) * diagonal + floor * diagonal.amax(dim=1, keepdim=True))
    factor, _ = torch.linalg.cholesky_ex(H)
    return -torch.cholesky_solve(gradient[..., None], factor)[..., 0]


def solve_poses(
    wearer: Wearer,
    start: Pose,
    observation: Observation,
    prior: JointPrior,
    weights: FitWeights,
    *,
    leanings: Sequence[Leaning] = (),
    most_iterations: int = 30,
    tolerance: float = 1e-3,
    damping: float = 1e-2,
) -> Solved:
    """Minimise every frame's objective from a start.

    A frame stops when a step lowers its objective, or is expected to, by less than ``tolerance`` of itself, or no step
    does. Steps are solved in single precision: they are accepted by the objective, which is in double.
    """

    def derivatives(pose: Pose, rows: Tensor) -> NormalEquations:
        some = [leaning[rows] for leaning in leanings]
        return normal_equations(wearer, pose, observation[rows], prior, weights, some, linear=torch.float32)

    T = start.frames
    active = torch.arange(T, device=start.translation.device)
    here = derivatives(start, active)
    best, cost, known = start, here.cost.clone(), here.known
    tried = torch.zeros_like(active)
    at, gradient, curvature, parent_world, value = (
        start,
        here.gradient,
        here.curvature,
        here.motion.parent_world,
        here.cost,
    )
    lam = torch.full_like(value, damping)
    refused = torch.zeros_like(active)
    for left in range(most_iterations, 0, -1):
        step = damped_step(gradient, curvature, lam)
        trial = turned(at, parent_world, step.to(value.dtype), wearer.skin.hinges)
        tried[active] += 1
        slope = (gradient * step).sum(dim=1)
        bend = (step[:, None] @ curvature @ step[..., None])[:, 0, 0]
        expected = -(slope + 0.5 * bend).to(value.dtype)  # by the quadratic model
        last = (expected < tolerance * value) | (left == 1)

        ending, rows = last.nonzero()[:, 0], (~last).nonzero()[:, 0]
        if len(ending):
            some = [leaning[active[ending]] for leaning in leanings]
            new = objective(wearer, trial[ending], observation[active[ending]], prior, weights, some)
            better = new < value[ending]
            taken = active[ending[better]]
            best = best.with_frames(taken, trial[ending[better]])
            cost[taken] = new[better]
        if not len(rows):
            break
        there = derivatives(trial[rows], active[rows])
        better = there.cost < value[rows]
        taken = active[rows[better]]
        best = best.with_frames(taken, trial[rows[better]])
        cost[taken], known[taken] = there.cost[better], there.known[better]
        gain = (value[rows] - there.cost) / value[rows].clamp_min(1e-12)
        pick = better[:, None]
        gradient = torch.where(pick, there.gradient, gradient[rows])
        curvature = torch.where(pick[..., None], there.curvature, curvature[rows])
        parent_world = torch.where(pick[..., None, None], there.motion.parent_world, parent_world[rows])
        value = torch.where(better, there.cost, value[rows])
        lam = torch.where(better, lam[rows] / 8, lam[rows] * 6).clamp(1e-7, 1e5)
        refused = torch.where(better, torch.zeros_like(rows), refused[rows] + 1)
        keep = (~((better & (gain < tolerance)) | (refused >= 4))).nonzero()[:, 0]
        if not len(keep):
            break
        active = active[rows[keep]]
        gradient, curvature, parent_world = gradient[keep], curvature[keep], parent_world[keep]
        value, lam, refused = value[keep], lam[keep], refused[keep]
        at = best[active]
    return Solved(best, cost, tried, known)
