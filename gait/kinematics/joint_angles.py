"""Angles of joints over time, from joint centres.

Between segments of joint centres, not a clinical model's axes: courses and ranges compare better than offsets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import Joint
from gait.kinematics.gait_events import SIDES, headings

Vector = NDArray[np.float64]

_UP = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True, eq=False)
class JointAngles:
    """Degrees, frame by frame; by side "left" and "right" where there are two."""

    hip: Mapping[str, Vector]  # (T,) flexion: thigh against pelvis in the sagittal plane, ahead is more
    knee: Mapping[str, Vector]  # (T,) flexion: thigh against shank, 0 when straight
    ankle: Mapping[str, Vector]  # (T,) between shank and foot; less is dorsiflexion
    shoulder: Mapping[str, Vector]  # (T,) shoulder to wrist in the sagittal plane, ahead is more
    elbow: Mapping[str, Vector]  # (T,) flexion: upper arm against forearm, 0 when straight
    trunk_lean: Vector  # (T,) hips to neck against the vertical, ahead is more
    trunk_sway: Vector  # (T,) the same from side to side, left is more


def joint_angles(joints_m: NDArray[np.floating], rate_hz: float) -> JointAngles:
    """The angles of a recording.

    Args:
        joints_m: (T, 22, 3) metres, y up, finite.
        rate_hz: frames a second.
    """
    joints = np.asarray(joints_m, dtype=np.float64)
    ahead = headings(joints, rate_hz)

    def at(name: str, side: str = "") -> Vector:
        return joints[:, Joint[f"{side.upper()}_{name}" if side else name]]

    hips = 0.5 * (at("HIP", "left") + at("HIP", "right"))
    pelvis = _sagittal(at("SPINE1") - hips, ahead, _UP)  # both turn with the pelvis alone
    trunk = at("NECK") - hips
    hip, knee, ankle, shoulder, elbow = ({} for _ in range(5))
    for side in SIDES:
        thigh, shank = at("KNEE", side) - at("HIP", side), at("ANKLE", side) - at("KNEE", side)
        hip[side] = _sagittal(thigh, ahead, -_UP) + pelvis
        knee[side] = _between(thigh, shank)
        ankle[side] = _between(-shank, at("FOOT", side) - at("ANKLE", side))
        upper, fore = at("ELBOW", side) - at("SHOULDER", side), at("WRIST", side) - at("ELBOW", side)
        shoulder[side] = _sagittal(upper + fore, ahead, -_UP)
        elbow[side] = _between(upper, fore)
    return JointAngles(
        hip, knee, ankle, shoulder, elbow, _sagittal(trunk, ahead, _UP), _sagittal(trunk, np.cross(_UP, ahead), _UP)
    )


def _between(a: Vector, b: Vector) -> Vector:
    """(T,) degrees between two segments (T, 3)."""
    cosine = (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _sagittal(segment: Vector, ahead: Vector, rest: Vector) -> Vector:
    """(T,) degrees by which a segment (T, 3) points along ``ahead`` (T, 3) from the direction ``rest`` (3,)."""
    return np.degrees(np.arctan2((segment * ahead).sum(axis=1), segment @ rest))
