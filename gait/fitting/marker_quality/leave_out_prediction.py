"""Predict the positions of markers from the other markers of a fitted body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.fitting.joint_parametrization import Pose
from gait.fitting.marker_kinematics import SubjectModel, compute_marker_kinematics
from gait.fitting.objective_terms import JointPrior, build_joint_prior
from gait.fitting.reduced_body import ReducedBody, reduce_body
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.batched_normal_equations import BatchedNormalEquations
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.solver.levenberg_marquardt import SolverOptions, solve_poses
from gait.fitting.subject_fit import FitOptions, TrialFit

MAX_BATCH_FRAMES = 512
"""Maximum number of frames per solver call."""
MIN_NEARBY_MARKERS = 2
"""A marker with fewer visible markers on its main joint or the adjacent ones cannot be predicted."""


@dataclass(frozen=True)
class PredictedMarkers:
    """Predicted positions of all markers in N frames."""

    markers_m: NDArray[np.float64]  # (N, M, 3)
    axes: NDArray[np.float64]  # (N, M, 3, 3) world rotation of the main joint of each marker

    def deviation(self, observed_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return observed − predicted positions in the axes of the main joints (N, M, 3), metres."""
        return np.einsum("nmji,nmj->nmi", self.axes, observed_m - self.markers_m)

    def displaced(self, offset_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the positions (N, M, 3) after adding an offset (M, 3) in the axes of the main joints, metres."""
        return self.markers_m + np.einsum("nmij,mj->nmi", self.axes, offset_m)


@dataclass(frozen=True)
class FittedBody:
    """The fit of one trial, from which markers can be predicted."""

    trial: TrialFit
    subject: SubjectModel
    pose: Pose
    prior: JointPrior
    scales: ResidualScales

    @classmethod
    def from_fit(cls, trial: TrialFit, options: FitOptions) -> FittedBody:
        """Build it from the fit of a trial."""
        reduced_body = reduce_body(trial.body, trial.layout)
        like = reduced_body.marker_template

        def tensor(values: NDArray[np.floating]) -> Tensor:
            return torch.as_tensor(values, dtype=like.dtype, device=like.device)

        prior = build_joint_prior(
            options.prior, options.scales, bounds=options.bounds, body=trial.body, hinges=reduced_body.hinges
        )
        subject = SubjectModel(reduced_body, tensor(trial.betas), tensor(trial.offset_m))
        return cls(trial, subject, trial.pose(reduced_body), prior, options.scales)

    @property
    def reduced_body(self) -> ReducedBody:
        """The body model at the markers of the trial."""
        return self.subject.reduced_body

    def predict(
        self, observed_m: NDArray[np.float64], used: NDArray[np.bool_], frames: NDArray[np.int64]
    ) -> PredictedMarkers:
        """Predict all markers in the given frames (N,) from a fit to the samples ``used`` (T, M).

        ``observed_m`` (T, M, 3) is in the order of the trial. The solver starts from the fitted poses.
        """
        if len(frames) > MAX_BATCH_FRAMES:  # bounds the memory
            batches = np.array_split(frames, -(-len(frames) // MAX_BATCH_FRAMES))
            parts = [self.predict(observed_m, used, batch) for batch in batches]
            return PredictedMarkers(
                np.concatenate([part.markers_m for part in parts]), np.concatenate([part.axes for part in parts])
            )
        like = self.reduced_body.marker_template
        rows = torch.as_tensor(frames, device=like.device)
        mask = torch.as_tensor(used[frames], device=like.device)
        markers = torch.as_tensor(np.nan_to_num(observed_m[frames]), dtype=like.dtype, device=like.device)
        markers = torch.where(mask[..., None], markers, torch.zeros_like(markers))
        with torch.inference_mode():
            equations = BatchedNormalEquations(self.subject, self.prior, self.scales)
            observation = ObservedMarkers(markers, mask)
            solved = solve_poses(equations, self.pose[rows], observation, options=SolverOptions(max_iterations=10))
            kinematics = compute_marker_kinematics(self.subject, solved.pose)
            return PredictedMarkers(
                kinematics.markers.cpu().numpy(), kinematics.world[:, self.main_joint].cpu().numpy()
            )

    def is_predictable(self, visible: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return whether enough visible markers are on the joint of each marker or on an adjacent one (N, M)."""
        joints = self.main_joint.cpu().numpy()
        parent = np.array(self.reduced_body.parents)[joints]
        same = joints[:, None] == joints
        adjacent = (parent[:, None] == joints) | (joints[:, None] == parent)
        neighbours = (same | adjacent) & ~np.eye(len(joints), dtype=bool)
        return np.asarray(visible.astype(int) @ neighbours.T >= MIN_NEARBY_MARKERS)

    @property
    def main_joint(self) -> Tensor:
        """The joint with the largest skinning weight at each marker (M,)."""
        reduced_body = self.reduced_body
        return reduced_body.skin_joints.gather(1, reduced_body.skin_joint_weights.argmax(dim=1, keepdim=True))[:, 0]
