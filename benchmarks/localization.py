"""Localization: whether an attribution names the joint, side and axis that a pathology of known cause changes.

Scores keep their sign: evidence for the sick class is positive, as a magnitude follows any deviation, also in a network
that has learned nothing. A localization proves nothing alone. It is to be compared with ``chance_localization``, with
networks that have shuffled weights or were trained on permuted labels, and with ``deviation_rankings``, which need no
network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.arrays import Vector
from gait.body.skeleton import BODY_PARENTS, MIRROR_ORDER, Joint, contralateral_joint
from gait.learning.metrics import MetricWithInterval, mean_over_persons

FIRST = 3
"""Number of joints that count as named first."""


@dataclass(frozen=True)
class Cause:
    """What a pathology changes."""

    joints: tuple[Joint, ...]  # whose rotation it changes
    axis: int | None = None  # 0 to 2, of the network's input, about which it changes them; None if there is no such one

    @property
    def contralateral(self) -> tuple[Joint, ...] | None:
        """The same joints of the other side; None of a bilateral pathology or of joints in the middle of the body."""
        other = tuple(sorted(map(contralateral_joint, self.joints)))
        return None if other == tuple(sorted(self.joints)) else other


@dataclass(frozen=True)
class Localization:
    """Where the scores of one person point; NaN where a metric is undefined."""

    first: float  # 1 if the joint of the highest score is one of the cause, else 0
    first_three: float  # 1 if one of the three joints of the highest scores is
    rank_auc: float  # probability that a joint of the cause has a higher score than another joint; chance is 0.5
    side: float  # 1 if the joints of the cause have a higher sum than those of the other side
    joint_and_axis: (
        float  # 1 if the highest score of all joints and axes is about the cause's axis of one of its joints
    )


METRICS = tuple(field.name for field in fields(Localization))


def localize(scores: Vector, cause: Cause) -> Localization:
    """Return where scores (J,), or (J, 3) by axis, of evidence for the sick class point; a tie counts by its fraction.

    The score of a joint is the sum over its axes.
    """
    joints = list(cause.joints)
    by_joint = scores if scores.ndim == 1 else scores.sum(axis=-1)
    is_cause = np.zeros(len(by_joint), dtype=bool)
    is_cause[joints] = True
    side = math.nan
    if cause.contralateral is not None:
        difference = float(by_joint[joints].sum() - by_joint[list(cause.contralateral)].sum())
        side = 0.5 * (1 + float(np.sign(difference)))
    joint_and_axis = math.nan
    if scores.ndim == 2 and cause.axis is not None:
        right = np.zeros(scores.shape, dtype=bool)
        right[joints, cause.axis] = True
        joint_and_axis = float(right[scores == scores.max()].mean())
    return Localization(
        first=float(is_cause[by_joint == by_joint.max()].mean()),
        first_three=_first_of(by_joint, is_cause, FIRST),
        rank_auc=_rank_auc(by_joint, is_cause),
        side=side,
        joint_and_axis=joint_and_axis,
    )


def chance_localization(cause: Cause, num_joints: int, *, with_axes: bool) -> Localization:
    """Return the expected localization of scores in random order."""
    count = len(set(cause.joints))
    none_first = math.comb(num_joints - count, FIRST) / math.comb(num_joints, FIRST)
    return Localization(
        first=count / num_joints,
        first_three=1 - none_first,
        rank_auc=0.5,
        side=math.nan if cause.contralateral is None else 0.5,
        joint_and_axis=count / (3 * num_joints) if with_axes and cause.axis is not None else math.nan,
    )


def mean_localization(persons: Sequence[Localization]) -> Localization:
    """Return the mean of several localizations of one person, such as those of several networks."""
    return Localization(**{name: float(np.mean([getattr(one, name) for one in persons])) for name in METRICS})


def localization_over_persons(persons: Sequence[Localization]) -> dict[str, MetricWithInterval]:
    """Return each metric's mean over persons, with its bootstrap interval."""
    return {name: mean_over_persons([getattr(person, name) for person in persons]) for name in METRICS}


def localization_lead(persons: Sequence[Localization], others: Sequence[Localization]) -> dict[str, MetricWithInterval]:
    """Return each metric's mean lead over another ranking of the same persons, with its paired bootstrap interval."""
    return {
        name: mean_over_persons(
            [getattr(one, name) - getattr(other, name) for one, other in zip(persons, others, strict=True)]
        )
        for name in METRICS
    }


def scores_of_windows(values: Tensor, is_mirrored: Tensor) -> Vector:
    """Return the scores (J,) or (J, 3) of one person: the sum over frames of its windows' mean attribution.

    ``values`` are (N, L, J) or (N, L, J, 3); those of mirrored windows (N,) are given back to the person's own sides.
    """
    sums = values.double().sum(dim=1)
    mirrored = is_mirrored.reshape(-1, *[1] * (sums.ndim - 1))
    return np.asarray(torch.where(mirrored, sums[:, list(MIRROR_ORDER)], sums).mean(dim=0).numpy(), dtype=np.float64)


def to_proximal_joints(scores: Vector) -> Vector:
    """Return the scores (J, …) of segments, each stored at the joint where it ends, at the joint where it begins."""
    moved = np.zeros_like(scores)
    for joint, parent in enumerate(BODY_PARENTS):
        if parent >= 0:
            moved[parent] += scores[joint]
    return moved


DEVIATION_RANKINGS = ("deviation", "squared_deviation", "varying_deviation", "deviation_in_sds")
"""The rankings of ``deviation_rankings``, in its order."""


def deviation_rankings(windows: Tensor, mean: Tensor, sd: Tensor) -> dict[str, Tensor]:
    """Return rankings that need no network, (N, L, J, 3), of windows (N, L, J, 3) against controls at the same phase.

    ``mean`` and ``sd``, (L, J, 3), are over windows of controls; SDs under a tenth of the median are taken as that.
    """
    difference = windows - mean
    varying = difference - difference.mean(dim=1, keepdim=True)
    in_sds = difference / sd.clamp_min(0.1 * float(sd.median()))
    values = (difference.abs(), difference.square(), varying.square(), in_sds.square())
    return dict(zip(DEVIATION_RANKINGS, values, strict=True))


def best_ranking(rankings: Mapping[str, Sequence[Localization]], metric: str = "first") -> str:
    """Return the name of the ranking with the highest mean of a metric over persons."""
    return max(rankings, key=lambda name: float(np.nanmean([getattr(one, metric) for one in rankings[name]])))


def _first_of(scores: Vector, wanted: NDArray[np.bool_], count: int) -> float:
    """Return the probability that one of the wanted is among the highest ``count`` scores, ties in random order."""
    threshold = np.sort(scores)[-count]
    above, tied = scores > threshold, scores == threshold
    if wanted[above].any():
        return 1.0
    places, others = count - int(above.sum()), int((tied & ~wanted).sum())
    return 1 - math.comb(others, places) / math.comb(int(tied.sum()), places)


def _rank_auc(scores: Vector, wanted: NDArray[np.bool_]) -> float:
    """Return Mann & Whitney's U of the wanted scores over the number of pairs; NaN if all or none are wanted."""
    count, others = int(wanted.sum()), int((~wanted).sum())
    if not count or not others:
        return math.nan
    return float((scipy.stats.rankdata(scores)[wanted].sum() - count * (count + 1) / 2) / (count * others))
