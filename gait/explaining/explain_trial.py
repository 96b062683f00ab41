"""Attribution of a whole trial, from its overlapping windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.body.skeleton import MIRROR_ORDER
from gait.errors import GaitError
from gait.explaining.attribution import TrialAttribution, WindowAttribution, explainable_mask, input_status
from gait.explaining.methods import explain_windows, find_method
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import TrainedNetwork
from gait.learning.ensemble import members_of, threshold_of
from gait.learning.trainer import window_logits
from gait.motion.dataset import Trial
from gait.motion.pose_files import read_poses
from gait.motion.window_placement import FRAMES
from gait.motion.windows import WindowDataset

_BATCH_SIZE = 16
"""Windows per explanation; a transformer's activations for the backward pass then fit the processor's cache."""
_PREDICTION_BATCH_SIZE = 64


def explain_trial(
    network: TrainedNetwork,
    trial: Trial | Path,
    method: str | None = None,
    *,
    rule: str | None = None,
    stride: int | None = None,
    keep_standing: bool = False,
    progress: Callable[[int, int], None] = lambda done, count: None,
) -> TrialAttribution:
    """Explain a trial by averaging, per frame, the attribution of the windows that cover it.

    The probability is averaged over all windows, even if the method explains only every ``stride``-th.

    Args:
        network: from ``load_network``.
        trial: the folder of its ``poses.npz``; or as read by ``read_dataset`` or ``prepare_trial``, at the network's
            frame rate.
        method: one of ``METHODS``; the network's default if None.
        rule: of ``lrp``, as in ``explain_windows``.
        stride: frames from one explained window to the next; if None, the method's default, larger for costly methods.
            The last window of each walk is always explained, and every window that begins at an initial contact.
        keep_standing: explain standing, turning on the spot and sitting, too; of a trial that is read from its folder.
        progress: called before each batch with the numbers of windows done and in total; may raise to cancel.

    Raises:
        GaitError: the trial cannot be read, no walk in it is as long as a window, or as in ``explain_windows``.
    """
    if not isinstance(trial, Trial):
        sequence = read_poses(trial)
        trial = prepare_trial(trial, sequence, network, keep_standing=keep_standing)
    method = method or network.methods[0]
    if stride is None:
        stride = find_method(network.network, method).stride_for(network.network)
    windows = network.windows_of(trial)
    if not len(windows):
        raise GaitError(windows.too_short[0])
    by_frames = network.windows == FRAMES
    stride = stride if by_frames else 1
    explained = _every_nth(windows.first_frame, stride) if by_frames else torch.arange(len(windows))
    members = members_of(network.network)
    whole, *each = (_Sums(network, trial, windows) for _ in range(1 + len(members)))
    for number, batch in enumerate(explained.split(_BATCH_SIZE)):
        progress(number * _BATCH_SIZE, len(explained))
        found = explain_windows(network.network, windows.batch(batch), method, baseline=network.mean_window, rule=rule)
        whole.add(found, batch)
        for own, part in zip(each, found.members, strict=False):
            own.add(part, batch)
    if stride == 1:
        logits, member_logits = whole.logits, [own.logits for own in each[: len(found.members)]]
    else:
        member_logits = [window_logits(member, windows, _PREDICTION_BATCH_SIZE) for member in members]
        logits = torch.stack(member_logits).mean(dim=0) - threshold_of(network.network)
    return replace(
        whole.of_trial(logits, stride),
        members=tuple(
            own.of_trial(of_member, stride)
            for own, of_member, _ in zip(each, member_logits, found.members, strict=False)
        ),
    )


class _Sums:
    """Attribution of a trial by one network, added up over its explained windows."""

    def __init__(self, network: TrainedNetwork, trial: Trial, windows: WindowDataset):
        self._network, self._trial, self._windows = network, trial, windows
        self._values, self._axis_values = (_FrameMeans(trial, windows) for _ in range(2))
        self._logits: list[Tensor] = []
        self._unattributed: list[Tensor] = []

    def add(self, part: WindowAttribution, indices: Tensor) -> None:
        """Add the attribution of the windows of these indices (B,)."""
        self._last = part
        self._has_axes = part.axis_values is not None and bool(self._network.input.axis_names)
        self._values.add(part.values, indices)
        if part.axis_values is not None and self._has_axes:
            self._axis_values.add(part.axis_values, indices)
        self._logits.append(part.logits)
        self._unattributed.append(part.unattributed)

    @property
    def logits(self) -> Tensor:
        """Logits of the explained windows."""
        return torch.cat(self._logits)

    def of_trial(self, logits: Tensor, stride: int) -> TrialAttribution:
        """Return the attribution of the trial, with the logits of all its windows (W,)."""
        network, trial, windows, last = self._network, self._trial, self._windows, self._last
        T, length, probabilities = len(trial.joints_m), network.window_length, logits.double().sigmoid()
        hidden = ~explainable_mask(T, input_status(network.input.name, trial.joint_status), network.left_out_joints)

        def observed(means: _FrameMeans) -> NDArray[np.float32]:
            values = means.means()
            values[hidden] = np.nan
            return values

        probability = _FrameMeans(trial, windows)
        probability.add(probabilities[:, None, None].expand(-1, length, 1), slice(None), mirror_back=False)
        return TrialAttribution(
            values=observed(self._values),
            probability=probability.means()[:, 0],
            first_frames=windows.first_frame.numpy(),
            window_probability=probabilities.float().numpy(),
            window_length=max(1, round(length * windows.frames_per_sample[0])),
            rate_hz=trial.rate_hz,
            signed=last.signed,
            unattributed=float(np.mean(torch.cat(self._unattributed).numpy())),
            method=last.method,
            settings=_settings(last.settings, network, stride),
            activity=trial.activity,
            joint_status=trial.joint_status,
            left_out_joints=network.left_out_joints,
            input=network.input.name,
            axis_values=observed(self._axis_values) if self._has_axes else None,
            axis_names=tuple(map(tuple, network.input.axis_names)) if self._has_axes else (),
            window_logits=logits.double().numpy(),
        )


class _FrameMeans:
    """Means per frame of values of windows that overlap; each window gives a frame the value of its nearest sample."""

    def __init__(self, trial: Trial, windows: WindowDataset):
        self._windows = windows
        self._counts = torch.zeros(len(trial.joints_m), dtype=torch.float64)
        self._sums: Tensor | None = None

    def add(self, values: Tensor, indices: Tensor | slice, *, mirror_back: bool = True) -> None:
        """Add values (B, L, J, …) of windows; of mirrored ones with the sides exchanged, if they are of joints."""
        if mirror_back:
            values = _mirror_back(values, self._windows.is_mirrored[indices])
        if self._sums is None:
            self._sums = torch.zeros(len(self._counts), *values.shape[2:], dtype=torch.float64)
        frames, window, sample = _nearest_samples(self._windows.sample_times(indices))
        self._sums.index_add_(0, frames, values[window, sample].double())
        self._counts += torch.bincount(frames, minlength=len(self._counts))

    def means(self) -> NDArray[np.float32]:
        """Return the means (T, J, …); NaN where there is no window."""
        assert self._sums is not None
        counts = self._counts.reshape(-1, *[1] * (self._sums.ndim - 1))
        return np.asarray((self._sums / counts).numpy(), dtype=np.float32)


def _nearest_samples(times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return each frame that windows cover, whose samples have times (B, L) in frames, window and nearest sample."""
    first, last = times[:, 0].round().long(), times[:, -1].round().long()
    count = last - first + 1
    window = torch.arange(len(times)).repeat_interleave(count)
    frames = first[window] + torch.arange(len(window)) - (count.cumsum(0) - count)[window]
    frames_per_sample = (times[:, -1] - times[:, 0])[window] / max(1, times.shape[1] - 1)
    sample = ((frames - times[window, 0]) / frames_per_sample.clamp(min=1e-9)).round().long()
    return frames, window, sample.clamp(0, times.shape[1] - 1)


def _every_nth(first_frames: Tensor, stride: int) -> Tensor:
    """Return the indices of every nth window, and of the last one, of each walk."""
    begins = [0, *(torch.nonzero(first_frames.diff() > 1).flatten() + 1).tolist(), len(first_frames)]
    walks = [torch.arange(begin, end) for begin, end in pairwise(begins)]
    return torch.unique(torch.cat([part for walk in walks for part in (walk[::stride], walk[-1:])]))


def _settings(settings: Mapping[str, Any], network: TrainedNetwork, stride: int) -> dict[str, Any]:
    """Return the settings to save, of a method and of its use."""
    placed = {"stride": stride} if network.windows == FRAMES else {"windows": network.windows}
    deviates = "baseline" in settings and network.reference.mean_window is not None
    return {**settings, **({"baseline": "controls' mean"} if deviates else {}), **placed}


def _mirror_back(values: Tensor, is_mirrored: Tensor) -> Tensor:
    """Return values (N, L, J, …) with the sides of mirrored windows exchanged: those of the subject's own joints."""
    own = values.clone()
    own[is_mirrored] = values[is_mirrored][:, :, list(MIRROR_ORDER)]
    return own
