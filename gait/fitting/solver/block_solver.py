"""Solve normal equations in which limbs interact only through the trunk, limb by limb.

The parameters of each limb are eliminated (Schur complement), then the step of the trunk is solved, and from it the
steps of the limbs follow: a few small factorizations instead of a large one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gait.fitting.per_frame import PerFrame


@dataclass(frozen=True)
class BlockNormalEquations(PerFrame):
    """Gradient and curvature of T frames: G limbs of l parameters each and a trunk of t parameters."""

    limb: Tensor  # (T, G, l, l)
    across: Tensor  # (T, G, l, t) cross blocks between limbs and trunk
    trunk: Tensor  # (T, t, t)
    limb_gradient: Tensor  # (T, G, l)
    trunk_gradient: Tensor  # (T, t)


@dataclass(frozen=True)
class BlockGradient(PerFrame):
    """Gradient of T frames."""

    limb: Tensor  # (T, G, l)
    trunk: Tensor  # (T, t)


@dataclass(frozen=True)
class BlockStep:
    """One step of the parameters of T frames."""

    limb: Tensor  # (T, G, l)
    trunk: Tensor  # (T, t)
    gain: Tensor  # (T,) decrease of the objective predicted by the quadratic model


@dataclass(frozen=True)
class BlockFactors(PerFrame):
    """Cholesky factors of the curvature of T frames: L·Lᵀ of each limb, and of the trunk with the limbs eliminated."""

    limb: Tensor  # (T, G, l, l) L
    across: Tensor  # (T, G, l, t) L⁻¹·(cross blocks between limbs and trunk)
    trunk: Tensor  # (T, t, t)

    def step(self, gradient: BlockGradient) -> BlockStep:
        """Return the step that this curvature gives for another gradient."""
        halves = torch.linalg.solve_triangular(self.limb, gradient.limb[..., None], upper=False)  # (T, G, l, 1)
        right_side = (self.across.flatten(1, 2).mT @ halves.flatten(1, 2))[..., 0] - gradient.trunk
        limb_step, trunk_step = self._solve(halves, right_side)
        gain = -0.5 * ((limb_step * gradient.limb).sum((1, 2)) + (trunk_step * gradient.trunk).sum(1))
        return BlockStep(limb_step, trunk_step, gain)

    def _solve(self, halves: Tensor, right_side: Tensor) -> tuple[Tensor, Tensor]:
        """Return the steps of limbs (T, G, l) and trunk (T, t).

        ``halves`` (T, G, l, 1) is L⁻¹·gradient of the limbs, ``right_side`` (T, t) that of the trunk's equations.
        """
        trunk_step = torch.cholesky_solve(right_side[..., None], self.trunk)  # (T, t, 1)
        limb_side = halves + self.across @ trunk_step[:, None]
        limb_step = -torch.linalg.solve_triangular(self.limb.mT, limb_side, upper=True)[..., 0]
        return limb_step, trunk_step[..., 0]


def damped_step(
    equations: BlockNormalEquations, damping: Tensor, floor: float = 1e-6
) -> tuple[BlockStep, BlockFactors]:
    """Solve (H + damping·diag(H) + floor·I)·step = −gradient for each frame; return also the factors of the matrix.

    ``damping`` (T,) is per frame; ``floor`` is relative to the largest diagonal element of each frame.
    """
    H, trunk = equations.limb.clone(), equations.trunk.clone()
    t = trunk.shape[-1]
    limb_diagonal, trunk_diagonal = H.diagonal(dim1=-2, dim2=-1), trunk.diagonal(dim1=-2, dim2=-1)
    ridge = floor * torch.maximum(limb_diagonal.amax((1, 2)), trunk_diagonal.amax(1))
    limb_added = damping[:, None, None] * limb_diagonal + ridge[:, None, None]
    trunk_added = damping[:, None] * trunk_diagonal + ridge[:, None]
    limb_diagonal += limb_added
    trunk_diagonal += trunk_added
    factor, _ = torch.linalg.cholesky_ex(H)
    right_sides = torch.cat([equations.across, equations.limb_gradient[..., None]], dim=-1)
    halves = torch.linalg.solve_triangular(factor, right_sides, upper=False)  # (T, G, l, t + 1)
    flat = halves.flatten(1, 2)
    eliminated = flat.mT @ flat
    trunk -= eliminated[:, :t, :t]
    right_side = eliminated[:, :t, t] - equations.trunk_gradient
    factors = BlockFactors(factor, halves[..., :t], torch.linalg.cholesky_ex(trunk)[0])
    limb_step, trunk_step = factors._solve(halves[..., t:], right_side)
    gain = (limb_step * (limb_added * limb_step - equations.limb_gradient)).sum((1, 2))
    gain = 0.5 * (gain + (trunk_step * (trunk_added * trunk_step - equations.trunk_gradient)).sum(1))
    return BlockStep(limb_step, trunk_step, gain), factors
