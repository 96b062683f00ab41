"""ROC AUC at matched walking speed: whether a network recognises patients among controls who walk as fast as they do.

Patients walk more slowly than controls, so a network that only measures the pace has a high AUC. Two forms:

* ``matched_speed_auc``, for cohorts as they are: only pairs of a patient and a control count whose speeds differ by at
  most ``WITHIN``. It is undefined with fewer than ``MIN_PAIRS`` pairs. Within that difference the patient is still the
  slower one more often, so the AUC of the speed alone over the same pairs stands beside it: that, not 0.5, is what a
  network reaches that only measures the pace.
* ``same_person_auc``, where each person was simulated both with a pathology and, at the same pace, without it.

Intervals are bootstraps over persons, as in ``metrics``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gait.arrays import Vector
from gait.learning.metrics import MetricWithInterval, bootstrap_weights, with_interval
from gait.learning.predictions import SubjectPredictions

WITHIN = 0.03
"""Greatest difference in dimensionless speed, v / sqrt(g · leg length), of a patient and a control who are compared."""

MIN_PAIRS = 10
"""Pairs below which the AUC at matched speed is undefined."""


@dataclass(frozen=True)
class MatchedAuc:
    """The ROC AUC over pairs of a patient and a control at the same walking speed."""

    auc: MetricWithInterval  # NaN with fewer than ``MIN_PAIRS`` pairs
    speed_alone: MetricWithInterval  # of the slower one as the patient, over the same pairs
    num_pairs: int
    num_sick: int  # patients in at least one pair
    num_healthy: int  # controls in at least one pair


def matched_speed_auc(
    sick: ArrayLike,
    score: ArrayLike,
    speed: ArrayLike,
    *,
    fold: ArrayLike | None = None,
    within: float = WITHIN,
    min_pairs: int = MIN_PAIRS,
    resamples: int = 1000,
    seed: int = 0,
) -> MatchedAuc:
    """Return the AUC over the pairs of a sick and a healthy subject whose speeds differ by at most ``within``.

    ``sick``, ``score`` and the dimensionless ``speed`` are (P,), one per subject; subjects of unknown speed (NaN) are
    in no pair. With ``fold`` (P,), only pairs of the same fold count, as different networks have different scales. A
    tie counts half. There is no interval if all pairs share a patient or a control.
    """
    truth, score, speed = np.asarray(sick, bool), np.asarray(score, np.float64), np.asarray(speed, np.float64)
    folds = np.zeros(len(truth)) if fold is None else np.asarray(fold)
    pairs = np.abs(speed[truth][:, None] - speed[~truth]) <= within + 1e-12
    pairs &= folds[truth][:, None] == folds[~truth]
    counts = {"num_pairs": int(pairs.sum()), "num_sick": int(pairs.any(axis=1).sum())}
    counts["num_healthy"] = int(pairs.any(axis=0).sum())
    undefined = MetricWithInterval(math.nan)
    if counts["num_pairs"] < min_pairs:
        return MatchedAuc(undefined, undefined, **counts)
    smaller = min(counts["num_sick"], counts["num_healthy"])
    classes, random = [np.flatnonzero(truth), np.flatnonzero(~truth)], np.random.default_rng(seed)
    weights = bootstrap_weights(classes, resamples, random) if smaller > 1 else None

    def estimate(values: Vector) -> MetricWithInterval:
        won = pairs * _wins(values[truth], values[~truth])
        value = float(won.sum() / pairs.sum())
        if weights is None:
            return MetricWithInterval(value)
        return with_interval(value, _weighted_auc(won, pairs, weights[:, truth], weights[:, ~truth]), smaller)

    return MatchedAuc(estimate(score), estimate(-np.nan_to_num(speed)), **counts)


def matched_auc(subjects: SubjectPredictions, speeds: Mapping[str, float | None]) -> MatchedAuc | None:
    """Return the AUC of subjects' probabilities at matched speed, in pairs within folds; None if no speed is known."""
    known = [speeds.get(name) for name in subjects.subjects]
    speed = np.array([math.nan if value is None else value for value in known])
    if not np.isfinite(speed).any():
        return None
    return matched_speed_auc(subjects.sick, subjects.probability, speed, fold=subjects.fold)


def same_person_auc(
    sick_score: ArrayLike,
    healthy_score: ArrayLike,
    *,
    group: ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> MetricWithInterval:
    """Return the AUC of scores (P,) of persons with a pathology over those of the same persons without it.

    All P² pairs count, so that both have the same paces without being paired one by one; with ``group`` (P,), those of
    the same group, whose scores are of the same network. The bootstrap draws persons, each with both scores.
    """
    sick, healthy = np.asarray(sick_score, np.float64), np.asarray(healthy_score, np.float64)
    if not len(sick):
        return MetricWithInterval(math.nan)
    groups = np.zeros(len(sick)) if group is None else np.asarray(group)
    pairs = groups[:, None] == groups
    won = pairs * _wins(sick, healthy)
    value = float(won.sum() / pairs.sum())
    if len(sick) < 2:
        return MetricWithInterval(value)
    weights = bootstrap_weights([np.arange(len(sick))], resamples, np.random.default_rng(seed))
    return with_interval(value, _weighted_auc(won, pairs, weights, weights), len(sick))


def _wins(scores: Vector, others: Vector) -> Vector:
    """Return 1 where a score (S,) is above one of the others (H,), 0.5 where both are equal, (S, H)."""
    difference = scores[:, None] - others
    return np.asarray((difference > 0) + 0.5 * (difference == 0), dtype=np.float64)


def _weighted_auc(won: Vector, pairs: NDArray[np.bool_], sick: Vector, healthy: Vector) -> Vector:
    """Return the AUC (R,) with subjects counted by weights (R, S) and (R, H); NaN where no pair is drawn."""
    wins, total = (((sick @ np.asarray(each, np.float64)) * healthy).sum(axis=1) for each in (won, pairs))
    return np.divide(wins, total, out=np.full(len(total), np.nan), where=total > 0)
