"""Windows of equal length over many trials, computed on demand."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.body.joint_status import JointStatus
from gait.body.skeleton import BODY_JOINTS, NUM_BODY_JOINTS, Joint
from gait.errors import GaitError
from gait.motion.common_frame import MIRROR_ORDER, apply_transforms, window_transforms
from gait.motion.dataset import Trial

_TRACKS = 3 * NUM_BODY_JOINTS  # a coordinate of a joint over time
_WINDOWS_PER_PASS = 64  # so that intermediate arrays stay in the processor's cache


def window_starts(
    trial: Trial, window_length: int, stride: int, left_out: Collection[Joint] = (), min_observed: float = 0.0
) -> NDArray[np.int64]:
    """Return the first frames of a trial's windows; each window lies within one walk.

    Windows are omitted in which a joint that is not left out is observed or inferred in a smaller fraction of the
    frames than ``min_observed``.
    """
    starts = [np.arange(walk.start, walk.stop - window_length + 1, stride) for walk in trial.walks]
    first = np.concatenate([np.empty(0, np.int64), *starts])
    if min_observed == 0 or trial.joint_status is None:
        return first
    fraction = observed_fraction(trial.joint_status, first, window_length)
    fraction[:, list(left_out)] = 1
    return first[(fraction >= min_observed).all(axis=1)]


def observed_fraction(
    joint_status: NDArray[np.uint8], first_frames: NDArray[np.int64], window_length: int
) -> NDArray[np.float64]:
    """Return the fraction of the frames of windows (N,) in which each joint is observed or inferred, (N, 22)."""
    known = np.pad(joint_status > JointStatus.NOT_OBSERVED, ((1, 0), (0, 0))).cumsum(axis=0)
    return (known[first_frames + window_length] - known[first_frames]) / window_length


class WindowDataset:
    """All windows of all trials in order; if requested, followed by their mirror images.

    Frames are stored once, whatever the window length and stride, plus about fifty bytes per window. ``batch`` is not
    thread-safe, as it uses shared scratch memory.
    """

    trials: tuple[Trial, ...]  # as given
    window_length: int  # frames, L
    stride: int  # frames from the beginning of a window to that of the next
    sick: Tensor  # (N,) bool
    trial_index: Tensor  # (N,) int64, into trials
    first_frame: Tensor  # (N,) int64, of that trial
    is_mirrored: Tensor  # (N,) bool
    too_short: tuple[str, ...]  # one line per trial without a walk as long as a window
    left_out: tuple[Joint, ...]  # the joints that are 0 in every window

    def __init__(
        self,
        trials: Sequence[Trial],
        window_length: int,
        stride: int = 1,
        *,
        mirror: bool = False,
        left_out: Collection[Joint] = (),
        min_observed: float = 0.0,
    ):
        """Prepare the windows of trials that have the same frame rate; each window lies within one walk.

        A walk shorter than a window contributes none. The attributes above have the arguments; with ``mirror``, the
        mirror image of each window is included. Joints that are ``left_out`` are 0 in every window, and the other
        joints do not depend on them. ``min_observed`` is that of ``window_starts``.

        Raises:
            GaitError: the length or stride is below 1, or the trials have different rates.
        """
        if window_length < 1 or stride < 1:
            raise GaitError(f"windows of {window_length} frames, one every {stride}: both must be 1 or more.")
        rates = sorted({trial.rate_hz for trial in trials})
        if len(rates) > 1:
            raise GaitError(
                f"trials at {', '.join(f'{rate:g}' for rate in rates)} Hz; resample them to one rate first."
            )
        self.trials = tuple(trials)
        self.window_length = window_length
        self.stride = stride
        self.left_out = tuple(joint for joint in BODY_JOINTS if joint in left_out)
        reasons = (trial.reason_without_window(window_length) for trial in trials)
        self.too_short = tuple(reason for reason in reasons if reason)

        frames = np.array([len(trial.joints_m) for trial in trials], dtype=np.int64)
        ends = frames.cumsum()
        firsts = [
            (number, window_starts(trial, window_length, stride, self.left_out, min_observed))
            for number, trial in enumerate(trials)
        ]
        source_trial = np.repeat([number for number, _ in firsts], [len(first) for _, first in firsts]).astype(np.int64)
        first = np.concatenate([np.empty(0, np.int64), *(first for _, first in firsts)])
        copies = 2 if mirror else 1
        self.trial_index = torch.from_numpy(np.tile(source_trial, copies))
        self.first_frame = torch.from_numpy(np.tile(first, copies))
        self.is_mirrored = torch.arange(len(self.trial_index)) >= len(source_trial)
        self.sick = torch.tensor([trial.sick for trial in trials], dtype=torch.bool)[self.trial_index]
        self._start = torch.from_numpy(ends - frames)[self.trial_index] + self.first_frame

        # Each track is contiguous, so that a window's tracks are copied as they are; for a mirrored window, the tracks
        # of the contralateral joints are copied.
        tracks = np.empty((_TRACKS, int(frames.sum())), dtype=np.float32)
        for trial, end, count in zip(trials, ends, frames, strict=True):
            relative = trial.joints_m - trial.joints_m[:1, :1]  # where single precision is finest
            tracks[:, end - count : end] = relative.reshape(count, _TRACKS).T
        num_starts = tracks.size - window_length + 1 if len(self) else 0
        self._all_windows = torch.from_numpy(tracks.reshape(-1)).as_strided((num_starts, window_length), (1, 1))
        row = torch.arange(_TRACKS).reshape(NUM_BODY_JOINTS, 3)
        self._tracks = torch.stack([order.reshape(-1) for order in (row, row[list(MIRROR_ORDER)])]) * tracks.shape[1]
        self._scratch = torch.empty(2, _WINDOWS_PER_PASS, NUM_BODY_JOINTS, 3, window_length, dtype=torch.float32)
        # Computed when a window is first requested and kept, as every epoch requests the same windows.
        self._transforms = torch.empty(len(self), 3, 4, dtype=torch.float32)
        self._has_transform = torch.zeros(len(self), dtype=torch.bool)

    def __len__(self) -> int:
        """Return the number of windows, N."""
        return len(self.trial_index)

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Return normalized windows in the common frame, (B, L, 22, 3) float32, on a device; computed on the CPU.

        The indices (B,) are in any order; negative ones count from the end.
        """
        indices = indices.cpu()
        batch = torch.empty(len(indices), self.window_length, NUM_BODY_JOINTS, 3, dtype=torch.float32)
        for first in range(0, len(indices), _WINDOWS_PER_PASS):
            selected = indices[first : first + _WINDOWS_PER_PASS]
            windows, scratch = self._scratch[:, : len(selected)]
            rows = self._start[selected][:, None] + self._tracks[self.is_mirrored[selected].long()]
            torch.index_select(self._all_windows, 0, rows.reshape(-1), out=windows.view(-1, self.window_length))
            # Exchanged sides make a mirror image, which the alignment reflects.
            if not self._has_transform[selected].all():
                coordinates = windows.transpose(1, 2)
                scratch_coordinates = scratch.view_as(coordinates)
                self._transforms[selected] = window_transforms(coordinates, scratch_coordinates, self.left_out)
                self._has_transform[selected] = True
            apply_transforms(windows, self._transforms[selected], scratch, batch[first : first + len(selected)])
        if self.left_out:
            batch[:, :, list(self.left_out)] = 0
        return batch.to(device)
