"""Attribution over a cohort: group means over the gait cycle, by label and by correctness of the prediction.

Each subject counts once, with the attribution of the network of the fold that evaluates it. Logits of different folds'
networks differ in scale, so attribution is divided by its typical scale per fold: the mean of |attribution| over the
evaluated subjects, joints and phases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.kinematics.gait_cycle import PERCENT, GaitCycle, combine_ipsilateral_cycles
from gait.kinematics.gait_events import SIDES
from gait.learning.metrics import THRESHOLD


@dataclass(frozen=True, eq=False)
class SubjectAttribution:
    """Mean attribution of one subject over all trials."""

    subject: str  # "sick/P02"
    sick: bool  # true label
    probability: float  # P(sick) by the network of the fold that evaluates this subject
    fold: int  # of that network
    num_cycles: int  # averaged, of both sides
    attribution: Vector  # (101, 22) over the gait cycle of each joint's own side; NaN where nothing is known

    @property
    def correct(self) -> bool:
        """True if the prediction matches the label."""
        return (self.probability >= THRESHOLD) == self.sick


GROUPS: Mapping[str, Callable[[SubjectAttribution], bool]] = {
    "healthy": lambda subject: not subject.sick,
    "sick": lambda subject: subject.sick,
    "correct": lambda subject: subject.correct,
    "incorrect": lambda subject: not subject.correct,
}
"""Groups of subjects, by label and by whether the prediction is correct: whether a subject belongs to each."""


@dataclass(frozen=True, eq=False)
class GroupAttribution:
    """Mean attribution over the subjects of a group."""

    subjects: tuple[str, ...]
    attribution: Vector  # (101, 22) in units of the networks' typical scale; NaN where no subject has a value
    num_subjects: NDArray[np.int64]  # (22,) whose trials observe each joint, over which its mean is


@dataclass(frozen=True, eq=False)
class GroupComparison:
    """Attribution of all subjects of a cohort by one method, with group means."""

    subjects: tuple[SubjectAttribution, ...]  # attribution in units of their network's typical scale
    groups: Mapping[str, GroupAttribution]  # group of GROUPS -> its mean; without empty groups
    # Label -> the correctly classified subject whose attribution has the largest cosine similarity to the mean of the
    # other correctly classified ones; without labels that have no such subject.
    representative: Mapping[str, SubjectAttribution]
    most_uncertain: SubjectAttribution  # with P(sick) nearest to one half

    @property
    def all_subjects(self) -> GroupAttribution:
        """The mean over all subjects."""
        return _average_group(self.subjects)


def average_subject_attribution(
    subject: str, probability: float, fold: int, trials: Sequence[Mapping[str, GaitCycle]], *, sick: bool
) -> SubjectAttribution:
    """Average a subject's gait cycles, by side, over all trials, weighted by their numbers of cycles.

    The other arguments are those of ``SubjectAttribution``.
    """
    means = {}
    for side in SIDES:
        own = [cycles[side] for cycles in trials if cycles[side].num_cycles]
        strides = np.array([cycle.num_cycles for cycle in own], dtype=np.float64)
        means[side] = (_mean([cycle.values for cycle in own], strides), int(strides.sum()))
    attribution = combine_ipsilateral_cycles({side: mean for side, (mean, _) in means.items()})
    num_cycles = sum(count for _, count in means.values())
    return SubjectAttribution(subject, sick, probability, fold, num_cycles, attribution)


def compare_groups(subjects: Sequence[SubjectAttribution]) -> GroupComparison:
    """Scale the attribution of subjects (at least one) and average it per group."""
    scale = {
        fold: _typical_scale([subject.attribution for subject in subjects if subject.fold == fold])
        for fold in {subject.fold for subject in subjects}
    }
    scaled = [replace(subject, attribution=subject.attribution / scale[subject.fold]) for subject in subjects]
    members = {group: list(filter(belongs, scaled)) for group, belongs in GROUPS.items()}
    representative = {}
    for label in ("healthy", "sick"):
        if candidates := [subject for subject in members[label] if subject.correct and subject.num_cycles]:
            representative[label] = max(candidates, key=lambda subject: _cosine_similarity(subject, candidates))
    return GroupComparison(
        subjects=tuple(scaled),
        groups={group: _average_group(own) for group, own in members.items() if own},
        representative=representative,
        most_uncertain=min(scaled, key=lambda subject: abs(subject.probability - 0.5)),
    )


def _average_group(subjects: Sequence[SubjectAttribution]) -> GroupAttribution:
    attributions = [subject.attribution for subject in subjects]
    num_subjects = np.sum([np.isfinite(values).any(axis=0) for values in attributions], axis=0)
    return GroupAttribution(tuple(subject.subject for subject in subjects), _mean(attributions), num_subjects)


def _typical_scale(attributions: Sequence[Vector]) -> float:
    """Return the mean of the finite |values|, or 1 if it is 0 or there are none."""
    magnitudes = np.abs(np.concatenate([values[np.isfinite(values)] for values in attributions]))
    scale = float(magnitudes.mean()) if len(magnitudes) else 0.0
    return scale if scale > 0 else 1.0


def _cosine_similarity(subject: SubjectAttribution, candidates: Sequence[SubjectAttribution]) -> float:
    """Return the cosine similarity of a subject's attribution and the mean of the other candidates'."""
    others = [other.attribution for other in candidates if other is not subject]
    if not others:
        return 0.0
    mean = _mean(others)
    both = np.isfinite(mean) & np.isfinite(subject.attribution)
    a, b = subject.attribution[both], mean[both]
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm > 0 else -1.0


def _mean(attributions: Sequence[Vector], weights: Vector | None = None) -> Vector:
    """Return the mean (101, 22) of the finite values of N arrays (101, 22), NaN where there are none; weights (N,)."""
    stack = np.array(attributions).reshape(-1, len(PERCENT), NUM_BODY_JOINTS)
    finite = np.isfinite(stack)
    weight = finite * (np.ones(len(attributions)) if weights is None else weights)[:, None, None]
    total = weight.sum(axis=0)
    return np.where(
        total > 0, (np.where(finite, stack, 0.0) * weight).sum(axis=0) / np.where(total > 0, total, 1), np.nan
    )
