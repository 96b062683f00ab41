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
from gait.body.skeleton import BODY_JOINTS, BODY_PARENTS, Joint, contralateral_joint
from gait.motion.dataset import Trial
from gait.motion.resampling import sample_at
from gait.motion.rotation_samples import continuous_quaternions, mean_rotations, rotations_from, unit_quaternions
from gait.motion.walking_frame import walking_frames
from gait.motion.window_input import WindowInput, names_of_axes

if TYPE_CHECKING:
    from torch import Tensor

SPINE = (Joint.SPINE1, Joint.SPINE2, Joint.SPINE3)
_MIRROR_ORDER = [int(contralateral_joint(joint)) for joint in BODY_JOINTS]
_MIRROR_QUATERNION = np.array([1.0, -1.0, -1.0, 1.0])  # the axis (x, −y, −z), the same angle
_PAIR = [min(joint, other) for joint, other in enumerate(_MIRROR_ORDER)]
_HIPS = [Joint.LEFT_HIP, Joint.RIGHT_HIP]

_LIMB = ("flexion", "rotation", "adduction")
_TERMS = {
    "PELVIS": ("pelvic tilt", "pelvic rotation", "pelvic obliquity"),
    "SPINE1": ("lower spine flexion", "lower spine rotation", "lower spine lateral flexion"),
    "SPINE2": ("middle spine flexion", "middle spine rotation", "middle spine lateral flexion"),
    "SPINE3": ("spine flexion", "spine rotation", "spine lateral flexion"),
    "NECK": ("neck flexion", "neck rotation", "neck lateral flexion"),
    "HEAD": ("head flexion", "head rotation", "head lateral flexion"),
    **{part.upper(): tuple(f"{part} {motion}" for motion in _LIMB) for part in ("hip", "knee")},
    "ANKLE": ("ankle dorsiflexion", "ankle rotation", "ankle inversion"),
    "FOOT": ("toe flexion", "forefoot rotation", "forefoot inversion"),
    "COLLAR": ("shoulder girdle rotation", "shoulder girdle protraction", "shoulder girdle elevation"),
    "SHOULDER": ("shoulder flexion", "shoulder rotation", "shoulder abduction"),
    # The arm points sideways at rest, so its own axis is x.
    "ELBOW": ("forearm rotation", "elbow flexion", "elbow carrying angle"),
    "WRIST": ("hand rotation", "wrist deviation", "wrist flexion"),
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
    return mean_rotations(each for part in parts for each in (part, part[:, _MIRROR_ORDER] * _MIRROR_QUATERNION))


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
    mean = windows.mean(dim=1, keepdim=True)
    return mean + scale * (windows - mean)


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
    axis_names=names_of_axes(_TERMS, [joint.name for joint in BODY_JOINTS]),
    to_degrees=np.degrees,
    rotates_against=[
        None if joint == Joint.PELVIS else Joint.PELVIS if joint in SPINE else BODY_PARENTS[joint]
        for joint in BODY_JOINTS
    ],
    order=1,
)
