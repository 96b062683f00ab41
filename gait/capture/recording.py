"""The marker data of one trial, in the units and axes of the suite."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.capture.event_labels import EventKind, parse_event_label


@dataclass(frozen=True)
class GaitEvent:
    """Gait event stored in the file by the laboratory."""

    label: str  # as stored, e.g. "Foot Strike", "Foot Off"
    side: str  # "left", "right", or "" if the file gives none
    time_s: float  # on the clock of the file: camera frame number f is at (f - 1) / rate_hz seconds

    @property
    def kind(self) -> EventKind | None:
        """What the label means; None if it is neither initial contact nor foot off."""
        return parse_event_label(self.label)[0]


@dataclass(frozen=True, eq=False)
class ForcePlate:
    """Load on one plate over a trial. Sample 0 is at the time of frame 0."""

    number: int  # of the plate in the file, from 1
    corners_m: Vector  # (4, 3) metres, y up
    vertical_n: Vector  # (S,) newtons; a body on the plate gives a positive force
    cop_m: Vector  # (S, 3) centre of pressure, metres, y up; NaN where the plate is not loaded
    rate_hz: float  # samples per second

    def contains(self, points_m: Vector, margin_m: float = 0.0) -> NDArray[np.bool_]:
        """Return which points (..., 3) lie above the plate, enlarged by a margin on each side."""
        centre = self.corners_m.mean(axis=0)
        x, y = (self.corners_m[i] - self.corners_m[k] for i, k in ((0, 1), (1, 2)))
        inside = np.ones(points_m.shape[:-1], dtype=bool)
        for axis in (x / np.linalg.norm(x), y / np.linalg.norm(y)):
            half = np.abs((self.corners_m - centre) @ axis).max() + margin_m
            inside &= np.abs((points_m - centre) @ axis) <= half
        return inside


@dataclass(frozen=True)
class Recording:
    """Marker trajectories of one subject in one trial.

    Positions are in metres, y up, in a right-handed coordinate system. Where a marker is not visible in a frame, its
    position is NaN and ``visible`` is False. Labels are canonical (``LASI``, not ``Subject:LASIS``).
    """

    path: Path
    labels: tuple[str, ...]  # (M,) unique; canonical if a marker set has the name, else the file's own in upper case
    positions_m: NDArray[np.float64]  # (T, M, 3) metres, y up; NaN where not visible
    visible: NDArray[np.bool_]  # (T, M)
    rate_hz: float  # camera frames per second
    first_frame: int = 1  # number of frame 0 in the file (laboratories count from 1)
    events: tuple[GaitEvent, ...] = ()
    force_plates: tuple[ForcePlate, ...] = ()
    # other points of the file, as stored but without prefix: model outputs, unlabelled, other subjects'
    unused_labels: tuple[str, ...] = ()
    # joint centres and other *positions* computed by the laboratory's model (LHJC, LFEP, LKJC, ...):
    # name -> (T, 3) metres, y up, NaN where missing; angles, moments and powers are not kept
    model_outputs: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # inferred properties, one sentence each: unit, up axis, prefix, aliases
    warnings: tuple[str, ...] = ()  # what was lost, guessed or overruled, one sentence each; shown in the terminal
    marker_set: str = ""  # key of ``gait.marker_sets.MARKER_SETS`` of the set that its names are of; "" if not known
    source_unit: str = "m"  # unit of the file, as stated or inferred
    source_up: str = "+y"  # up axis of the file, as inferred
    stated_unit: str = ""  # the unit stated in the file, if the body size contradicts it

    @property
    def num_frames(self) -> int:
        """Number of frames T."""
        return len(self.positions_m)

    @property
    def start_s(self) -> float:
        """Time of frame 0 on the clock of the file, which events use, in seconds."""
        return (self.first_frame - 1) / self.rate_hz

    @property
    def duration_s(self) -> float:
        """Duration in seconds."""
        return self.num_frames / self.rate_hz
