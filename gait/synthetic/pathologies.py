"""Gait pathologies of graded severity, each with known affected joints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gait.body.skeleton import Joint, contralateral_joint
from gait.errors import GaitError
from gait.synthetic.gait_pattern import GaitPattern, LegPattern
from gait.synthetic.normative_curves import Curve

Side = Literal["left", "right", "both"]


@dataclass(frozen=True)
class Pathology:
    """A pathology, its severity, and the joints that it changes."""

    name: str
    side: Side
    severity: float  # 0 (none) to 1
    affected_joints: tuple[Joint, ...]  # whose rotation it changes by at least half of its largest change
    downstream_joints: tuple[Joint, ...]  # others that it moves: rotated less, or carried by an affected joint

    @property
    def slowness_included(self) -> bool:
        """Whether the angles' change with a slow pace is part of the pathology's own."""
        return self.name in _SLOWNESS_INCLUDED


def make_pathology(name: str, side: Side | None = None, severity: float = 1.0) -> Pathology:
    """Create a pathology by name.

    Args:
        name: one of ``PATHOLOGY_NAMES``.
        side: "left" or "right" of a unilateral pathology (default: left); leave it out otherwise.
        severity: 0 to 1.

    Raises:
        GaitError: an unknown name, a side that the pathology does not have, or a severity out of range.
    """
    if name not in _SPECS:
        raise GaitError(f"Unknown pathology {name!r}; available: {', '.join(PATHOLOGY_NAMES)}.")
    spec = _SPECS[name]
    side = side or ("left" if spec.unilateral else "both")
    if spec.unilateral == (side == "both"):
        expected = "left or right" if spec.unilateral else "both"
        raise GaitError(f"{name}: the side must be {expected}, not {side!r}.")
    if not 0 <= severity <= 1:
        raise GaitError(f"{name}: the severity must be from 0 to 1, not {severity:g}.")
    affected, downstream = spec.affected_joints, spec.downstream_joints
    if side == "right":
        affected, downstream = (tuple(map(contralateral_joint, joints)) for joints in (affected, downstream))
    return Pathology(name, side, severity, tuple(sorted(affected)), tuple(sorted(downstream)))


def apply_pathology(pattern: GaitPattern, pathology: Pathology | None, *, graded: bool = False) -> GaitPattern:
    """Return the pattern with the pathology; unchanged for None or severity 0.

    Graded, the change tends to zero with the severity; otherwise the slightest stiff knee is a smoothed one already.
    Graded, the ankle of a stiff leg also moves less: it is none of the affected joints.
    """
    if pathology is None or pathology.severity == 0:
        return pattern
    own = pattern.mirror() if pathology.side == "right" else pattern
    changed = _SPECS[pathology.name].change(own, pathology.severity)
    if graded and pathology.name == "stiff_knee":
        changed = replace(changed, left=_grade_stiff_knee(own.left, changed.left, pathology.severity))
    return changed.mirror() if pathology.side == "right" else changed


def _raised_cosine(curve: Curve, centre: float, width: float) -> np.ndarray:
    """Return a window (N,) of height 1: a raised cosine around ``centre`` of total ``width``, in cycles."""
    away = np.mod(curve.phases - centre + 0.5, 1.0) - 0.5
    return np.where(np.abs(away) < width / 2, 0.5 + 0.5 * np.cos(2 * np.pi * away / width), 0.0)


def _plateau(curve: Curve, start: float, end: float, ramp: float) -> np.ndarray:
    """Return a window (N,): 1 from ``start`` to ``end`` (phases, ``end`` may exceed 1), with cosine ramps outside."""
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
            hip_flexion=leg.hip_flexion.offset(_deg(5 * s)),
            knee_flexion=leg.knee_flexion.scale_excursion(1 - 0.5 * s).offset(_deg(1 * s)),
            ankle_dorsiflexion=leg.ankle_dorsiflexion.scale_excursion(1 - 0.45 * s).offset(_deg(3 * s)),
            foot_pitch=Curve(leg.foot_pitch.samples * (1 - 0.6 * s)),
            shoulder_flexion=leg.shoulder_flexion.scale_excursion(1 - 0.9 * s).offset(_deg(2 * s)),
            shoulder_abduction_rad=leg.shoulder_abduction_rad - _deg(2 * s),
            elbow_flexion=leg.elbow_flexion.scale_excursion(1 - 0.85 * s).offset(_deg(38 * s)),
            stance_fraction=leg.stance_fraction + 0.03 * s,
            clearance_m=leg.clearance_m * (1 - 0.5 * s),
        )

    p = _both(p, leg)
    return replace(
        p,
        stride_length_m=p.stride_length_m * (1 - 0.52 * s),
        stride_time_s=p.stride_time_s / (1 + 0.10 * s),
        trunk_flexion=p.trunk_flexion.offset(_deg(32 * s)),
        trunk_rotation=p.trunk_rotation.scale_excursion(1 - 0.7 * s),
        pelvis_rotation=p.pelvis_rotation.scale_excursion(1 - 0.6 * s),
        pelvis_obliquity=p.pelvis_obliquity.scale_excursion(1 - 0.4 * s),
        gaze_stabilization=1 - 0.45 * s,
    )


def _stiff_knee(p: GaitPattern, s: float) -> GaitPattern:
    """Sutherland & Davids 1993, Clin. Orthop. 288:139: no knee flexion in swing, circumduction, hip hiking."""
    leg = p.left
    knee = leg.knee_flexion
    stiff = np.minimum(knee.samples, _deg(14))
    swing = _raised_cosine(knee, 0.73, 0.44)
    leg = replace(
        leg,
        knee_flexion=Curve(_smooth((1 - s) * knee.samples + s * stiff)),
        hip_flexion=leg.hip_flexion.offset(-_deg(3 * s) * _raised_cosine(knee, 0.75, 0.3)),
        hip_adduction=leg.hip_adduction.offset(-_deg(6 * s) * swing),
        ankle_dorsiflexion=leg.ankle_dorsiflexion.offset(_deg(10 * s) * _plateau(knee, 0.66, 0.90, 0.08)),
        foot_pitch=Curve(leg.foot_pitch.samples * (1 - 0.5 * s * _plateau(knee, 0.50, 0.75, 0.08))),
        stance_fraction=leg.stance_fraction - 0.02 * s,
        clearance_m=leg.clearance_m * (1 - 0.8 * s),
    )
    # The pelvis is hiked on the stiff side during its swing, that is during contralateral stance.
    return replace(
        p,
        left=leg,
        pelvis_obliquity=p.pelvis_obliquity.offset(_deg(8 * s) * _raised_cosine(p.pelvis_obliquity, 0.71, 0.46)),
        trunk_lean=p.trunk_lean.offset(-_deg(4 * s) * _raised_cosine(p.trunk_lean, 0.71, 0.46)),
        stride_length_m=p.stride_length_m * (1 - 0.14 * s),
        stride_time_s=p.stride_time_s * (1 + 0.06 * s),
    )


def _grade_stiff_knee(healthy: LegPattern, stiff: LegPattern, s: float) -> LegPattern:
    """Undo the smoothing of what is left of the healthy curve, and most of the ankle's dorsiflexion in swing."""
    knee = healthy.knee_flexion.samples
    swing = _plateau(healthy.ankle_dorsiflexion, 0.66, 0.90, 0.08)
    return replace(
        stiff,
        knee_flexion=stiff.knee_flexion.offset((1 - s) * (knee - _smooth(knee))),
        ankle_dorsiflexion=stiff.ankle_dorsiflexion.offset(-_deg(7 * s) * swing),
    )


def _drop_foot(p: GaitPattern, s: float) -> GaitPattern:
    """Perry & Burnfield 2010, ch. 11: plantarflexion in swing, flat or forefoot contact, foot slap, steppage."""
    leg = p.left
    a = leg.ankle_dorsiflexion
    swing = _plateau(a, 0.66, 0.97, 0.07)
    first = _plateau(a, 0.90, 1.02, 0.05)
    leg = replace(
        leg,
        ankle_dorsiflexion=Curve(a.samples + s * swing * (_deg(-21) - a.samples)),
        foot_pitch=Curve(leg.foot_pitch.samples + s * first * (_deg(-4) - leg.foot_pitch.samples)),
        knee_flexion=leg.knee_flexion.offset(_deg(15 * s) * _raised_cosine(a, 0.80, 0.36)),
        hip_flexion=leg.hip_flexion.offset(_deg(15 * s) * _raised_cosine(a, 0.84, 0.38)),
        foot_slap=s,
        clearance_m=leg.clearance_m * (1 - 0.3 * s),
    )
    return replace(p, left=leg, stride_length_m=p.stride_length_m * (1 - 0.08 * s))


def _crouch(p: GaitPattern, s: float) -> GaitPattern:
    """Rodda et al. 2004, J. Bone Joint Surg. Br. 86:251: knees, hips and ankles flexed throughout stance."""

    def leg(leg: LegPattern) -> LegPattern:
        stance = _plateau(leg.knee_flexion, 0.97, 1.53, 0.14)
        return replace(
            leg,
            knee_flexion=leg.knee_flexion.offset(_deg(22 * s) * stance + _deg(8 * s)),
            hip_flexion=leg.hip_flexion.offset(_deg(12 * s) + _deg(4 * s) * stance),
            ankle_dorsiflexion=leg.ankle_dorsiflexion.offset(_deg(12 * s)),
            foot_pitch=Curve(leg.foot_pitch.samples * (1 - 0.35 * s)),
            hip_rotation=leg.hip_rotation.offset(_deg(4 * s)),
        )

    p = _both(p, leg)
    return replace(
        p,
        stride_length_m=p.stride_length_m * (1 - 0.22 * s),
        trunk_flexion=p.trunk_flexion.offset(_deg(4 * s)),
    )


def _antalgic(p: GaitPattern, s: float) -> GaitPattern:
    """Perry & Burnfield 2010, ch. 17: a short stance on the painful side and a short contralateral step."""
    leg, other = p.left, p.right
    knee = leg.knee_flexion
    stance = _plateau(knee, 0.02, 0.48, 0.1)
    leg = replace(
        leg,
        stance_fraction=leg.stance_fraction - 0.075 * s,
        hip_flexion=leg.hip_flexion.offset(_deg(7 * s) * _plateau(knee, 0.30, 0.62, 0.15)),
        knee_flexion=Curve(knee.samples + s * stance * (_deg(15) - knee.samples)),
        foot_pitch=Curve(leg.foot_pitch.samples * (1 - 0.3 * s)),
    )
    other = replace(other, stance_fraction=other.stance_fraction + 0.055 * s)
    return replace(
        p,
        left=leg,
        right=other,
        right_delay=p.right_delay - 0.065 * s,
        right_step_fraction=p.right_step_fraction - 0.10 * s,
        stride_length_m=p.stride_length_m * (1 - 0.18 * s),
        stride_time_s=p.stride_time_s * (1 + 0.04 * s),
    )


def _duchenne_trendelenburg(p: GaitPattern, s: float) -> GaitPattern:
    """Trunk lean over the stance leg and contralateral pelvic drop (Hardcastle & Nade 1985, JBJS Br. 67:741)."""
    stance = _plateau(p.trunk_lean, 0.08, 0.45, 0.16)
    return replace(
        p,
        trunk_lean=p.trunk_lean.offset(_deg(19 * s) * stance),
        pelvis_obliquity=p.pelvis_obliquity.offset(_deg(3 * s) * stance),
        stride_length_m=p.stride_length_m * (1 - 0.05 * s),
    )


def _smooth(samples: np.ndarray, width: float = 0.025) -> np.ndarray:
    """Smooth periodic samples (N,) by a Gaussian with a standard deviation of ``width`` cycles."""
    frequency = np.fft.rfftfreq(len(samples), 1 / len(samples))
    return np.fft.irfft(np.fft.rfft(samples) * np.exp(-0.5 * (2 * np.pi * width * frequency) ** 2), len(samples))


@dataclass(frozen=True)
class _PathologySpec:
    """Definition of a pathology on the left side, or on both."""

    change: Callable[[GaitPattern, float], GaitPattern]
    unilateral: bool
    affected_joints: tuple[Joint, ...]
    downstream_joints: tuple[Joint, ...] = ()


def _joints_of(names: str) -> tuple[Joint, ...]:
    return tuple(Joint[name] for name in names.split())


_LEGS = "LEFT_HIP RIGHT_HIP LEFT_KNEE RIGHT_KNEE LEFT_ANKLE RIGHT_ANKLE LEFT_FOOT RIGHT_FOOT"

_SPECS: Mapping[str, _PathologySpec] = {
    "parkinsonian": _PathologySpec(
        _parkinsonian,
        False,
        _joints_of("SPINE2 SPINE3 LEFT_SHOULDER RIGHT_SHOULDER LEFT_ELBOW RIGHT_ELBOW"),
        _joints_of(f"SPINE1 NECK HEAD LEFT_COLLAR RIGHT_COLLAR LEFT_WRIST RIGHT_WRIST {_LEGS}"),
    ),
    "stiff_knee": _PathologySpec(_stiff_knee, True, _joints_of("LEFT_KNEE"), _joints_of("LEFT_ANKLE LEFT_FOOT")),
    "drop_foot": _PathologySpec(_drop_foot, True, _joints_of("LEFT_ANKLE"), _joints_of("LEFT_FOOT")),
    "crouch": _PathologySpec(
        _crouch,
        False,
        _joints_of("LEFT_HIP RIGHT_HIP LEFT_KNEE RIGHT_KNEE LEFT_ANKLE RIGHT_ANKLE"),
        _joints_of("LEFT_FOOT RIGHT_FOOT"),
    ),
    "antalgic": _PathologySpec(
        _antalgic,
        True,
        _joints_of("LEFT_HIP LEFT_KNEE LEFT_ANKLE RIGHT_KNEE"),
        _joints_of("LEFT_FOOT RIGHT_HIP RIGHT_ANKLE RIGHT_FOOT"),
    ),
    "duchenne_trendelenburg": _PathologySpec(
        _duchenne_trendelenburg,
        True,
        _joints_of("SPINE2 SPINE3 LEFT_SHOULDER"),
        _joints_of(
            "SPINE1 NECK HEAD LEFT_COLLAR RIGHT_COLLAR RIGHT_SHOULDER LEFT_ELBOW RIGHT_ELBOW LEFT_WRIST RIGHT_WRIST"
        ),
    ),
}
"""Declared from what is measured: root mean square of the angle by which a joint's rotation differs between a walk with
the pathology and the same varied subject's walk without it at that pace, of severity 1. Rotations are against the
parent, of the spine against the pelvis, so that SPINE3 is the thorax."""

FORMER_NAMES = {"stance_avoidance": "antalgic", "trunk_lean": "duchenne_trendelenburg"}
"""Names that cohort files written by earlier versions contain, and the present ones."""

_SLOWNESS_INCLUDED = ("parkinsonian",)  # whose excursions are those of a shuffling gait already

PATHOLOGY_NAMES = tuple(_SPECS)
UNILATERAL = frozenset(name for name, kind in _SPECS.items() if kind.unilateral)
