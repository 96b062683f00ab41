"""Standard errors of curves over the gait cycle, from those of joint angles (``angle_errors``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gait.arrays import Vector
from gait.kinematics.angle_errors import AngleErrors
from gait.kinematics.strides import PERCENT, Stride, StrideCurves, sample_stride


@dataclass(frozen=True, eq=False)
class TrialErrors:
    """The strides of a trial, and the errors of its angles; None if they are unknown."""

    curves: StrideCurves
    errors: AngleErrors | None


def stride_errors(errors: AngleErrors, name: str, side: str, strides: Sequence[Stride]) -> Vector:
    """Return the standard error, degrees, of an angle at each percent of some strides of a trial, (n, 101)."""
    of_frames = errors.of_frames(name, side)
    return np.reshape([sample_stride(of_frames, stride) for stride in strides], (-1, len(PERCENT)))


def mean_curve_errors(trials: Sequence[TrialErrors]) -> Mapping[tuple[str, str], Vector]:
    """Return the standard errors (101,), degrees, of a subject's mean curves, by angle and side.

    Curves are means over the strides that count of all trials. Shape of the body and places of the markers are common
    to the trials of a subject, so that the errors of trials are taken as one: their mean, weighted by strides, which is
    at most too large. A curve is absent if a trial with strides of it has no errors.
    """
    found = {}
    for name, side in dict.fromkeys(key for trial in trials for key in trial.curves.curves):
        total, count = np.zeros(len(PERCENT)), 0
        for trial in trials:
            frames = _frames(trial.curves, name, side)
            if not len(frames):
                continue
            if trial.errors is None or (name, side) not in trial.errors.parts:
                count = 0
                break
            total += len(frames) * trial.errors.of_mean(name, side, frames)
            count += len(frames)
        if count and np.isfinite(total).all():
            found[name, side] = total / count
    return found


def _frames(curves: StrideCurves, name: str, side: str) -> Vector:
    """Return the frames (n, 101) of the strides of which a mean curve is."""
    if (name, side) not in curves.curves:
        return np.empty((0, len(PERCENT)))
    counts = curves.used(side) & np.isfinite(curves.curves[name, side]).any(axis=1)
    chosen = [stride for stride, counted in zip(curves.strides[side], counts, strict=True) if counted]
    return np.reshape([np.linspace(stride.start, stride.end, len(PERCENT)) for stride in chosen], (-1, len(PERCENT)))
