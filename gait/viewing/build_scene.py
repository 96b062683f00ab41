"""From a gait, what is known of it, and what is switched on, to a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.viewing.colours import OBSERVED, VIRTUAL, Colour, Scale
from gait.viewing.loaded_trial import LoadedTrial
from gait.viewing.mesh_cache import Skin
from gait.viewing.scene import Floor, Mesh, Scene, Segments, Spheres

BACKGROUND: Colour = (246, 247, 249)
GHOST: Colour = (176, 184, 196)
BONE: Colour = (70, 78, 90)
JOINT: Colour = (252, 252, 252)
CHOSEN: Colour = (200, 0, 140)
PATH: Colour = (120, 128, 140)
LEFT_FOOT, RIGHT_FOOT = (146, 84, 180), (40, 140, 110)
UNSURE: Colour = (120, 100, 190)

_BODY_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
"""Of the 22 body joints, in the order of ``Joint``."""


@dataclass
class Layers:
    """What is switched on."""

    skin: bool = True
    skeleton: bool = False
    markers: bool = False
    floor: bool = True
    path: bool = False
    ghost: bool = True
    confidence: bool = False


@dataclass(frozen=True, eq=False)
class Figure:
    """A body in one frame."""

    joints_m: NDArray[np.float32]  # (22, 3)
    skin: Skin | None
    faces: NDArray[np.int32] | None


def gait_scene(
    gait: LoadedTrial,
    frame: int,
    figure: Figure,
    layers: Layers,
    *,
    values: NDArray[np.float32] | None = None,
    scale: Scale | None = None,
    ghost: Figure | None = None,
    chosen: Joint | None = None,
    ends: tuple[int, int] | None = None,
) -> Scene:
    """The scene of one frame.

    Args:
        gait: that is shown.
        frame: from 0.
        figure: its body in that frame.
        layers: what is switched on.
        values: (V,) of the skin's vertices, in the colours of ``scale``; plain skin if there are none.
        scale: of the values.
        ghost: another body beside it.
        chosen: a joint to point out.
        ends: first and last frame of a stretch whose path is drawn strongly.
    """
    meshes: list[Mesh] = []
    spheres: list[Spheres] = []
    segments: list[Segments] = []
    if layers.skin and figure.skin is not None and figure.faces is not None:
        skin = figure.skin
        meshes.append(Mesh(skin.vertices_m, figure.faces, normals=skin.normals, values=values, scale=scale))
    if layers.ghost and ghost is not None:
        if ghost.skin is not None and ghost.faces is not None:
            meshes.append(Mesh(ghost.skin.vertices_m, ghost.faces, GHOST, 0.55, normals=ghost.skin.normals))
        else:
            segments.append(_bones(ghost.joints_m, GHOST, 1.0))
    bare = not meshes or figure.skin is None
    if layers.skeleton or bare:
        segments.append(_bones(figure.joints_m, BONE, 0.8))
        spheres.append(Spheres(figure.joints_m, 0.016, JOINT, towards_viewer_m=0.02, through_skin=0.85))
    if layers.confidence and gait.sequence.joints_sigma_m is not None:
        sigma = np.clip(gait.sequence.joints_sigma_m[frame], 0.004, 0.25)
        spheres.append(Spheres(figure.joints_m, sigma, UNSURE, 0.1, opacity=0.7, through_skin=1.0))
    if layers.markers and gait.markers is not None:
        observed, virtual = gait.markers.observed_m[frame], gait.markers.virtual_m[frame]
        spheres.append(Spheres(observed, 0.012, OBSERVED, through_skin=0.5))
        spheres.append(Spheres(virtual, 0.007, VIRTUAL, towards_viewer_m=0.02, through_skin=0.5))
        segments.append(Segments(observed, virtual, through_skin=0.7))
    if chosen is not None:
        spheres.append(Spheres(figure.joints_m[[chosen]], 0.024, CHOSEN, towards_viewer_m=0.03, through_skin=0.9))
    height = floor_height(gait.sequence.joints_m)
    if layers.path:
        segments += _path(gait, height, ends)
    return Scene(
        tuple(meshes),
        tuple(spheres),
        tuple(segments),
        Floor(height, 0.5) if layers.floor else None,
        BACKGROUND,
    )


def floor_height(joints_m: NDArray[np.floating]) -> float:
    """Where the floor of a walk (T, 22, 3) is, metres: as far below the balls of the feet as a foot is thick there."""
    feet = joints_m[:, [Joint.LEFT_FOOT, Joint.RIGHT_FOOT], 1]
    return float(np.percentile(feet, 2)) - 0.03


def _bones(joints_m: NDArray[np.float32], colour: Colour, seen: float) -> Segments:
    ends = np.arange(1, NUM_BODY_JOINTS)
    return Segments(joints_m[[_BODY_PARENTS[j] for j in ends]], joints_m[ends], colour, 3.0, through_skin=seen)


def _path(gait: LoadedTrial, height_m: float, ends: tuple[int, int] | None) -> list[Segments]:
    """The pelvis's way over the floor, and a stroke where each foot was set down."""
    step = max(1, gait.frames // 400)
    way = gait.sequence.joints_m[::step, Joint.PELVIS].copy()
    way[:, 1] = height_m + 0.004
    strong = np.zeros(len(way) - 1, dtype=bool)
    if ends is not None:
        strong[ends[0] // step : ends[1] // step] = True
    drawn = [
        Segments(way[:-1][which], way[1:][which], colour, width)
        for which, colour, width in ((~strong, PATH, 2.0), (strong, CHOSEN, 4.0))
    ]
    for side, colour in (("left", LEFT_FOOT), ("right", RIGHT_FOOT)):
        strikes = gait.events.heel_strikes[side]
        heel = gait.sequence.joints_m[strikes, Joint[f"{side.upper()}_ANKLE"]].copy()
        toe = gait.sequence.joints_m[strikes, Joint[f"{side.upper()}_FOOT"]].copy()
        heel[:, 1] = toe[:, 1] = height_m + 0.006
        drawn.append(Segments(heel, heel + 1.4 * (toe - heel), colour, 5.0))
    return drawn
