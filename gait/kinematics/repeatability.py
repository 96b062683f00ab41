"""How far a subject's curves differ between strides of a trial, and between trials: standard deviations in degrees.

Schwartz, Trost & Wervey 2004, Gait & Posture 20:196, recommend them: they are in the unit of the angle and can be
compared with any finding. The coefficient of multiple correlation (Kadaba et al. 1989, J. Orthop. Res. 7:849) is not
given: it grows with the range of an angle, so that a flat curve counts as badly repeatable, and may be imaginary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gait.arrays import Vector
from gait.kinematics.strides import StrideCurves


@dataclass(frozen=True, eq=False)
class Repeatability:
    """Variance components of one angle of one side over the cycle; NaN where strides or trials are too few."""

    name: str
    side: str
    num_strides: int
    num_trials: int  # with at least one stride
    within_trial_deg: Vector  # (101,) standard deviation between strides of a trial
    between_trials_deg: Vector  # (101,) that of the trials beyond it: 0 if trials differ no more than their strides do

    @property
    def within_trial_rms_deg(self) -> float:
        """Root mean square over the cycle."""
        return _rms(self.within_trial_deg)

    @property
    def between_trials_rms_deg(self) -> float:
        """Root mean square over the cycle."""
        return _rms(self.between_trials_deg)


def repeatability(curves: StrideCurves) -> tuple[Repeatability, ...]:
    """Return the repeatability of each angle and side over a subject's trials; turns and outliers do not count.

    Segments of a trial that was split at gaps are one trial.
    """
    found = []
    for name, side in curves.curves:
        used = curves.used(side)
        trials: dict[str, list[Vector]] = {}
        for stride, counts, curve in zip(curves.strides[side], used, curves.curves[name, side], strict=True):
            if counts and np.isfinite(curve).all():
                trials.setdefault(stride.trial.partition("/")[0], []).append(curve)
        groups = [np.array(own) for own in trials.values()]
        if groups:
            within, between = variance_components(groups)
            number = sum(len(group) for group in groups)
            found.append(Repeatability(name, side, number, len(groups), np.sqrt(within), np.sqrt(between)))
    return tuple(found)


def variance_components(groups: Sequence[Vector]) -> tuple[Vector, Vector]:
    """Return the variances within and between groups of values (n, P), each (P,), of one-way analysis of variance.

    The groups may have different sizes (Searle, Casella & McCulloch 1992, Variance Components, 3.6). A negative
    variance between groups is 0. NaN without two values in a group, or without two groups.
    """
    sizes = np.array([len(group) for group in groups], dtype=np.float64)
    total, a, points = sizes.sum(), len(groups), groups[0].shape[1]
    nothing = np.full(points, np.nan)
    if total == a:
        return nothing, nothing.copy()
    means = np.array([group.mean(axis=0) for group in groups])
    squares = sum(((group - mean) ** 2).sum(axis=0) for group, mean in zip(groups, means, strict=True))
    within = np.asarray(squares / (total - a))
    if a < 2:
        return within, nothing
    grand = (sizes[:, None] * means).sum(axis=0) / total
    between = (sizes[:, None] * (means - grand) ** 2).sum(axis=0) / (a - 1)
    typical_size = (total - (sizes**2).sum() / total) / (a - 1)
    return within, np.maximum(between - within, 0) / typical_size


def _rms(values: Vector) -> float:
    return float(np.sqrt(np.mean(values**2))) if np.isfinite(values).all() else math.nan
