"""Place Plug-in Gait markers on any full-body model by casting rays from its joints.

Each rule has a point inside the body, a direction in the T-pose (the lateral side of the arms is up, the thumb side in
front), and the part of the skin that the ray may hit. Landmarks: Vicon, Plug-in Gait Reference Guide, "Full body
modeling marker set"; Kadaba, Ramakrishnan & Wootten 1990, J. Orthop. Res. 8:383, for the lower body; heights of the
trunk landmarks relative to stature after Gordon et al. 1989, ANSUR.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.marker_layout import MarkerLayout, marker_kind
from gait.body.skeleton import NUM_BODY_JOINTS, Joint, joint_indices
from gait.errors import GaitError

MARKER_CENTRE_M = 0.009
"""Height of the centre of a 14 mm marker with base plate above the skin, metres."""

_UP, _FORWARD = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
_TRUNK = (
    *("PELVIS", "SPINE1", "SPINE2", "SPINE3", "NECK"),
    *(f"{side}_{name}" for side in ("LEFT", "RIGHT") for name in ("COLLAR", "SHOULDER", "HIP")),
)

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class _Rule:
    label: str
    origin: Vector  # (3,) a point inside the body, metres
    direction: Vector  # (3,) of the ray, out of the body
    skin_of: tuple[str, ...]  # the ray may hit the skin that moves with these joints


def plug_in_gait_layout(body: Body) -> MarkerLayout:
    """Place Plug-in Gait's 39 markers, SACR, and the medial knee and ankle markers on a body's mean shape.

    Raises:
        GaitError: the model lacks the 22 body joints (a hand or head model), or a ray hits no skin.
    """
    if body.num_joints < NUM_BODY_JOINTS:
        raise GaitError(
            f"{body.name}: markers can only be placed on a model of {NUM_BODY_JOINTS} or more joints; this file has "
            f"{body.num_joints}. Use a full-body model, or a marker_layout_file made for this one."
        )
    vertices = body.v_template.double().cpu().numpy()
    faces = body.faces.cpu().numpy()
    weights = body.weights.double().cpu().numpy()
    joints = body.joint_template.double().cpu().numpy()
    rules = list(_rules(vertices, weights, joints, body.name))
    face_weight = weights[faces].mean(axis=1)
    hits = [_cast_ray(rule, vertices, faces, face_weight, body.name) for rule in rules]
    return MarkerLayout(
        labels=tuple(rule.label for rule in rules),
        face=np.array([face for face, _ in hits]),
        barycentric=np.array([bary for _, bary in hits]),
        height_above_skin_m=np.full(len(rules), MARKER_CENTRE_M),
        kinds=tuple(marker_kind(rule.label) for rule in rules),
        source=f"Plug-in Gait markers on {body.name}",
    )


def _rules(vertices: Vector, weights: Vector, joints: Vector, name: str) -> Iterable[_Rule]:
    floor, crown = vertices[:, 1].min(), vertices[:, 1].max()
    stature = crown - floor

    def joint(name: str) -> Vector:
        return joints[Joint[name]].copy()

    def between(a: Vector, b: Vector, t: float) -> Vector:
        return (1 - t) * a + t * b

    def height(fraction: float) -> float:
        return floor + fraction * stature

    trunk_z = joint("SPINE3")[2]
    yield _Rule(
        "C7",
        np.array([0, height(0.855), joint("NECK")[2]]),
        -_FORWARD,
        ("NECK", "SPINE3", "LEFT_COLLAR", "RIGHT_COLLAR"),
    )
    yield _Rule("T10", np.array([0, height(0.710), trunk_z]), -_FORWARD, _TRUNK)
    yield _Rule("CLAV", np.array([0, height(0.812), trunk_z]), _FORWARD, _TRUNK)
    yield _Rule("STRN", np.array([0, height(0.716), trunk_z]), _FORWARD, _TRUNK)
    shoulder = joint("RIGHT_SHOULDER")
    yield _Rule("RBAK", np.array([0.55 * shoulder[0], height(0.77), shoulder[2]]), -_FORWARD, _TRUNK)
    yield _Rule("SACR", np.array([0, height(0.581), joint("PELVIS")[2]]), -_FORWARD, _TRUNK)

    def skin(where: NDArray[np.bool_], what: str) -> Vector:
        if not where.any():
            raise GaitError(
                f"{name}: no skin at the {what}, where markers are placed; is this a full body in T-pose? "
                "Use a marker_layout_file that places the markers."
            )
        return vertices[where]

    band_y = height(0.955)
    at_band = np.abs(vertices[:, 1] - band_y) < 0.015 * stature
    ring = skin((weights[:, Joint.HEAD] > 0.9) & at_band, "height of a head band")
    centre = np.array([0, band_y, (ring[:, 2].max() + ring[:, 2].min()) / 2])
    for S, side, g in (("L", "LEFT", 1.0), ("R", "RIGHT", -1.0)):
        out = np.array([g, 0, 0])

        def own(name: str, side: str = side) -> Vector:
            return joint(f"{side}_{name}")

        for end, degrees in (("FHD", 38), ("BHD", 142)):
            a = np.deg2rad(degrees)
            yield _Rule(S + end, centre, np.array([g * np.sin(a), 0, np.cos(a)]), ("HEAD",))
        shoulder, elbow, wrist = own("SHOULDER"), own("ELBOW"), own("WRIST")
        hip, knee, ankle, foot = own("HIP"), own("KNEE"), own("ANKLE"), own("FOOT")
        arm = (f"{side}_SHOULDER", f"{side}_ELBOW", f"{side}_COLLAR")
        forearm = (f"{side}_ELBOW", f"{side}_WRIST")
        hand = (
            f"{side}_WRIST",
            *(f"{side}_{f}{k}" for f in ("INDEX", "MIDDLE", "PINKY", "RING", "THUMB") for k in (1, 2, 3)),
        )
        yield _Rule(S + "SHO", shoulder - 0.03 * out, _UP, _TRUNK)
        yield _Rule(S + "UPA", between(shoulder, elbow, 0.45 if S == "L" else 0.62), _UP, arm)
        yield _Rule(S + "ELB", elbow, np.array([0, 1, -0.25]), arm)
        yield _Rule(S + "FRM", between(elbow, wrist, 0.5 if S == "L" else 0.6), _UP, forearm)
        yield _Rule(S + "WRA", wrist, np.array([0, 0.15, 1]), forearm + hand)
        yield _Rule(S + "WRB", wrist, np.array([0, 0.15, -1]), forearm + hand)
        knuckle = _finger_base(joints, side)
        yield _Rule(S + "FIN", between(wrist, knuckle, 0.9), _UP, hand)

        pelvis_skin = ("PELVIS", "LEFT_HIP", "RIGHT_HIP", "SPINE1", "SPINE2")
        yield _Rule(S + "ASI", np.array([g * 0.072 * stature, height(0.565), hip[2]]), _FORWARD, pelvis_skin)
        yield _Rule(S + "PSI", np.array([g * 0.028 * stature, height(0.585), hip[2]]), -_FORWARD, pelvis_skin)
        thigh = (f"{side}_HIP", f"{side}_KNEE", "PELVIS")
        shank = (f"{side}_KNEE", f"{side}_ANKLE", f"{side}_HIP")
        yield _Rule(S + "THI", between(hip, knee, 0.5 if S == "L" else 0.65), out, thigh)
        # Skin slides backward over the epicondyles as the knee bends, so on average their markers are slightly in
        # front of the knee axis.
        epicondyle = knee + 0.0035 * stature * _FORWARD
        yield _Rule(S + "KNE", epicondyle, out, shank)
        yield _Rule(S + "KNM", epicondyle, -out, shank)
        yield _Rule(S + "TIB", between(knee, ankle, 0.4 if S == "L" else 0.55), out, shank)
        below = (
            f"{side}_ANKLE",
            f"{side}_FOOT",
            f"{side}_KNEE",
            *(f"{side}_TOE{t}_{k}" for t in range(1, 6) for k in (1, 2)),
        )
        yield _Rule(S + "ANK", ankle - 0.003 * stature * _FORWARD, out, below)
        yield _Rule(S + "MED", ankle + 0.006 * stature * _UP, -out, below)
        sole = skin(weights[:, Joint[f"{side}_ANKLE"]] > 0.5, f"{side.lower()} heel")[:, 1].min()
        toe = _toe_base(joints, side, foot)
        yield _Rule(S + "TOE", toe + 0.004 * stature * out - 0.007 * stature * _FORWARD, _UP, below)
        yield _Rule(S + "HEE", np.array([ankle[0], sole + 0.024 * stature, ankle[2]]), -_FORWARD, below)


def _finger_base(joints: Vector, side: str) -> Vector:
    """Return the midpoint (3,) of the bases of index and middle finger; an estimate if the model has no fingers."""
    rows = joint_indices(len(joints))
    fingers = [rows[finger] for k in ("INDEX1", "MIDDLE1") if (finger := Joint[f"{side}_{k}"]) in rows]
    if fingers:
        return joints[fingers].mean(axis=0)
    elbow, wrist = joints[Joint[f"{side}_ELBOW"]], joints[Joint[f"{side}_WRIST"]]
    return wrist + 0.35 * (wrist - elbow)


def _toe_base(joints: Vector, side: str, foot: Vector) -> Vector:
    """Return the base (3,) of the second toe; the foot joint if the model has no toes."""
    toe = Joint[f"{side}_TOE2_1"]
    return joints[toe].copy() if len(joints) > toe else foot


def _cast_ray(
    rule: _Rule, vertices: Vector, faces: NDArray[np.int64], face_weight: Vector, name: str
) -> tuple[int, Vector]:
    """Return the face and the barycentric weights (3,) of the outermost point where a rule's ray leaves allowed skin.

    Möller & Trumbore 1997, J. Graphics Tools 2:21.
    """
    column = joint_indices(face_weight.shape[1])
    columns = [column[Joint[j]] for j in rule.skin_of if Joint[j] in column]
    allowed = np.flatnonzero(face_weight[:, columns].sum(axis=1) > 0.5)
    a, b, c = (vertices[faces[allowed, k]] for k in range(3))
    direction = rule.direction / np.linalg.norm(rule.direction)
    e1, e2 = b - a, c - a
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
        raise GaitError(
            f"{name}: no skin for marker {rule.label} near the joints {', '.join(rule.skin_of)}; is this a "
            "full body in T-pose? Use a marker_layout_file that places the markers."
        )
    rows = np.flatnonzero(hit)
    row = rows[np.argmax(distance[rows])]
    bary = np.array([1 - u[row] - v[row], u[row], v[row]]).clip(0, 1)
    return int(allowed[row]), bary / bary.sum()
