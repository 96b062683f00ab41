"""What there is to draw, in metres with y up; nothing here knows how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gait.viewing.colours import OBSERVED, RESIDUAL, SKIN, Colour, Scale


@dataclass(frozen=True)
class Mesh:
    """A closed surface of triangles with smooth shading."""

    vertices_m: NDArray[np.float32]  # (V, 3)
    faces: NDArray[np.int32]  # (F, 3) counter-clockwise seen from outside
    colour: Colour = SKIN
    opacity: float = 1.0
    normals: NDArray[np.float32] | None = None  # (V, 3) unit, outwards; worked out where they are not given
    values: NDArray[np.float32] | None = None  # (V,) shown in the colours of ``scale`` instead of ``colour``
    scale: Scale | None = None


@dataclass(frozen=True)
class Spheres:
    """Equal spheres, such as markers. Behind the skin they shine through, the deeper the fainter."""

    centres_m: NDArray[np.float32]  # (N, 3); rows with NaN are left out
    radius_m: float | NDArray[np.float32] = 0.008  # of all, or (N,) of each
    colour: Colour = OBSERVED
    towards_viewer_m: float = 0.0  # drawn as if that much nearer: decides which of two coinciding spheres is on top
    opacity: float = 1.0
    through_skin: float = 0.12  # how much of it is still seen deep behind the skin, 0 to 1


@dataclass(frozen=True)
class Segments:
    """Straight lines of one width on screen. They shine through meshes like spheres."""

    starts_m: NDArray[np.float32]  # (N, 3); segments with a NaN at either end are left out
    ends_m: NDArray[np.float32]  # (N, 3)
    colour: Colour = RESIDUAL
    width_px: float = 2.0
    through_skin: float = 0.12  # how much of it is still seen deep behind the skin, 0 to 1


@dataclass(frozen=True)
class Floor:
    """A level grid that fades out about the camera's target; meshes throw a soft-coloured shadow on it."""

    height_m: float = 0.0
    spacing_m: float = 0.25


@dataclass(frozen=True)
class Scene:
    """Everything in one picture."""

    meshes: tuple[Mesh, ...] = ()
    spheres: tuple[Spheres, ...] = ()
    segments: tuple[Segments, ...] = ()
    floor: Floor | None = field(default_factory=Floor)
    background: Colour = (255, 255, 255)


def vertex_normals(vertices_m: NDArray[np.float32], faces: NDArray[np.int32]) -> NDArray[np.float32]:
    """Outward unit normals (V, 3): at each vertex the mean of its triangles' normals, weighted by area."""
    corners = vertices_m[faces]  # (F, 3 corners, 3)
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    weights, where = np.repeat(face_normals, 3, axis=0), faces.reshape(-1)
    sums = np.stack([np.bincount(where, weights[:, axis], minlength=len(vertices_m)) for axis in range(3)], axis=1)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.maximum(lengths, 1e-20)).astype(np.float32)
