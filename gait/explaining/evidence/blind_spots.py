"""Blind spots: how far each motion may deviate, by the same angle throughout the cycle, before the decision changes.

A constant angle is the shape that a wrong calibration, a contracture or another posture have. It is added in both
directions, up to the limits of the body or ``MAX_DEG``, to what the network sees of the trial's own walk; the feet are
not held on the floor, as the question is what the network sees, not how a person walks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from gait.arrays import Vector
from gait.body.skeleton import BODY_JOINTS, Joint
from gait.explaining.evidence.cycle_motion import NUM_COEFFICIENTS
from gait.explaining.evidence.motion_windows import MotionWindows

MAX_DEG = 45.0
_GRID_DEG = (2.0, 5.0, 10.0, 20.0, 30.0, MAX_DEG)


def find_blind_spots(
    windows: MotionWindows, left_out: Collection[Joint], within_limits: Callable[[Vector], bool]
) -> dict[tuple[Joint, int], float]:
    """Return the degrees, by (joint, axis), up to which an offset in either direction leaves the decision.

    Infinite where no offset up to the limits of the body changes it. Between the offsets that are tried the logit is
    interpolated.
    """
    grid = np.radians([sign * size for sign in (1, -1) for size in _GRID_DEG])
    motions = [(joint, axis) for joint in BODY_JOINTS if joint not in left_out for axis in range(3)]
    start = float(windows.logits_of_offsets([(motions[0][0], 0, 0.0)])[0])
    logits = windows.logits_of_offsets([(joint, axis, offset) for joint, axis in motions for offset in grid])
    found = {}
    for (joint, axis), own in zip(motions, logits.reshape(len(motions), 2, -1), strict=True):
        limits = []
        for sign, values in zip((1, -1), own, strict=True):
            degrees = _first_change(start, values)
            change = np.zeros((len(BODY_JOINTS), 3, NUM_COEFFICIENTS))
            change[joint, axis, 0] = sign * np.radians(degrees) if np.isfinite(degrees) else 0.0
            limits.append(degrees if np.isfinite(degrees) and within_limits(change) else np.inf)
        found[joint, axis] = float(min(limits))
    return found


def _first_change(start: float, logits: Vector) -> float:
    """Return the size at which the decision changes first, degrees, from the logit without and with offsets; or inf."""
    sizes, values = np.array([0.0, *_GRID_DEG]), np.array([start, *logits])
    other = np.flatnonzero((values >= 0) != (start >= 0))
    if not len(other):
        return float("inf")
    k = int(other[0])
    t = values[k - 1] / (values[k - 1] - values[k])
    return float(sizes[k - 1] + t * (sizes[k] - sizes[k - 1]))
