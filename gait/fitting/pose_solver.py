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
from gait.fitting.residuals import JointPrior, Leaning, joint_terms, marker_terms
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


def normal_equations(
    wearer: Wearer,
    pose: Pose,
    observation: Observation,
    prior: JointPrior,
    weights: FitWeights,
    leanings: Sequence[Leaning] = (),
) -> NormalEquations:
    """Evaluate the objective of ``gait.fitting.residuals`` and its derivatives at a pose."""
    motion = marker_motion(wearer, pose)
    jacobian = pose_jacobian(wearer, motion)
    cost, residual, weight = marker_terms(
        motion.markers, observation.markers, observation.seen, weights.marker_m, weights.marker_robust_m
    )
    T, M = weight.shape
    weighted = jacobian * weight.repeat_interleave(3, dim=1)[..., None]
    curvature = jacobian.mT @ weighted
    gradient = (weighted.mT @ residual.reshape(T, 3 * M, 1))[..., 0]
    J = pose.rotations.shape[1]
    own = curvature.unflatten(2, (J + 1, 3)).unflatten(1, (J + 1, 3)).diagonal(dim1=1, dim2=3)
    known = own.permute(0, 3, 1, 2).clone()
    terms = joint_terms(pose, motion, prior, leanings)
    gradient[:, : 3 * J] += terms.gradient.reshape(T, 3 * J)
    blocks = curvature[:, : 3 * J, : 3 * J].unflatten(2, (J, 3)).unflatten(1, (J, 3))  # (T, J, 3, J, 3)
    blocks.diagonal(dim1=1, dim2=3).add_(terms.curvature.permute(0, 2, 3, 1))
    cost = cost + terms.cost
    for leaning in leanings:
        away = pose.translation - leaning.translation
        cost = cost + 0.5 * leaning.translation_precision * (away**2).sum(1)
        gradient[:, 3 * J :] += leaning.translation_precision[:, None] * away
        curvature.diagonal(dim1=1, dim2=2)[:, 3 * J :] += leaning.translation_precision[:, None]
    return NormalEquations(cost, gradient, curvature, known, motion, weight, residual, jacobian)


def damped_step(gradient: Tensor, curvature: Tensor, damping: Tensor, floor: float = 1e-6) -> Tensor:
    """Solve (H + damping·diag(H) + floor·I)·step = −gradient for each frame: (T, D)."""
    H = curvature.clone()
    diagonal = H.diagonal(dim1=1, dim2=2)
    diagonal.add_(damping[:, None] * diagonal + floor * diagonal.amax(dim=1, keepdim=True))
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

    A frame stops when a step taken lowers its objective by less than ``tolerance`` of itself, or no step does.
    """
    T = start.frames
    best, at, seen = start, start, observation
    tried = torch.zeros(T, dtype=torch.long, device=start.translation.device)
    active = torch.arange(T, device=tried.device)
    here = normal_equations(wearer, at, seen, prior, weights, leanings)
    cost, known = here.cost.clone(), here.known.clone()
    gradient, curvature, parent_world, value = (
        here.gradient,
        here.curvature,
        here.motion.parent_world,
        here.cost,
    )
    lam = torch.full_like(value, damping)
    refused = torch.zeros_like(active)
    for _ in range(most_iterations):
        step = damped_step(gradient, curvature, lam)
        trial = turned(at, parent_world, step, wearer.skin.hinges)
        there = normal_equations(wearer, trial, seen, prior, weights, [leaning[active] for leaning in leanings])
        better = there.cost < value
        gain = (value - there.cost) / value.clamp_min(1e-12)
        tried[active] += 1
        rows = better.nonzero()[:, 0]
        best = best.with_frames(active[rows], trial[rows])
        cost[active[rows]] = there.cost[rows]
        known[active[rows]] = there.known[rows]
        pick = better[:, None]
        gradient = torch.where(pick, there.gradient, gradient)
        curvature = torch.where(pick[..., None], there.curvature, curvature)
        parent_world = torch.where(pick[..., None, None], there.motion.parent_world, parent_world)
        value = torch.where(better, there.cost, value)
        lam = torch.where(better, lam / 8, lam * 6).clamp(1e-7, 1e5)
        refused = torch.where(better, torch.zeros_like(refused), refused + 1)
        going = ~((better & (gain < tolerance)) | (refused >= 4))
        if not bool(going.any()):
            break
        keep = going.nonzero()[:, 0]
        active = active[keep]
        gradient, curvature, parent_world = gradient[keep], curvature[keep], parent_world[keep]
        value, lam, refused, seen = value[keep], lam[keep], refused[keep], seen[keep]
        at = best[active]
    return Solved(best, cost, tried, known)
