"""Fits of SMPL-H and SMPL-X bodies as AMASS files (Mahmood et al. 2019, ICCV), with the keys of its two releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS, Joint, joint_indices
from gait.exporting.exporter import Exporter, FittedTrial, NotExportableError

_NUM_JOINTS = {"smplh": 52, "smplx": 55}
_NUM_BETAS, _NUM_DMPLS = 16, 8  # at least so many, which readers of AMASS files take
_R_Z_UP = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""p_file = R @ p of our y up: (z, x, y)."""


def write_amass(trial: FittedTrial, path: Path) -> None:
    """Write the poses in metres and radians, z up. Arrays are in double precision, as in AMASS.

    Raises:
        NotExportableError: the body is none of SMPL-H or SMPL-X, whose shape parameters and joints AMASS files hold.
    """
    sequence = trial.sequence
    J = _NUM_JOINTS.get(sequence.model_type)
    if J is None or sequence.poses.shape[1] != 3 * J:
        raise NotExportableError(
            f"AMASS files hold poses and shapes of SMPL-H and SMPL-X; {sequence.model_file or 'this body'} is another "
            "body. Fit with an SMPL-H or SMPL-X model (model_file of the cohort file)."
        )
    poses, translation = _to_z_up(sequence)
    betas = np.zeros(max(_NUM_BETAS, len(sequence.betas)))
    betas[: len(sequence.betas)] = sequence.betas
    content: dict[str, Any] = {"gender": sequence.gender, "trans": translation, "poses": poses, "betas": betas}
    if sequence.model_type == "smplh":
        content |= {"mocap_framerate": sequence.rate_hz, "dmpls": np.zeros((len(poses), _NUM_DMPLS))}
    else:
        body, hands = 3 * NUM_BODY_JOINTS, 3 * joint_indices(J)[Joint.LEFT_INDEX1]
        content |= {
            "surface_model_type": sequence.model_type,
            "mocap_frame_rate": sequence.rate_hz,
            "mocap_time_length": len(poses) / sequence.rate_hz,
            "num_betas": len(betas),
            "root_orient": poses[:, :3],
            "pose_body": poses[:, 3:body],
            "pose_jaw": poses[:, body : body + 3],
            "pose_eye": poses[:, body + 3 : hands],
            "pose_hand": poses[:, hands:],
        }
    np.savez_compressed(path, **content)


def _to_z_up(sequence: PoseSequence) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return poses (T, P) and translations (T, 3), z up; the root turns about its rest position."""
    poses = sequence.poses.astype(np.float64)
    rotation = scipy.spatial.transform.Rotation
    poses[:, :3] = (rotation.from_matrix(_R_Z_UP) * rotation.from_rotvec(poses[:, :3])).as_rotvec()
    translation = sequence.translation_m.astype(np.float64)
    pelvis = sequence.joints_m[:, 0].astype(np.float64)
    rest = np.median(pelvis - translation, axis=0)
    return poses, (translation + rest) @ _R_Z_UP.T - rest


EXPORTER = Exporter("amass", "fits of SMPL-H and SMPL-X as AMASS npz, in metres, z up", "_amass.npz", write_amass)
