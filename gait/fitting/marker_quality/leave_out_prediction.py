"""Predict the positions of markers from the other markers of a fitted body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.fitting.joint_parametrization import Pose
from gait.fitting.joint_uncertainty import UNCONSTRAINED_M, interpolate_between_samples, sample_frames
from gait.fitting.marker_kinematics import SubjectModel, compute_marker_kinematics
from gait.fitting.objective_terms import JointPrior, build_joint_prior
from gait.fitting.reduced_body import ReducedBody, reduce_body
from gait.fitting.reference_normal_equations import normal_equations
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers, SolverOptions
from gait.fitting.solver.pose_solver import PoseSolver
from gait.fitting.subject_fit import FitOptions, TrialFit

MAX_BATCH_FRAMES = 512
"""Maximum number of frames per solver call."""
MAX_BATCH_SAMPLES = 64
"""Maximum number of frames whose covariances are computed at once."""


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
        observation, start = self._observation(observed_m, used, frames)
        with torch.inference_mode():
            solver = PoseSolver(self.subject, self.prior, self.scales)
            solved = solver.solve(start, observation, options=SolverOptions(max_iterations=10))
            kinematics = compute_marker_kinematics(self.subject, solved.pose)
            return PredictedMarkers(
                kinematics.markers.cpu().numpy(), kinematics.world[:, self.main_joint].cpu().numpy()
            )

    def mean_cost(self, observed_m: NDArray[np.float64], used: NDArray[np.bool_], frames: NDArray[np.int64]) -> float:
        """Return the mean objective, a negative log-likelihood, of the given frames fitted to the samples ``used``."""
        observation, start = self._observation(observed_m, used, frames)
        with torch.inference_mode():
            solver = PoseSolver(self.subject, self.prior, self.scales)
            return float(solver.solve(start, observation).cost.mean())

    def prediction_sigma(
        self, observed_m: NDArray[np.float64], used: NDArray[np.bool_], rate_hz: float
    ) -> NDArray[np.float64]:
        """Return the root mean square error (T, M), metres, that the samples ``used`` leave in each predicted marker.

        It is computed for some frames and interpolated as the uncertainty of joints is (``joint_uncertainty``): the
        covariance of a predicted marker is J·H⁻¹·Jᵀ, where H is the curvature of the frame's objective and J the
        derivative of the marker in the pose.
        """
        frames, parts = sample_frames(used, rate_hz), []
        for batch in np.array_split(frames, -(-len(frames) // MAX_BATCH_SAMPLES)):
            observation, pose = self._observation(observed_m, used, batch)
            with torch.inference_mode():
                equations = normal_equations(self.subject, pose, observation, self.prior, self.scales)
                curvature = equations.curvature
                curvature.diagonal(dim1=1, dim2=2).add_(1 / UNCONSTRAINED_M**2)
                root = torch.linalg.solve_triangular(
                    torch.linalg.cholesky(curvature), equations.jacobian.mT, upper=False
                )  # (N, D, 3·M)
                parts.append((root**2).sum(dim=1).unflatten(1, (-1, 3)).sum(dim=-1).sqrt().cpu().numpy())
        return interpolate_between_samples(np.concatenate(parts), frames, used)

    def _observation(
        self, observed_m: NDArray[np.float64], used: NDArray[np.bool_], frames: NDArray[np.int64]
    ) -> tuple[ObservedMarkers, Pose]:
        """Return the samples ``used`` of some frames (N,), and their fitted poses."""
        like = self.reduced_body.marker_template
        mask = torch.as_tensor(used[frames], device=like.device)
        markers = torch.as_tensor(np.nan_to_num(observed_m[frames]), dtype=like.dtype, device=like.device)
        markers = torch.where(mask[..., None], markers, torch.zeros_like(markers))
        return ObservedMarkers(markers, mask), self.pose[torch.as_tensor(frames, device=like.device)]

    @property
    def adjacent(self) -> NDArray[np.bool_]:
        """Whether the main joints of two markers are the same or adjacent ones (M, M)."""
        joints = self.main_joint.cpu().numpy()
        parent = np.array(self.reduced_body.parents)[joints]
        return np.asarray((joints[:, None] == joints) | (parent[:, None] == joints) | (joints[:, None] == parent))

    @property
    def main_joint(self) -> Tensor:
        """The joint with the largest skinning weight at each marker (M,)."""
        reduced_body = self.reduced_body
        return reduced_body.skin_joints.gather(1, reduced_body.skin_joint_weights.argmax(dim=1, keepdim=True))[:, 0]
