"""Anatomical axes of the body's segments, from joints and landmarks at rest.

Axes are x ahead, y up along the segment, z to the subject's right (Wu et al. 2002, J. Biomech. 35:543), on both sides.
They turn with one joint of the body each, so that markers which slide on the skin do not bend them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gait.arrays import Vector
from gait.body.skeleton import Joint
from gait.kinematics.gait_events import SIDES

if TYPE_CHECKING:  # it imports torch
    from gait.body.anatomy import Anatomy

MAX_MARKER_DISTANCE_M = 0.03
"""A recording's marker farther than this from the body's own landmark is not trusted: the landmark replaces it."""

_SEGMENT_JOINTS = {
    "pelvis": ("PELVIS", "LEFT_HIP", "RIGHT_HIP"),
    "thigh": ("HIP", "KNEE"),
    "shank": ("KNEE", "ANKLE"),
    "tibia": ("KNEE", "ANKLE"),
    "foot": ("ANKLE", "FOOT"),
    "thorax": ("SPINE3", "NECK"),
    "head": ("HEAD",),
    "upper_arm": ("SHOULDER", "ELBOW"),
    "forearm": ("ELBOW", "WRIST"),
}
MIDLINE_SEGMENTS = ("pelvis", "thorax", "head")


@dataclass(frozen=True, eq=False)
class AnatomicalFrame:
    """The anatomical frame of one segment at rest (T-pose, metres, y up, facing +z)."""

    joint: Joint  # whose rotation turns it
    axes: Vector  # (3, 3) columns: x ahead, y up, z to the right
    origin_m: Vector  # (3,)


def segment_joints(segment: str, side: str) -> tuple[Joint, ...]:
    """Return the joints that must be observed for a segment to be; the first one turns it."""
    return tuple(
        Joint[name if name in Joint.__members__ else f"{side.upper()}_{name}"] for name in _SEGMENT_JOINTS[segment]
    )


def anatomical_frames(anatomy: Anatomy) -> Mapping[tuple[str, str], AnatomicalFrame]:
    """Return the frame of each segment and side; of "pelvis", "thorax" and "head", both sides have the same.

    * pelvis: z along the ASIS, x in the plane of ASIS and the midpoint of the PSIS;
    * thigh: y from the knee centre to the hip centre, z in the plane of y and the epicondyles;
    * shank: y from the ankle centre to the knee centre, z in the plane of y and the epicondyles;
    * tibia: the same with the malleoli, which Plug-in Gait calls the torsioned tibia;
    * foot: y perpendicular to the sole, x from HEE to TOE parallel to it;
    * thorax: y from between STRN and T10 to between CLAV and C7, x in the plane of y and the line ahead;
    * head: x from between the back to between the front markers, z in the plane of x and the line to the right;
    * upper arm and forearm: y along the segment, z along the flexion axis of the elbow.

    The hip centre is the body's; the knee centre is midway between the epicondyles, the ankle centre between the
    malleoli. The ASIS, PSIS, lateral epicondyles and markers of the thorax are the recording's where it has them; else,
    and everywhere else, the landmarks are the body's. (Measured against Plug-in Gait: the recording's are nearer for
    pelvis and knee; the body's for feet and head, whose markers are placed with less care.)
    """
    found: dict[tuple[str, str], AnatomicalFrame] = {}
    joints = {joint: anatomy.joints_m[joint].astype(np.float64) for joint in Joint if joint < len(anatomy.joints_m)}

    def add(segment: str, side: str, axes: Vector, origin: Vector) -> None:
        found[segment, side] = AnatomicalFrame(segment_joints(segment, side)[0], axes, origin)

    asis = _recorded(anatomy, ["LASI", "RASI"])
    psis = _recorded(anatomy, ["LPSI", "RPSI"], ["SACR"])
    thorax = _recorded(anatomy, ["C7", "CLAV", "T10", "STRN"])
    head = np.stack([anatomy.position_m(name) for name in ("LFHD", "RFHD", "LBHD", "RBHD")])
    top, bottom = 0.5 * (thorax[0] + thorax[1]), 0.5 * (thorax[2] + thorax[3])
    for side in SIDES:
        L, outward = side[0].upper(), 1.0 if side == "right" else -1.0
        add("pelvis", side, _axes("zx", asis[1] - asis[0], asis.mean(axis=0) - psis.mean(axis=0)), asis.mean(axis=0))
        hip, elbow, shoulder, wrist = (
            joints[Joint[f"{side.upper()}_{name}"]] for name in ("HIP", "ELBOW", "SHOULDER", "WRIST")
        )
        lateral, medial = anatomy.position_m(f"{L}KNE"), anatomy.position_m(f"{L}KNM")
        knee = _recorded(anatomy, [f"{L}KNE"])[0] + 0.5 * (medial - lateral)
        outer, inner = anatomy.position_m(f"{L}ANK"), anatomy.position_m(f"{L}MED")
        ankle = 0.5 * (outer + inner)
        add("thigh", side, _axes("yz", hip - knee, outward * (lateral - medial)), hip)
        add("shank", side, _axes("yz", knee - ankle, outward * (lateral - medial)), knee)
        add("tibia", side, _axes("yz", knee - ankle, outward * (outer - inner)), knee)
        heel, toe = anatomy.position_m(f"{L}HEE"), anatomy.position_m(f"{L}TOE")
        add("foot", side, _axes("yx", np.array([0.0, 1, 0]), toe - heel), ankle)
        add("thorax", side, _axes("yx", top - bottom, thorax[[1, 3]].sum(axis=0) - thorax[[0, 2]].sum(axis=0)), top)
        ahead, right = (
            head[:2].mean(axis=0) - head[2:].mean(axis=0),
            head[[1, 3]].sum(axis=0) - head[[0, 2]].sum(axis=0),
        )
        add("head", side, _axes("xz", ahead, right), head.mean(axis=0))
        hinge = np.array([0.0, outward, 0])  # the elbow flexes about the vertical of the T-pose
        add("upper_arm", side, _axes("yz", shoulder - elbow, hinge), shoulder)
        add("forearm", side, _axes("yz", elbow - wrist, hinge), elbow)
    return found


def _recorded(anatomy: Anatomy, *groups: Sequence[str]) -> Vector:
    """Return the recording's markers (K, 3) at rest of the first group that it has; else the body's own of the first.

    A group counts if all of its markers were recorded and lie near the body's landmarks, so that a single marker which
    is missing or badly placed tilts no axis.
    """
    for group in groups:
        own = np.stack([anatomy.position_m(name) for name in group])
        fitted = np.stack([anatomy.fitted_m[anatomy.landmarks.index(name)] for name in group]).astype(np.float64)
        if (np.linalg.norm(fitted - own, axis=1) < MAX_MARKER_DISTANCE_M).all():  # false for NaN
            return fitted
    return np.stack([anatomy.position_m(name) for name in groups[0]])


def _axes(order: str, primary: Vector, secondary: Vector) -> Vector:
    """Return axes (3, 3) of which one is along ``primary`` (3,), and one in the plane of it and ``secondary`` (3,).

    ``order`` names the two, e.g. "yz".
    """
    first, second = ("xyz".index(axis) for axis in order)
    third = 3 - first - second
    sign = 1.0 if (second - first) % 3 == 1 else -1.0
    out = np.zeros((3, 3))
    out[:, first] = primary / np.linalg.norm(primary)
    across = sign * np.cross(out[:, first], secondary)
    out[:, third] = across / np.linalg.norm(across)
    out[:, second] = sign * np.cross(out[:, third], out[:, first])
    return out
