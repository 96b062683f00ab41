"""Place the markers of marker sets on any full-body model by casting rays from its joints.

The rays are described in the data files of ``gait.marker_sets``. A ray has a point inside the body, a direction in the
T-pose (the lateral side of the arms is up, the thumb side in front), and the part of the skin that it may hit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.marker_layout import MarkerLayout
from gait.body.skeleton import NUM_BODY_JOINTS, Joint, joint_indices
from gait.errors import GaitError
from gait.marker_sets import MARKER_SETS, MARKERS, closest_set
from gait.marker_sets.marker_set import SIDES, Marker, MarkerSet, Ray

if TYPE_CHECKING:  # it imports torch
    from gait.body.body import Body

MARKER_CENTRE_M = 0.009
"""Height of the centre of a 14 mm marker with base plate above the skin, metres."""

MIN_PLACED_MARKERS = 10
"""Number of markers on landmarks above which a body can be fitted without those of which only the segment is known."""

_NO_SKIN = "is this a full body in T-pose? Use a marker_layout_file that places the markers."


@dataclass(frozen=True)
class _Rule:
    label: str
    origin: Vector  # (3,) a point inside the body, metres
    direction: Vector  # (3,) of the ray, out of the body
    skin_of: tuple[str, ...]  # the ray may hit the skin that moves with these joints


def plug_in_gait_layout(body: Body) -> MarkerLayout:
    """Place Plug-in Gait's 39 markers, SACR, and the medial knee and ankle markers on a body's mean shape.

    Raises GaitError as ``place_markers``.
    """
    plug_in_gait = MARKER_SETS["plug_in_gait"]
    return place_markers(body, [marker.name for marker in plug_in_gait.markers], plug_in_gait.title)


def marker_set_layout(body: Body, marker_set: MarkerSet) -> MarkerLayout:
    """Place the markers of a complete recording of one marker set on a body's mean shape.

    Raises GaitError as ``place_markers``.
    """
    return place_markers(body, marker_set.recorded, marker_set.title).select(
        name for name in marker_set.recorded if MARKERS[name].ray or MARKERS[name].joint
    )


def recorded_markers_layout(
    body: Body, recordings: Sequence[Collection[str]], sets: Collection[str] = ()
) -> MarkerLayout:
    """Place the markers of a subject's recordings, and those that their marker sets have beside them.

    Left out are markers whose places the fit finds better from the recordings, if there are ``MIN_PLACED_MARKERS``
    others: those of which only the segment is known, and those ``solved_beside`` a marker that every recording has.
    Joint centres that markers outnumber, as OpenCap writes them beside markers, are left out: markers say more.

    Args:
        body: the body.
        recordings: labels of the markers of each recording; those that no set has are ignored.
        sets: marker sets of the recordings (keys of ``MARKER_SETS``); without any, the one that fits them best.

    Raises GaitError as ``place_markers``.
    """
    recorded = [MARKERS[label] for label in dict.fromkeys(chain(*recordings)) if label in MARKERS]
    on_skin = [marker for marker in recorded if marker.kind != "joint_centre"]
    recorded = on_skin if 2 * len(on_skin) > len(recorded) else recorded
    used = [MARKER_SETS[name] for name in sets] or [closest_set([marker.name for marker in recorded])]
    wanted = [*recorded, *(MARKERS[name] for each in used for name in each.recorded)]
    if sum(not marker.cluster for marker in recorded) >= MIN_PLACED_MARKERS:
        wanted = [
            marker
            for marker in wanted
            if not marker.cluster
            and not (marker.solved_beside and all(marker.solved_beside in labels for labels in recordings))
        ]
    return place_markers(body, [marker.name for marker in wanted], " and ".join(each.title for each in used))


def place_markers(body: Body, markers: Iterable[str], title: str) -> MarkerLayout:
    """Place markers, by their canonical names, on a body's mean shape; those without ray and joint are left out.

    They are in the order of ``MARKERS``; ``title`` is that of their marker set, for messages.

    Raises:
        GaitError: the model lacks the 22 body joints (a hand or head model), or a ray hits no skin.
    """
    if body.num_joints < NUM_BODY_JOINTS:
        problem = f"markers can only be placed on a model of {NUM_BODY_JOINTS} or more joints, not {body.num_joints}"
        raise GaitError(f"{body.name}: {problem}. Use a full-body model, or a marker_layout_file made for this one.")
    names = set(markers)
    rest = _rest_body(body)
    placed = [each for each in MARKERS.values() if each.name in names and (each.ray or each.joint)]
    hits = [rest.place(marker) for marker in placed]
    return MarkerLayout(
        labels=tuple(marker.name for marker in placed),
        face=np.array([face for face, _ in hits], dtype=np.int64),
        barycentric=np.array([bary for _, bary in hits]).reshape(-1, 3),
        height_above_skin_m=np.array([0.0 if each.kind == "joint_centre" else MARKER_CENTRE_M for each in placed]),
        kinds=tuple(marker.kind for marker in placed),
        source=f"{title} markers on {body.name}",
        joints={marker.name: Joint[marker.joint] for marker in placed if marker.joint},
    )


@dataclass(frozen=True, eq=False)
class _Patch:
    """Triangles of the skin."""

    faces: NDArray[np.int64]  # (F',) of the body
    corner: Vector  # (F', 3) metres
    edge1: Vector  # (F', 3) from this corner to the two others
    edge2: Vector  # (F', 3)
    radius: Vector  # (F',) the longer of both: of a sphere about the corner that holds the triangle

    def near_line(self, point: Vector, direction: Vector) -> NDArray[np.intp]:
        """Return the triangles that a line through ``point`` (3,) along a unit vector (3,) can meet."""
        away = self.corner - point
        along = away @ direction
        return np.flatnonzero((away**2).sum(axis=1) - along**2 <= (1.01 * self.radius) ** 2)


class _RestBody:
    """The mean shape of a body in T-pose, and the points from which rays start."""

    def __init__(self, body: Body):
        self.name = body.name
        self.vertices = body.v_template.double().cpu().numpy()
        self.faces = body.faces.cpu().numpy()
        self.weights = body.weights.double().cpu().numpy()
        self.joints = body.joint_template.double().cpu().numpy()
        self.rows = joint_indices(len(self.joints))
        self._patches: dict[tuple[str, ...], _Patch] = {}
        self._hits: dict[str, tuple[int, Vector]] = {}
        self.floor = self.vertices[:, 1].min()
        self.stature = self.vertices[:, 1].max() - self.floor

    def place(self, marker: Marker) -> tuple[int, Vector]:
        """Return the face and the barycentric weights (3,) of a marker."""
        if marker.ray is None:
            return 0, np.array([1.0, 0.0, 0.0])  # a joint centre has no place on the skin
        if marker.name not in self._hits:
            self._hits[marker.name] = _cast_ray(self.rule(marker.name, marker.side, marker.ray), self)
        return self._hits[marker.name]

    def rule(self, label: str, side: str, ray: Ray) -> _Rule:
        if unknown := [joint for joint in ray.skin if joint not in Joint.__members__]:
            raise GaitError(f"the skin of marker {label} moves with {', '.join(unknown)}, which are no joints.")
        own_side = np.array([-1.0 if side == "right" else 1.0, 1.0, 1.0])
        origin = self._point(label, ray.start)
        if ray.towards:
            origin = (1 - ray.fraction) * origin + ray.fraction * self._point(label, ray.towards)
        origin[0] *= ray.lateral
        if ray.height is not None:
            base = self.floor if ray.above == "floor" else self._sole(side)
            origin[1] = base + ray.height * self.stature
        if ray.centred:
            at_height = np.abs(self.vertices[:, 1] - origin[1]) < 0.015 * self.stature
            own = self.weights[:, self._row(label, ray.start)] > 0.9
            ring = self._skin(own & at_height, f"height of {label}")[:, 2]
            origin[2] = (ring.max() + ring.min()) / 2
        origin = origin + own_side * np.array(ray.offset) * self.stature + own_side * np.array(ray.offset_m)
        return _Rule(label, origin, own_side * np.array(ray.direction), ray.skin)

    def patch(self, skin_of: tuple[str, ...]) -> _Patch:
        """Return the skin of which more than half moves with some joints."""
        if skin_of not in self._patches:
            columns = [self.rows[Joint[joint]] for joint in skin_of if Joint[joint] in self.rows]
            weight = self.weights[:, columns].sum(axis=1)
            faces = np.flatnonzero(sum(weight[self.faces[:, k]] for k in range(3)) > 1.5)
            a, b, c = (self.vertices[self.faces[faces, k]] for k in range(3))
            radius = np.sqrt(np.maximum(((b - a) ** 2).sum(axis=1), ((c - a) ** 2).sum(axis=1)))
            self._patches[skin_of] = _Patch(faces, a, b - a, c - a, radius)
        return self._patches[skin_of]

    def _row(self, label: str, joint: str) -> int:
        row = self.rows.get(Joint.__members__.get(joint))  # type: ignore[arg-type]
        if row is None:
            raise GaitError(f"{self.name}: has no joint {joint!r}, from which marker {label} is placed.")
        return row

    def _point(self, label: str, name: str) -> Vector:
        """Return a joint (3,), or a point that is estimated if the model has no fingers or toes."""
        side, _, part = name.partition("_")
        if part == "KNUCKLES" and side in ("LEFT", "RIGHT"):  # the bases of index and middle finger
            rows = [self.rows.get(Joint[f"{side}_{finger}"]) for finger in ("INDEX1", "MIDDLE1")]
            if fingers := [row for row in rows if row is not None]:
                return np.asarray(self.joints[fingers].mean(axis=0))
            elbow, wrist = self._point(label, f"{side}_ELBOW"), self._point(label, f"{side}_WRIST")
            return wrist + 0.35 * (wrist - elbow)
        if part == "TOES" and side in ("LEFT", "RIGHT"):  # the base of the second toe
            name = f"{side}_TOE2_1" if Joint[f"{side}_TOE2_1"] in self.rows else f"{side}_FOOT"
        return np.array(self.joints[self._row(label, name)])

    def _sole(self, side: str) -> float:
        foot = self.weights[:, Joint[f"{SIDES[side][1]}_ANKLE"]] > 0.5
        return float(self._skin(foot, f"{side} heel")[:, 1].min())

    def _skin(self, where: NDArray[np.bool_], what: str) -> Vector:
        if not where.any():
            raise GaitError(f"{self.name}: no skin at the {what}, where markers are placed; {_NO_SKIN}")
        return np.asarray(self.vertices[where])


_rest_body = lru_cache(maxsize=4)(_RestBody)
"""With the markers that have been placed: all subjects of a cohort usually share one body."""


def _cast_ray(rule: _Rule, rest: _RestBody) -> tuple[int, Vector]:
    """Return the face and the barycentric weights (3,) of the outermost point where a rule's ray leaves allowed skin.

    Möller & Trumbore 1997, J. Graphics Tools 2:21.
    """
    patch = rest.patch(rule.skin_of)
    direction = rule.direction / np.linalg.norm(rule.direction)
    near = patch.near_line(rule.origin, direction)
    a, e1, e2 = patch.corner[near], patch.edge1[near], patch.edge2[near]
    p = np.cross(direction, e2)
    det = (e1 * p).sum(axis=1)
    det = np.where(np.abs(det) < 1e-14, 1e-14, det)
    s = rule.origin - a
    u = (s * p).sum(axis=1) / det
    q = np.cross(s, e1)
    v = (q @ direction) / det
    distance = (e2 * q).sum(axis=1) / det
    outward = np.cross(e1, e2) @ direction > 0
    hit = (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9) & (distance > 1e-4) & outward
    if not hit.any():
        joints = ", ".join(rule.skin_of)
        raise GaitError(f"{rest.name}: no skin for marker {rule.label} near the joints {joints}; {_NO_SKIN}")
    rows = np.flatnonzero(hit)
    row = rows[np.argmax(distance[rows])]
    bary = np.array([1 - u[row] - v[row], u[row], v[row]]).clip(0, 1)
    return int(patch.faces[near[row]]), bary / bary.sum()
