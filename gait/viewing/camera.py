"""Where a picture is taken from."""

from __future__ import annotations

from dataclasses import dataclass, replace

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

    def orbited(self, yaw_deg: float, pitch_deg: float) -> Camera:
        """Moved round its target, never over the poles."""
        pitch = float(np.clip(self.pitch_deg + pitch_deg, -89.0, 89.0))
        return replace(self, yaw_deg=(self.yaw_deg + yaw_deg) % 360.0, pitch_deg=pitch)

    def zoomed(self, factor: float) -> Camera:
        """Nearer (below 1) or farther away, between 0.1 and 50 times a usual view of a body."""
        height = float(np.clip(self.view_height_m * factor, 0.2, 100.0))
        return replace(self, view_height_m=height, distance_m=self.distance_m * height / self.view_height_m)

    def flown(self, right_m: float, up_m: float, ahead_m: float) -> Camera:
        """Moved with its target: to its own right, straight up, and ahead on the level."""
        yaw = np.radians(self.yaw_deg)
        right, ahead = (np.cos(yaw), -np.sin(yaw)), (-np.sin(yaw), -np.cos(yaw))
        x, y, z = self.target_m
        return replace(
            self,
            target_m=(
                float(x + right[0] * right_m + ahead[0] * ahead_m),
                float(y + up_m),
                float(z + right[1] * right_m + ahead[1] * ahead_m),
            ),
        )

    def turned(self, left_deg: float) -> Camera:
        """Turned on its spot: the target goes round the camera."""
        turned = self.orbited(left_deg, 0.0)
        moved = self._to_camera() - turned._to_camera()
        x, y, z = (float(a + b) for a, b in zip(self.target_m, moved, strict=True))
        return replace(turned, target_m=(x, y, z))

    def _to_camera(self) -> NDArray[np.float64]:
        """From the target to the camera (3,), metres."""
        yaw, pitch = np.radians(self.yaw_deg), np.radians(self.pitch_deg)
        way = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        return way * self.distance_m

    def pixels(self, points_m: ArrayLike, width: int, height: int) -> NDArray[np.float64]:
        """Where points (..., 3) fall in a picture: (..., 2) columns and rows from its upper left corner."""
        points_m = np.asarray(points_m, dtype=np.float64)
        homogeneous = np.concatenate([points_m, np.ones_like(points_m[..., :1])], axis=-1)
        clip = homogeneous @ (self.projection(width / height) @ self.view()).T
        x, y = clip[..., 0] / clip[..., 3], clip[..., 1] / clip[..., 3]
        return np.stack([(x + 1) / 2 * width, (1 - y) / 2 * height], axis=-1)
