"""Attribution of a trial over the gait cycle: by motion, stride and percent of the cycle of the motion's own side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gait.arrays import Vector, interpolate_frames
from gait.explaining.attribution import TrialAttribution
from gait.explaining.evidence.motions import Motion
from gait.kinematics.strides import Stride
from gait.motion.window_placement import CYCLES

_FRACTIONS = np.linspace(0, 1, 101)


def stride_attribution(
    attribution: TrialAttribution, motion: Motion, strides: Sequence[Stride], windows: str
) -> Vector:
    """Return the attribution of a motion at each percent of each stride, (n, 101), in logit units.

    The sum over the percents of a stride is the part of the logit that the motion has in it: an explained window has as
    many samples per stride. ``windows`` is the placement of the network's windows; of ``frames``, a stride has as many
    samples as frames. NaN where few windows cover the frames, or the joint is not explained.
    """
    joint = int(motion.joint)
    if motion.axis is None or attribution.axis_values is None:
        values = np.asarray(attribution.values[:, joint], np.float64)
    else:
        values = np.asarray(attribution.axis_values[:, joint, motion.axis], np.float64)
    values = np.where(attribution.counts[:, joint], values, np.nan)
    found = []
    for stride in strides:
        factor = attribution.rate_hz / stride.rate_hz
        start, end = stride.start * factor, stride.end * factor
        per_percent = 1.0 if windows == CYCLES else (end - start) / 100
        found.append(per_percent * interpolate_frames(values, start + (end - start) * _FRACTIONS))
    return np.reshape(found, (-1, 101))


def mean_attribution(
    attributions: Sequence[TrialAttribution], motion: Motion, strides: Mapping[str, Sequence[Stride]], windows: str
) -> Vector:
    """Return the attribution by network and stride, (K, n, 101), of the strides of the motion's side."""
    return np.stack([stride_attribution(each, motion, strides[motion.side], windows) for each in attributions])
