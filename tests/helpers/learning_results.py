"""Fold results with known truth, for tests of the report."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gait.learning.fold_result import FoldResult
from gait.learning.predictions import Predictions
from gait.motion.folds import Fold, make_folds

NO_CONFOUNDER = {"confounded": False, "messages": ["No factor predicts the label."], "factors": {}}
CONFOUNDED = {
    "confounded": True,
    "messages": ["Frame rate alone predicts the label.", "Frame rate: predicts the label (ROC AUC 1.00)."],
    "factors": {
        "height": {"is_confounder": False, "message": "height: does not predict the label (ROC AUC 0.52)."},
        "frame_rate": {"is_confounder": True, "message": "frame rate: predicts the label (ROC AUC 1.00)."},
    },
}


def subject_labels(healthy: int, sick: int) -> dict[str, bool]:
    return {f"healthy/H{k}": False for k in range(1, healthy + 1)} | {f"sick/S{k}": True for k in range(1, sick + 1)}


def predicted(
    subjects: Sequence[str], sick: dict[str, bool], skill: float, seed: int = 0, windows: int = 5
) -> Predictions:
    """Return random predictions of the given skill: 0 is chance, 3 is nearly always correct."""
    random = np.random.default_rng([seed, len(subjects)])
    truth = np.array([sick[name] for name in subjects], dtype=bool)
    centre = skill * (2.0 * truth - 1) + random.normal(0, 1, len(subjects))
    index = np.repeat(np.arange(len(subjects)), windows)
    logit = centre[index] + random.normal(0, 0.4, len(index))
    return Predictions(
        subjects=tuple(subjects),
        trials=tuple(f"{name}/walk1" for name in subjects),
        subject_index=index,
        trial_index=index.copy(),
        first_frame=np.tile(np.arange(windows) * 16, len(subjects)),
        sick=truth[index],
        probability=1 / (1 + np.exp(-logit)),
    )


def constant(like: Predictions, probability: float) -> Predictions:
    return dataclasses.replace(like, probability=np.full(len(like), probability))


def epochs(count: int, seed: int = 0, undefined: bool = False) -> tuple[dict[str, Any], ...]:
    random = np.random.default_rng(seed)
    names = ("accuracy", "precision", "recall", "specificity", "f1")

    def random_metrics(k: int, scale: float) -> dict[str, float]:
        metrics = {"loss": 0.69 * scale**k, **{name: float(random.uniform(0.5, 1)) for name in names}}
        return metrics | ({"precision": math.nan} if undefined else {})

    return tuple(
        {"train": random_metrics(k, 0.8), "eval": random_metrics(k, 0.9), "seconds": 2.5} for k in range(count)
    )


def fold_result(fold: Fold, sick: dict[str, bool], skill: float = 1.5, **changes: Any) -> FoldResult:
    """Return a fold result as a training writes it; ``changes`` replace fields, or the flags behind properties."""
    flags = {"window_length": "interval_size", "frame_rate_hz": "frame_rate", "stride": "stride"}
    changed_flags = {flags[name]: changes.pop(name) for name in flags if name in changes}
    sick = sick | {name: name.startswith("sick/") for name in fold.training if name not in sick}
    predictions = predicted(fold.evaluation, sick, skill, seed=fold.index)
    fields: dict[str, Any] = {
        "network": "transformer",
        "architecture": {"kind": "transformer", "pose_dim": 64, "classifier_dim": 32},
        "arguments": {
            "batch_size": 64, "interval_size": 128, "epochs": 3, "lr": 1e-4, "pfe_dim": 64, "fc_dim": 32,
            "pfe_head": 2, "fc_head": 4, "save_folder": "./trained_transformer", "base_folder": "./optimized_poses",
            "seed": 7, "cross": "all", "k_folds": fold.count, "use_pos_ratio": False, "timeout": None, "stride": 8,
            "frame_rate": 100.0, **changed_flags,
        },
        "command": "python train_transformer.py --cross all",
        "fold": fold,
        "sick": sick,
        "epochs": epochs(3, fold.index),
        "evaluation": predictions,
        "baselines": {
            "prior_baseline": constant(predictions, 0.5),
            "walking_speed": predicted(fold.evaluation, sick, 0.5, seed=100 + fold.index),
            "gait_features": predicted(fold.evaluation, sick, 1.0, seed=200 + fold.index),
            "minirocket": "MiniRocket needs aeon, which is not installed.",
        },
        "confounder_check": NO_CONFOUNDER,
        "training_windows": 1200,
        "evaluation_windows": len(predictions),
        "normalisation": "published",
        "seconds": 12.5,
        "versions": {"gait-suite": "0.1.0", "torch": "2.13.0"},
        "problems": ("healthy/H1/walk9: 40 frames are shorter than a window of 128; excluded.",),
        "validation": (),
        "chosen_epoch": 2,
        "timed_out": False,
    }  # fmt: skip
    flags = {
        "window_length": "interval_size",
        "frame_rate_hz": "frame_rate",
        "stride": "stride",
    }  # properties of a result
    fields["arguments"] |= {flag: changes.pop(name) for name, flag in flags.items() if name in changes}
    return FoldResult(**(fields | changes))


def fold_results(
    healthy: int = 12,
    sick: int = 12,
    k_folds: int = 3,
    name: Callable[[str], str] = lambda name: name,
    **changes: Any,
) -> list[FoldResult]:
    """Return all folds of a cohort; ``name`` may change the names of the subjects."""
    labels = {name(subject): is_sick for subject, is_sick in subject_labels(healthy, sick).items()}
    return [fold_result(fold, labels, **changes) for fold in make_folds(labels, k_folds)]
