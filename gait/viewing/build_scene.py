"""Build the scene of one frame from a trial and the visible layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import BODY_PARENTS, NUM_BODY_JOINTS, Joint
from gait.kinematics.gait_events import nearest_frames
from gait.viewing.colours import OBSERVED, SKIN, UNOBSERVED, VIRTUAL, Colour, Scale
from gait.viewing.loaded_trial import LoadedTrial
from gait.viewing.scene import Floor, Mesh, PosedMesh, Scene, Segments, Spheres

BACKGROUND: Colour = (246, 247, 249)
COMPARISON: Colour = (176, 184, 196)
BONE: Colour = (70, 78, 90)
JOINT: Colour = (252, 252, 252)
SELECTED: Colour = (200, 0, 140)
PATH: Colour = (120, 128, 140)
LEFT_FOOT, RIGHT_FOOT = (146, 84, 180), (40, 140, 110)
UNCERTAINTY: Colour = (120, 100, 190)


@dataclass
class VisibleLayers:
    """The layers that are switched on."""

    skin: bool = True
    skeleton: bool = False
    markers: bool = False
    floor: bool = True
    path: bool = False
    comparison: bool = True
    uncertainty: bool = False


@dataclass(frozen=True, eq=False)
class BodyFrame:
    """A body in one frame, and what its skin shows."""

    joints_m: NDArray[np.float32]  # (22, 3)
    mesh: PosedMesh | None  # None: there is no body model
    faces: NDArray[np.int32] | None
    observed: NDArray[np.float32] | None = None  # (V,) weight of observed parts; None: everything is observed
    values: NDArray[np.float32] | None = None  # (V,) attribution, drawn in the colours of ``scale``; None: plain skin
    scale: Scale | None = None


def build_scene(
    trial: LoadedTrial,
    frame: int,
    body_frame: BodyFrame,
    layers: VisibleLayers,
    *,
    comparison: BodyFrame | None = None,  # a second body beside the first
    selected: Joint | None = None,  # highlighted, as is the part of the pelvis path in the selected window:
    window: tuple[int, int] | None = None,  # first and last frame
) -> Scene:
    """Build the scene of one frame, in which the body of the trial is ``body_frame``."""
    meshes = _skin(body_frame) if layers.skin else []
    spheres: list[Spheres] = []
    segments: list[Segments] = []
    if layers.comparison and comparison is not None:
        beside = _skin(comparison, COMPARISON, 0.55)
        meshes += beside
        if not beside:
            segments.append(_bones(comparison.joints_m, COMPARISON, 1.0))
    no_mesh = not meshes or body_frame.mesh is None
    if layers.skeleton or no_mesh:
        seen = trial.observed[frame]
        for shown, bone, joint in ((seen, BONE, JOINT), (~seen, UNOBSERVED, UNOBSERVED)):
            ends = np.where(shown[:, None], body_frame.joints_m, np.float32(np.nan))
            segments.append(_bones(body_frame.joints_m, bone, 0.8, shown))
            spheres.append(Spheres(ends, 0.016, joint, towards_viewer_m=0.02, through_skin=0.85))
    if layers.uncertainty and trial.sequence.joint_sigma_m is not None:
        sigma = np.clip(trial.sequence.joint_sigma_m[frame], 0.004, 0.25)
        spheres.append(Spheres(body_frame.joints_m, sigma, UNCERTAINTY, 0.1, opacity=0.7, through_skin=1.0))
    if layers.markers and trial.markers is not None:
        observed, virtual = trial.markers.observed_m[frame], trial.markers.virtual_m[frame]
        spheres.append(Spheres(observed, 0.012, OBSERVED, through_skin=0.5))
        spheres.append(Spheres(virtual, 0.007, VIRTUAL, towards_viewer_m=0.02, through_skin=0.5))
        segments.append(Segments(observed, virtual, through_skin=0.7))
    if selected is not None:
        spheres.append(
            Spheres(body_frame.joints_m[[selected]], 0.024, SELECTED, towards_viewer_m=0.03, through_skin=0.9)
        )
    if layers.path:
        segments += _path(trial, window)
    return Scene(
        tuple(meshes),
        tuple(spheres),
        tuple(segments),
        Floor(trial.floor_m, 0.5) if layers.floor else None,
        BACKGROUND,
    )


def _skin(body: BodyFrame, colour: Colour = SKIN, opacity: float = 1.0) -> list[Mesh]:
    """Return the surface of a body; nothing without a body model."""
    if body.mesh is None or body.faces is None:
        return []
    vertices_m, normals = body.mesh.vertices_m, body.mesh.normals
    return [Mesh(vertices_m, body.faces, colour, opacity, normals, body.values, body.scale, body.observed)]


def _bones(
    joints_m: NDArray[np.float32], colour: Colour, through_skin: float, shown: NDArray[np.bool_] | None = None
) -> Segments:
    """Return the bones to all joints, or to those of the mask ``shown`` (22,)."""
    children = np.array([j for j in range(1, NUM_BODY_JOINTS) if shown is None or shown[j]], dtype=np.intp)
    parents = [BODY_PARENTS[j] for j in children]
    return Segments(joints_m[parents], joints_m[children], colour, 3.0, through_skin=through_skin)


def _path(trial: LoadedTrial, window: tuple[int, int] | None) -> list[Segments]:
    """Return the path of the pelvis, projected onto the floor, and a line along the foot at each initial contact."""
    step = max(1, trial.num_frames // 400)
    path = trial.sequence.joints_m[::step, Joint.PELVIS].copy()
    path[:, 1] = trial.floor_m + 0.004
    in_window = np.zeros(len(path) - 1, dtype=bool)
    if window is not None:
        in_window[window[0] // step : window[1] // step] = True
    segments = [
        Segments(path[:-1][which], path[1:][which], colour, width)
        for which, colour, width in ((~in_window, PATH, 2.0), (in_window, SELECTED, 4.0))
    ]
    for side, colour in (("left", LEFT_FOOT), ("right", RIGHT_FOOT)):
        contacts = nearest_frames(trial.events.initial_contacts[side])
        heel = trial.sequence.joints_m[contacts, Joint[f"{side.upper()}_ANKLE"]].copy()
        toe = trial.sequence.joints_m[contacts, Joint[f"{side.upper()}_FOOT"]].copy()
        heel[:, 1] = toe[:, 1] = trial.floor_m + 0.006
        segments.append(Segments(heel, heel + 1.4 * (toe - heel), colour, 5.0))
    return segments
