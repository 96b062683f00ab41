"""The mean stride of several subjects: joint rotations, pelvis height and stride time of a gait cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gait.body.anatomy import read_anatomy
from gait.body.body import Body
from gait.body.joint_status import JointStatus, unobserved_joints
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.kinematics.event_sources import choose_events
from gait.kinematics.gait_events import floor_height, progression_directions
from gait.kinematics.strides import PERCENT, find_trial_strides
from gait.kinematics.walking import find_activity, walking_intervals

Array = NDArray[np.float64]

STRIDE_POINTS = len(PERCENT)
"""Samples per stride: 0 to 100 % from one left initial contact to the next."""


@dataclass(frozen=True, eq=False)
class SampledStride:
    """A stride in ``STRIDE_POINTS`` samples, walking along +z."""

    rotations: Array  # (101, J, 3, 3) of the joints
    pelvis_height_m: Array  # (101,) above the floor
    duration_s: float
    unobserved: tuple[Joint, ...] = ()  # joints that the trial does not observe


def sample_strides(sequence: PoseSequence) -> list[SampledStride]:
    """Return each stride of a trial's walks, from one left initial contact to the next."""
    unobserved = unobserved_joints(sequence.joint_status)
    events = choose_events(sequence)
    ahead = progression_directions(sequence.joints_m, sequence.rate_hz)
    height = sequence.joints_m[:, Joint.PELVIS, 1].astype(np.float64) - floor_height(sequence.joints_m)
    found = []
    walks = walking_intervals(find_activity(sequence.joints_m, sequence.rate_hz))
    for stride in find_trial_strides(events, sequence.joints_m, sequence.rate_hz, walks)["left"]:
        frames = np.rint(np.linspace(stride.start, stride.end, STRIDE_POINTS)).astype(np.int64)
        rotations = Rotation.from_rotvec(sequence.poses[frames].reshape(-1, 3)).as_matrix()
        rotations = rotations.reshape(STRIDE_POINTS, -1, 3, 3)
        to_z = Rotation.from_euler("y", -np.arctan2(ahead[frames, 0], ahead[frames, 2])[:, None]).as_matrix()
        rotations[:, 0] = to_z @ rotations[:, 0]
        found.append(
            SampledStride(rotations, height[frames], (stride.end - stride.start) / sequence.rate_hz, unobserved)
        )
    return found


def mean_stride(subjects: Sequence[Sequence[SampledStride]], betas: NDArray[np.floating], body: Body) -> PoseSequence:
    """Average the strides of each subject, and then over one or more subjects; the pelvis stays above the origin.

    Joint rotations are averaged as matrices and projected back to rotations (chordal L2 mean: Hartley et al. 2013, Int.
    J. Comput. Vis. 103:267, 5.3). Pelvis height and stride time are averaged arithmetically. ``betas`` (B,) are of
    the mean body. A joint is observed if all strides observe it.
    """

    def mean(part: str) -> Array:
        subject_means = [np.mean([getattr(stride, part) for stride in own], axis=0) for own in subjects]
        return np.asarray(np.mean(subject_means, axis=0))

    U, _, Vt = np.linalg.svd(mean("rotations"))
    U[..., 2] *= np.linalg.det(U @ Vt)[..., None]
    poses = Rotation.from_matrix((U @ Vt).reshape(-1, 3, 3)).as_rotvec().reshape(STRIDE_POINTS, -1).astype(np.float32)
    betas = np.asarray(betas, np.float32)
    shape = torch.from_numpy(betas)[: body.num_betas]
    pelvis = body.rest_joints(shape)[0, body.root].numpy()
    translation = np.tile(-pelvis, (STRIDE_POINTS, 1))
    translation[:, 1] += mean("pelvis_height_m")
    with torch.inference_mode():
        joints = body.posed_joints(torch.from_numpy(poses), shape, torch.from_numpy(translation))
    status = np.full((STRIDE_POINTS, NUM_BODY_JOINTS), JointStatus.OBSERVED, np.uint8)
    status[:, [joint for own in subjects for stride in own for joint in stride.unobserved]] = JointStatus.NOT_OBSERVED
    return PoseSequence(
        poses=poses,
        betas=betas,
        translation_m=translation,
        joints_m=joints[:, :NUM_BODY_JOINTS].numpy(),
        rate_hz=(STRIDE_POINTS - 1) / float(mean("duration_s")),
        model_file=body.name,
        model_sha256=body.sha256,
        model_type=body.model_type,
        joint_status=status,
        anatomy=read_anatomy(body, betas),
    )
