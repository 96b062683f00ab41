"""The poses of one body over time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PoseSequence:
    """The fitted poses of one subject in a trial, or in a segment of it, and the joint positions that they give.

    Metres, radians, y up. ``poses`` are the axis-angle vectors of all joints (P = 3·J), or the ``num_pose`` parameters
    of a constrained tree.
    """

    poses: NDArray[np.float32]  # (T, P)
    betas: NDArray[np.float32]  # (B,) shape of the subject
    translation_m: NDArray[np.float32]  # (T, 3)
    joints_m: NDArray[np.float32]  # (T, 22, 3) posed body joints, metres, y up
    rate_hz: float
    model_file: str  # file name of the body model, e.g. "open_neutral.npz"
    model_sha256: str = ""
    model_type: str = "supr"  # model family, as AMASS names it: supr, smplx, smplh, smpl
    gender: str = "neutral"
    constrained: bool = False
    # (T, 22) metres: the joint's error is within this radius with a probability of 68 %; None if unknown
    joint_sigma_m: NDArray[np.float32] | None = None
    joint_status: NDArray[np.uint8] | None = None  # (T, 22) a ``JointStatus`` per joint; None if unknown
    gap_filled: NDArray[np.bool_] | None = None  # (T,) true if markers were missing and the pose is interpolated
    first_frame: int = 1  # number of frame 0 in the recording
    extra: dict[str, Any] = field(default_factory=dict)  # further arrays in the pose file, by name

    @property
    def num_frames(self) -> int:
        """Number of frames T."""
        return len(self.poses)
