"""The poses of many frames of one subject: by the compiled solver where it can (``native``), by torch elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from gait.fitting.joint_parametrization import Pose
from gait.fitting.marker_kinematics import SubjectModel
from gait.fitting.objective_terms import JointPrior, SoftPoseTarget
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.batched_normal_equations import BatchedNormalEquations
from gait.fitting.solver.frame_data import USUAL_OPTIONS, ObservedMarkers, SolverOptions, SolverResult
from gait.fitting.solver.levenberg_marquardt import solve_poses
from gait.fitting.solver.native import native_solver

SolverKind = Literal["native", "torch"]


class PoseSolver:
    """The objective of one subject, and its minimization in any frames."""

    def __init__(self, subject: SubjectModel, prior: JointPrior, scales: ResidualScales) -> None:
        self.subject, self.prior, self.scales = subject, prior, scales
        self._native = native_solver(subject, prior, scales)

    @property
    def kind(self) -> SolverKind:
        """The implementation that solves."""
        return "torch" if self._native is None else "native"

    @cached_property
    def _equations(self) -> BatchedNormalEquations:
        return BatchedNormalEquations(self.subject, self.prior, self.scales)

    @cached_property
    def _exact_equations(self) -> BatchedNormalEquations:
        return BatchedNormalEquations(self.subject, self.prior, self.scales, torch.float64)

    def solve(
        self,
        start: Pose,
        observation: ObservedMarkers,
        targets: Sequence[SoftPoseTarget] = (),
        options: SolverOptions = USUAL_OPTIONS,
    ) -> SolverResult:
        """Minimize the objective of every frame, in single precision."""
        if self._native is not None:
            return self._native.solve(start, observation, targets, options)
        return solve_poses(self._equations, start, observation, targets, options)

    def markers_and_joints(self, pose: Pose) -> tuple[Tensor, Tensor]:
        """Return the virtual markers (T, M, 3) and the joints (T, J, 3) at given poses, metres, in double precision."""
        return (self._native or self._exact_equations).markers_and_joints(pose)
