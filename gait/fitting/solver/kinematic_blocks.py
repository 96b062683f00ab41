"""Split a skeleton into a trunk and limbs, so that the normal equations of a frame can be solved limb by limb.

The trunk consists of the joints where chains branch and of their ancestors. The limbs are the chains attached to it:
two legs, two arms, and neck with head. The parameters of two limbs interact only through the trunk, except at markers
with skinning weights of several limbs, such as pelvis markers, which both hips move. Such a marker is copied into each
of its n limbs. In each copy the derivatives with respect to the limb are multiplied by √n, and the residual and the
derivatives with respect to the trunk are divided by √n.

The gradient is exact. In the curvature, the cross blocks between limbs are dropped and the block of each limb is
multiplied by n. Since 2ab ≤ a² + b², this over-estimates the curvature, so the matrix stays positive definite and steps
are conservative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class KinematicBlocks:
    """A skeleton as G limbs of up to L joints and N markers each, and a trunk of K joints."""

    trunk: Tensor  # (K,) joint indices
    limb: Tensor  # (G, L) joint indices, padded with J
    position: Tensor  # (J,) index of each joint in the list of all limb joints followed by the trunk joints
    markers: Tensor  # (G, N) marker indices of each limb, padded with 0
    limb_scale: Tensor  # (G, N) √n, 0 for padding
    trunk_scale: Tensor  # (G, N) 1/√n, 0 for padding

    @property
    def joints(self) -> Tensor:
        """(G, L + K) joints that move the markers of each limb: those of the limb, then those of the trunk."""
        return torch.cat([self.limb, self.trunk.expand(len(self.limb), -1)], dim=1)


def split_kinematic_tree(parents: Sequence[int], skin_weights: Tensor) -> KinematicBlocks:
    """Split a skeleton into trunk and limbs, from the joints' parents (J,), −1 for the root, and the markers' (M, J).

    Parents come before their children.
    """
    J = len(parents)
    children = [sum(p == j for p in parents) for j in range(J)]
    trunk = {j for j in range(J) if parents[j] < 0}
    for j in range(J):
        if children[j] > 1:
            while j >= 0:
                trunk.add(j)
                j = parents[j]
    groups: list[list[int]] = []
    of_joint: dict[int, int] = {}
    for j in range(J):
        if j in trunk:
            continue
        if parents[j] in trunk:
            of_joint[j] = len(groups)
            groups.append([])
        else:
            of_joint[j] = of_joint[parents[j]]
        groups[of_joint[j]].append(j)
    groups = groups or [[]]
    markers: list[list[int]] = [[] for _ in groups]
    limbs_of_marker = [
        sorted({of_joint[j] for j, moves in enumerate(row) if moves and j in of_joint})
        for row in (skin_weights > 0).tolist()
    ]
    for m, own_limbs in enumerate(limbs_of_marker):
        for g in own_limbs:
            markers[g].append(m)
    for m, own_limbs in enumerate(limbs_of_marker):
        if not own_limbs:
            min(markers, key=len).append(m)
    L, N = max(1, *map(len, groups)), max(1, *map(len, markers))
    limb = torch.tensor([group + [J] * (L - len(group)) for group in groups])
    trunk_joints = torch.tensor(sorted(trunk))
    all_joints = [*limb.flatten().tolist(), *trunk_joints.tolist()]
    count = torch.tensor([[max(1, len(limbs_of_marker[m])) for m in row] + [0] * (N - len(row)) for row in markers])
    root = count.double().sqrt()
    return KinematicBlocks(
        trunk=trunk_joints.to(skin_weights.device),
        limb=limb.to(skin_weights.device),
        position=torch.tensor([all_joints.index(j) for j in range(J)], device=skin_weights.device),
        markers=torch.tensor([row + [0] * (N - len(row)) for row in markers], device=skin_weights.device),
        limb_scale=root.to(skin_weights),
        trunk_scale=torch.where(count > 0, 1 / root.clamp_min(1), 0.0).to(skin_weights),
    )
