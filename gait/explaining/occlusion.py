"""What the logit loses when a piece of the movement is replaced by the mean of all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gait.explaining.optional_captum import captum_attr

CELL_FRAMES = 8
"""Frames of one joint that are replaced together."""
_WINDOWS_A_PASS = 256


def occlusion(
    network: nn.Module, windows: Tensor, baseline: Tensor, cell_frames: int = CELL_FRAMES
) -> tuple[Tensor, Tensor]:
    """By how much the logit falls where a joint stays at the baseline for some frames, and the logits (N,).

    Zeiler & Fergus 2014, ECCV; by captum. The cells of ``cell_frames`` frames do not overlap; what a cell is worth is
    spread evenly over its frames.

    Args:
        network: windows to logits.
        windows: (N, L, J, 3).
        baseline: what is put in their place: (L, J, 3), or (N, L, J, 3) with one for each window.
        cell_frames: frames of a cell.

    Returns:
        (N, L, J, 3), the same for the three coordinates of a joint, and (N,).
    """
    attr = captum_attr("occlusion")
    N, L, J, _ = windows.shape
    cell_frames = min(cell_frames, L)
    cells_of_frames = torch.arange(L) // cell_frames
    cell = (cells_of_frames[:, None] * J + torch.arange(J))[None, :, :, None].expand(1, L, J, 3)
    with torch.inference_mode():
        values = attr.FeatureAblation(network).attribute(
            windows,
            baselines=baseline.expand_as(windows),
            feature_mask=cell,
            perturbations_per_eval=max(1, _WINDOWS_A_PASS // N),
        )
        frames = torch.bincount(cells_of_frames)[cells_of_frames].to(values)
        return values / (3 * frames[:, None, None]), network(windows)
