"""Whether the markers of a recording observe a joint: the word that follows a joint from the fit to every result."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import BODY_JOINTS, Joint

MAX_OBSERVED_SIGMA_M = 0.025
"""A joint is observed if its error is within this radius with a probability of 68 %."""
MAX_INFERRED_SIGMA_M = 0.05
"""A joint is inferred from neighbouring joints or frames up to this radius; above, it is not observed."""
MIN_OBSERVED_FRACTION = 0.5
"""A joint that is observed or inferred in a smaller fraction of a trial's frames counts as not observed in all."""


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


_ENDS = {
    "HIP": "KNEE", "KNEE": "ANKLE", "ANKLE": "FOOT", "COLLAR": "SHOULDER", "SHOULDER": "ELBOW", "ELBOW": "WRIST",
    "SPINE1": "SPINE2", "SPINE2": "SPINE3", "NECK": "HEAD",
}  # fmt: skip


def _end_joint(joint: Joint) -> Joint:
    side, _, part = joint.name.rpartition("_")
    return Joint["_".join(filter(None, (side, _ENDS.get(part, part))))]


_END_JOINTS = [_end_joint(joint) for joint in BODY_JOINTS]


def body_part_status(status: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the status of the part of the body that moves with each joint, (..., 22), from that of the joints.

    It is the lower one of the two joints between which the part lies: a shank is observed if knee and ankle are.
    """
    return np.minimum(status, status[..., _END_JOINTS])


def explainable(status: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where joints of status (T, 22) may be ranked, averaged or stated, (T, 22).

    It is where they are observed or inferred, except in trials that do not observe them in most of the frames.
    """
    mask = status > JointStatus.NOT_OBSERVED
    mask[:, list(unobserved_joints(status))] = False
    return mask


def unobserved_joints(status: NDArray[np.uint8] | None) -> tuple[Joint, ...]:
    """Return the joints that a trial of status (T, 22) does not observe; none if the status is unknown (None)."""
    if status is None:
        return ()
    fraction = (status > JointStatus.NOT_OBSERVED).mean(axis=0)
    return tuple(joint for joint in BODY_JOINTS if fraction[joint] < MIN_OBSERVED_FRACTION)
