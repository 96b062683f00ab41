"""A body model reduced to its markers: the template, shape and pose directions, and skinning weights of each marker.

A marker is attached to a barycentric point of a triangle. The rest position of the point is linear in the shape, and
its skinning weights are the barycentric mean of those of the triangle. The marker lies above the skin along the unit
normal of the rest triangle, plus a free offset. So a marker costs one skinned point instead of a mesh.

The original implementation moves the three corners separately and uses the normal of the posed triangle. The difference
is the bending of one triangle (0.1 mm on average, 1.6 mm at most on the open body during walking) and the rotation of
the normal with the shape, which is constant and absorbed by the offset; see ``tests/fitting/test_reduced_body.py``. The
original implementation also divides all normals by one common norm, so that a marker is closer to the skin than its
file states; here every normal has unit length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gait.body.body import Body
from gait.body.marker_layout import MarkerLayout
from gait.body.skeleton import NUM_BODY_JOINTS, joint_indices
from gait.fitting.joint_parametrization import ConstrainedJoints, constrained_joints


@dataclass(frozen=True)
class ReducedBody:
    """A body model at M markers, with the J joints that are fitted; face, hands and toes stay at rest."""

    labels: tuple[str, ...]
    marker_template: Tensor  # (M, 3) rest position of each marker on the mean body, metres
    marker_shapedirs: Tensor  # (M, 3, B) metres per unit coefficient
    marker_posedirs: Tensor | None  # (M, 3, J, F) pose blend shapes, F features per joint
    normal: Tensor  # (M, 3) unit normal of the rest triangle
    skin_joints: Tensor  # (M, K) joints with a skinning weight at the marker
    skin_joint_weights: Tensor  # (M, K) their skinning weights, zero for padding
    is_descendant: Tensor  # (M, J, K) 1 where skin joint k is joint j or a descendant of it
    joint_template: Tensor  # (J, 3) joints of the mean body at rest, metres
    joint_shapedirs: Tensor  # (J, 3, B) metres per unit coefficient
    parents: tuple[int, ...]  # (J,) parent of each joint, -1 for the root
    levels: tuple[Tensor, ...]  # joints at each depth of the tree, from depth 1
    hinges: ConstrainedJoints | None = None  # only for a constrained tree
    relative_sigma: Tensor | None = None  # (M,) factor on the expected residual of each marker; None: all 1
    # (M,) of recordings by cameras without markers, None if all are markers: True for estimated points, whose errors
    # are larger, and the joint that each estimates, -1 for a point on the skin
    is_estimated: Tensor | None = None
    centre_of: Tensor | None = None

    @property
    def num_markers(self) -> int:
        """Number of markers M."""
        return len(self.labels)

    @property
    def num_joints(self) -> int:
        """Number of joints J."""
        return len(self.parents)

    @property
    def num_betas(self) -> int:
        """Number of shape coefficients B."""
        return self.joint_shapedirs.shape[-1]

    @property
    def skinning_weights(self) -> Tensor:
        """Skinning weights (M, J) of all joints."""
        scales = self.skin_joint_weights.new_zeros(self.num_markers, self.num_joints)
        return scales.scatter_add_(1, self.skin_joints, self.skin_joint_weights)

    @property
    def parent_index(self) -> Tensor:
        """Parent of each joint (J,) as an index; the root is its own parent."""
        return torch.tensor([max(p, 0) for p in self.parents], device=self.joint_template.device)

    def select(self, rows: Tensor) -> ReducedBody:
        """Return the reduced body with the markers of the given rows alone."""
        return replace(
            self,
            labels=tuple(self.labels[i] for i in rows.tolist()),
            marker_template=self.marker_template[rows],
            marker_shapedirs=self.marker_shapedirs[rows],
            marker_posedirs=None if self.marker_posedirs is None else self.marker_posedirs[rows],
            normal=self.normal[rows],
            skin_joints=self.skin_joints[rows],
            skin_joint_weights=self.skin_joint_weights[rows],
            is_descendant=self.is_descendant[rows],
            relative_sigma=None if self.relative_sigma is None else self.relative_sigma[rows],
            is_estimated=None if self.is_estimated is None else self.is_estimated[rows],
            centre_of=None if self.centre_of is None else self.centre_of[rows],
        )


def reduce_body(body: Body, layout: MarkerLayout, *, dtype: torch.dtype = torch.float64) -> ReducedBody:
    """Reduce a body to the markers of a layout.

    Joints beyond the body joints stay at rest and move with their nearest body joint, so their skinning weights are
    added to that joint. This gives the same positions, within rounding, with a third of the joints.
    """
    device = body.device
    J = min(NUM_BODY_JOINTS, body.num_joints)
    nearest = torch.tensor(body.nearest_body_joints, device=device)
    faces = body.faces[torch.as_tensor(layout.face, device=device, dtype=torch.long)]  # (M, 3)
    barycentric = torch.as_tensor(layout.barycentric, device=device, dtype=dtype)
    corner = body.v_template.to(dtype)[faces]  # (M, 3 corners, 3)
    normal = torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal = normal / normal.norm(dim=-1, keepdim=True)
    height = torch.as_tensor(layout.height_above_skin_m, device=device, dtype=dtype)
    marker_template = torch.einsum("mk,mkc->mc", barycentric, corner) + normal * height[:, None]
    marker_shapedirs = torch.einsum("mk,mkcb->mcb", barycentric, body.shapedirs[faces].to(dtype))
    marker_posedirs = None
    if body.posedirs is not None:
        posed = torch.einsum("mk,mkcq->mcq", barycentric, body.posedirs[faces].to(dtype))
        marker_posedirs = posed.unflatten(-1, (-1, int(body.feature)))[:, :, :J].contiguous()
    weight = torch.zeros(len(barycentric), J, dtype=dtype, device=device)
    weight.index_add_(1, nearest, torch.einsum("mk,mkj->mj", barycentric, body.weights[faces].to(dtype)))
    weight = torch.where(weight < 1e-4, torch.zeros_like(weight), weight)
    weight = weight / weight.sum(dim=1, keepdim=True)
    is_estimated = centre_of = None
    if "joint_centre" in layout.kinds:
        is_estimated = torch.tensor([kind == "joint_centre" for kind in layout.kinds], device=device)
        indices = joint_indices(body.num_joints)
        centre_of = torch.tensor(
            [indices[layout.joints[label]] if label in layout.joints else -1 for label in layout.labels]
        )
        centre_of = centre_of.to(device)
        rows = (centre_of >= 0).nonzero()[:, 0]
        joints = centre_of[rows]
        marker_template[rows] = body.joint_template.to(dtype)[joints]
        marker_shapedirs[rows] = body.joint_shapedirs.to(dtype)[joints]
        if marker_posedirs is not None:
            marker_posedirs[rows] = 0
        # A joint lies on the axis of its own rotation, so its parent's bone carries it.
        parent = torch.tensor([max(p, 0) for p in body.parents], device=device)
        weight[rows] = torch.nn.functional.one_hot(nearest[parent[joints]], J).to(dtype)
    max_skin_joints = int((weight > 0).sum(dim=1).max())
    skin_joint_weights, skin_joints = weight.topk(max_skin_joints, dim=1)
    descendants = descendant_matrix(body.parents[:J]).to(weight)
    relative_sigma = None
    if layout.solved:
        relative_sigma = torch.tensor([layout.solved.get(label, 1.0) for label in layout.labels]).to(weight)
    return ReducedBody(
        labels=layout.labels,
        marker_template=marker_template,
        marker_shapedirs=marker_shapedirs,
        marker_posedirs=marker_posedirs,
        normal=normal,
        skin_joints=skin_joints,
        skin_joint_weights=skin_joint_weights,
        is_descendant=descendants[:, skin_joints].permute(1, 0, 2).contiguous(),
        joint_template=body.joint_template.to(dtype)[:J],
        joint_shapedirs=body.joint_shapedirs.to(dtype)[:J],
        parents=tuple(body.parents[:J]),
        levels=tuple(level[level < J] for level in body.tree_levels if bool((level < J).any())),
        hinges=constrained_joints(body, J, dtype),
        relative_sigma=relative_sigma,
        is_estimated=is_estimated,
        centre_of=centre_of,
    )


def descendant_matrix(parents: Sequence[int]) -> Tensor:
    """Return a matrix (J, J) with 1 where the second joint is the first one or a descendant of it."""
    descendants = np.zeros((len(parents), len(parents)), dtype=np.float32)
    for j in range(len(parents)):
        k = j
        while k >= 0:
            descendants[k, j] = 1.0
            k = parents[k]
    return torch.from_numpy(descendants)
