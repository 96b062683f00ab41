"""Infer the unit of length of a recording from the unit stated in the file and the size of the body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.capture.marker_heights import marker_bounds, stature_vector

_METRES = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 0.001),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 0.01),
    **dict.fromkeys(("dm", "decimeter", "decimetre"), 0.1),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1.0),
    **dict.fromkeys(("in", "inch", "inches"), 0.0254),
    **dict.fromkeys(("ft", "foot", "feet"), 0.3048),
}
_CANDIDATES = (("mm", 0.001), ("cm", 0.01), ("m", 1.0))
_INCH_M = 0.0254  # tried only if the subject would be too small to walk in every metric unit
_MIN_WALKER_HEIGHT_M = 0.8

# Deliberately wide: neighbouring units differ by a factor of ten or more, so a wrong unit still falls far outside.
_STATURE_RANGE_M = (0.6, 2.6)  # as estimated from the relative heights of the markers
_EXTENT_RANGE_M = (0.35, 3.4)  # diagonal of the box around all markers of a frame
_TYPICAL_EXTENT_M = 1.5


@dataclass(frozen=True)
class LengthUnit:
    """Unit of the coordinates of a file."""

    name: str  # "mm", "cm", "m", ...
    metres: float  # metres per unit
    note: str  # one sentence if the unit was inferred or seems wrong, else ""
    overruled: str = ""  # the unit stated in the file, if the body size contradicts it


def infer_unit(stated: str | None, labels: Sequence[str], positions: NDArray[np.float64]) -> LengthUnit:
    """Return the unit of ``positions`` (T, M, 3; NaN where missing): as ``stated``, or inferred from the body size.

    The stated unit is overruled only if the body size is implausible in it and plausible in another unit.
    """
    word = (stated or "").strip(" \t\r\n\0.").lower()
    stated_metres = _METRES.get(word)
    size, (low, high), quantity = _body_size(labels, positions)
    plausible = [(name, metres) for name, metres in _CANDIDATES if low <= size * metres <= high]
    too_small = all(size * metres < _MIN_WALKER_HEIGHT_M for _, metres in plausible)
    if quantity == "height" and too_small and _MIN_WALKER_HEIGHT_M <= size * _INCH_M <= high:
        plausible = [("in", _INCH_M)]
    measured = f"the {quantity} of the markers is {size:.4g} file units"
    if stated_metres is not None:
        if low <= size * stated_metres <= high:
            return LengthUnit(word, stated_metres, "")
        if plausible:
            name, metres = plausible[0]
            note = f"The file states {word!r}, but {measured}: read as {name}."
            return LengthUnit(name, metres, note, overruled=word)
        note = f"The file states {word!r}; {measured}, which is implausible for a body in any unit: {word} is kept."
        return LengthUnit(word, stated_metres, note)
    statement = f"states {word!r}, which is not a unit of length" if word else "states no unit"
    if not plausible:
        name, metres = min(_CANDIDATES, key=lambda unit: abs(np.log(max(size, 1e-9) * unit[1] / _TYPICAL_EXTENT_M)))
        note = f"The file {statement}; {measured}, which is implausible for a body in any unit: read as {name}."
        return LengthUnit(name, metres, note)
    name, metres = plausible[0]
    return LengthUnit(name, metres, f"The file {statement}; {measured}: read as {name}.")


def _body_size(labels: Sequence[str], positions: NDArray[np.float64]) -> tuple[float, tuple[float, float], str]:
    """Return a length of the body in file units, its plausible range in metres, and its name (height or extent)."""
    stature = stature_vector(labels, positions)
    if stature is not None:
        return float(np.linalg.norm(stature)), _STATURE_RANGE_M, "height"
    lowest, highest = marker_bounds(positions)
    return float(np.median(np.linalg.norm(highest - lowest, axis=1))), _EXTENT_RANGE_M, "extent"
