"""Joints and landmarks of one subject's body at rest, from which anatomical axes and points of the soles follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.marker_layout import MarkerLayout
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.errors import GaitError

if TYPE_CHECKING:  # it imports torch
    from gait.body.body import Body

SOLE_LANDMARKS = ("HEEL_SOLE", "BALL_SOLE", "TOE_SOLE")
"""Landmarks under each foot, "LHEEL_SOLE", ...: under the back of the heel, the ball, and the front of the toes."""

_BONES = {"ASI": "PELVIS", "PSI": "PELVIS", "KNE": "HIP", "KNM": "HIP", "ANK": "KNEE", "MED": "KNEE"}
"""Landmarks, without side, that belong to another bone than most of the skin around them."""
_SOLE_BAND_M = 0.012
"""Vertices of the sole are at most this far above its lowest one."""
_MIN_FOOT_WEIGHT = 0.9


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Joints and landmarks of one subject at rest: T-pose, metres, y up, facing +z, the left at +x.

    Landmarks are the marker centres of Plug-in Gait, by canonical name, and ``SOLE_LANDMARKS``.
    """

    joints_m: NDArray[np.float32]  # (22, 3)
    landmarks: tuple[str, ...]  # (K,)
    landmarks_m: NDArray[np.float32]  # (K, 3) where the body model has them
    fitted_m: NDArray[np.float32]  # (K, 3) where the fit found the recording's marker of that name; else NaN
    moves_with: NDArray[np.uint8]  # (K,) the body joint whose rotation moves the landmark's bone

    def position_m(self, landmark: str, *, fitted: bool = False) -> Vector:
        """Return a landmark's position (3,) at rest; with ``fitted``, of the recording's marker if there is one."""
        row = self.landmarks.index(landmark)
        if fitted and np.isfinite(self.fitted_m[row]).all():
            return self.fitted_m[row].astype(np.float64)
        return self.landmarks_m[row].astype(np.float64)

    def with_markers(self, markers_m: Mapping[str, NDArray[np.floating]]) -> Anatomy:
        """Return the same anatomy with the places at rest, (3,) metres, of fitted markers by name; others ignored."""
        fitted = self.fitted_m.copy()
        for row, name in enumerate(self.landmarks):
            if name in markers_m:
                fitted[row] = markers_m[name]
        return replace(self, fitted_m=fitted)


def read_anatomy(body: Body, betas: NDArray[np.floating]) -> Anatomy | None:
    """Return the anatomy of a body of shape ``betas`` (B,); None if markers cannot be placed on the model."""
    try:
        layout = plug_in_gait_layout(body)
    except GaitError:  # no full body
        return None
    import torch  # takes seconds; reading a pose file needs the class above only

    with torch.inference_mode():
        rest, joints = body.rest_body(torch.as_tensor(betas, dtype=body.dtype, device=body.device))
    vertices = rest[0].double().cpu().numpy()
    markers = _marker_centres(layout, vertices[_marker_corners(body)])
    moves_with = _moves_with(body)
    soles, names, joints_of_soles = [], [], []
    for name, joint, rows in _sole_vertices(body, vertices, joints[0].double().cpu().numpy()):
        names.append(name)
        joints_of_soles.append(joint)
        soles.append(_sole_centre(vertices[rows]))
    positions = np.concatenate([markers, soles]).astype(np.float32)
    return Anatomy(
        joints_m=joints[0, :NUM_BODY_JOINTS].float().cpu().numpy(),
        landmarks=(*layout.labels, *names),
        landmarks_m=positions,
        fitted_m=np.full_like(positions, np.nan),
        moves_with=np.array([*moves_with, *joints_of_soles], dtype=np.uint8),
    )


@lru_cache(maxsize=4)
def anatomy_shapedirs(body: Body) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Return how joints (22, 3, B) and landmarks (K, 3, B) at rest move with each shape coefficient, metres per unit.

    None if markers cannot be placed on the model. The order of the landmarks is that of ``read_anatomy``.
    """
    try:
        layout = plug_in_gait_layout(body)
    except GaitError:
        return None
    rest = body.v_template.double().cpu().numpy()
    dirs = body.shapedirs.double().cpu().numpy()  # (V, 3, B)
    corners = _marker_corners(body)
    moved = np.moveaxis(rest[corners][..., None] + dirs[corners], -1, 0)  # (B, M, 3 corners, 3)
    markers = _marker_centres(layout, moved) - _marker_centres(layout, rest[corners])
    soles = [
        _sole_centre(np.moveaxis(rest[rows][..., None] + dirs[rows], -1, 0)) - _sole_centre(rest[rows])
        for _, _, rows in _sole_vertices(body, rest, body.joint_template.double().cpu().numpy())
    ]
    landmarks = np.concatenate([markers, np.stack(soles, axis=1)], axis=1)  # (B, K, 3)
    joints = body.joint_shapedirs[:NUM_BODY_JOINTS].float().cpu().numpy()
    return joints, np.moveaxis(landmarks, 0, -1).astype(np.float32)


def _marker_centres(layout: MarkerLayout, corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return marker centres (..., M, 3) above the triangles with these corners (..., M, 3, 3)."""
    normal = np.cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :])
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    height = layout.height_above_skin_m[:, None]
    return np.asarray(np.einsum("mk,...mkc->...mc", layout.barycentric, corners) + height * normal)


def _joint_of(landmark: str, joint_of_skin: int) -> int:
    bone = "PELVIS" if landmark == "SACR" else _BONES.get(landmark[1:])
    if bone is None:
        return joint_of_skin
    return Joint[bone if bone == "PELVIS" else f"{'LEFT' if landmark[0] == 'L' else 'RIGHT'}_{bone}"]


@lru_cache(maxsize=4)
def _marker_corners(body: Body) -> NDArray[np.int64]:
    """Return the vertices (M, 3) of the triangle of each marker of the layout."""
    return body.faces.cpu().numpy()[plug_in_gait_layout(body).face]


@lru_cache(maxsize=4)
def _moves_with(body: Body) -> tuple[int, ...]:
    """Return the body joint whose rotation moves the bone of each marker of the layout."""
    layout = plug_in_gait_layout(body)
    by_skin = body.face_weights.cpu().numpy()[layout.face].argmax(axis=1)
    return tuple(_joint_of(label, int(joint)) for label, joint in zip(layout.labels, by_skin, strict=True))


@lru_cache(maxsize=8)
def _foot_vertices(body: Body, joints: tuple[Joint, Joint]) -> NDArray[np.int64]:
    """Return the vertices (N,) of the foot with these joints."""
    belongs = np.isin(body.nearest_body_joints, joints)
    return np.flatnonzero(body.weights.double().cpu().numpy()[:, belongs].sum(axis=1) > _MIN_FOOT_WEIGHT)


def _sole_vertices(body: Body, vertices: Vector, joints: Vector) -> Iterable[tuple[str, Joint, NDArray[np.int64]]]:
    """Yield name, joint and vertices (N,) of each of the ``SOLE_LANDMARKS``, of the left foot, then of the right."""
    for side in ("LEFT", "RIGHT"):
        ankle, ball = Joint[f"{side}_ANKLE"], Joint[f"{side}_FOOT"]
        foot = _foot_vertices(body, (ankle, ball))
        y, z = vertices[:, 1], vertices[:, 2]
        sole = foot[y[foot] < y[foot].min() + _SOLE_BAND_M]
        near = 0.1 * np.ptp(z[sole])
        behind = sole[z[sole] < z[sole].min() + near]
        under_ball = sole[np.abs(z[sole] - joints[ball, 2]) < near]
        in_front = sole[z[sole] > z[sole].max() - near]
        parts = zip(SOLE_LANDMARKS, (ankle, ankle, ball), (behind, under_ball, in_front), strict=True)
        for name, joint, rows in parts:
            yield f"{side[0]}{name}", joint, rows if len(rows) else foot


def _sole_centre(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the centre (..., 3) of points (..., N, 3), at the height of the lowest."""
    centre = points.mean(axis=-2)
    centre[..., 1] = points[..., 1].min(axis=-1)
    return centre
