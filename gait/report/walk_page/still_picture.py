"""The picture of a page for browsers without WebGL 2: the body at four times."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from gait.body.joint_status import JointStatus
from gait.body.skeleton import BODY_PARENTS
from gait.explaining.vertex_attribution import observed_weight, skinning_weights, to_vertices
from gait.exporting.skinned_body import SkinnedBody, open_body, posed_joints_m
from gait.report.figure_style import INK, STYLE
from gait.report.heatmaps import figure_png
from gait.report.pose_figure import figure_frames
from gait.report.walk_page.walk_data import WalkPage
from gait.viewing.body_row import ColouredBody, draw_bodies
from gait.viewing.colours import SKIN, SequentialScale
from gait.viewing.offscreen_renderer import RenderingUnavailableError, shared_renderer

_WIDTH, _HEIGHT, _DPI = 1280, 460, 100


def still_picture(page: WalkPage) -> bytes:
    """Return a PNG file: the coloured body, or its skeleton where this machine cannot render.

    The times are the quarters of a stride about the first finding; without one they are spread over the trial.
    """
    frames = _frames(page)
    try:
        renderer = shared_renderer()
    except RenderingUnavailableError:
        return _skeletons(page, frames)
    scale = page.overlays[0].scale if page.overlays else SequentialScale(0.0, 1.0, SKIN)
    status = page.trial.sequence.joint_status
    hidden = status is not None and bool((status == JointStatus.NOT_OBSERVED).any())
    skinning = skinning_weights(open_body()) if hidden else None
    bodies = []
    for frame in frames:
        vertices = posed_vertices_m(page.skinned, frame).astype(np.float32)
        values = np.full(len(vertices), np.nan, np.float32)
        if page.overlays and page.influences is not None:
            values = to_vertices(page.overlays[0].values[frame], page.influences)
        observed = None if skinning is None or status is None else observed_weight(status[frame], skinning)
        bodies.append(ColouredBody(vertices, values, page.trial.directions[frame], observed))
    image, _ = draw_bodies(bodies, page.skinned.faces, scale, _WIDTH, _HEIGHT, renderer)
    # 256 colours take a third of the bytes.
    picture, file = Image.fromarray(image).quantize(256, dither=Image.Dither.NONE), BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def _frames(page: WalkPage) -> NDArray[np.int64]:
    """Return the frames that are drawn."""
    frames = figure_frames(page.trial.num_frames)
    strides = [np.diff(contacts) for contacts in page.trial.events.initial_contacts.values()]
    lengths = np.concatenate([*strides, np.empty(0)])
    if page.evidence is None or not page.evidence.findings or not len(lengths):
        return frames
    quarters = (np.arange(len(frames)) - len(frames) // 2) / len(frames)
    around = page.start[0] + np.rint(np.median(lengths) * quarters).astype(np.int64)
    return around if around.min() >= 0 and around.max() < page.trial.num_frames else frames


def posed_vertices_m(skinned: SkinnedBody, frame: int) -> NDArray[np.float64]:
    """Return the vertices (V, 3) of a body in a frame, metres."""
    local = Rotation.from_quat(skinned.rotations[frame]).as_matrix()
    world = local.copy()
    for joint, parent in enumerate(skinned.parents):
        if parent >= 0:
            world[joint] = world[parent] @ local[joint]
    joints = _joints_m(skinned, np.array([frame]))[0]
    shifts = joints - (world @ skinned.joints_m[..., None])[..., 0]
    blended = np.einsum("vk,kab->vab", skinned.weights, world)
    return (blended @ skinned.vertices_m[..., None])[..., 0] + skinned.weights @ shifts


def _joints_m(skinned: SkinnedBody, frames: NDArray[np.integer]) -> NDArray[np.float64]:
    return posed_joints_m(skinned.joints_m, skinned.parents, skinned.rotations[frames], skinned.root_m[frames])


def _skeletons(page: WalkPage, frames: NDArray[np.int64]) -> bytes:
    """Draw the skeletons in a row, seen from the left, with matplotlib."""
    with rc_context(STYLE):
        fig = Figure(figsize=(_WIDTH / _DPI, _HEIGHT / _DPI), dpi=_DPI)
        axes = fig.add_axes((0, 0, 1, 1))
        for place, frame in enumerate(frames):
            joints = _joints_m(page.skinned, np.array([frame]))[0]
            ahead = (joints - joints[0]) @ page.trial.directions[frame]
            for joint, parent in enumerate(BODY_PARENTS[1:], start=1):
                ends = [joint, parent]
                axes.plot(1.2 * place + ahead[ends], joints[ends, 1], color=INK, linewidth=3, solid_capstyle="round")
        axes.set_aspect("equal")
        axes.set_axis_off()
        return figure_png(fig)
