"""A whole recording explained: all its windows, laid over one another."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from gait.errors import GaitError
from gait.explaining.importance import GaitImportance
from gait.explaining.methods import explain_windows, method_for
from gait.motion.gait_set import GaitRecording
from gait.motion.windows import Windows

_AT_A_TIME = 16
"""Windows; what a transformer keeps of them for the way back stays within the processor's cache."""


def explain_gait(
    network: nn.Module,
    gait: GaitRecording,
    window_length: int,
    method: str,
    *,
    baseline: Tensor | None = None,
    rule: str | None = None,
    stride: int | None = None,
) -> GaitImportance:
    """What was pivotal in a recording, by the mean of all windows that cover a frame.

    Args:
        network: in evaluation mode; windows to logits.
        gait: at the network's rate.
        window_length: frames that the network takes.
        method: one of ``METHODS``.
        baseline: (L, J, 3) the training set's mean window, where the method needs one.
        rule: of ``lrp``, as ``explain_windows`` has it.
        stride: frames from one window to the next; as the method's cost allows if None, 1 for the cheap ones. The
            recording's last window is always among them, so that every frame is covered.

    Raises:
        GaitError: the recording is shorter than a window, or as of ``explain_windows``.
    """
    if stride is None:
        stride = max(1, round(1 / method_for(network, method).windows_a_frame))
    windows = Windows([gait], window_length)
    if not len(windows):
        raise GaitError(windows.too_short[0])
    chosen = torch.unique(torch.cat([torch.arange(0, len(windows), stride), torch.tensor([len(windows) - 1])]))
    T, J = gait.joints_m.shape[:2]
    sums, counts = torch.zeros(T, J, dtype=torch.float64), torch.zeros(T, dtype=torch.float64)
    of_frames = torch.zeros(T, dtype=torch.float64)
    logits, absorbed = [], []
    for some in chosen.split(_AT_A_TIME):
        said = explain_windows(network, windows.batch(some), method, baseline=baseline, rule=rule)
        frames = (some[:, None] + torch.arange(window_length)).reshape(-1)
        sums.index_add_(0, frames, said.values.reshape(-1, J).double())
        counts.index_add_(0, frames, torch.ones(len(frames), dtype=torch.float64))
        probability = said.logits.double().sigmoid()
        of_frames.index_add_(0, frames, probability.repeat_interleave(window_length))
        logits.append(said.logits)
        absorbed.append(said.absorbed)
    return GaitImportance(
        values=(sums / counts[:, None]).float().numpy(),
        probability=(of_frames / counts).float().numpy(),
        first_frames=chosen.numpy(),
        window_probability=torch.cat(logits).double().sigmoid().float().numpy(),
        window_length=window_length,
        rate_hz=gait.rate_hz,
        signed=said.signed,
        absorbed=float(np.mean(torch.cat(absorbed).numpy())),
        method=method,
        settings={**said.settings, "stride": stride},
    )
