"""Colours with a meaning: the scale of a quantity, and what is drawn in which colour everywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Colour = tuple[int, int, int]
"""Red, green, blue, each 0..255."""

# Orange and blue of Okabe & Ito's palette: told apart with every common colour vision.
OBSERVED: Colour = (230, 130, 0)
VIRTUAL: Colour = (0, 114, 178)
SKIN: Colour = (198, 203, 208)
UNSEEN: Colour = (218, 218, 218)

# 33 even stops of viridis (Smith, van der Walt & Firing 2015, CC0): lightness rises evenly, and it reads the
# same with every common colour vision. Straight lines between stops stay within 3/255 of the full table.
_VIRIDIS = (
    "440154 470d60 48186a 482374 472d7b 453781 424086 3e4989 3b528b 375b8d 33638d "
    "2f6b8e 2c728e 297a8e 26828e 23898e 21918c 1f988b 1fa088 22a785 28ae80 32b67a "
    "3fbc73 4ec36b 5ec962 70cf57 84d44b 98d83e addc30 c2df23 d8e219 ece51b fde725"
)


@dataclass(frozen=True)
class SequentialScale:
    """From a quantity to a colour: dark violet at ``low``, yellow from ``high`` on, ``missing`` for NaN."""

    low: float
    high: float
    missing: Colour = UNSEEN

    def colours(self, values: ArrayLike) -> NDArray[np.uint8]:
        """Colours (..., 3) of ``values`` (...), which are in the scale's own unit."""
        values = np.asarray(values, dtype=np.float64)
        place = np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0) * (len(_STOPS) - 1)
        unknown = np.isnan(place)
        place = np.where(unknown, 0.0, place)
        below = np.minimum(place.astype(np.intp), len(_STOPS) - 2)
        share = (place - below)[..., None]
        colours = np.rint(_STOPS[below] * (1 - share) + _STOPS[below + 1] * share).astype(np.uint8)
        colours[unknown] = self.missing
        return colours


_STOPS = np.array([list(bytes.fromhex(stop)) for stop in _VIRIDIS.split()], dtype=np.float64)
