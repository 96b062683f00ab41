"""A second trial, shown beside the first in the same phase of the gait cycle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import Joint
from gait.viewing.actor import Actor
from gait.viewing.build_scene import BodyFrame
from gait.viewing.loaded_trial import LoadedTrial
from gait.viewing.scene import PosedMesh

_OFFSET_M = 0.95
"""Distance of the second body to the right of the first."""


def body_frame_beside(shown: LoadedTrial, frame: int, other: Actor) -> BodyFrame:
    """Return the body of ``other`` in the phase of a frame of ``shown``, to its right and in its walking direction."""
    own, yaw_rad, new_pelvis = placement_beside(shown, frame, other.trial)
    body_frame = other.body_frame(own)
    R = _yaw_matrix(yaw_rad)
    shift = new_pelvis - R @ body_frame.joints_m[Joint.PELVIS]

    def transform(points: NDArray[np.float32]) -> NDArray[np.float32]:
        return (points @ R.T + shift).astype(np.float32)

    mesh = body_frame.mesh
    if mesh is not None:
        mesh = PosedMesh(transform(mesh.vertices_m), (mesh.normals @ R.T).astype(np.float32))
    return replace(body_frame, joints_m=transform(body_frame.joints_m), mesh=mesh)


def placement_beside(shown: LoadedTrial, frame: int, other: LoadedTrial) -> tuple[int, float, NDArray[np.float64]]:
    """Return where ``other`` is beside a frame of ``shown``, in the same phase and walking in the same direction.

    Returns:
        The frame of ``other``, the rotation about the vertical that turns it there, radians, and the position (3,) of
        its pelvis afterwards, metres.
    """
    own = matching_frame(shown, other, frame)
    ahead, others = shown.directions[frame], other.directions[own]
    yaw_rad = float(np.arctan2(ahead[0], ahead[2]) - np.arctan2(others[0], others[2]))
    pelvis = shown.sequence.joints_m[frame, Joint.PELVIS] + _OFFSET_M * np.cross(ahead, [0.0, 1.0, 0.0])
    pelvis[1] = other.sequence.joints_m[own, Joint.PELVIS, 1] + shown.floor_m - other.floor_m
    return own, yaw_rad, pelvis


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


def _yaw_matrix(angle_rad: float) -> NDArray[np.float64]:
    """Return the rotation (3, 3) about the vertical."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
