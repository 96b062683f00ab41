"""The skin under the markers: the few numbers of a body that move a marker, and how they move it.

A marker is carried by its barycentric point of a triangle: the point's rest position is linear in the shape, its
skinning weights are the triangle's, mixed barycentrically, and the marker stands ``distance_m`` off the skin along
the unit normal of the rest triangle, plus a free offset. So one marker costs one skinned point, not a mesh.

The published loss moves the three corners apart and takes the normal of the posed triangle. The two differ by the bend
of one triangle (0.1 mm in the mean, 1.6 mm at most on the open body in walking) and by the turn of its normal with the
shape, a constant that the offset takes up; see ``tests/fitting/test_reduced_body.py``. The published code divides
the normals by one norm over all markers instead of each by its own, so that a marker stands off the skin by a part of
what its file says; here every normal is a unit normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gait.body.body import Body
from gait.body.marker_layout import MarkerLayout
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.fitting.joint_parametrization import ConstrainedJoints, hinged_joints


@dataclass(frozen=True)
class ReducedBody:
    """What of a body moves M markers, with the J joints that a fit turns (face, hands and toes stay at rest)."""

    labels: tuple[str, ...]
    point: Tensor  # (M, 3) rest position of each marker on the mean body, metres
    point_shape: Tensor  # (M, 3, B) its change with the shape
    point_pose: Tensor | None  # (M, 3, J, F) its change with the joints' pose features, F numbers a joint
    normal: Tensor  # (M, 3) unit normal of the rest triangle
    carriers: Tensor  # (M, K) joints that carry the marker
    carrier_weight: Tensor  # (M, K) skinning weights, zero where a marker has fewer than K carriers
    moves: Tensor  # (M, J, K) 1 where turning joint j moves carrier k
    joint: Tensor  # (J, 3) rest joints of the mean body, metres
    joint_shape: Tensor  # (J, 3, B)
    parents: tuple[int, ...]  # (J,), -1 for the root
    levels: tuple[Tensor, ...]  # joints by depth in the tree, from depth 1
    hinges: ConstrainedJoints | None = None  # of a constrained tree

    @property
    def num_markers(self) -> int:
        """M."""
        return len(self.labels)

    @property
    def num_joints(self) -> int:
        """J."""
        return len(self.parents)

    @property
    def num_betas(self) -> int:
        """B."""
        return self.joint_shape.shape[-1]

    @property
    def skinning_weights(self) -> Tensor:
        """(M, J) of every joint."""
        weights = self.carrier_weight.new_zeros(self.num_markers, self.num_joints)
        return weights.scatter_add_(1, self.carriers, self.carrier_weight)

    @property
    def parent_index(self) -> Tensor:
        """(J,) parents as an index, the root pointing at itself."""
        return torch.tensor([max(p, 0) for p in self.parents], device=self.joint.device)

    def select(self, rows: Tensor) -> ReducedBody:
        """The same skin with the markers of ``rows`` alone."""
        return replace(
            self,
            labels=tuple(self.labels[i] for i in rows.tolist()),
            point=self.point[rows],
            point_shape=self.point_shape[rows],
            point_pose=None if self.point_pose is None else self.point_pose[rows],
            normal=self.normal[rows],
            carriers=self.carriers[rows],
            carrier_weight=self.carrier_weight[rows],
            moves=self.moves[rows],
        )


def marker_skin(body: Body, layout: MarkerLayout, *, dtype: torch.dtype = torch.float64) -> ReducedBody:
    """Cut the skin under a layout's markers out of a body.

    Joints beyond the body joints stay at rest, where they move as their nearest body joint does, so their skinning
    weights are added to it: the same points, within rounding, at a third of the joints.
    """
    device = body.device
    J = min(NUM_BODY_JOINTS, body.num_joints)
    nearest = torch.tensor([_nearest_below(body.parents, j, J) for j in range(body.num_joints)], device=device)
    faces = body.faces[torch.as_tensor(layout.face, device=device, dtype=torch.long)]  # (M, 3)
    bary = torch.as_tensor(layout.bary, device=device, dtype=dtype)
    corner = body.v_template.to(dtype)[faces]  # (M, 3 corners, 3)
    normal = torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal = normal / normal.norm(dim=-1, keepdim=True)
    distance = torch.as_tensor(layout.distance_m, device=device, dtype=dtype)
    point = torch.einsum("mk,mkc->mc", bary, corner) + normal * distance[:, None]
    point_shape = torch.einsum("mk,mkcb->mcb", bary, body.shapedirs[faces].to(dtype))
    point_pose = None
    if body.posedirs is not None:
        posed = torch.einsum("mk,mkcq->mcq", bary, body.posedirs[faces].to(dtype))
        point_pose = posed.unflatten(-1, (-1, int(body.feature)))[:, :, :J].contiguous()
    weight = torch.zeros(len(bary), J, dtype=dtype, device=device)
    weight.index_add_(1, nearest, torch.einsum("mk,mkj->mj", bary, body.weights[faces].to(dtype)))
    weight = torch.where(weight < 1e-4, torch.zeros_like(weight), weight)
    weight = weight / weight.sum(dim=1, keepdim=True)
    most = int((weight > 0).sum(dim=1).max())
    carrier_weight, carriers = weight.topk(most, dim=1)
    below = joints_below(body.parents[:J]).to(weight)
    return ReducedBody(
        labels=layout.labels,
        point=point,
        point_shape=point_shape,
        point_pose=point_pose,
        normal=normal,
        carriers=carriers,
        carrier_weight=carrier_weight,
        moves=below[:, carriers].permute(1, 0, 2).contiguous(),
        joint=body.joint_template.to(dtype)[:J],
        joint_shape=body.joint_shapedirs.to(dtype)[:J],
        parents=tuple(body.parents[:J]),
        levels=tuple(level[level < J] for level in body.levels if bool((level < J).any())),
        hinges=hinged_joints(body, J, dtype),
    )


def joints_below(parents: Sequence[int]) -> Tensor:
    """(J, J) 1 where the second joint is the first one or hangs on it."""
    below = torch.zeros(len(parents), len(parents))
    for j in range(len(parents)):
        k = j
        while k >= 0:
            below[k, j] = 1.0
            k = parents[k]
    return below


def _nearest_below(parents: tuple[int, ...], joint: int, limit: int) -> int:
    while joint >= limit:
        joint = parents[joint]
    return joint
