"""Named, graded disorders of walking, each with a known place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gait.body.skeleton import Joint, mirrored
from gait.errors import GaitError
from gait.synthetic.gait_pattern import GaitPattern, LegPattern
from gait.synthetic.normative_curves import Curve

Side = Literal["left", "right", "both"]


@dataclass(frozen=True)
class Pathology:
    """What is wrong with a walk, and where.

    ``joints`` are the true places: joints whose own turning the disorder changes. ``carried`` are those that
    lie beyond them in the body and therefore are seen in another place too, without being at fault.
    """

    name: str
    side: Side
    severity: float  # 0 (as healthy) to 1
    joints: tuple[Joint, ...]
    carried: tuple[Joint, ...]


def disorder(name: str, side: Side | None = None, severity: float = 1.0) -> Pathology:
    """The disorder of this name.

    Args:
        name: one of ``DISORDER_NAMES``.
        side: "left" or "right" of a one-sided disorder (left if not given); leave it out otherwise.
        severity: 0 to 1.

    Raises:
        GaitError: no such name, a side that does not fit, a severity out of range.
    """
    if name not in _KINDS:
        raise GaitError(f"No disorder is called {name!r}; there are {', '.join(DISORDER_NAMES)}.")
    kind = _KINDS[name]
    side = side or ("left" if kind.one_sided else "both")
    if kind.one_sided == (side == "both"):
        fitting = "left or right" if kind.one_sided else "both"
        raise GaitError(f"{name} on the side {side!r}: its side is {fitting}.")
    if not 0 <= severity <= 1:
        raise GaitError(f"{name} of severity {severity:g}: it goes from 0 to 1.")
    own, carried = kind.joints, kind.carried
    if side == "right":
        own, carried = tuple(map(mirrored, own)), tuple(map(mirrored, carried))
    return Pathology(name, side, severity, tuple(sorted(own)), tuple(sorted(carried)))


def with_disorder(pattern: GaitPattern, what: Pathology | None) -> GaitPattern:
    """The same person's pattern with the disorder; unchanged where there is none or its severity is 0."""
    if what is None or what.severity == 0:
        return pattern
    if what.side == "right":
        return _KINDS[what.name].change(pattern.mirrored(), what.severity).mirrored()
    return _KINDS[what.name].change(pattern, what.severity)


def _bump(curve: Curve, centre: float, width: float) -> np.ndarray:
    """(N,) between 0 and 1: one raised cosine about ``centre``, ``width`` wide in all (phases of the cycle)."""
    away = np.mod(curve.phases - centre + 0.5, 1.0) - 0.5
    return np.where(np.abs(away) < width / 2, 0.5 + 0.5 * np.cos(2 * np.pi * away / width), 0.0)


def _plateau(curve: Curve, start: float, end: float, ramp: float) -> np.ndarray:
    """(N,) between 0 and 1: 1 from ``start`` to ``end`` (phases, may pass 1), with smooth ramps outside."""
    length = end - start
    after = np.mod(curve.phases - start + 0.5 * (1 - length), 1.0) - 0.5 * (1 - length)
    outside = np.maximum(np.maximum(-after, after - length), 0) / ramp
    return np.where(outside < 1, 0.5 + 0.5 * np.cos(np.pi * np.minimum(outside, 1)), 0.0)


def _deg(value: float) -> float:
    return float(np.radians(value))


def _both(pattern: GaitPattern, change: Callable[[LegPattern], LegPattern]) -> GaitPattern:
    return replace(pattern, left=change(pattern.left), right=change(pattern.right))


def _parkinsonian(p: GaitPattern, s: float) -> GaitPattern:
    """Morris et al. 1994, Brain 117:1169 (stride, cadence); Perry & Burnfield 2010 (posture)."""

    def leg(leg: LegPattern) -> LegPattern:
        return replace(
            leg,
            hip_flexion=leg.hip_flexion.raised(_deg(5 * s)),
            knee_flexion=leg.knee_flexion.scaled(1 - 0.5 * s).raised(_deg(1 * s)),
            ankle_dorsiflexion=leg.ankle_dorsiflexion.scaled(1 - 0.45 * s).raised(_deg(3 * s)),
            foot_pitch=Curve(leg.foot_pitch.samples * (1 - 0.6 * s)),
            shoulder_flexion=leg.shoulder_flexion.scaled(1 - 0.9 * s).raised(_deg(2 * s)),
            shoulder_abduction_rad=leg.shoulder_abduction_rad - _deg(2 * s),
            elbow_flexion=leg.elbow_flexion.scaled(1 - 0.85 * s).raised(_deg(38 * s)),
            stance_share=leg.stance_share + 0.03 * s,
            clearance_m=leg.clearance_m * (1 - 0.5 * s),
        )

    p = _both(p, leg)
    return replace(
        p,
        stride_length_m=p.stride_length_m * (1 - 0.52 * s),
        stride_time_s=p.stride_time_s / (1 + 0.10 * s),
        trunk_flexion=p.trunk_flexion.raised(_deg(32 * s)),
        trunk_rotation=p.trunk_rotation.scaled(1 - 0.7 * s),
        pelvis_rotation=p.pelvis_rotation.scaled(1 - 0.6 * s),
        pelvis_obliquity=p.pelvis_obliquity.scaled(1 - 0.4 * s),
        gaze_share=1 - 0.45 * s,
    )


def _stiff_knee(p: GaitPattern, s: float) -> GaitPattern:
    """Sutherland & Davids 1993, Clin. Orthop. 288:139: swing flexion lost, circumduction and hip hike instead."""
    leg = p.left
    knee = leg.knee_flexion
    stiff = np.minimum(knee.samples, _deg(14))
    swing = _bump(knee, 0.73, 0.44)
    leg = replace(
        leg,
        knee_flexion=Curve(_smoothed((1 - s) * knee.samples + s * stiff)),
        hip_flexion=leg.hip_flexion.raised(-_deg(3 * s) * _bump(knee, 0.75, 0.3)),
        hip_adduction=leg.hip_adduction.raised(-_deg(6 * s) * swing),
        ankle_dorsiflexion=leg.ankle_dorsiflexion.raised(_deg(10 * s) * _plateau(knee, 0.66, 0.90, 0.08)),
        foot_pitch=Curve(leg.foot_pitch.samples * (1 - 0.5 * s * _plateau(knee, 0.50, 0.75, 0.08))),
        stance_share=leg.stance_share - 0.02 * s,
        clearance_m=leg.clearance_m * (1 - 0.8 * s),
    )
    # The pelvis is hiked on the stiff side while it swings, that is while the other one stands.
    return replace(
        p,
        left=leg,
        pelvis_obliquity=p.pelvis_obliquity.raised(_deg(8 * s) * _bump(p.pelvis_obliquity, 0.71, 0.46)),
        trunk_lean=p.trunk_lean.raised(-_deg(4 * s) * _bump(p.trunk_lean, 0.71, 0.46)),
        stride_length_m=p.stride_length_m * (1 - 0.14 * s),
        stride_time_s=p.stride_time_s * (1 + 0.06 * s),
    )


def _drop_foot(p: GaitPattern, s: float) -> GaitPattern:
    """Perry & Burnfield 2010, ch. 11: foot hangs in swing, strikes flat or toes first and slaps; steppage."""
    leg = p.left
    a = leg.ankle_dorsiflexion
    hanging = _plateau(a, 0.66, 0.97, 0.07)
    first = _plateau(a, 0.90, 1.02, 0.05)
    leg = replace(
        leg,
        ankle_dorsiflexion=Curve(a.samples + s * hanging * (_deg(-21) - a.samples)),
        foot_pitch=Curve(leg.foot_pitch.samples + s * first * (_deg(-4) - leg.foot_pitch.samples)),
        knee_flexion=leg.knee_flexion.raised(_deg(15 * s) * _bump(a, 0.80, 0.36)),
        hip_flexion=leg.hip_flexion.raised(_deg(15 * s) * _bump(a, 0.84, 0.38)),
        slap=s,
        clearance_m=leg.clearance_m * (1 - 0.3 * s),
    )
    return replace(p, left=leg, stride_length_m=p.stride_length_m * (1 - 0.08 * s))


def _crouch(p: GaitPattern, s: float) -> GaitPattern:
    """Rodda et al. 2004, J. Bone Joint Surg. Br. 86:251: knees, hips and ankles bent all through stance."""

    def leg(leg: LegPattern) -> LegPattern:
        bent = _plateau(leg.knee_flexion, 0.97, 1.53, 0.14)
        return replace(
            leg,
            knee_flexion=leg.knee_flexion.raised(_deg(22 * s) * bent + _deg(8 * s)),
            hip_flexion=leg.hip_flexion.raised(_deg(12 * s) + _deg(4 * s) * bent),
            ankle_dorsiflexion=leg.ankle_dorsiflexion.raised(_deg(12 * s)),
            foot_pitch=Curve(leg.foot_pitch.samples * (1 - 0.35 * s)),
            hip_rotation=leg.hip_rotation.raised(_deg(4 * s)),
        )

    p = _both(p, leg)
    return replace(
        p,
        stride_length_m=p.stride_length_m * (1 - 0.22 * s),
        trunk_flexion=p.trunk_flexion.raised(_deg(4 * s)),
    )


def _stance_avoidance(p: GaitPattern, s: float) -> GaitPattern:
    """Perry & Burnfield 2010, ch. 17 (antalgic gait): a short stance on the painful side, a short step beyond it."""
    leg, other = p.left, p.right
    knee = leg.knee_flexion
    guarded = _plateau(knee, 0.02, 0.48, 0.1)
    leg = replace(
        leg,
        stance_share=leg.stance_share - 0.075 * s,
        hip_flexion=leg.hip_flexion.raised(_deg(7 * s) * _plateau(knee, 0.30, 0.62, 0.15)),
        knee_flexion=Curve(knee.samples + s * guarded * (_deg(15) - knee.samples)),
        foot_pitch=Curve(leg.foot_pitch.samples * (1 - 0.3 * s)),
    )
    other = replace(other, stance_share=other.stance_share + 0.055 * s)
    return replace(
        p,
        left=leg,
        right=other,
        right_delay=p.right_delay - 0.065 * s,
        right_step_share=p.right_step_share - 0.10 * s,
        stride_length_m=p.stride_length_m * (1 - 0.18 * s),
        stride_time_s=p.stride_time_s * (1 + 0.04 * s),
    )


def _trunk_lean(p: GaitPattern, s: float) -> GaitPattern:
    """Duchenne's limp with Trendelenburg's pelvis (Hardcastle & Nade 1985, J. Bone Joint Surg. Br. 67:741)."""
    stance = _plateau(p.trunk_lean, 0.08, 0.45, 0.16)
    return replace(
        p,
        trunk_lean=p.trunk_lean.raised(_deg(19 * s) * stance),
        pelvis_obliquity=p.pelvis_obliquity.raised(_deg(3 * s) * stance),
        stride_length_m=p.stride_length_m * (1 - 0.05 * s),
    )


def _smoothed(samples: np.ndarray, width: float = 0.025) -> np.ndarray:
    """(N,) periodic samples through a Gaussian of ``width`` cycles."""
    frequency = np.fft.rfftfreq(len(samples), 1 / len(samples))
    return np.fft.irfft(np.fft.rfft(samples) * np.exp(-0.5 * (2 * np.pi * width * frequency) ** 2), len(samples))


@dataclass(frozen=True)
class _Kind:
    """A disorder as it stands on the left, or on both sides."""

    change: Callable[[GaitPattern, float], GaitPattern]
    one_sided: bool
    joints: tuple[Joint, ...]
    carried: tuple[Joint, ...] = ()


def _named(names: str) -> tuple[Joint, ...]:
    return tuple(Joint[name] for name in names.split())


_SPINE = "SPINE1 SPINE2 SPINE3"
_UPPER = "NECK HEAD LEFT_COLLAR RIGHT_COLLAR LEFT_SHOULDER RIGHT_SHOULDER"
_ARMS = "LEFT_ELBOW RIGHT_ELBOW LEFT_WRIST RIGHT_WRIST"
_LEGS = "LEFT_HIP RIGHT_HIP LEFT_KNEE RIGHT_KNEE LEFT_ANKLE RIGHT_ANKLE LEFT_FOOT RIGHT_FOOT"

_KINDS: Mapping[str, _Kind] = {
    "parkinsonian": _Kind(
        _parkinsonian,
        False,
        _named(f"{_SPINE} NECK HEAD LEFT_SHOULDER RIGHT_SHOULDER LEFT_ELBOW RIGHT_ELBOW {_LEGS}"),
        _named("LEFT_COLLAR RIGHT_COLLAR LEFT_WRIST RIGHT_WRIST"),
    ),
    "stiff_knee": _Kind(_stiff_knee, True, _named("LEFT_KNEE"), _named("LEFT_ANKLE LEFT_FOOT")),
    "drop_foot": _Kind(_drop_foot, True, _named("LEFT_ANKLE"), _named("LEFT_FOOT")),
    "crouch": _Kind(
        _crouch,
        False,
        _named("LEFT_HIP RIGHT_HIP LEFT_KNEE RIGHT_KNEE LEFT_ANKLE RIGHT_ANKLE"),
        _named("LEFT_FOOT RIGHT_FOOT"),
    ),
    "stance_avoidance": _Kind(_stance_avoidance, True, _named("LEFT_HIP LEFT_KNEE LEFT_ANKLE LEFT_FOOT")),
    "trunk_lean": _Kind(_trunk_lean, True, _named(_SPINE), _named(f"{_UPPER} {_ARMS}")),
}

DISORDER_NAMES = tuple(_KINDS)
ONE_SIDED = frozenset(name for name, kind in _KINDS.items() if kind.one_sided)
