"""Occlusion: the change of the logit when a patch of the movement is replaced by a baseline."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gait.explaining.optional_captum import captum_attr

PATCH_FRAMES = 8
"""Frames of one joint that are replaced together."""
_WINDOWS_PER_PASS = 256


def occlusion(
    network: nn.Module, windows: Tensor, baseline: Tensor, patch_frames: int = PATCH_FRAMES
) -> tuple[Tensor, Tensor]:
    """Return how much the logit falls when a joint is replaced by the baseline for some frames, and the logits.

    Zeiler & Fergus 2014, ECCV; computed by captum. Patches of one joint and ``patch_frames`` frames do not overlap; the
    value of a patch is distributed evenly over its frames.

    Args:
        network: windows to logits.
        windows: (N, L, J, 3).
        baseline: (L, J, 3), or (N, L, J, 3) with one per window.
        patch_frames: frames per patch.

    Returns:
        (N, L, J, 3), equal for the three coordinates of a joint, and (N,).
    """
    attr = captum_attr("occlusion")
    N, L, J, _ = windows.shape
    patch_frames = min(patch_frames, L)
    patch_of_frame = torch.arange(L) // patch_frames
    patch = (patch_of_frame[:, None] * J + torch.arange(J))[None, :, :, None].expand(1, L, J, 3)
    with torch.inference_mode():
        values = attr.FeatureAblation(network).attribute(
            windows,
            baselines=baseline.expand_as(windows),
            feature_mask=patch,
            perturbations_per_eval=max(1, _WINDOWS_PER_PASS // N),
        )
        frames = torch.bincount(patch_of_frame)[patch_of_frame].to(values)
        return values / (3 * frames[:, None, None]), network(windows)
