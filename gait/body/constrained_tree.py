"""The constrained tree of a SUPR body: joints that turn about one or two fixed axes instead of freely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.body.rotations import axis_angle_to_matrix, hamilton_product, left_jacobian, quaternion_feature
from gait.errors import GaitError


class PoseParameterRole(IntEnum):
    """What one number of a pose does to its joint."""

    NONE = 0  # turns nothing
    SPHERICAL = 1  # one of the three axis-angle numbers of a joint
    HINGE = 2  # the angle of a joint with one axis
    FIRST_HINGE = 3  # of two hinges R1·R2, the one applied last, R1
    SECOND_HINGE = 4  # of two hinges R1·R2, the one applied first, R2


@dataclass(frozen=True, eq=False)
class ConstrainedTree:
    """Which pose numbers turn which joint, and about which axis. S + H + D = J joints, P pose numbers.

    A hinge by angle a about unit axis u has the matrix Rodrigues(u, a)ᵀ and the ordinary quaternion feature
    of a·u; a double hinge has R1·R2 and the Hamilton product f2·f1 of the two features as they are.
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
    pose_joint: Tensor  # (P,) int64: the joint that a pose number turns, -1 for none
    pose_role: Tensor  # (P,) int64 of PoseRole
    pose_axis: Tensor  # (P, 3) the axis of a hinge as in the file; zero for other roles

    def rotations(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        """Matrices (B, J, 3, 3) relative to the parent and features (B, J, 4) of poses (B, P), radians."""
        hinge = pose[:, self.hinge, None] * self.hinge_axes
        first = pose[:, self.first_hinge, None] * self.first_hinge_axes
        second = pose[:, self.second_hinge, None] * self.second_hinge_axes
        spherical = pose[:, self.spherical]
        double_matrix = axis_angle_to_matrix(-first) @ axis_angle_to_matrix(-second)
        double_feature = hamilton_product(quaternion_feature(second), quaternion_feature(first))
        matrices = [axis_angle_to_matrix(spherical), axis_angle_to_matrix(-hinge), double_matrix]
        features = [quaternion_feature(spherical), quaternion_feature(hinge), double_feature]
        return torch.cat(matrices, 1)[:, self.order], torch.cat(features, 1)[:, self.order]

    def turning_axes(self, pose: Tensor) -> Tensor:
        """Axes ω (B, P, 3) of poses (B, P): ∂R_j/∂pose_d = skew(ω_d) R_j, with j = ``pose_joint[d]``."""
        axes = pose.new_zeros(*pose.shape, 3)
        jacobian = left_jacobian(pose[:, self.spherical])  # (B, S, 3, 3), a column an index
        axes = axes.index_copy(1, self.spherical.flatten(), jacobian.transpose(-1, -2).flatten(1, 2))
        batch = len(pose)
        axes = axes.index_copy(1, self.hinge, -self.hinge_axes.expand(batch, -1, -1))
        axes = axes.index_copy(1, self.first_hinge, -self.first_hinge_axes.expand(batch, -1, -1))
        first = axis_angle_to_matrix(-pose[:, self.first_hinge, None] * self.first_hinge_axes)
        turned = (first @ self.second_hinge_axes[..., None])[..., 0]
        return axes.index_copy(1, self.second_hinge, -turned)


def _numbers(meta: Mapping[str, Any], key: str, where: str) -> NDArray[np.float64]:
    """One entry of ``axis_meta``, a number, an array or a list of arrays, as a flat array."""
    if key not in meta:
        raise GaitError(f"{where}: axis_meta has no {key}; it has {', '.join(sorted(map(str, meta)))}.")
    value = meta[key]
    parts = value if isinstance(value, list | tuple) else [value]
    try:
        flat = [np.ravel(np.asarray(part, dtype=np.float64)) for part in parts]
    except (TypeError, ValueError):
        raise GaitError(f"{where}: axis_meta {key} holds something other than numbers.") from None
    return np.concatenate([np.zeros(0), *flat])


def _indices(meta: Mapping[str, Any], key: str, limit: int, where: str) -> NDArray[np.int64]:
    numbers = _numbers(meta, key, where)
    if not (np.all(numbers >= 0) and np.all(numbers < limit) and np.all(numbers == np.floor(numbers))):
        raise GaitError(f"{where}: axis_meta {key} holds an index outside 0 to {limit - 1}.")
    return numbers.astype(np.int64)


def read_hinge_tree(meta: Any, num_joints: int, where: str) -> ConstrainedTree:
    """The hinge tree of a model file's ``axis_meta``, in float64 on the CPU.

    ``where`` names the file in errors. Raises GaitError if an entry is missing, an index is out of range or
    used twice, an axis is not of unit length, or the joints do not add up to ``num_joints``.
    """
    if not isinstance(meta, Mapping):
        raise GaitError(f"{where}: axis_meta is a {type(meta).__name__}, not a dictionary.")
    num_pose_found = _numbers(meta, "num_pose", where)
    if num_pose_found.shape != (1,) or not 0 < num_pose_found[0] < 1e6 or num_pose_found[0] % 1:
        raise GaitError(f"{where}: axis_meta num_pose is no count.")
    num_pose = int(num_pose_found[0])
    axes = _numbers(meta, "axis", where)
    if axes.size % 3:
        raise GaitError(f"{where}: axis_meta axis holds {axes.size} numbers, which are no triples.")
    axes = axes.reshape(-1, 3)
    axes = axes[_indices(meta, "axis_indx", len(axes), where)]

    def hinges(key: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        index = _indices(meta, key, num_pose, where)
        chosen = axes[_indices(meta, f"{key}_axis", len(axes), where)]
        if len(chosen) != len(index):
            raise GaitError(f"{where}: axis_meta has {len(index)} {key} but {len(chosen)} {key}_axis.")
        lengths = np.linalg.norm(chosen, axis=1)
        if not np.all(np.abs(lengths - 1) < 1e-3):
            raise GaitError(f"{where}: axis_meta {key}_axis points to an axis that is not of unit length.")
        return index, chosen / lengths[:, None]

    spherical = _indices(meta, "indx_spherical", num_pose, where)
    if spherical.size % 3:
        raise GaitError(f"{where}: axis_meta indx_spherical holds {spherical.size} indices, which are no triples.")
    spherical = spherical.reshape(-1, 3)
    hinge, hinge_axes = hinges("indx_hinge")
    first, first_axes = hinges("indx_double_hinge1")
    second, second_axes = hinges("indx_double_hinge2")
    if len(first) != len(second):
        raise GaitError(f"{where}: axis_meta has {len(first)} first but {len(second)} second double hinges.")
    found = len(spherical) + len(hinge) + len(first)
    order = _indices(meta, "reverse_indx", found, where)
    if found != num_joints or sorted(order) != list(range(num_joints)):
        raise GaitError(
            f"{where}: axis_meta has {len(spherical)} spherical, {len(hinge)} hinge and {len(first)} "
            f"double-hinge joints, {len(set(order))} places for them, but the body has {num_joints} joints."
        )
    used = np.concatenate([spherical.ravel(), hinge, first, second])
    if len(set(used)) != len(used):
        raise GaitError(f"{where}: axis_meta lets one pose number turn two joints.")

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
