"""Reading the poses of a trial in any of their forms: ``poses.npz`` (``pose_npz``), or one file per frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.motion.pose_frames import FRAME_PATTERNS, read_frames
from gait.motion.pose_npz import POSES_FILE, read_npz
from gait.motion.trial_paths import parse_segment_number

if TYPE_CHECKING:  # it imports torch
    from gait.body.body import Body


def read_poses(folder: Path, *, body: Body | None = None, rate_hz: float | None = None) -> PoseSequence:
    """Read one pose sequence, in any of the three forms; ``read_pose_sequences`` reads all segments of a trial.

    Args:
        folder: of a trial, ``<save_folder>/<healthy|sick>/<subject>/<trial>``, or of one of its segments.
        body: body model; needed for JSON and text frames, which do not store joint positions.
        rate_hz: frames per second; needed for JSON and text frames, which do not store it.

    Raises:
        GaitError: there are no poses, a file is damaged, frames have different lengths, or a number is not finite.
    """
    folder = Path(folder)
    if (folder / POSES_FILE).is_file():
        return read_npz(folder / POSES_FILE)
    if (segments := find_pose_folders(folder)) and segments != (folder,):
        names = ", ".join(segment.name for segment in segments)
        raise GaitError(f"{folder}: this trial was split at gaps in the markers; name one of its folders {names}.")
    sequence = read_frames(folder, body, rate_hz)
    if sequence is not None:
        return sequence
    raise GaitError(
        f"{folder}: no poses.npz, pose_*.json or *.txt in it; name the folder of a fitted trial (shape_optimizer.py)."
    )


def find_pose_folders(folder: Path) -> tuple[Path, ...]:
    """Return the folders of a trial's pose sequences in temporal order; none if it has no poses.

    Usually this is the trial's own folder. If the trial was split at gaps in the markers, these are its subfolders
    ``segment1``, ``segment2``, … (``part1``, … from earlier versions).
    """
    folder = Path(folder)
    segments = {path: parse_segment_number(path) for path in folder.glob("*")}
    numbers = {path: number for path, number in segments.items() if number is not None}
    if numbers and not (folder / POSES_FILE).is_file():
        return tuple(sorted(numbers, key=lambda path: numbers[path]))
    has_poses = any(next(folder.glob(pattern), None) for pattern in (POSES_FILE, *FRAME_PATTERNS))
    return (folder,) if has_poses else ()


def read_pose_sequences(
    folder: Path, *, body: Body | None = None, rate_hz: float | None = None
) -> tuple[PoseSequence, ...]:
    """Read all pose sequences of a fitted trial in temporal order: one, or one per segment if the trial was split.

    Other arguments and errors are those of ``read_poses``.
    """
    folders = find_pose_folders(folder) or (folder,)
    return tuple(read_poses(segment, body=body, rate_hz=rate_hz) for segment in folders)
