"""Files of a synthetic trial: the recording as C3D, as laboratories write it, and its ground truth as npz."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import ezc3d
import numpy as np
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.marker_layout import MarkerLayout
from gait.body.pose_sequence import PoseSequence
from gait.capture.recording import GaitEvent
from gait.errors import GaitError
from gait.files.atomic_write import atomic_file
from gait.marker_sets import MARKER_SETS, MARKERS
from gait.marker_sets.marker_set import MarkerSet
from gait.synthetic.force_plates import PlateSignals
from gait.synthetic.trial import SyntheticTrial
from gait.synthetic.virtual_markers import MeasurementErrors, SimulatedMarkers, record_markers

_FIELDS = ("poses", "betas", "translation_m", "joints_m")
_FORMER_KEYS = {
    "disorder": "pathology",
    "disorder_side": "pathology_side",
    "disorder_joints": "affected_joints",
    "disorder_carried": "downstream_joints",
    "person_seed": "subject_seed",
    "walk_seed": "trial_seed",
}
"""Keys that ground truth files written by earlier versions contain, and the present ones."""


def ground_truth_path(recording: Path) -> Path:
    """Return the ground truth file of a recording: ``walk1_truth.npz`` for ``walk1.c3d``."""
    return recording.with_name(f"{recording.stem}_truth.npz")


def write_recording(
    trial: SyntheticTrial,
    body: Body,
    layout: MarkerLayout,
    path: Path,
    *,
    errors: MeasurementErrors | None = None,
    prefix: str = "",
    marker_set: MarkerSet = MARKER_SETS["plug_in_gait"],
    plates: PlateSignals | None = None,
) -> SimulatedMarkers:
    """Write a trial as a C3D file with its ground truth file, each atomically; return the simulated markers.

    The markers of a complete recording of the marker set are recorded under the names that this set gives them, with
    the default measurement errors if none are given. The layout must have them, but for those that are not placed on
    bodies. Folders are created. A prefix is put before all labels ("Subject" gives ``Subject:LASI``). ``plates`` are
    recorded beside the markers.
    """
    recorded = [name for name in marker_set.recorded if MARKERS[name].ray or MARKERS[name].joint]
    markers = record_markers(
        body,
        trial.ground_truth,
        layout.select(recorded),
        errors or MeasurementErrors(),
        subject_seed=trial.subject.seed,
        trial_seed=trial.seed,
    )
    _write_ground_truth(ground_truth_path(path), trial, markers)
    named = replace(markers, labels=tuple(marker_set.own_name(label) for label in markers.labels))
    _write_c3d(path, named, trial.ground_truth.rate_hz, trial.events, prefix, plates)
    return markers


def _write_c3d(
    path: Path,
    markers: SimulatedMarkers,
    rate_hz: float,
    events: tuple[GaitEvent, ...],
    prefix: str,
    plates: PlateSignals | None,
) -> None:
    """Write a C3D file in millimetres, z up: our (z, x, y) become the file's (x, y, z)."""
    T, M = markers.positions_m.shape[:2]
    visible = np.isfinite(markers.positions_m[..., 0])
    z_up_mm = 1000 * markers.positions_m[..., [2, 0, 1]]
    points = np.zeros((4, M, T))
    points[:3] = np.where(visible[..., None], z_up_mm, 0.0).transpose(2, 1, 0)
    points[3] = 1
    c3d = ezc3d.c3d()
    c3d["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    c3d["parameters"]["POINT"]["RATE"]["value"] = [rate_hz]
    c3d["parameters"]["POINT"]["LABELS"]["value"] = [
        f"{prefix}:{label}" if prefix else label for label in markers.labels
    ]
    c3d["data"]["points"] = points
    c3d["data"]["meta_points"] = {
        "residuals": np.where(visible, 0.0, -1.0).T.reshape(1, M, T),
        "camera_masks": np.zeros((7, M, T), dtype=bool),
    }
    if events:
        seconds = np.array([event.time_s for event in events])
        c3d.add_parameter("EVENT", "USED", [len(events)])
        c3d.add_parameter("EVENT", "CONTEXTS", [event.side.capitalize() for event in events])
        c3d.add_parameter("EVENT", "LABELS", [event.label for event in events])
        c3d.add_parameter("EVENT", "SUBJECTS", [prefix or "Subject" for _ in events])
        c3d.add_parameter("EVENT", "TIMES", np.stack([seconds // 60, seconds % 60]))
    if plates is not None:
        _add_plates(c3d, plates)
    with atomic_file(path) as partial:
        c3d.write(f"{partial}.c3d")  # ezc3d adds the suffix to other names
        Path(f"{partial}.c3d").replace(partial)


def _add_plates(c3d: ezc3d.c3d, plates: PlateSignals) -> None:
    analog = c3d["parameters"]["ANALOG"]
    count = plates.channels.shape[1]
    analog["RATE"]["value"] = [plates.rate_hz]
    analog["LABELS"]["value"] = [f"Plate{k + 1}" for k in range(count)]
    analog["UNITS"]["value"] = list(plates.units)
    analog["SCALE"]["value"] = [1.0] * count
    analog["OFFSET"]["value"] = [0] * count
    c3d["data"]["analogs"] = plates.channels.T[None]
    for name, value in (
        ("USED", [len(plates.kinds)]),
        ("TYPE", list(plates.kinds)),
        ("ZERO", [1, 0]),
        ("CORNERS", plates.corners_mm),
        ("ORIGIN", plates.origins_mm),
        ("CHANNEL", plates.channel_numbers.astype(np.float64)),
        ("CAL_MATRIX", plates.calibrations),
    ):
        c3d.add_parameter("FORCE_PLATFORM", name, value)


def _write_ground_truth(path: Path, trial: SyntheticTrial, markers: SimulatedMarkers) -> None:
    truth, pathology = trial.ground_truth, trial.pathology
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            **{name: getattr(truth, name) for name in _FIELDS},
            rate_hz=np.float64(truth.rate_hz),
            model_file=np.str_(truth.model_file),
            model_sha256=np.str_(truth.model_sha256),
            gender=np.str_(truth.gender),
            event_label=np.array([event.label for event in trial.events], dtype=np.str_),
            event_side=np.array([event.side for event in trial.events], dtype=np.str_),
            event_time_s=np.array([event.time_s for event in trial.events], dtype=np.float64),
            pathology=np.str_(pathology.name if pathology else ""),
            pathology_side=np.str_(pathology.side if pathology else ""),
            severity=np.float64(pathology.severity if pathology else 0.0),
            affected_joints=np.array(pathology.affected_joints if pathology else (), dtype=np.int64),
            downstream_joints=np.array(pathology.downstream_joints if pathology else (), dtype=np.int64),
            marker_labels=np.array(markers.labels, dtype=np.str_),
            marker_offsets_m=markers.offsets_m,
            marker_segments=markers.segments,
            subject_seed=np.int64(trial.subject.seed),
            trial_seed=np.int64(trial.seed),
            **_variety(trial),
        )


def _variety(trial: SyntheticTrial) -> dict[str, Any]:
    """Return what a varied subject's ground truth file contains beyond that of other subjects."""
    subject = trial.subject
    if subject.individuality is None:
        return {}
    return {
        "peculiarities": np.array([each.name for each in subject.peculiarities], dtype=np.str_),
        "peculiarity_sides": np.array([each.side for each in subject.peculiarities], dtype=np.str_),
        "peculiarity_sizes": np.array([each.size for each in subject.peculiarities], dtype=np.float64),
        "dimensionless_speed": np.float64(subject.dimensionless_speed),  # without the pathology
    }


def read_ground_truth(path: str | Path) -> PoseSequence:
    """Read the true poses of a recording, in the same coordinates as ``gait.capture.read_recording``.

    The sequence's ``extra`` holds the events (``event_label``, ``event_side``, ``event_time_s``), the pathology and the
    marker offsets as arrays by name.

    Args:
        path: the recording, or its ground truth file.

    Raises:
        GaitError: the file is missing, damaged or not a ground truth file.
    """
    path = Path(path)
    path = ground_truth_path(path) if path.suffix.lower() == ".c3d" else path
    try:
        with np.load(path, allow_pickle=False) as archive:
            data: dict[str, NDArray] = {_FORMER_KEYS.get(key, key): archive[key] for key in archive.files}
    except FileNotFoundError as error:
        raise GaitError(f"{path}: no such file; only synthetic recordings have a ground truth file.") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise GaitError(f"{path}: damaged or no npz file ({error}); write the recording again.") from error
    if missing := sorted({*_FIELDS, "rate_hz", "model_file"} - data.keys()):
        raise GaitError(f"{path}: {', '.join(missing)} missing; the file contains {', '.join(sorted(data))}.")
    poses, betas, translation, joints = (data.pop(name) for name in _FIELDS)
    return PoseSequence(
        poses=poses,
        betas=betas,
        translation_m=translation,
        joints_m=joints,
        rate_hz=float(data.pop("rate_hz")),
        model_file=str(data.pop("model_file")),
        model_sha256=str(data.pop("model_sha256", "")),
        gender=str(data.pop("gender", "neutral")),
        extra=data,
    )
