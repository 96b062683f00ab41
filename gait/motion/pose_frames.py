"""Poses with one file per frame: the JSON form of the original implementation, and 3D Body Twin's text files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gait.body.anatomy import read_anatomy
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.errors import GaitError

if TYPE_CHECKING:  # it imports torch
    from gait.body.body import Body

_TEXT_BETAS = 50
_MAX_TEXT_BYTES = 1 << 20  # of one frame

FRAME_PATTERNS = ("pose_*.json", "*.txt")
"""Names of the files of one frame each."""


def read_frames(folder: Path, body: Body | None, rate_hz: float | None) -> PoseSequence | None:
    """Read a folder of JSON or text files; None if it has neither. Errors are those of ``read_poses``."""
    frames = sorted(folder.glob("pose_*.json"))
    if frames:
        return _sequence_from_frames(folder, [_read_json_frame(path) for path in frames], body, rate_hz)
    texts = sorted(folder.glob("*.txt"), key=_frame_number)
    if texts:
        return _sequence_from_frames(folder, [_read_text_frame(path) for path in texts], body, rate_hz)
    return None


def _frame_number(path: Path) -> tuple[int, str]:
    """Return a sort key that puts frame_2 before frame_10, and names without a number first."""
    number = re.findall(r"\d+", path.stem)
    return (int(number[-1]) if number else -1, path.name)


PoseFrame = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Pose (P,), betas (B,) and translation (3,) in metres."""


def _read_json_frame(path: Path) -> PoseFrame:
    def read() -> PoseFrame:
        content = json.loads(_read_text(path))
        keys = ("pose", "betas", "translation")
        pose, betas, translation = (np.asarray(content[key], np.float32).reshape(-1) for key in keys)
        return pose, betas, translation

    return _read_frame(path, read)


def _read_text_frame(path: Path) -> PoseFrame:
    """Read a text file of root rotation (3), translation (3), the rest of the pose, and 50 betas."""

    def read() -> PoseFrame:
        words = _read_text(path)
        if "_" in words:  # Python accepts underscores within a number
            raise ValueError("not only numbers")
        numbers = np.array(words.split(), dtype=np.float32)
        if len(numbers) < 6 + _TEXT_BETAS:
            raise ValueError(f"{len(numbers)} numbers, at least {6 + _TEXT_BETAS} are needed")
        pose = np.concatenate([numbers[:3], numbers[6:-_TEXT_BETAS]])
        return pose, numbers[-_TEXT_BETAS:], numbers[3:6]

    return _read_frame(path, read)


def _read_text(path: Path) -> str:
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise ValueError(f"larger than {_MAX_TEXT_BYTES >> 20} MiB")
    return path.read_text(encoding="utf-8")


def _read_frame(path: Path, read: Callable[[], PoseFrame]) -> PoseFrame:
    try:
        with np.errstate(over="ignore"):
            frame = read()
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise GaitError(f"{path}: no pose frame ({type(error).__name__}: {error}).") from error
    if frame[2].shape != (3,) or not all(np.isfinite(part).all() for part in frame):
        raise GaitError(f"{path}: a translation of three finite numbers is needed, and finite poses.")
    return frame


def _sequence_from_frames(
    folder: Path, frames: list[PoseFrame], body: Body | None, rate_hz: float | None
) -> PoseSequence:
    if body is None or rate_hz is None:
        raise GaitError(f"{folder}: these poses have no joints and no frame rate; give --body and --pose_rate.")
    if len({tuple(part.shape for part in frame) for frame in frames}) > 1:
        raise GaitError(f"{folder}: its pose files have different lengths; they are not of one trial.")
    poses, betas, translation = (np.stack(parts) for parts in zip(*frames, strict=True))
    if poses.shape[1] != body.num_pose:
        raise GaitError(
            f"{folder}: a pose has {poses.shape[1]} numbers, {body.name} needs {body.num_pose}"
            f"{'; is it of a constrained model?' if body.constrained_tree is None else ''}."
        )
    if betas.shape[1] < body.num_betas:
        betas = np.pad(betas, ((0, 0), (0, body.num_betas - betas.shape[1])))
    import torch  # takes seconds; only these files need it

    like = body.v_template
    with torch.inference_mode():
        joints = body.posed_joints(
            *(torch.as_tensor(a).to(like) for a in (poses, betas[:, : body.num_betas], translation))
        )
    if not joints.isfinite().all():
        raise GaitError(f"{folder}: its poses are too large to be angles and positions of a body.")
    return PoseSequence(
        poses=poses,
        betas=betas[0],
        translation_m=translation,
        joints_m=joints[:, :NUM_BODY_JOINTS].cpu().numpy().astype(np.float32),
        rate_hz=rate_hz,
        model_file=body.name,
        model_sha256=body.sha256,
        model_type=body.model_type,
        gender=body.gender,
        constrained=body.constrained_tree is not None,
        body_rotations=_local_axis_angle(body, poses),
        anatomy=read_anatomy(body, betas[0, : body.num_betas]),
    )


def _local_axis_angle(body: Body, poses: NDArray[np.floating]) -> NDArray[np.float32] | None:
    """Return the axis-angle vectors (T, 22, 3) of the body joints; None if the poses (T, P) begin with them."""
    if body.constrained_tree is None or body.num_joints < NUM_BODY_JOINTS:
        return None
    import torch

    from gait.body.rotations import matrix_to_axis_angle

    with torch.inference_mode():
        rotations, _ = body.local_rotations(torch.as_tensor(poses, dtype=body.dtype, device=body.device))
        return matrix_to_axis_angle(rotations[:, :NUM_BODY_JOINTS]).float().cpu().numpy()
