"""Occlusion: the change of the logit when a patch of the movement is replaced by a baseline."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gait.explaining.method import Explanation, Method, captum_attr

PATCH_FRAMES = 8
"""Frames of one joint that are replaced together."""
_WINDOWS_PER_PASS = 256


def occlusion(network: nn.Module, windows: Tensor, baseline: Tensor | None, rule: str | None) -> Explanation:
    """Return the decrease of the logit when a joint is replaced by the baseline for some frames.

    Zeiler & Fergus 2014, ECCV; computed by captum. Patches of one joint and ``PATCH_FRAMES`` frames do not overlap; the
    value of a patch is distributed evenly over its frames and coordinates.
    """
    assert baseline is not None
    attr = captum_attr("occlusion")
    N, L, J, _ = windows.shape
    patch_of_frame = torch.arange(L) // min(PATCH_FRAMES, L)
    patch = (patch_of_frame[:, None] * J + torch.arange(J))[None, :, :, None].expand(1, L, J, 3)
    with torch.inference_mode():
        values = attr.FeatureAblation(network).attribute(
            windows,
            baselines=baseline.expand_as(windows),
            feature_mask=patch,
            perturbations_per_eval=max(1, _WINDOWS_PER_PASS // N),
        )
        frames = torch.bincount(patch_of_frame)[patch_of_frame].to(values)
        return values / (3 * frames[:, None, None]), network(windows), {"patch_frames": PATCH_FRAMES}


METHOD = Method(
    name="occlusion",
    title="Occlusion",
    description="replaces one joint for a short time by the mean training window and measures the change of the logit",
    explain=occlusion,
    needs_baseline=True,
    per_axis=False,
    stride=16,
    stride_of_weights_per_frame=4,
    order=4,
)
