"""The moving body of a trial as graphics tools animate it: a skin that is bound to joints, and the joints' rotations.

Fits on the open body are drawn on it. Meshes and skinning weights of licensed bodies may not be passed on: such fits
are drawn on the open body too, with the same joint rotations and the lengths of the subject's bones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gait.body.open_body import OPEN_BODY
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import BODY_PARENTS, NUM_BODY_JOINTS, Joint, joint_indices
from gait.exporting.exporter import NotExportableError
from gait.kinematics.gait_events import floor_height

if TYPE_CHECKING:  # it imports torch
    from gait.body.body import Body

_SIGMA_BONE_M = 0.002
"""Standard deviation of a bone's length when the open body gets the subject's lengths, against its shape's prior."""
_MAX_STEPS, _MAX_CHANGE = 30, 1e-4
_LEG_BONES = [Joint.LEFT_KNEE - 1, Joint.RIGHT_KNEE - 1, Joint.LEFT_ANKLE - 1, Joint.RIGHT_ANKLE - 1]
"""Rows of ``bone_lengths_m`` that are thighs and shanks."""


@dataclass(frozen=True, eq=False)
class SkinnedBody:
    """A skin and its K joints at rest (T-pose, metres, y up, facing +z), and how the joints move in T frames."""

    names: tuple[str, ...]  # (K,) of the joints: "pelvis", "left_hip", ...; a parent stands before its children
    parents: tuple[int, ...]  # (K,) -1 for the root
    joints_m: NDArray[np.float64]  # (K, 3) at rest
    vertices_m: NDArray[np.float64]  # (V, 3) at rest
    faces: NDArray[np.int64]  # (F, 3)
    weights: NDArray[np.float64]  # (V, K) each row sums to 1
    rotations: NDArray[np.float64]  # (T, K, 4) quaternions (x, y, z, w) relative to the parent
    root_m: NDArray[np.float64]  # (T, 3) position of the root joint
    betas: NDArray[np.float64]  # (B,) shape of the open body
    bone_error_m: float  # largest difference of a bone's length from the subject's; 0 on the body of the fit
    retargeted: bool  # drawn on another body than that of the fit


def make_skinned_body(
    sequence: PoseSequence, *, merge_joints: bool = True, standard_shape: bool = False
) -> SkinnedBody:
    """Return the moving body of a trial.

    Args:
        sequence: the poses.
        merge_joints: merge joints that never bend (fingers, toes) with their parents; else all joints of the open body
            are returned, in its order.
        standard_shape: draw the mean shape, scaled to the length of the subject's legs, in place of the subject's own
            shape. The body is moved up or down so that its feet stay on the floor.

    Raises:
        NotExportableError: the poses hold no joint rotations.
        GaitError: the open body is missing.
    """
    from scipy.spatial.transform import Rotation

    body = open_body()
    own = Path(sequence.model_file).name == OPEN_BODY and sequence.model_sha256 in ("", body.sha256)
    rotations = _rotations(sequence, body.num_joints)
    root_m = sequence.joints_m[:, 0].astype(np.float64)
    if standard_shape:
        betas, bone_error_m = np.zeros(body.num_betas), 0.0
    elif own:
        betas, bone_error_m = sequence.betas.astype(np.float64), 0.0
    else:
        betas, bone_error_m = _betas_of_bones(body, bone_lengths_m(sequence.joints_m))
    vertices, joints = (
        each[0].double().numpy() for each in body.rest_body(body.v_template.new_tensor(betas[: body.num_betas]))
    )
    if standard_shape:
        own_lengths, lengths = bone_lengths_m(sequence.joints_m), bone_lengths_m(joints[None, :NUM_BODY_JOINTS])
        scale = own_lengths[_LEG_BONES].sum() / lengths[_LEG_BONES].sum()
        vertices, joints = vertices * scale, joints * scale
        drawn = posed_joints_m(joints, body.parents, Rotation.from_rotvec(rotations.reshape(-1, 3)).as_quat(), root_m)
        root_m[:, 1] += floor_height(sequence.joints_m) - floor_height(drawn[:, :NUM_BODY_JOINTS])
        bone_error_m = float(np.abs(lengths * scale - own_lengths).max())
    weights = body.weights.double().numpy()
    bends: NDArray[np.bool_] = np.any(rotations != 0, axis=(0, 2)) | (not merge_joints)
    bends[:NUM_BODY_JOINTS] = True
    kept = np.flatnonzero(bends).tolist()
    moves_with: list[int] = []  # row of ``kept``
    for joint, parent in enumerate(body.parents):
        moves_with.append(kept.index(joint) if bends[joint] else moves_with[parent])
    merged = np.zeros((body.num_vertices, len(kept)))
    np.add.at(merged.T, moves_with, weights.T)
    quaternions = Rotation.from_rotvec(rotations[:, kept].reshape(-1, 3)).as_quat()
    return SkinnedBody(
        names=tuple(Joint(joint).name.lower() for joint in kept),
        parents=tuple(moves_with[body.parents[joint]] if body.parents[joint] >= 0 else -1 for joint in kept),
        joints_m=joints[kept],
        vertices_m=vertices,
        faces=body.faces.numpy(),
        weights=merged / merged.sum(axis=1, keepdims=True),
        rotations=quaternions.reshape(-1, len(kept), 4),
        root_m=root_m,
        betas=betas,
        bone_error_m=bone_error_m,
        retargeted=standard_shape or not own,
    )


@lru_cache(maxsize=1)
def open_body() -> Body:
    """Return the open body, which is read only once. Raises GaitError if it is missing."""
    from gait.body.model_file import load_body  # imports torch

    return load_body()


def posed_joints_m(
    rest_m: NDArray[np.floating],
    parents: Sequence[int],
    quaternions: NDArray[np.floating],
    root_m: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Return the joints (T, K, 3) of a body with K joints (K, 3) at rest, a parent before its children.

    ``quaternions`` (T, K, 4), in any shape of that size, are relative to the parent; ``root_m`` (T, 3) is the root.
    """
    from scipy.spatial.transform import Rotation

    local = Rotation.from_quat(np.reshape(quaternions, (-1, 4))).as_matrix().reshape(len(root_m), len(rest_m), 3, 3)
    world, joints = local.copy(), np.zeros((len(root_m), len(rest_m), 3))
    joints[:, 0] = root_m
    for joint, parent in enumerate(parents):
        if parent >= 0:
            world[:, joint] = world[:, parent] @ local[:, joint]
            joints[:, joint] = joints[:, parent] + world[:, parent] @ (rest_m[joint] - rest_m[parent])
    return joints


def continuous_quaternions(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the same rotations (T, K, 4) with signs by which neighbours in time are near each other."""
    flips = np.cumprod(np.where((quaternions[1:] * quaternions[:-1]).sum(axis=-1) < 0, -1.0, 1.0), axis=0)
    return quaternions * np.concatenate([np.ones((1, quaternions.shape[1])), flips])[..., None]


def bone_lengths_m(joints_m: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the length (21,) of the bone from the parent to each body joint but the pelvis, median over (T, 22, 3)."""
    bones = joints_m[:, 1:].astype(np.float64) - joints_m[:, BODY_PARENTS[1:]]
    return np.median(np.linalg.norm(bones, axis=2), axis=0)


def _rotations(sequence: PoseSequence, num_joints: int) -> NDArray[np.float64]:
    """Return the axis-angle vectors (T, J, 3) of the open body's joints; zero where the fitted body has no such joint.

    Raises:
        NotExportableError: the poses hold no joint rotations.
    """
    from scipy.spatial.transform import Rotation

    local = sequence.local_rotations
    if local is None:
        raise NotExportableError("these poses hold no joint rotations; fit the trial again with --overwrite.")
    rotations = np.zeros((sequence.num_frames, num_joints, 3))
    rotations[:, :NUM_BODY_JOINTS] = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 22, 3)
    if not sequence.constrained and sequence.poses.shape[1] % 3 == 0:
        axis_angle = sequence.poses.reshape(sequence.num_frames, -1, 3)
        for joint, column in joint_indices(axis_angle.shape[1]).items():
            rotations[:, joint] = axis_angle[:, column]
    return rotations


def _betas_of_bones(body: Body, lengths_m: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the most likely shape (B,) with bones of these lengths (21,), and the largest error of a length, metres.

    Gauss-Newton steps on the sum of squared errors in units of ``_SIGMA_BONE_M`` and of the squared shape parameters.
    """
    parents = list(BODY_PARENTS[1:])
    template, directions = (
        each[1:NUM_BODY_JOINTS] - each[parents]
        for each in (body.joint_template.double().numpy(), body.joint_shapedirs.double().numpy())
    )
    betas = np.zeros(body.num_betas)
    for _ in range(_MAX_STEPS):
        bones = template + directions @ betas
        lengths = np.linalg.norm(bones, axis=1)
        jacobian = (directions * (bones / lengths[:, None])[..., None]).sum(axis=1) / _SIGMA_BONE_M
        residual = (lengths_m - lengths) / _SIGMA_BONE_M
        hessian = jacobian.T @ jacobian + np.eye(len(betas))
        step = np.linalg.solve(hessian, jacobian.T @ residual - betas)
        betas += step
        if np.abs(step).max() < _MAX_CHANGE:
            break
    error = np.abs(np.linalg.norm(template + directions @ betas, axis=1) - lengths_m).max()
    return betas, float(error)
