"""Windows of equal length over many gaits, each made when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gait.body.skeleton import NUM_BODY_JOINTS
from gait.errors import GaitError
from gait.motion.alignment import common_frame
from gait.motion.alignment import mirrored as mirror_image
from gait.motion.gait_set import GaitRecording


class Windows:
    """Every window of every gait, in their order; mirrored ones, if asked for, after all the others.

    Only the frames themselves are held, once.
    """

    def __init__(self, gaits: Sequence[GaitRecording], length: int, stride: int = 1, *, mirrored: bool = False):
        """Windows of ``length`` frames, one every ``stride`` frames; all gaits must be at one rate."""
        if length < 1 or stride < 1:
            raise GaitError(f"windows of {length} frames every {stride}: both must be 1 or more.")
        rates = sorted({gait.rate_hz for gait in gaits})
        if len(rates) > 1:
            raise GaitError(f"gaits at {', '.join(f'{rate:g}' for rate in rates)} Hz: bring them to one rate first.")
        self.gaits = tuple(gaits)
        self.length = length
        self.stride = stride
        self.too_short = tuple(
            f"{gait.name}: {len(gait.joints_m)} frames at {gait.rate_hz:g} Hz are shorter than a window of {length}; "
            "left out."
            for gait in gaits
            if len(gait.joints_m) < length
        )
        counts = [max(0, (len(gait.joints_m) - length) // stride + 1) for gait in gaits]
        firsts = [torch.arange(count) * stride for count in counts]
        offsets = np.cumsum([0, *(len(gait.joints_m) for gait in gaits)])
        empty = np.empty((0, NUM_BODY_JOINTS, 3), np.float32)
        self._frames = torch.from_numpy(np.concatenate([empty, *(gait.joints_m for gait in gaits)]))
        self.first_frame = torch.cat([torch.empty(0, dtype=torch.int64), *firsts])
        self.gait_index = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts, dtype=torch.int64))
        plain = len(self.first_frame)
        if mirrored:
            self.first_frame, self.gait_index = self.first_frame.repeat(2), self.gait_index.repeat(2)
        self.mirrored_mask = torch.arange(len(self.first_frame)) >= plain
        self.sick = torch.tensor([gait.sick for gait in gaits], dtype=torch.bool)[self.gait_index]
        self._start = torch.from_numpy(offsets[:-1])[self.gait_index] + self.first_frame

    def __len__(self) -> int:
        """Number of windows, N."""
        return len(self.first_frame)

    def batch(self, indices: Tensor, device: torch.device | str | None = None) -> Tensor:
        """Windows of these indices (B,), in the common frame: (B, L, 22, 3), on ``device`` if one is named."""
        rows = self._start[indices][:, None] + torch.arange(self.length)
        windows = common_frame(self._frames[rows].to(device))
        flipped = self.mirrored_mask[indices].to(windows.device)
        return torch.where(flipped[:, None, None, None], mirror_image(windows), windows)
