"""A trial as it is drawn: its body in every frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gait.body.joint_status import JointStatus
from gait.explaining.attribution import TrialAttribution
from gait.explaining.vertex_attribution import joint_influence, observed_weight, segment_influence, skinning_weights
from gait.motion.inputs import INPUTS
from gait.viewing.build_scene import BodyFrame
from gait.viewing.loaded_trial import LoadedTrial

if TYPE_CHECKING:  # it imports torch
    from gait.viewing.mesh_cache import MeshCache


@dataclass(frozen=True, eq=False)
class Actor:
    """A trial with its body meshes. Close it to stop the thread that computes them."""

    trial: LoadedTrial
    mesh_cache: MeshCache | None  # None: there is no body model
    joint_influences: NDArray[np.float64] | None  # (V, 22) weights that spread joint attribution over the vertices
    skinning: NDArray[np.float64] | None = None  # (V, 22) weights of the parts of the body; None if all is observed
    segment_influences: NDArray[np.float64] | None = None  # (V, 22) the same for segments that end at a joint

    @classmethod
    def of(cls, trial: LoadedTrial, memory_bytes: int | None = None) -> Actor:
        """Prepare a trial; its meshes may take so much memory, by default ``MEMORY_BYTES``."""
        if trial.body is None:
            return cls(trial, None, None)
        from gait.viewing.mesh_cache import MEMORY_BYTES, MeshBuilder, MeshCache  # imports torch

        mesh_cache = MeshCache(MeshBuilder(trial.body, trial.sequence), memory_bytes or MEMORY_BYTES)
        status = trial.sequence.joint_status
        everything = status is None or (status > JointStatus.NOT_OBSERVED).all()
        influences = joint_influence(trial.body, trial.sequence.betas)
        segments = segment_influence(trial.body, trial.sequence.betas)
        return cls(trial, mesh_cache, influences, None if everything else skinning_weights(trial.body), segments)

    def influences_for(self, attribution: TrialAttribution) -> NDArray[np.float64] | None:
        """Return the weights (V, 22) by which an attribution colours the body; None without a body."""
        return self.segment_influences if INPUTS[attribution.input].of_segments else self.joint_influences

    def body_frame(self, frame: int) -> BodyFrame:
        """Return the body in one frame."""
        joints = self.trial.sequence.joints_m[frame]
        if self.mesh_cache is None:
            return BodyFrame(joints, None, None)
        status = self.trial.sequence.joint_status
        all_observed = self.skinning is None or status is None
        observed = None if all_observed else observed_weight(status[frame], self.skinning)  # type: ignore[arg-type, index]
        return BodyFrame(joints, self.mesh_cache.mesh_at(frame), self.mesh_cache.builder.faces, observed)

    def close(self) -> None:
        """Stop the thread and free the memory."""
        if self.mesh_cache is not None:
            self.mesh_cache.close()
