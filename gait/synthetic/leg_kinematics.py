"""Hip, knee, ankle and foot of one side as a chain, forwards and backwards, in closed form.

Everything is in the left leg's sense, x to the outside; a right leg is mirrored before and after. Rotations turn a
T-posed body that faces +z with y up: about +x the shank bends back and the toes go down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from gait.body.skeleton import Joint

Vector = NDArray[np.float64]

SIDES = ("left", "right")
OUTWARDS = {"left": np.array([1.0, 1.0, 1.0]), "right": np.array([-1.0, 1.0, 1.0])}
"""Signs (3,) by side that turn x to the outside, and back."""

LEAST_KNEE_FLEXION_RAD = float(np.radians(2.0))
"""A leg that is asked to reach further stays bent that much."""

_SOFT_M = 0.0015


def about_x(radians: ArrayLike) -> Vector:
    """Rotation matrices (..., 3, 3)."""
    return _about(radians, 0)


def about_y(radians: ArrayLike) -> Vector:
    """Rotation matrices (..., 3, 3)."""
    return _about(radians, 1)


def about_z(radians: ArrayLike) -> Vector:
    """Rotation matrices (..., 3, 3)."""
    return _about(radians, 2)


def _about(radians: ArrayLike, axis: int) -> Vector:
    angle = np.asarray(radians, dtype=np.float64)
    c, s = np.cos(angle), np.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((*angle.shape, 3, 3))
    matrix[..., axis, axis] = 1
    matrix[..., i, i] = matrix[..., j, j] = c
    matrix[..., i, j], matrix[..., j, i] = -s, s
    return matrix


def turned(rotation: Vector, vector: Vector) -> Vector:
    """Rotations (..., 3, 3) times vectors (..., 3)."""
    return (rotation @ vector[..., None])[..., 0]


def axis_angle(rotation: Vector) -> Vector:
    """Axis-angle vectors (..., 3) of rotations (..., 3, 3)."""
    return Rotation.from_matrix(rotation.reshape(-1, 3, 3)).as_rotvec().reshape(*rotation.shape[:-2], 3)


@dataclass(frozen=True, eq=False)
class LegBones:
    """Rest vectors of one leg, metres, x to the outside."""

    hip: Vector  # (3,) from the root joint to the hip
    thigh: Vector  # (3,) hip to knee
    shank: Vector  # (3,) knee to ankle

    @property
    def straight_knee_rad(self) -> float:
        """Rotation of the knee joint at which hip, knee and ankle are stretched most; the rest pose is 0."""
        return self._reach()[2]

    @property
    def rest_hip_flexion_rad(self) -> float:
        """How far the line from hip to ankle leans forwards at rest."""
        line = self.thigh + self.shank
        return float(np.arctan2(line[2], -line[1]))

    @property
    def rest_hip_adduction_rad(self) -> float:
        """How far the line from hip to ankle leans inwards at rest."""
        line = self.thigh + self.shank
        return float(np.arctan2(-line[0], -line[1]))

    def _reach(self) -> tuple[float, float, float]:
        """(u, m, p): thigh · shank turned by k is u + m·cos(k − p)."""
        a, b = self.thigh, self.shank
        along, across = a[1] * b[1] + a[2] * b[2], a[2] * b[1] - a[1] * b[2]
        return float(a[0] * b[0]), float(np.hypot(along, across)), float(np.arctan2(across, along))

    def reach_m(self, flexion_rad: ArrayLike) -> Vector:
        """Distance from hip to ankle at knee flexions (...), 0 being stretched."""
        u, m, _ = self._reach()
        squares = self.thigh @ self.thigh + self.shank @ self.shank
        return np.sqrt(squares + 2 * (u + m * np.cos(np.asarray(flexion_rad))))

    def flexion_rad(self, reach_m: Vector) -> Vector:
        """Knee flexion (...) that brings the ankle that far from the hip; at least ``LEAST_KNEE_FLEXION_RAD``.

        Near its full reach the leg gives way softly: it falls short by at most 1 mm of what it could reach.
        """
        u, m, _ = self._reach()
        squares = self.thigh @ self.thigh + self.shank @ self.shank
        furthest = self.reach_m(LEAST_KNEE_FLEXION_RAD)
        reach = furthest - _SOFT_M * np.logaddexp(0.0, (furthest - reach_m) / _SOFT_M)
        cosine = ((reach**2 - squares) / 2 - u) / m
        return np.arccos(np.clip(cosine, -1, np.cos(LEAST_KNEE_FLEXION_RAD)))

    def hip_rotation(self, flexion_rad: Vector, adduction_rad: Vector, internal_rad: Vector) -> Vector:
        """R_pelvis_thigh (..., 3, 3) of anatomical angles (...), 0 being a leg straight below the hip."""
        return (
            about_x(-(flexion_rad - self.rest_hip_flexion_rad))
            @ about_z(-(adduction_rad - self.rest_hip_adduction_rad))
            @ about_y(-internal_rad)
        )

    def ankle_from_hip(self, R_thigh: Vector, flexion_rad: Vector) -> Vector:
        """Ankle seen from the hip (..., 3), in the frame R_thigh maps to."""
        R_knee = about_x(flexion_rad + self.straight_knee_rad)
        return turned(R_thigh, self.thigh + turned(R_knee, self.shank))

    def reaching(self, target_m: Vector, R_thigh_start: Vector) -> tuple[Vector, Vector]:
        """Thigh (..., 3, 3) and knee flexion (...) that put the ankle at ``target_m`` (..., 3) from the hip.

        The thigh is turned from ``R_thigh_start`` by the smallest rotation that will do, so that the knee keeps
        pointing where it did.
        """
        flexion = self.flexion_rad(np.linalg.norm(target_m, axis=-1))
        start = self.ankle_from_hip(R_thigh_start, flexion)
        return smallest_rotation(start, target_m) @ R_thigh_start, flexion


def smallest_rotation(a: Vector, b: Vector) -> Vector:
    """Rotations (..., 3, 3) that turn the directions a (..., 3) into b the short way; not for opposite ones."""
    a = a / np.linalg.norm(a, axis=-1, keepdims=True)
    b = b / np.linalg.norm(b, axis=-1, keepdims=True)
    v = np.cross(a, b)
    cosine = (a * b).sum(axis=-1)[..., None, None]
    K = np.zeros((*v.shape[:-1], 3, 3))
    K[..., 0, 1], K[..., 0, 2], K[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    K -= np.swapaxes(K, -1, -2)
    return np.eye(3) + K + K @ K / (1 + cosine)


def leg_bones(rest_joints_m: Vector, side: str) -> LegBones:
    """The bones of one side, "left" or "right", of a body's joints (J, 3) at rest."""
    root, hip, knee, ankle = (
        rest_joints_m[Joint[name]] * OUTWARDS[side]
        for name in ("PELVIS", *(f"{side.upper()}_{part}" for part in ("HIP", "KNEE", "ANKLE")))
    )
    return LegBones(hip - root, knee - hip, ankle - knee)


MIRROR = np.diag([-1.0, 1.0, 1.0])


def mirrored(rotation: Vector) -> Vector:
    """Rotations (..., 3, 3) as seen in a mirror across x."""
    return MIRROR @ rotation @ MIRROR
