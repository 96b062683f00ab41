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
    values, unattributed, logits = [], [], torch.zeros(len(windows))
    for number, batch in enumerate(explained.split(_BATCH_SIZE)):
        progress(number * _BATCH_SIZE, len(explained))
        result = explain_windows(network.network, windows.batch(batch), method, baseline=network.mean_window, rule=rule)
        values.append(result.values)
        unattributed.append(result.unattributed)
        logits[batch] = result.logits.to(logits)
    if stride > 1:
        logits = window_logits(network.network, windows, _PREDICTION_BATCH_SIZE)
    probabilities = logits.double().sigmoid()
    T, by_frame = len(trial.joints_m), probabilities[:, None, None].expand(-1, window_length, 1)
    return TrialAttribution(
        values=_average_overlaps(explained, torch.cat(values), T),
        probability=_average_overlaps(all_windows, by_frame, T)[:, 0],
        first_frames=all_windows.numpy(),
        window_probability=probabilities.float().numpy(),
        window_length=window_length,
        rate_hz=trial.rate_hz,
        signed=result.signed,
        unattributed=float(np.mean(torch.cat(unattributed).numpy())),
        method=method,
        settings={**result.settings, "stride": stride},
    )


def _average_overlaps(first_frames: Tensor, values: Tensor, num_frames: int) -> NDArray[np.float32]:
    """Return the mean per frame, (T, J), of windows (N, L, J) with first frames (N,); NaN where there is no window."""
    frames = (first_frames[:, None] + torch.arange(values.shape[1])).reshape(-1)
    sums = torch.zeros(num_frames, values.shape[2], dtype=torch.float64)
    sums.index_add_(0, frames, values.reshape(len(frames), -1).double())
    counts = torch.bincount(frames, minlength=num_frames)
    return np.asarray((sums / counts[:, None]).numpy(), dtype=np.float32)
