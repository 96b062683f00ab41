"""The constrained tree of a SUPR body, in which some joints rotate about one or two fixed axes only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.body.rotations import axis_angle_to_matrix, hamilton_product, quaternion_feature
from gait.errors import GaitError


class PoseParameterRole(IntEnum):
    """The meaning of one pose parameter."""

    NONE = 0  # unused
    SPHERICAL = 1  # a component of the axis-angle vector of a free joint
    HINGE = 2  # the angle of a hinge joint
    FIRST_HINGE = 3  # the angle of R1 in a double hinge R1·R2; R1 is applied last
    SECOND_HINGE = 4  # the angle of R2 in a double hinge R1·R2; R2 is applied first


@dataclass(frozen=True, eq=False)
class ConstrainedTree:
    """The joint, role and axis of each pose parameter: S spherical + H hinge + D double-hinge = J joints, P parameters.

    As in SUPR, a hinge with angle a about the unit axis u has the matrix Rodrigues(u, a)ᵀ but the quaternion feature of
    a·u. A double hinge has the matrix R1·R2 and the Hamilton product f2·f1 of its two features.
    """

    num_pose: int
    spherical: Tensor  # (S, 3) int64, pose indices
    hinge: Tensor  # (H,) int64, pose indices
    hinge_axes: Tensor  # (H, 3) unit
    first_hinge: Tensor  # (D,) int64, pose indices
    first_hinge_axes: Tensor  # (D, 3) unit
    second_hinge: Tensor  # (D,) int64, pose indices
    second_hinge_axes: Tensor  # (D, 3) unit
    order: Tensor  # (J,) int64: joint j is entry order[j] of the list [spherical, hinge, double hinge]
    pose_joint: Tensor  # (P,) int64: the joint that a pose parameter rotates, -1 for none
    pose_role: Tensor  # (P,) int64 of PoseParameterRole
    pose_axis: Tensor  # (P, 3) the axis of a hinge as in the file; zero for other roles

    def rotations(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        """Return rotations relative to the parent (B, J, 3, 3) and quaternion features (B, J, 4) of poses (B, P)."""
        hinge = pose[:, self.hinge, None] * self.hinge_axes
        first = pose[:, self.first_hinge, None] * self.first_hinge_axes
        second = pose[:, self.second_hinge, None] * self.second_hinge_axes
        spherical = pose[:, self.spherical]
        double_matrix = axis_angle_to_matrix(-first) @ axis_angle_to_matrix(-second)
        double_feature = hamilton_product(quaternion_feature(second), quaternion_feature(first))
        matrices = [axis_angle_to_matrix(spherical), axis_angle_to_matrix(-hinge), double_matrix]
        features = [quaternion_feature(spherical), quaternion_feature(hinge), double_feature]
        return torch.cat(matrices, 1)[:, self.order], torch.cat(features, 1)[:, self.order]


def _numbers(meta: Mapping[str, Any], key: str, where: str) -> NDArray[np.float64]:
    """Return one entry of ``axis_meta`` (a number, an array or a list of arrays) as a flat array."""
    if key not in meta:
        raise GaitError(f"{where}: axis_meta has no {key}; it has {', '.join(sorted(map(str, meta)))}.")
    value = meta[key]
    parts = value if isinstance(value, list | tuple) else [value]
    try:
        flat = [np.ravel(np.asarray(part, dtype=np.float64)) for part in parts]
    except (TypeError, ValueError):
        raise GaitError(f"{where}: axis_meta {key} contains something other than numbers.") from None
    return np.concatenate([np.zeros(0), *flat])


def _indices(meta: Mapping[str, Any], key: str, limit: int, where: str) -> NDArray[np.int64]:
    numbers = _numbers(meta, key, where)
    if not (np.all(numbers >= 0) and np.all(numbers < limit) and np.all(numbers == np.floor(numbers))):
        raise GaitError(f"{where}: axis_meta {key} has an index outside 0 to {limit - 1}.")
    return numbers.astype(np.int64)


def read_constrained_tree(meta: Any, num_joints: int, where: str) -> ConstrainedTree:
    """Read the constrained tree from ``axis_meta`` of a model file, in float64 on the CPU.

    ``where`` is the file's name for errors. Raises GaitError if an entry is missing, an index is out of range or used
    twice, an axis is not of unit length, or the number of joints is not ``num_joints``.
    """
    if not isinstance(meta, Mapping):
        raise GaitError(f"{where}: axis_meta is a {type(meta).__name__}, not a dictionary.")
    num_pose_found = _numbers(meta, "num_pose", where)
    if num_pose_found.shape != (1,) or not 0 < num_pose_found[0] < 1e6 or num_pose_found[0] % 1:
        raise GaitError(f"{where}: axis_meta num_pose is not a positive whole number.")
    num_pose = int(num_pose_found[0])
    axes = _numbers(meta, "axis", where)
    if axes.size % 3:
        raise GaitError(f"{where}: axis_meta axis has {axes.size} numbers, not a multiple of 3.")
    axes = axes.reshape(-1, 3)
    axes = axes[_indices(meta, "axis_indx", len(axes), where)]

    def hinges(key: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        index = _indices(meta, key, num_pose, where)
        chosen = axes[_indices(meta, f"{key}_axis", len(axes), where)]
        if len(chosen) != len(index):
            raise GaitError(f"{where}: axis_meta has {len(index)} {key}, but {len(chosen)} {key}_axis.")
        lengths = np.linalg.norm(chosen, axis=1)
        if not np.all(np.abs(lengths - 1) < 1e-3):
            raise GaitError(f"{where}: axis_meta {key}_axis points to an axis that is not of unit length.")
        return index, chosen / lengths[:, None]

    spherical = _indices(meta, "indx_spherical", num_pose, where)
    if spherical.size % 3:
        raise GaitError(f"{where}: axis_meta indx_spherical has {spherical.size} indices, not a multiple of 3.")
    spherical = spherical.reshape(-1, 3)
    hinge, hinge_axes = hinges("indx_hinge")
    first, first_axes = hinges("indx_double_hinge1")
    second, second_axes = hinges("indx_double_hinge2")
    if len(first) != len(second):
        raise GaitError(f"{where}: axis_meta has {len(first)} first, but {len(second)} second axes of double hinges.")
    total = len(spherical) + len(hinge) + len(first)
    order = _indices(meta, "reverse_indx", total, where)
    if total != num_joints or sorted(order) != list(range(num_joints)):
        raise GaitError(
            f"{where}: axis_meta has {len(spherical)} spherical, {len(hinge)} hinge and {len(first)} double-hinge "
            f"joints and {len(set(order))} entries in reverse_indx, but the body has {num_joints} joints."
        )
    used = np.concatenate([spherical.ravel(), hinge, first, second])
    if len(set(used)) != len(used):
        raise GaitError(f"{where}: axis_meta uses one pose parameter for two joints.")

    joint_of_entry = np.argsort(order)
    pose_joint = np.full(num_pose, -1)
    pose_role = np.full(num_pose, int(PoseParameterRole.NONE))
    pose_axis = np.zeros((num_pose, 3))
    spherical_joints, hinge_joints, double_joints = np.split(
        joint_of_entry, [len(spherical), len(spherical) + len(hinge)]
    )
    pose_joint[spherical] = spherical_joints[:, None]
    pose_role[spherical] = PoseParameterRole.SPHERICAL
    for index, joints, role, unit in (
        (hinge, hinge_joints, PoseParameterRole.HINGE, hinge_axes),
        (first, double_joints, PoseParameterRole.FIRST_HINGE, first_axes),
        (second, double_joints, PoseParameterRole.SECOND_HINGE, second_axes),
    ):
        pose_joint[index], pose_role[index], pose_axis[index] = joints, role, unit
    return ConstrainedTree(
        num_pose=num_pose,
        spherical=torch.from_numpy(spherical),
        hinge=torch.from_numpy(hinge),
        hinge_axes=torch.from_numpy(hinge_axes),
        first_hinge=torch.from_numpy(first),
        first_hinge_axes=torch.from_numpy(first_axes),
        second_hinge=torch.from_numpy(second),
        second_hinge_axes=torch.from_numpy(second_axes),
        order=torch.from_numpy(order),
        pose_joint=torch.from_numpy(pose_joint),
        pose_role=torch.from_numpy(pose_role),
        pose_axis=torch.from_numpy(pose_axis),
    )
