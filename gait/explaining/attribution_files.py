"""A trial's attribution on disk: ``explanation.npz`` in full, ``explanation.csv`` and ``gait_cycle.csv`` as tables.

The npz holds only arrays and text, so that numpy reads it without pickle: the fields of a ``TrialAttribution``, with
``values`` as ``attribution``, and where they come from.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait.body.joint_status import JointStatus
from gait.body.skeleton import BODY_JOINTS, HEAD_TO_FEET, Joint
from gait.errors import GaitError
from gait.explaining.attribution import TrialAttribution, explainable_mask
from gait.files.atomic_write import atomic_file
from gait.files.safe_pickle import read_array_dict
from gait.kinematics.gait_cycle import PERCENT, GaitCycle
from gait.kinematics.walking import Activity
from gait.motion.inputs import INPUTS, PUBLISHED

EXPLANATION_FILE = "explanation.npz"
FIGURE_FILE = "explanation.png"  # drawn by ``report``
FRAMES_FILE = "explanation.csv"
AXES_FILE = "explanation_axes.csv"
CYCLE_FILE = "gait_cycle.csv"

FORMAT = "gait explanation"
FORMAT_VERSION = 2  # 1 had other keys: _OLD_KEYS
JOINT_COLUMNS = tuple(joint.name.lower() for joint in HEAD_TO_FEET)
_JOINT_NAMES = tuple(joint.name for joint in BODY_JOINTS)
_ARRAYS = {"attribution": 2, "probability": 1, "first_frames": 1, "window_probability": 1}  # key -> number of axes
_SCALARS = {"window_length": int, "rate_hz": float, "signed": bool, "unattributed": float, "method": str, "target": str}
_TEXTS = ("trial_id", "network", "network_sha256")
_OLD_KEYS = {"values": "attribution", "absorbed": "unattributed", "gait": "trial_id"}
"""Keys that earlier versions wrote -> the key of today."""


@dataclass(frozen=True, eq=False)
class SavedAttribution:
    """The attribution of a trial and the settings of its computation."""

    trial_id: str  # "sick/P02/walk1"
    attribution: TrialAttribution
    network: str  # name of the network's file
    network_sha256: str  # of that file
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of the command
    versions: Mapping[str, str] = field(default_factory=dict)  # of the packages


def write_explanation(folder: Path, explanation: SavedAttribution) -> Path:
    """Write ``explanation.npz`` into a folder atomically, and return its path.

    Raises:
        GaitError: the file cannot be written; an existing one stays.
    """
    attribution = explanation.attribution
    path = Path(folder) / EXPLANATION_FILE
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            format=np.str_(FORMAT),
            format_version=np.int64(FORMAT_VERSION),
            joints=np.array(_JOINT_NAMES),
            **{name: np.str_(getattr(explanation, name)) for name in _TEXTS},
            arguments=np.str_(_to_json(explanation.arguments)),
            versions=np.str_(_to_json(explanation.versions)),
            settings=np.str_(_to_json(attribution.settings)),
            attribution=np.asarray(attribution.values),
            **{name: np.asarray(getattr(attribution, name)) for name in (*_ARRAYS, *_SCALARS) if name != "attribution"},
            **{
                name: values
                for name in ("activity", "joint_status", "axis_values")
                if (values := getattr(attribution, name)) is not None
            },
            left_out_joints=np.array([joint.name for joint in attribution.left_out_joints], dtype=np.str_),
            axis_names=np.array(attribution.axis_names, dtype=np.str_),
            input=np.str_(attribution.input),
        )
    return path


def read_explanation(path: Path) -> SavedAttribution:
    """Read ``explanation.npz``.

    Raises:
        GaitError: it cannot be read, is damaged or not an explanation, or was written by a newer version.
    """
    path = Path(path)
    data = {
        _OLD_KEYS.get(key, key): np.asarray(value) for key, value in read_array_dict(path, allow_pickle=False).items()
    }
    if str(data.get("format")) != FORMAT:
        raise GaitError(f"{path}: not an explanation; attention_viewer.py --export writes one.")
    version = data.get("format_version", np.asarray(0))
    if version.shape != () or version.dtype.kind != "i" or version > FORMAT_VERSION:
        raise GaitError(f"{path}: written by a newer version of this package; use that version.")
    if tuple(map(str, data.get("joints", np.asarray(())).reshape(-1))) != _JOINT_NAMES:
        raise GaitError(f"{path}: damaged explanation: its joints are not the {len(_JOINT_NAMES)} body joints.")
    try:
        arrays: dict[str, Any] = {name: _array(data[name], axes) for name, axes in _ARRAYS.items()}
        T = len(arrays["probability"])
        if arrays["attribution"].shape != (T, len(BODY_JOINTS)) or len(arrays["first_frames"]) != len(
            arrays["window_probability"]
        ):
            raise ValueError("arrays of different lengths")
        activity = data.get("activity")
        if activity is not None and (
            activity.shape != (T,) or activity.dtype != np.uint8 or activity.max() >= len(Activity)
        ):
            raise ValueError(f"activity of {activity.dtype} and shape {activity.shape}")
        status = data.get("joint_status")
        if status is not None and (
            status.shape != (T, len(BODY_JOINTS)) or status.dtype != np.uint8 or status.max() >= len(JointStatus)
        ):
            raise ValueError(f"joint_status of {status.dtype} and shape {status.shape}")
        left_out = [str(name) for name in data.get("left_out_joints", np.asarray(())).reshape(-1)]
        if unknown := sorted({*left_out} - {*_JOINT_NAMES}):
            raise ValueError(f"left_out_joints names {unknown[0]}")
        if (network_input := str(data.get("input", PUBLISHED))) not in INPUTS:
            raise ValueError(f"its input is {network_input}")
        axes = data.get("axis_values")
        if axes is not None and (axes.shape != (T, len(BODY_JOINTS), 3) or axes.dtype.kind != "f"):
            raise ValueError(f"axis_values of {axes.dtype} and shape {axes.shape}")
        axis_names = data.get("axis_names", np.asarray(()))
        if axes is not None and axis_names.shape != axes.shape[1:]:
            raise ValueError(f"axis_names of shape {axis_names.shape}")
        scalars: dict[str, Any] = {name: kind(data[name]) for name, kind in _SCALARS.items()}
        return SavedAttribution(
            **{name: str(data[name]) for name in _TEXTS},
            attribution=TrialAttribution(
                values=arrays.pop("attribution"),
                **arrays,
                **scalars,
                settings=_parse_json(data["settings"]),
                activity=activity,
                joint_status=status,
                left_out_joints=tuple(BODY_JOINTS[_JOINT_NAMES.index(name)] for name in left_out),
                input=network_input,
                axis_values=axes,
                axis_names=() if axes is None else tuple(tuple(map(str, names)) for names in axis_names),
            ),
            arguments=_parse_json(data["arguments"]),
            versions=_parse_json(data["versions"]),
        )
    except KeyError as error:
        raise GaitError(f"{path}: damaged explanation: no {error.args[0]} in it.") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise GaitError(f"{path}: damaged explanation ({error}).") from None


def write_frames(folder: Path, attribution: TrialAttribution) -> Path:
    """Write ``explanation.csv`` into a folder and return its path: one row per frame, one column per joint.

    Frames count from 0 at the network's rate; cells are empty where no window is explained. The last columns are the
    activity, empty if unknown, whether the frame is ``well_covered`` and so counts in ranks and means, and the joints
    that are not observed in it; the cells of these are empty, as are those of joints that the network leaves out.

    Raises:
        GaitError: the file cannot be written; an existing one stays.
    """
    header = ["frame", "time_s", "probability_sick", *JOINT_COLUMNS, "activity", "well_covered", "not_observed"]
    activity = attribution.activity
    activities = [""] * len(attribution.values) if activity is None else [Activity(each).noun for each in activity]
    observed = explainable_mask(len(attribution.values), attribution.input_status, ())
    columns = (attribution.values, attribution.probability, activities, attribution.well_covered.astype(int), observed)
    rows = (
        [frame, f"{frame / attribution.rate_hz:.4f}", probability, *row[list(HEAD_TO_FEET)], activity, covered,
         _join_joints(joint for joint in BODY_JOINTS if not seen[joint])]
        for frame, (row, probability, activity, covered, seen) in enumerate(zip(*columns, strict=True))
    )  # fmt: skip
    return write_table(Path(folder) / FRAMES_FILE, header, rows)


def write_axes(folder: Path, attribution: TrialAttribution) -> Path | None:
    """Write ``explanation_axes.csv`` into a folder and return its path; None if the attribution has no axes.

    It has one row per joint and axis, the one with the most evidence for the predicted class first: the mean over the
    frames that count, positive for sick. Joints that are not explained are omitted.

    Raises:
        GaitError: the file cannot be written; an existing one stays.
    """
    if attribution.axis_values is None:
        return None
    rows = (
        [attribution.axis_names[joint][axis], BODY_JOINTS[joint].name.lower(), axis, mean]
        for joint, axis, mean in attribution.ranked_axes()
    )
    return write_table(Path(folder) / AXES_FILE, ["name", "joint", "axis", "mean_evidence"], rows)


def write_cycles(folder: Path, attribution: TrialAttribution, cycles: Mapping[str, GaitCycle]) -> Path:
    """Write ``gait_cycle.csv`` into a folder and return its path: one row per side and percent of its mean cycle.

    The last column has the joints that the trial does not observe; their cells are empty.

    Raises:
        GaitError: the file cannot be written; an existing one stays.
    """
    angles = ["hip_flexion_deg", "knee_flexion_deg", "ankle_dorsiflexion_demeaned_deg"]
    not_observed = _join_joints(attribution.unobserved_joints)
    rows = (
        [side, cycle.num_cycles, percent, cycle.hip_deg[percent], cycle.knee_deg[percent], cycle.ankle_deg[percent],
         *cycle.values[percent, list(HEAD_TO_FEET)], not_observed]
        for side, cycle in cycles.items() for percent in PERCENT
    )  # fmt: skip
    header = ["side", "num_cycles", "percent", *angles, *JOINT_COLUMNS, "not_observed"]
    return write_table(Path(folder) / CYCLE_FILE, header, rows)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV table atomically and return its path; floats have six digits, NaN is an empty cell.

    Raises:
        GaitError: the file cannot be written; an existing one stays.
    """
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)
    return path


def _join_joints(joints: Iterable[Joint]) -> str:
    return " ".join(joint.name.lower() for joint in joints)


def _cell(value: object) -> object:
    if not isinstance(value, float | np.floating):
        return value
    return "" if math.isnan(value) else f"{value:.6g}"


def _array(values: NDArray[Any], axes: int) -> NDArray[Any]:
    if values.ndim != axes or values.dtype.kind not in "fi":
        raise ValueError(f"numbers of {axes} axes are needed, found {values.dtype} of shape {values.shape}")
    return values


def _to_json(entries: Mapping[str, Any]) -> str:
    return json.dumps({str(key): value for key, value in entries.items()}, default=str)


def _parse_json(text: NDArray[Any]) -> dict[str, Any]:
    content = json.loads(str(text))
    if not isinstance(content, dict):
        raise ValueError("settings are not a JSON object")
    return content
