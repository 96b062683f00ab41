"""Random changes of training windows that say nothing about the label: offsets, the pace, and individuality.

An offset is constant over a window, per joint and axis. It keeps a network from identifying subjects by limb length or
by the fit's constant joint bias, of which a cohort has only one sample per subject; the movement itself is unchanged.

Patients walk more slowly than controls do, so a network that sees both as they are learns the pace. With --pace, the
excursion of every training window is brought to a random fraction of that of the controls, whatever its label.

Healthy persons differ from each other, in constants and in the course of a stride. With --individuality, each window
gets a part of another control's deviation, so that a network learns not to take what this sample of persons happens to
have for a sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from gait.arrays import Vector
from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.kinematics.gait_events import SIDES
from gait.learning.training_arguments import TrainingSettings
from gait.motion.dataset import Trial
from gait.motion.walking_frame import walking_frames
from gait.motion.windows import WindowDataset

UNITS_PER_METRE = (0.7, 1.3, 3.7)
"""Length of one metre in the published common frame along x, y and z, for an adult of average stature."""

MIN_FACTOR, MAX_FACTOR = 0.4, 2.2
"""Limits of the factor on a window's excursion: beyond them, a walk at another pace is no longer like one."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Random numbers for a batch of windows."""

    offsets: Tensor | None  # (B, 1, 22, 3) in the units of the network's input; None without offsets
    factor: Tensor | None  # (B,) on the excursion; None without --pace
    random: Tensor | None  # (B, 22) uniform, for the pace of each joint
    others: Tensor | None = None  # (B,) windows of controls, whose deviations are added; None without --individuality
    multiples: Tensor | None = None  # (B, 1, 1, 1) of these deviations


class Augmentation:
    """The random changes of a training's windows."""

    def __init__(self, windows: WindowDataset, settings: TrainingSettings):
        """Prepare the changes of windows; for --pace, measure their excursion."""
        self._windows, self._settings = windows, settings
        self._size, self._units = settings.joint_offset_m, torch.tensor(UNITS_PER_METRE)
        if not windows.input.aligned_per_window:
            size = windows.input.offset if settings.offset is None else settings.offset
            compared = windows.reference.mean_window is not None
            self._size, self._units = size * (windows.reference.factor if compared else 1.0), torch.ones(3)
        self._controls = (~windows.sick).nonzero().squeeze(1)
        self._excursion = torch.ones(len(windows))
        if settings.pace is not None:
            excursion = window_excursions(windows)
            controls = excursion[~windows.sick]
            self._excursion = excursion / controls.mean()

    def draw(self, batch: Tensor, random: torch.Generator) -> Drawn:
        """Return random numbers for the windows of these indices (B,)."""
        offsets = factor = uniform = others = multiples = None
        if self._size:
            offsets = torch.randn(len(batch), 1, NUM_BODY_JOINTS, 3, generator=random)
            if left_out := self._windows.left_out:
                offsets[:, :, list(left_out)] = 0
            offsets = self._size * offsets * self._units
        if self._settings.pace is not None:
            low, high = self._settings.pace
            target = low + (high - low) * torch.rand(len(batch), generator=random)
            factor = (target / self._excursion[batch]).clamp(MIN_FACTOR, MAX_FACTOR)
            uniform = torch.rand(len(batch), NUM_BODY_JOINTS, generator=random)
        if self._settings.individuality:
            others = self._controls[torch.randint(len(self._controls), (len(batch),), generator=random)]
            multiples = self._settings.individuality * (2 * torch.rand(len(batch), 1, 1, 1, generator=random) - 1)
        return Drawn(offsets, factor, uniform, others, multiples)

    def batch(self, indices: Tensor, drawn: Drawn, part: slice, device: torch.device | str) -> Tensor:
        """Return what the network sees of windows (B, L, 22, 3), changed by this part of what was drawn."""
        windows = self._windows
        pace = windows.input.pace
        if drawn.factor is None or drawn.random is None or pace is None:
            seen = windows.batch(indices, device)
        else:
            values = pace(windows.values(indices), drawn.factor[part], drawn.random[part])
            seen = windows.network_input(values).to(device)
        if drawn.others is not None and drawn.multiples is not None:
            seen.addcmul_(windows.batch(drawn.others[part], device), drawn.multiples[part].to(device))
        return seen if drawn.offsets is None else seen.add_(drawn.offsets[part].to(device))


def window_excursions(windows: WindowDataset) -> Tensor:
    """Return how far the ankles move ahead and back against the pelvis in each window, (N,), in leg lengths."""
    excursion = torch.empty(len(windows))
    for number, trial in enumerate(windows.trials):
        own = windows.trial_index == number
        if own.any():
            frames = max(1, round(windows.window_length * windows.frames_per_sample[number]))
            first = windows.first_frame[own].numpy()
            excursion[own] = torch.from_numpy(_excursions(_ankles_ahead(trial), first, frames)).float()
    return excursion


def _ankles_ahead(trial: Trial) -> Vector:
    """Return how far each ankle is ahead of the pelvis, (T, 2), in leg lengths."""
    joints = trial.joints_m.astype(np.float64)
    ahead = walking_frames(joints, trial.rate_hz)[:, :, 2]
    curves = []
    for side in SIDES:
        hip, knee, ankle = (joints[:, Joint[f"{side.upper()}_{part}"]] for part in ("HIP", "KNEE", "ANKLE"))
        leg = np.median(np.linalg.norm(knee - hip, axis=1) + np.linalg.norm(ankle - knee, axis=1))
        curves.append(((ankle - joints[:, Joint.PELVIS]) * ahead).sum(axis=1) / leg)
    return np.stack(curves, axis=1)


def _excursions(curves: Vector, first: NDArray[np.int64], frames: int) -> Vector:
    """Return the range of curves (T, 2) over windows from first frames (n,), mean of both, (n,); above 0."""
    frames = min(frames, len(curves))
    parts = sliding_window_view(curves, frames, axis=0)[np.minimum(first, len(curves) - frames)]  # (n, 2, frames)
    return np.maximum(np.ptp(parts, axis=2).mean(axis=1), 1e-3)
