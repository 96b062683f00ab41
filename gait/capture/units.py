"""The unit of length of a recording: what the file says, checked against the size of a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.capture.marker_heights import seen_samples, stature_vector

_METRES = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 0.001),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 0.01),
    **dict.fromkeys(("dm", "decimeter", "decimetre"), 0.1),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1.0),
    **dict.fromkeys(("in", "inch", "inches"), 0.0254),
    **dict.fromkeys(("ft", "foot", "feet"), 0.3048),
}
_CANDIDATES = (("mm", 0.001), ("cm", 0.01), ("m", 1.0))
_INCH_M = 0.0254  # only where metric units would make a person too small to walk
_WALKS_FROM_M = 0.8

# Wide on purpose: neighbouring units differ by ten or more, so that a wrong unit still falls far outside.
_STATURE_M = (0.6, 2.6)  # as estimated from the markers' levels
_SPREAD_M = (0.35, 3.4)  # diagonal of the box around all markers of a frame
_TYPICAL_SPREAD_M = 1.5


@dataclass(frozen=True)
class LengthUnit:
    """Unit of a file's coordinates."""

    name: str  # "mm", "cm", "m", ...
    metres: float  # metres in one such unit
    note: str  # a sentence where the unit had to be guessed or looks wrong, else ""
    contradicts: str = ""  # the unit that the file states, where the body's size says another


def find_unit(stated: str | None, labels: Sequence[str], positions: NDArray[np.float64]) -> LengthUnit:
    """The unit of ``positions`` (T, M, 3; NaN where missing): as ``stated``, or by the body's size.

    The stated unit is believed unless the person would be a giant or a dwarf in it and a person's size in
    another one.
    """
    word = (stated or "").strip(" \t\r\n\0.").lower()
    stated_metres = _METRES.get(word)
    size, (low, high), what = _body_size(labels, positions)
    fitting = [(name, metres) for name, metres in _CANDIDATES if low <= size * metres <= high]
    too_small = all(size * metres < _WALKS_FROM_M for _, metres in fitting)
    if what == "height" and too_small and _WALKS_FROM_M <= size * _INCH_M <= high:
        fitting = [("in", _INCH_M)]
    seen = f"the markers' {what} is {size:.4g} of the file's units"
    if stated_metres is not None:
        if low <= size * stated_metres <= high:
            return LengthUnit(word, stated_metres, "")
        if fitting:
            name, metres = fitting[0]
            return LengthUnit(name, metres, f"The file says {word!r}, but {seen}: read as {name}.", contradicts=word)
        note = f"The file says {word!r}; {seen}, which is odd for a person in any unit: kept {word}."
        return LengthUnit(word, stated_metres, note)
    said = f"says {word!r}, which is no unit of length" if word else "states no unit"
    if not fitting:
        name, metres = min(_CANDIDATES, key=lambda unit: abs(np.log(max(size, 1e-9) * unit[1] / _TYPICAL_SPREAD_M)))
        note = f"The file {said}; {seen}, which is odd for a person in any unit: read as {name}."
        return LengthUnit(name, metres, note)
    name, metres = fitting[0]
    return LengthUnit(name, metres, f"The file {said}; {seen}: read as {name}.")


def _body_size(labels: Sequence[str], positions: NDArray[np.float64]) -> tuple[float, tuple[float, float], str]:
    """A length of the body in the file's units, the metres it may measure, and what it is."""
    stature = stature_vector(labels, positions)
    if stature is not None:
        return float(np.linalg.norm(stature)), _STATURE_M, "height"
    return frame_spread(positions), _SPREAD_M, "spread"


def frame_spread(positions: NDArray[np.float64]) -> float:
    """Diagonal of the box around a frame's markers, the median over the frames that see most of them."""
    seen = seen_samples(positions)
    count = seen.sum(axis=1)
    rich = positions[count >= max(1.0, 0.7 * count.max())]
    present = np.isfinite(rich)
    extent = np.where(present, rich, -np.inf).max(axis=1) - np.where(present, rich, np.inf).min(axis=1)
    return float(np.median(np.linalg.norm(extent, axis=1)))
