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
    time_s: float  # seconds on the file's own clock (camera frame number f is at (f - 1) / rate_hz)


@dataclass(frozen=True)
class Recording:
    """Markers of one person over one recording.

    Positions are metres, y up, in a right-handed frame; a marker that a frame did not see is NaN there and
    ``visible`` is False. Labels are the canonical ones (``LASI``, not ``Subject:LASIS``).
    """

    path: Path
    labels: tuple[str, ...]  # (M,) unique; Plug-in Gait's name where there is one, else its own in upper case
    positions_m: NDArray[np.float64]  # (T, M, 3) metres, y up; NaN where not visible
    visible: NDArray[np.bool_]  # (T, M)
    rate_hz: float  # camera frames a second
    first_frame: int = 1  # the file's own number of frame 0 (1-based, as laboratories count)
    events: tuple[Event, ...] = ()
    # other points of the file, as written but for prefixes: the model's, unlabelled, other subjects'
    unused_labels: tuple[str, ...] = ()
    # joint centres and other *positions* that the laboratory's own model wrote (LHJC, LFEP, LKJC, ...):
    # name -> (T, 3) metres, y up, NaN where missing. Angles, moments and powers are not kept.
    model_outputs: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what had to be guessed, a sentence each: unit, up axis, prefix, aliases
    source_unit: str = "m"  # the file's own unit, as stated or inferred
    source_up: str = "+y"  # the file's own up axis, as inferred
    stated_unit: str = ""  # the unit that the file states, where the size of the body says another

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return len(self.positions_m)

    @property
    def start_s(self) -> float:
        """Time of frame 0 on the file's own clock, as events count it."""
        return (self.first_frame - 1) / self.rate_hz

    @property
    def seconds(self) -> float:
        """Length of the recording in seconds."""
        return self.frames / self.rate_hz
