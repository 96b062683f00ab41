"""The keys that earlier versions wrote into checkpoints and fold results, and the present key of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ARCHITECTURE = {"one_frame_in": "frame_subsampling"}
BASELINES = {"zero_rule": "prior_baseline"}
METRICS = {"persons": "subjects", "roc_auc": "roc_auc_within_folds"}
FOLD_RESULT = {"leak_check": "confounder_check"}
PREDICTIONS = {"persons": "subjects", "gaits": "trials", "person": "subject_index", "gait": "trial_index"}
TRAINING_STATE = {"run": "run_id"}

_INPUTS = {
    "evaluation persons": "evaluation_subjects",
    "folds": "k_folds",
    "frame_rate": "frame_rate_hz",
    "mirrored windows": "mirror",
    "poses": "data_sha256",
    "weigh_classes": "use_class_weights",
    "window": "window_length",
}
_CONFOUNDER_CHECK = {"leaks": "confounded", "lines": "messages"}
_CONFOUNDER = {"leaks": "is_confounder", "line": "message"}
_FACTORS = {"all_together": "combined", "missing_share": "missing_fraction", "recording_length": "trial_duration"}


def rename_keys(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the mapping with old keys replaced; other keys stay."""
    return {names.get(key, key): value for key, value in values.items()}


def rename_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's metrics, by windows and by subjects, with present keys."""
    return {
        view: rename_keys(values, METRICS) if isinstance(values, Mapping) else values
        for view, values in rename_keys(metrics, METRICS).items()
    }


def rename_inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs of a training, as a checkpoint stores them, with present keys."""
    prefix = "network's "
    return {
        f"architecture.{ARCHITECTURE.get(size := key.removeprefix(prefix), size)}"
        if key.startswith(prefix)
        else _INPUTS.get(key, key): value
        for key, value in inputs.items()
    }


def rename_confounder_check(check: Mapping[str, Any]) -> dict[str, Any]:
    """Return a confounder check, as a fold result stores it, with present keys."""
    renamed = rename_keys(check, _CONFOUNDER_CHECK)
    if "factors" in renamed:
        factors = rename_keys(renamed["factors"], _FACTORS)
        renamed["factors"] = {name: rename_keys(factor, _CONFOUNDER) for name, factor in factors.items()}
    return renamed
