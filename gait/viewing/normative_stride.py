"""The mean healthy walker of a folder of fitted gaits: one stride, to be shown beside a person, in step with them."""

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
from gait.kinematics.gait_events import GaitEvents, gait_events, headings, strides
from gait.kinematics.joint_angles import joint_angles
from gait.motion.pose_files import POSES_FILE, read_poses
from gait.motion.trial_paths import HEALTHY
from gait.viewing.build_scene import floor_height
from gait.viewing.loaded_trial import BodyModelLocator, LoadedTrial

Array = NDArray[np.float64]

_POINTS = 101
"""Of a stride: whole percents from left heel strike to left heel strike."""
_MOST_GAITS = 200


def healthy_mean(folder: Path, bodies: BodyModelLocator) -> LoadedTrial:
    """The mean of the strides of each healthy person, and then of the persons.

    Rotations of joints are averaged as matrices and brought back to rotations (the chordal mean: Hartley et al. 2013,
    Int. J. Comput. Vis. 103:267, 5.3); the body's shape, the pelvis's height and the time of a stride as they are.

    Args:
        folder: that holds ``healthy/``, or this folder itself.
        bodies: where body models are.

    Raises:
        GaitError: there is no healthy walk with a whole stride on one body.
    """
    folder = Path(folder)
    healthy = folder if folder.name == HEALTHY else folder / HEALTHY
    files = sorted(healthy.rglob(POSES_FILE))[:_MOST_GAITS]
    if not files:
        raise GaitError(f"{healthy}: no fitted walk of a healthy person in it; choose a folder that holds {HEALTHY}.")
    body: Body | None = None
    persons: dict[str, list[tuple[Array, Array, float]]] = defaultdict(list)  # rotations, height, seconds of a stride
    shapes: dict[str, Array] = {}
    for file in files:
        sequence = read_poses(file.parent)
        if sequence.constrained:
            continue
        if body is None:
            body = bodies.of(sequence)
            first = sequence
        if sequence.model_file != first.model_file or len(sequence.betas) != len(first.betas):
            continue
        person = file.relative_to(healthy).parts[0]
        shapes[person] = sequence.betas.astype(np.float64)
        persons[person] += _strides(sequence)
    persons = {name: strides for name, strides in persons.items() if strides}
    if body is None or not persons:
        raise GaitError(f"{healthy}: no healthy walk there shows a whole stride, on one body and its free tree.")

    def mean(part: int) -> Array:
        of_persons = [np.mean([np.asarray(stride[part]) for stride in own], axis=0) for own in persons.values()]
        return np.asarray(np.mean(of_persons, axis=0))

    U, _, Vt = np.linalg.svd(mean(0))
    U[..., 2] *= np.linalg.det(U @ Vt)[..., None]
    poses = Rotation.from_matrix((U @ Vt).reshape(-1, 3, 3)).as_rotvec().reshape(_POINTS, -1).astype(np.float32)
    betas = np.mean([shapes[name] for name in persons], axis=0).astype(np.float32)
    shape = torch.from_numpy(betas)[: body.num_betas]
    pelvis = body.rest_joints(shape)[0, body.root].numpy()
    places = np.stack([np.full(_POINTS, -pelvis[0]), mean(1) - pelvis[1], np.full(_POINTS, -pelvis[2])], axis=1)
    places = places.astype(np.float32)
    with torch.inference_mode():
        joints = body.posed_joints(torch.from_numpy(poses), shape, torch.from_numpy(places))
    rate_hz = (_POINTS - 1) / float(mean(2))
    sequence = PoseSequence(
        poses=poses,
        betas=betas,
        translation_m=places,
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
        name=f"mean of {len(persons)} healthy person{'s' * (len(persons) > 1)}",
        sequence=sequence,
        body=body,
        events=GaitEvents({"left": ends, "right": none}, {"left": none, "right": none}),
        angles=joint_angles(sequence.joints_m, rate_hz),
        markers=None,
    )


def _strides(sequence: PoseSequence) -> list[tuple[Array, Array, float]]:
    """Of each stride: rotations of the joints (101, J, 3, 3), walking along +z; the pelvis's height (101,); seconds."""
    strikes = gait_events(sequence.joints_m, sequence.rate_hz).heel_strikes["left"]
    ahead = headings(sequence.joints_m, sequence.rate_hz)
    height = sequence.joints_m[:, Joint.PELVIS, 1].astype(np.float64) - floor_height(sequence.joints_m)
    found = []
    for stride in strides(strikes, sequence.rate_hz):
        frames = np.rint(np.linspace(stride.start, stride.stop, _POINTS)).astype(np.int64)
        rotations = Rotation.from_rotvec(sequence.poses[frames].reshape(-1, 3)).as_matrix().reshape(_POINTS, -1, 3, 3)
        to_z = Rotation.from_euler("y", -np.arctan2(ahead[frames, 0], ahead[frames, 2])[:, None]).as_matrix()
        rotations[:, 0] = to_z @ rotations[:, 0]
        found.append((rotations, height[frames], (stride.stop - stride.start) / sequence.rate_hz))
    return found
