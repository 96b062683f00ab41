"""Where a picture is taken from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Camera:
    """A camera on a sphere about its target; y is up.

    Yaw 0 stands on the +z side (in front of a body that faces +z), yaw 90 on the +x side; a positive pitch
    looks down from above. ``view_height_m`` is what the picture spans from top to bottom at the target's
    distance, so changing between parallel and perspective rays keeps the target's size.
    """

    target_m: tuple[float, float, float] = (0.0, 0.9, 0.0)
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    view_height_m: float = 2.0
    distance_m: float = 6.0
    perspective: bool = False

    def view(self) -> NDArray[np.float64]:
        """``T_camera_world`` (4, 4): x right, y up, the camera looks along -z."""
        yaw, pitch = np.radians(self.yaw_deg), np.radians(self.pitch_deg)
        right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
        towards_camera = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        rotation = np.stack([right, np.cross(towards_camera, right), towards_camera])
        T_camera_world = np.eye(4)
        T_camera_world[:3, :3] = rotation
        T_camera_world[:3, 3] = -rotation @ np.asarray(self.target_m, dtype=np.float64)
        T_camera_world[2, 3] -= self.distance_m
        return T_camera_world

    def projection(self, aspect: float) -> NDArray[np.float64]:
        """From camera space to OpenGL's clip space (4, 4); ``aspect`` is width over height."""
        near, far = self.distance_m * 0.05, self.distance_m * 4.0
        half_height = self.view_height_m / 2
        projection = np.zeros((4, 4))
        if self.perspective:
            projection[0, 0] = self.distance_m / (half_height * aspect)
            projection[1, 1] = self.distance_m / half_height
            projection[2, 2] = (far + near) / (near - far)
            projection[2, 3] = 2 * far * near / (near - far)
            projection[3, 2] = -1.0
        else:
            projection[0, 0] = 1 / (half_height * aspect)
            projection[1, 1] = 1 / half_height
            projection[2, 2] = 2 / (near - far)
            projection[2, 3] = (far + near) / (near - far)
            projection[3, 3] = 1.0
        return projection

    def pixels(self, points_m: ArrayLike, width: int, height: int) -> NDArray[np.float64]:
        """Where points (..., 3) fall in a picture: (..., 2) columns and rows from its upper left corner."""
        points_m = np.asarray(points_m, dtype=np.float64)
        homogeneous = np.concatenate([points_m, np.ones_like(points_m[..., :1])], axis=-1)
        clip = homogeneous @ (self.projection(width / height) @ self.view()).T
        x, y = clip[..., 0] / clip[..., 3], clip[..., 1] / clip[..., 3]
        return np.stack([(x + 1) / 2 * width, (1 - y) / 2 * height], axis=-1)
