"""The objects of a scene, in metres with y up, independent of the renderer."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gait.viewing.colours import OBSERVED, RESIDUAL, SKIN, Colour, Scale


@dataclass(frozen=True, eq=False)
class PosedMesh:
    """The body surface in one frame."""

    vertices_m: NDArray[np.float32]  # (V, 3) metres, y up
    normals: NDArray[np.float32]  # (V, 3) unit, outwards


@dataclass(frozen=True)
class Mesh:
    """A closed surface of triangles with smooth shading."""

    vertices_m: NDArray[np.float32]  # (V, 3)
    faces: NDArray[np.int32]  # (F, 3) counter-clockwise seen from outside
    colour: Colour = SKIN
    opacity: float = 1.0
    normals: NDArray[np.float32] | None = None  # (V, 3) unit, outwards; None: computed
    values: NDArray[np.float32] | None = None  # (V,) drawn in the colours of ``scale`` instead of ``colour``
    scale: Scale | None = None
    observed: NDArray[np.float32] | None = None  # (V,) weight of observed parts, 0 to 1; below half: hatched, pale


@dataclass(frozen=True)
class Spheres:
    """Spheres of one colour, such as markers. Behind the skin they are drawn fainter with depth."""

    centres_m: NDArray[np.float32]  # (N, 3); rows with NaN are omitted
    radius_m: float | NDArray[np.float32] = 0.008  # one for all, or (N,)
    colour: Colour = OBSERVED
    towards_viewer_m: float = 0.0  # depth offset; decides which of two coinciding spheres is on top
    opacity: float = 1.0
    through_skin: float = 0.12  # visibility deep behind the skin, 0 to 1


@dataclass(frozen=True)
class Segments:
    """Line segments of constant width on screen, visible through meshes like spheres."""

    starts_m: NDArray[np.float32]  # (N, 3); segments with NaN at either end are omitted
    ends_m: NDArray[np.float32]  # (N, 3)
    colour: Colour = RESIDUAL
    width_px: float = 2.0
    through_skin: float = 0.12  # visibility deep behind the skin, 0 to 1


@dataclass(frozen=True)
class Floor:
    """A horizontal grid that fades out around the target of the camera; meshes cast a shadow straight down on it."""

    height_m: float = 0.0
    spacing_m: float = 0.25


@dataclass(frozen=True)
class Scene:
    """Everything in one image."""

    meshes: tuple[Mesh, ...] = ()
    spheres: tuple[Spheres, ...] = ()
    segments: tuple[Segments, ...] = ()
    floor: Floor | None = field(default_factory=Floor)
    background: Colour = (255, 255, 255)


def vertex_normals(vertices_m: NDArray[np.float32], faces: NDArray[np.int32]) -> NDArray[np.float32]:
    """Compute outward unit normals (V, 3): at each vertex the area-weighted mean of the normals of its triangles."""
    x, y, z = np.ascontiguousarray(vertices_m.T)
    corners = np.ascontiguousarray(faces.T)
    a, b, c = corners
    x1, y1, z1, x2, y2, z2 = x[b] - x[a], y[b] - y[a], z[b] - z[a], x[c] - x[a], y[c] - y[a], z[c] - z[a]
    sums = np.zeros((3, len(vertices_m)))
    for axis, of_face in enumerate((y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2)):
        for corner in corners:
            sums[axis] += np.bincount(corner, of_face, minlength=len(vertices_m))
    lengths = np.sqrt((sums**2).sum(axis=0))
    return (sums / np.maximum(lengths, 1e-20)).T.astype(np.float32, order="C")
