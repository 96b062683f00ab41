"""The input of the original implementation: joints in the common frame, each window aligned and scaled by itself."""

from __future__ import annotations

from gait.arrays import Vector
from gait.motion.dataset import Trial
from gait.motion.resampling import sample_at
from gait.motion.window_input import WindowInput

NORMALIZATION = "x by stature, y and z to [-1, 1]"
"""Description of the normalization of windows, as checkpoints store it."""


def joints(trial: Trial, times: Vector) -> Vector:
    """Return the joints (S, 22, 3) in metres from the pelvis of the first frame, where single precision is finest."""
    return sample_at(trial.joints_m - trial.joints_m[:1, :1], times)


INPUT = WindowInput(name="published", normalization=NORMALIZATION, samples=joints, aligned_per_window=True, order=0)
