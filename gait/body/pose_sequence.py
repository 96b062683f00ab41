"""The movement of one body: a shape, and a pose and a place for every frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PoseSequence:
    """Poses of one person over one recording, with the joints that follow from them.

    Metres, radians, y up. ``poses`` are axis-angle joint by joint for the free tree (P = 3·J), or the
    ``num_pose`` hinge numbers of a constrained body.
    """

    poses: NDArray[np.float32]  # (T, P)
    betas: NDArray[np.float32]  # (B,) one shape for the whole person
    translation_m: NDArray[np.float32]  # (T, 3)
    joints_m: NDArray[np.float32]  # (T, 22, 3) posed body joints, metres, y up
    rate_hz: float
    model_file: str  # file name of the body model, e.g. "open_neutral.npz"
    model_sha256: str = ""
    model_type: str = "supr"  # the body's family by AMASS's names: supr, smplx, smplh, smpl
    gender: str = "neutral"
    constrained: bool = False
    # (T, 22) metres: a joint's error is within this radius with a probability of 68 %; None where nobody has said
    joints_sigma_m: NDArray[np.float32] | None = None
    bridged: NDArray[np.bool_] | None = None  # (T,) no markers held the body there; it is drawn from both sides
    first_frame: int = 1  # the recording's own number of frame 0, as laboratories count
    extra: dict[str, Any] = field(default_factory=dict)  # further arrays kept beside the poses, by name

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return len(self.poses)
