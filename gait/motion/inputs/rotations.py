"""Joint rotations: each joint against its parent, the pelvis against the direction of walking.

A joint's three numbers are log(R R₀ᵀ) in radians, R₀ its mean rotation over the controls in training: axes of the
parent at rest, x to the subject's left, y up, z ahead, so that x is flexion of the joints of the legs. The three joints
of the spine are taken against the pelvis, so that the last one is the thorax against the pelvis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.joint_status import body_part_status
from gait.body.skeleton import BODY_JOINTS, BODY_PARENTS, MIRROR_ORDER, Joint
from gait.motion.dataset import Trial
from gait.motion.resampling import sample_at
from gait.motion.rotation_samples import continuous_quaternions, mean_rotations, rotations_from, unit_quaternions
from gait.motion.walking_frame import walking_frames
from gait.motion.window_input import WindowInput, names_of_axes

if TYPE_CHECKING:
    from torch import Tensor

SPINE = (Joint.SPINE1, Joint.SPINE2, Joint.SPINE3)
_MIRROR_QUATERNION = np.array([1.0, -1.0, -1.0, 1.0])  # the axis (x, −y, −z), the same angle
_PAIR = [min(joint, other) for joint, other in enumerate(MIRROR_ORDER)]
_HIPS = [Joint.LEFT_HIP, Joint.RIGHT_HIP]

_Axis = tuple[str, str | None, int]
"""What a value measures, without the side; the angle of ``joint_angles.ANGLES`` that shows the same motion, None if
there is none; and that angle's sign on the left side: +1 if both grow together."""

_AXES: dict[str, tuple[_Axis, _Axis, _Axis]] = {
    "PELVIS": (
        ("pelvic tilt", "pelvis_tilt", 1),
        ("pelvic rotation", "pelvis_rotation", -1),
        ("pelvic obliquity", "pelvis_obliquity", 1),
    ),
    "SPINE1": (
        ("lower spine flexion", None, 1),
        ("lower spine rotation", None, 1),
        ("lower spine lateral flexion", None, 1),
    ),
    "SPINE2": (
        ("middle spine flexion", None, 1),
        ("middle spine rotation", None, 1),
        ("middle spine lateral flexion", None, 1),
    ),
    "SPINE3": (
        ("spine flexion", "spine_flexion", 1),
        ("spine rotation", "spine_rotation", 1),
        ("spine lateral flexion", "spine_lateral_flexion", -1),
    ),
    "NECK": (("neck flexion", None, 1), ("neck rotation", None, 1), ("neck lateral flexion", None, 1)),
    # Angles of the head are against the laboratory, this one is against the neck.
    "HEAD": (("head flexion", None, 1), ("head rotation", None, 1), ("head lateral flexion", None, 1)),
    "HIP": (
        ("hip flexion", "hip_flexion", -1),
        ("hip rotation", "hip_rotation", -1),
        ("hip adduction", "hip_adduction", -1),
    ),
    "KNEE": (
        ("knee flexion", "knee_flexion", 1),
        ("knee rotation", "knee_rotation", -1),
        ("knee adduction", "knee_adduction", -1),
    ),
    "ANKLE": (
        ("ankle dorsiflexion", "ankle_dorsiflexion", -1),
        ("ankle rotation", "ankle_rotation", -1),
        ("ankle inversion", "ankle_inversion", -1),
    ),
    "FOOT": (("toe flexion", None, 1), ("forefoot rotation", None, 1), ("forefoot inversion", None, 1)),
    "COLLAR": (
        ("shoulder girdle rotation", None, 1),
        ("shoulder girdle protraction", None, 1),
        ("shoulder girdle elevation", None, 1),
    ),
    # A hanging arm hardly determines the angle of the shoulder's rotation.
    "SHOULDER": (
        ("shoulder flexion", "shoulder_flexion", -1),
        ("shoulder rotation", None, 1),
        ("shoulder abduction", "shoulder_abduction", 1),
    ),
    # The arm points sideways at rest, so its own axis is x.
    "ELBOW": (("forearm rotation", None, 1), ("elbow flexion", "elbow_flexion", -1), ("elbow carrying angle", None, 1)),
    "WRIST": (("hand rotation", None, 1), ("wrist deviation", None, 1), ("wrist flexion", None, 1)),
}


def walking_rotations(trial: Trial, times: Vector) -> Vector:
    """Return the quaternions (S, 22, 4) of a trial with rotations; pelvis and spine are described above."""
    assert trial.rotations is not None
    values = trial.rotations.astype(np.float64)
    from scipy.spatial.transform import Rotation

    frame = Rotation.from_matrix(walking_frames(trial.joints_m, trial.rate_hz))
    values[:, Joint.PELVIS] = (frame.inv() * Rotation.from_quat(values[:, Joint.PELVIS])).as_quat()
    against_pelvis = Rotation.identity(len(values))
    for joint in SPINE:
        against_pelvis = against_pelvis * Rotation.from_quat(values[:, joint])
        values[:, joint] = against_pelvis.as_quat()
    return unit_quaternions(sample_at(continuous_quaternions(values), times))


def _reference(parts: Sequence[Vector]) -> Vector:
    """Return the mean rotations, the same for both sides but mirrored."""
    return mean_rotations(each for part in parts for each in (part, part[:, MIRROR_ORDER] * _MIRROR_QUATERNION))


def _relative(samples: Vector, reference: Vector | None) -> Vector:
    assert reference is not None
    return rotations_from(samples, reference)


def _observed(status: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the status (T, 22) of rotations: of the parts of the body on both sides of a joint, the lower one."""
    parts = body_part_status(status)
    parents = [max(parent, 0) for parent in BODY_PARENTS]
    return np.minimum(parts, parts[:, parents])


def walk_at_pace(windows: Tensor, factor: Tensor, random: Tensor) -> Tensor:
    """Return windows (N, L, 22, 3) with each joint's excursion about its mean over the window at another pace.

    Flexion of the hips is multiplied by the factor (N,), and all else by a number between 1 and the factor, one per
    pair of joints: 1 + (factor − 1) u, with u of ``random`` (N, 22).
    """
    each = 1 + (factor[:, None] - 1) * random[:, _PAIR]
    scale = each[:, None, :, None].repeat(1, 1, 1, 3)
    scale[:, :, _HIPS, 0] = factor[:, None, None]
    return windows.mean(dim=1, keepdim=True).lerp(windows, scale)


INPUT = WindowInput(
    name="rotations",
    normalization="joint rotations against the controls' mean, radians",
    samples=walking_rotations,
    relative=_relative,
    reference_of=_reference,
    mirror_signs=(1.0, -1.0, -1.0),
    needs_rotations=True,
    deviation=5.0,
    offset=0.07,
    pace=walk_at_pace,
    observed=_observed,
    axis_names=names_of_axes(
        {part: tuple(name for name, _, _ in axes) for part, axes in _AXES.items()},
        [joint.name for joint in BODY_JOINTS],
    ),
    axis_angles={name: (angle, sign) for axes in _AXES.values() for name, angle, sign in axes if angle is not None},
    to_degrees=np.degrees,
    rotates_against=[
        None if joint == Joint.PELVIS else Joint.PELVIS if joint in SPINE else BODY_PARENTS[joint]
        for joint in BODY_JOINTS
    ],
    order=1,
)
