"""Numbers of a gait analysis as people read them: units, digits, true minus signs."""

from __future__ import annotations

import math

from gait.kinematics.spatiotemporal import PARAMETERS

_UNITS = {parameter.name: parameter.unit for parameter in PARAMETERS}
_CENTIMETRES = ("step_width", "foot_clearance")
_DIGITS = {"m": 2, "cm": 1, "s": 2, "m/s": 2, "steps/min": 0, "%": 1}
TITLES = {parameter.name: parameter.title for parameter in PARAMETERS}
"""Display name of each spatio-temporal parameter."""


def format_number(value: float, digits: int, *, signed: bool = False) -> str:
    """Return a number with a true minus sign, without sign if it is rounded to zero; "–" if it is unknown."""
    if not math.isfinite(value):
        return "–"
    value = round(value, digits) + 0.0  # no negative zero
    text = f"{value:+.{digits}f}" if signed and value else f"{value:.{digits}f}"
    return text.replace("-", "−")


def shown_unit(parameter: str) -> str:
    """Return the unit in which people read a spatio-temporal parameter."""
    return "cm" if parameter in _CENTIMETRES else _UNITS[parameter]


def format_value(parameter: str, value: float, *, signed: bool = False) -> str:
    """Return the value of a spatio-temporal parameter, given in its own unit, as text in ``shown_unit``."""
    unit = shown_unit(parameter)
    return format_number(100 * value if unit == "cm" else value, _DIGITS[unit], signed=signed)
