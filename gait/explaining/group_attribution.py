"""What was pivotal over a whole cohort: by joint and phase, for healthy and sick persons, right and wrong decisions.

Every person counts once, judged and explained by the network of the fold that did not see them. Networks of different
folds have logits of different sizes, so each one's importance is measured by its own usual size: the mean of
|importance| over the persons it judged, joints and phases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import NUM_BODY_JOINTS
from gait.kinematics.gait_cycle import PERCENT, GaitCycle, on_own_cycle
from gait.kinematics.gait_events import SIDES
from gait.learning.metrics import THRESHOLD

Vector = NDArray[np.float64]

GROUPS = ("healthy", "sick", "right", "wrong")
"""Persons by their label, and by whether the network was right about them."""


@dataclass(frozen=True, eq=False)
class SubjectAttribution:
    """What was pivotal in one person's gaits."""

    person: str  # "sick/P02"
    sick: bool  # the truth
    probability: float  # of sick, by the network that did not see this person
    fold: int  # of that network
    cycles: int  # strides that are averaged, of both feet
    importance: Vector  # (101, 22) over the gait cycle, each joint over its own side's; NaN where nothing is known

    @property
    def right(self) -> bool:
        """Whether the network was right."""
        return (self.probability >= THRESHOLD) == self.sick

    def belongs_to(self, group: str) -> bool:
        """Whether this is one of a group of ``GROUPS``."""
        return {"healthy": not self.sick, "sick": self.sick, "right": self.right, "wrong": not self.right}[group]


@dataclass(frozen=True, eq=False)
class GroupAttribution:
    """The mean over the persons of a group."""

    persons: tuple[str, ...]
    importance: Vector  # (101, 22) in the networks' usual size; NaN where nobody has anything


@dataclass(frozen=True, eq=False)
class GroupComparison:
    """A method's view of everybody."""

    persons: tuple[SubjectAttribution, ...]  # importance in the usual size of their network
    groups: Mapping[str, GroupAttribution]  # of GROUPS; those without a person are left out
    # Of those of a label that the network was right about, the one whose map is the most like the mean of the others'.
    typical: Mapping[str, SubjectAttribution]  # "healthy", "sick"; left out where there is none
    doubtful: SubjectAttribution  # whose probability is the nearest to one half


def person_importance(
    person: str, probability: float, fold: int, gaits: Sequence[Mapping[str, GaitCycle]], *, sick: bool
) -> SubjectAttribution:
    """One person's mean cycle, over all gaits, each counted by its strides.

    Args:
        person: name.
        probability: of sick.
        fold: whose network said so.
        gaits: the cycles of each gait.
        sick: the truth.
    """
    means = {}
    for side in SIDES:
        own = [cycles[side] for cycles in gaits if cycles[side].cycles]
        strides = np.array([cycle.cycles for cycle in own], dtype=np.float64)
        means[side] = (_mean([cycle.importance for cycle in own], strides), int(strides.sum()))
    importance = on_own_cycle({side: mean for side, (mean, _) in means.items()})
    return SubjectAttribution(person, sick, probability, fold, sum(count for _, count in means.values()), importance)


def cohort_view(persons: Sequence[SubjectAttribution]) -> GroupComparison:
    """The view over these persons, at least one."""
    usual = {
        fold: _usual_size([one.importance for one in persons if one.fold == fold])
        for fold in {one.fold for one in persons}
    }
    known = [replace(one, importance=one.importance / usual[one.fold]) for one in persons]
    members = {group: [one for one in known if one.belongs_to(group)] for group in GROUPS}
    typical = {}
    for label in ("healthy", "sick"):
        if candidates := [one for one in members[label] if one.right and one.cycles]:
            typical[label] = max(candidates, key=lambda one: _likeness(one, candidates))
    return GroupComparison(
        persons=tuple(known),
        groups={
            group: GroupAttribution(tuple(one.person for one in own), _mean([one.importance for one in own]))
            for group, own in members.items()
            if own
        },
        typical=typical,
        doubtful=min(known, key=lambda one: abs(one.probability - 0.5)),
    )


def _usual_size(maps: Sequence[Vector]) -> float:
    sizes = np.abs(np.concatenate([one[np.isfinite(one)] for one in maps]))
    usual = float(sizes.mean()) if len(sizes) else 0.0
    return usual if usual > 0 else 1.0


def _likeness(one: SubjectAttribution, candidates: Sequence[SubjectAttribution]) -> float:
    """The cosine between a person's map and the mean of the others'."""
    others = [other.importance for other in candidates if other is not one]
    if not others:
        return 0.0
    mean = _mean(others)
    both = np.isfinite(mean) & np.isfinite(one.importance)
    a, b = one.importance[both], mean[both]
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else -1.0


def _mean(maps: Sequence[Vector], weights: Vector | None = None) -> Vector:
    """(101, 22) mean of what is known, NaN where nothing is; ``weights`` (N,) are all 1 if None."""
    stack = np.array(maps).reshape(-1, len(PERCENT), NUM_BODY_JOINTS)
    has = np.isfinite(stack)
    share = has * (np.ones(len(maps)) if weights is None else weights)[:, None, None]
    total = share.sum(axis=0)
    return np.where(total > 0, (np.where(has, stack, 0.0) * share).sum(axis=0) / np.where(total > 0, total, 1), np.nan)
