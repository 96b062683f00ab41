"""The mean stride of the controls in a folder of fitted trials, for comparison with another trial."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.errors import GaitError
from gait.kinematics.gait_events import GaitEvents, detect_gait_events, find_strides, progression_directions
from gait.kinematics.joint_angles import compute_joint_angles
from gait.motion.pose_files import POSES_FILE, read_poses
from gait.motion.trial_paths import HEALTHY
from gait.viewing.build_scene import floor_height
from gait.viewing.loaded_trial import BodyModelLocator, LoadedTrial

Array = NDArray[np.float64]

_POINTS = 101
"""Samples per stride: 0 to 100 % from one left initial contact to the next."""
_MAX_TRIALS = 200


def compute_normative_stride(folder: Path, bodies: BodyModelLocator) -> LoadedTrial:
    """Average the strides of each control, and then over the controls; return one stride as a trial.

    Joint rotations are averaged as matrices and projected back to rotations (chordal L2 mean: Hartley et al. 2013, Int.
    J. Comput. Vis. 103:267, 5.3). Body shape, pelvis height and stride time are averaged arithmetically.

    Args:
        folder: a folder that holds ``healthy/``, or the folder ``healthy`` itself.
        bodies: where the body models are.

    Raises:
        GaitError: no control trial contains a complete stride on one body model.
    """
    folder = Path(folder)
    healthy = folder if folder.name == HEALTHY else folder / HEALTHY
    files = sorted(healthy.rglob(POSES_FILE))[:_MAX_TRIALS]
    if not files:
        raise GaitError(f"{healthy}: no fitted trial in it; choose a folder that holds {HEALTHY}.")
    body: Body | None = None
    subjects: dict[str, list[tuple[Array, Array, float]]] = defaultdict(list)  # the strides of each, see _strides
    shapes: dict[str, Array] = {}
    for file in files:
        sequence = read_poses(file.parent)
        if sequence.constrained:
            continue
        if body is None:
            body = bodies.load_for(sequence)
            first = sequence
        if sequence.model_file != first.model_file or len(sequence.betas) != len(first.betas):
            continue
        subject = file.relative_to(healthy).parts[0]
        shapes[subject] = sequence.betas.astype(np.float64)
        subjects[subject] += _strides(sequence)
    subjects = {name: strides for name, strides in subjects.items() if strides}
    if body is None or not subjects:
        raise GaitError(
            f"{healthy}: no trial there has a complete stride on one body model with its free kinematic tree."
        )

    def mean(part: int) -> Array:
        subject_means = [np.mean([np.asarray(stride[part]) for stride in own], axis=0) for own in subjects.values()]
        return np.asarray(np.mean(subject_means, axis=0))

    U, _, Vt = np.linalg.svd(mean(0))
    U[..., 2] *= np.linalg.det(U @ Vt)[..., None]
    poses = Rotation.from_matrix((U @ Vt).reshape(-1, 3, 3)).as_rotvec().reshape(_POINTS, -1).astype(np.float32)
    betas = np.mean([shapes[name] for name in subjects], axis=0).astype(np.float32)
    shape = torch.from_numpy(betas)[: body.num_betas]
    pelvis = body.rest_joints(shape)[0, body.root].numpy()
    translation = np.stack([np.full(_POINTS, -pelvis[0]), mean(1) - pelvis[1], np.full(_POINTS, -pelvis[2])], axis=1)
    translation = translation.astype(np.float32)
    with torch.inference_mode():
        joints = body.posed_joints(torch.from_numpy(poses), shape, torch.from_numpy(translation))
    rate_hz = (_POINTS - 1) / float(mean(2))
    sequence = PoseSequence(
        poses=poses,
        betas=betas,
        translation_m=translation,
        joints_m=joints[:, :NUM_BODY_JOINTS].numpy(),
        rate_hz=rate_hz,
        model_file=body.name,
        model_sha256=body.sha256,
        model_type=body.model_type,
    )
    none = np.zeros(0, dtype=np.int64)
    ends = np.array([0, _POINTS - 1], dtype=np.int64)
    return LoadedTrial(
        folder=healthy,
        name=f"mean of {len(subjects)} control{'s' * (len(subjects) > 1)}",
        sequence=sequence,
        body=body,
        events=GaitEvents({"left": ends, "right": none}, {"left": none, "right": none}),
        angles=compute_joint_angles(sequence.joints_m, rate_hz),
        markers=None,
    )


def _strides(sequence: PoseSequence) -> list[tuple[Array, Array, float]]:
    """Return per stride: joint rotations (101, J, 3, 3), walking along +z; pelvis height (101,), metres; seconds."""
    contacts = detect_gait_events(sequence.joints_m, sequence.rate_hz).initial_contacts["left"]
    ahead = progression_directions(sequence.joints_m, sequence.rate_hz)
    height = sequence.joints_m[:, Joint.PELVIS, 1].astype(np.float64) - floor_height(sequence.joints_m)
    found = []
    for stride in find_strides(contacts, sequence.rate_hz):
        frames = np.rint(np.linspace(stride.start, stride.stop, _POINTS)).astype(np.int64)
        rotations = Rotation.from_rotvec(sequence.poses[frames].reshape(-1, 3)).as_matrix().reshape(_POINTS, -1, 3, 3)
        to_z = Rotation.from_euler("y", -np.arctan2(ahead[frames, 0], ahead[frames, 2])[:, None]).as_matrix()
        rotations[:, 0] = to_z @ rotations[:, 0]
        found.append((rotations, height[frames], (stride.stop - stride.start) / sequence.rate_hz))
    return found
