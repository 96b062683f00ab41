"""Faithfulness of an explanation: does the network's output depend on what the attribution marks as important?

A window is divided into patches of one joint over some frames. Deletion replaces the patches, the most important first,
and measures how fast the logit falls (Samek et al. 2017, IEEE Trans. Neural Netw. Learn. Syst. 28:2660, compared with
random order). Parameter randomization tests that an explanation changes with the network's weights (Adebayo et al.
2018, NeurIPS).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from gait.arrays import Vector
from gait.explaining.methods.occlusion import PATCH_FRAMES

STEPS = 20
"""Number of steps in which all patches of a window are replaced."""
_WINDOWS_PER_PASS = 256


@dataclass(frozen=True, eq=False)
class DeletionCurves:
    """Logit of each window against the fraction of patches that are replaced."""

    fraction: Vector  # (S,) of the patches, 0 to 1
    logits: NDArray[np.float32]  # (S, N); the first row is of the windows, the last one of the replacements

    @property
    def fall(self) -> Vector:
        """Fall of the predicted class's logit from that of the window, (S, N)."""
        sign = np.where(self.logits[0] < 0, np.float32(-1), np.float32(1))
        return (sign * (self.logits[0] - self.logits)).astype(np.float64)

    @property
    def deletion(self) -> Vector:
        """Mean fall over windows, (S,)."""
        return self.fall.mean(axis=1)

    @property
    def deletion_auc(self) -> float:
        """Mean fall over all fractions; higher is better."""
        return float(np.trapezoid(self.deletion, self.fraction))

    @property
    def whole_fall(self) -> Vector:
        """Fall of the logit of each window if all of it is replaced, (N,)."""
        return self.fall[-1]

    def fall_after(self, fraction: float) -> Vector:
        """Fall of the logit of each window (N,) after this fraction of the patches, between the steps linearly."""
        return np.array([np.interp(fraction, self.fraction, curve) for curve in self.fall.T], dtype=np.float64)


def nearest_pace(
    speeds: ArrayLike, persons: Sequence[str], pool: ArrayLike, pool_persons: Sequence[str]
) -> NDArray[np.int64]:
    """Return for each window (N,) the index of the window of another person, in a pool (M,), of the nearest speed.

    It is a fair replacement in a deletion test if the pool holds windows of controls that begin at the same phase of
    the gait cycle: no method starts from it, and a fall of the logit is then not one of the pace.

    Raises:
        ValueError: the pool has no window of another person.
    """
    distance = np.abs(np.asarray(speeds, np.float64)[:, None] - np.asarray(pool, np.float64))
    same = np.asarray(persons)[:, None] == np.asarray(pool_persons)
    if not len(pool_persons) or same.all(axis=1).any():
        raise ValueError("the pool has no window of another person")
    return np.where(same, np.inf, distance).argmin(axis=1).astype(np.int64)


def patch_scores(values: Tensor, logits: Tensor, *, signed: bool, patch_frames: int = PATCH_FRAMES) -> Tensor:
    """Return the evidence of each patch for the predicted class, (N, C, J), from attribution (N, L, J), logits (N,).

    Signed attribution is evidence for the sick class, so its sign is changed where the prediction is healthy.
    """
    N, L, J = values.shape
    if signed:
        values = values * torch.where(logits < 0, -1.0, 1.0)[:, None, None]
    count = -(-L // patch_frames)
    sums = values.new_zeros(N, count, J)
    return sums.index_add_(1, torch.arange(L) // patch_frames, values)


def random_patch_scores(windows: Tensor, seed: int, patch_frames: int = PATCH_FRAMES) -> Tensor:
    """Return scores (N, C, J) that put the patches of windows (N, L, J, 3) in random order."""
    N, L, J, _ = windows.shape
    return torch.rand(N, -(-L // patch_frames), J, generator=torch.Generator().manual_seed(seed))


def deletion_curves(
    network: nn.Module,
    windows: Tensor,
    replacements: Tensor,
    scores: Tensor,
    *,
    patch_frames: int = PATCH_FRAMES,
    steps: int = STEPS,
) -> DeletionCurves:
    """Return deletion curves of windows (N, L, J, 3), with the patches of the highest scores first.

    ``replacements``, (L, J, 3) or (N, L, J, 3), are the values of a deleted patch; ``scores`` are (N, C, J) as from
    ``patch_scores``; all patches are replaced in ``steps`` steps.
    """
    patch_of_frame = torch.arange(windows.shape[1]) // patch_frames
    # (N, C, J) rank of each patch, from 0.
    rank = scores.flatten(1).argsort(dim=1, descending=True).argsort(dim=1).reshape(scores.shape)
    num_patches = rank[0].numel()
    counts = [round(num_patches * step / steps) for step in range(steps + 1)]
    masks = ((rank < count)[:, patch_of_frame, :, None] for count in counts)
    logits = [_logits(network, torch.where(mask, replacements, windows)).numpy() for mask in masks]
    return DeletionCurves(np.array(counts) / num_patches, np.array(logits))


def randomize_weights(network: nn.Module, seed: int) -> nn.Module:
    """Return a copy of the network whose parameters are randomly permuted within each tensor."""
    randomized = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in randomized.parameters():
            order = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
    return randomized.eval()


def _logits(network: nn.Module, windows: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in windows.split(_WINDOWS_PER_PASS)])
