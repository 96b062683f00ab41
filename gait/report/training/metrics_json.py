"""``metrics_<network>_fold<k>.json`` and ``metrics_<network>_all.json``: the published keys, and what we add."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gait.files.atomic_write import replacing_file
from gait.learning.fold_result import Epoch, FoldResult, strict_json
from gait.learning.metrics import as_json
from gait.report.training.cross_validation_summary import CrossValidationSummary

# Published key -> the flag that it is called by.
_PUBLISHED = {
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
    """Where the metrics of a fold, or of all, belong."""
    return Path(save_folder) / f"metrics_{network}_{'all' if fold is None else f'fold{fold}'}.json"


def fold_metrics(fold: CrossValidationSummary) -> dict[str, Any]:
    """Everything measured on one fold, as strict JSON has it."""
    (result,) = fold.folds
    return strict_json(
        {
            **_published(result),
            "crossid": result.fold.index,
            "epochs": len(result.epochs),
            **{str(k): _figures(epoch) for k, epoch in enumerate(result.epochs)},
            **_measured(fold),
            "fold": _fold(result),
            **_origin(result),
        }
    )


def all_metrics(summary: CrossValidationSummary) -> dict[str, Any]:
    """Everything measured on all folds; the figures of an epoch are means over them."""
    first = summary.folds[0]
    epochs = min(len(result.epochs) for result in summary.folds)
    return strict_json(
        {
            **_published(first),
            "crossid": [result.fold.index for result in summary.folds],
            "epochs": epochs,
            **{str(k): _mean_figures([result.epochs[k] for result in summary.folds]) for k in range(epochs)},
            **_measured(summary),
            "folds": {result.fold.index: _fold(result) for result in summary.folds},
            **_origin(first),
        }
    )


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write them, whole or not at all.

    Raises:
        GaitError: the disk is full or the place cannot be written.
    """
    with replacing_file(path) as partial:
        partial.write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _published(result: FoldResult) -> dict[str, Any]:
    return {key: result.arguments[flag] for key, flag in _PUBLISHED.items() if flag in result.arguments}


def _measured(summary: CrossValidationSummary) -> dict[str, Any]:
    return {
        "windows": as_json(summary.network.windows),
        "persons": as_json(summary.network.persons),
        "baselines": {
            **{
                judge.name: {
                    "windows": as_json(judge.windows),
                    "persons": as_json(judge.persons),
                    "network_ahead": {"balanced_accuracy": judge.network_ahead.as_json()},
                }
                for judge in summary.baselines
            },
            **{name: {"missing": line} for name, line in summary.missing.items()},
        },
        "leak_check": summary.folds[-1].leak_check,
        "probability_by_person": {
            name: {"sick": bool(sick), "probability": float(probability)}
            for name, sick, probability in zip(
                summary.network.people.persons,
                summary.network.people.sick,
                summary.network.people.probability,
                strict=True,
            )
        },
        "problems": summary.problems,
    }


def _fold(result: FoldResult) -> dict[str, Any]:
    return {
        "index": result.fold.index,
        "count": result.fold.count,
        "training": result.fold.training,
        "evaluation": result.fold.evaluation,
        "validation": result.validation,
        "training_windows": result.training_windows,
        "evaluation_windows": result.evaluation_windows,
        "epochs": len(result.epochs),
        "chosen_epoch": result.chosen_epoch,
        "timed_out": result.timed_out,
        "seconds": result.seconds,
    }


def _origin(result: FoldResult) -> dict[str, Any]:
    return {
        "network": result.network,
        "architecture": result.architecture,
        "window_length": result.window_length,
        "frame_rate_hz": result.frame_rate_hz,
        "stride": result.stride,
        "normalisation": result.normalisation,
        "arguments": result.arguments,
        "command": result.command,
        "versions": result.versions,
    }


def _figures(epoch: Epoch) -> dict[str, Any]:
    return {kind: epoch[kind] for kind in ("eval", "train", "validation") if kind in epoch}


def _mean_figures(epochs: Sequence[Epoch]) -> dict[str, Any]:
    """Of one epoch in several folds; undefined where it is in one of them."""
    return {
        kind: {name: float(np.mean([epoch[kind][name] for epoch in epochs])) for name in epochs[0][kind]}
        for kind in _figures(epochs[0])
    }
