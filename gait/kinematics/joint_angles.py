"""Joint angles in three planes over time: definitions, signs and orders of rotation.

Two conventions:

* ``plug_in_gait``: as Vicon Plug-in Gait reports them (Davis et al. 1991, Hum. Mov. Sci. 10:575; Kadaba et al. 1990, J.
  Orthop. Res. 8:383);
* ``isb``: Wu et al. 2002, J. Biomech. 35:543 and 2005, 38:981; knee by Grood & Suntay 1983, J. Biomech. Eng. 105:136;
  pelvis, thorax and head in the order rotation, obliquity, tilt (Baker 2001, Hum. Mov. Sci. 20:787).

Both read the rotations of the fitted body between the frames of ``anatomical_frames``. Positive and negative directions
are the same for both sides: each side's angles are those of the mirrored body.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from gait.arrays import UP, Vector
from gait.body.joint_status import JointStatus
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import Joint
from gait.errors import GaitError
from gait.kinematics.anatomical_frames import MIDLINE_SEGMENTS, anatomical_frames, segment_joints
from gait.kinematics.cardan_angles import angle_rates, cardan_angles, continuous_angles, mirror_to_right
from gait.kinematics.gait_events import SIDES, progression_directions
from gait.kinematics.segment_angles import compute_segment_angles

Plane = Literal["sagittal", "frontal", "transverse"]

LABORATORY = "laboratory"
"""In place of a segment: x along the direction of progression, y up, z to the right of it."""
_PATH_S = 5.0  # time over which the direction of a straight path is averaged
_STRAIGHT_RAD = math.radians(7)
_BALL_BELOW_ANKLE_DEG = 18.0  # inclination of the line from ankle to ball of the foot, foot flat, in the mean body


@dataclass(frozen=True)
class AngleDefinition:
    """Definition of one joint angle: of ``segment`` relative to ``reference``, in degrees."""

    name: str  # key in ``JointAngles``, "hip_flexion"
    title: str  # for people, "Hip flexion"
    plane: Plane
    positive: str  # direction of positive values
    negative: str
    segment: str  # of ``anatomical_frames``
    reference: str  # a segment, or ``LABORATORY``
    order: str  # axes of the three successive rotations from reference to segment
    index: int  # of this angle's rotation in the order
    sign: int  # +1 if the direction of ``positive`` is a positive rotation of the right side
    output: str = ""  # Plug-in Gait's own output without side, "HipAngles"; "" if it has none
    component: int = 0  # of that output

    @property
    def midline(self) -> bool:
        """Whether the angle is of a midline segment: the curves of both sides show one motion."""
        return self.segment in MIDLINE_SEGMENTS


_TITLES = {
    "pelvis_tilt": "Pelvic tilt", "pelvis_obliquity": "Pelvic obliquity", "pelvis_rotation": "Pelvic rotation",
}  # fmt: skip
"""Titles that differ from the names."""


def _joint(
    segment: str, reference: str, order: str, output: str, *rows: tuple[str, str, str, str, int]
) -> Iterator[AngleDefinition]:
    """Yield the definitions of a joint, from rows of name, axis, positive, negative direction and sign."""
    planes: dict[str, Plane] = {"Z": "sagittal", "X": "frontal", "Y": "transverse"}
    for name, axis, positive, negative, sign in rows:
        title = _TITLES.get(name) or name.replace("_", " ").capitalize()
        component = "ZXY".index(axis)
        yield AngleDefinition(
            name, title, planes[axis], positive, negative, segment, reference, order, order.index(axis), sign, output,
            component,
        )  # fmt: skip


ANGLES: tuple[AngleDefinition, ...] = (
    *_joint(
        "pelvis", LABORATORY, "ZXY", "PelvisAngles",
        ("pelvis_tilt", "Z", "anterior", "posterior", -1),
        ("pelvis_obliquity", "X", "this side up", "this side down", -1),
        ("pelvis_rotation", "Y", "this side ahead", "this side behind", 1),
    ),
    *_joint(
        "thigh", "pelvis", "ZXY", "HipAngles",
        ("hip_flexion", "Z", "flexion", "extension", 1),
        ("hip_adduction", "X", "adduction", "abduction", 1),
        ("hip_rotation", "Y", "internal", "external", 1),
    ),
    *_joint(
        "shank", "thigh", "ZXY", "KneeAngles",
        ("knee_flexion", "Z", "flexion", "extension", -1),
        ("knee_adduction", "X", "adduction (varus)", "abduction (valgus)", 1),
        ("knee_rotation", "Y", "internal", "external", 1),
    ),
    *_joint(
        "foot", "tibia", "ZYX", "AnkleAngles",
        ("ankle_dorsiflexion", "Z", "dorsiflexion", "plantarflexion", 1),
        ("ankle_inversion", "X", "inversion", "eversion", 1),
        ("ankle_rotation", "Y", "internal", "external", 1),
    ),
    *_joint(
        "foot", LABORATORY, "ZYX", "FootProgressAngles",
        ("foot_progression", "Y", "internal (toe in)", "external (toe out)", 1),
    ),
    *_joint(
        "thorax", LABORATORY, "ZXY", "ThoraxAngles",
        ("thorax_tilt", "Z", "forward", "backward", -1),
        ("thorax_obliquity", "X", "this side up", "this side down", -1),
        ("thorax_rotation", "Y", "this side ahead", "this side behind", 1),
    ),
    *_joint(
        "thorax", "pelvis", "ZXY", "SpineAngles",
        ("spine_flexion", "Z", "flexion (forward)", "extension", -1),
        ("spine_lateral_flexion", "X", "to this side", "to the other side", 1),
        ("spine_rotation", "Y", "to this side", "to the other side", -1),
    ),
    *_joint(
        "upper_arm", "thorax", "ZXY", "ShoulderAngles",
        ("shoulder_flexion", "Z", "flexion", "extension", 1),
        ("shoulder_abduction", "X", "abduction", "adduction", -1),
        ("shoulder_rotation", "Y", "internal", "external", 1),
    ),
    *_joint(
        "forearm", "upper_arm", "ZXY", "ElbowAngles",
        ("elbow_flexion", "Z", "flexion", "extension", 1),
    ),
    *_joint(
        "head", LABORATORY, "ZXY", "HeadAngles",
        ("head_tilt", "Z", "backward (looks up)", "forward (looks down)", 1),
        ("head_obliquity", "X", "this side up", "this side down", -1),
        ("head_rotation", "Y", "this side ahead", "this side behind", 1),
    ),
)  # fmt: skip
"""The angles of Plug-in Gait, with its signs."""

_SHOULDER_ISB = (
    ("shoulder_plane_of_elevation", "transverse", "ahead of the frontal plane", "behind it", 0, 1),
    ("shoulder_elevation", "frontal", "elevation", "", 1, -1),
    ("shoulder_axial_rotation", "transverse", "internal", "external", 2, 1),
)


def _isb_definitions() -> Iterator[AngleDefinition]:
    for angle in ANGLES:
        if angle.output == "ShoulderAngles":
            name, plane, positive, negative, index, sign = _SHOULDER_ISB[angle.index]
            yield AngleDefinition(
                name, name.replace("_", " ").capitalize(), plane, positive, negative, "upper_arm", "thorax", "YXY",  # type: ignore[arg-type]
                index, sign,
            )  # fmt: skip
        elif angle.reference == LABORATORY and angle.midline:
            yield replace(angle, order="YXZ", index="YXZ".index(angle.order[angle.index]))
        elif angle.reference == "tibia":
            yield replace(angle, order="ZXY", index="ZXY".index(angle.order[angle.index]))
        else:
            yield angle


CONVENTIONS: Mapping[str, tuple[AngleDefinition, ...]] = {"plug_in_gait": ANGLES, "isb": tuple(_isb_definitions())}
"""The definitions of each convention, in the order of reports."""


@dataclass(frozen=True, eq=False)
class JointAngles:
    """Joint angles in degrees per frame; ``angles["hip_flexion", "left"]`` is (T,), NaN where not observed."""

    definitions: tuple[AngleDefinition, ...]
    degrees: Mapping[tuple[str, str], Vector]  # (name, side) -> (T,)
    from_joint_centres: bool = False  # rotations are unknown: flexion angles from joint centres, all others NaN

    def __getitem__(self, key: tuple[str, str]) -> Vector:
        return self.degrees[key]


@dataclass(frozen=True, eq=False)
class AngleJacobian:
    """Change of one joint angle, in degrees, per small rotation (radians, world axes) of its two segments.

    A rotation vector ω turns a segment's axes R to exp(ω)·R. The change per rotation of ``reference`` is the negative
    one; the direction of progression has no error.
    """

    segment: Joint  # whose rotation turns the segment
    reference: Joint | None  # None: the laboratory
    degrees_per_radian: Vector  # (T, 3) per rotation of ``segment``; NaN where the angle is not defined


def compute_joint_angles(sequence: PoseSequence, convention: str = "plug_in_gait") -> JointAngles:
    """Compute the angles of a fitted trial by the definitions of ``CONVENTIONS``.

    An angle is NaN in the frames in which a joint of its segments is not observed. Curves have no jumps by full turns.
    Of poses without known rotations or landmarks, the flexion angles follow from the joint centres
    (``segment_angles``), and all others are NaN.

    Raises:
        GaitError: the convention is unknown.
    """
    definitions = _definitions(convention)
    if sequence.world_rotations is None or sequence.anatomy is None:
        return _angles_from_joint_centres(sequence, definitions)
    segments = _Segments(sequence)
    degrees = {}
    for side in SIDES:
        cache: dict[tuple[str, str, str], Vector] = {}
        for angle in definitions:
            key = (angle.segment, angle.reference, angle.order)
            if key not in cache:
                cache[key] = segments.angles(angle, side)
            degrees[angle.name, side] = np.degrees(angle.sign * cache[key][:, angle.index])
    return JointAngles(definitions, degrees)


def angle_jacobian(
    sequence: PoseSequence, convention: str = "plug_in_gait"
) -> Mapping[tuple[str, str], AngleJacobian] | None:
    """Return the Jacobian of each angle and side of ``compute_joint_angles``; None if rotations are unknown.

    Raises:
        GaitError: the convention is unknown.
    """
    definitions = _definitions(convention)
    if sequence.world_rotations is None or sequence.anatomy is None:
        return None
    segments = _Segments(sequence)
    found = {}
    for side in SIDES:
        for angle in definitions:
            rates = angle_rates(segments.angles(angle, side), angle.order)[:, angle.index]
            if side == "left":  # a rotation vector of the mirrored body
                rates = rates * [-1, -1, 1]
            per_radian = (segments.axes(angle.reference, side) @ rates[..., None])[..., 0]
            reference = None if angle.reference == LABORATORY else segment_joints(angle.reference, side)[0]
            found[angle.name, side] = AngleJacobian(
                segment_joints(angle.segment, side)[0], reference, np.degrees(angle.sign * per_radian)
            )
    return found


def laboratory_axes(sequence: PoseSequence) -> Vector:
    """Return the axes (T, 3, 3) to which pelvis, thorax, head and feet are compared: columns x ahead, y up, z right.

    Ahead is the direction of progression. Averaged over a stride, it still sways with the pelvis; on a straight path it
    is therefore that over ``_PATH_S``. If both differ by less than ``_STRAIGHT_RAD`` in all of that time, the path
    counts as straight; if by more than twice as much, as a curve; between them, the direction is blended. The result
    does not depend on the axes of the laboratory, of which Plug-in Gait takes the nearest one.
    """
    ahead = progression_directions(sequence.joints_m, sequence.rate_hz)
    half = max(1, round(0.5 * _PATH_S * sequence.rate_hz))
    total = np.concatenate([np.zeros((1, 3)), np.cumsum(ahead, axis=0)])
    frames = np.arange(len(ahead))
    path = total[np.minimum(frames + half + 1, len(ahead))] - total[np.maximum(frames - half, 0)]
    away = np.arctan2(path[:, 0] * ahead[:, 2] - path[:, 2] * ahead[:, 0], (path * ahead).sum(axis=1))
    curved = np.clip(scipy.ndimage.maximum_filter1d(np.abs(away), 2 * half + 1) / _STRAIGHT_RAD - 1, 0, 1)
    heading = np.arctan2(path[:, 2], path[:, 0]) + curved * away
    x = np.stack([np.cos(heading), np.zeros_like(heading), np.sin(heading)], axis=-1)
    return np.stack([x, np.broadcast_to(UP, x.shape), np.cross(x, UP)], axis=-1)


class _Segments:
    """The axes of a trial's segments in the world, and where they are observed."""

    def __init__(self, sequence: PoseSequence) -> None:
        assert sequence.world_rotations is not None
        assert sequence.anatomy is not None
        self._rotations, self._status = sequence.world_rotations, sequence.joint_status
        self._frames = anatomical_frames(sequence.anatomy)
        self._laboratory = laboratory_axes(sequence)

    def axes(self, segment: str, side: str) -> Vector:
        """Return the axes (T, 3, 3) of a segment."""
        if segment == LABORATORY:
            return self._laboratory
        frame = self._frames[segment, side]
        return np.asarray(self._rotations[:, frame.joint] @ frame.axes)

    def angles(self, angle: AngleDefinition, side: str) -> Vector:
        """Return the three angles (T, 3) of the definition's order, radians, without jumps; NaN where not observed."""
        R = np.swapaxes(self.axes(angle.reference, side), -1, -2) @ self.axes(angle.segment, side)
        radians = cardan_angles(mirror_to_right(R) if side == "left" else R, angle.order)
        radians[~self._observed(angle, side)] = np.nan
        return continuous_angles(radians, angle.order)

    def _observed(self, angle: AngleDefinition, side: str) -> NDArray[np.bool_]:
        """Return where both segments are observed or inferred, (T,)."""
        joints = {
            joint
            for segment in (angle.segment, angle.reference)
            if segment != LABORATORY
            for joint in segment_joints(segment, side)
        }
        if self._status is None:
            return np.ones(len(self._rotations), dtype=np.bool_)
        return np.asarray((self._status[:, sorted(joints)] > JointStatus.NOT_OBSERVED).all(axis=1))


def _definitions(convention: str) -> tuple[AngleDefinition, ...]:
    if convention not in CONVENTIONS:
        raise GaitError(f"Joint angles: unknown convention {convention!r}; choose {' or '.join(CONVENTIONS)}.")
    return CONVENTIONS[convention]


def _angles_from_joint_centres(sequence: PoseSequence, definitions: tuple[AngleDefinition, ...]) -> JointAngles:
    planar = compute_segment_angles(sequence.joints_m, sequence.rate_hz, sequence.joint_status)
    flexions = {
        "hip_flexion": planar.hip,
        "knee_flexion": planar.knee,
        "ankle_dorsiflexion": {side: 90 + _BALL_BELOW_ANKLE_DEG - planar.ankle[side] for side in SIDES},
        "thorax_tilt": dict.fromkeys(SIDES, planar.trunk_lean),
        "shoulder_flexion": planar.shoulder,
        "elbow_flexion": planar.elbow,
    }
    nothing = np.full(sequence.num_frames, np.nan)
    degrees = {
        (angle.name, side): flexions[angle.name][side] if angle.name in flexions else nothing
        for angle in definitions
        for side in SIDES
    }
    return JointAngles(definitions, degrees, from_joint_centres=True)
