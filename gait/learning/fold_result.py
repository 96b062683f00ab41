"""The result of training on one fold, as plain data and arrays: everything that a report needs.

It is stored in ``result_<network>_fold<k>.npz`` beside the checkpoint, so that folds that were trained one by one, or
on several computers, can be summarized together.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gait.errors import GaitError
from gait.files.atomic_write import atomic_file
from gait.learning import legacy_keys
from gait.learning.predictions import Predictions
from gait.motion.folds import Fold
from gait.motion.inputs import PUBLISHED
from gait.motion.left_out import LeftOut
from gait.motion.window_placement import FRAMES
from gait.registry import module_names

Epoch = Mapping[str, Any]
"""The metrics of an epoch: ``train``, ``eval`` and, with early stopping, ``validation``, each with loss, accuracy,
precision, recall, specificity, f1; and its duration, ``seconds``."""

_FORMAT_VERSION = 2  # version 1 has other keys (legacy_keys) and is still read
_ARRAYS = ("subject_index", "trial_index", "first_frame", "sick", "probability")
_BASELINE = "baselines/"
_OLD_BASELINE = "baseline "
# Flags that do not change the result of a training.
_RUN_ONLY_FLAGS = frozenset(
    {
        "base_folder",
        "cluster",
        "cross",
        "device",
        "keep_standing",  # data_sha256 shows what it changes
        "overwrite",
        "resume",
        "save_folder",
        "scheduler",
        "timeout",
        "unobserved",  # what it leaves out is compared
        "workers",
    }
)

LATER_FLAGS: Mapping[str, Any] = {
    "input": PUBLISHED, "windows": FRAMES, "deviation": None, "pace": None, "offset": None,
    "individuality": None, "ensemble": 1, "threshold_folds": None, "threshold_specificity": None,
    "lr_schedule": "constant",
}  # fmt: skip
"""Flags that earlier versions did not have, with the values that do what those versions did."""


@dataclass(frozen=True, eq=False)
class FoldResult:
    """The training of one network on one fold, and its predictions for the fold's evaluation subjects."""

    network: str  # transformer or mlp: a part of every file name
    architecture: dict[str, Any]
    arguments: dict[str, Any]  # every flag of the command line, without dashes, and its value
    command: str  # as typed
    fold: Fold
    sick: dict[str, bool]  # label of every subject of the fold
    epochs: tuple[Epoch, ...]
    evaluation: Predictions
    baselines: dict[str, Predictions | str]  # predictions, or the reason why they are missing
    confounder_check: dict[str, Any]  # a ConfounderReport as plain data
    training_windows: int  # including mirrored windows
    evaluation_windows: int
    normalisation: str  # name of the windows' normalization
    seconds: float  # duration of the training
    versions: dict[str, str]  # of packages
    problems: tuple[str, ...]  # one line per trial that could not be used, or other remark
    validation: tuple[str, ...]  # training subjects held out for early stopping; empty without it
    chosen_epoch: int  # from 0, the epoch whose weights are kept: the last, unless early stopping chose another
    timed_out: bool  # --timeout ended the training
    data_sha256: str = ""  # of the joints, name and label of every trial
    left_out: dict[str, Any] = field(default_factory=dict)  # a LeftOut as plain data, joints by name
    threshold: dict[str, Any] = field(default_factory=dict)  # a Threshold as plain data; empty: at logit 0
    # dimensionless walking speed of each evaluation subject, None if unknown; empty in results of earlier versions
    speeds: dict[str, float | None] = field(default_factory=dict)

    @property
    def window_length(self) -> int:
        """Frames per window."""
        return self.arguments["interval_size"]

    @property
    def stride(self) -> int:
        """Frames from one window to the next."""
        return self.arguments["stride"]

    @property
    def frame_rate_hz(self) -> float:
        """Frame rate of the windows."""
        return self.arguments["frame_rate"]

    @property
    def input(self) -> str:
        """What the network sees, one of ``INPUTS``."""
        return str(self.arguments.get("input", PUBLISHED))

    @property
    def windows(self) -> str:
        """Where windows begin, one of ``PLACEMENTS``."""
        return str(self.arguments.get("windows", FRAMES))

    @property
    def dataset_options(self) -> dict[str, Any]:
        """Arguments of ``read_dataset`` that decide which trials have windows."""
        return {"min_frames": self.window_length, "input": self.input, "windows": self.windows}

    def same_experiment(self, other: FoldResult) -> bool:
        """Return whether both are folds of one experiment: same network, settings, subjects and data."""
        return _experiment_settings(self) == _experiment_settings(other)


def result_file(save_folder: Path, network: str, fold: int) -> Path:
    """Return the path of a fold's result."""
    return Path(save_folder) / f"result_{network}_fold{fold}.npz"


def fold_as_dict(fold: Fold) -> dict[str, Any]:
    """Return a fold as results and checkpoints store it."""
    return {"index": fold.index, "count": fold.count, "training": fold.training, "evaluation": fold.evaluation}


def left_out_as_dict(left_out: LeftOut) -> dict[str, Any]:
    """Return what is left out as results store it, joints by name; nothing if all windows observe all joints."""
    if not left_out.num_lacking and not left_out.num_windows:
        return {}
    num_lacking = {joint.name: count for joint, count in left_out.num_lacking.items()}
    return vars(left_out) | {"joints": [joint.name for joint in left_out.joints], "num_lacking": num_lacking}


def save_result(result: FoldResult, save_folder: Path) -> Path:
    """Write a fold's result atomically and return the file.

    Raises:
        GaitError: the disk is full or the folder cannot be written.
    """
    predictions = {"network": result.evaluation} | {
        f"{_BASELINE}{name}": found for name, found in result.baselines.items() if isinstance(found, Predictions)
    }
    about = {f.name: getattr(result, f.name) for f in fields(result) if f.name not in ("evaluation", "baselines")}
    about["fold"] = fold_as_dict(result.fold)
    about["format_version"] = _FORMAT_VERSION
    about["missing_baselines"] = {name: found for name, found in result.baselines.items() if isinstance(found, str)}
    about["predictions"] = {name: {"subjects": p.subjects, "trials": p.trials} for name, p in predictions.items()}
    arrays = {f"{name}/{key}": getattr(p, key) for name, p in predictions.items() for key in _ARRAYS}
    path = result_file(save_folder, result.network, result.fold.index)
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            about=np.frombuffer(json.dumps(to_strict_json(about)).encode(), dtype=np.uint8),
            **arrays,
        )
    return path


def read_result(path: Path) -> FoldResult:
    """Read a fold's result, also one that an earlier version wrote.

    Raises:
        GaitError: the file does not exist, is damaged, or comes from a newer version.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            about = json.loads(data["about"].tobytes())
            arrays = {key: data[key] for key in data.files if key != "about"}
        version = about.pop("form", None) or about.pop("format_version")  # version 1 called it form
        if version > _FORMAT_VERSION:
            raise GaitError(f"{path}: written by a newer version of this package; use that version.")
        if version == 1:
            about, arrays = _rename_old_keys(about, arrays)
        predictions = {
            name: Predictions(
                subjects=tuple(names["subjects"]),
                trials=tuple(names["trials"]),
                **{key: arrays[f"{name}/{key}"] for key in _ARRAYS},
            )
            for name, names in about.pop("predictions").items()
        }
        for name in ("window_length", "frame_rate_hz", "stride", "seed"):  # beside the same flags in earlier versions
            about.pop(name, None)
        fold = about.pop("fold")
        baselines: dict[str, Predictions | str] = dict(about.pop("missing_baselines"))
        baselines |= {
            name.removeprefix(_BASELINE): found for name, found in predictions.items() if name.startswith(_BASELINE)
        }
        epochs = tuple({kind: _restore_nan(metrics) for kind, metrics in e.items()} for e in about.pop("epochs"))
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
        raise GaitError(f"{path}: not the result of a fold ({type(error).__name__}); train this fold again.") from error


def _rename_old_keys(about: dict[str, Any], arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metadata and arrays of a version 1 result with present keys."""

    def classifier(name: str) -> str:
        if not name.startswith(_OLD_BASELINE):
            return name
        baseline = name.removeprefix(_OLD_BASELINE)
        return _BASELINE + legacy_keys.BASELINES.get(baseline, baseline)

    def array(key: str) -> str:
        name, _, values = key.rpartition("/")
        return f"{classifier(name)}/{legacy_keys.PREDICTIONS.get(values, values)}"

    about = legacy_keys.rename_keys(about, legacy_keys.FOLD_RESULT)
    about["architecture"] = legacy_keys.rename_keys(about["architecture"], legacy_keys.ARCHITECTURE)
    about["confounder_check"] = legacy_keys.rename_confounder_check(about["confounder_check"])
    about["missing_baselines"] = legacy_keys.rename_keys(about["missing_baselines"], legacy_keys.BASELINES)
    about["predictions"] = {
        classifier(name): legacy_keys.rename_keys(names, legacy_keys.PREDICTIONS)
        for name, names in about["predictions"].items()
    }
    return about, {array(key): values for key, values in arrays.items()}


def trained_kinds(save_folder: Path) -> tuple[str, ...]:
    """Return the names of the kinds of networks of which a folder has results.

    Raises:
        GaitError: it has none.
    """
    names = module_names("gait.learning.networks")
    found = tuple(name for name in names if any(Path(save_folder).glob(f"result_{name}_fold*.npz")))
    if not found:
        raise GaitError(
            f"{save_folder}: no training result, result_<network>_fold<k>.npz; name a training's save folder."
        )
    return found


def read_results(save_folder: Path, network: str) -> tuple[tuple[FoldResult, ...], tuple[str, ...]]:
    """Return the results in a folder, by fold, and one message for each that cannot be read."""
    found = {}
    for path in Path(save_folder).glob(f"result_{network}_fold*.npz"):
        if match := re.fullmatch(rf"result_{re.escape(network)}_fold(\d+)\.npz", path.name):
            found[int(match[1])] = path
    results, messages = [], []
    for fold in sorted(found):
        try:
            results.append(read_result(found[fold]))
        except GaitError as error:
            messages.append(str(error))
    return tuple(results), tuple(messages)


def to_strict_json(value: Any) -> Any:
    """Return plain data that any JSON reader accepts: string keys, no numpy, and None for NaN and infinity.

    A dataclass becomes a dictionary of its fields.
    """
    if is_dataclass(value):
        return {field.name: to_strict_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_strict_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_strict_json(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return to_strict_json(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _restore_nan(metrics: Any) -> Any:
    if isinstance(metrics, dict):
        return {name: math.nan if value is None else value for name, value in metrics.items()}
    return metrics


def _experiment_settings(result: FoldResult) -> dict[str, Any]:
    flags = {
        f"--{name}": value
        for name, value in result.arguments.items()
        if name not in _RUN_ONLY_FLAGS and not (name in LATER_FLAGS and value == LATER_FLAGS[name])
    }
    other = ("network", "architecture", "normalisation", "sick", "data_sha256")
    own = {name: getattr(result, name) for name in other}
    own |= {f"left_out.{name}": result.left_out.get(name, []) for name in ("joints", "trials")}
    own["left_out.windows"] = result.left_out.get("windows_sha256", "")
    return to_strict_json({**flags, "folds": result.fold.count, **own})
