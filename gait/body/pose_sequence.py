"""The poses of one body over time."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
from numpy.typing import NDArray

from gait.body.rotation_error import RotationError
from gait.body.skeleton import BODY_PARENTS, NUM_BODY_JOINTS

if TYPE_CHECKING:  # it imports torch
    from gait.body.anatomy import Anatomy


@dataclass(frozen=True, eq=False)
class RecordedEvents:
    """Initial contacts and foot offs that the recording itself has, one of each tuple per event, in temporal order."""

    time_s: NDArray[np.float64]  # (E,) seconds from frame 0 of the sequence
    kinds: tuple[str, ...]  # "initial contact" or "foot off"
    sides: tuple[str, ...]  # "left" or "right"
    sources: tuple[str, ...]  # "laboratory" (marked in the file) or "force plate"
    notes: tuple[str, ...] = ()  # what was not used and why, one sentence each; not one per event


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
    # (T, 22, 3) axis-angle of the body joints relative to their parents; None if ``poses`` has it, or it is unknown
    body_rotations: NDArray[np.float32] | None = None
    anatomy: Anatomy | None = None  # joints and landmarks at rest; None in files of earlier versions
    rotation_error: RotationError | None = None  # of the joints' orientations; None in files of earlier versions
    recorded_events: RecordedEvents | None = None  # None if the recording has none
    extra: dict[str, Any] = field(default_factory=dict)  # further arrays in the pose file, by name

    @property
    def num_frames(self) -> int:
        """Number of frames T."""
        return len(self.poses)

    @cached_property
    def local_rotations(self) -> NDArray[np.float64] | None:
        """Rotation matrices R_parent_joint (T, 22, 3, 3) of the body joints; None if they are unknown."""
        axis_angle = self.body_rotations
        if axis_angle is None and not self.constrained and self.poses.shape[1] >= 3 * NUM_BODY_JOINTS:
            axis_angle = self.poses[:, : 3 * NUM_BODY_JOINTS].reshape(-1, NUM_BODY_JOINTS, 3)
        if axis_angle is None:
            return None
        rotations = scipy.spatial.transform.Rotation.from_rotvec(axis_angle.reshape(-1, 3).astype(np.float64))
        return rotations.as_matrix().reshape(-1, NUM_BODY_JOINTS, 3, 3)

    @cached_property
    def world_rotations(self) -> NDArray[np.float64] | None:
        """Rotation matrices R_world_joint (T, 22, 3, 3), which turn rest axes; None if they are unknown."""
        local = self.local_rotations
        if local is None:
            return None
        world = local.copy()
        for joint, parent in enumerate(BODY_PARENTS):
            if parent >= 0:
                world[:, joint] = world[:, parent] @ local[:, joint]
        return world

    def landmark_m(self, name: str, *, fitted: bool = False) -> NDArray[np.float64] | None:
        """Return the path (T, 3) in metres of a landmark that moves rigidly with its joint; None if unknown.

        With ``fitted``, it is the path of the recording's own marker of that name, if there is one.
        """
        rotations = self.world_rotations
        if rotations is None or self.anatomy is None:
            return None
        joint = int(self.anatomy.moves_with[self.anatomy.landmarks.index(name)])
        arm = self.anatomy.position_m(name, fitted=fitted) - self.anatomy.joints_m[joint]
        return self.joints_m[:, joint] + rotations[:, joint] @ arm
