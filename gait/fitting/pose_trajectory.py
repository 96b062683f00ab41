"""Fit the poses of all frames of one trial, given the shape and the marker offsets of the subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.body.vposer import VPoser
from gait.errors import GaitError
from gait.fitting.frame_batches import FrameBatches
from gait.fitting.joint_parametrization import ConstrainedJoints, Pose
from gait.fitting.objective_terms import SoftPoseTarget
from gait.fitting.posture_and_vposer import vposer_pose_target
from gait.fitting.rigid_initialization import align_rigidly
from gait.fitting.solver.frame_data import ObservedMarkers, SolverOptions, SolverResult
from gait.fitting.solver.pose_solver import PoseSolver
from gait.fitting.trajectory_smoothing import interpolate_poses, smooth_trajectory

COARSE_SPACING_S = 0.08
"""Spacing of the frames that are solved first; the frames between them start from interpolated poses."""

COLD_START = SolverOptions(tolerance=3e-2)
WARM_START = SolverOptions(max_iterations=8, tolerance=1e-1, damping=1e-3, reuse_factors=True)
SMOOTHED_PASS = SolverOptions(max_iterations=4, damping=1e-3, reuse_factors=True)


def fit_pose_trajectory(
    solver: PoseSolver,
    observation: ObservedMarkers,
    rate_hz: float,
    vposer: VPoser | None,
    batches: FrameBatches,
) -> tuple[Pose, NDArray[np.bool_]]:
    """Fit the poses of all frames in three passes.

    The first pass solves a coarse grid of frames from a rigid alignment, the second one all frames from interpolated
    poses, and the third one all frames again with the smoothed trajectory as soft target. A learned pose prior is a
    further soft target from the second pass on.

    Returns:
        The poses, and whether the markers of each frame determine a rigid alignment (T,).

    Raises:
        GaitError: no frame has four visible markers that are not on one line.
    """
    T = len(observation.markers)
    subject, prior, scales = solver.subject, solver.prior, solver.scales
    starts = batches.map(T, lambda rows: align_rigidly(subject, prior.mean, observation[rows]))
    start = Pose.concatenate([pose for pose, _, _ in starts])
    determined = torch.cat([each for _, _, each in starts]).cpu().numpy()
    alignable = np.flatnonzero(determined)
    if not len(alignable):
        raise GaitError("no frame has four visible markers that are not on one line; nothing to fit.")
    step = max(1, round(COARSE_SPACING_S * rate_hz))
    grid = alignable[
        np.unique(np.searchsorted(alignable, np.arange(0, alignable[-1] + step, step)).clip(max=len(alignable) - 1))
    ]
    rows = torch.as_tensor(grid, device=start.rotations.device)
    parts = _solve(solver, start[rows], observation[rows], (), COLD_START, batches)
    coarse = Pose.concatenate([part.pose for part in parts])
    pose = interpolate_poses(coarse, grid, T, subject.reduced_body.hinges)
    vposer_targets = () if vposer is None else (vposer_pose_target(vposer, pose, scales),)

    warm = _solve(solver, pose, observation, vposer_targets, replace(WARM_START, marker_curvature=True), batches)
    pose = Pose.concatenate([part.pose for part in warm])
    information = torch.cat(
        [
            marker_information(part.start_curvature, subject.reduced_body.hinges)
            for part in warm
            if part.start_curvature is not None
        ]
    )
    trajectory = smooth_trajectory(pose, information, rate_hz, scales)
    smoothed = _solve(solver, pose, observation, (trajectory, *vposer_targets), SMOOTHED_PASS, batches)
    return Pose.concatenate([part.pose for part in smoothed]), determined


def _solve(
    solver: PoseSolver,
    start: Pose,
    observation: ObservedMarkers,
    targets: Sequence[SoftPoseTarget],
    options: SolverOptions,
    batches: FrameBatches,
) -> list[SolverResult]:
    """Solve the poses of any number of frames, batch by batch."""

    def solve(rows: slice) -> SolverResult:
        batch_targets = [target[rows] for target in targets]
        return solver.solve(start[rows], observation[rows], batch_targets, options)

    return batches.map(start.num_frames, solve)


def marker_information(curvature: Tensor, hinges: ConstrainedJoints | None) -> Tensor:
    """Return the information that the markers of a frame give about each joint (1/rad²) and the translation (1/m²).

    It is the smallest curvature over all directions, so that a joint whose rotation about one axis moves no marker has
    no information.

    ``curvature`` (T, J + 1, 3, 3) is that of the marker terms for each joint, and last for the translation; the result
    is (T, J + 1).
    """
    if hinges is not None:  # parameters that a hinge joint does not have must not count as undetermined
        J = curvature.shape[1] - 1
        diagonal = curvature.diagonal(dim1=-2, dim2=-1)
        unused = torch.zeros(J + 1, 3, dtype=torch.bool, device=curvature.device)
        unused[:J, 2], unused[:J, 1] = hinges.hinged, hinges.hinged & ~hinges.double
        largest = diagonal.amax(dim=-1, keepdim=True)
        curvature = curvature + torch.diag_embed(torch.where(unused, largest, torch.zeros_like(diagonal)))
    return smallest_eigenvalue(curvature).clamp_min(0)


def smallest_eigenvalue(matrices: Tensor) -> Tensor:
    """Return the smallest eigenvalue of symmetric matrices (…, 3, 3) in closed form (Smith 1961, Comm. ACM 4:168)."""
    mean = matrices.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    eye = torch.eye(3, dtype=matrices.dtype, device=matrices.device)
    deviator = matrices - mean[..., None, None] * eye
    spread = ((deviator * deviator).sum((-2, -1)) / 6).sqrt()
    half_det = 0.5 * torch.det(deviator / spread.clamp_min(1e-30)[..., None, None])
    angle = torch.arccos(half_det.clamp(-1, 1)) / 3
    return mean + 2 * spread * torch.cos(angle + 2 * np.pi / 3)
