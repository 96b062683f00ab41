"""Forward and inverse kinematics of one leg in closed form.

All functions use the left leg's orientation, x lateral; a right leg is mirrored before and after. The rest pose is a
T-pose that faces +z, y up; a positive rotation about +x flexes the knee and plantarflexes the foot.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from gait.arrays import Vector
from gait.body.skeleton import Joint

LATERAL_SIGNS = {"left": np.array([1.0, 1.0, 1.0]), "right": np.array([-1.0, 1.0, 1.0])}
"""Factors (3,) by side that make x lateral; applied twice they cancel."""

MIN_KNEE_FLEXION_RAD = float(np.radians(2.0))
"""Knee flexion of a leg whose target is out of reach."""

_SOFT_LIMIT_M = 0.0015
_MORE_EXTENSION_RAD = float(np.radians(2.0))
_STRAIGHT_RAD = (float(np.radians(2.0)), float(np.radians(10.0)))
"""Flexions from which on the knee begins to change the distance from hip to ankle, and from which on it sets it."""


def _rot(axis: int, radians: ArrayLike) -> Vector:
    """Return rotation matrices (..., 3, 3) about one axis.

    scipy's rotations pass through quaternions: they differ in the last bits, which would change all synthetic trials.
    """
    angle = np.asarray(radians, dtype=np.float64)
    c, s = np.cos(angle), np.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((*angle.shape, 3, 3))
    matrix[..., axis, axis] = 1
    matrix[..., i, i] = matrix[..., j, j] = c
    matrix[..., i, j], matrix[..., j, i] = -s, s
    return matrix


rot_x, rot_y, rot_z = (partial(_rot, axis) for axis in range(3))


def rotate(rotation: Vector, vector: Vector) -> Vector:
    """Multiply rotations (..., 3, 3) by vectors (..., 3)."""
    return (rotation @ vector[..., None])[..., 0]


def axis_angle(rotation: Vector) -> Vector:
    """Convert rotations (..., 3, 3) to axis-angle vectors (..., 3)."""
    return Rotation.from_matrix(rotation.reshape(-1, 3, 3)).as_rotvec().reshape(*rotation.shape[:-2], 3)


@dataclass(frozen=True, eq=False)
class LegBones:
    """Bone vectors of one leg in the rest pose, metres, x lateral."""

    hip: Vector  # (3,) root joint to hip
    thigh: Vector  # (3,) hip to knee
    shank: Vector  # (3,) knee to ankle

    @property
    def straight_knee_rad(self) -> float:
        """Rotation of the knee, relative to the rest pose, at which the ankle is farthest from the hip."""
        return self._reach_terms()[2]

    @property
    def rest_hip_flexion_rad(self) -> float:
        """Forward inclination of the line from hip to ankle in the rest pose."""
        line = self.thigh + self.shank
        return float(np.arctan2(line[2], -line[1]))

    @property
    def rest_hip_adduction_rad(self) -> float:
        """Medial inclination of the line from hip to ankle in the rest pose."""
        line = self.thigh + self.shank
        return float(np.arctan2(-line[0], -line[1]))

    def _reach_terms(self) -> tuple[float, float, float]:
        """Return (u, m, p): thigh · R_x(k) shank = u + m·cos(k − p)."""
        a, b = self.thigh, self.shank
        along, across = a[1] * b[1] + a[2] * b[2], a[2] * b[1] - a[1] * b[2]
        return float(a[0] * b[0]), float(np.hypot(along, across)), float(np.arctan2(across, along))

    def reach_m(self, flexion_rad: ArrayLike) -> Vector:
        """Return the distance from hip to ankle at knee flexions (...); 0 is full extension."""
        u, m, _ = self._reach_terms()
        squares = self.thigh @ self.thigh + self.shank @ self.shank
        return np.sqrt(squares + 2 * (u + m * np.cos(np.asarray(flexion_rad))))

    def flexion_rad(self, reach_m: Vector) -> Vector:
        """Return the knee flexion (...) at which the ankle is that far from the hip; at least ``MIN_KNEE_FLEXION_RAD``.

        Near full reach the limit is smooth: the leg falls short of a reachable target by about 1 mm at most.
        """
        u, m, _ = self._reach_terms()
        squares = self.thigh @ self.thigh + self.shank @ self.shank
        max_reach = self.reach_m(MIN_KNEE_FLEXION_RAD)
        reach = max_reach - _SOFT_LIMIT_M * np.logaddexp(0.0, (max_reach - reach_m) / _SOFT_LIMIT_M)
        cosine = ((reach**2 - squares) / 2 - u) / m
        return np.arccos(np.clip(cosine, -1, np.cos(MIN_KNEE_FLEXION_RAD)))

    def signed_flexion_rad(self, reach_m: Vector, nominal_rad: Vector) -> Vector:
        """Return the knee flexion (...) at which the ankle is that far from the hip, of the nominal flexion's sign.

        Near full reach, where the distance hardly depends on the flexion, it is the nominal one: the ankle then is
        within 3 mm of a reachable distance. An extended knee does not extend much beyond the nominal flexion either.
        """
        u, m, _ = self._reach_terms()
        squares = self.thigh @ self.thigh + self.shank @ self.shank
        found = np.copysign(np.arccos(np.clip(((reach_m**2 - squares) / 2 - u) / m, -1, 1)), nominal_rad)
        found = np.maximum(found, np.where(nominal_rad < 0, nominal_rad - _MORE_EXTENSION_RAD, 0.0))
        low, high = _STRAIGHT_RAD
        x = np.clip((np.abs(nominal_rad) - low) / (high - low), 0, 1)
        return np.asarray(nominal_rad + x * x * (3 - 2 * x) * (found - nominal_rad))

    def hip_rotation(self, flexion_rad: Vector, adduction_rad: Vector, internal_rad: Vector) -> Vector:
        """Return R_pelvis_thigh (..., 3, 3) of anatomical hip angles (...); at 0 the leg is vertical below the hip."""
        return (
            rot_x(-(flexion_rad - self.rest_hip_flexion_rad))
            @ rot_z(-(adduction_rad - self.rest_hip_adduction_rad))
            @ rot_y(-internal_rad)
        )

    def ankle_from_hip(self, R_thigh: Vector, flexion_rad: Vector) -> Vector:
        """Return the ankle (..., 3) relative to the hip, in the frame to which R_thigh maps."""
        R_knee = rot_x(flexion_rad + self.straight_knee_rad)
        return rotate(R_thigh, self.thigh + rotate(R_knee, self.shank))

    def inverse_kinematics(
        self, target_m: Vector, R_thigh_start: Vector, nominal_knee_rad: Vector | None = None
    ) -> tuple[Vector, Vector]:
        """Return thigh rotation (..., 3, 3) and knee flexion (...) for an ankle at ``target_m`` (..., 3) from the hip.

        The thigh is rotated from ``R_thigh_start`` by the minimal rotation, which keeps the direction of the knee axis
        as far as possible. The knee is flexed, or as ``signed_flexion_rad`` of ``nominal_knee_rad`` (...).
        """
        reach = np.linalg.norm(target_m, axis=-1)
        flexion = (
            self.flexion_rad(reach) if nominal_knee_rad is None else self.signed_flexion_rad(reach, nominal_knee_rad)
        )
        start = self.ankle_from_hip(R_thigh_start, flexion)
        return minimal_rotation(start, target_m) @ R_thigh_start, flexion


def minimal_rotation(a: Vector, b: Vector) -> Vector:
    """Return the minimal rotations (..., 3, 3) from directions a (..., 3) to b; undefined for opposite directions."""
    a = a / np.linalg.norm(a, axis=-1, keepdims=True)
    b = b / np.linalg.norm(b, axis=-1, keepdims=True)
    v = np.cross(a, b)
    cosine = (a * b).sum(axis=-1)[..., None, None]
    K = np.zeros((*v.shape[:-1], 3, 3))
    K[..., 0, 1], K[..., 0, 2], K[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    K -= np.swapaxes(K, -1, -2)
    return np.eye(3) + K + K @ K / (1 + cosine)


def leg_bones(rest_joints_m: Vector, side: str) -> LegBones:
    """Return the bones of one side, "left" or "right", from the rest joints (J, 3) of a body."""
    root, hip, knee, ankle = (
        rest_joints_m[Joint[name]] * LATERAL_SIGNS[side]
        for name in ("PELVIS", *(f"{side.upper()}_{part}" for part in ("HIP", "KNEE", "ANKLE")))
    )
    return LegBones(hip - root, knee - hip, ankle - knee)


MIRROR_MATRIX = np.diag([-1.0, 1.0, 1.0])


def mirror_rotation(rotation: Vector) -> Vector:
    """Mirror rotations (..., 3, 3) at the plane x = 0."""
    return MIRROR_MATRIX @ rotation @ MIRROR_MATRIX
