"""Spatio-temporal parameters as people read them: titles, units and digits."""

from __future__ import annotations

from gait.kinematics.spatiotemporal import PARAMETERS
from gait.text import format_number

_UNITS = {parameter.name: parameter.unit for parameter in PARAMETERS}
_CENTIMETRES = ("step_width", "foot_clearance")
_DIGITS = {"m": 2, "cm": 1, "s": 2, "m/s": 2, "steps/min": 0, "%": 1}
TITLES = {parameter.name: parameter.title for parameter in PARAMETERS}
"""Display name of each spatio-temporal parameter."""


def shown_unit(parameter: str) -> str:
    """Return the unit in which people read a spatio-temporal parameter."""
    return "cm" if parameter in _CENTIMETRES else _UNITS[parameter]


def format_value(parameter: str, value: float, *, signed: bool = False) -> str:
    """Return the value of a spatio-temporal parameter, given in its own unit, as text in ``shown_unit``."""
    unit = shown_unit(parameter)
    return format_number(100 * value if unit == "cm" else value, _DIGITS[unit], signed=signed)
