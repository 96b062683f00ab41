"""python docs/pictures/joint_angles.py

Draws the pictures of docs/kinematics.md beside this file, on the open body: the anatomical frames at rest, and the
positive direction of each joint angle.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from gait.body.anatomy import read_anatomy
from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.skeleton import Joint
from gait.kinematics.anatomical_frames import anatomical_frames
from gait.kinematics.joint_angles import ANGLES

HERE = Path(__file__).resolve().parent
OPEN_BODY = HERE.parents[1] / "data" / "SUPR" / "open_neutral.npz"

# view: axes of the picture (across, up) and towards the viewer, in body axes x left, y up, z ahead
VIEWS = {
    "from the left": ([0, 0, 1], [0, 1, 0], [1, 0, 0]),
    "from ahead": ([1, 0, 0], [0, 1, 0], [0, 0, 1]),
    "from above": ([1, 0, 0], [0, 0, -1], [0, 1, 0]),
}
VIEW_OF_PLANE = {"sagittal": "from the left", "frontal": "from ahead", "transverse": "from above"}
REST, MOVED, SHOWN_DEG = "#d3d8dc", "#c9895e", 24.0
LEGS = ("PELVIS", "HIP", "KNEE", "ANKLE", "FOOT")
ARMS = ("SHOULDER", "ELBOW", "WRIST")
UPPER_BODY = ("SPINE1", "SPINE2", "SPINE3", "NECK", "COLLAR", "HEAD", *ARMS)
# by the beginning of the names: joint that turns, joint in the middle of the panel, its size in metres, parts drawn
COLUMNS: Mapping[str, tuple[str, str, float, tuple[str, ...]]] = {
    "pelvis": ("PELVIS", "PELVIS", 0.75, ("PELVIS", "SPINE1", "HIP")),
    "hip": ("LEFT_HIP", "LEFT_KNEE", 1.1, LEGS),
    "knee": ("LEFT_KNEE", "LEFT_ANKLE", 0.75, LEGS),
    "ankle": ("LEFT_ANKLE", "LEFT_ANKLE", 0.42, ("KNEE", "ANKLE", "FOOT")),
    "thorax": ("SPINE3", "SPINE3", 0.95, UPPER_BODY),
    "head": ("HEAD", "HEAD", 0.5, ("HEAD", "NECK", "COLLAR", "SPINE3")),
    "shoulder": ("LEFT_SHOULDER", "LEFT_ELBOW", 0.85, ("SPINE1", "SPINE2", "SPINE3", "NECK", "COLLAR", *ARMS)),
    "elbow": ("LEFT_ELBOW", "LEFT_ELBOW", 0.75, UPPER_BODY),
}
# positive rotation of the left side about x, y or z of the body's axes at rest
TURNS = {
    "tilt": [1, 0, 0], "head_tilt": [-1, 0, 0], "hip_flexion": [-1, 0, 0], "knee_flexion": [1, 0, 0],
    "dorsiflexion": [-1, 0, 0], "shoulder_flexion": [-1, 0, 0], "elbow_flexion": [0, -1, 0],
    "obliquity": [0, 0, 1], "adduction": [0, 0, -1], "inversion": [0, 0, -1], "abduction": [0, 0, 1],
    "rotation": [0, -1, 0],
}  # fmt: skip


def main() -> None:
    """Draw both pictures."""
    body = load_body(OPEN_BODY)
    _save(_draw_frames(body), HERE / "anatomical_frames.png")
    _save(_draw_signs(body), HERE / "joint_angles.png")


def _draw_frames(body: Body) -> Figure:
    anatomy = read_anatomy(body, np.zeros(body.num_betas, np.float32))
    assert anatomy is not None
    vertices = _posed(body, {})
    frames = anatomical_frames(anatomy)
    fig = Figure(figsize=(10, 7), dpi=90)
    views = (("from ahead", (0.0, 0.68), {"thigh", "shank", "pelvis", "thorax", "head", "upper_arm", "forearm"}),
             ("from the left", (0.68, 1.0), {"thigh", "shank", "foot", "pelvis", "thorax", "head"}))  # fmt: skip
    for view, (left, right), shown in views:
        axes = fig.add_axes((left, 0.02, right - left, 0.86))
        _draw_body(axes, body, vertices, view, REST)
        across, up, _ = map(np.array, VIEWS[view])
        for (segment, side), frame in frames.items():
            if side != "left" or segment not in shown:
                continue
            start = frame.origin_m
            for axis, colour, name in zip(frame.axes.T, ("#b3361e", "#2f7d32", "#1f5fa8"), "xyz", strict=True):
                tip = start + 0.13 * axis
                flat = np.array([axis @ across, axis @ up])
                if np.linalg.norm(flat) < 0.2:
                    continue
                axes.annotate("", (tip @ across, tip @ up), (start @ across, start @ up),
                              arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.8})  # fmt: skip
                at = start + 0.155 * axis
                axes.text(at @ across, at @ up, name, color=colour, fontsize=10, ha="center", va="center")
            axes.plot(start @ across, start @ up, "o", color="black", markersize=3.5)
        axes.set_title(view, fontsize=12, pad=14)
    fig.text(0.5, 0.985, "Anatomical frames at rest: x ahead, y up, z to the right, on both sides (drawn: left, trunk)",
             ha="center", va="top", fontsize=12)  # fmt: skip
    return fig


def _draw_signs(body: Body) -> Figure:
    hanging = {Joint.LEFT_SHOULDER: [0, 0, -np.pi / 2 + 0.15], Joint.RIGHT_SHOULDER: [0, 0, np.pi / 2 - 0.15]}
    bent = {Joint.LEFT_ELBOW: [0, -1.4, 0], Joint.RIGHT_ELBOW: [0, 1.4, 0]}  # shows the rotation of the upper arm
    fig = Figure(figsize=(13, 6.1), dpi=100)
    for column, (group, (turned, middle, size, parts)) in enumerate(COLUMNS.items()):
        for row, (plane, view) in enumerate(VIEW_OF_PLANE.items()):
            angle = next((each for each in ANGLES if each.name.startswith(group) and each.plane == plane), None)
            if angle is None:
                continue
            neutral = {**hanging, **bent} if angle.name == "shoulder_rotation" else hanging
            joint, axis = Joint[turned], TURNS.get(angle.name, TURNS.get(angle.name.split("_")[-1]))
            assert axis is not None
            turn = Rotation.from_rotvec(np.radians(SHOWN_DEG) * np.array(axis, float))
            moved = {**neutral, joint: (turn * Rotation.from_rotvec(neutral.get(joint, [0, 0, 0]))).as_rotvec()}
            axes = fig.add_axes((column / 8 + 0.002, (2 - row) / 3, 1 / 8 - 0.012, 1 / 3 - 0.05))
            _draw_body(axes, body, _posed(body, neutral), view, REST, parts)
            _draw_body(axes, body, _posed(body, moved), view, MOVED, parts)
            across, up, _ = map(np.array, VIEWS[view])
            centre = body.posed_joints(*_pose(body, neutral))[0, Joint[middle]].numpy()
            axes.set_xlim(centre @ across - size / 2, centre @ across + size / 2)
            axes.set_ylim(centre @ up - size / 2, centre @ up + size / 2)
            axes.set_title(f"{angle.title}\n+ {angle.positive}", fontsize=8.5, pad=2)
    for row, (plane, view) in enumerate(VIEW_OF_PLANE.items()):
        fig.text(0.992, (2.45 - row) / 3, f"{plane}, {view}", rotation=90, ha="center", va="center", fontsize=9)
    return fig


def _pose(body: Body, turns: Mapping[Joint, NDArray[np.floating] | list[float]]) -> tuple[torch.Tensor, torch.Tensor]:
    pose = np.zeros((1, body.num_joints, 3), np.float32)
    for joint, turn in turns.items():
        pose[0, joint] = turn
    return torch.from_numpy(pose.reshape(1, -1)), torch.zeros(body.num_betas)


def _posed(body: Body, turns: Mapping[Joint, NDArray[np.floating] | list[float]]) -> NDArray[np.float64]:
    """Return the vertices (V, 3) of the mean body with some joints turned, axis-angle."""
    with torch.inference_mode():
        return body(*_pose(body, turns)).vertices[0].double().numpy()


def _draw_body(
    axes: Axes, body: Body, vertices: NDArray[np.float64], view: str, colour: str, parts: tuple[str, ...] = ()
) -> None:
    """Draw the triangles that face the viewer, far ones first, shaded by how far they face it; all if no ``parts``."""
    across, up, towards = (np.array(axis, float) for axis in VIEWS[view])
    drawn = [Joint(joint).name.rpartition("_")[2] in parts or not parts for joint in body.nearest_body_joints]
    drawn = np.array(drawn)[body.face_weights.argmax(dim=1).numpy()]
    corners = vertices[body.faces.numpy()[drawn]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = normal @ towards / np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
    seen = np.flatnonzero(facing > 0)
    seen = seen[np.argsort((corners[seen] @ towards).max(axis=1))]
    base = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    shades = base * (0.62 + 0.38 * facing[seen])[:, None]
    flat = np.stack([corners[seen] @ across, corners[seen] @ up], axis=-1)
    axes.add_collection(PolyCollection(list(flat), facecolors=shades, edgecolors=shades, linewidths=0.4))
    axes.set_aspect("equal")
    axes.autoscale_view()
    axes.set_axis_off()


def _save(fig: Figure, path: Path) -> None:
    """Write a picture with a palette."""
    buffer = io.BytesIO()
    fig.savefig(buffer)
    Image.open(buffer).convert("RGB").quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        path, optimize=True
    )
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
