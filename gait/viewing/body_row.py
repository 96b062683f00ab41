"""Several bodies side by side, on one floor and at one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gait.viewing.camera import Camera
from gait.viewing.colours import Scale
from gait.viewing.offscreen_renderer import OffscreenRenderer
from gait.viewing.scene import Floor, Mesh, Scene

Points = NDArray[np.float64]

_MIN_BODY_WIDTH = 250  # pixels, for the label below it
_YAW_DEG, _PITCH_DEG = 52.0, 8.0


@dataclass(frozen=True, eq=False)
class BodyRow:
    """Translated bodies, and the camera that shows them."""

    point_sets: tuple[tuple[Points, ...], ...]  # (K) the point sets of each body, translated; metres, floor at y = 0
    camera: Camera
    columns: tuple[int, ...]  # (K) pixel column of the centre of each body
    metres_per_pixel: float


@dataclass(frozen=True, eq=False)
class ColouredBody:
    """A body in one frame."""

    vertices_m: NDArray[np.float32]  # (V, 3) metres, y up
    values: NDArray[np.float32]  # (V,) attribution, in the unit of the scale; NaN where nothing is explained
    progression: NDArray[np.float64]  # (3,) direction of progression
    observed: NDArray[np.float32] | None = None  # (V,) weight of observed parts, 0 to 1


def layout_row(
    point_sets: Sequence[Sequence[Points]], view: Camera, width: int, height: int, min_width: int = _MIN_BODY_WIDTH
) -> BodyRow:
    """Place bodies in a row without overlap, all at one scale, in an image of ``width`` by ``height`` pixels.

    ``point_sets`` are per body its vertices (V, 3), followed by further points that move with it, such as markers;
    metres, y up, all bodies facing the same direction. Of ``view``, yaw and pitch are used. ``min_width`` is the width
    in pixels that each body has at least.
    """
    count = len(point_sets)
    rotation = view.view_matrix()[:3, :3]
    floor_m = min(float(body[:, 1].min()) for body, *_ in point_sets)
    moved, lows, highs = [], [], []  # (K, 2) bounding box of each body along the right and up axes of the image, metres
    for own in point_sets:
        body = own[0]
        to_floor = np.array([-body[:, 0].mean(), -floor_m, -body[:, 2].mean()])
        moved.append([points + to_floor for points in own])
        outline = moved[-1][0] @ rotation[:2].T
        lows.append(outline.min(axis=0))
        highs.append(outline.max(axis=0))
    low, high = np.array(lows), np.array(highs)
    bottom_m, top_m = low[:, 1].min() - 0.10, high[:, 1].max() + 0.08
    widths = high[:, 0] - low[:, 0] + 0.12
    view_height_m = max(top_m - bottom_m, widths.sum() * height / width)
    metres_per_pixel = view_height_m / height
    widths = np.maximum(widths, min_width * metres_per_pixel)
    view_height_m *= max(1.0, widths.sum() / (metres_per_pixel * width))
    metres_per_pixel = view_height_m / height
    widths += (width * metres_per_pixel - widths.sum()) / count
    middles_m = np.cumsum(widths) - widths / 2 - widths.sum() / 2
    for k, own in enumerate(moved):
        shift = rotation[0] * (middles_m[k] - (low[k, 0] + high[k, 0]) / 2)
        moved[k] = [points + shift for points in own]

    # Extra height is left above the heads: the feet stay near the lower edge.
    x, y, z = (float(part) for part in rotation[1] * (bottom_m + view_height_m / 2))
    return BodyRow(
        tuple(tuple(own) for own in moved),
        replace(view, target_m=(x, y, z), view_height_m=view_height_m, distance_m=12.0),
        tuple(round(width / 2 + middle / metres_per_pixel) for middle in middles_m),
        metres_per_pixel,
    )


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
    """Render bodies with the same faces (F, 3) in a row, all walking in the same direction, from their left or right.

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
        Mesh(
            own[0].astype(np.float32),
            np.asarray(faces, np.int32),
            values=body.values,
            scale=scale,
            observed=body.observed,
        )
        for own, body in zip(row.point_sets, bodies, strict=True)
    )
    return renderer.draw(Scene(meshes=meshes, floor=Floor(0.0)), row.camera, width, height), row.columns


def yaw_to_face_z(to_left: NDArray[np.floating]) -> Points:
    """Return the rotation (3, 3) about the vertical axis that makes a body face +z.

    ``to_left`` (3,) points to the left side of the body.
    """
    length = np.hypot(to_left[0], to_left[2])
    if length < 1e-6:
        return np.eye(3)
    x, z = to_left[0] / length, to_left[2] / length
    return np.array([[x, 0.0, z], [0.0, 1.0, 0.0], [-z, 0.0, x]])
