"""An explanation on disk: ``explanation.npz`` for programs, ``explanation.csv`` and ``gait_cycle.csv`` for people.

The npz holds arrays and text alone, so that numpy reads it without pickle: all that a ``TrialAttribution`` has, under the
same names, and what made it.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import BODY_JOINTS, HEAD_TO_FEET, plain_name
from gait.errors import GaitError
from gait.explaining.attribution import TrialAttribution
from gait.files.atomic_write import replacing_file
from gait.files.safe_pickle import read_array_dict
from gait.kinematics.gait_cycle import PERCENT, GaitCycle

EXPLANATION_FILE = "explanation.npz"
FRAMES_FILE = "explanation.csv"
CYCLE_FILE = "gait_cycle.csv"

FORMAT = "gait explanation"
FORMAT_VERSION = 1
_JOINT_NAMES = tuple(joint.name for joint in BODY_JOINTS)
_ARRAYS = {"values": 2, "probability": 1, "first_frames": 1, "window_probability": 1}  # and their axes
_NUMBERS = ("window_length", "rate_hz", "signed", "absorbed")
_TEXTS = ("method", "target")


@dataclass(frozen=True, eq=False)
class SavedAttribution:
    """What a network found pivotal in a recording, and what made this."""

    gait: str  # "sick/P02/walk1"
    importance: TrialAttribution
    network: str  # its file's name
    network_sha256: str  # of that file
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of the command
    versions: Mapping[str, str] = field(default_factory=dict)


def write_explanation(folder: Path, explanation: SavedAttribution) -> Path:
    """Write ``explanation.npz`` into a folder, whole or not at all. Returns the file.

    Raises:
        GaitError: the place cannot be written; what was there stays.
    """
    importance = explanation.importance
    path = Path(folder) / EXPLANATION_FILE
    with replacing_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            format=np.str_(FORMAT),
            format_version=np.int64(FORMAT_VERSION),
            joints=np.array(_JOINT_NAMES),
            gait=np.str_(explanation.gait),
            network=np.str_(explanation.network),
            network_sha256=np.str_(explanation.network_sha256),
            arguments=np.str_(_as_text(explanation.arguments)),
            versions=np.str_(_as_text(explanation.versions)),
            settings=np.str_(_as_text(importance.settings)),
            **{name: np.asarray(getattr(importance, name)) for name in (*_ARRAYS, *_NUMBERS)},
            **{name: np.str_(getattr(importance, name)) for name in _TEXTS},
        )
    return path


def read_explanation(path: Path) -> SavedAttribution:
    """Read ``explanation.npz``.

    Raises:
        GaitError: it cannot be read, is damaged, none, or of a newer suite.
    """
    path = Path(path)
    data = {key: np.asarray(value) for key, value in read_array_dict(path).items()}
    if str(data.get("format")) != FORMAT:
        raise GaitError(f"{path}: no explanation; attention_viewer.py --export writes one.")
    version = data.get("format_version", np.asarray(0))
    if version.shape != () or version.dtype.kind != "i" or version > FORMAT_VERSION:
        raise GaitError(f"{path}: an explanation of a newer suite; use the newer one.")
    if tuple(map(str, data.get("joints", np.asarray(())).reshape(-1))) != _JOINT_NAMES:
        raise GaitError(f"{path}: damaged explanation: its joints are not the {len(_JOINT_NAMES)} body joints.")
    try:
        arrays = {name: _array(data[name], axes) for name, axes in _ARRAYS.items()}
        T = len(arrays["probability"])
        if arrays["values"].shape != (T, len(BODY_JOINTS)) or len(arrays["first_frames"]) != len(
            arrays["window_probability"]
        ):
            raise ValueError("arrays of different lengths")
        importance = TrialAttribution(
            values=arrays["values"],
            probability=arrays["probability"],
            first_frames=arrays["first_frames"],
            window_probability=arrays["window_probability"],
            window_length=int(data["window_length"]),
            rate_hz=float(data["rate_hz"]),
            signed=bool(data["signed"]),
            absorbed=float(data["absorbed"]),
            method=str(data["method"]),
            settings=_plain(data["settings"]),
            target=str(data["target"]),
        )
        return SavedAttribution(
            gait=str(data["gait"]),
            importance=importance,
            network=str(data["network"]),
            network_sha256=str(data["network_sha256"]),
            arguments=_plain(data["arguments"]),
            versions=_plain(data["versions"]),
        )
    except KeyError as error:
        raise GaitError(f"{path}: damaged explanation: no {error.args[0]} in it.") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise GaitError(f"{path}: damaged explanation ({error}).") from None


def write_frames(folder: Path, importance: TrialAttribution) -> Path:
    """Write ``explanation.csv`` into a folder: a row a frame, a column a joint; empty where nothing is explained.

    Frames count from 0 at the network's rate. Returns the file.

    Raises:
        GaitError: the place cannot be written; what was there stays.
    """
    path = Path(folder) / FRAMES_FILE
    with replacing_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "seconds", "probability of sick", *map(plain_name, HEAD_TO_FEET)])
        for frame, (row, probability) in enumerate(zip(importance.values, importance.probability, strict=True)):
            cells = [csv_cell(probability), *(csv_cell(row[joint]) for joint in HEAD_TO_FEET)]
            writer.writerow([frame, f"{frame / importance.rate_hz:.4f}", *cells])
    return path


def write_cycles(folder: Path, cycles: Mapping[str, GaitCycle]) -> Path:
    """Write ``gait_cycle.csv`` into a folder: a row a percent of either foot's mean cycle. Returns the file.

    Raises:
        GaitError: the place cannot be written; what was there stays.
    """
    path = Path(folder) / CYCLE_FILE
    with replacing_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        bends = ["hip flexion (deg)", "knee flexion (deg)", "ankle dorsiflexion from its mean (deg)"]
        writer.writerow(["foot", "cycles", "percent", *bends, *map(plain_name, HEAD_TO_FEET)])
        for side, cycle in cycles.items():
            for percent in PERCENT:
                own = (cycle.hip_deg[percent], cycle.knee_deg[percent], cycle.ankle_deg[percent])
                cells = [*map(csv_cell, own), *(csv_cell(cycle.importance[percent, joint]) for joint in HEAD_TO_FEET)]
                writer.writerow([side, cycle.cycles, percent, *cells])
    return path


def _array(values: NDArray[Any], axes: int) -> NDArray[Any]:
    if values.ndim != axes or values.dtype.kind not in "fi":
        raise ValueError(f"numbers along {axes} axes are needed, there are {values.dtype} of shape {values.shape}")
    return values


def _as_text(plain: Mapping[str, Any]) -> str:
    return json.dumps({str(key): value for key, value in plain.items()}, default=str)


def _plain(text: NDArray[Any]) -> dict[str, Any]:
    content = json.loads(str(text))
    if not isinstance(content, dict):
        raise ValueError("settings that are none")
    return content


def csv_cell(value: float) -> str:
    """A number as our tables for people have it; empty where it is not known."""
    return "" if math.isnan(value) else f"{value:.6g}"
