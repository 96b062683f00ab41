"""Names and descriptions of networks, baseline classifiers and metrics in reports."""

from __future__ import annotations

from gait.kinematics.gait_features import FEATURES
from gait.text import capitalize

_CLASSIFIERS = {
    "prior_baseline": "Class prior",
    "walking_speed": "Walking speed",
    "gait_features": "Gait features",
    "minirocket": "MiniRocket",
}
BASELINES = {
    "prior_baseline": (
        "predicts the fraction of patients among the training subjects for every subject, without using any gait data; "
        "with balanced groups it can fall below chance, because a fold with more patients to test leaves fewer to "
        "train on"
    ),
    "walking_speed": "logistic regression on walking speed alone",
    "gait_features": f"logistic regression on {len(FEATURES)} spatio-temporal and joint-range features",
    "minirocket": "random convolutions and a linear classifier on the same windows (Dempster et al. 2021)",
}
METRICS = {
    "balanced_accuracy": ("Balanced accuracy", "mean of sensitivity and specificity; chance is 0.5"),
    "roc_auc_within_folds": (
        "ROC AUC",
        "probability that a patient scores higher than a control of the same fold; chance is 0.5",
    ),
    "roc_auc_pooled": (
        "ROC AUC, pooled",
        "the same over all pairs, including pairs of different folds, whose networks are not on one scale; chance can "
        "be below 0.5",
    ),
    "accuracy": ("Accuracy", "fraction classified correctly"),
    "recall": ("Recall (sensitivity)", "fraction of patients classified as sick"),
    "specificity": ("Specificity", "fraction of controls classified as healthy"),
    "precision": ("Precision", "fraction of those classified as sick who are patients"),
    "f1": ("F1", "harmonic mean of precision and recall"),
    "brier": ("Brier score", "mean squared error of P(sick); lower is better, a constant 0.5 has 0.25"),
}


def classifier_name(name: str) -> str:
    """Return the display name of a network or a baseline classifier."""
    from gait.learning.networks import NETWORKS  # imports torch; many pages name no classifier

    title = NETWORKS[name].title if name in NETWORKS else _CLASSIFIERS.get(name, name.replace("_", " "))
    return capitalize(title)


def name_in_sentence(name: str) -> str:
    """Return the display name of a baseline classifier as used within a sentence."""
    return {"prior_baseline": "the class prior", "minirocket": "MiniRocket"}.get(name, classifier_name(name).lower())
