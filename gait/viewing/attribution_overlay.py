"""An attribution mapped onto the frames of the trial that is shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gait.explaining.attribution import TrialAttribution, explainable_mask, input_status
from gait.viewing.colours import Scale, attribution_scale
from gait.viewing.loaded_trial import LoadedTrial

if TYPE_CHECKING:  # they import torch
    from gait.explaining.method import Method
    from gait.explaining.trained_network import TrainedNetwork


@dataclass(frozen=True, eq=False)
class AttributionOverlay:
    """The attribution of one method for one network and one trial."""

    trial: LoadedTrial
    network: TrainedNetwork
    method: Method
    attribution: TrialAttribution
    faithfulness_summary: str | None  # one line; None if it cannot be measured, or is not yet

    @cached_property
    def scale(self) -> Scale:
        """Colour scale of the whole trial, from well-covered frames; values near the ends may exceed it."""
        return attribution_scale([self.attribution.values[self.attribution.well_covered]], self.attribution.signed)

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        """(T,) the nearest frame of the attribution for each frame of the trial; -1 after its end."""
        times_s = np.arange(self.trial.num_frames) / self.trial.rate_hz
        rows = np.rint(times_s * self.attribution.rate_hz).astype(np.int64)
        # The last frame of the trial may lie up to half a frame after the last one of the attribution.
        near = rows <= len(self.attribution.values)
        return np.where(near, np.minimum(rows, len(self.attribution.values) - 1), -1)

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """(T, 22) attribution per frame of the trial and joint; NaN where nothing is explained."""
        return np.where((self._rows >= 0)[:, None], self.attribution.values[self._rows], np.float32(np.nan))

    @cached_property
    def fades(self) -> NDArray[np.bool_]:
        """Mask (T, 22) of the explained values that count in no rank and no mean."""
        return np.isfinite(self.values) & ~self.attribution.counts[self._rows]

    @cached_property
    def explainable(self) -> NDArray[np.bool_]:
        """(T, 22) the joints per frame of the trial that are observed and that the network uses."""
        status = input_status(self.attribution.input, self.trial.sequence.joint_status)
        return explainable_mask(self.trial.num_frames, status, self.attribution.left_out_joints)

    @cached_property
    def probability(self) -> NDArray[np.float32]:
        """(T,) P(sick) per frame of the trial; NaN where nothing is explained."""
        return np.where(self._rows >= 0, self.attribution.probability[self._rows], np.float32(np.nan))

    def window_frames(self, window: int) -> tuple[int, int]:
        """Return the first and the last frame of a window, in frames of the trial, from 0."""
        first = self.attribution.first_frames[window] / self.attribution.rate_hz
        last = first + (self.attribution.window_length - 1) / self.attribution.rate_hz
        rate = self.trial.rate_hz
        return round(first * rate), min(round(last * rate), self.trial.num_frames - 1)

    def nearest_window(self, first_frame: float) -> int:
        """Return the index of the window whose first frame is nearest to a frame of the trial."""
        target = first_frame / self.trial.rate_hz * self.attribution.rate_hz
        return int(np.abs(self.attribution.first_frames - target).argmin())
