"""Quaternions (…, 4), scalar last, that are continuous in time, so that they can be interpolated and averaged."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import scipy
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.pose_sequence import PoseSequence
from gait.motion.resampling import resample


def read_rotations(sequence: PoseSequence, to_hz: float) -> NDArray[np.float32] | None:
    """Return the joints' rotations relative to their parents at a rate, quaternions (T', 22, 4); None if unknown.

    Raises:
        GaitError: one of the rates is not between 20 and 1000 Hz.
    """
    local = sequence.local_rotations
    if local is None:
        return None
    values = continuous_quaternions(
        scipy.spatial.transform.Rotation.from_matrix(local.reshape(-1, 3, 3)).as_quat().reshape(*local.shape[:2], 4)
    )
    return unit_quaternions(resample(values.astype(np.float32), sequence.rate_hz, to_hz)).astype(np.float32)


def continuous_quaternions(values: Vector) -> Vector:
    """Return quaternions (T, J, 4) with signs such that no joint turns by more than 180° from frame to frame.

    A quaternion and its negative are the same rotation; interpolation between the two would leave it.
    """
    same = (values[1:] * values[:-1]).sum(axis=2) >= 0
    sign = np.cumprod(np.where(same, 1.0, -1.0), axis=0)
    return np.concatenate([values[:1], values[1:] * sign[..., None]])


def unit_quaternions(values: NDArray[np.floating]) -> Vector:
    """Return quaternions (…, 4) of length 1."""
    return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True), dtype=np.float64)


def mean_rotations(parts: Iterable[Vector]) -> Vector:
    """Return the mean quaternion (J, 4) of each joint over all frames of parts (T, J, 4).

    It is the eigenvector of the greatest eigenvalue of the sum of q qᵀ (Markley et al. 2007, J. Guid. Control Dyn.
    30:1193), and so does not depend on the quaternions' signs.
    """
    total = sum(np.einsum("tja,tjb->jab", part, part) for part in parts)
    _, vectors = np.linalg.eigh(total)
    mean = vectors[..., -1]
    return mean * np.where(mean[:, 3:] < 0, -1.0, 1.0)


def rotations_from(values: Vector, reference: Vector) -> Vector:
    """Return log(R R₀ᵀ) (T, J, 3) in radians of quaternions (T, J, 4) against reference quaternions (J, 4).

    Its axes are those of the parent, in which both rotations are expressed.
    """
    turned = np.empty((*values.shape[:2], 3))
    for joint, mean in enumerate(reference):
        rotation = scipy.spatial.transform.Rotation
        turned[:, joint] = (rotation.from_quat(values[:, joint]) * rotation.from_quat(mean).inv()).as_rotvec()
    return turned
