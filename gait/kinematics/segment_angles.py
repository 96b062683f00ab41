"""Angles between segments that connect joint centres, for poses of which only the joint positions are known.

They are not about the axes of a clinical model (``joint_angles`` are), so curves and ranges of motion compare better
than offsets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.arrays import UP, Vector
from gait.body.joint_status import JointStatus
from gait.body.skeleton import Joint
from gait.kinematics.gait_events import SIDES, progression_directions


@dataclass(frozen=True, eq=False)
class SegmentAngles:
    """Segment angles in degrees per frame; mappings are by side, "left" and "right"."""

    hip: Mapping[str, Vector]  # (T,) flexion: thigh against pelvis in the sagittal plane; forward is positive
    knee: Mapping[str, Vector]  # (T,) flexion: thigh against shank; 0 when straight
    ankle: Mapping[str, Vector]  # (T,) between shank and foot; dorsiflexion decreases it
    shoulder: Mapping[str, Vector]  # (T,) flexion: shoulder to wrist in the sagittal plane; forward is positive
    elbow: Mapping[str, Vector]  # (T,) flexion: upper arm against forearm; 0 when straight
    trunk_lean: Vector  # (T,) hips to neck against the vertical in the sagittal plane; forward is positive
    trunk_sway: Vector  # (T,) hips to neck against the vertical in the frontal plane; to the left is positive


def compute_segment_angles(
    joints_m: NDArray[np.floating], rate_hz: float, joint_status: NDArray[np.uint8] | None = None
) -> SegmentAngles:
    """Compute the segment angles of joints (T, 22, 3) in metres, y up, finite.

    An angle is NaN in the frames in which a joint that it needs is not observed by its ``JointStatus`` (T, 22).
    """
    joints = np.asarray(joints_m, dtype=np.float64)
    forward = progression_directions(joints, rate_hz)
    if joint_status is not None:
        joints = np.where((joint_status == JointStatus.NOT_OBSERVED)[..., None], np.nan, joints)

    def at(name: str, side: str = "") -> Vector:
        return joints[:, Joint[f"{side.upper()}_{name}" if side else name]]

    hips = 0.5 * (at("HIP", "left") + at("HIP", "right"))
    pelvis = _sagittal(at("SPINE1") - hips, forward, UP)  # both points move with the pelvis alone
    trunk = at("NECK") - hips
    hip, knee, ankle, shoulder, elbow = ({} for _ in range(5))
    for side in SIDES:
        thigh, shank = at("KNEE", side) - at("HIP", side), at("ANKLE", side) - at("KNEE", side)
        hip[side] = _sagittal(thigh, forward, -UP) + pelvis
        knee[side] = _angle_between(thigh, shank)
        ankle[side] = _angle_between(-shank, at("FOOT", side) - at("ANKLE", side))
        upper, fore = at("ELBOW", side) - at("SHOULDER", side), at("WRIST", side) - at("ELBOW", side)
        shoulder[side] = _sagittal(upper + fore, forward, -UP)
        elbow[side] = _angle_between(upper, fore)
    return SegmentAngles(
        hip, knee, ankle, shoulder, elbow, _sagittal(trunk, forward, UP), _sagittal(trunk, np.cross(UP, forward), UP)
    )


def _angle_between(a: Vector, b: Vector) -> Vector:
    """Return the angle between two segments (T, 3) in degrees, (T,)."""
    cosine = (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _sagittal(segment: Vector, forward: Vector, rest: Vector) -> Vector:
    """Return the angle in degrees, (T,), of a segment (T, 3) from ``rest`` (3,) towards ``forward`` (T, 3)."""
    return np.degrees(np.arctan2((segment * forward).sum(axis=1), segment @ rest))
