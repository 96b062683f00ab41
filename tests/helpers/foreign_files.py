"""Poses of a synthetic trial as other tools write them: AMASS archives, CARE-PD pickles, keypoints of video."""

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from gait.body.body import Body
from gait.body.marker_placement import place_markers
from gait.body.pose_sequence import PoseSequence
from gait.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from gait.body.skeleton import joint_indices
from gait.marker_sets import MARKER_SETS
from gait.synthetic.virtual_markers import noise_free_markers

Y_TO_Z_UP = np.eye(3)[[2, 0, 1]]
"""Rotation from the axes of this package to those of AMASS."""


def rotated(sequence: PoseSequence, body: Body, R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return poses (T, P) and translations (T, 3) of the same motion in rotated axes, double precision."""
    poses = sequence.poses.astype(np.float64)
    root = torch.tensor(R) @ axis_angle_to_matrix(torch.tensor(poses[:, :3]))
    poses[:, :3] = matrix_to_axis_angle(root).numpy()
    rest = body.rest_joints(torch.as_tensor(sequence.betas).to(body.v_template))[0, 0].double().numpy()
    return poses, (sequence.translation_m + rest) @ R.T - rest


def write_amass(path: Path, sequence: PoseSequence, body: Body, gender: object = "female", **changes: object) -> Path:
    """Write the poses of a body of the SMPL family as an AMASS archive; ``changes`` replace or, if None, omit keys."""
    poses, trans = rotated(sequence, body, Y_TO_Z_UP)
    content = {
        "poses": poses,
        "trans": trans,
        "betas": sequence.betas.astype(np.float64),
        "gender": np.asarray(gender),
        "mocap_framerate": np.float64(sequence.rate_hz),
        "dmpls": np.zeros((len(poses), 8)),
    } | changes
    np.savez(path, **{key: value for key, value in content.items() if value is not None})
    return path


def smpl_walk(sequence: PoseSequence, body: Body, R: np.ndarray = Y_TO_Z_UP, **fields: object) -> dict[str, object]:
    """Return one walk of a CARE-PD file: SMPL's 24 joints, an unknown shape, and further fields."""
    poses, trans = rotated(sequence, body, R)
    theirs = joint_indices(body.num_joints)
    pose = np.zeros((len(poses), 24, 3))
    for joint, row in joint_indices(24).items():
        pose[:, row] = poses.reshape(len(poses), -1, 3)[:, theirs[joint]]
    known = {"pose": pose.reshape(-1, 72), "trans": trans, "beta": np.zeros(10), "fps": sequence.rate_hz}
    return known | {"UPDRS_GAIT": None, "medication": None, "other": None} | fields


def write_care_pd(path: Path, subjects: dict[str, dict[str, dict[str, object]]]) -> Path:
    """Write subjects and their walks as a CARE-PD pickle."""
    path.write_bytes(pickle.dumps(subjects))
    return path


COCO = (
    "Nose",
    *(side + name for name in ("Eye", "Ear", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle") for side in "LR"),
)
"""Keypoints of COCO in Pose2Sim's spelling."""

HALPE = (*COCO, "Head", "Neck", "Hip", *(side + name for name in ("BigToe", "SmallToe", "Heel") for side in "LR"))
"""Keypoints of Halpe."""


def keypoints(sequence: PoseSequence, body: Body, names: Sequence[str], noise_m: float, seed: int = 0) -> np.ndarray:
    """Return keypoints (T, K, 3) of a trial in metres, with an error of this length (RMS)."""
    markers = [MARKER_SETS["video_keypoints"].names[name] for name in names]
    layout = place_markers(body, markers, "keypoint")
    positions, _ = noise_free_markers(body, sequence, layout)
    found = dict(zip(layout.labels, np.moveaxis(positions, 1, 0), strict=True))
    found["MIDHIPC"] = (found["LHIPC"] + found["RHIPC"]) / 2
    points = np.stack([found[marker] for marker in markers], axis=1)
    return points + np.random.default_rng(seed).normal(0, noise_m / np.sqrt(3), points.shape)
