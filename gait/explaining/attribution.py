"""What an explanation says: how much each joint of each frame spoke for "sick", and how far that can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

TARGET = "logit of sick"
"""What every method explains: above 0 the network says sick."""


@dataclass(frozen=True, eq=False)
class WindowAttribution:
    """What a method says about windows."""

    values: Tensor  # (N, L, J) of each joint in each frame, in parts of the logit where signed
    signed: bool  # above 0 speaks for sick, below 0 for healthy; otherwise only how much was looked at
    logits: Tensor  # (N,) what is explained
    # (N,) the part of |relevance| that went to biases, CLS and positions, 0 to 1; NaN where a method knows of none
    absorbed: Tensor
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    target: str = TARGET


@dataclass(frozen=True, eq=False)
class TrialAttribution:
    """What a method says about a whole recording: its windows laid over one another."""

    values: NDArray[np.float32]  # (T, 22) mean over the explained windows that cover a frame; NaN where none does
    probability: NDArray[np.float32]  # (T,) of sick, mean over all windows that cover a frame
    first_frames: NDArray[np.int64]  # (W,) of each window that there is, in this recording at rate_hz
    window_probability: NDArray[np.float32]  # (W,) of sick
    window_length: int  # frames
    rate_hz: float  # the network's: of the frames above
    signed: bool
    absorbed: float  # mean over explained windows, see Importance; NaN where a method knows of none
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    target: str = TARGET

    @property
    def person_probability(self) -> float:
        """Of sick: mean over all windows, as a person is judged."""
        return float(np.mean(self.window_probability))

    @property
    def well_covered(self) -> NDArray[np.bool_]:
        """(T,) frames that at least half as many windows cover as any frame.

        Near the recording's ends a frame is the beginning or the end of few windows, and nothing else: what is large
        there is an edge of windows.
        """
        changes = np.zeros(len(self.values) + 1, np.int64)
        np.add.at(changes, self.first_frames, 1)
        np.add.at(changes, self.first_frames + self.window_length, -1)
        counts = changes.cumsum()[:-1]
        return 2 * counts >= counts.max(initial=0)
