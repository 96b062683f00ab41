"""The body of a trial in single frames, coloured by attribution, for figures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence
from gait.explaining.attribution import TrialAttribution
from gait.explaining.vertex_attribution import influence_for, observed_weight, skinning_weights, to_vertices
from gait.kinematics.gait_events import progression_directions
from gait.viewing.body_row import ColouredBody
from gait.viewing.mesh_cache import MeshBuilder


class TrialBody:
    """The body of a trial, which can be coloured."""

    def __init__(self, sequence: PoseSequence, body: Body) -> None:
        """Prepare the body of a pose sequence.

        Raises:
            GaitError: the poses belong to another body model.
        """
        self._sequence = sequence
        self._meshes = MeshBuilder(body, sequence)
        self._body = body
        self._skinning = skinning_weights(body)
        self._ahead = progression_directions(sequence.joints_m, sequence.rate_hz)

    @property
    def faces(self) -> NDArray[np.int32]:
        """Triangles (F, 3) of every frame."""
        return self._meshes.faces

    def plain(self, frame: int) -> ColouredBody:
        """Return the body in a frame of the poses, in the colour of skin."""
        vertices_m = self._meshes.build(frame, frame + 1)[0].vertices_m
        return ColouredBody(vertices_m, np.full(len(vertices_m), np.nan, dtype=np.float32), self._ahead[frame])

    def coloured(self, frame: int, attribution: TrialAttribution, factor: float = 1.0) -> ColouredBody:
        """Return the body in a frame of the attribution, with its values times ``factor``."""
        own = min(round(frame / attribution.rate_hz * self._sequence.rate_hz), self._sequence.num_frames - 1)
        status = attribution.joint_status
        weights = influence_for(attribution, self._body, self._sequence.betas)
        return ColouredBody(
            self._meshes.build(own, own + 1)[0].vertices_m,
            to_vertices(attribution.values[frame] * factor, weights),
            self._ahead[own],
            None if status is None else observed_weight(status[frame], self._skinning),
        )
