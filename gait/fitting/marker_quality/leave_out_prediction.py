"""Where a fitted body says that a marker would be, had nobody seen it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.body.body import Body
from gait.body.constraints_file import AngleBounds
from gait.body.marker_layout import MarkerLayout
from gait.body.pose_prior import PosePrior
from gait.fitting.joint_parametrization import Pose
from gait.fitting.marker_kinematics import SubjectModel, marker_motion
from gait.fitting.objective_terms import JointPrior, joint_prior
from gait.fitting.reduced_body import ReducedBody, marker_skin
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.batched_normal_equations import BatchedNormalEquations
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.solver.levenberg_marquardt import SolverOptions, solve_poses
from gait.fitting.subject_fit import TrialFit

AT_A_TIME = 512
"""Frames that are posed at a time."""
FEWEST_HOLDERS = 2
"""With fewer markers near it, where one would be is a guess."""


@dataclass(frozen=True)
class Expected:
    """Where a body has its markers in N frames."""

    markers_m: NDArray[np.float64]  # (N, M, 3)
    axes: NDArray[np.float64]  # (N, M, 3, 3) world rotation of the joint that carries each most

    @staticmethod
    def joined(parts: Sequence[Expected]) -> Expected:
        """Of frames one after another."""
        return Expected(np.concatenate([p.markers_m for p in parts]), np.concatenate([p.axes for p in parts]))

    def off(self, observed_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, M, 3) observed − expected in the carrying joint's axes, metres."""
        return np.einsum("nmji,nmj->nmi", self.axes, observed_m - self.markers_m)

    def moved(self, off_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, M, 3) the places of markers that are off by ``off_m`` (M, 3) in the carrying joint's axes."""
        return self.markers_m + np.einsum("nmij,mj->nmi", self.axes, off_m)


@dataclass(frozen=True)
class FittedBody:
    """A gait's body with its markers and poses, to be asked further."""

    gait: TrialFit
    wearer: SubjectModel
    pose: Pose
    prior: JointPrior
    weights: ResidualScales

    @classmethod
    def of(
        cls,
        gait: TrialFit,
        body: Body,
        layout: MarkerLayout,
        weights: ResidualScales,
        prior: PosePrior,
        bounds: AngleBounds | None = None,
    ) -> FittedBody:
        """Of a fit whose markers are among the layout's."""
        skin = marker_skin(body, layout.select(gait.labels))
        like = skin.point

        def tensor(values: NDArray[np.floating]) -> Tensor:
            return torch.as_tensor(values, dtype=like.dtype, device=like.device)

        angles = None
        if skin.hinges is not None:
            numbers = tensor(gait.poses)[:, skin.hinges.number]
            has = torch.stack([skin.hinges.hinged, skin.hinges.double], dim=-1)
            angles = torch.where(has, numbers, torch.zeros_like(numbers))
        pose = Pose(tensor(gait.rotations), tensor(gait.translation_m), angles)
        joints = joint_prior(prior, weights, bounds=bounds, body=body, hinges=skin.hinges)
        return cls(gait, SubjectModel(skin, tensor(gait.betas), tensor(gait.offset_m)), pose, joints, weights)

    @property
    def skin(self) -> ReducedBody:
        """Of the gait's markers."""
        return self.wearer.skin

    def without(
        self,
        observed_m: NDArray[np.float64],
        seen: NDArray[np.bool_],
        frames: NDArray[np.int64],
    ) -> Expected:
        """Where markers are expected when the body follows only some of them.

        Args:
            observed_m: (T, M, 3) markers in the gait's order, anything where missing.
            seen: (T, M) those that the body is to follow.
            frames: (N,) to pose anew, from where they are.
        """
        if len(frames) > AT_A_TIME:  # memory does not grow with the recording
            cuts = np.array_split(frames, -(-len(frames) // AT_A_TIME))
            parts = [self.without(observed_m, seen, some) for some in cuts]
            return Expected.joined(parts)
        like = self.skin.point
        rows = torch.as_tensor(frames, device=like.device)
        follow = torch.as_tensor(seen[frames], device=like.device)
        markers = torch.as_tensor(np.nan_to_num(observed_m[frames]), dtype=like.dtype, device=like.device)
        markers = torch.where(follow[..., None], markers, torch.zeros_like(markers))
        with torch.inference_mode():
            equations = BatchedNormalEquations(self.wearer, self.prior, self.weights)
            followed = ObservedMarkers(markers, follow)
            solved = solve_poses(equations, self.pose[rows], followed, effort=SolverOptions(most_iterations=10))
            motion = marker_motion(self.wearer, solved.pose)
            return Expected(motion.markers.cpu().numpy(), motion.world[:, self.carriers].cpu().numpy())

    def is_held(self, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(N, M) whether a marker's place is told by others: two of ``seen`` (N, M) or more on its bone or the next."""
        carriers = self.carriers.cpu().numpy()
        parent = np.array(self.skin.parents)[carriers]
        same = carriers[:, None] == carriers
        next_to = (parent[:, None] == carriers) | (carriers[:, None] == parent)
        holders = (same | next_to) & ~np.eye(len(carriers), dtype=bool)
        return np.asarray(seen.astype(int) @ holders.T >= FEWEST_HOLDERS)

    @property
    def carriers(self) -> Tensor:
        """(M,) the joint that carries each marker most."""
        skin = self.skin
        return skin.carriers.gather(1, skin.carrier_weight.argmax(dim=1, keepdim=True))[:, 0]
