"""A whole recording explained: all its windows, laid over one another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gait.errors import GaitError
from gait.explaining.attribution import TrialAttribution
from gait.explaining.methods import explain_windows, method_for
from gait.learning.trainer import window_logits
from gait.motion.dataset import Trial
from gait.motion.windows import WindowDataset

_AT_A_TIME = 16
"""Windows; what a transformer keeps of them for the way back stays within the processor's cache."""
_JUDGED_AT_A_TIME = 64


def explain_gait(
    network: nn.Module,
    gait: Trial,
    window_length: int,
    method: str,
    *,
    baseline: Tensor | None = None,
    rule: str | None = None,
    stride: int | None = None,
    told: Callable[[int, int], None] = lambda done, count: None,
) -> TrialAttribution:
    """What was pivotal in a recording, by the mean of the windows that cover a frame.

    The probability is that of every window there is, whatever the method: a costly one explains fewer.

    Args:
        network: in evaluation mode; windows to logits.
        gait: at the network's rate.
        window_length: frames that the network takes.
        method: one of ``METHODS``.
        baseline: (L, J, 3) the training set's mean window, where the method needs one.
        rule: of ``lrp``, as ``explain_windows`` has it.
        stride: frames from one explained window to the next; as the method's cost allows if None, 1 for the cheap
            ones. The recording's last window is always among them.
        told: is called before each batch of windows with how many are done, of how many; may raise to break off.

    Raises:
        GaitError: the recording is shorter than a window, or as of ``explain_windows``.
    """
    if stride is None:
        stride = method_for(network, method).stride_of(network)
    windows = WindowDataset([gait], window_length)
    if not len(windows):
        raise GaitError(windows.too_short[0])
    every = torch.arange(len(windows))
    chosen = torch.unique(torch.cat([every[::stride], every[-1:]]))
    importance = _Overlaid(len(gait.joints_m), window_length)
    absorbed, logits = [], torch.zeros(len(windows))
    for number, some in enumerate(chosen.split(_AT_A_TIME)):
        told(number * _AT_A_TIME, len(chosen))
        said = explain_windows(network, windows.batch(some), method, baseline=baseline, rule=rule)
        importance.add(some, said.values)
        absorbed.append(said.absorbed)
        logits[some] = said.logits.to(logits)
    if stride > 1:
        logits = window_logits(network, windows, _JUDGED_AT_A_TIME)
    chances = logits.double().sigmoid()
    probability = _Overlaid(len(gait.joints_m), window_length)
    probability.add(every, chances[:, None, None].expand(-1, window_length, 1))
    return TrialAttribution(
        values=importance.mean(),
        probability=probability.mean()[:, 0],
        first_frames=every.numpy(),
        window_probability=chances.float().numpy(),
        window_length=window_length,
        rate_hz=gait.rate_hz,
        signed=said.signed,
        absorbed=float(np.mean(torch.cat(absorbed).numpy())),
        method=method,
        settings={**said.settings, "stride": stride},
    )


class _Overlaid:
    """The mean, frame by frame, of what windows at different places say."""

    def __init__(self, frames: int, window_length: int):
        self._sums = torch.zeros(frames, 0, dtype=torch.float64)
        self._counts = torch.zeros(frames, dtype=torch.float64)
        self._within = torch.arange(window_length)

    def add(self, first_frames: Tensor, values: Tensor) -> None:
        """Values (N, L, J) of windows that begin at these frames (N,)."""
        if not self._sums.shape[1]:
            self._sums = self._sums.new_zeros(len(self._sums), values.shape[-1])
        frames = (first_frames[:, None] + self._within).reshape(-1)
        self._sums.index_add_(0, frames, values.reshape(len(frames), -1).double())
        self._counts.index_add_(0, frames, torch.ones(len(frames), dtype=torch.float64))

    def mean(self) -> NDArray[np.float32]:
        """(T, J), NaN where no window was."""
        return np.asarray((self._sums / self._counts[:, None]).numpy(), dtype=np.float32)
