"""Solve frames whose own markers do not determine the body together with the frames around them.

Subjects walk in and out of the volume that the cameras see, and markers flicker. Solved alone, a frame with few markers
takes the nearest pose that explains them, which may be far from the true one. Here the poses of all frames of such a
run, and of some well-seen frames beside it, are the parameters of one problem: the objective of each frame, and the
second differences of each joint's rotation and of the translation (Whittaker 1923, as in ``trajectory_smoothing``). So
every marker that appears for a moment holds the frames around it, and the run continues the motion beside it. At the
ends of a trial, the run is held from one side only.

The curvature is a block matrix with five diagonals (Gauss–Newton), which is solved as a banded matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_solve_banded, cholesky_banded
from scipy.linalg.lapack import dtbtrs
from torch import Tensor

from gait.arrays import Vector, true_runs
from gait.body.rotations import matrix_to_axis_angle
from gait.fitting.joint_parametrization import Pose, apply_step
from gait.fitting.joint_uncertainty import confidence_radius
from gait.fitting.marker_kinematics import SubjectModel, joint_pose_jacobian, orientation_jacobian
from gait.fitting.objective_terms import JointPrior
from gait.fitting.reference_normal_equations import NormalEquations, normal_equations
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.trajectory_smoothing import smoothing_stiffness
from gait.fitting.valid_frames import LOST_TRACK_M, baseline_sigma, lost_joints

CONTEXT_FRAMES = 8
"""Well-seen frames on each side of a run that hold it."""
PRIOR_CORRELATION_S = 0.2
"""The pose prior counts once in this time, since the rotations of neighbouring frames are similar, so that the prior of
each is no evidence of its own. About the posture of the trial, which is the mean of the prior, joints of ten walks are
correlated over 0.17 s (until 1/e, median)."""
HELD_PRIOR_CORRELATION_S, MAX_HELD_S = 1.0, 0.5
"""The same in runs up to this long that well-seen frames hold from both sides: the prior would flatten their motion."""
NUM_SAMPLES = 64
"""Random errors from which the uncertainty of a joint is estimated, to 9 %."""
RELATIVE_RIDGE = 1e-9
"""Added to the curvature of all parameters, relative to the largest: some parameters of hinge joints have no effect."""
MAX_RUN_FRAMES = 400
"""A longer run is solved in pieces of this length, each with the end of the piece before."""
_BEND = (1.0, -2.0, 1.0)
"""Coefficients of a second difference."""
MAX_ITERATIONS = 12
TOLERANCE = 1e-3
"""The iterations end when a step lowers the objective by a smaller fraction."""


def find_weak_frames(sigma_single_frame_m: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return the frames (T,) that lose a joint which other frames determine, from the uncertainty (T, J) in metres."""
    baseline = baseline_sigma(sigma_single_frame_m)
    return np.asarray(lost_joints(sigma_single_frame_m, baseline)[:, baseline < LOST_TRACK_M].any(axis=1))


def solve_weak_frames(
    subject: SubjectModel,
    pose: Pose,
    weak: NDArray[np.bool_],
    observation: ObservedMarkers,
    prior: JointPrior,
    scales: ResidualScales,
    rate_hz: float,
) -> tuple[Pose, NDArray[np.float64], NDArray[np.float64]]:
    """Solve the ``weak`` frames (T,) of a trial together with the frames beside them.

    Returns the poses of all frames; for each joint in the weak ones (T, J) the radius in metres that contains its error
    with the probability ``joint_uncertainty.COVERAGE``; and the standard deviations (T, 3·J) in radians of the errors
    of their orientations, in the joints' own axes. Both are given shape and marker offsets; NaN in the other frames.
    """
    correlation_s = np.full(len(weak), PRIOR_CORRELATION_S)
    for run in true_runs(weak):
        if run.start > 0 and run.stop < len(weak) and run.stop - run.start <= MAX_HELD_S * rate_hz:
            correlation_s[run] = HELD_PRIOR_CORRELATION_S
    frames_worth = torch.as_tensor(np.maximum(1.0, correlation_s * rate_hz)).to(prior.precision)[:, None, None]
    radius = np.full((pose.num_frames, pose.rotations.shape[1]), np.nan)
    turned = np.full((pose.num_frames, 3 * pose.rotations.shape[1]), np.nan)
    for run in _pieces(weak):
        solved, radius_m, turned_rad = _solve_run(
            subject,
            pose[run],
            observation[run],
            replace(prior, precision=prior.precision / frames_worth[run]),
            scales,
            smoothing_stiffness(rate_hz),
        )
        rows = np.flatnonzero(weak[run])
        pose = pose.with_frames(
            torch.as_tensor(run.start + rows).to(pose.translation.device), solved[torch.as_tensor(rows)]
        )
        radius[run.start + rows], turned[run.start + rows] = radius_m[rows], turned_rad[rows]
    return pose, radius, turned


def _pieces(weak: NDArray[np.bool_]) -> Iterator[slice]:
    """Yield runs of weak frames with the context on both sides; runs whose contexts meet are one."""
    near = np.convolve(weak, np.ones(2 * CONTEXT_FRAMES + 1))[CONTEXT_FRAMES : CONTEXT_FRAMES + len(weak)] > 0
    for run in true_runs(near):
        for start in range(run.start, run.stop, MAX_RUN_FRAMES):
            yield slice(max(start - CONTEXT_FRAMES, run.start), min(start + MAX_RUN_FRAMES, run.stop))


def _solve_run(
    subject: SubjectModel,
    pose: Pose,
    observation: ObservedMarkers,
    prior: JointPrior,
    scales: ResidualScales,
    stiffness: float,
) -> tuple[Pose, NDArray[np.float64], NDArray[np.float64]]:
    """Minimize the objective of N frames and their second differences; return poses, joint radii and deviations."""
    hinges = subject.reduced_body.hinges
    J = pose.rotations.shape[1]
    # a quaternion changes by half of the rotation
    weight = np.r_[np.full(3 * J, 0.25 * stiffness / scales.smooth_rad**2), np.full(3, stiffness / scales.smooth_m**2)]

    def linearize(pose: Pose) -> tuple[NormalEquations, Vector, float]:
        equations = normal_equations(subject, pose, observation, prior, scales)
        bend = _second_differences(pose).flatten(1).cpu().numpy()  # (N − 2, D)
        return equations, bend, float(equations.cost.sum()) + 0.5 * float((weight * bend**2).sum())

    equations, bend, cost = linearize(pose)
    damping = 1e-3
    for _ in range(MAX_ITERATIONS):
        step = torch.as_tensor(_Bands(equations, bend, weight, damping).step()).to(pose.translation)
        candidate = apply_step(pose, equations.kinematics.parent_world, step, hinges)
        new_equations, new_bend, new_cost = linearize(candidate)
        if new_cost >= cost:
            damping *= 10
            continue
        gain = (cost - new_cost) / cost
        pose, equations, bend, cost, damping = candidate, new_equations, new_bend, new_cost, max(damping / 10, 1e-6)
        if gain < TOLERANCE:
            break
    errors = torch.as_tensor(_Bands(equations, bend, weight, 0.0).sample_errors(NUM_SAMPLES)).to(pose.translation)
    moved = (joint_pose_jacobian(subject, equations.kinematics) @ errors).unflatten(1, (J, 3))  # (N, J, 3, samples)
    turned = orientation_jacobian(subject, equations.kinematics) @ errors  # (N, 3·J, samples)
    radius, deviation = confidence_radius(moved @ moved.mT / NUM_SAMPLES), turned.square().mean(dim=-1).sqrt()
    return pose, radius.cpu().numpy(), deviation.cpu().numpy()


def _second_differences(pose: Pose) -> Tensor:
    """Return those of joint rotations (radians, axes of the parent) and last the translation (N − 2, J + 1, 3)."""
    R = pose.rotations
    rotation = matrix_to_axis_angle(R[:-2] @ R[1:-1].mT) + matrix_to_axis_angle(R[2:] @ R[1:-1].mT)
    x = pose.translation
    return torch.cat([rotation, (x[:-2] - 2 * x[1:-1] + x[2:])[:, None]], dim=1)


class _Bands:
    """Normal equations of N frames whose second differences are penalized, as a banded matrix."""

    def __init__(self, equations: NormalEquations, bend: Vector, weight: Vector, damping: float):
        N, D = equations.gradient.shape
        parent_world, axes = equations.kinematics.parent_world, equations.kinematics.parameter_axes
        # A step rotates a joint by ``turn`` · step in the axes of its parent; last the translation.
        turn = parent_world.mT if axes is None else parent_world.mT @ axes
        turns = np.concatenate([turn.cpu().numpy(), np.broadcast_to(np.eye(3), (N, 1, 3, 3))], axis=1)
        force = (weight * bend).reshape(N - 2, -1, 3, 1)
        curvature = equations.curvature.cpu().numpy().copy()
        gradient = equations.gradient.cpu().numpy().copy()
        bands = np.zeros((3 * D, N, D))  # lower form of ``solveh_banded``; column D·frame + parameter
        for row in range(3):
            at = slice(row, N - 2 + row)
            gradient[at] += _BEND[row] * (turns[at].swapaxes(2, 3) @ force).reshape(N - 2, D)
            for column in range(row + 1):
                product = turns[at].swapaxes(2, 3) @ (weight.reshape(-1, 3, 1) * turns[column : N - 2 + column])
                for a, b in np.ndindex(3, 3):  # entry (3·joint + a, 3·joint + b) of the block between the two frames
                    values = _BEND[row] * _BEND[column] * product[:, :, a, b]
                    if row == column:
                        np.einsum("njj->nj", curvature[at, a::3, b::3])[...] += values
                    else:
                        bands[(row - column) * D + a - b, column : N - 2 + column, b::3] += values
        diagonal = np.einsum("nii->ni", curvature)
        diagonal += damping * diagonal + RELATIVE_RIDGE * diagonal.max()
        for offset in range(D):
            bands[offset, :, : D - offset] += np.einsum("nii->ni", curvature[:, offset:, : D - offset])
        self._shape = (N, D)
        self._gradient = gradient.reshape(-1)
        self._factor = cholesky_banded(bands.reshape(3 * D, N * D), lower=True, overwrite_ab=True, check_finite=False)

    def step(self) -> Vector:
        """Return the step (N, D) to the minimum of the quadratic model."""
        return -cho_solve_banded((self._factor, True), self._gradient, check_finite=False).reshape(self._shape)

    def sample_errors(self, count: int) -> Vector:
        """Return random errors of the poses (N, D, count) that have the inverse of the matrix as covariance."""
        normal = np.random.default_rng(0).standard_normal((self._gradient.size, count))
        errors, _ = dtbtrs(self._factor, normal, uplo="L", trans="T")
        return errors.reshape(*self._shape, count)
