"""Render bodies in several frames of a trial, coloured by attribution, without a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.viewing.body_row_layout import layout_row, yaw_to_face_z
from gait.viewing.camera import Camera
from gait.viewing.colours import Scale
from gait.viewing.offscreen_renderer import OffscreenRenderer
from gait.viewing.scene import Floor, Mesh, Scene

_YAW_DEG, _PITCH_DEG = 52.0, 8.0


@dataclass(frozen=True, eq=False)
class ColouredBody:
    """A body in one frame."""

    vertices_m: NDArray[np.float32]  # (V, 3) metres, y up
    values: NDArray[np.float32]  # (V,) attribution, in the unit of the scale; NaN where nothing is explained
    progression: NDArray[np.float64]  # (3,) direction of progression


def draw_bodies(
    bodies: Sequence[ColouredBody],
    faces: NDArray[np.integer],
    scale: Scale,
    width: int,
    height: int,
    renderer: OffscreenRenderer,
    *,
    from_left: bool = True,
) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """Render bodies in a row, all walking in the same direction.

    Args:
        bodies: one or more.
        faces: (F, 3), shared by all bodies.
        scale: colour scale of the values.
        width: pixels.
        height: pixels.
        renderer: the renderer to use.
        from_left: show the left side of the bodies, else the right one.

    Returns:
        The image (height, width, 3), and the pixel column of the centre of each body.
    """
    point_sets = []
    for body in bodies:
        x, _, z = body.progression
        R_page_lab = yaw_to_face_z(np.array([z, 0.0, -x]))  # the left side points to -z when walking along +x
        point_sets.append([body.vertices_m.astype(np.float64) @ R_page_lab.T])
    view = Camera(yaw_deg=_YAW_DEG if from_left else -_YAW_DEG, pitch_deg=_PITCH_DEG)
    row = layout_row(point_sets, view, width, height, min_width=width // max(len(bodies), 1) - 2)
    meshes = tuple(
        Mesh(own[0].astype(np.float32), np.asarray(faces, np.int32), values=body.values, scale=scale)
        for own, body in zip(row.point_sets, bodies, strict=True)
    )
    return renderer.draw(Scene(meshes=meshes, floor=Floor(0.0)), row.camera, width, height), row.columns
