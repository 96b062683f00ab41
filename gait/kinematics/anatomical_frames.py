"""Anatomical axes of the body's segments, from joints and landmarks at rest.

Axes are x ahead, y up along the segment, z to the subject's right (Wu et al. 2002, J. Biomech. 35:543), on both sides.
They turn with one joint of the body each, so that markers which slide on the skin do not bend them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.skeleton import Joint
from gait.kinematics.gait_events import SIDES

if TYPE_CHECKING:  # it imports torch
    from gait.body.anatomy import Anatomy
    from gait.body.rotation_error import AnatomyError

MAX_MARKER_DISTANCE_M = 0.03
"""A recording's marker farther than this from the body's own landmark is not trusted: the landmark replaces it."""

_ERROR_STEP = 0.05
"""Standard deviations by which points are moved to find how axes turn."""
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
    return {
        (segment, side): AnatomicalFrame(segment_joints(segment, side)[0], axes, origin)
        for segment, side, axes, origin in _segment_axes(_RestPoints(anatomy))
    }


def frame_errors(anatomy: Anatomy, error: AnatomyError) -> Mapping[tuple[str, str], Vector]:
    """Return how the axes of each segment and side turn with each of K errors of the anatomy, (3, K).

    The columns are small rotation vectors in the axes at rest, radians for one standard deviation.
    """
    frames = anatomical_frames(anatomy)
    found: dict[tuple[str, str], Vector] = {}
    for segment, side, axes, _ in _segment_axes(_RestPoints(anatomy, error)):
        turned = axes @ frames[segment, side].axes.T  # (K, 3, 3), nearly the identity
        found[segment, side] = 0.5 * (turned - turned.swapaxes(-1, -2))[:, [2, 0, 1], [1, 2, 0]].T / _ERROR_STEP
    return found


@dataclass(frozen=True, eq=False)
class _RestPoints:
    """Joints and landmarks at rest, (3,) metres; with an error, (K, 3) after a small step of each of its K errors."""

    anatomy: Anatomy
    error: AnatomyError | None = None

    def joint(self, joint: Joint) -> Vector:
        shift = None if self.error is None else self.error.joints_m[joint]
        return self._moved(self.anatomy.joints_m[joint], shift)

    def own(self, *names: str) -> Vector:
        """Return the body's own landmarks (..., N, 3)."""
        rows = [self.anatomy.landmarks.index(name) for name in names]
        shift = None if self.error is None else self.error.landmarks_m[rows]
        return self._moved(self.anatomy.landmarks_m[rows], shift)

    def recorded(self, *groups: Sequence[str]) -> Vector:
        """Return the recording's markers (..., N, 3) of the first group that it has; else the body's own of the first.

        A group counts if all of its markers were recorded and lie near the body's landmarks, so that a single marker
        which is missing or badly placed tilts no axis.
        """
        for group in groups:
            rows = [self.anatomy.landmarks.index(name) for name in group]
            fitted, own = (each[rows].astype(np.float64) for each in (self.anatomy.fitted_m, self.anatomy.landmarks_m))
            if (np.linalg.norm(fitted - own, axis=1) < MAX_MARKER_DISTANCE_M).all():  # false for NaN
                return self._moved(fitted, None if self.error is None else self.error.fitted_m[rows])
        return self.own(*groups[0])

    @staticmethod
    def _moved(points: NDArray[np.floating], shift: NDArray[np.floating] | None) -> Vector:
        moved = points.astype(np.float64)
        return moved if shift is None else moved + _ERROR_STEP * np.moveaxis(shift, -1, 0)


def _segment_axes(points: _RestPoints) -> Iterator[tuple[str, str, Vector, Vector]]:
    """Yield segment, side, axes (..., 3, 3) and origin (..., 3) of each frame of ``anatomical_frames``."""
    asis = points.recorded(["LASI", "RASI"])
    psis = points.recorded(["LPSI", "RPSI"], ["SACR"])
    thorax = points.recorded(["C7", "CLAV", "T10", "STRN"])
    head = points.own("LFHD", "RFHD", "LBHD", "RBHD")
    top, bottom = thorax[..., :2, :].mean(axis=-2), thorax[..., 2:, :].mean(axis=-2)
    for side in SIDES:
        L, outward = side[0].upper(), 1.0 if side == "right" else -1.0
        middle = asis.mean(axis=-2)
        yield "pelvis", side, _axes("zx", asis[..., 1, :] - asis[..., 0, :], middle - psis.mean(axis=-2)), middle
        hip, elbow, shoulder, wrist = (
            points.joint(Joint[f"{side.upper()}_{name}"]) for name in ("HIP", "ELBOW", "SHOULDER", "WRIST")
        )
        lateral, medial, outer, inner, heel, toe = np.moveaxis(
            points.own(*(f"{L}{name}" for name in ("KNE", "KNM", "ANK", "MED", "HEE", "TOE"))), -2, 0
        )
        knee = points.recorded([f"{L}KNE"])[..., 0, :] + 0.5 * (medial - lateral)
        ankle = 0.5 * (outer + inner)
        yield "thigh", side, _axes("yz", hip - knee, outward * (lateral - medial)), hip
        yield "shank", side, _axes("yz", knee - ankle, outward * (lateral - medial)), knee
        yield "tibia", side, _axes("yz", knee - ankle, outward * (outer - inner)), knee
        yield "foot", side, _axes("yx", np.array([0.0, 1, 0]), toe - heel), ankle
        ahead = thorax[..., [1, 3], :].sum(axis=-2) - thorax[..., [0, 2], :].sum(axis=-2)
        yield "thorax", side, _axes("yx", top - bottom, ahead), top
        ahead = head[..., :2, :].mean(axis=-2) - head[..., 2:, :].mean(axis=-2)
        right = head[..., [1, 3], :].sum(axis=-2) - head[..., [0, 2], :].sum(axis=-2)
        yield "head", side, _axes("xz", ahead, right), head.mean(axis=-2)
        hinge = np.array([0.0, outward, 0])  # the elbow flexes about the vertical of the T-pose
        yield "upper_arm", side, _axes("yz", shoulder - elbow, hinge), shoulder
        yield "forearm", side, _axes("yz", elbow - wrist, hinge), elbow


def _axes(order: str, primary: Vector, secondary: Vector) -> Vector:
    """Return axes (..., 3, 3) of which one is along ``primary`` (..., 3), and one in the plane of it and ``secondary``.

    ``order`` names the two, e.g. "yz".
    """
    first, second = ("xyz".index(axis) for axis in order)
    third = 3 - first - second
    sign = 1.0 if (second - first) % 3 == 1 else -1.0
    primary, secondary = np.broadcast_arrays(primary, secondary)
    out = np.zeros((*primary.shape, 3))
    out[..., first] = primary / np.linalg.norm(primary, axis=-1, keepdims=True)
    across = sign * np.cross(out[..., first], secondary)
    out[..., third] = across / np.linalg.norm(across, axis=-1, keepdims=True)
    out[..., second] = sign * np.cross(out[..., third], out[..., first])
    return out
