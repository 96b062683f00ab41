"""Windows of equal length over many trials, computed on demand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.arrays import Vector
from gait.body.skeleton import BODY_JOINTS, MIRROR_ORDER, NUM_BODY_JOINTS, Joint
from gait.errors import GaitError
from gait.motion.common_frame import apply_transforms, window_transforms
from gait.motion.dataset import Trial
from gait.motion.inputs import INPUTS, PUBLISHED
from gait.motion.window_input import InputReference, WindowInput
from gait.motion.window_placement import CYCLES, FRAMES, WindowPlacement, place_windows

_TRACKS = 3 * NUM_BODY_JOINTS  # a coordinate of a joint over time
_WINDOWS_PER_PASS = 64  # so that intermediate arrays stay in the processor's cache


class WindowDataset:
    """All windows of all trials in order; those of ``frames``, if requested, followed by their mirror images.

    Frames are stored once, whatever the window length and stride, plus about fifty bytes per window; those of an input
    that is not aligned per window once more if windows are mirrored. ``batch`` is not thread-safe, as it uses shared
    scratch memory.
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
    input: WindowInput  # what the windows hold
    reference: InputReference  # what they are relative to
    frames_per_sample: tuple[float, ...]  # of each trial, median; a sample is a frame, or a hundredth of a stride

    def __init__(
        self,
        trials: Sequence[Trial],
        window_length: int,
        stride: int = 1,
        *,
        mirror: bool = False,
        left_out: Collection[Joint] = (),
        min_observed: float = 0.0,
        input: str = PUBLISHED,
        windows: str = FRAMES,
        training: bool = False,
        reference: InputReference | None = None,
    ):
        """Prepare the windows of trials that have the same frame rate; each window lies within one walk.

        A walk shorter than a window contributes none. The attributes above have the arguments; with ``mirror``, the
        mirror image of each window is included, except with ``cycles``, where all windows begin on the same side.
        Joints that are ``left_out`` are 0 in every window; the other joints of the published input do not depend on
        them. ``min_observed``, ``windows`` and ``training`` are those of ``place_windows``; ``input`` is one of
        ``INPUTS``, whose ``reference`` is that of ``fit_reference``.

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
        self.input, self.reference = INPUTS[input], reference or InputReference()
        placements = tuple(
            place_windows(
                trial,
                window_length,
                stride,
                windows,
                left_out=self.left_out,
                min_observed=min_observed,
                training=training,
            )
            for trial in trials
        )
        self.too_short = tuple(placed.reason for placed in placements if placed.reason)
        self.frames_per_sample = tuple(placed.frames_per_sample for placed in placements)

        # Of trials without a window, nothing is kept.
        times = [placed.times if len(placed.starts) else np.empty(0) for placed in placements]
        samples = np.array([len(each) for each in times], dtype=np.int64)
        first_samples = samples.cumsum() - samples
        self._index_windows(placements, first_samples, copies=2 if mirror and windows != CYCLES else 1)
        self._store_frames(times, first_samples)
        self._times = torch.from_numpy(np.concatenate([np.empty(0), *times]))
        # Computed when a window is first requested and kept, as every epoch requests the same windows.
        self._transforms = torch.empty(len(self), 3, 4, dtype=torch.float32)
        self._has_transform = torch.zeros(len(self), dtype=torch.bool)

    def _index_windows(
        self, placements: Sequence[WindowPlacement], first_samples: NDArray[np.int64], copies: int
    ) -> None:
        """List the windows of each trial, whose first sample is the given one of all; of two copies one is mirrored."""
        count = [len(placed.starts) for placed in placements]
        source_trial = np.repeat(np.arange(len(placements), dtype=np.int64), count)
        first, first_frame, mirrored = (
            np.concatenate([np.empty(0, kind), *values])
            for kind, values in (
                (np.int64, [placed.starts for placed in placements]),
                (np.int64, [placed.first_frames for placed in placements]),
                (np.bool_, [placed.mirrored for placed in placements]),
            )
        )
        self.trial_index = torch.from_numpy(np.tile(source_trial, copies))
        self.first_frame = torch.from_numpy(np.tile(first_frame, copies))
        self.is_mirrored = torch.from_numpy(np.concatenate([mirrored, ~mirrored][:copies]))
        self.sick = torch.tensor([trial.sick for trial in self.trials], dtype=torch.bool)[self.trial_index]
        self._first_of_trial = torch.from_numpy(first_samples)
        self._start = self._first_of_trial[self.trial_index] + torch.from_numpy(np.tile(first, copies))

    def _store_frames(self, times: Sequence[Vector], first_samples: NDArray[np.int64]) -> None:
        """Store the values of each trial at its times, so that a window of them is copied as it is."""
        rotations = None if self.reference.rotations is None else self.reference.rotations.double().numpy()
        size = (sum(map(len, times)), _TRACKS)
        aligned = self.input.aligned_per_window
        frames = np.empty(size[::-1], dtype=np.float32).T if aligned else np.empty(size, dtype=np.float32)
        for trial, each, first in zip(self.trials, times, first_samples, strict=True):
            if len(each):
                values = self.input.relative(self.input.samples(trial, each), rotations)
                frames[first : first + len(each)] = values.reshape(len(each), _TRACKS)
        row = torch.arange(_TRACKS).reshape(NUM_BODY_JOINTS, 3)
        if aligned:
            # Each track is contiguous, so that a window's tracks are copied as they are; for a mirrored window, the
            # tracks of the contralateral joints are copied.
            self._all_windows = _all_parts(torch.from_numpy(frames.T.reshape(-1)), self.window_length, 1)
            self._tracks = torch.stack([order.reshape(-1) for order in (row, row[list(MIRROR_ORDER)])]) * len(frames)
            shape = (2, _WINDOWS_PER_PASS, NUM_BODY_JOINTS, 3, self.window_length)
            self._scratch = torch.empty(shape, dtype=torch.float32)
        else:
            # The frames of a window are contiguous, and so are those of its mirror image, which are stored as well.
            stored = torch.from_numpy(frames)
            if self.is_mirrored.any():
                order = row[list(MIRROR_ORDER)].reshape(-1)
                stored = torch.cat([stored, stored[:, order] * torch.tensor(self.input.mirror_signs * NUM_BODY_JOINTS)])
            self._all_windows = _all_parts(stored.reshape(-1), self.window_length * _TRACKS, _TRACKS)
            self._mirrored_from = len(frames)

    def __len__(self) -> int:
        """Return the number of windows, N."""
        return len(self.trial_index)

    def sample_times(self, indices: Tensor | slice) -> Tensor:
        """Return the times of the samples of windows (B,), in frames of their trials, (B, L) float64."""
        return self._times[self._start[indices][:, None] + torch.arange(self.window_length)]

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Return what the network sees of windows, (B, L, 22, 3) float32, on a device; computed on the CPU.

        The indices (B,) are in any order; negative ones count from the end.
        """
        return self.network_input(self.values(indices)).to(device)

    def network_input(self, values: Tensor) -> Tensor:
        """Return what the network sees of windows of such ``values``, (B, L, 22, 3), which may be changed in place."""
        seen = self.reference.deviation(values)
        if self.left_out:
            seen[:, :, list(self.left_out)] = 0
        return seen

    def values(self, indices: Tensor) -> Tensor:
        """Return windows as their input defines them, (B, L, 22, 3), not yet compared with the controls' mean."""
        indices = indices.cpu()
        batch = torch.empty(len(indices), self.window_length, NUM_BODY_JOINTS, 3, dtype=torch.float32)
        if not self.input.aligned_per_window:
            rows = self._start[indices] + self._mirrored_from * self.is_mirrored[indices]
            torch.index_select(self._all_windows, 0, rows, out=batch.view(len(indices), -1))
            return batch
        for first in range(0, len(indices), _WINDOWS_PER_PASS):
            selected = indices[first : first + _WINDOWS_PER_PASS]
            windows, scratch = self._scratch[:, : len(selected)]
            rows = self._start[selected][:, None] + self._tracks[self.is_mirrored[selected].long()]
            torch.index_select(self._all_windows, 0, rows.reshape(-1), out=windows.view(-1, self.window_length))
            part = batch[first : first + len(selected)]
            # Exchanged sides make a mirror image, which the alignment reflects.
            if not self._has_transform[selected].all():
                coordinates = windows.transpose(1, 2)
                scratch_coordinates = scratch.view_as(coordinates)
                self._transforms[selected] = window_transforms(coordinates, scratch_coordinates, self.left_out)
                self._has_transform[selected] = True
            apply_transforms(windows, self._transforms[selected], scratch, part)
        return batch


def _all_parts(values: Tensor, length: int, step: int) -> Tensor:
    """Return a view of all parts of so many consecutive values (K,), one every ``step``, (n, length)."""
    return values.as_strided((max(0, (len(values) - length) // step + 1), length), (step, 1))


def fit_reference(
    trials: Sequence[Trial], window_length: int, stride: int = 1, *, factor: float, **options: Any
) -> InputReference:
    """Return the reference of an input: the controls' mean rotations, and their mean window if ``factor`` is not 0.

    The network sees that many times the difference from the mean window. ``trials`` are those of the training; other
    arguments are those of ``WindowDataset``.

    Raises:
        GaitError: no control has a window, or as in ``WindowDataset``.
    """
    kind, placement = INPUTS[options.get("input", PUBLISHED)], options.get("windows", FRAMES)
    controls = [
        trial
        for trial in trials
        if not trial.sick and not place_windows(trial, window_length, windows=placement).reason
    ]
    reference = InputReference()
    if kind.reference_of is not None and controls:
        parts = [
            kind.samples(trial, np.arange(len(trial.joints_m), dtype=np.float64))[trial.walking] for trial in controls
        ]
        reference = InputReference(torch.from_numpy(kind.reference_of(parts)).float())
    if not factor:
        return reference
    windows = WindowDataset(controls, window_length, stride, reference=reference, **options)
    if not len(windows):
        raise GaitError(f"No control in training has a window; --input {kind.name} compares windows with the controls.")
    return replace(reference, mean_window=mean_values(windows), factor=factor)


def mean_values(windows: WindowDataset) -> Tensor:
    """Return the mean of the ``values`` of all windows, (L, 22, 3)."""
    total = torch.zeros(())
    for batch in torch.arange(len(windows)).split(_WINDOWS_PER_PASS):
        total = total + windows.values(batch).double().sum(0)
    return (total / len(windows)).float()
