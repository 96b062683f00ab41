"""How a skeleton falls into a trunk and limbs, so that each frame's equations can be solved limb by limb.

A joint where chains branch, and all above it, is trunk; what hangs on the trunk are limbs: two legs, two arms, neck and
head. The limbs' unknowns meet only in the trunk's, but for markers that several limbs carry (those of the pelvis hang
on both hips, too). Such a marker stands once with each of its n limbs, its changes with the limb's unknowns times √n,
those with the trunk's and its residual divided by √n. Then the gradient is the whole one, and so is the curvature, but
for what two limbs would have in common: in its place each has n times its own. That is never less than the whole
curvature (2ab ≤ a² + b²), so the equations stay positive definite and a step never goes too far for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class KinematicBlocks:
    """G limbs of up to L joints, K joints of the trunk, up to N markers a limb."""

    trunk: Tensor  # (K,) joints
    limb: Tensor  # (G, L) joints, J (one more than there are) where a limb has fewer
    place: Tensor  # (J,) where each joint stands among all limbs' joints and then the trunk's
    markers: Tensor  # (G, N) markers of each limb, 0 where it has fewer
    limb_scale: Tensor  # (G, N) √n, zero where a limb has fewer markers
    trunk_scale: Tensor  # (G, N) 1/√n, the same

    @property
    def joints(self) -> Tensor:
        """(G, L + K) the joints that each limb's markers know of: its own, then the trunk's."""
        return torch.cat([self.limb, self.trunk.expand(len(self.limb), -1)], dim=1)


def limbs(parents: Sequence[int], share: Tensor) -> KinematicBlocks:
    """Split a skeleton.

    Args:
        parents: (J,) of each joint, −1 for the root, before its children.
        share: (M, J) skinning weights of the markers.
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
    touched = [sorted({of_joint[j] for j in row.nonzero()[:, 0].tolist() if j in of_joint}) for row in share > 0]
    for m, its in enumerate(touched):
        for g in its:
            markers[g].append(m)
    for m, its in enumerate(touched):
        if not its:
            min(markers, key=len).append(m)
    L, N = max(1, *map(len, groups)), max(1, *map(len, markers))
    limb = torch.tensor([group + [J] * (L - len(group)) for group in groups])
    trunk_joints = torch.tensor(sorted(trunk))
    everywhere = [*limb.flatten().tolist(), *trunk_joints.tolist()]
    count = torch.tensor([[max(1, len(touched[m])) for m in row] + [0] * (N - len(row)) for row in markers])
    root = count.double().sqrt()
    return KinematicBlocks(
        trunk=trunk_joints.to(share.device),
        limb=limb.to(share.device),
        place=torch.tensor([everywhere.index(j) for j in range(J)], device=share.device),
        markers=torch.tensor([row + [0] * (N - len(row)) for row in markers], device=share.device),
        limb_scale=root.to(share),
        trunk_scale=torch.where(count > 0, 1 / root.clamp_min(1), 0.0).to(share),
    )
