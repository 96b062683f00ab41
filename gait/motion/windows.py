"""Windows of equal length over many gaits, each made when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gait.body.skeleton import NUM_BODY_JOINTS
from gait.errors import GaitError
from gait.motion.common_frame import MIRROR_ORDER, place, placements
from gait.motion.dataset import Trial

_TRACKS = 3 * NUM_BODY_JOINTS  # a coordinate of a joint over time
_AT_A_TIME = 64  # windows; what they need meanwhile stays in the processor's cache


class WindowDataset:
    """Every window of every gait, in their order; mirrored ones, if asked for, after all the others.

    The frames are held once, whatever the length and the stride; besides them, some fifty bytes for each window. One
    thread at a time may ask for batches, as they share scratch memory.
    """

    gaits: tuple[Trial, ...]  # all that were given
    length: int  # frames of a window, L
    stride: int  # frames from the beginning of a window to that of the next
    sick: Tensor  # (N,) bool
    gait_index: Tensor  # (N,) int64: which of the gaits
    first_frame: Tensor  # (N,) int64: of that gait
    mirrored_mask: Tensor  # (N,) bool
    too_short: tuple[str, ...]  # a plain line for each gait without a window

    def __init__(self, gaits: Sequence[Trial], length: int, stride: int = 1, *, mirrored: bool = False):
        """Windows over gaits that have been brought to one rate.

        Args:
            gaits: over whose frames the windows go; those that are shorter than a window have none.
            length: frames of a window.
            stride: frames from one window to the next; 1 is every window that there is.
            mirrored: also the mirror image of each (``gait.motion.common_frame.mirrored``).

        Raises:
            GaitError: a length or stride below 1, or gaits of different rates.
        """
        if length < 1 or stride < 1:
            raise GaitError(f"windows of {length} frames, one every {stride}: both must be 1 or more.")
        rates = sorted({gait.rate_hz for gait in gaits})
        if len(rates) > 1:
            raise GaitError(f"gaits at {', '.join(f'{rate:g}' for rate in rates)} Hz; bring them to one rate first.")
        self.gaits = tuple(gaits)
        self.length = length
        self.stride = stride
        self.too_short = tuple(
            f"{gait.name}: has {len(gait.joints_m)} frames at {gait.rate_hz:g} Hz, fewer than a window's {length}; "
            "it is left out, use shorter windows to keep it."
            for gait in gaits
            if len(gait.joints_m) < length
        )

        frames = np.array([len(gait.joints_m) for gait in gaits], dtype=np.int64)
        ends = frames.cumsum()
        counts = np.where(frames < length, 0, (frames - length) // stride + 1)
        of_gait = np.repeat(np.arange(len(gaits)), counts)
        first = (np.arange(len(of_gait)) - np.repeat(counts.cumsum() - counts, counts)) * stride
        sides = 2 if mirrored else 1
        self.gait_index = torch.from_numpy(np.tile(of_gait, sides))
        self.first_frame = torch.from_numpy(np.tile(first, sides))
        self.mirrored_mask = torch.arange(len(self.gait_index)) >= len(of_gait)
        self.sick = torch.tensor([gait.sick for gait in gaits], dtype=torch.bool)[self.gait_index]
        self._start = torch.from_numpy(ends - frames)[self.gait_index] + self.first_frame

        # Each track lies together, so that the tracks of a window are copied as they are, the mirrored ones in the
        # other sides' order.
        tracks = np.empty((_TRACKS, int(frames.sum())), dtype=np.float32)
        for gait, end, count in zip(gaits, ends, frames, strict=True):
            near = gait.joints_m - gait.joints_m[:1, :1]  # where single precision is finest
            tracks[:, end - count : end] = near.reshape(count, _TRACKS).T
        every = tracks.size - length + 1 if len(self) else 0
        self._stretches = torch.from_numpy(tracks.reshape(-1)).as_strided((every, length), (1, 1))
        row = torch.arange(_TRACKS).reshape(NUM_BODY_JOINTS, 3)
        self._tracks = torch.stack([order.reshape(-1) for order in (row, row[list(MIRROR_ORDER)])]) * tracks.shape[1]
        self._scratch = torch.empty(2, _AT_A_TIME, NUM_BODY_JOINTS, 3, length, dtype=torch.float32)
        # Found when a window is first asked for: every epoch asks for the same ones.
        self._placements = torch.empty(len(self), 3, 4, dtype=torch.float32)
        self._placed = torch.zeros(len(self), dtype=torch.bool)

    def __len__(self) -> int:
        """Number of windows, N."""
        return len(self.gait_index)

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Windows in the common frame: (B, L, 22, 3) float32 on the device.

        Args:
            indices: (B,) whole numbers, in any order; negative ones count from the end.
            device: where the windows are wanted; they are made on the CPU.
        """
        indices = indices.cpu()
        batch = torch.empty(len(indices), self.length, NUM_BODY_JOINTS, 3, dtype=torch.float32)
        for first in range(0, len(indices), _AT_A_TIME):
            some = indices[first : first + _AT_A_TIME]
            windows, scratch = self._scratch[:, : len(some)]
            rows = self._start[some][:, None] + self._tracks[self.mirrored_mask[some].long()]
            torch.index_select(self._stretches, 0, rows.reshape(-1), out=windows.view(-1, self.length))
            # Exchanged sides are a mirror image; the alignment reflects it.
            if not self._placed[some].all():
                coordinates = windows.transpose(1, 2)
                self._placements[some] = placements(coordinates, scratch.view_as(coordinates))
                self._placed[some] = True
            place(windows, self._placements[some], scratch, batch[first : first + len(some)])
        return batch.to(device)
