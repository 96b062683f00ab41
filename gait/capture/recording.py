"""One marker recording, in the suite's own units and axes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Event:
    """A gait event that the laboratory marked in the file."""

    label: str  # as written, e.g. "Foot Strike", "Foot Off"
    side: str  # "left", "right" or "" where the file gives none
    time_s: float  # seconds on the file's own clock (frame f of the camera is at f / rate_hz)


@dataclass(frozen=True)
class Recording:
    """Markers of one person over one recording.

    Positions are metres, y up, in a right-handed frame; a marker that a frame did not see is NaN there and
    ``visible`` is False. Labels are the canonical ones (``LASI``, not ``Subject:LASIS``).
    """

    path: Path
    labels: tuple[str, ...]  # (M,) canonical marker names, unique
    positions_m: NDArray[np.float64]  # (T, M, 3) metres, y up; NaN where not visible
    visible: NDArray[np.bool_]  # (T, M)
    rate_hz: float  # camera frames a second
    first_frame: int = 1  # the file's own number of frame 0 (1-based, as laboratories count)
    events: tuple[Event, ...] = ()
    unused_labels: tuple[str, ...] = ()  # points of the file that are no markers of this person, as written
    model_outputs: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    # joint centres and other *positions* the laboratory's own model wrote as points, name -> (T, 3) metres, y up,
    # NaN where missing (LHJC, LFEP, LKJC, ...). Angles, moments and powers are not kept.
    notes: tuple[str, ...] = ()  # what had to be guessed, a sentence each: unit, up axis, prefix, aliases

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return len(self.positions_m)

    @property
    def seconds(self) -> float:
        """Length of the recording in seconds."""
        return self.frames / self.rate_hz
