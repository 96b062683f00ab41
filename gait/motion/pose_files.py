"""Poses on disk: the suite's ``poses.npz``, the published one-JSON-a-frame form, and 3D Body Twin's text files.

The only reader and writer of them. ``poses.npz`` follows AMASS's keys (Mahmood et al. 2019) and carries the posed
joints, so that whoever reads it needs no body model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.errors import GaitError
from gait.files.safe_pickle import read_array_dict
from gait.motion.trial_paths import PART_NAME

POSES_FILE = "poses.npz"
_TEXT_BETAS = 50
_MOST_TEXT = 1 << 20  # bytes of one frame's text
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
        "joints_sigma",
        "bridged",
        "first_frame",
    ]
)


def write_npz(folder: Path, sequence: PoseSequence) -> Path:
    """Write ``poses.npz`` into a folder; the same sequence gives the same bytes. Returns the file."""
    path = folder / POSES_FILE
    known: dict[str, Any] = {"joints_sigma": sequence.joints_sigma_m, "bridged": sequence.bridged}
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
        **{name: values for name, values in known.items() if values is not None},
        **sequence.extra,
    )
    return path


def write_json_frames(folder: Path, sequence: PoseSequence) -> list[Path]:
    """Write one ``pose_00000.json`` a frame, as the published pipeline does. Returns the files."""
    betas = [sequence.betas.astype(float).tolist()]
    paths = []
    for frame, (pose, place) in enumerate(zip(sequence.poses, sequence.translation_m, strict=True)):
        path = folder / f"pose_{frame:05d}.json"
        content = {
            "betas": betas,
            "pose": [pose.astype(float).tolist()],
            "translation": [place.astype(float).tolist()],
        }
        path.write_text(json.dumps(content), encoding="utf-8")
        paths.append(path)
    return paths


def read_poses(folder: Path, *, body: Body | None = None, rate_hz: float | None = None) -> PoseSequence:
    """Read one sequence of poses, in whichever of the three forms its folder holds; ``pose_sequences`` reads a gait.

    Args:
        folder: of one gait, ``<save_folder>/<healthy|sick>/<subject>/<gait>``, or of a part of it.
        body: needed for JSON and text frames, whose joints are not in the file.
        rate_hz: needed for them too, as they do not say.

    Raises:
        GaitError: nothing readable there, a damaged file, frames of different lengths, numbers that are not finite.
    """
    folder = Path(folder)
    if (folder / POSES_FILE).is_file():
        return _read_npz(folder / POSES_FILE)
    if (parts := pose_folders(folder)) and parts != (folder,):
        names = ", ".join(part.name for part in parts)
        raise GaitError(f"{folder}: this gait was split where markers lacked; name one of its folders {names}.")
    frames = sorted(folder.glob("pose_*.json"))
    if frames:
        return _posed(folder, [_json_frame(path) for path in frames], body, rate_hz)
    texts = sorted(folder.glob("*.txt"), key=_frame_number)
    if texts:
        return _posed(folder, [_text_frame(path) for path in texts], body, rate_hz)
    raise GaitError(f"{folder}: no poses.npz, pose_*.json or *.txt in it; name the folder of one fitted gait.")


def pose_folders(folder: Path) -> tuple[Path, ...]:
    """The folders of a fitted gait's sequences, in their order in time; none if there is nothing.

    One, the gait's own, or ``part1``, ``part2``, … in it where frames without markers have split the gait.
    """
    folder = Path(folder)
    parts = [path for path in folder.glob(f"{PART_NAME}*") if path.name[len(PART_NAME) :].isdecimal()]
    if parts and not (folder / POSES_FILE).is_file():
        return tuple(sorted(parts, key=lambda path: int(path.name[len(PART_NAME) :])))
    there = any(next(folder.glob(kind), None) for kind in (POSES_FILE, "pose_*.json", "*.txt"))
    return (folder,) if there else ()


def pose_sequences(folder: Path, *, body: Body | None = None, rate_hz: float | None = None) -> tuple[PoseSequence, ...]:
    """Every sequence of one fitted gait, in their order in time: one, or more where the gait was split.

    Args:
        folder: of one gait.
        body: as in ``read_poses``.
        rate_hz: as in ``read_poses``.

    Raises:
        GaitError: as ``read_poses``.
    """
    folders = pose_folders(folder) or (folder,)
    return tuple(read_poses(part, body=body, rate_hz=rate_hz) for part in folders)


def _read_npz(path: Path) -> PoseSequence:
    data = {key: np.asarray(value) for key, value in read_array_dict(path).items()}
    missing = sorted({"poses", "betas", "trans", "joints", "mocap_frame_rate"} - data.keys())
    if missing:
        raise GaitError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(sorted(data))}.")
    T = len(data["poses"]) if data["poses"].ndim == 2 else 0
    if not T:
        raise GaitError(f"{path}: poses has the shape {data['poses'].shape}, (frames, numbers of a pose) is needed.")
    wanted = {"trans": (T, 3), "joints": (T, NUM_BODY_JOINTS, 3), "joints_sigma": (T, NUM_BODY_JOINTS), "bridged": (T,)}
    wanted |= dict.fromkeys(_OWN_KEYS - wanted.keys() - {"poses", "betas"}, ())
    for key, shape in wanted.items():
        if key in data and data[key].shape != shape:
            raise GaitError(f"{path}: {key} has the shape {data[key].shape}, {shape} is needed for {T} frames.")
    for key, kind in (("bridged", np.bool_), ("first_frame", np.integer)):
        if key in data and not np.issubdtype(data[key].dtype, kind):
            raise GaitError(f"{path}: {key} is of the type {data[key].dtype}; fit this gait again.")
    objects = sorted(key for key, value in data.items() if value.dtype.hasobject)
    if objects:
        raise GaitError(f"{path}: {', '.join(objects)} holds objects, not numbers or text.")
    rate_hz = float(_finite(path, "mocap_frame_rate", data["mocap_frame_rate"]))
    if rate_hz <= 0:
        raise GaitError(f"{path}: mocap_frame_rate is {rate_hz:g}; fit this gait again.")
    return PoseSequence(
        poses=_finite(path, "poses", data["poses"]),
        betas=_finite(path, "betas", data["betas"].reshape(-1)),
        translation_m=_finite(path, "trans", data["trans"]),
        joints_m=_finite(path, "joints", data["joints"]),
        rate_hz=float(data["mocap_frame_rate"]),
        model_file=str(data.get("model", "")),
        model_sha256=str(data.get("model_sha256", "")),
        model_type=str(data.get("surface_model_type", "supr")),
        gender=str(data.get("gender", "neutral")),
        constrained=bool(data.get("constrained", False)),
        joints_sigma_m=_finite(path, "joints_sigma", data["joints_sigma"]) if "joints_sigma" in data else None,
        bridged=data["bridged"].astype(bool) if "bridged" in data else None,
        first_frame=int(data["first_frame"]) if "first_frame" in data else 1,
        extra={key: value for key, value in data.items() if key not in _OWN_KEYS},
    )


def _finite(path: Path, key: str, values: NDArray[Any]) -> NDArray[np.float32]:
    if values.dtype.kind in "fiu":
        with np.errstate(over="ignore"):
            single = values.astype(np.float32)
        if np.isfinite(single).all():
            return single
    raise GaitError(f"{path}: {key} holds values that are no finite numbers; fit this gait again.")


def _frame_number(path: Path) -> tuple[int, str]:
    """Sorts frame_2 before frame_10; names without a number come first."""
    number = re.findall(r"\d+", path.stem)
    return (int(number[-1]) if number else -1, path.name)


Frame = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]  # pose (P,), betas (B,), place (3,)


def _json_frame(path: Path) -> Frame:
    def read() -> Frame:
        content = json.loads(_text(path))
        pose, betas, place = (np.asarray(content[k], np.float32).reshape(-1) for k in ("pose", "betas", "translation"))
        return pose, betas, place

    return _guarded(path, read)


def _text_frame(path: Path) -> Frame:
    """Root rotation (3), translation (3), the rest of the pose, 50 betas."""

    def read() -> Frame:
        words = _text(path)
        if "_" in words:  # which Python allows within a number
            raise ValueError("not only numbers")
        numbers = np.array(words.split(), dtype=np.float32)
        if len(numbers) < 6 + _TEXT_BETAS:
            raise ValueError(f"{len(numbers)} numbers, at least {6 + _TEXT_BETAS} are needed")
        pose = np.concatenate([numbers[:3], numbers[6:-_TEXT_BETAS]])
        return pose, numbers[-_TEXT_BETAS:], numbers[3:6]

    return _guarded(path, read)


def _text(path: Path) -> str:
    if path.stat().st_size > _MOST_TEXT:
        raise ValueError(f"larger than {_MOST_TEXT >> 20} MiB")
    return path.read_text(encoding="utf-8")


def _guarded(path: Path, read: Callable[[], Frame]) -> Frame:
    try:
        with np.errstate(over="ignore"):
            frame = read()
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise GaitError(f"{path}: no pose frame ({type(error).__name__}: {error}).") from error
    if frame[2].shape != (3,) or not all(np.isfinite(part).all() for part in frame):
        raise GaitError(f"{path}: a translation of three finite numbers is needed, and finite poses.")
    return frame


def _posed(folder: Path, frames: list[Frame], body: Body | None, rate_hz: float | None) -> PoseSequence:
    if body is None or rate_hz is None:
        raise GaitError(
            f"{folder}: these poses are without joints and rate; name the body model and the frame rate "
            "(--body, --pose_rate)."
        )
    if len({tuple(part.shape for part in frame) for frame in frames}) > 1:
        raise GaitError(f"{folder}: its pose files have different lengths; they are not of one gait.")
    poses, betas, place = (np.stack(parts) for parts in zip(*frames, strict=True))
    if poses.shape[1] != body.num_pose:
        raise GaitError(
            f"{folder}: a pose has {poses.shape[1]} numbers, {body.name} needs {body.num_pose}"
            f"{'; is it of a constrained model?' if body.hinges is None else ''}."
        )
    if betas.shape[1] < body.num_betas:
        betas = np.pad(betas, ((0, 0), (0, body.num_betas - betas.shape[1])))
    like = body.v_template
    with torch.inference_mode():
        joints = body.posed_joints(*(torch.as_tensor(a).to(like) for a in (poses, betas[:, : body.num_betas], place)))
    if not joints.isfinite().all():
        raise GaitError(f"{folder}: its poses are too large to be angles and places of a body.")
    return PoseSequence(
        poses=poses,
        betas=betas[0],
        translation_m=place,
        joints_m=joints[:, :NUM_BODY_JOINTS].cpu().numpy().astype(np.float32),
        rate_hz=rate_hz,
        model_file=body.name,
        model_sha256=body.sha256,
        model_type=body.model_type,
        gender=body.gender,
        constrained=body.hinges is not None,
    )
