"""Measures of faithfulness of benchmarks alone, beside those of ``gait.explaining.faithfulness``."""

from __future__ import annotations

import numpy as np
import scipy
from torch import Tensor, nn

from gait.arrays import Vector
from gait.explaining.faithfulness import STEPS, DeletionCurves, deletion_curves


def insertion_curves(
    network: nn.Module, windows: Tensor, replacements: Tensor, scores: Tensor, *, steps: int = STEPS
) -> DeletionCurves:
    """Return the logits as the patches of windows (N, L, J, 3) are restored in their replacements.

    Arguments are those of ``deletion_curves``; the first row is of the replacements (Petsiuk et al. 2018, BMVC).
    """
    return deletion_curves(network, replacements.expand_as(windows), windows, scores, steps=steps)


def rise(insertion: DeletionCurves) -> Vector:
    """Return the rise of the logit of each window's class from that of the replacement, (S, N)."""
    logits = insertion.logits
    sign = np.where(logits[-1] < 0, np.float32(-1), np.float32(1))
    return np.asarray(sign * (logits - logits[0]), np.float64)


def insertion_auc(insertion: DeletionCurves) -> float:
    """Return the mean rise over windows and all fractions; higher is better."""
    return float(np.trapezoid(rise(insertion).mean(axis=1), insertion.fraction))


def rise_after(insertion: DeletionCurves, fraction: float) -> Vector:
    """Return the rise of the logit of each window (N,) after a fraction of the patches, between the steps linearly."""
    return np.array([np.interp(fraction, insertion.fraction, curve) for curve in rise(insertion).T])


def flipped_after(deletion: DeletionCurves, fraction: float) -> Vector:
    """Return 1 for each window (N,) whose decision has changed at a fraction of the patches, else 0.

    Between the steps it is interpolated linearly.
    """
    flipped = (deletion.logits < 0) != (deletion.logits[0] < 0)
    return np.array([np.interp(fraction, deletion.fraction, curve) for curve in flipped.T.astype(np.float64)])


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Return Spearman's rank correlation of two attributions (N, L, J), the mean over windows where it is defined."""
    ranks = [scipy.stats.rankdata(values.flatten(1).numpy(), axis=1) for values in (first, second)]
    centred = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    norms = np.prod([np.linalg.norm(rank, axis=1) for rank in centred], axis=0)
    products = (centred[0] * centred[1]).sum(axis=1)
    defined = norms > 0
    return float(np.mean(products[defined] / norms[defined])) if defined.any() else float("nan")
