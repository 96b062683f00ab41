"""Poses of all frames of one recording, once the person's body and markers are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gait.body.vposer import VPoser
from gait.errors import GaitError
from gait.fitting.frame_batches import FrameBatches
from gait.fitting.joint_parametrization import ConstrainedJoints, Pose
from gait.fitting.marker_kinematics import SubjectModel
from gait.fitting.objective_terms import JointPrior, SoftPoseTarget
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.rigid_initialization import rigid_start
from gait.fitting.solver.batched_normal_equations import BatchedNormalEquations
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.solver.levenberg_marquardt import SolverOptions, solve_poses
from gait.fitting.trajectory_smoothing import between_frames, smooth_course
from gait.fitting.vposer_target import learned_pose

COARSE_SECONDS = 0.08
"""Spacing of the frames that are solved from scratch; those between start from their neighbours."""

FROM_SCRATCH = SolverOptions(tolerance=3e-2)
FROM_NEIGHBOURS = SolverOptions(most_iterations=8, tolerance=1e-1, damping=1e-3, trusting=True)
ON_THE_COURSE = SolverOptions(most_iterations=4, damping=1e-3)


def pose_course(
    wearer: SubjectModel,
    observation: ObservedMarkers,
    prior: JointPrior,
    weights: ResidualScales,
    rate_hz: float,
    vposer: VPoser | None,
    batches: FrameBatches,
) -> Pose:
    """Poses of all frames: a coarse grid from scratch, the rest from their neighbours, then all on a smooth course."""
    T = len(observation.markers)
    equations = BatchedNormalEquations(wearer, prior, weights)
    starts = batches.map(T, lambda rows: rigid_start(wearer, prior.natural, observation[rows]))
    start = Pose.joined([pose for pose, _, _ in starts])
    well = np.flatnonzero(torch.cat([fixed for _, _, fixed in starts]).cpu().numpy())
    if not len(well):
        raise GaitError("no frame shows four markers that are not in one line; nothing to fit.")
    step = max(1, round(COARSE_SECONDS * rate_hz))
    grid = well[np.unique(np.searchsorted(well, np.arange(0, well[-1] + step, step)).clip(max=len(well) - 1))]
    rows = torch.as_tensor(grid, device=start.rotations.device)
    coarse = _solve(equations, start[rows], observation[rows], (), FROM_SCRATCH, batches)
    pose = between_frames(coarse, grid, T, wearer.skin.hinges)
    learned = () if vposer is None else (learned_pose(vposer, pose, weights),)

    def informed(rows: slice) -> Tensor:
        frames = equations.frames(observation[rows])
        return information(equations.known(equations.taken_up(pose[rows], frames), frames), equations.hinges)

    known = torch.cat(batches.map(T, informed))
    pose = _solve(equations, pose, observation, learned, FROM_NEIGHBOURS, batches)
    course = smooth_course(pose, known, rate_hz, weights)
    return _solve(equations, pose, observation, (course, *learned), ON_THE_COURSE, batches)


def _solve(
    equations: BatchedNormalEquations,
    start: Pose,
    observation: ObservedMarkers,
    leanings: Sequence[SoftPoseTarget],
    effort: SolverOptions,
    batches: FrameBatches,
) -> Pose:
    """Solve any number of frames, batch by batch."""

    def solve(rows: slice) -> Pose:
        some = [leaning[rows] for leaning in leanings]
        return solve_poses(equations, start[rows], observation[rows], some, effort).pose

    return Pose.joined(batches.map(start.frames, solve))


def information(known: Tensor, hinges: ConstrainedJoints | None) -> Tensor:
    """What a frame's markers alone say of each joint's rotation (1/rad²) and of the place (1/m²): (T, J + 1).

    The least curvature over directions of each joint's own block (T, J + 1, 3, 3), so that a twist that no marker sees
    counts as unseen.
    """
    if hinges is not None:  # an unknown that a hinged joint lacks is no unseen one
        J = known.shape[1] - 1
        diagonal = known.diagonal(dim1=-2, dim2=-1)
        lacking = torch.zeros(J + 1, 3, dtype=torch.bool, device=known.device)
        lacking[:J, 2], lacking[:J, 1] = hinges.hinged, hinges.hinged & ~hinges.double
        most = diagonal.amax(dim=-1, keepdim=True)
        known = known + torch.diag_embed(torch.where(lacking, most, torch.zeros_like(diagonal)))
    return least_eigenvalue(known).clamp_min(0)


def least_eigenvalue(matrices: Tensor) -> Tensor:
    """(…) of symmetric matrices (…, 3, 3), in closed form (Smith 1961, Comm. ACM 4:168)."""
    mean = matrices.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    eye = torch.eye(3, dtype=matrices.dtype, device=matrices.device)
    away = matrices - mean[..., None, None] * eye
    spread = ((away * away).sum((-2, -1)) / 6).sqrt()
    half_det = 0.5 * torch.det(away / spread.clamp_min(1e-30)[..., None, None])
    angle = torch.arccos(half_det.clamp(-1, 1)) / 3
    return mean + 2 * spread * torch.cos(angle + 2 * np.pi / 3)
