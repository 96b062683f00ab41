"""A second trial, shown beside the first in the same phase of the gait cycle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import Joint
from gait.kinematics.gait_events import progression_directions
from gait.viewing.build_scene import BodyFrame, floor_height
from gait.viewing.loaded_trial import LoadedTrial
from gait.viewing.mesh_cache import MeshBuilder, MeshCache, PosedMesh

_OFFSET_M = 0.95
"""Distance of the second body to the right of the first."""
_MEMORY_BYTES = 96 << 20


@dataclass(frozen=True, eq=False)
class ComparisonTrial:
    """A second trial, ready to be drawn."""

    trial: LoadedTrial
    mesh_cache: MeshCache | None  # None: there is no body model
    directions: NDArray[np.float64]  # (T, 3) of progression

    @classmethod
    def of(cls, trial: LoadedTrial) -> ComparisonTrial:
        """Prepare a trial."""
        mesh_cache = None
        if trial.body is not None:
            mesh_cache = MeshCache(MeshBuilder(trial.body, trial.sequence), trial.num_frames, _MEMORY_BYTES)
        return cls(trial, mesh_cache, progression_directions(trial.sequence.joints_m, trial.rate_hz))

    def body_frame_at(self, other: LoadedTrial, frame: int) -> BodyFrame:
        """Return the body for a frame of ``other``: in the same phase, to its right, walking in the same direction."""
        own = matching_frame(other, self.trial, frame)
        joints = self.trial.sequence.joints_m[own]
        nearby = other.sequence.joints_m[max(frame - 60, 0) : frame + 60]
        ahead = progression_directions(nearby, other.rate_hz)[min(frame, 60)]
        R = _yaw_between(self.directions[own], ahead)
        right = np.cross(ahead, [0.0, 1.0, 0.0])
        pelvis = other.sequence.joints_m[frame, Joint.PELVIS]
        new_pelvis = pelvis + _OFFSET_M * right
        new_pelvis[1] = joints[Joint.PELVIS, 1]
        new_pelvis[1] += floor_height(other.sequence.joints_m) - floor_height(self.trial.sequence.joints_m)
        shift = new_pelvis - R @ joints[Joint.PELVIS]

        def transform(points: NDArray[np.float32]) -> NDArray[np.float32]:
            return (points @ R.T + shift).astype(np.float32)

        if self.mesh_cache is None:
            return BodyFrame(transform(joints), None, None)
        mesh = self.mesh_cache.mesh_at(own)
        transformed = PosedMesh(transform(mesh.vertices_m), (mesh.normals @ R.T).astype(np.float32))
        return BodyFrame(transform(joints), transformed, self.mesh_cache.builder.faces)

    def close(self) -> None:
        """Stop the thread of the mesh cache and free its memory."""
        if self.mesh_cache is not None:
            self.mesh_cache.close()


def matching_frame(shown: LoadedTrial, other: LoadedTrial, frame: int) -> int:
    """Return the frame of ``other`` in the same phase of the gait cycle as ``frame`` of ``shown``.

    A stride lasts from one left initial contact to the next. If one of the trials has no complete stride, the frame at
    the same time is returned. After its last stride, ``other`` continues with its first one.
    """
    contacts, others = (trial.events.initial_contacts["left"] for trial in (shown, other))
    if len(contacts) < 2 or len(others) < 2:
        return round(frame / shown.rate_hz * other.rate_hz) % other.num_frames
    stride = int(np.clip(np.searchsorted(contacts, frame, side="right") - 1, 0, len(contacts) - 2))
    length = contacts[stride + 1] - contacts[stride]
    phase = stride + (frame - contacts[stride]) / length  # in strides since the first initial contact
    whole = int(np.floor(phase))
    own = whole % (len(others) - 1)
    position = others[own] + (phase - whole) * (others[own + 1] - others[own])
    return int(np.clip(round(position), 0, other.num_frames - 1))


def _yaw_between(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation (3, 3) about the vertical from one horizontal direction to another."""
    angle = np.arctan2(end[0], end[2]) - np.arctan2(start[0], start[2])
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
