"""The camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gait.body.skeleton import Joint


@dataclass(frozen=True)
class Camera:
    """A camera on a sphere around its target; y is up.

    At yaw 0 it is on the +z side of the target (in front of a body that faces +z), at yaw 90 on the +x side; with a
    positive pitch it looks down from above. ``view_height_m`` is the height of the view at the distance of the target,
    so switching between parallel and perspective projection keeps the size of the target.
    """

    target_m: tuple[float, float, float] = (0.0, 0.9, 0.0)
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    view_height_m: float = 2.0
    distance_m: float = 6.0
    perspective: bool = False

    def view_matrix(self) -> NDArray[np.float64]:
        """Return ``T_camera_world`` (4, 4): x to the right, y up, the camera looks along -z."""
        right = np.array([np.cos(np.radians(self.yaw_deg)), 0.0, -np.sin(np.radians(self.yaw_deg))])
        backwards = self._backwards()
        rotation = np.stack([right, np.cross(backwards, right), backwards])
        T_camera_world = np.eye(4)
        T_camera_world[:3, :3] = rotation
        T_camera_world[:3, 3] = -rotation @ np.asarray(self.target_m, dtype=np.float64)
        T_camera_world[2, 3] -= self.distance_m
        return T_camera_world

    def projection_matrix(self, aspect: float) -> NDArray[np.float64]:
        """Return the matrix (4, 4) from camera space to OpenGL's clip space; ``aspect`` is width over height."""
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

    def orbit(self, yaw_deg: float, pitch_deg: float) -> Camera:
        """Return the camera moved around its target; the pitch stays within ±89°."""
        pitch = float(np.clip(self.pitch_deg + pitch_deg, -89.0, 89.0))
        return replace(self, yaw_deg=(self.yaw_deg + yaw_deg) % 360.0, pitch_deg=pitch)

    def zoom(self, factor: float) -> Camera:
        """Return the camera nearer to its target (factor below 1) or farther away; the view is 0.2 to 100 m high."""
        height = float(np.clip(self.view_height_m * factor, 0.2, 100.0))
        return replace(self, view_height_m=height, distance_m=self.distance_m * height / self.view_height_m)

    def move(self, right_m: float, up_m: float, ahead_m: float) -> Camera:
        """Return the camera moved together with its target: right and ahead are horizontal, up is vertical."""
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

    def turn(self, left_deg: float) -> Camera:
        """Return the camera rotated to the left about the vertical axis through itself; the target moves."""
        turned = self.orbit(left_deg, 0.0)
        moved = self.distance_m * (self._backwards() - turned._backwards())
        x, y, z = (float(a + b) for a, b in zip(self.target_m, moved, strict=True))
        return replace(turned, target_m=(x, y, z))

    def _backwards(self) -> NDArray[np.float64]:
        """Return the direction (3,) from the target to the camera."""
        yaw, pitch = np.radians(self.yaw_deg), np.radians(self.pitch_deg)
        return np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])

    def project_to_pixels(self, points_m: ArrayLike, width: int, height: int) -> NDArray[np.float64]:
        """Project points (..., 3) into an image: columns and rows (..., 2) from its upper left corner."""
        points_m = np.asarray(points_m, dtype=np.float64)
        homogeneous = np.concatenate([points_m, np.ones_like(points_m[..., :1])], axis=-1)
        clip = homogeneous @ (self.projection_matrix(width / height) @ self.view_matrix()).T
        x, y = clip[..., 0] / clip[..., 3], clip[..., 1] / clip[..., 3]
        return np.stack([(x + 1) / 2 * width, (1 - y) / 2 * height], axis=-1)


def whole_body_camera(joints_m: NDArray[np.floating], floor_m: float, frame: int) -> Camera:
    """Return the camera that shows the whole body in a frame of joints (T, 22, 3), from the front and to one side."""
    stature = float(np.percentile(joints_m[:, Joint.HEAD, 1], 95)) - floor_m + 0.15
    x, _, z = joints_m[frame, Joint.PELVIS]
    facing = joints_m[:, Joint.LEFT_HIP] - joints_m[:, Joint.RIGHT_HIP]
    ahead = np.cross(facing.mean(axis=0), [0.0, 1.0, 0.0])
    yaw = float(np.degrees(np.arctan2(ahead[0], ahead[2]))) + 40.0
    height = max(stature, 0.5) * 1.25
    target = (float(x), floor_m + 0.47 * stature, float(z))
    return Camera(target, yaw % 360.0, 8.0, height, 2.6 * height, perspective=True)
