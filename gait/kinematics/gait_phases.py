"""The seven phases of the gait cycle after initial contact, from the events of both sides.

Perry & Burnfield 2010, Gait Analysis: Normal and Pathological Function, 2nd ed., ch. 2. Loading response ends with the
opposite foot off, terminal stance with the opposite initial contact, pre-swing with the foot off. The other borders
(heel rise, feet adjacent, tibia vertical) are no events of this package: single support is divided in halves and swing
in thirds, as there (12, 31, 50 % and 62, 75, 87, 100 % of the cycle).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gait.kinematics.strides import PERCENT, Stride

PHASE_NAMES = (
    "loading response", "mid-stance", "terminal stance", "pre-swing", "initial swing", "mid-swing", "terminal swing",
)  # fmt: skip
USUAL_EVENTS = (12.0, 50.0, 62.0)
"""Opposite foot off, opposite initial contact and foot off in percent of the cycle where no stride shows them."""


@dataclass(frozen=True)
class CyclePhase:
    """One phase of the gait cycle of one side."""

    name: str
    first_percent: int
    last_percent: int  # included; that of the last phase is 100

    @property
    def percents(self) -> slice:
        """The percents of the cycle."""
        return slice(self.first_percent, self.last_percent + 1)


def gait_phases(strides: Sequence[Stride]) -> tuple[CyclePhase, ...]:
    """Return the phases of the mean cycle of one side's strides; together they are the percents 0 to 100.

    An event that no stride shows is taken at its usual percent (``USUAL_EVENTS``).
    """
    found = [
        [stride.percent(getattr(stride, name)) for stride in strides]
        for name in ("opposite_foot_off", "opposite_contact", "foot_off")
    ]
    events = [
        float(np.mean(known)) if (known := [value for value in values if np.isfinite(value)]) else usual
        for values, usual in zip(found, USUAL_EVENTS, strict=True)
    ]
    if not 0 < events[0] < events[1] < events[2] < 100:  # strides without an event moved a mean past the next one
        events = list(USUAL_EVENTS)
    off, contact, own_off = events
    borders = (
        0, off, (off + contact) / 2, contact, own_off, own_off + (100 - own_off) / 3, own_off + (100 - own_off) * 2 / 3,
    )  # fmt: skip
    first = [round(border) for border in borders]
    last = [following - 1 for following in first[1:]] + [int(PERCENT[-1])]
    return tuple(CyclePhase(*phase) for phase in zip(PHASE_NAMES, first, last, strict=True))
