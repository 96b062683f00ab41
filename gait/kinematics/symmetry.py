"""How far left and right differ: in mean curves, in degrees, and in parameters, in percent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gait.kinematics.spatiotemporal import PARAMETER_NAMES, GaitParameters
from gait.kinematics.strides import StrideCurves


@dataclass(frozen=True)
class CurveSymmetry:
    """Difference of the mean curves of one angle, left minus right, each over the gait cycle of its own side."""

    name: str
    rms_deg: float  # root mean square over the cycle
    offset_deg: float  # mean over the cycle
    range_difference_deg: float  # of the ranges (maximum minus minimum)
    max_difference_deg: float  # the largest, with its sign
    max_difference_percent: int  # of the gait cycle, where it is


@dataclass(frozen=True)
class ParameterSymmetry:
    """Means of one parameter of both sides."""

    name: str
    left: float
    right: float
    index_percent: float  # 100 (left - right) / mean of both; 0 is symmetric (Robinson et al. 1987)


def curve_symmetry(curves: StrideCurves) -> tuple[CurveSymmetry, ...]:
    """Return the symmetry of each angle that both sides observe over the whole cycle.

    Signs of curves are those of each side, so that equal curves are symmetric ones.
    """
    found = []
    for name in dict.fromkeys(name for name, _ in curves.curves):
        if (name, "left") not in curves.curves or (name, "right") not in curves.curves:
            continue
        left, right = curves.mean(name, "left"), curves.mean(name, "right")
        difference = left - right
        if not np.isfinite(difference).all():
            continue
        peak = int(np.abs(difference).argmax())
        found.append(
            CurveSymmetry(
                name=name,
                rms_deg=float(np.sqrt(np.mean(difference**2))),
                offset_deg=float(difference.mean()),
                range_difference_deg=float(np.ptp(left) - np.ptp(right)),
                max_difference_deg=float(difference[peak]),
                max_difference_percent=peak,
            )
        )
    return tuple(found)


def parameter_symmetry(parameters: GaitParameters) -> tuple[ParameterSymmetry, ...]:
    """Return the symmetry of each parameter that both sides observe.

    The index is that of Robinson, Herzog & Nigg 1987, J. Manipulative Physiol. Ther. 10:172, with its sign.
    """
    found = []
    for name in PARAMETER_NAMES:
        left, right = (parameters.mean(name, side) for side in ("left", "right"))
        if math.isfinite(left) and math.isfinite(right):
            mean = 0.5 * (left + right)
            found.append(ParameterSymmetry(name, left, right, 100 * (left - right) / mean if mean else math.nan))
    return tuple(found)
