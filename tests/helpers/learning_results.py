"""Results of folds with known truth, for tests of what is told about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gait.learning.fold_result import FoldResult
from gait.learning.predictions import Predictions
from gait.motion.folds import Fold, person_folds

NO_LEAK = {"leaks": False, "lines": ["Nothing that should not matter tells the label."], "factors": {}}
LEAK = {
    "leaks": True,
    "lines": ["Frame rate alone tells healthy from sick.", "Frame rate: tells (ROC AUC 1.00)."],
    "factors": {
        "height": {"leaks": False, "line": "height: does not tell (ROC AUC 0.52)."},
        "frame_rate": {"leaks": True, "line": "frame rate: tells (ROC AUC 1.00)."},
    },
}


def people(healthy: int, sick: int) -> dict[str, bool]:
    return {f"healthy/H{k}": False for k in range(1, healthy + 1)} | {f"sick/S{k}": True for k in range(1, sick + 1)}


def predicted(
    persons: Sequence[str], sick: dict[str, bool], skill: float, seed: int = 0, windows: int = 5
) -> Predictions:
    """Windows about a probability that is right with ``skill``: 0 is chance, 3 is nearly always right."""
    random = np.random.default_rng([seed, len(persons)])
    truth = np.array([sick[name] for name in persons], dtype=bool)
    centre = skill * (2.0 * truth - 1) + random.normal(0, 1, len(persons))
    person = np.repeat(np.arange(len(persons)), windows)
    logit = centre[person] + random.normal(0, 0.4, len(person))
    return Predictions(
        persons=tuple(persons),
        gaits=tuple(f"{name}/walk1" for name in persons),
        person=person,
        gait=person.copy(),
        first_frame=np.tile(np.arange(windows) * 16, len(persons)),
        sick=truth[person],
        probability=1 / (1 + np.exp(-logit)),
    )


def constant(like: Predictions, probability: float) -> Predictions:
    return Predictions(
        like.persons, like.gaits, like.person, like.gait, like.first_frame, like.sick, np.full(len(like), probability)
    )


def epochs(count: int, seed: int = 0, undefined: bool = False) -> tuple[dict[str, Any], ...]:
    random = np.random.default_rng(seed)
    names = ("accuracy", "precision", "recall", "specificity", "f1")

    def figures(k: int, scale: float) -> dict[str, float]:
        found = {"loss": 0.69 * scale**k, **{name: float(random.uniform(0.5, 1)) for name in names}}
        return found | ({"precision": math.nan} if undefined else {})

    return tuple({"train": figures(k, 0.8), "eval": figures(k, 0.9), "seconds": 2.5} for k in range(count))


def fold_result(fold: Fold, sick: dict[str, bool], skill: float = 1.5, **changes: Any) -> FoldResult:
    """A fold as a training leaves it; ``changes`` are fields of it."""
    sick = sick | {name: name.startswith("sick/") for name in fold.training if name not in sick}
    said = predicted(fold.evaluation, sick, skill, seed=fold.index)
    known: dict[str, Any] = {
        "network": "transformer",
        "architecture": {"kind": "transformer", "pose_dim": 64, "classifier_dim": 32},
        "arguments": {
            "batch_size": 64, "interval_size": 128, "epochs": 3, "lr": 1e-4, "pfe_dim": 64, "fc_dim": 32,
            "pfe_head": 2, "fc_head": 4, "save_folder": "./trained_transformer", "base_folder": "./optimized_poses",
            "seed": 7, "cross": "all", "k_folds": fold.count, "use_pos_ratio": False, "timeout": None, "stride": 8,
        },
        "command": "python train_transformer.py --cross all",
        "fold": fold,
        "sick": sick,
        "epochs": epochs(3, fold.index),
        "evaluation": said,
        "baselines": {
            "zero_rule": constant(said, 0.5),
            "walking_speed": predicted(fold.evaluation, sick, 0.5, seed=100 + fold.index),
            "gait_features": predicted(fold.evaluation, sick, 1.0, seed=200 + fold.index),
            "minirocket": "MiniRocket needs aeon, which is not installed.",
        },
        "leak_check": NO_LEAK,
        "training_windows": 1200,
        "evaluation_windows": len(said),
        "window_length": 128,
        "frame_rate_hz": 100.0,
        "stride": 8,
        "normalisation": "published",
        "seed": 7,
        "seconds": 12.5,
        "versions": {"gait-suite": "0.1.0", "torch": "2.13.0"},
        "problems": ("healthy/H1/walk9: 40 frames are shorter than a window of 128; left out.",),
        "validation": (),
        "chosen_epoch": 2,
        "timed_out": False,
    }  # fmt: skip
    return FoldResult(**(known | changes))


def fold_results(
    healthy: int = 12,
    sick: int = 12,
    k_folds: int = 3,
    name: Callable[[str], str] = lambda name: name,
    **changes: Any,
) -> list[FoldResult]:
    """All folds of a cohort; ``name`` may give the persons other names."""
    labels = {name(person): is_sick for person, is_sick in people(healthy, sick).items()}
    return [fold_result(fold, labels, **changes) for fold in person_folds(labels, k_folds)]
