"""What training on one fold gave, as plain data and arrays: all that a report needs, also months later.

``result_<network>_fold<k>.npz`` beside the checkpoint holds it, so that folds trained one by one, or on several
computers, come together in one summary.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from gait.errors import GaitError
from gait.files.atomic_write import replacing_file
from gait.learning.predictions import Predictions
from gait.motion.folds import Fold

Epoch = Mapping[str, Any]
"""``train``, ``eval`` and, with early stopping, ``validation``, each with loss, accuracy, precision, recall,
specificity, f1; and ``seconds``."""

_FORM = 1
_ARRAYS = ("person", "gait", "first_frame", "sick", "probability")
# How a run was divided or watched over, not what was trained.
_NOT_OF_THE_RESULT = frozenset(
    {
        "base_folder",
        "cluster",
        "cross",
        "device",
        "overwrite",
        "resume",
        "save_folder",
        "scheduler",
        "timeout",
        "workers",
    }
)


@dataclass(frozen=True, eq=False)
class FoldResult:
    """One network, trained without the evaluation persons of one fold, and what it said about them."""

    network: str  # transformer or mlp: a part of every file's name
    architecture: dict[str, Any]
    arguments: dict[str, Any]  # every flag of the command line without its dashes, and its value
    command: str  # as typed
    fold: Fold
    sick: dict[str, bool]  # by person, of every one in the fold
    epochs: tuple[Epoch, ...]
    evaluation: Predictions
    baselines: dict[str, Predictions | str]  # or the line why one is missing
    leak_check: dict[str, Any]  # a LeakReport as JSON has it
    training_windows: int  # mirrored ones are counted too
    evaluation_windows: int
    window_length: int  # frames
    frame_rate_hz: float
    stride: int  # frames
    normalisation: str
    seed: int
    seconds: float  # of the whole training
    versions: dict[str, str]
    problems: tuple[str, ...]  # a plain line each: what of the recordings could not be used
    validation: tuple[str, ...]  # training persons held back for early stopping; none without it
    chosen_epoch: int  # from 0, the one whose weights count: the last, unless early stopping chose
    timed_out: bool  # --timeout ended the training
    data_sha256: str = ""  # of every recording's joints, name and label

    def asked_the_same(self, other: FoldResult) -> bool:
        """Whether both are folds of one question: the same network, settings and persons."""
        return all(
            _settings(self)[key] == _settings(other)[key] for key in _settings(self).keys() | _settings(other).keys()
        )


def result_file(save_folder: Path, network: str, fold: int) -> Path:
    """Where the result of a fold belongs."""
    return Path(save_folder) / f"result_{network}_fold{fold}.npz"


def save_result(result: FoldResult, save_folder: Path) -> Path:
    """Write a fold's result, whole or not at all. Returns the file.

    Raises:
        GaitError: the disk is full or the place cannot be written.
    """
    predictions = {"network": result.evaluation} | {
        f"baseline {name}": said for name, said in result.baselines.items() if isinstance(said, Predictions)
    }
    about = {f.name: getattr(result, f.name) for f in fields(result) if f.name not in ("evaluation", "baselines")}
    about["fold"] = {f.name: getattr(result.fold, f.name) for f in fields(result.fold)}
    about["form"] = _FORM
    about["missing_baselines"] = {name: said for name, said in result.baselines.items() if isinstance(said, str)}
    about["predictions"] = {name: {"persons": p.persons, "gaits": p.gaits} for name, p in predictions.items()}
    arrays = {f"{name}/{key}": getattr(p, key) for name, p in predictions.items() for key in _ARRAYS}
    path = result_file(save_folder, result.network, result.fold.index)
    with replacing_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            about=np.frombuffer(json.dumps(strict_json(about)).encode(), dtype=np.uint8),
            **arrays,
        )
    return path


def read_result(path: Path) -> FoldResult:
    """Read a fold's result.

    Raises:
        GaitError: there is none, it is damaged, or another version of the suite wrote it.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            about = json.loads(data["about"].tobytes())
            if about.pop("form") != _FORM:
                raise GaitError(f"{path}: another version of this suite wrote it; train this fold again.")
            predictions = {
                name: Predictions(
                    persons=tuple(names["persons"]),
                    gaits=tuple(names["gaits"]),
                    **{key: data[f"{name}/{key}"] for key in _ARRAYS},
                )
                for name, names in about.pop("predictions").items()
            }
        fold = about.pop("fold")
        baselines: dict[str, Predictions | str] = dict(about.pop("missing_baselines"))
        baselines |= {
            name.removeprefix("baseline "): said for name, said in predictions.items() if name.startswith("baseline ")
        }
        epochs = tuple({kind: _undefined_back(figures) for kind, figures in e.items()} for e in about.pop("epochs"))
        return FoldResult(
            fold=Fold(fold["index"], fold["count"], tuple(fold["training"]), tuple(fold["evaluation"])),
            evaluation=predictions["network"],
            baselines=baselines,
            epochs=epochs,
            problems=tuple(about.pop("problems")),
            validation=tuple(about.pop("validation")),
            **about,
        )
    except GaitError:
        raise
    except Exception as error:  # a damaged zip, header or JSON can raise nearly anything
        raise GaitError(f"{path}: no result of a fold ({type(error).__name__}); train this fold again.") from error


def read_results(save_folder: Path, network: str) -> tuple[tuple[FoldResult, ...], tuple[str, ...]]:
    """Every fold's result that lies in a folder, by fold, and a plain line for each that cannot be read."""
    found = {}
    for path in Path(save_folder).glob(f"result_{network}_fold*.npz"):
        if match := re.fullmatch(rf"result_{re.escape(network)}_fold(\d+)\.npz", path.name):
            found[int(match[1])] = path
    results, lines = [], []
    for fold in sorted(found):
        try:
            results.append(read_result(found[fold]))
        except GaitError as error:
            lines.append(str(error))
    return tuple(results), tuple(lines)


def strict_json(value: Any) -> Any:
    """Plain data as any reader of JSON takes it: text as keys, no numpy, and null for what is no finite number."""
    if isinstance(value, Mapping):
        return {str(key): strict_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [strict_json(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return strict_json(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _undefined_back(figures: Any) -> Any:
    if isinstance(figures, dict):
        return {name: math.nan if value is None else value for name, value in figures.items()}
    return figures


def _settings(result: FoldResult) -> dict[str, Any]:
    flags = {f"--{name}": value for name, value in result.arguments.items() if name not in _NOT_OF_THE_RESULT}
    other = ("network", "architecture", "window_length", "frame_rate_hz", "stride", "normalisation", "seed", "sick")
    own = {name: getattr(result, name) for name in (*other, "data_sha256")}
    return strict_json({**flags, "folds": result.fold.count, **own})
