"""Attribution of a whole trial, from its overlapping windows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.errors import GaitError
from gait.explaining.attribution import TrialAttribution, explainable_mask
from gait.explaining.methods import explain_windows, find_method
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import TrainedNetwork
from gait.learning.trainer import window_logits
from gait.motion.dataset import Trial
from gait.motion.pose_files import read_poses

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
            The last window of each walk is always explained.
        keep_standing: explain standing, turning on the spot and sitting, too; of a trial that is read from its folder.
        progress: called before each batch with the numbers of windows done and in total; may raise to cancel.

    Raises:
        GaitError: the trial cannot be read, no walk in it is as long as a window, or as in ``explain_windows``.
    """
    if not isinstance(trial, Trial):
        sequence = read_poses(trial)
        trial = prepare_trial(trial, sequence, network, keep_standing=keep_standing)
    method, window_length = method or network.methods[0], network.window_length
    if stride is None:
        stride = find_method(network.network, method).stride_for(network.network)
    windows = network.windows_of(trial)
    if not len(windows):
        raise GaitError(windows.too_short[0])
    explained = _every_nth(windows.first_frame, stride)
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
    values_of_frames = _average_overlaps(windows.first_frame[explained], torch.cat(values), len(trial.joints_m))
    values_of_frames[~explainable_mask(len(trial.joints_m), trial.joint_status, network.left_out_joints)] = np.nan
    T, by_frame = len(trial.joints_m), probabilities[:, None, None].expand(-1, window_length, 1)
    return TrialAttribution(
        values=values_of_frames,
        probability=_average_overlaps(windows.first_frame, by_frame, T)[:, 0],
        first_frames=windows.first_frame.numpy(),
        window_probability=probabilities.float().numpy(),
        window_length=window_length,
        rate_hz=trial.rate_hz,
        signed=result.signed,
        unattributed=float(np.mean(torch.cat(unattributed).numpy())),
        method=method,
        settings={**result.settings, "stride": stride},
        activity=trial.activity,
        joint_status=trial.joint_status,
        left_out_joints=network.left_out_joints,
    )


def _every_nth(first_frames: Tensor, stride: int) -> Tensor:
    """Return the indices of every nth window, and of the last one, of each walk."""
    begins = [0, *(torch.nonzero(first_frames.diff() > 1).flatten() + 1).tolist(), len(first_frames)]
    walks = [torch.arange(begin, end) for begin, end in pairwise(begins)]
    return torch.unique(torch.cat([part for walk in walks for part in (walk[::stride], walk[-1:])]))


def _average_overlaps(first_frames: Tensor, values: Tensor, num_frames: int) -> NDArray[np.float32]:
    """Return the mean per frame, (T, J), of windows (N, L, J) with first frames (N,); NaN where there is no window."""
    frames = (first_frames[:, None] + torch.arange(values.shape[1])).reshape(-1)
    sums = torch.zeros(num_frames, values.shape[2], dtype=torch.float64)
    sums.index_add_(0, frames, values.reshape(len(frames), -1).double())
    counts = torch.bincount(frames, minlength=num_frames)
    return np.asarray((sums / counts[:, None]).numpy(), dtype=np.float32)
