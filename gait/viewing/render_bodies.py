"""Bodies at moments of a walk, their skin coloured by importance, without a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.viewing.body_row_layout import in_a_row, turned_to_z
from gait.viewing.camera import Camera
from gait.viewing.colours import Scale
from gait.viewing.offscreen_renderer import OffscreenRenderer
from gait.viewing.scene import Floor, Mesh, Scene

_YAW_DEG, _PITCH_DEG = 52.0, 8.0


@dataclass(frozen=True, eq=False)
class ColouredBody:
    """A body at one moment."""

    vertices_m: NDArray[np.float32]  # (V, 3) metres, y up
    values: NDArray[np.float32]  # (V,) importance, in the scale's unit; NaN where nothing is explained
    ahead: NDArray[np.float64]  # (3,) where the person walks to


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
    """The bodies in a row, walking the same way, as a picture (height, width, 3), and the column of each.

    Args:
        bodies: one or more.
        faces: (F, 3) of each.
        scale: colours of their values.
        width: pixels.
        height: pixels.
        renderer: draws.
        from_left: whether the person's left side is towards the viewer, else the right one.
    """
    things = []
    for body in bodies:
        x, _, z = body.ahead
        R_page_lab = turned_to_z(np.array([z, 0.0, -x]))  # the left of who walks along +x is at -z
        things.append([body.vertices_m.astype(np.float64) @ R_page_lab.T])
    view = Camera(yaw_deg=_YAW_DEG if from_left else -_YAW_DEG, pitch_deg=_PITCH_DEG)
    row = in_a_row(things, view, width, height, least_width=width // max(len(bodies), 1) - 2)
    meshes = tuple(
        Mesh(own[0].astype(np.float32), np.asarray(faces, np.int32), values=body.values, scale=scale)
        for own, body in zip(row.things, bodies, strict=True)
    )
    return renderer.draw(Scene(meshes=meshes, floor=Floor(0.0)), row.camera, width, height), row.columns
