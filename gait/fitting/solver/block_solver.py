"""Normal equations whose limbs meet only in the trunk, and their damped solution, limb by limb.

Each limb's unknowns are eliminated (Schur complement), the trunk's found from what is left, and the limbs' from those:
some small factorisations in place of one large one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BlockNormalEquations:
    """Gradient and curvature of T frames; G limbs of l unknowns each, t of the trunk."""

    limb: Tensor  # (T, G, l, l)
    across: Tensor  # (T, G, l, t) of a limb's unknowns with the trunk's
    trunk: Tensor  # (T, t, t)
    limb_gradient: Tensor  # (T, G, l)
    trunk_gradient: Tensor  # (T, t)

    def __getitem__(self, frames: Tensor) -> BlockNormalEquations:
        """Those of some frames."""
        return BlockNormalEquations(
            self.limb[frames],
            self.across[frames],
            self.trunk[frames],
            self.limb_gradient[frames],
            self.trunk_gradient[frames],
        )

    def where(self, mine: Tensor, other: BlockNormalEquations) -> BlockNormalEquations:
        """These in the frames marked by ``mine`` (T,), the other's elsewhere."""
        one, two, three = mine[:, None], mine[:, None, None], mine[:, None, None, None]
        return BlockNormalEquations(
            torch.where(three, self.limb, other.limb),
            torch.where(three, self.across, other.across),
            torch.where(two, self.trunk, other.trunk),
            torch.where(two, self.limb_gradient, other.limb_gradient),
            torch.where(one, self.trunk_gradient, other.trunk_gradient),
        )


@dataclass(frozen=True)
class BlockStep:
    """A step of T frames."""

    limb: Tensor  # (T, G, l)
    trunk: Tensor  # (T, t)
    gain: Tensor  # (T,) by how much the quadratic model says that it lowers the objective


def damped_step(equations: BlockNormalEquations, damping: Tensor, floor: float = 1e-6) -> BlockStep:
    """Solve (H + damping·diag(H) + floor·I)·step = −gradient for each frame.

    Args:
        equations: of T frames.
        damping: (T,).
        floor: over the largest element of a frame's diagonal.
    """
    H, trunk = equations.limb.clone(), equations.trunk.clone()
    t = trunk.shape[-1]
    limb_diagonal, trunk_diagonal = H.diagonal(dim1=-2, dim2=-1), trunk.diagonal(dim1=-2, dim2=-1)
    least = floor * torch.maximum(limb_diagonal.amax((1, 2)), trunk_diagonal.amax(1))
    limb_added = damping[:, None, None] * limb_diagonal + least[:, None, None]
    trunk_added = damping[:, None] * trunk_diagonal + least[:, None]
    limb_diagonal += limb_added
    trunk_diagonal += trunk_added
    factor, _ = torch.linalg.cholesky_ex(H)
    sides = torch.cat([equations.across, equations.limb_gradient[..., None]], dim=-1)
    halves = torch.linalg.solve_triangular(factor, sides, upper=False)  # (T, G, l, t + 1)
    flat = halves.flatten(1, 2)
    taken = flat.mT @ flat
    trunk -= taken[:, :t, :t]
    left = taken[:, :t, t] - equations.trunk_gradient
    trunk_factor, _ = torch.linalg.cholesky_ex(trunk)
    trunk_step = torch.cholesky_solve(left[..., None], trunk_factor)  # (T, t, 1)
    pulled = halves[..., t:] + halves[..., :t] @ trunk_step[:, None]
    limb_step = -torch.linalg.solve_triangular(factor.mT, pulled, upper=True)[..., 0]
    trunk_step = trunk_step[..., 0]
    gain = (limb_step * (limb_added * limb_step - equations.limb_gradient)).sum((1, 2))
    gain = 0.5 * (gain + (trunk_step * (trunk_added * trunk_step - equations.trunk_gradient)).sum(1))
    return BlockStep(limb_step, trunk_step, gain)
