"""Whether the markers of a recording observe a joint: the word that follows a joint from the fit to every result."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

MAX_OBSERVED_SIGMA_M = 0.025
"""A joint is observed if its error is within this radius with a probability of 68 %."""
MAX_INFERRED_SIGMA_M = 0.05
"""A joint is inferred from neighbouring joints or frames up to this radius; above, it is not observed."""


class JointStatus(IntEnum):
    """How far the position of a joint in a frame follows from the recording."""

    NOT_OBSERVED = 0  # the position comes from the pose prior: never rank, average or state it
    INFERRED = 1  # from neighbouring joints or frames
    OBSERVED = 2  # markers determine it


def status_from_sigma(sigma_m: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the ``JointStatus`` of joints from the uncertainty of their positions (any shape, metres).

    This is for poses without markers; ``gait.fitting.observed_joints`` also considers where the markers lie.
    """
    levels = (sigma_m <= MAX_INFERRED_SIGMA_M).astype(np.uint8)
    return levels + (sigma_m <= MAX_OBSERVED_SIGMA_M).astype(np.uint8)
