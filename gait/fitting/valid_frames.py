"""Frames in which the markers hold the body, short gaps that are bridged, and long ones that split the sequence.

A pose that no marker held is a guess. Over a short gap the guess is good: people move smoothly, and both sides of the
gap are known: of the ways to fill gaps of markers, splines are the best up to 200 ms and no longer beyond (Howarth and
Callaghan 2010, Comput. Methods Biomech. Biomed. Eng. 13:847). Beyond that the sequence ends, and another one begins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import Joint

BRIDGE_SECONDS = 0.2
"""The longest gap that is bridged: twenty frames at 100 Hz, half of a swing phase."""
SHORTEST_PART_SECONDS = 0.25
"""A shorter stretch between two gaps is no sequence; it is left out."""
LOST_M = 0.05
"""A joint whose figure is above this, and clearly above its usual one, is lost in that frame."""
LOST_TIMES = 2.0
"""How much above."""
LOST_PELVIS_M = 0.1
"""Above this the pelvis, and with it the body, is lost whatever is usual: a person could be anywhere."""
USUAL = 0.05
"""A joint's usual figure is exceeded in all but this share of the frames: few may be good, but some are."""


@dataclass(frozen=True)
class ValidFrames:
    """Which of a recording's T frames hold the body."""

    held: NDArray[np.bool_]  # (T,) by their own markers
    bridged: NDArray[np.bool_]  # (T,) not held, but in a short gap between two that are
    parts: tuple[slice, ...]  # sequences without a long gap, in order; there is always one

    @property
    def left_out(self) -> tuple[slice, ...]:
        """Stretches of frames that are in no part."""
        kept = np.zeros(len(self.held), dtype=bool)
        for part in self.parts:
            kept[part] = True
        return stretches(~kept)


def usual_figures(alone_m: NDArray[np.floating]) -> NDArray[np.float64]:
    """(J,) the figure that a joint has in its better frames, of (T, J)."""
    return np.quantile(alone_m, USUAL, axis=0)


def held_by_markers(fixed: NDArray[np.bool_], alone_m: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(T,) frames whose own markers hold the body.

    Args:
        fixed: (T,) whether enough markers are seen to fix anything.
        alone_m: (T, J) how well each frame's own markers hold each joint (``JointUncertainty.alone_m``).
    """
    usual = usual_figures(alone_m[fixed] if fixed.any() else alone_m)
    lost = alone_m > np.maximum(LOST_M, LOST_TIMES * usual)
    anywhere = alone_m[:, Joint.PELVIS] > LOST_PELVIS_M
    if not anywhere[fixed].all():  # else there is nothing better, and the residual tells
        lost[:, Joint.PELVIS] |= anywhere
    ever = usual < LOST_M  # a joint that no marker ever holds says nothing about a frame
    most = lost[:, ever].mean(axis=1) > 0.5 if ever.any() else np.zeros(len(lost), dtype=bool)
    return fixed & ~lost[:, Joint.PELVIS] & ~most


def held_frames(held: NDArray[np.bool_], rate_hz: float) -> ValidFrames:
    """Bridge the short gaps of (T,) held frames and split the sequence at the long ones.

    Frames before the first held one and after the last are in no part. Where no stretch is long enough for a part, the
    longest is one all the same.
    """
    gaps = [gap for gap in stretches(~held) if gap.start > 0 and gap.stop < len(held)]
    bridged = np.zeros(len(held), dtype=bool)
    for gap in gaps:
        if gap.stop - gap.start <= max(1, round(BRIDGE_SECONDS * rate_hz)):
            bridged[gap] = True
    whole = stretches(held | bridged)
    parts = [part for part in whole if part.stop - part.start >= SHORTEST_PART_SECONDS * rate_hz]
    parts = parts or [max(whole, key=lambda part: part.stop - part.start, default=slice(0, len(held)))]
    for gap in stretches(bridged):
        if not any(part.start <= gap.start < part.stop for part in parts):
            bridged[gap] = False
    return ValidFrames(held, bridged, tuple(parts))


def stretches(marked: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The runs of marked frames (T,)."""
    edges = np.flatnonzero(np.diff(np.r_[False, marked, False].astype(np.int8)))
    return tuple(slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True))
