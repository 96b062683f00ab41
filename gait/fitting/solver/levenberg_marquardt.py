"""Levenberg–Marquardt over many frames at once.

Each frame has its own damping and its own stopping rule; a step is accepted only in frames whose objective it lowers.
The damping scales the diagonal of the curvature (Marquardt 1963, J. SIAM 11:431, eq. 2.1; acceptance rule after Nielsen
1999, IMM-REP-1999-05), so that rotations that no marker determines stay unchanged and the matrix positive definite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gait.fitting.joint_parametrization import Pose
from gait.fitting.objective_terms import SoftPoseTarget
from gait.fitting.solver.batched_normal_equations import BatchedNormalEquations, Linearization
from gait.fitting.solver.block_solver import damped_step
from gait.fitting.solver.frame_data import (
    USUAL_OPTIONS,
    FrameData,
    ObservedMarkers,
    QuaternionPose,
    SolverOptions,
    SolverResult,
)


def solve_poses(
    equations: BatchedNormalEquations,
    start: Pose,
    observation: ObservedMarkers,
    targets: Sequence[SoftPoseTarget] = (),
    options: SolverOptions = USUAL_OPTIONS,
) -> SolverResult:
    """Minimize the objective of every frame; a frame also stops after four rejected steps in a row."""
    data = equations.frame_data(observation, targets)
    best = poses = equations.to_internal(start, data)
    current = equations.linearize(poses, data, marker_curvature=options.marker_curvature)
    start_curvature = current.marker_curvature
    current = replace(current, marker_curvature=None)
    cost = current.cost.clone()
    active = torch.arange(start.num_frames, device=cost.device)
    tried, rejected = torch.zeros_like(active), torch.zeros_like(active)
    lam = torch.full_like(cost, options.damping)
    active_data, max_iterations = data, options.max_iterations
    if options.reuse_factors:
        best, cost, tried, active, better = _first_two_steps(equations, poses, current, data, options)
        max_iterations -= 1
        if len(active):
            poses, active_data, rejected = best[active], data[active], (~better).to(rejected)
            lam = torch.where(better, lam[active] / 8, (lam[active] * 6).clamp_min(1e-3))
            current = equations.linearize(poses, active_data)
    for steps_left in range(max_iterations if len(active) else 0, 0, -1):
        step, _ = damped_step(current.equations, lam)
        candidate = equations.apply_step(poses, current.parent_world, step)
        tried[active] += 1
        small = step.gain < options.tolerance * current.cost
        last = small | (steps_left == 1)
        ending, rows = last.nonzero()[:, 0], (~last).nonzero()[:, 0]
        if len(ending):
            last_poses, last_data = (candidate[ending], active_data[ending]) if len(rows) else (candidate, active_data)
            candidate_cost = equations.cost(last_poses, last_data)
            better = candidate_cost < current.cost[ending]
            accepted = active[ending[better]]
            best = best.with_frames(accepted, candidate[ending[better]])
            cost[accepted] = candidate_cost[better]
        if not len(rows):
            break
        if len(ending):
            poses, candidate, active_data, current = poses[rows], candidate[rows], active_data[rows], current[rows]
            active, lam, rejected = active[rows], lam[rows], rejected[rows]
        proposed = equations.linearize(candidate, active_data)
        better = proposed.cost < current.cost
        accepted = active[better]
        best = best.with_frames(accepted, candidate[better])
        cost[accepted] = proposed.cost[better]
        gain = (current.cost - proposed.cost) / current.cost.clamp_min(1e-12)
        lam = torch.where(better, lam / 8, (lam * 6).clamp_min(1e-3)).clamp(1e-7, 1e5)
        rejected = torch.where(better, 0, rejected + 1)
        current = proposed.where(better, current)
        keep = (~((better & (gain < options.tolerance)) | (rejected >= 4))).nonzero()[:, 0]
        if not len(keep):
            break
        if len(keep) < len(active):
            active_data, current = active_data[keep], current[keep]
            active, lam, rejected = active[keep], lam[keep], rejected[keep]
        poses = best[active]
    return SolverResult(equations.to_matrix_pose(best, data), cost.double(), tried, start_curvature)


def _first_two_steps(
    equations: BatchedNormalEquations,
    poses: QuaternionPose,
    current: Linearization,
    data: FrameData,
    options: SolverOptions,
) -> tuple[QuaternionPose, Tensor, Tensor, Tensor, Tensor]:
    """Take steps with the curvature of the first pose (``reuse_factors``).

    Returns:
        Poses; cost (T,) at the last evaluated pose; steps tried (T,); indices (A,) of the frames that have not ended;
        and whether the first step lowered their objective (A,).
    """
    cost, lam = current.cost.clone(), torch.full_like(current.cost, options.damping)
    step, factors = damped_step(current.equations, lam)
    candidate = equations.apply_step(poses, current.parent_world, step)
    best, tried = candidate, torch.ones_like(cost, dtype=torch.long)
    rows = (step.gain >= options.tolerance * cost).nonzero()[:, 0]
    if 0 < len(rows) < len(cost):
        poses, candidate, data, factors = poses[rows], candidate[rows], data[rows], factors[rows]
    if not len(rows):
        return best, cost, tried, rows, rows > 0
    there = equations.cost_and_gradient(candidate, data)
    step = factors.step(there.gradient)
    better = there.cost < cost[rows]
    done = better & (step.gain < options.tolerance * there.cost)
    second = equations.apply_step(candidate, there.parent_world, step)
    best = best.with_frames(rows, second.where(done, candidate.where(better, poses)))
    cost[rows] = torch.where(better, there.cost, cost[rows])
    tried[rows[done]] = 2
    return best, cost, tried, rows[~done], better[~done]
