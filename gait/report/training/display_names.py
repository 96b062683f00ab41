"""How a report calls networks, baselines, metrics and persons."""

from __future__ import annotations

import re

_JUDGES = {
    "transformer": "Transformer",
    "mlp": "MLP",
    "zero_rule": "Zero rule",
    "walking_speed": "Walking speed",
    "gait_features": "Gait features",
    "minirocket": "MiniRocket",
}
BASELINES = {
    "zero_rule": (
        "gives everyone the share of the sick among the training persons; it looks at nobody. Where both labels are "
        "about as many, it can fall below a guess: more sick persons to judge in a fold are fewer to learn from"
    ),
    "walking_speed": "logistic regression on walking speed alone",
    "gait_features": "logistic regression on a dozen spatio-temporal and joint-range features",
    "minirocket": "random convolutions and a linear classifier on the same windows (Dempster et al. 2021)",
}
METRICS = {
    "balanced_accuracy": ("Balanced accuracy", "mean of recall and specificity; a guess has 0.5"),
    "roc_auc": (
        "ROC AUC",
        "how often a sick one gets a higher probability than a healthy one, pairs within folds; a guess has 0.5",
    ),
    "roc_auc_pooled": (
        "ROC AUC, pooled",
        "the same over all pairs, also of different folds, whose networks have different scales; a guess can have less",
    ),
    "accuracy": ("Accuracy", "share judged right"),
    "recall": ("Recall", "share of the sick who are called sick (sensitivity)"),
    "specificity": ("Specificity", "share of the healthy who are called healthy"),
    "precision": ("Precision", "share of those called sick who are"),
    "f1": ("F1", "harmonic mean of precision and recall"),
    "brier": ("Brier score", "mean squared error of the probability: less is better, always saying ½ has 0.25"),
}


def judge_name(name: str) -> str:
    """Of a network or a baseline, as a reader meets it."""
    return _JUDGES.get(name, name.replace("_", " "))


def within_sentence(name: str) -> str:
    """Of a baseline, in the middle of a sentence."""
    return {"zero_rule": "the zero rule", "minirocket": "MiniRocket"}.get(name, judge_name(name).lower())


def printable(text: str) -> str:
    """A box for what cannot be shown: a terminal's codes, marks that turn the writing around, broken letters."""
    return "".join(c if c.isprintable() else "□" for c in text)


def shortened(name: str, most: int) -> str:
    """The name with its middle left out if it is longer than ``most`` letters."""
    name = printable(name)
    if len(name) <= most:
        return name
    end = (most - 1) // 2
    return f"{name[: most - 1 - end]}…{name[-end:]}"


def in_order(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts P2 before P10."""
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name))
