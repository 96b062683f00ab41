"""Bodies side by side on one floor, at one scale, as a page shows moments of a walk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gait.viewing.camera import Camera

Points = NDArray[np.float64]

_LEAST_BODY_WIDTH = 250  # pixels, for the words under it


@dataclass(frozen=True, eq=False)
class BodyRow:
    """Where bodies were put, and how to look at them."""

    things: tuple[tuple[Points, ...], ...]  # (K) moved: those given of each body, metres, the floor at 0
    camera: Camera
    columns: tuple[int, ...]  # (K) pixels from the left: the middle of each body
    metres_per_pixel: float


def in_a_row(
    things: Sequence[Sequence[Points]], view: Camera, width: int, height: int, least_width: int = _LEAST_BODY_WIDTH
) -> BodyRow:
    """Stand bodies in a row, as far apart as their outlines on the page need, all at one scale.

    Args:
        things: of each body its vertices (V, 3), and whatever moves along, such as its markers; metres, y up, all
            bodies facing the same way.
        view: its yaw and pitch.
        width: of the picture in pixels.
        height: likewise.
        least_width: of each body in pixels.
    """
    count = len(things)
    rotation = view.view()[:3, :3]
    floor_m = min(float(body[:, 1].min()) for body, *_ in things)
    moved, lows, highs = [], [], []  # (K, 2) outline of each body along the page's right and up, metres
    for own in things:
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
    widths = np.maximum(widths, least_width * metres_per_pixel)
    view_height_m *= max(1.0, widths.sum() / (metres_per_pixel * width))
    metres_per_pixel = view_height_m / height
    widths += (width * metres_per_pixel - widths.sum()) / count
    middles_m = np.cumsum(widths) - widths / 2 - widths.sum() / 2
    for k, own in enumerate(moved):
        to_place = rotation[0] * (middles_m[k] - (low[k, 0] + high[k, 0]) / 2)
        moved[k] = [points + to_place for points in own]

    # Feet near the lower edge, wherever the height leaves room.
    x, y, z = (float(part) for part in rotation[1] * (bottom_m + view_height_m / 2))
    return BodyRow(
        tuple(tuple(own) for own in moved),
        replace(view, target_m=(x, y, z), view_height_m=view_height_m, distance_m=12.0),
        tuple(round(width / 2 + middle / metres_per_pixel) for middle in middles_m),
        metres_per_pixel,
    )


def turned_to_z(to_left: NDArray[np.floating]) -> Points:
    """Rotation about the vertical (3, 3) after which who has the left side towards (3,) faces +z."""
    length = np.hypot(to_left[0], to_left[2])
    if length < 1e-6:
        return np.eye(3)
    x, z = to_left[0] / length, to_left[2] / length
    return np.array([[x, 0.0, z], [0.0, 1.0, 0.0], [-z, 0.0, x]])
