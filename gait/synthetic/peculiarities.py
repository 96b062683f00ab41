"""Harmless peculiarities of gait, which persons with and without a pathology have: a bent arm, a nodding head, ...

They are no sign of a pathology. Drawn anew at test time they are distractors: a network that explains its decisions by
them has learned deviation, not disease.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gait.body.skeleton import Joint
from gait.errors import GaitError
from gait.synthetic.gait_pattern import GaitPattern, LegPattern
from gait.synthetic.subject import Peculiarity, SyntheticSubject

SHARE = 0.25
"""Probability of each peculiarity in a varied subject, whatever the label."""


def draw_peculiarities(
    subject_seed: int, *, draw: int = 0, share: float = SHARE, names: Sequence[str] | None = None
) -> tuple[Peculiarity, ...]:
    """Draw a person's peculiarities among ``names``, by default all, each with probability ``share``.

    Another ``draw`` gives others. Without some names, the person's other peculiarities stay as they are.
    """
    random = np.random.default_rng([subject_seed, 8, draw])
    drawn = []
    for name in PECULIARITY_NAMES:
        present, size, left = random.uniform(size=3)
        if present < share and (names is None or name in names):
            drawn.append(make_peculiarity(name, "left" if left < 0.5 else "right", 0.5 + 0.5 * size))
    return tuple(drawn)


def make_peculiarity(name: str, side: str = "left", size: float = 1.0) -> Peculiarity:
    """Create a peculiarity by name; a head is turned, and an arm bent, to or on ``side``.

    Raises:
        GaitError: an unknown name or side, or a size beyond 0 to 1.
    """
    if name not in _KINDS:
        raise GaitError(f"Unknown peculiarity {name!r}; available: {', '.join(PECULIARITY_NAMES)}.")
    if side not in ("left", "right"):
        raise GaitError(f"{name}: the side must be left or right, not {side!r}.")
    if not 0 <= size <= 1:
        raise GaitError(f"{name}: the size must be from 0 to 1, not {size:g}.")
    joints = tuple(Joint[part.format(side=side.upper())] for part in _KINDS[name][1].split())
    return Peculiarity(name, side, size, tuple(sorted(joints)))


def apply_peculiarities(pattern: GaitPattern, subject: SyntheticSubject) -> GaitPattern:
    """Return the pattern with the subject's peculiarities."""
    for each in subject.peculiarities:
        change = _KINDS[each.name][0]
        size, length = each.size, subject.leg_length_m
        pattern = change(pattern, size, length) if each.side == "left" else _on_the_right(change, pattern, size, length)
    return pattern


_Change = Callable[[GaitPattern, float, float], GaitPattern]


def _on_the_right(change: _Change, pattern: GaitPattern, size: float, leg_length_m: float) -> GaitPattern:
    """Apply a change of the left side to the right; fields that it leaves alone stay the same to the bit."""
    exchanged = replace(pattern, left=pattern.right, right=pattern.left, head_turn_rad=-pattern.head_turn_rad)
    changed = change(exchanged, size, leg_length_m)
    return replace(changed, left=changed.right, right=changed.left, head_turn_rad=-changed.head_turn_rad)


def _bent_arm(pattern: GaitPattern, size: float, leg_length_m: float) -> GaitPattern:
    """Hold one arm still and bent, as if it carried something."""
    return replace(pattern, left=_swing(pattern.left, 1 - 0.9 * size, 1 - 0.9 * size, elbow_deg=55 * size))


def _lively_arm(pattern: GaitPattern, size: float, leg_length_m: float) -> GaitPattern:
    """Swing one arm far, as in marching: at the shoulder by up to 2.6 times as much, at the elbow by 4 times."""
    return replace(pattern, left=_swing(pattern.left, 1 + 1.6 * size, 1 + 3 * size, elbow_deg=20 * size))


def _swing(arm: LegPattern, shoulder: float, elbow: float, *, elbow_deg: float) -> LegPattern:
    """Multiply the excursions of an arm and bend its elbow."""
    return replace(
        arm,
        shoulder_flexion=arm.shoulder_flexion.scale_excursion(shoulder),
        elbow_flexion=arm.elbow_flexion.scale_excursion(elbow).offset(_deg(elbow_deg)),
    )


def _turning_head(pattern: GaitPattern, size: float, leg_length_m: float) -> GaitPattern:
    """Look around, more to the left: 15° to the left, and 40° to each side of it once per stride."""
    return replace(
        pattern,
        head_turn_rad=pattern.head_turn_rad + _deg(15 * size),
        turn_amplitude_rad=pattern.turn_amplitude_rad + _deg(40 * size),
    )


def _nodding_head(pattern: GaitPattern, size: float, leg_length_m: float) -> GaitPattern:
    """Nod at each step, by 28° forwards and backwards of a head bent by 10°."""
    return replace(
        pattern,
        head_nod_rad=pattern.head_nod_rad + _deg(10 * size),
        nod_amplitude_rad=pattern.nod_amplitude_rad + _deg(28 * size),
    )


def _waving_hand(pattern: GaitPattern, size: float, leg_length_m: float) -> GaitPattern:
    """Wave one hand at each step, by 35° up and down of a wrist flexed by 20°."""
    arm = pattern.left
    arm = replace(
        arm,
        wrist_flexion_rad=arm.wrist_flexion_rad + _deg(20 * size),
        wrist_amplitude_rad=arm.wrist_amplitude_rad + _deg(35 * size),
    )
    return replace(pattern, left=arm)


def _wide_steps(pattern: GaitPattern, size: float, leg_length_m: float) -> GaitPattern:
    """Walk with the feet far from each other."""
    return replace(pattern, step_width_m=pattern.step_width_m + 0.14 * size * leg_length_m)


def _deg(value: float) -> float:
    return float(np.radians(value))


_KINDS: Mapping[str, tuple[_Change, str]] = {
    "bent_arm": (_bent_arm, "{side}_ELBOW {side}_SHOULDER"),
    "lively_arm": (_lively_arm, "{side}_ELBOW {side}_SHOULDER"),
    "turning_head": (_turning_head, "NECK HEAD"),
    "nodding_head": (_nodding_head, "NECK HEAD"),
    "waving_hand": (_waving_hand, "{side}_WRIST"),
    "wide_steps": (_wide_steps, "LEFT_HIP RIGHT_HIP LEFT_ANKLE RIGHT_ANKLE"),
}
"""By name: the change on the left side, and the joints whose rotation it changes."""

PECULIARITY_NAMES = tuple(_KINDS)
