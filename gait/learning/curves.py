"""ROC curves and calibration of predictions by subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from sklearn.metrics import roc_curve

from gait.arrays import Vector
from gait.learning.metrics import expanded_percentiles
from gait.learning.predictions import SubjectPredictions

_RESAMPLES = 500


def mean_roc_curve(predictions: SubjectPredictions) -> tuple[Vector, Vector]:
    """Return the ROC curve (K,) of subjects: the mean over folds, weighted by the number of patient-control pairs.

    The area under it is ``roc_auc_within_folds``. Folds with a single label have no curve; at least one fold must have
    both labels.
    """
    fold = np.array(predictions.fold)
    curves, pairs = [], []
    for each in np.unique(fold):
        sick, score = predictions.sick[fold == each], predictions.probability[fold == each]
        if sick.any() and not sick.all():
            curves.append(roc_curve(sick, score, drop_intermediate=False)[:2])
            pairs.append(sick.sum() * (~sick).sum())
    at = np.unique(np.concatenate([fpr for fpr, _ in curves]))
    lower_upper = []
    for fpr, tpr in curves:
        first, last = np.searchsorted(fpr, at, "left"), np.searchsorted(fpr, at, "right") - 1
        between, steps = np.interp(at, fpr, tpr), fpr[first] == at
        lower_upper.append([np.where(steps, tpr[first], between), np.where(steps, tpr[last], between)])
    return np.repeat(at, 2), np.average(lower_upper, axis=0, weights=pairs).T.ravel()


def roc_band(predictions: SubjectPredictions, grid: Vector) -> tuple[Vector, Vector]:
    """Return the 95 % confidence band (low and high, each (K,)) of the true positive rate at the false positive rates.

    Subjects are resampled within their label, at least two per label; each keeps its fold. Ties count against the
    network. Each resample is averaged over folds as in ``mean_roc_curve``; the band is widened for few subjects in the
    same way as the intervals of the metrics. ``grid`` (K,) holds the false positive rates.
    """
    random = np.random.default_rng(0)
    fold, score = np.array(predictions.fold), predictions.probability
    sides = np.flatnonzero(predictions.sick), np.flatnonzero(~predictions.sick)
    drawn = np.zeros((_RESAMPLES, len(grid)))
    for row in drawn:
        sick, healthy = (random.choice(side, len(side)) for side in sides)
        pairs = 0
        for each in np.unique(fold):
            some, others = score[sick[fold[sick] == each]], np.sort(score[healthy[fold[healthy] == each]])[::-1]
            allowed = np.floor(grid * len(others) + 1e-9).astype(int)  # number of controls allowed above the threshold
            threshold = np.append(others, -np.inf)[allowed]
            row += len(others) * (some[None, :] > threshold[:, None]).sum(axis=1)
            pairs += len(some) * len(others)
        row /= pairs or np.nan
    low, high = np.nanquantile(drawn, expanded_percentiles(min(map(len, sides))), axis=0)
    return low, high


@dataclass(frozen=True)
class CalibrationBin:
    """Subjects with similar predicted probabilities."""

    centre: float  # of the bin
    num_bins: int  # of equal width
    num_subjects: int
    mean_probability: float
    sick_fraction: float  # fraction of patients
    low: float  # bounds of its 95 % interval (Wilson)
    high: float


def calibration_bins(predictions: SubjectPredictions) -> list[CalibrationBin]:
    """Return the non-empty bins of equal width: on average at least eight subjects per bin, at most five bins."""
    num_bins = int(np.clip(len(predictions.subjects) // 8, 1, 5))
    bin_of = np.minimum((predictions.probability * num_bins).astype(int), num_bins - 1)
    bins = []
    for k in np.unique(bin_of):
        sick, probability = predictions.sick[bin_of == k], predictions.probability[bin_of == k]
        interval = scipy.stats.binomtest(int(sick.sum()), len(sick)).proportion_ci(0.95, method="wilson")
        bins.append(
            CalibrationBin(
                centre=(k + 0.5) / num_bins,
                num_bins=num_bins,
                num_subjects=len(sick),
                mean_probability=float(probability.mean()),
                sick_fraction=float(sick.mean()),
                low=interval.low,
                high=interval.high,
            )
        )
    return bins
