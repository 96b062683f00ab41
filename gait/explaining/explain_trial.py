"""Attribution of a whole trial, from its overlapping windows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.errors import GaitError
from gait.explaining.attribution import TrialAttribution
from gait.explaining.methods import explain_windows, find_method
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import TrainedNetwork
from gait.learning.trainer import window_logits
from gait.motion.dataset import Trial
from gait.motion.pose_files import read_poses
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
            The last window is always explained.
        progress: called before each batch with the numbers of windows done and in total; may raise to cancel.

    Raises:
        GaitError: the trial cannot be read or is shorter than a window, or as in ``explain_windows``.
    """
    if not isinstance(trial, Trial):
        sequence = read_poses(trial)
        trial = prepare_trial(trial, sequence.joints_m, sequence.rate_hz, network)
    method, window_length = method or network.methods[0], network.window_length
    if stride is None:
        stride = find_method(network.network, method).stride_for(network.network)
    windows = WindowDataset([trial], window_length)
    if not len(windows):
        raise GaitError(windows.too_short[0])
    all_windows = torch.arange(len(windows))
    explained = torch.unique(torch.cat([all_windows[::stride], all_windows[-1:]]))
    attribution = _OverlapAverage(len(trial.joints_m), window_length)
    unattributed, logits = [], torch.zeros(len(windows))
    for number, batch in enumerate(explained.split(_BATCH_SIZE)):
        progress(number * _BATCH_SIZE, len(explained))
        result = explain_windows(network.network, windows.batch(batch), method, baseline=network.mean_window, rule=rule)
        attribution.add(batch, result.values)
        unattributed.append(result.unattributed)
        logits[batch] = result.logits.to(logits)
    if stride > 1:
        logits = window_logits(network.network, windows, _PREDICTION_BATCH_SIZE)
    probabilities = logits.double().sigmoid()
    probability = _OverlapAverage(len(trial.joints_m), window_length)
    probability.add(all_windows, probabilities[:, None, None].expand(-1, window_length, 1))
    return TrialAttribution(
        values=attribution.mean(),
        probability=probability.mean()[:, 0],
        first_frames=all_windows.numpy(),
        window_probability=probabilities.float().numpy(),
        window_length=window_length,
        rate_hz=trial.rate_hz,
        signed=result.signed,
        unattributed=float(np.mean(torch.cat(unattributed).numpy())),
        method=method,
        settings={**result.settings, "stride": stride},
    )


class _OverlapAverage:
    """Running mean, per frame, of values of overlapping windows."""

    def __init__(self, num_frames: int, window_length: int):
        self._sums = torch.zeros(num_frames, 0, dtype=torch.float64)
        self._counts = torch.zeros(num_frames, dtype=torch.float64)
        self._within = torch.arange(window_length)

    def add(self, first_frames: Tensor, values: Tensor) -> None:
        """Add values (N, L, J) of windows with these first frames (N,)."""
        if not self._sums.shape[1]:
            self._sums = self._sums.new_zeros(len(self._sums), values.shape[-1])
        frames = (first_frames[:, None] + self._within).reshape(-1)
        self._sums.index_add_(0, frames, values.reshape(len(frames), -1).double())
        self._counts.index_add_(0, frames, torch.ones(len(frames), dtype=torch.float64))

    def mean(self) -> NDArray[np.float32]:
        """Return the mean (T, J), NaN in frames without a window."""
        return np.asarray((self._sums / self._counts[:, None]).numpy(), dtype=np.float32)
