"""Turn poses of other tools into pose sequences of a body: y up, with the joint positions that the body gives them.

With the body model that the poses were made for, the joints are exactly those of the source. On another body, the
joints that both have get the same rotations; proportions and rest pose are then those of that body, in the size in
which standing feet do not slide, and the feet are put on the floor at the height of its soles.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from gait.body.anatomy import read_anatomy
from gait.body.body import Body
from gait.body.joint_status import JointStatus
from gait.body.pose_sequence import PoseSequence
from gait.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from gait.body.skeleton import NUM_BODY_JOINTS, Joint, joint_indices
from gait.capture.pose_format import ForeignPoses
from gait.capture.up_axis import UpAxis, rotation_to_y_up
from gait.errors import GaitError
from gait.fitting.calibration import betas_for_size

MIN_UPRIGHT = 0.75
"""Least component of the trunk's mean direction along an axis for that axis to be the vertical."""
STANCE_QUANTILE = 0.05
"""Quantile over time of the height of the lower foot that is taken as standing."""

STEP_S = 0.1
"""Time over which the movements of pelvis and standing foot are compared."""
MIN_STANCE_M_S, MIN_STANCE_S = 0.2, 0.5
"""Least speed of a standing foot relative to the pelvis, and time of it, from which the size is inferred."""
MIN_SIZE, MAX_SIZE = 0.5, 1.4
"""Plausible sizes of a subject relative to the mean body; on a treadmill the result is outside."""
MAX_SIZE_SPREAD = 0.25
"""Largest difference between the quartiles of the size over the frames."""

_FEET = (Joint.LEFT_FOOT, Joint.RIGHT_FOOT)


def is_made_for(body: Body, poses: ForeignPoses) -> bool:
    """Return whether a body is the model that the poses were made for: the same family and gender."""
    return (body.model_type, body.gender) == (poses.model_type, poses.gender)


def infer_up(poses: ForeignPoses) -> UpAxis:
    """Return the up axis of the file from the direction of the trunk, else as the format defines it.

    Raises:
        GaitError: the trunk is not upright along any axis, and the format defines none.
    """
    root = axis_angle_to_matrix(torch.as_tensor(poses.poses[:, :3]))
    trunk = root[:, :, 1].mean(dim=0).numpy()  # +y of the rest pose
    axis = int(np.abs(trunk).argmax())
    stated = poses.stated_up
    if abs(trunk[axis]) >= MIN_UPRIGHT:
        up = UpAxis(axis, int(np.sign(trunk[axis])), "")
        note = f"Up is {up.name} of the file, inferred from the direction of the trunk."
        if stated and stated != up.name:
            note += f" Its format defines {stated}."
        return UpAxis(up.axis, up.sign, note)
    if stated:
        note = f"Up is {stated} of the file, as its format defines; the trunk is not upright."
        return UpAxis("xyz".index(stated[1]), -1 if stated[0] == "-" else 1, note)
    raise GaitError(
        "the trunk is not upright along an axis of the file, so which way is up is unknown; this is no walk."
    )


def to_pose_sequence(poses: ForeignPoses, body: Body) -> tuple[PoseSequence, tuple[str, ...]]:
    """Return the poses on a body with free joints, and notes, one sentence each, on what was inferred or not observed.

    If the body ``is_made_for`` the poses, its joints are those of the source, turned to y up.

    Raises:
        GaitError: the body lacks the body joints, or up is unknown.
    """
    if body.num_joints < NUM_BODY_JOINTS or body.constrained_tree is not None:
        raise GaitError(f"{body.name}: poses need a body of {NUM_BODY_JOINTS} or more joints that all rotate freely.")
    up = infer_up(poses)
    R_y_up = rotation_to_y_up(up)
    exact = is_made_for(body, poses)
    notes = [up.note]
    source = poses.poses.reshape(len(poses.poses), -1, 3)
    theirs, ours = joint_indices(source.shape[1]), joint_indices(body.num_joints)
    shared = [joint for joint in theirs if joint in ours]
    rotations = np.zeros((len(source), body.num_joints, 3))
    rotations[:, [ours[joint] for joint in shared]] = source[:, [theirs[joint] for joint in shared]]
    if exact:
        rotations = source.copy()  # also joints without a name here, such as SMPL's hands
    root = torch.as_tensor(R_y_up) @ axis_angle_to_matrix(torch.as_tensor(source[:, 0]))
    rotations[:, 0] = matrix_to_axis_angle(root).numpy()
    betas = np.zeros(body.num_betas)
    if exact and len(poses.betas):
        used = min(len(poses.betas), body.num_betas)
        betas[:used] = poses.betas[:used]
        if poses.betas[used:].any():
            notes.append(
                f"The file has {len(poses.betas)} shape parameters, {body.name} {used}: the others are ignored."
            )

    body = body.to(dtype=torch.float64, device="cpu")
    pose, shape = torch.as_tensor(rotations.reshape(len(rotations), -1)), torch.as_tensor(betas)
    with torch.inference_mode():
        if not exact:
            shape, note = _shape_by_steps(body, pose, poses, R_y_up)
            notes.append(note)
        rest = body.rest_joints(shape)[0]
        pelvis = rest[body.root].numpy()
        # The root rotates about its rest position p, so R·(p + t) = p + t' in the rotated axes.
        translation = (poses.translation_m + pelvis) @ R_y_up.T - pelvis
        joints = body.posed_joints(pose, shape, torch.as_tensor(translation))[:, :NUM_BODY_JOINTS].numpy()
        if not exact:
            sole = float(body.rest_body(shape)[0][0, :, 1].min())
            lift = _lift_to_floor(joints, rest.numpy(), sole)
            translation, joints = translation + lift, joints + lift
    return (
        PoseSequence(
            poses=rotations.reshape(len(rotations), -1).astype(np.float32),
            betas=shape.numpy().astype(np.float32),
            translation_m=translation.astype(np.float32),
            joints_m=joints.astype(np.float32),
            rate_hz=poses.rate_hz,
            model_file=body.name,
            model_sha256=body.sha256,
            gender=body.gender,
            model_type=body.model_type,
            joint_status=np.full(joints.shape[:2], JointStatus.OBSERVED, dtype=np.uint8),
            anatomy=read_anatomy(body, shape.numpy()),
        ),
        tuple(notes),
    )


def _lift_to_floor(joints_m: NDArray[np.float64], rest_m: NDArray[np.float64], sole_m: float) -> NDArray[np.float64]:
    """Return the shift (3,) after which the lower foot stands on y = 0 as it does at rest, most of the time."""
    height = joints_m[:, _FEET, 1] - (rest_m[_FEET, 1] - sole_m)
    return np.array([0.0, -np.quantile(height.min(axis=1), STANCE_QUANTILE), 0.0])


def _shape_by_steps(
    body: Body, pose: torch.Tensor, poses: ForeignPoses, R_y_up: NDArray[np.float64]
) -> tuple[torch.Tensor, str]:
    """Return the shape of the mean body in the size in which standing feet do not slide, and a note."""
    mean = torch.zeros(body.num_betas, dtype=pose.dtype)
    joints = body.posed_joints(pose, mean)
    feet = (joints[:, list(_FEET)] - joints[:, :1]).numpy()
    size = size_by_steps(feet, poses.translation_m @ R_y_up.T, poses.rate_hz)
    if size is None:
        return mean, "The shape is not observed: it is that of the mean body."
    note = f"The shape is not observed: it is that of the mean body, {size:.2f} times as large, so that no foot slides."
    return betas_for_size(body, size), note


def size_by_steps(feet_m: NDArray[np.float64], path_m: NDArray[np.float64], rate_hz: float) -> float | None:
    """Return the size of the subject relative to a body whose feet have these positions; None if no steps tell it.

    A foot that stands keeps its place, so the pelvis moves by d while the foot moves by -d relative to it. The lower
    foot is taken as standing; the size is the median over frames of |d| / |foot's movement|, along the latter.

    Args:
        feet_m: (T, 2, 3) relative to the pelvis, y up, metres.
        path_m: (T, 3) of the pelvis, which the source has in the subject's size.
        rate_hz: frames per second.
    """
    step = max(1, round(STEP_S * rate_hz))
    if len(path_m) <= step:
        return None
    lower = feet_m[..., 1].argmin(axis=1)
    same = lower[step:] == lower[:-step]
    moved = (feet_m[step:] - feet_m[:-step])[np.arange(len(same)), lower[:-step]][:, [0, 2]]
    pelvis = (path_m[step:] - path_m[:-step])[:, [0, 2]]
    square = (moved**2).sum(axis=1)
    used = same & (square > (MIN_STANCE_M_S * STEP_S) ** 2)
    if used.sum() < MIN_STANCE_S * rate_hz:
        return None
    size = -(moved * pelvis).sum(axis=1)[used] / square[used]
    low, median, high = np.quantile(size, (0.25, 0.5, 0.75))
    return float(median) if MIN_SIZE < median < MAX_SIZE and high - low < MAX_SIZE_SPREAD else None
