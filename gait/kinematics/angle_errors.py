"""Standard errors of joint angles: of single frames, of differences, and of means over strides.

They follow from the errors of the fit (``gait.body.rotation_error``) and those of the landmarks at rest, with all
correlations: noise of the markers, their places on the segments, the shape of the body, and the pull of the pose prior.
They do not include soft-tissue motion that is common to all markers of a segment (Leardini et al. 2005, Gait & Posture
21:212), nor where the markers should have been (palpation; Della Croce et al. 2005, Gait & Posture 21:226).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector, interpolate_frames
from gait.body.pose_sequence import PoseSequence
from gait.body.rotation_error import NUM_COMPONENTS
from gait.kinematics.anatomical_frames import frame_errors
from gait.kinematics.joint_angles import CONVENTIONS, LABORATORY, angle_jacobian

NODE_SPACING_S = 0.05
"""Spacing of the frames in which errors are computed; between them they are interpolated."""
MOTION_CORRELATION_S = 0.1
"""Errors of the motion of two times of a stride that are farther apart are independent."""


@dataclass(frozen=True, eq=False)
class AngleErrors:
    """Standard errors of the joint angles of a trial of T frames, degrees; NaN where an angle is not defined."""

    parts: Mapping[tuple[str, str], NDArray[np.float32]]  # (name, side) -> (N, K + 132) independent errors at N nodes
    num_lasting: int  # K
    noise_correlation: NDArray[np.float32]  # (C,) of frames 0, 1, … apart
    spacing: int  # frames between two nodes
    num_frames: int  # T
    rate_hz: float

    def of_frames(self, name: str, side: str) -> Vector:
        """Return the standard error (T,) of an angle in each frame."""
        variance = (self.parts[name, side].astype(np.float64) ** 2).sum(axis=1)
        nodes = np.arange(len(variance)) * self.spacing
        return np.asarray(np.sqrt(np.interp(np.arange(self.num_frames), nodes, variance)))

    def of_difference(self, name: str, side: str, first: float, second: float) -> float:
        """Return the standard error of the difference of an angle between two frames of one stride."""
        return self.of_sum(name, side, np.array([first, second]), np.array([-1.0, 1.0]))

    def of_sum(self, name: str, side: str, frames: NDArray[np.floating], weights: NDArray[np.floating]) -> float:
        """Return the standard error of Σ weight · angle over some frames (F,), also between two, of one stride."""
        lasting, motion, noise = self._at(name, side, frames)
        weights = weights[:, None]
        apart = np.abs(frames[:, None] - frames)
        same_motion = np.clip(1 - apart / (MOTION_CORRELATION_S * self.rate_hz), 0, 1)
        variance = ((weights * lasting).sum(axis=0) ** 2).sum()
        for part, correlation in ((weights * motion, same_motion), (weights * noise, self._correlation(apart))):
            variance += (part @ part.T * correlation).sum()
        return float(np.sqrt(max(variance, 0.0)))

    def of_mean(self, name: str, side: str, frames: NDArray[np.floating]) -> Vector:
        """Return the standard error (P,) of the mean over n strides at P points of the cycle.

        ``frames`` (n, P) are those of each point in each stride, also between two frames. Lasting errors and those of
        the motion are the same in all strides; noise averages out as far as its correlation over time lets it.
        """
        frames = np.atleast_2d(np.asarray(frames, dtype=np.float64))
        lasting, motion, noise = (part.reshape(*frames.shape, -1) for part in self._at(name, side, frames.reshape(-1)))
        correlation = self._correlation(np.abs(frames[:, None] - frames[None]))  # (n, n, P)
        variance = (lasting.mean(axis=0) ** 2).sum(axis=1) + (motion.mean(axis=0) ** 2).sum(axis=1)
        variance += np.einsum("ipk,jpk,ijp->p", noise, noise, correlation, optimize=True) / len(frames) ** 2
        return np.asarray(np.sqrt(variance.clip(0)))

    def _at(self, name: str, side: str, frames: NDArray[np.floating]) -> tuple[Vector, Vector, Vector]:
        """Return the errors at some frames: (F, K) lasting ones, (F, 66) of the motion and (F, 66) of noise."""
        at = np.clip(frames, 0, self.num_frames - 1) / self.spacing
        values = interpolate_frames(self.parts[name, side], at)
        K = self.num_lasting
        return values[:, :K], values[:, K : K + NUM_COMPONENTS], values[:, K + NUM_COMPONENTS :]

    def _correlation(self, apart: NDArray[np.floating] | float) -> Vector:
        lags = np.arange(len(self.noise_correlation))
        return np.asarray(np.interp(apart, lags, self.noise_correlation, right=0.0))


def compute_angle_errors(sequence: PoseSequence, convention: str = "plug_in_gait") -> AngleErrors | None:
    """Compute the standard errors of the angles of ``compute_joint_angles``; None if the fit's errors are unknown.

    Raises:
        GaitError: the convention is unknown.
    """
    error, anatomy, world = sequence.rotation_error, sequence.anatomy, sequence.world_rotations
    if error is None or error.anatomy is None or anatomy is None or world is None:
        return None
    T, K = sequence.num_frames, error.num_lasting
    spacing = max(1, round(NODE_SPACING_S * sequence.rate_hz))
    nodes = np.minimum(np.arange(-(-(T - 1) // spacing) + 1) * spacing, T - 1)
    thinned = replace(
        sequence,
        poses=sequence.poses[nodes],
        translation_m=sequence.translation_m[nodes],
        joints_m=sequence.joints_m[nodes],
        body_rotations=None if sequence.body_rotations is None else sequence.body_rotations[nodes],
        joint_status=None,
        rate_hz=sequence.rate_hz / spacing,
    )
    jacobians = angle_jacobian(thinned, convention) or {}
    errors = error.of_frames(nodes).reshape(len(nodes), -1, 3, K + 2 * NUM_COMPONENTS)  # (N, 22, 3, K + 132)
    turns = frame_errors(anatomy, error.anatomy)
    parts = {}
    for definition in CONVENTIONS[convention]:
        for side in ("left", "right"):
            jacobian = jacobians[definition.name, side]
            total = np.zeros((len(nodes), errors.shape[3]), dtype=np.float32)
            ends = [(definition.segment, jacobian.segment, 1.0), (definition.reference, jacobian.reference, -1.0)]
            for segment, joint, sign in ends:
                if joint is None or segment == LABORATORY:
                    continue
                # a small rotation in the joint's own axes, as one in those of the world
                rates = sign * jacobian.degrees_per_radian[:, None] @ world[nodes, joint]  # (N, 1, 3)
                rates = rates.astype(np.float32)
                total += (rates @ errors[:, joint])[:, 0]
                total[:, :K] += rates[:, 0] @ turns[segment, side].astype(np.float32)
            parts[definition.name, side] = total
    return AngleErrors(parts, K, error.noise_correlation, spacing, T, sequence.rate_hz)
