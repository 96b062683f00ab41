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

from gait.fitting.joint_parametrization import Pose
from gait.fitting.objective_terms import SoftPoseTarget
from gait.fitting.solver.batched_normal_equations import BatchedNormalEquations
from gait.fitting.solver.block_solver import damped_step
from gait.fitting.solver.frame_data import ObservedMarkers


@dataclass(frozen=True)
class SolverOptions:
    """When the solver is content."""

    most_iterations: int = 30
    tolerance: float = 1e-2
    """A frame whose next step lowers its objective by less than this part of it takes that step and stops. Near its
    end a step leaves the square of what it gains, so the poses are ten times better than this sounds."""
    damping: float = 1e-2
    """Of the first step; a start nearby needs less."""
    trusting: bool = False
    """Whether a small last step is taken untried: for poses that are solved again."""


@dataclass(frozen=True)
class SolverResult:
    """What the solver ends with."""

    pose: Pose
    cost: Tensor  # (T,) where it was last tried
    iterations: Tensor  # (T,) steps tried in each frame


def solve_poses(
    equations: BatchedNormalEquations,
    start: Pose,
    observation: ObservedMarkers,
    leanings: Sequence[SoftPoseTarget] = (),
    effort: SolverOptions = SolverOptions(),
) -> SolverResult:
    """Minimise every frame's objective from a start; a frame also stops when four steps running are refused."""
    frames = equations.frames(observation, leanings)
    best = at = equations.taken_up(start, frames)
    here = equations.evaluate(at, frames)
    cost = here.cost.clone()
    active = torch.arange(start.frames, device=cost.device)
    tried, refused = torch.zeros_like(active), torch.zeros_like(active)
    lam = torch.full_like(cost, effort.damping)
    watched = frames
    for left in range(effort.most_iterations, 0, -1):
        step = damped_step(here.equations, lam)
        trial = equations.turned(at, here.parent_world, step)
        tried[active] += 1
        small = step.gain < effort.tolerance * here.cost
        last = small | (left == 1)
        ending, rows = last.nonzero()[:, 0], (~last).nonzero()[:, 0]
        if effort.trusting and bool(small[ending].all()):
            best = best.with_frames(active[ending], trial[ending])
        elif len(ending):
            ended, seen = (trial[ending], watched[ending]) if len(rows) else (trial, watched)
            there_cost = equations.cost(ended, seen)
            better = there_cost < here.cost[ending]
            taken = active[ending[better]]
            best = best.with_frames(taken, trial[ending[better]])
            cost[taken] = there_cost[better]
        if not len(rows):
            break
        if len(ending):
            at, trial, watched, here = at[rows], trial[rows], watched[rows], here[rows]
            active, lam, refused = active[rows], lam[rows], refused[rows]
        there = equations.evaluate(trial, watched)
        better = there.cost < here.cost
        taken = active[better]
        best = best.with_frames(taken, trial[better])
        cost[taken] = there.cost[better]
        gain = (here.cost - there.cost) / here.cost.clamp_min(1e-12)
        lam = torch.where(better, lam / 8, (lam * 6).clamp_min(1e-3)).clamp(1e-7, 1e5)
        refused = torch.where(better, 0, refused + 1)
        here = there.where(better, here)
        keep = (~((better & (gain < effort.tolerance)) | (refused >= 4))).nonzero()[:, 0]
        if not len(keep):
            break
        if len(keep) < len(active):
            watched, here = watched[keep], here[keep]
            active, lam, refused = active[keep], lam[keep], refused[keep]
        at = best[active]
    return SolverResult(equations.given_back(best, frames), cost.double(), tried)
