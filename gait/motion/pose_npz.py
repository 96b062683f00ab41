"""This package's ``poses.npz``: writing and reading.

It names its arrays as AMASS does (Mahmood et al. 2019) and also stores the joint positions, so that reading it needs no
body model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait.body.anatomy import Anatomy
from gait.body.joint_status import status_from_sigma
from gait.body.pose_sequence import PoseSequence, RecordedEvents
from gait.body.rotation_error import NUM_COMPONENTS, NUM_PARTS, AnatomyError, RotationError
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.errors import GaitError
from gait.files.safe_pickle import read_array_dict

POSES_FILE = "poses.npz"
_ERROR_ARRAYS = {
    "rotation_error_at_sample": "at_sample",
    "rotation_error_sigma": "sigma",
    "rotation_error_series": "series",
    "rotation_error_modes": "modes",
    "rotation_error_noise_correlation": "noise_correlation",
}
"""Key -> field of ``RotationError``."""
_ANATOMY_ERROR_ARRAYS = {
    "rest_joints_error": "joints_m",
    "landmark_rest_error": "landmarks_m",
    "landmark_fitted_error": "fitted_m",
}
"""Key -> field of ``AnatomyError``."""
_ROUNDED = ("rotation_error_modes", *_ANATOMY_ERROR_ARRAYS)
_SCALE = "_scale"
"""Key + this -> value of 1 in the integers from −127 to 127 to which arrays of ``_ROUNDED`` are rounded; NaN: unknown.

Each row along the last axis has its own scale, in the modes each of the three parts of a row."""
_EVENT_KEYS = ("event_time_s", "event_kind", "event_side", "event_source", "event_notes")
_OWN_KEYS = frozenset(
    [
        "poses",
        "betas",
        "trans",
        "joints",
        "mocap_frame_rate",
        "gender",
        "model",
        "model_sha256",
        "constrained",
        "surface_model_type",
        "joint_sigma",
        "joint_status",
        "gap_filled",
        "first_frame",
        "body_rotations",
        "rest_joints",
        "landmarks",
        "landmark_rest",
        "landmark_fitted",
        "landmark_joint",
        *_ERROR_ARRAYS,
        *_ANATOMY_ERROR_ARRAYS,
        *(key + _SCALE for key in _ROUNDED),
        *_EVENT_KEYS,
    ]
)
_OLD_KEYS = {"joints_sigma": "joint_sigma", "bridged": "gap_filled", "markers_seen": "num_visible_markers"}
"""Keys that earlier versions wrote -> the key of today."""


def write_npz(folder: Path, sequence: PoseSequence) -> Path:
    """Write ``poses.npz`` into a folder and return its path; equal sequences give equal bytes."""
    path = folder / POSES_FILE
    optional: dict[str, Any] = {
        "joint_sigma": sequence.joint_sigma_m,
        "joint_status": sequence.joint_status,
        "gap_filled": sequence.gap_filled,
        "body_rotations": sequence.body_rotations,
    }
    if (anatomy := sequence.anatomy) is not None:
        optional |= {
            "rest_joints": anatomy.joints_m,
            "landmarks": np.array(anatomy.landmarks),
            "landmark_rest": anatomy.landmarks_m,
            "landmark_fitted": anatomy.fitted_m,
            "landmark_joint": anatomy.moves_with,
        }
    if (error := sequence.rotation_error) is not None:
        optional |= {key: getattr(error, name) for key, name in _ERROR_ARRAYS.items()}
        optional["rotation_error_sigma"] = error.sigma.astype(np.float16)
        if error.anatomy is not None:
            optional |= {key: getattr(error.anatomy, name) for key, name in _ANATOMY_ERROR_ARRAYS.items()}
        for key in _ROUNDED:
            if key in optional:
                bounds = _part_bounds(optional[key]) if key == "rotation_error_modes" else []
                optional[key], optional[key + _SCALE] = _round_rows(optional[key], bounds)
    if (events := sequence.recorded_events) is not None:
        texts = (
            np.array(values, dtype=np.str_) for values in (events.kinds, events.sides, events.sources, events.notes)
        )
        optional |= dict(zip(_EVENT_KEYS, (events.time_s, *texts), strict=True))
    np.savez_compressed(
        path,
        poses=sequence.poses,
        betas=sequence.betas,
        trans=sequence.translation_m,
        joints=sequence.joints_m,
        mocap_frame_rate=np.float64(sequence.rate_hz),
        gender=np.str_(sequence.gender),
        model=np.str_(sequence.model_file),
        model_sha256=np.str_(sequence.model_sha256),
        constrained=np.bool_(sequence.constrained),
        surface_model_type=np.str_(sequence.model_type),
        first_frame=np.int64(sequence.first_frame),
        **{name: values for name, values in optional.items() if values is not None},
        **sequence.extra,
    )
    return path


def read_npz(path: Path) -> PoseSequence:
    """Read a file of ``write_npz``; errors are those of ``read_poses``."""
    data = {
        _OLD_KEYS.get(key, key): np.asarray(value) for key, value in read_array_dict(path, allow_pickle=False).items()
    }
    missing = sorted({"poses", "betas", "trans", "joints", "mocap_frame_rate"} - data.keys())
    if missing:
        raise GaitError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(sorted(data))}.")
    T = len(data["poses"]) if data["poses"].ndim == 2 else 0
    if not T:
        raise GaitError(f"{path}: poses has the shape {data['poses'].shape}, (frames, pose parameters) is needed.")
    shapes = {"trans": (T, 3), "joints": (T, NUM_BODY_JOINTS, 3), "joint_sigma": (T, NUM_BODY_JOINTS)}
    shapes |= {"joint_status": (T, NUM_BODY_JOINTS), "gap_filled": (T,), "body_rotations": (T, NUM_BODY_JOINTS, 3)}
    K = data["landmarks"].size if "landmarks" in data else 0
    shapes |= {"rest_joints": (NUM_BODY_JOINTS, 3), "landmarks": (K,), "landmark_joint": (K,)}
    shapes |= {"landmark_rest": (K, 3), "landmark_fitted": (K, 3)}
    shapes |= _error_shapes(data, T, K)
    E = data["event_time_s"].size if "event_time_s" in data else 0
    shapes |= {**dict.fromkeys(_EVENT_KEYS, (E,)), "event_notes": (data.get("event_notes", np.empty(0)).size,)}
    shapes |= dict.fromkeys(_OWN_KEYS - shapes.keys() - {"poses", "betas"}, ())
    for key, shape in shapes.items():
        if key in data and data[key].shape != shape:
            raise GaitError(f"{path}: {key} has the shape {data[key].shape}, {shape} is needed for {T} frames.")
    for key, kind in (("gap_filled", np.bool_), ("joint_status", np.uint8), ("first_frame", np.integer)):
        if key in data and not np.issubdtype(data[key].dtype, kind):
            raise GaitError(f"{path}: {key} is of the type {data[key].dtype}; fit this trial again.")
    objects = sorted(key for key, value in data.items() if value.dtype.hasobject)
    if objects:
        raise GaitError(f"{path}: {', '.join(objects)} holds objects, not numbers or text.")
    rate_hz = float(_finite_array(path, "mocap_frame_rate", data["mocap_frame_rate"]))
    if rate_hz <= 0:
        raise GaitError(f"{path}: mocap_frame_rate is {rate_hz:g}; fit this trial again.")
    sigma_m = _finite_array(path, "joint_sigma", data["joint_sigma"]) if "joint_sigma" in data else None
    status = data.get("joint_status")
    if status is None and sigma_m is not None:  # a file of an earlier version
        status = status_from_sigma(sigma_m)
    return PoseSequence(
        poses=_finite_array(path, "poses", data["poses"]),
        betas=_finite_array(path, "betas", data["betas"].reshape(-1)),
        translation_m=_finite_array(path, "trans", data["trans"]),
        joints_m=_finite_array(path, "joints", data["joints"]),
        rate_hz=float(data["mocap_frame_rate"]),
        model_file=str(data.get("model", "")),
        model_sha256=str(data.get("model_sha256", "")),
        model_type=str(data.get("surface_model_type", "supr")),
        gender=str(data.get("gender", "neutral")),
        constrained=bool(data.get("constrained", False)),
        joint_sigma_m=sigma_m,
        joint_status=status,
        gap_filled=data["gap_filled"].astype(bool) if "gap_filled" in data else None,
        first_frame=int(data["first_frame"]) if "first_frame" in data else 1,
        body_rotations=_finite_array(path, "body_rotations", data["body_rotations"])
        if "body_rotations" in data
        else None,
        anatomy=_read_anatomy(path, data),
        rotation_error=_read_rotation_error(path, data),
        recorded_events=_read_events(path, data),
        extra={key: value for key, value in data.items() if key not in _OWN_KEYS},
    )


def _read_anatomy(path: Path, data: Mapping[str, NDArray[Any]]) -> Anatomy | None:
    """Return the anatomy in a pose file, whose shapes are checked; None in files of earlier versions."""
    keys = ("rest_joints", "landmark_rest", "landmark_fitted", "landmark_joint", "landmarks")
    if not all(key in data for key in keys):
        return None
    joint = data["landmark_joint"]
    if joint.dtype != np.uint8 or (joint >= NUM_BODY_JOINTS).any() or data["landmark_fitted"].dtype.kind != "f":
        raise GaitError(f"{path}: landmark_joint or landmark_fitted holds no body joints or positions; fit it again.")
    return Anatomy(
        joints_m=_finite_array(path, "rest_joints", data["rest_joints"]),
        landmarks=tuple(str(name) for name in data["landmarks"]),
        landmarks_m=_finite_array(path, "landmark_rest", data["landmark_rest"]),
        fitted_m=data["landmark_fitted"].astype(np.float32),
        moves_with=joint,
    )


def _error_shapes(data: Mapping[str, NDArray[Any]], T: int, L: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes that the arrays of the rotation error must have in a file of T frames and L landmarks."""
    series, modes, correlation = (
        data.get(f"rotation_error_{name}", np.empty(0)) for name in ("series", "modes", "noise_correlation")
    )
    S, R = series.shape if series.ndim == 2 else (0, 0)
    K = max(modes.shape[2] - 2 * NUM_COMPONENTS, 0) if modes.ndim == 3 else 0
    return {
        "rotation_error_at_sample": (T,),
        "rotation_error_sigma": (S, NUM_PARTS, NUM_COMPONENTS),
        "rotation_error_series": (S, R),
        "rotation_error_modes": (R, NUM_COMPONENTS, K + 2 * NUM_COMPONENTS),
        "rotation_error_noise_correlation": (correlation.size,),
        "rest_joints_error": (NUM_BODY_JOINTS, 3, K),
        "landmark_rest_error": (L, 3, K),
        "landmark_fitted_error": (L, 3, K),
        "rotation_error_modes_scale": (R, NUM_COMPONENTS, NUM_PARTS),
        "rest_joints_error_scale": (NUM_BODY_JOINTS, 3, 1),
        "landmark_rest_error_scale": (L, 3, 1),
        "landmark_fitted_error_scale": (L, 3, 1),
    }


def _part_bounds(modes: NDArray[Any]) -> list[int]:
    """Return where the errors of motion and of noise begin in the last axis of the modes (R, 66, K + 132)."""
    return [modes.shape[2] - 2 * NUM_COMPONENTS, modes.shape[2] - NUM_COMPONENTS]


def _round_rows(values: NDArray[np.floating], bounds: list[int]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return integers (..., N) and scales (..., parts) of values, whose last axis has parts separated at ``bounds``."""
    rounded, scales = [], []
    for part in np.split(values, bounds, axis=-1):
        scale = (np.abs(part).max(axis=-1, keepdims=True, initial=0) / 127).astype(np.float32)
        with np.errstate(invalid="ignore"):
            rounded.append(np.nan_to_num(np.rint(part / np.where(scale > 0, scale, 1))).astype(np.int8))
        scales.append(scale)
    return np.concatenate(rounded, axis=-1), np.concatenate(scales, axis=-1)


def _restore_rows(rounded: NDArray[np.integer], scales: NDArray[np.floating], bounds: list[int]) -> NDArray[np.float32]:
    """Return the values (..., N) of integers and scales, as ``_round_rows`` gives them."""
    parts = np.split(rounded, bounds, axis=-1)
    return np.concatenate([part * scales[..., k, None] for k, part in enumerate(parts)], axis=-1, dtype=np.float32)


def _read_rotation_error(path: Path, data: Mapping[str, NDArray[Any]]) -> RotationError | None:
    """Return the errors of the orientations in a pose file, whose shapes are checked; None in files without them."""
    if not all(key in data for key in _ERROR_ARRAYS):
        return None
    data = dict(data)
    for key in _ROUNDED:
        if key not in data:
            continue
        if data[key].dtype != np.int8 or data.get(key + _SCALE, data[key]).dtype.kind != "f":
            raise GaitError(f"{path}: {key} is of the type {data[key].dtype}, not rounded; fit this trial again.")
        bounds = _part_bounds(data[key]) if key == "rotation_error_modes" else []
        data[key] = _restore_rows(data[key], data[key + _SCALE], bounds)
    values = {name: _finite_array(path, key, data[key]) for key, name in _ERROR_ARRAYS.items()}
    at, S = values["at_sample"], len(values["series"])
    if not S or at.min() < 0 or at.max() > S - 1 or not len(values["noise_correlation"]):
        raise GaitError(f"{path}: rotation_error_at_sample is not within its {S} samples; fit this trial again.")
    anatomy = None
    if all(key in data for key in _ANATOMY_ERROR_ARRAYS):
        anatomy = AnatomyError(
            joints_m=_finite_array(path, "rest_joints_error", data["rest_joints_error"]),
            landmarks_m=_finite_array(path, "landmark_rest_error", data["landmark_rest_error"]),
            fitted_m=data["landmark_fitted_error"],
        )
    return RotationError(**values, anatomy=anatomy)


def _read_events(path: Path, data: Mapping[str, NDArray[Any]]) -> RecordedEvents | None:
    """Return the events in a pose file, whose shapes are checked; None if it has none."""
    if not all(key in data for key in _EVENT_KEYS):
        return None
    times, *texts = (data[key] for key in _EVENT_KEYS)
    kinds, sides, sources, notes = (tuple(str(text) for text in values) for values in texts)
    known = {*kinds} <= {"initial contact", "foot off"} and {*sides} <= {"left", "right"}
    if times.dtype.kind != "f" or not np.isfinite(times).all() or not known:
        raise GaitError(f"{path}: its events have no time, kind or side that is known; fit this trial again.")
    return RecordedEvents(times.astype(np.float64), kinds, sides, sources, notes)


def _finite_array(path: Path, key: str, values: NDArray[Any]) -> NDArray[np.float32]:
    if values.dtype.kind in "fiu":
        with np.errstate(over="ignore"):
            single = values.astype(np.float32)
        if np.isfinite(single).all():
            return single
    raise GaitError(f"{path}: {key} holds values that are not finite numbers; fit this trial again.")
