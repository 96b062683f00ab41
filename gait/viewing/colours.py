"""Colours with a meaning: the scale of a quantity, and what is drawn in which colour everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Colour = tuple[int, int, int]
"""Red, green, blue, each 0..255."""

# Orange and blue of Okabe & Ito's palette: told apart with every common colour vision.
OBSERVED: Colour = (230, 130, 0)
VIRTUAL: Colour = (0, 114, 178)
RESIDUAL: Colour = (200, 30, 30)
SKIN: Colour = (198, 203, 208)
UNSEEN: Colour = (218, 218, 218)
# Darker than the middle of the diverging scale, so that "nobody has explained this" never reads as "did not matter".
UNEXPLAINED: Colour = (150, 154, 160)

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
        return _along(_SEQUENTIAL, (np.asarray(values, np.float64) - self.low) / (self.high - self.low), self.missing)


@dataclass(frozen=True)
class DivergingScale:
    """From a signed quantity to a colour: blue below zero, nearly white at zero, orange above, ``missing`` for NaN.

    Both halves are straight lines in CIELAB of equal length and lightness, so that equal differences look equally
    large and neither sign looks stronger; blue and orange are told apart with every common colour vision.
    """

    high: float  # > 0; the scale ends at -high too
    missing: Colour = UNEXPLAINED

    @property
    def low(self) -> float:
        """Where the scale begins."""
        return -self.high

    def colours(self, values: ArrayLike) -> NDArray[np.uint8]:
        """Colours (..., 3) of ``values`` (...), which are in the scale's own unit."""
        return _along(_DIVERGING, (np.asarray(values, np.float64) / self.high + 1) / 2, self.missing)


Scale = SequentialScale | DivergingScale
_STRONG = 99.5  # percent of all importance is weaker than its scale's end


def importance_scale(values: Sequence[NDArray[np.floating]], signed: bool) -> Scale:
    """One scale for all these values: to where nearly all of them lie, the strongest beyond its end; NaN do not count.

    Args:
        values: of any shapes, in the scale's unit.
        signed: whether they have two directions.
    """
    known = np.concatenate([np.abs(one[np.isfinite(one)]).ravel() for one in values] or [np.zeros(0)])
    high = float(np.percentile(known, _STRONG)) if len(known) else 0.0
    high = high if high > 0 else 1.0
    return DivergingScale(high) if signed else SequentialScale(0.0, high, missing=UNEXPLAINED)


def _along(stops: NDArray[np.float64], place: NDArray[np.float64], missing: Colour) -> NDArray[np.uint8]:
    """Colours (..., 3) at places (...) from 0 to 1 along stops (S, 3)."""
    at = np.clip(place, 0.0, 1.0) * (len(stops) - 1)
    unknown = np.isnan(at)
    at = np.where(unknown, 0.0, at)
    below = np.minimum(at.astype(np.intp), len(stops) - 2)
    share = (at - below)[..., None]
    colours = np.rint(stops[below] * (1 - share) + stops[below + 1] * share).astype(np.uint8)
    colours[unknown] = missing
    return colours


def _rgb_of_lab(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB (..., 3), 0..255, of CIELAB (..., 3) under D65 (CIE 15:2004; IEC 61966-2-1)."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.95047, 1.0, 1.08883]
    linear = xyz @ np.linalg.inv(_XYZ_OF_RGB).T
    linear = np.clip(linear, 0.0, 1.0)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


_XYZ_OF_RGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def _diverging_stops() -> NDArray[np.float64]:
    """(65, 3) stops of sRGB: lightness 46 at both ends, 94 in the middle; chroma 52, 0, 52; hues 280° and 52°."""
    middle = np.array([94.0, 0.0, 0.0])
    ends = [np.array([46.0, 52 * np.cos(np.radians(hue)), 52 * np.sin(np.radians(hue))]) for hue in (280.0, 52.0)]
    share = np.linspace(0, 1, 33)[:, None]
    below, above = (middle + (end - middle) * share for end in ends)
    return _rgb_of_lab(np.concatenate([below[:0:-1], above]))


_SEQUENTIAL = np.array([list(bytes.fromhex(stop)) for stop in _VIRIDIS.split()], dtype=np.float64)
_DIVERGING = _diverging_stops()
