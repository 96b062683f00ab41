"""Poses of all frames of one recording, once the person's body and markers are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gait.body.vposer import VPoser
from gait.errors import GaitError
from gait.fitting.frame_batches import FrameBatches
from gait.fitting.joint_turning import HingedJoints, Pose
from gait.fitting.learned_pose import learned_pose
from gait.fitting.marker_motion import Wearer
from gait.fitting.pose_solver import Observation, Solved, solve_poses
from gait.fitting.residuals import JointPrior, Leaning
from gait.fitting.rigid_start import rigid_start
from gait.fitting.smooth_course import between_frames, smooth_course
from gait.fitting.weights import FitWeights

COARSE_SECONDS = 0.08
"""Spacing of the frames that are solved from scratch; those between start from their neighbours."""


def pose_course(
    wearer: Wearer,
    observation: Observation,
    prior: JointPrior,
    weights: FitWeights,
    rate_hz: float,
    vposer: VPoser | None,
    batches: FrameBatches,
) -> Pose:
    """Poses of all frames: a coarse grid from scratch, the rest from their neighbours, then all on a smooth course."""
    T = len(observation.markers)
    start, _, fixed = rigid_start(wearer, prior.natural, observation)
    well = np.flatnonzero(fixed.cpu().numpy())
    if not len(well):
        raise GaitError("no frame shows four markers that are not in one line; nothing to fit.")
    step = max(1, round(COARSE_SECONDS * rate_hz))
    grid = well[np.unique(np.searchsorted(well, np.arange(0, well[-1] + step, step)).clip(max=len(well) - 1))]
    rows = torch.as_tensor(grid, device=start.rotations.device)
    coarse, _ = _solve(wearer, start[rows], observation[rows], prior, weights, (), 30, batches)
    pose = between_frames(coarse, grid, T, wearer.skin.hinges)
    learned = () if vposer is None else (learned_pose(vposer, pose, weights),)
    pose, known = _solve(wearer, pose, observation, prior, weights, learned, 8, batches)
    informed = torch.cat(batches.map(T, lambda rows: information(known[rows], wearer.skin.hinges)))
    course = smooth_course(pose, informed, rate_hz, weights)
    return _solve(wearer, pose, observation, prior, weights, (course, *learned), 4, batches)[0]


def _solve(
    wearer: Wearer,
    start: Pose,
    observation: Observation,
    prior: JointPrior,
    weights: FitWeights,
    leanings: Sequence[Leaning],
    most_iterations: int,
    batches: FrameBatches,
) -> tuple[Pose, Tensor]:
    """Solve any number of frames, batch by batch: poses, and what the markers know (``Solved.known``)."""

    def solve(rows: slice) -> Solved:
        return solve_poses(
            wearer,
            start[rows],
            observation[rows],
            prior,
            weights,
            leanings=[leaning[rows] for leaning in leanings],
            most_iterations=most_iterations,
        )

    parts = batches.map(start.frames, solve)
    return Pose.joined([part.pose for part in parts]), torch.cat([part.known for part in parts])


def information(known: Tensor, hinges: HingedJoints | None) -> Tensor:
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
    return torch.linalg.eigvalsh(known)[..., 0].clamp_min(0)
