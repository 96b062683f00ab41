"""A second walker beside the first, in step with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import Joint
from gait.kinematics.gait_events import headings
from gait.viewing.build_scene import Figure, floor_height
from gait.viewing.loaded_trial import LoadedTrial
from gait.viewing.mesh_cache import MeshBuilder, MeshCache, Skin

_BESIDE_M = 0.95
"""To the right of the person."""
_MEMORY = 96 << 20


@dataclass(frozen=True, eq=False)
class ComparisonTrial:
    """Another gait, shown as a ghost."""

    gait: LoadedTrial
    course: MeshCache | None
    headings: NDArray[np.float64]  # (T, 3)

    @classmethod
    def of(cls, gait: LoadedTrial) -> ComparisonTrial:
        """Made ready to be drawn."""
        course = None
        if gait.body is not None:
            course = MeshCache(MeshBuilder(gait.body, gait.sequence), gait.frames, _MEMORY)
        return cls(gait, course, headings(gait.sequence.joints_m, gait.rate_hz))

    def beside(self, other: LoadedTrial, frame: int) -> Figure:
        """The companion's body while ``other`` is in ``frame``: in step, beside them, walking the same way."""
        own = same_phase(other, self.gait, frame)
        joints = self.gait.sequence.joints_m[own]
        ahead = headings(other.sequence.joints_m[max(frame - 60, 0) : frame + 60], other.rate_hz)[min(frame, 60)]
        R = _level_turn(self.headings[own], ahead)
        right = np.cross(ahead, [0.0, 1.0, 0.0])
        pelvis = other.sequence.joints_m[frame, Joint.PELVIS]
        moved = pelvis + _BESIDE_M * right
        moved[1] = joints[Joint.PELVIS, 1]
        moved[1] += floor_height(other.sequence.joints_m) - floor_height(self.gait.sequence.joints_m)
        shift = moved - R @ joints[Joint.PELVIS]

        def placed(points: NDArray[np.float32]) -> NDArray[np.float32]:
            return (points @ R.T + shift).astype(np.float32)

        if self.course is None:
            return Figure(placed(joints), None, None)
        skin = self.course.at(own)
        turned = Skin(placed(skin.vertices_m), (skin.normals @ R.T).astype(np.float32))
        return Figure(placed(joints), turned, self.course.maker.faces)

    def close(self) -> None:
        """Give the memory back."""
        if self.course is not None:
            self.course.close()


def same_phase(shown: LoadedTrial, other: LoadedTrial, frame: int) -> int:
    """The frame of ``other`` that is as far in its stride as ``frame`` is in that of ``shown``.

    Strides go from left heel strike to left heel strike. Where one shows no whole stride, equal times are taken;
    beyond the end of ``other`` it begins anew.
    """
    strikes, others = (gait.events.heel_strikes["left"] for gait in (shown, other))
    if len(strikes) < 2 or len(others) < 2:
        return round(frame / shown.rate_hz * other.rate_hz) % other.frames
    stride = int(np.clip(np.searchsorted(strikes, frame, side="right") - 1, 0, len(strikes) - 2))
    length = strikes[stride + 1] - strikes[stride]
    phase = stride + (frame - strikes[stride]) / length  # of strides since the first strike
    whole = int(np.floor(phase))
    own = whole % (len(others) - 1)
    place = others[own] + (phase - whole) * (others[own + 1] - others[own])
    return int(np.clip(round(place), 0, other.frames - 1))


def _level_turn(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation (3, 3) about the vertical that brings one level direction to another."""
    angle = np.arctan2(end[0], end[2]) - np.arctan2(start[0], start[2])
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
