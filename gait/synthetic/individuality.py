"""How one person's gait differs from the norm in a varied world: offsets, ranges, timing and harmonics of each curve.

The subjects of ``make_subject`` differ in a few offsets and ranges only, far less than real persons. ``vary_subject``
gives a subject its own curves, which differ as much as those of persons in a gait laboratory (J. G. Pinzone et al.
2014, Gait & Posture 40:286; Schwartz et al. 2008, J. Biomech. 41:1639), and strides that differ from each other
(Kadaba et al. 1989, J. Orthop. Res. 7:849).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gait.arrays import Vector
from gait.synthetic.gait_pattern import GaitPattern, LegPattern
from gait.synthetic.normative_curves import PHASES, Curve


@dataclass(frozen=True)
class Spread:
    """Standard deviations by which a curve differs between persons, and between the sides of one."""

    offset_deg: float = 0.0
    sides_deg: float = 0.0  # of the offset's difference left - right; 0 for curves of the midline
    range: float = 0.0  # of the factor on the excursion
    timing: float = 0.0  # of a shift of the whole curve, in cycles
    harmonics_deg: tuple[float, ...] = ()  # of the first, second, ... harmonic
    own_side: float = 0.4  # share of range, timing and harmonics that is not common to both sides


SPREADS: Mapping[str, Spread] = {
    "hip_flexion": Spread(2.8, 1.5, 0.04, 0.006, (0.6, 0.5, 0.3)),
    "hip_adduction": Spread(0.0, 0.0, 0.15, 0.008, (1.3, 1.0, 0.6, 0.3)),
    "hip_rotation": Spread(4.0, 3.5, 0.2, 0.01, (1.2, 0.8, 0.5)),
    "knee_flexion": Spread(4.2, 2.2, 0.05, 0.006, (1.0, 0.9, 0.6, 0.3)),
    "ankle_dorsiflexion": Spread(2.0, 1.2, 0.10, 0.006, (0.7, 0.6, 0.5, 0.3)),
    "shoulder_flexion": Spread(5.0, 4.0, 0.3, 0.02, (2.0, 1.0)),
    "elbow_flexion": Spread(7.0, 5.0, 0.35, 0.02, (2.0, 1.0)),
    "pelvis_tilt": Spread(4.2, 0.0, 0.2, 0.0, (0.4, 0.5, 0.2)),
    "pelvis_obliquity": Spread(1.2, 0.0, 0.25, 0.01, (0.7, 0.5, 0.3)),
    "pelvis_rotation": Spread(1.7, 0.0, 0.3, 0.02, (1.2, 0.5, 0.3)),
    "trunk_flexion": Spread(3.0, 0.0, 0.2, 0.0, (0.3, 0.4)),
    "trunk_lean": Spread(1.0, 0.0, 0.4, 0.02, (0.6, 0.3)),
    "trunk_rotation": Spread(1.5, 0.0, 0.35, 0.02, (1.0, 0.4)),
}
"""By curve of ``LegPattern`` or ``GaitPattern``. Hip adduction has no offset: it follows from the step width."""

_LEG_CURVES = tuple(name for name in SPREADS if name in LegPattern.__dataclass_fields__)
_MIDLINE_CURVES = tuple(name for name in SPREADS if name not in _LEG_CURVES)
_KNEE_MEAN_RAD = float(np.radians(1.0))  # keeps most persons' knees from the limit of extension
_LOWEST_KNEE_RAD = float(np.radians(-3.0))
_CLEARANCE = 0.4
"""A greater height of the sole, as of subjects that are not varied, would bend the knee in swing more than Schwartz's
curves do, by 6 degrees in slow walking."""


@dataclass(frozen=True, eq=False)
class CurveChange:
    """How a person's curve differs from the norm's: ``offset + range · excursion`` of the norm's, ``delay`` later."""

    deviation_rad: Vector  # (100,) offset and harmonics
    range: float  # factor
    delay: float  # in cycles

    def apply(self, curve: Curve) -> Curve:
        """Return the person's own curve."""
        scaled = curve.scale_excursion(self.range)
        return Curve(scaled.at(scaled.phases - self.delay) + self.deviation_rad)


@dataclass(frozen=True, eq=False)
class Individuality:
    """One person's own curves, steps and stride-to-stride variation."""

    legs: tuple[Mapping[str, CurveChange], Mapping[str, CurveChange]]  # left, right; by curve
    midline: Mapping[str, CurveChange]
    foot_pitch_range: Vector  # (2,) factor on the sole's pitch in stance
    toe_out_rad: Vector  # (2,) added; the other values likewise
    swing_turn_rad: Vector  # (2,)
    shoulder_abduction_rad: Vector  # (2,)
    stance_fraction: Vector  # (2,)
    clearance: float  # factor on the sole's height in mid-swing
    relative_step_width: float  # of the leg length
    head_nod_rad: float
    head_turn_rad: float
    stride_variation: float  # factor on ``STRIDE_SD_DEG``

    def apply(self, pattern: GaitPattern, leg_length_m: float) -> GaitPattern:
        """Return the person's own pattern from one without these deviations."""

        def leg(side: LegPattern, k: int) -> LegPattern:
            changed: dict[str, Any] = {name: each.apply(getattr(side, name)) for name, each in self.legs[k].items()}
            return replace(
                side,
                foot_pitch=Curve(side.foot_pitch.samples * self.foot_pitch_range[k]),
                toe_out_rad=side.toe_out_rad + float(self.toe_out_rad[k]),
                swing_turn_rad=side.swing_turn_rad + float(self.swing_turn_rad[k]),
                shoulder_abduction_rad=side.shoulder_abduction_rad + float(self.shoulder_abduction_rad[k]),
                stance_fraction=side.stance_fraction + float(self.stance_fraction[k]),
                clearance_m=side.clearance_m * self.clearance,
                **changed,
            )

        midline: dict[str, Any] = {name: each.apply(getattr(pattern, name)) for name, each in self.midline.items()}
        return replace(
            pattern,
            left=leg(pattern.left, 0),
            right=leg(pattern.right, 1),
            step_width_m=max(pattern.step_width_m + self.relative_step_width * leg_length_m, 0.03 * leg_length_m),
            head_nod_rad=pattern.head_nod_rad + self.head_nod_rad,
            head_turn_rad=pattern.head_turn_rad + self.head_turn_rad,
            stride_variation=self.stride_variation,
            **midline,
        )


def draw_individuality(random: np.random.Generator) -> Individuality:
    """Draw one person's deviations.

    The leg is a chain between pelvis and floor: a person with a tilted pelvis has the hips flexed as much, and one with
    flexed knees has the hips and ankles flexed half as much, so that the foot stays flat.
    """
    legs = _draw_sides({name: SPREADS[name] for name in _LEG_CURVES}, random)
    midline = _draw_sides({name: SPREADS[name] for name in _MIDLINE_CURVES}, random)[0]
    tilt = midline["pelvis_tilt"].deviation_rad
    for leg in legs:
        knee = leg["knee_flexion"].deviation_rad + _KNEE_MEAN_RAD
        knee = knee + max(_LOWEST_KNEE_RAD - float(knee.mean()), 0.0)
        leg["knee_flexion"] = replace(leg["knee_flexion"], deviation_rad=knee)
        for name, shares in (("hip_flexion", (0.5, 1.0)), ("ankle_dorsiflexion", (0.5, 0.0))):
            added = shares[0] * knee + shares[1] * tilt
            leg[name] = replace(leg[name], deviation_rad=leg[name].deviation_rad + added)
    turned = np.array([leg["hip_rotation"].deviation_rad.mean() for leg in legs])

    def both(common: float, sides: float) -> Vector:
        return common * truncated_normal(random) + sides * np.array([0.5, -0.5]) * truncated_normal(random)

    return Individuality(
        legs=legs,
        midline=midline,
        foot_pitch_range=1 + both(0.12, 0.08),
        toe_out_rad=np.radians(both(4.5, 4.5)) - 0.3 * turned,
        swing_turn_rad=np.radians(both(3.5, 3.0)),
        shoulder_abduction_rad=np.radians(both(2.0, 1.5)),
        stance_fraction=both(0.010, 0.007),
        clearance=_CLEARANCE * (1 + 0.2 * truncated_normal(random)),
        relative_step_width=0.03 * truncated_normal(random),
        head_nod_rad=float(np.radians(5.0 * truncated_normal(random))),
        head_turn_rad=float(np.radians(3.0 * truncated_normal(random))),
        stride_variation=float(np.exp(0.25 * truncated_normal(random))),
    )


def truncated_normal(random: np.random.Generator) -> float:
    """Draw a standard normal number, clipped at two."""
    return float(np.clip(random.standard_normal(), -2, 2))


def _draw_sides(
    spreads: Mapping[str, Spread], random: np.random.Generator
) -> tuple[dict[str, CurveChange], dict[str, CurveChange]]:
    """Draw both sides' changes of curves, by name."""
    sides: tuple[dict[str, CurveChange], dict[str, CurveChange]] = ({}, {})
    for name, spread in spreads.items():
        offset, difference = spread.offset_deg * truncated_normal(random), spread.sides_deg * truncated_normal(random)
        common = _draw_shape(spread, random)
        for side, sign in zip(sides, (0.5, -0.5), strict=True):
            share, rest = np.sqrt([spread.own_side, 1 - spread.own_side])
            own = share * _draw_shape(spread, random) + rest * common
            harmonics = own[2:].reshape(2, -1)
            angle = 2 * np.pi * np.arange(1, harmonics.shape[1] + 1)[:, None] * PHASES
            deviation = offset + sign * difference + harmonics[0] @ np.cos(angle) + harmonics[1] @ np.sin(angle)
            side[name] = CurveChange(np.radians(deviation), 1 + float(own[0]), float(own[1]))
    return sides


def _draw_shape(spread: Spread, random: np.random.Generator) -> Vector:
    """Draw range, timing and harmonics: (2 + 2 · harmonics,)."""
    sizes = np.array([spread.range, spread.timing, *spread.harmonics_deg, *spread.harmonics_deg])
    return sizes * np.clip(random.standard_normal(len(sizes)), -2, 2)
