"""An explanation laid onto the frames of the recording that is shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gait.explaining.attribution import TrialAttribution
from gait.viewing.colours import Scale, importance_scale
from gait.viewing.loaded_trial import LoadedTrial
from gait.viewing.viewer_backend import LoadedNetwork, MethodInfo


@dataclass(frozen=True, eq=False)
class AttributionOverlay:
    """What one method says of one network on one gait."""

    gait: LoadedTrial
    network: LoadedNetwork
    method: MethodInfo
    importance: TrialAttribution
    figure_line: str | None  # how faithful the method has proved to be

    @cached_property
    def scale(self) -> Scale:
        """One range of colours for the whole recording, beyond which its ends may go."""
        return importance_scale([self.importance.values[self.importance.well_covered]], self.importance.signed)

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        """(T,) which of the explanation's frames each of the recording's is nearest to; -1 beyond its end."""
        rows = np.rint(np.arange(self.gait.frames) / self.gait.rate_hz * self.importance.rate_hz).astype(np.int64)
        # The last of the recording's frames may lie up to half a frame after the last of the explanation's.
        near = rows <= len(self.importance.values)
        return np.where(near, np.minimum(rows, len(self.importance.values) - 1), -1)

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """(T, 22) of the recording's own frames, NaN where nothing is explained."""
        return np.where((self._rows >= 0)[:, None], self.importance.values[self._rows], np.float32(np.nan))

    @cached_property
    def probability(self) -> NDArray[np.float32]:
        """(T,) of sick, of the recording's own frames, NaN where nothing is explained."""
        return np.where(self._rows >= 0, self.importance.probability[self._rows], np.float32(np.nan))

    def window(self, number: int) -> tuple[int, int]:
        """First and last frame of one of the explained windows, in the recording's own frames, from 0."""
        first = self.importance.first_frames[number] / self.importance.rate_hz
        last = first + (self.importance.window_length - 1) / self.importance.rate_hz
        rate = self.gait.rate_hz
        return round(first * rate), min(round(last * rate), self.gait.frames - 1)

    def nearest_window(self, first_frame: float) -> int:
        """The number of the window that begins nearest to one of the recording's frames."""
        wanted = first_frame / self.gait.rate_hz * self.importance.rate_hz
        return int(np.abs(self.importance.first_frames - wanted).argmin())
