"""Attribution of a whole trial, from its overlapping windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.errors import GaitError
from gait.explaining.attribution import TrialAttribution, explainable_mask, input_status
from gait.explaining.methods import explain_windows, find_method
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import TrainedNetwork
from gait.learning.trainer import window_logits
from gait.motion.common_frame import MIRROR_ORDER
from gait.motion.dataset import Trial
from gait.motion.pose_files import read_poses
from gait.motion.window_placement import FRAMES

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
    method, window_length = method or network.methods[0], network.window_length
    if stride is None:
        stride = find_method(network.network, method).stride_for(network.network)
    windows = network.windows_of(trial)
    if not len(windows):
        raise GaitError(windows.too_short[0])
    by_frames = network.windows == FRAMES
    stride = stride if by_frames else 1
    explained = _every_nth(windows.first_frame, stride) if by_frames else torch.arange(len(windows))
    values, axis_values, unattributed, logits = [], [], [], torch.zeros(len(windows))
    for number, batch in enumerate(explained.split(_BATCH_SIZE)):
        progress(number * _BATCH_SIZE, len(explained))
        result = explain_windows(network.network, windows.batch(batch), method, baseline=network.mean_window, rule=rule)
        values.append(_mirror_back(result.values, windows.is_mirrored[batch]))
        if result.axis_values is not None and network.input.axis_names:
            axis_values.append(_mirror_back(result.axis_values, windows.is_mirrored[batch]))
        unattributed.append(result.unattributed)
        logits[batch] = result.logits.to(logits)
    if stride > 1:
        logits = window_logits(network.network, windows, _PREDICTION_BATCH_SIZE)
    probabilities = logits.double().sigmoid()
    T, by_frame = len(trial.joints_m), probabilities[:, None, None].expand(-1, window_length, 1)
    hidden = ~explainable_mask(T, input_status(network.input.name, trial.joint_status), network.left_out_joints)

    def frame_means(per_window: Tensor, indices: Tensor | slice = slice(None)) -> NDArray[np.float32]:
        return _average_overlaps(windows.first_sample[indices], per_window, T, windows.frames_per_sample[0])

    values_of_frames = frame_means(torch.cat(values), explained)
    values_of_frames[hidden] = np.nan
    by_axis = frame_means(torch.cat(axis_values), explained) if axis_values else None
    if by_axis is not None:
        by_axis[hidden] = np.nan
    return TrialAttribution(
        values=values_of_frames,
        probability=frame_means(by_frame)[:, 0],
        first_frames=windows.first_frame.numpy(),
        window_probability=probabilities.float().numpy(),
        window_length=max(1, round(window_length * windows.frames_per_sample[0])),
        rate_hz=trial.rate_hz,
        signed=result.signed,
        unattributed=float(np.mean(torch.cat(unattributed).numpy())),
        method=method,
        settings=_settings(result.settings, network, stride),
        activity=trial.activity,
        joint_status=trial.joint_status,
        left_out_joints=network.left_out_joints,
        input=network.input.name,
        axis_values=by_axis,
        axis_names=tuple(map(tuple, network.input.axis_names)) if axis_values else (),
    )


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


def _average_overlaps(
    first_samples: Tensor, values: Tensor, num_frames: int, frames_per_sample: float = 1.0
) -> NDArray[np.float32]:
    """Return the mean per frame, (T, J, …), of windows (N, L, J, …) from first samples (N,); NaN where there is none.

    A frame has the mean of the nearest sample.
    """
    samples = (first_samples[:, None] + torch.arange(values.shape[1])).reshape(-1)
    nearest = np.rint(np.arange(num_frames) / frames_per_sample).astype(np.int64)
    count = max(int(nearest[-1]), int(samples.max())) + 1
    sums = torch.zeros(count, *values.shape[2:], dtype=torch.float64)
    sums.index_add_(0, samples, values.reshape(len(samples), *values.shape[2:]).double())
    counts = torch.bincount(samples, minlength=count).reshape(-1, *[1] * (values.ndim - 2))
    return np.asarray((sums / counts).numpy()[nearest], dtype=np.float32)
