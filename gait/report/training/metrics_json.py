"""Write ``metrics_<network>_fold<k>.json`` and ``metrics_<network>_all.json``.

The files keep the keys of the original implementation and add those of this package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gait.files.atomic_write import atomic_file
from gait.learning.cross_validation_summary import CrossValidationSummary
from gait.learning.fold_result import Epoch, FoldResult, fold_as_dict, to_strict_json

# Key of the original implementation -> command-line flag.
_ORIGINAL_KEYS = {
    "seed": "seed",
    "positive_ratio_used": "use_pos_ratio",
    "learning_rate": "lr",
    "interval_length": "interval_size",
    "batch_size": "batch_size",
    "pfe_dimension": "pfe_dim",
    "fc_dimension": "fc_dim",
    "feat_head": "pfe_head",
    "fc_head": "fc_head",
    "pfe_layers": "pfe_layers",
    "fc_layers": "fc_layers",
}


def metrics_file(save_folder: Path, network: str, fold: int | None) -> Path:
    """Return the path of the metrics of one fold, or of all folds if ``fold`` is None."""
    return Path(save_folder) / f"metrics_{network}_{'all' if fold is None else f'fold{fold}'}.json"


def fold_metrics(fold: CrossValidationSummary) -> dict[str, Any]:
    """Return all metrics and settings of one fold as strict JSON data."""
    (result,) = fold.folds
    return _all_data(fold, result.fold.index, {"fold": _fold_info(result)})


def all_metrics(summary: CrossValidationSummary) -> dict[str, Any]:
    """Return all metrics and settings of all folds as strict JSON data; metrics of an epoch are means over folds."""
    info = {result.fold.index: _fold_info(result) for result in summary.folds}
    return _all_data(summary, list(info), {"folds": info})


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write the metrics atomically.

    Raises:
        GaitError: the disk is full or the file cannot be written.
    """
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _all_data(summary: CrossValidationSummary, crossid: int | list[int], folds: dict[str, Any]) -> dict[str, Any]:
    first = summary.folds[0]
    epochs = min(len(result.epochs) for result in summary.folds)
    return to_strict_json(
        {
            **{key: first.arguments[flag] for key, flag in _ORIGINAL_KEYS.items() if flag in first.arguments},
            "crossid": crossid,
            "epochs": epochs,
            **{str(k): _mean_epoch_metrics([result.epochs[k] for result in summary.folds]) for k in range(epochs)},
            **_test_metrics(summary),
            **folds,
            **_provenance(first),
        }
    )


def _test_metrics(summary: CrossValidationSummary) -> dict[str, Any]:
    predictions = summary.network.subject_predictions
    return {
        "windows": summary.network.window_metrics,
        "subjects": summary.network.subject_metrics,
        **({} if summary.matched_speed is None else {"matched_speed": summary.matched_speed}),
        "baselines": {
            **{
                classifier.name: {
                    "windows": classifier.window_metrics,
                    "subjects": classifier.subject_metrics,
                    "network_minus_baseline": {"balanced_accuracy": classifier.accuracy_gain},
                }
                for classifier in summary.baselines
            },
            **{name: {"missing": line} for name, line in summary.missing.items()},
        },
        "confounder_check": summary.folds[-1].confounder_check,
        "probability_by_subject": {
            name: {"sick": bool(sick), "probability": float(probability)}
            for name, sick, probability in zip(
                predictions.subjects, predictions.sick, predictions.probability, strict=True
            )
        },
        "problems": summary.problems,
    }


def _fold_info(result: FoldResult) -> dict[str, Any]:
    return {
        **fold_as_dict(result.fold),
        "validation": result.validation,
        "training_windows": result.training_windows,
        "evaluation_windows": result.evaluation_windows,
        "epochs": len(result.epochs),
        "chosen_epoch": result.chosen_epoch,
        "timed_out": result.timed_out,
        "seconds": result.seconds,
    }


def _provenance(result: FoldResult) -> dict[str, Any]:
    return {
        "network": result.network,
        "architecture": result.architecture,
        "window_length": result.window_length,
        "frame_rate_hz": result.frame_rate_hz,
        "stride": result.stride,
        "normalisation": result.normalisation,
        "left_out": result.left_out,
        "arguments": result.arguments,
        "command": result.command,
        "versions": result.versions,
    }


def _mean_epoch_metrics(epochs: Sequence[Epoch]) -> dict[str, Any]:
    """Return the means over folds of the metrics of one epoch; NaN where a fold has NaN."""
    return {
        kind: {name: float(np.mean([epoch[kind][name] for epoch in epochs])) for name in epochs[0][kind]}
        for kind in ("eval", "train", "validation")
        if kind in epochs[0]
    }
