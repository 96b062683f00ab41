"""A statistical body of SUPR's or SMPL's kind: shape and pose to vertices and joints.

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

import torch
from torch import Tensor

from gait.body.constrained_tree import ConstrainedTree
from gait.body.rotations import PoseFeature, axis_angle_to_matrix, left_jacobian, matrix_feature, quaternion_feature
from gait.errors import GaitError

Landmark = tuple[int, tuple[float, float, float]]
"""A point of the skin: a row of ``faces`` and barycentric weights of its three vertices."""

_D = TypeVar("_D")


class BodyOutput(NamedTuple):
    """A posed body; metres, y up."""

    vertices: Tensor  # (B, V, 3)
    joints: Tensor  # (B, J, 3) posed joints
    rotations: Tensor  # (B, J, 3, 3) R_world_joint: what each joint's own frame is turned to


@dataclass(frozen=True, eq=False)
class Body:
    """The arrays of one model file and the functions of pose and shape they define.

    T-pose at rest: metres, y up, facing +z, the person's left at +x. A pose is axis-angle joint by joint (P
    = 3·J, radians), or with ``hinges`` the P = ``hinges.num_pose`` numbers of the constrained tree. The
    root's rotation turns the body about the root joint's rest position. Formulas: Osman et al. 2022, SUPR:
    A Sparse Unified Part-Based Human Representation, ECCV; Loper et al. 2015, SMPL, ACM Trans. Graph. 34:248; they
    differ in ``feature`` alone. Everything is differentiable in pose, shape and
    translation.
    """

    name: str  # file name of the model, e.g. "open_neutral.npz"; with its folders where that is just "model.npz"
    sha256: str  # of the whole file
    v_template: Tensor  # (V, 3) metres
    shapedirs: Tensor  # (V, 3, B) metres per standard deviation of shape
    posedirs: Tensor | None  # (V, 3, F·J) metres per unit of pose feature, F numbers a joint; None where all are zero
    weights: Tensor  # (V, J) skinning weights, rows summing to 1
    joint_template: Tensor  # (J, 3) metres, joints of the mean body
    joint_shapedirs: Tensor  # (J, 3, B) how they move with shape
    parents: tuple[int, ...]  # (J,) parent of each joint, -1 for the root
    faces: Tensor  # (F, 3) int64
    levels: tuple[Tensor, ...]  # joints by depth below the root, int64; levels[0] are the root's children
    feature: PoseFeature = PoseFeature.QUATERNION
    hinges: ConstrainedTree | None = None
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
        """The family by AMASS's names, which says what a pose's numbers are: supr, smplx, smplh or smpl."""
        if self.feature is PoseFeature.QUATERNION:
            return "supr"
        return {55: "smplx", 52: "smplh"}.get(self.num_joints, "smpl")

    @property
    def gender(self) -> str:
        """What the file's name says; bodies of both sexes are neutral."""
        words = re.findall("[a-z]+", self.name.lower())
        if words[:1] == ["basicmodel"]:  # SMPL's own names
            words += [{"f": "female", "m": "male"}.get(word, word) for word in words]
        return next((word for word in ("female", "male") if word in words), "neutral")

    @property
    def num_betas(self) -> int:
        """Number of shape parameters loaded."""
        return self.shapedirs.shape[-1]

    @property
    def num_pose(self) -> int:
        """Numbers in a pose: 3·J, or those of the hinge tree."""
        return self.hinges.num_pose if self.hinges else 3 * self.num_joints

    @property
    def root(self) -> int:
        """The joint without a parent."""
        return self.parents.index(-1)

    @property
    def dtype(self) -> torch.dtype:
        """Of every float tensor here."""
        return self.v_template.dtype

    @property
    def device(self) -> torch.device:
        """Of every tensor here."""
        return self.v_template.device

    @cached_property
    def pose_joint(self) -> Tensor:
        """The joint (P,) that each pose number turns, int64; -1 where a hinge tree leaves a number unused."""
        if self.hinges:
            return self.hinges.pose_joint
        with torch.inference_mode(False):  # kept for later calls, which may differentiate
            return torch.arange(self.num_joints, device=self.device).repeat_interleave(3)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Body:
        """The same body elsewhere or in another precision."""
        return _moved(self, device, dtype)

    def shaped(self, betas: Tensor) -> tuple[Tensor, Tensor]:
        """Vertices (B, V, 3) and joints (B, J, 3) at rest, of shapes (B, n) or (n,), n ≤ num_betas; metres.

        Fewer numbers than the body has mean zeros for the rest; one shape gives B = 1. Raises GaitError if
        there are more.
        """
        betas = self._shape_rows(betas)
        n = betas.shape[-1]
        vertices = self.v_template + (betas @ self.shapedirs[..., :n].flatten(0, 1).T).unflatten(-1, (-1, 3))
        return vertices, self.rest_joints(betas)

    def rest_joints(self, betas: Tensor) -> Tensor:
        """Joints (B, J, 3) at rest, of shapes (B, n) or (n,); what ``shaped`` gives, without the vertices."""
        betas = self._shape_rows(betas)
        n = betas.shape[-1]
        return self.joint_template + (betas @ self.joint_shapedirs[..., :n].flatten(0, 1).T).unflatten(-1, (-1, 3))

    def local_rotations(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations relative to the parent (B, J, 3, 3) and pose features (B, J, F) of poses (B, P).

        Raises GaitError if the poses have another length than this body's.
        """
        self._check_pose(pose)
        if self.hinges:
            rotations, feature = self.hinges.rotations(pose)
        else:
            axis_angle = pose.unflatten(-1, (-1, 3))
            rotations, feature = axis_angle_to_matrix(axis_angle), quaternion_feature(axis_angle)
        return rotations, matrix_feature(rotations) if self.feature is PoseFeature.MATRIX else feature

    def turning_axes(self, pose: Tensor) -> Tensor:
        """Axes ω (B, P, 3) in the frame of the parent of j = ``pose_joint[d]``: ∂R_j/∂pose_d = skew(ω_d) R_j.

        With the world rotation of the parent in front, it is how number d turns everything below joint j:
        the Jacobian of a point x carried by it is (R_world_parent ω_d) × (x − joint_j).
        """
        self._check_pose(pose)
        if self.hinges:
            return self.hinges.turning_axes(pose)
        return left_jacobian(pose.unflatten(-1, (-1, 3))).transpose(-1, -2).flatten(1, 2)

    def posed_skeleton(self, pose: Tensor, betas: Tensor, translation: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """World rotations (B, J, 3, 3) and joints (B, J, 3); arguments and errors as in ``__call__``."""
        local, _ = self.local_rotations(pose)
        rotations, joints = self._along_tree(local, self.rest_joints(betas))
        return rotations, joints if translation is None else joints + self._offsets(translation)

    def posed_joints(self, pose: Tensor, betas: Tensor, translation: Tensor | None = None) -> Tensor:
        """Posed joints (B, J, 3) without the skin; arguments and errors as in ``__call__``."""
        return self.posed_skeleton(pose, betas, translation)[1]

    def __call__(self, pose: Tensor, betas: Tensor, translation: Tensor | None = None) -> BodyOutput:
        """The posed body, of poses (B, P) in radians, shapes (B, n) or (n,), translations (B, 3) in metres.

        A shape given once is computed once for the whole batch. Raises GaitError if a length does not fit.
        """
        local, feature = self.local_rotations(pose)
        vertices, rest = self.shaped(betas)
        rotations, joints = self._along_tree(local, rest)
        if self.posedirs is not None:
            vertices = vertices + (feature.flatten(1) @ self.posedirs.flatten(0, 1).T).unflatten(-1, (-1, 3))
        moved = joints - (rotations @ rest[..., None])[..., 0]
        transforms = torch.cat([rotations, moved[..., None]], -1)  # (B, J, 3, 4) rest -> posed
        blended = (self.weights @ transforms.flatten(2)).unflatten(-1, (3, 4))  # (B, V, 3, 4)
        vertices = (blended[..., :3] * vertices[..., None, :]).sum(-1) + blended[..., 3]
        if translation is not None:
            offset = self._offsets(translation)
            vertices, joints = vertices + offset, joints + offset
        return BodyOutput(vertices, joints, rotations)

    forward = __call__

    def _along_tree(self, local: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        """World rotations (B, J, 3, 3) and positions (B, J, 3), level by level from the root."""
        batch = len(local) if len(rest) == 1 else len(rest)  # torch.broadcast_shapes would load sympy: a second
        local, rest = local.expand(batch, -1, -1, -1), rest.expand(batch, -1, -1)
        rotation, position = local[:, self.root, None], rest[:, self.root, None]
        rotations, positions = [rotation], [position]
        for level, parents, row in self._steps:
            above = rotation[:, row]
            step = rest[:, level] - rest[:, parents]
            position = position[:, row] + (above @ step[..., None])[..., 0]
            rotation = above @ local[:, level]
            rotations.append(rotation)
            positions.append(position)
        return torch.cat(rotations, 1)[:, self._from_levels], torch.cat(positions, 1)[:, self._from_levels]

    @cached_property
    def _steps(self) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
        """For each level: its joints, their parents, and the parents' rows in the level above."""
        steps = []
        above = [self.root]
        for level in self.levels:
            joints = level.tolist()
            parents = [self.parents[j] for j in joints]
            rows = [above.index(p) for p in parents]
            with torch.inference_mode(False):
                steps.append((level, level.new_tensor(parents), level.new_tensor(rows)))
            above = joints
        return tuple(steps)

    @cached_property
    def _from_levels(self) -> Tensor:
        """(J,) where each joint stands in the list root, level 1, level 2, ..."""
        order = [self.root, *(j for level in self.levels for j in level.tolist())]
        with torch.inference_mode(False):
            return torch.tensor(order, device=self.device).argsort()

    def _check_pose(self, pose: Tensor) -> None:
        if pose.ndim != 2 or pose.shape[1] != self.num_pose:
            tree = "the hinge tree" if self.hinges else "the free tree"
            raise GaitError(
                f"{self.name}: a pose of shape {tuple(pose.shape)}; {tree} needs (frames, {self.num_pose})."
            )

    def _shape_rows(self, betas: Tensor) -> Tensor:
        rows = betas[None] if betas.ndim == 1 else betas
        if rows.ndim != 2 or rows.shape[1] > self.num_betas:
            raise GaitError(
                f"{self.name}: betas of shape {tuple(betas.shape)}; this body has {self.num_betas} of them."
            )
        return rows

    def _offsets(self, translation: Tensor) -> Tensor:
        if translation.ndim != 2 or translation.shape[1] != 3:
            raise GaitError(f"{self.name}: a translation of shape {tuple(translation.shape)}; needed is (frames, 3).")
        return translation[:, None]


def _moved(value: _D, device: torch.device | str | None, dtype: torch.dtype | None) -> _D:
    """A copy of a data class with its tensors, nested ones too, on ``device``, float ones as ``dtype``."""

    def moved(item: Any) -> Any:
        if isinstance(item, Tensor):
            return item.to(device=device, dtype=dtype if item.is_floating_point() else None)
        if isinstance(item, tuple):
            return tuple(moved(part) for part in item)
        return _moved(item, device, dtype) if is_dataclass(item) else item

    return replace(value, **{f.name: moved(getattr(value, f.name)) for f in fields(value)})  # type: ignore
