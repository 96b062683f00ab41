"""Colour scales, and the colours that have the same meaning in every figure and in the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Colour = tuple[int, int, int]
"""Red, green, blue, each 0..255."""

# Orange and blue of Okabe & Ito's palette, which remain distinct with every common colour vision deficiency.
OBSERVED: Colour = (230, 130, 0)
VIRTUAL: Colour = (0, 114, 178)
RESIDUAL: Colour = (200, 30, 30)
SKIN: Colour = (198, 203, 208)
MISSING: Colour = (218, 218, 218)
# Darker than the middle of the diverging scale, so that "not explained" is not mistaken for "zero attribution".
UNEXPLAINED: Colour = (150, 154, 160)
# What markers do not observe is hatched with lines on a pale ground, which no value of a scale looks like.
UNOBSERVED: Colour = (236, 238, 240)
HATCH: Colour = (172, 178, 185)

# 33 equidistant stops of viridis (Smith, van der Walt & Firing 2015, CC0), which is perceptually uniform and remains
# readable with every common colour vision deficiency. Linear interpolation stays within 3/255 of matplotlib's table,
# which is not used because the window starts without matplotlib.
_VIRIDIS = (
    "440154 470d60 48186a 482374 472d7b 453781 424086 3e4989 3b528b 375b8d 33638d "
    "2f6b8e 2c728e 297a8e 26828e 23898e 21918c 1f988b 1fa088 22a785 28ae80 32b67a "
    "3fbc73 4ec36b 5ec962 70cf57 84d44b 98d83e addc30 c2df23 d8e219 ece51b fde725"
)


@dataclass(frozen=True)
class SequentialScale:
    """A scale from dark violet at ``low`` and below to yellow at ``high`` and above; ``missing`` for NaN."""

    low: float
    high: float
    missing: Colour = MISSING

    def colours(self, values: ArrayLike) -> NDArray[np.uint8]:
        """Colours (..., 3) of ``values`` (...), which are in the scale's own unit."""
        return _interpolate(
            _SEQUENTIAL, (np.asarray(values, np.float64) - self.low) / (self.high - self.low), self.missing
        )


@dataclass(frozen=True)
class DivergingScale:
    """A scale of a signed quantity: blue below zero, nearly white at zero, orange above; ``missing`` for NaN.

    Both halves are straight lines in CIELAB of equal length and lightness, so equal differences look equal and neither
    sign looks stronger. Blue and orange remain distinct with every common colour vision deficiency.
    """

    high: float  # > 0; the scale ends at ±high
    missing: Colour = UNEXPLAINED

    @property
    def low(self) -> float:
        """Lower end of the scale."""
        return -self.high

    def colours(self, values: ArrayLike) -> NDArray[np.uint8]:
        """Colours (..., 3) of ``values`` (...), which are in the scale's own unit."""
        return _interpolate(_DIVERGING, (np.asarray(values, np.float64) / self.high + 1) / 2, self.missing)


@dataclass(frozen=True)
class SkinScale:
    """A scale from pale at 0, where no marker observes the body, to the colour of skin at 1."""

    low: float = 0.0
    high: float = 1.0
    missing: Colour = SKIN

    def colours(self, values: ArrayLike) -> NDArray[np.uint8]:
        """Colours (..., 3) of ``values`` (...)."""
        return _interpolate(_SKIN, np.asarray(values, np.float64), self.missing)


Scale = SequentialScale | DivergingScale | SkinScale
_SCALE_PERCENTILE = 99.5  # of the absolute values; larger ones are clipped


FADING = 0.6
"""Opacity of the white over values that count in no rank and no mean."""


def attribution_scale(values: Sequence[NDArray[np.floating]], signed: bool) -> Scale:
    """Return one scale for several arrays of attribution. It ends at a high percentile of |values|; NaN are ignored.

    ``signed``: negative values are evidence for the other class.
    """
    known = np.concatenate([np.abs(one[np.isfinite(one)]).ravel() for one in values] or [np.zeros(0)])
    high = (float(np.percentile(known, _SCALE_PERCENTILE)) if len(known) else 0.0) or 1.0
    return DivergingScale(high) if signed else SequentialScale(0.0, high, missing=UNEXPLAINED)


def unit_text(scale: Scale) -> str:
    """Return the unit of displayed attribution values."""
    return "logit × 1000" if isinstance(scale, DivergingScale) else "attention × 1000"


def _interpolate(stops: NDArray[np.float64], position: NDArray[np.float64], missing: Colour) -> NDArray[np.uint8]:
    """Interpolate stops (S, 3) linearly at positions (...) from 0 to 1; return colours (..., 3)."""
    at = np.clip(position, 0.0, 1.0) * (len(stops) - 1)
    is_missing = np.isnan(at)
    at = np.where(is_missing, 0.0, at)
    below = np.minimum(at.astype(np.intp), len(stops) - 2)
    t = (at - below)[..., None]
    colours = np.rint(stops[below] * (1 - t) + stops[below + 1] * t).astype(np.uint8)
    colours[is_missing] = missing
    return colours


def _lab_to_rgb(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert CIELAB (..., 3) under D65 to sRGB (..., 3), 0..255 (CIE 15:2004; IEC 61966-2-1)."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.95047, 1.0, 1.08883]
    linear = xyz @ np.linalg.inv(_RGB_TO_XYZ).T
    linear = np.clip(linear, 0.0, 1.0)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


_RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def _diverging_stops() -> NDArray[np.float64]:
    """Return (65, 3) sRGB stops: lightness 46 at both ends, 94 in the middle; chroma 52, 0, 52; hues 280° and 52°."""
    middle = np.array([94.0, 0.0, 0.0])
    ends = [np.array([46.0, 52 * np.cos(np.radians(hue)), 52 * np.sin(np.radians(hue))]) for hue in (280.0, 52.0)]
    t = np.linspace(0, 1, 33)[:, None]
    below, above = (middle + (end - middle) * t for end in ends)
    return _lab_to_rgb(np.concatenate([below[:0:-1], above]))


_SEQUENTIAL = np.array([list(bytes.fromhex(stop)) for stop in _VIRIDIS.split()], dtype=np.float64)
_DIVERGING = _diverging_stops()
_SKIN = np.array([UNOBSERVED, SKIN], dtype=np.float64)
