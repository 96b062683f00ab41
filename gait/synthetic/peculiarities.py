"""Harmless peculiarities of gait, which persons with and without a pathology have: a bent arm, a turned head, ...

They are no sign of a pathology. Drawn anew at test time they are distractors: a network that explains its decisions by
them has learned deviation, not disease.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gait.body.skeleton import Joint
from gait.errors import GaitError
from gait.synthetic.gait_pattern import GaitPattern
from gait.synthetic.subject import Peculiarity, SyntheticSubject

SHARE = 0.35
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
    arm = pattern.left
    arm = replace(
        arm,
        elbow_flexion=arm.elbow_flexion.scale_excursion(1 - 0.9 * size).offset(_deg(55 * size)),
        shoulder_flexion=arm.shoulder_flexion.scale_excursion(1 - 0.7 * size).offset(_deg(5 * size)),
    )
    return replace(pattern, left=arm)


def _turned_head(pattern: GaitPattern, size: float, leg_length_m: float) -> GaitPattern:
    """Look to the left."""
    return replace(pattern, head_turn_rad=pattern.head_turn_rad + _deg(35 * size))


def _nodding_head(pattern: GaitPattern, size: float, leg_length_m: float) -> GaitPattern:
    """Nod at each step."""
    return replace(pattern, nod_amplitude_rad=pattern.nod_amplitude_rad + _deg(7 * size))


def _limp_hand(pattern: GaitPattern, size: float, leg_length_m: float) -> GaitPattern:
    """Let one hand hang from a flexed wrist."""
    arm = replace(pattern.left, wrist_flexion_rad=pattern.left.wrist_flexion_rad + _deg(50 * size))
    return replace(pattern, left=arm)


def _wide_steps(pattern: GaitPattern, size: float, leg_length_m: float) -> GaitPattern:
    """Walk with the feet far from each other."""
    return replace(pattern, step_width_m=pattern.step_width_m + 0.14 * size * leg_length_m)


def _deg(value: float) -> float:
    return float(np.radians(value))


_KINDS: Mapping[str, tuple[_Change, str]] = {
    "bent_arm": (_bent_arm, "{side}_ELBOW {side}_SHOULDER"),
    "turned_head": (_turned_head, "NECK HEAD"),
    "nodding_head": (_nodding_head, "NECK HEAD"),
    "limp_hand": (_limp_hand, "{side}_WRIST"),
    "wide_steps": (_wide_steps, "LEFT_HIP RIGHT_HIP LEFT_ANKLE RIGHT_ANKLE"),
}
"""By name: the change on the left side, and the joints whose rotation it changes."""

PECULIARITY_NAMES = tuple(_KINDS)
