"""A statistical body of the SUPR or SMPL family: from shape and pose to vertices and joints.

>>> body = load_body("data/SUPR/open_neutral.npz")        # gait.body.model_file
>>> out = body(torch.zeros(1, body.num_pose), torch.zeros(body.num_betas))
>>> out.vertices.shape, out.joints.shape
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.body.constrained_tree import ConstrainedTree
from gait.body.rotations import PoseFeature, axis_angle_to_matrix, matrix_feature, quaternion_feature
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.errors import GaitError

Landmark = tuple[int, tuple[float, float, float]]
"""A point on the skin: a row of ``faces``, and the barycentric weights of its three vertices."""

_D = TypeVar("_D")


class BodyOutput(NamedTuple):
    """A posed body; metres, y up."""

    vertices: Tensor  # (B, V, 3)
    joints: Tensor  # (B, J, 3) joint positions
    rotations: Tensor  # (B, J, 3, 3) R_world_joint


@dataclass(frozen=True, eq=False)
class Body:
    """A body model: the arrays of one model file, and the functions of pose and shape that they define.

    The rest pose is the T-pose: metres, y up, facing +z, the subject's left at +x. A pose has P numbers: the axis-angle
    vectors of all joints (P = 3·J, radians), or the parameters of the constrained tree if there is one. The root's
    rotation turns the body about the root joint's rest position. All functions are differentiable in pose, shape and
    translation.

    Formulas: Osman et al. 2022, SUPR: A Sparse Unified Part-Based Human Representation, ECCV; Loper et al. 2015, SMPL,
    ACM Trans. Graph. 34:248. The two families differ only in ``feature``.
    """

    name: str  # file name of the model, e.g. "open_neutral.npz"; with its folders if it is just "model.npz"
    sha256: str  # of the model file
    v_template: Tensor  # (V, 3) vertices of the mean body, metres
    shapedirs: Tensor  # (V, 3, B) metres per standard deviation of each shape parameter
    posedirs: Tensor | None  # (V, 3, F·J) metres per unit of pose feature, F numbers per joint; None if all are zero
    weights: Tensor  # (V, J) skinning weights; each row sums to 1
    joint_template: Tensor  # (J, 3) joints of the mean body, metres
    joint_shapedirs: Tensor  # (J, 3, B) metres per standard deviation of each shape parameter
    parents: tuple[int, ...]  # (J,) parent of each joint, -1 for the root
    faces: Tensor  # (F, 3) int64
    tree_levels: tuple[Tensor, ...]  # joints by depth below the root, int64; tree_levels[0] are the root's children
    feature: PoseFeature = PoseFeature.QUATERNION
    constrained_tree: ConstrainedTree | None = None
    landmarks: Mapping[str, Landmark] = field(default_factory=dict)

    @property
    def num_vertices(self) -> int:
        """Number of vertices V."""
        return len(self.v_template)

    @property
    def num_joints(self) -> int:
        """Number of joints J."""
        return len(self.parents)

    @property
    def model_type(self) -> str:
        """The model family as AMASS names it, "supr", "smplx", "smplh" or "smpl"; it defines the layout of a pose."""
        if self.feature is PoseFeature.QUATERNION:
            return "supr"
        return {55: "smplx", 52: "smplh"}.get(self.num_joints, "smpl")

    @property
    def gender(self) -> str:
        """ "female", "male" or "neutral", from the file's name."""
        return gender_of_file(self.name)

    @property
    def num_betas(self) -> int:
        """Number of loaded shape parameters."""
        return self.shapedirs.shape[-1]

    @property
    def num_pose(self) -> int:
        """Number of pose parameters P: 3·J, or those of the constrained tree."""
        return self.constrained_tree.num_pose if self.constrained_tree else 3 * self.num_joints

    @property
    def root(self) -> int:
        """Index of the joint without a parent."""
        return self.parents.index(-1)

    @cached_property
    def nearest_body_joints(self) -> tuple[int, ...]:
        """The body joint (J,) with which each joint moves: itself, or its nearest ancestor among the body joints."""
        nearest: list[int] = []
        for joint, parent in enumerate(self.parents):
            nearest.append(joint if joint < NUM_BODY_JOINTS else nearest[parent])
        return tuple(nearest)

    @cached_property
    def face_weights(self) -> Tensor:
        """Mean skinning weight (F, J') of each face, J' body joints; those of the other joints are added to them."""
        J = min(NUM_BODY_JOINTS, self.num_joints)
        with torch.inference_mode(False):
            merged = self.weights.new_zeros(self.num_vertices, J)
            merged.index_add_(1, torch.tensor(self.nearest_body_joints, device=self.device), self.weights)
            return merged[self.faces].mean(dim=1)

    @property
    def dtype(self) -> torch.dtype:
        """Type of all float tensors of this body."""
        return self.v_template.dtype

    @property
    def device(self) -> torch.device:
        """Device of all tensors of this body."""
        return self.v_template.device

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Body:
        """Return this body on another device or in another precision."""
        return _tensors_to(self, device, dtype)

    def rest_body(self, betas: Tensor) -> tuple[Tensor, Tensor]:
        """Return vertices (B, V, 3) and joints (B, J, 3) in the T-pose, metres, for shapes (B, n) or (n,).

        Missing shape parameters (n < num_betas) are zero; a shape (n,) gives B = 1. Raises GaitError if n > num_betas.
        """
        betas = self._shape_rows(betas)
        n = betas.shape[-1]
        vertices = self.v_template + (betas @ self.shapedirs[..., :n].flatten(0, 1).T).unflatten(-1, (-1, 3))
        return vertices, self.rest_joints(betas)

    def stature_m(self, betas: NDArray[np.floating]) -> float:
        """Return the height in T-pose, metres, for one shape (n,)."""
        with torch.inference_mode():
            height = self.rest_body(torch.as_tensor(betas, dtype=self.dtype, device=self.device))[0][0, :, 1]
        return float(height.max() - height.min())

    def rest_joints(self, betas: Tensor) -> Tensor:
        """Return only the joints (B, J, 3) of ``rest_body``."""
        betas = self._shape_rows(betas)
        n = betas.shape[-1]
        return self.joint_template + (betas @ self.joint_shapedirs[..., :n].flatten(0, 1).T).unflatten(-1, (-1, 3))

    def local_rotations(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        """Return rotations relative to the parent (B, J, 3, 3) and pose features (B, J, F) of poses (B, P).

        Raises GaitError if P is not ``num_pose``.
        """
        self._check_pose(pose)
        if self.constrained_tree:
            rotations, feature = self.constrained_tree.rotations(pose)
        else:
            axis_angle = pose.unflatten(-1, (-1, 3))
            rotations, feature = axis_angle_to_matrix(axis_angle), quaternion_feature(axis_angle)
        return rotations, matrix_feature(rotations) if self.feature is PoseFeature.MATRIX else feature

    def posed_joints(self, pose: Tensor, betas: Tensor, translation: Tensor | None = None) -> Tensor:
        """Return the posed joints (B, J, 3) without computing vertices; arguments and errors as in ``__call__``."""
        local, _ = self.local_rotations(pose)
        _, joints = self._forward_kinematics(local, self.rest_joints(betas))
        return joints if translation is None else joints + self._offsets(translation)

    def __call__(self, pose: Tensor, betas: Tensor, translation: Tensor | None = None) -> BodyOutput:
        """Pose the body.

        Args:
            pose: (B, P) radians.
            betas: (B, n) shapes, or (n,) one shape for all poses, which is computed only once.
            translation: (B, 3) metres, or None for none.

        Raises:
            GaitError: an argument has a wrong shape.
        """
        local, feature = self.local_rotations(pose)
        vertices, rest = self.rest_body(betas)
        rotations, joints = self._forward_kinematics(local, rest)
        if self.posedirs is not None:
            vertices = vertices + (feature.flatten(1) @ self.posedirs.flatten(0, 1).T).unflatten(-1, (-1, 3))
        shift = joints - (rotations @ rest[..., None])[..., 0]
        transforms = torch.cat([rotations, shift[..., None]], -1)  # (B, J, 3, 4) rest -> posed
        blended = (self.weights @ transforms.flatten(2)).unflatten(-1, (3, 4))  # (B, V, 3, 4)
        vertices = (blended[..., :3] * vertices[..., None, :]).sum(-1) + blended[..., 3]
        if translation is not None:
            offset = self._offsets(translation)
            vertices, joints = vertices + offset, joints + offset
        return BodyOutput(vertices, joints, rotations)

    forward = __call__

    def _forward_kinematics(self, local: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        """Return world rotations (B, J, 3, 3) and positions (B, J, 3), computed level by level from the root."""
        batch = len(local) if len(rest) == 1 else len(rest)  # torch.broadcast_shapes imports sympy, which takes 1 s
        local, rest = local.expand(batch, -1, -1, -1), rest.expand(batch, -1, -1)
        rotation, position = local[:, self.root, None], rest[:, self.root, None]
        rotations, positions = [rotation], [position]
        for level, parents, row in self._level_steps:
            above = rotation[:, row]
            step = rest[:, level] - rest[:, parents]
            position = position[:, row] + (above @ step[..., None])[..., 0]
            rotation = above @ local[:, level]
            rotations.append(rotation)
            positions.append(position)
        return torch.cat(rotations, 1)[:, self._from_levels], torch.cat(positions, 1)[:, self._from_levels]

    @cached_property
    def _level_steps(self) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
        """Per tree level: its joints, their parents, and the parents' indices within the level above."""
        steps = []
        above = [self.root]
        for level in self.tree_levels:
            joints = level.tolist()
            parents = [self.parents[j] for j in joints]
            rows = [above.index(p) for p in parents]
            with torch.inference_mode(False):
                steps.append((level, level.new_tensor(parents), level.new_tensor(rows)))
            above = joints
        return tuple(steps)

    @cached_property
    def _from_levels(self) -> Tensor:
        """(J,) index of each joint in the concatenation of root, level 1, level 2, ..."""
        order = [self.root, *(j for level in self.tree_levels for j in level.tolist())]
        with torch.inference_mode(False):
            return torch.tensor(order, device=self.device).argsort()

    def _check_pose(self, pose: Tensor) -> None:
        if pose.ndim != 2 or pose.shape[1] != self.num_pose:
            tree = "constrained" if self.constrained_tree else "free"
            needed = f"its {tree} joints need (frames, {self.num_pose})"
            raise GaitError(f"{self.name}: poses of shape {tuple(pose.shape)}; {needed}.")

    def _shape_rows(self, betas: Tensor) -> Tensor:
        rows = betas[None] if betas.ndim == 1 else betas
        if rows.ndim != 2 or rows.shape[1] > self.num_betas:
            needed = f"this body has {self.num_betas} shape parameters"
            raise GaitError(f"{self.name}: betas of shape {tuple(betas.shape)}; {needed}.")
        return rows

    def _offsets(self, translation: Tensor) -> Tensor:
        if translation.ndim != 2 or translation.shape[1] != 3:
            raise GaitError(f"{self.name}: a translation of shape {tuple(translation.shape)}; must be (frames, 3).")
        return translation[:, None]


def gender_of_file(name: str) -> str:
    """Return "female", "male" or "neutral" by the name of a body model file, with its folders if it has some."""
    words = re.findall("[a-z]+", name.lower())
    if "basicmodel" in words:  # SMPL's released files end with "_f", "_m"
        words += [{"f": "female", "m": "male"}.get(word, word) for word in words]
    return next((word for word in ("female", "male") if word in words), "neutral")


def _tensors_to(value: _D, device: torch.device | str | None, dtype: torch.dtype | None) -> _D:
    """Return a copy of a dataclass with all its tensors, also nested ones, on ``device``; float ones as ``dtype``."""

    def convert(item: Any) -> Any:
        if isinstance(item, Tensor):
            return item.to(device=device, dtype=dtype if item.is_floating_point() else None)
        if isinstance(item, tuple):
            return tuple(convert(element) for element in item)
        return _tensors_to(item, device, dtype) if is_dataclass(item) else item

    return replace(value, **{f.name: convert(getattr(value, f.name)) for f in fields(value)})  # type: ignore
