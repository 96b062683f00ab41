"""The decision threshold from subjects whom a network has not seen, without those on whom it is evaluated.

A network separates the subjects it was trained on far better than others, so their logits say nothing about where the
threshold belongs. Instead, further networks are trained, each without a part of the training subjects, who are then
judged; the logits of all parts are pooled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import scipy

from gait.arrays import Vector
from gait.errors import GaitError
from gait.motion.folds import make_folds

_GRID = 401


def split_training(subjects: Mapping[str, bool], num_parts: int) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Yield the subjects to train on and those to judge, for each part; every subject is judged once.

    ``subjects`` has the names of the training subjects and whether each is sick. With fewer subjects of a label than
    parts, there are fewer parts.

    Raises:
        GaitError: a label has a single subject.
    """
    sick = sum(subjects.values())
    fewest = min(sick, len(subjects) - sick)
    if fewest < 2:
        raise GaitError("--threshold_folds needs at least two controls and two patients in training; omit it.")
    for fold in make_folds(subjects, min(num_parts, fewest)):
        yield fold.training, fold.evaluation


def pooled_logits(
    subjects: Mapping[str, bool],
    num_parts: int,
    judge: Callable[[tuple[str, ...], tuple[str, ...]], Mapping[str, float]],
) -> tuple[Vector, Vector]:
    """Return the logits of subjects whom the judging network has not seen, (P,), and their labels (P,), 1 for sick.

    ``judge`` trains on the first subjects and returns the mean logit of each of the second ones that has a window.
    """
    logits: dict[str, float] = {}
    for training, judged in split_training(subjects, num_parts):
        logits |= judge(training, judged)
    names = sorted(logits)
    return np.array([logits[name] for name in names]), np.array([float(subjects[name]) for name in names])


@dataclass(frozen=True)
class Threshold:
    """A decision threshold, and how it separates the subjects from whom it comes."""

    logit: float  # above it, the prediction is sick
    num_subjects: int
    recall: float  # of the patients among them
    specificity: float  # of the controls
    control_logit: float  # median of the controls, minus the threshold


def find_threshold(logits: Vector, sick: Vector, wanted_specificity: float | None = None) -> Threshold:
    """Return the threshold with the highest expected balanced accuracy, given logits and labels (P,), 1 for sick.

    With ``wanted_specificity``, the lowest threshold below which this fraction of the controls is expected. With few
    subjects the accuracy jumps from subject to subject. So each logit stands for a normal distribution around it, whose
    width is that of a kernel density estimate (Silverman 1986, eq. 3.28, of the logits of its label).

    Raises:
        GaitError: a label is missing.
    """
    groups = [logits[sick == label] for label in (0, 1)]
    if not all(len(group) for group in groups):
        raise GaitError("--threshold_folds: no control or no patient in training has a window; omit it.")
    widths = [max(1.06 * group.std() * len(group) ** -0.2, 1e-3) for group in groups]
    grid = np.linspace(logits.min(), logits.max(), _GRID)
    specificity = scipy.stats.norm.cdf((grid[:, None] - groups[0]) / widths[0]).mean(axis=1)
    recall = scipy.stats.norm.sf((grid[:, None] - groups[1]) / widths[1]).mean(axis=1)
    if wanted_specificity is None:
        accuracy = (specificity + recall) / 2
        logit = float(grid[accuracy >= accuracy.max() - 1e-9].mean())
    else:
        logit = float(grid[min(int(np.searchsorted(specificity, wanted_specificity)), len(grid) - 1)])
    return Threshold(
        logit,
        len(logits),
        float((groups[1] > logit).mean()),
        float((groups[0] <= logit).mean()),
        float(np.median(groups[0]) - logit),
    )
