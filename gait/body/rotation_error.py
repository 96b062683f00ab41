"""Expected errors of the joints' orientations in a fit, with their correlation over joints, frames and landmarks.

An error of an orientation is a small rotation vector in the joint's own axes, its axes at rest turned with it: the true
orientation is the fitted one times the rotation of this vector, against the laboratory and not the parent joint. In
these axes the errors hardly change while the body moves. Each is the sum of three parts:

* lasting: Σₖ eₖ(t)·zₖ with K standard normal numbers z, the same in all frames and joints of the trial. It comes from
  the shape of the body, the places of the markers on the segments, and a posture that differs from the pose prior. The
  same z move the joints and landmarks at rest.
* motion: the pull of the pose prior on a motion that differs from it. It is the same in all strides, and independent at
  other times of the stride.
* noise, whose correlation over time is that of the residuals.

Motion and noise have a covariance over the joints in each frame. The vectors eₖ(t) and the roots of the covariances
change slowly and together. So they are stored as the sum of a few time series, each times a constant matrix, and
scaled to the exact standard deviation of each component. The samples are those of frames with the same visible markers,
one set of markers after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gait.arrays import interpolate_frames
from gait.body.skeleton import NUM_BODY_JOINTS

NUM_COMPONENTS = 3 * NUM_BODY_JOINTS
NUM_PARTS = 3
"""Lasting, motion, noise."""
_SMALLEST = 1e-12


@dataclass(frozen=True, eq=False)
class AnatomyError:
    """Changes of joints and landmarks at rest for one standard deviation of each of the K lasting errors, metres."""

    joints_m: NDArray[np.float32]  # (22, 3, K)
    landmarks_m: NDArray[np.float32]  # (L, 3, K) of those of the body model
    fitted_m: NDArray[np.float32]  # (L, 3, K) of the recording's own markers; NaN where it has none


@dataclass(frozen=True, eq=False)
class RotationError:
    """Expected errors of the orientations of the 22 body joints in the T frames of a pose sequence, radians."""

    at_sample: NDArray[np.float32]  # (T,) position of each frame among S samples, between which it is interpolated
    sigma: NDArray[np.float32]  # (S, 3 parts, 66) standard deviations
    series: NDArray[np.float32]  # (S, R) time series of the matrices' sizes
    modes: NDArray[
        np.float32
    ]  # (R, 66, K + 132) matrices: K lasting errors, roots of the motion's and noise's covariance
    noise_correlation: NDArray[np.float32]  # (C,) of the noise of two frames that are 0, 1, … frames apart; then none
    anatomy: AnatomyError | None = None  # None if the body has no landmarks

    @property
    def num_lasting(self) -> int:
        """Number K of lasting errors."""
        return self.modes.shape[2] - 2 * NUM_COMPONENTS

    @property
    def num_frames(self) -> int:
        """Number of frames T."""
        return len(self.at_sample)

    @cached_property
    def _matrices(self) -> NDArray[np.float32]:
        """The matrices of all samples (S, 66, K + 132), with the exact standard deviations."""
        matrices = np.tensordot(self.series, self.modes, axes=1)
        K = self.num_lasting
        bounds = (0, K, K + NUM_COMPONENTS, K + 2 * NUM_COMPONENTS)
        for part in range(NUM_PARTS):
            columns = matrices[..., bounds[part] : bounds[part + 1]]
            norm = np.sqrt(np.einsum("sck,sck->sc", columns, columns))
            columns *= (self.sigma[:, part] / np.maximum(norm, _SMALLEST))[..., None]
        return np.asarray(matrices, dtype=np.float32)

    def of_frames(self, frames: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the errors (N, 66, K + 132) in some frames: lasting ones, then roots as in ``modes``."""
        return interpolate_frames(self._matrices, self.at_sample[frames])

    def select(self, frames: slice) -> RotationError:
        """Return the errors of some consecutive frames."""
        at = self.at_sample[frames]
        if not len(at):
            return replace(self, at_sample=at)
        first, last = int(np.floor(at.min())), int(np.ceil(at.max()))
        kept = slice(first, last + 1)
        return replace(self, at_sample=at - np.float32(first), sigma=self.sigma[kept], series=self.series[kept])
