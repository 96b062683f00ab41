"""One fitted gait as it is looked at: its movement, its body, and what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.files.safe_pickle import read_array_dict
from gait.kinematics.gait_events import GaitEvents, gait_events
from gait.kinematics.joint_angles import JointAngles, joint_angles
from gait.motion.pose_files import POSES_FILE, pose_folders, read_poses
from gait.motion.trial_paths import gait_name

RESIDUALS_FILE = "residuals.npz"
_RATE_OF_FRAMES_HZ = 100.0  # of poses that came as JSON or text and do not say it


@dataclass(frozen=True, eq=False)
class Markers:
    """Where the markers were measured, and where the fitted body has them."""

    labels: tuple[str, ...]  # (M,)
    observed_m: NDArray[np.float32]  # (T, M, 3), NaN where not seen
    virtual_m: NDArray[np.float32]  # (T, M, 3)


@dataclass(frozen=True, eq=False)
class LoadedTrial:
    """A gait with all that can be drawn of it."""

    folder: Path
    name: str  # "sick/P02/walk1"
    sequence: PoseSequence
    body: Body | None  # None: no skin, the notes say why
    events: GaitEvents
    angles: JointAngles
    markers: Markers | None
    notes: tuple[str, ...] = ()  # plain lines on what cannot be shown

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return self.sequence.frames

    @property
    def rate_hz(self) -> float:
        """Frames a second."""
        return self.sequence.rate_hz

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last."""
        return self.frames / self.rate_hz


def holds_a_walk(folder: Path) -> bool:
    """Whether a folder looks like that of a fitted gait. Text files are taken for poses if they are numbered."""
    parts = pose_folders(folder)
    if parts != (folder,) or any(next(folder.glob(kind), None) for kind in (POSES_FILE, "pose_*.json")):
        return bool(parts)
    return any(file.stem[-1:].isdecimal() for file in folder.glob("*.txt"))


@dataclass(frozen=True)
class BodyModelLocator:
    """Where body models are, and which one to take where poses do not say."""

    folder: Path
    model: str  # file name
    unconstrained: bool = False  # use the free tree even where poses are of a hinge tree

    def default(self) -> Body:
        """The model that was named.

        Raises:
            GaitError: it cannot be read.
        """
        return _body(self.folder / self.model, constrained=False)

    def of(self, sequence: PoseSequence) -> Body:
        """The body that these poses were fitted with, or the one that was named if they do not say.

        Raises:
            GaitError: it is not there, or the poses are another body's.
        """
        name = Path(sequence.model_file).name or self.model
        file = self.folder / name
        if not file.is_file():
            raise GaitError(
                f"No skin: the poses are of the body {name}, which is not in {self.folder}; put it there to see the "
                "skin, or name its folder with --base_folder."
            )
        body = _body(file, constrained=sequence.constrained and not self.unconstrained)
        if sequence.model_sha256 and body.sha256 != sequence.model_sha256:
            raise GaitError(f"No skin: {file} is not the file that the poses were fitted with; fit this gait again.")
        if sequence.poses.shape[1] != body.num_pose:
            raise GaitError(
                f"No skin: a pose has {sequence.poses.shape[1]} numbers, {name} needs {body.num_pose}"
                f"{'; leave --unconstrained out' if sequence.constrained and self.unconstrained else ''}."
            )
        return body


def read_shown_gait(folder: Path, bodies: BodyModelLocator, rate_hz: float | None = None) -> LoadedTrial:
    """Everything about one fitted gait.

    A folder that names a gait which was split gives its first part.

    Args:
        folder: of the gait, or of a part of it; a file in it will do.
        bodies: where its body model is.
        rate_hz: of poses that come as JSON or text frames, which do not say it.

    Raises:
        GaitError: there are no poses, or they are damaged. What only limits the picture is a note instead.
    """
    folder = Path(folder)
    if folder.is_file():
        folder = folder.parent
    notes: list[str] = []
    parts = pose_folders(folder)
    if len(parts) > 1 or (parts and parts[0] != folder):
        notes.append(f"This gait was split where markers lacked; shown is {parts[0].name} of {len(parts)}.")
        folder = parts[0]
    needs_body = not (folder / POSES_FILE).is_file()
    sequence = read_poses(folder, body=bodies.default() if needs_body else None, rate_hz=rate_hz or _RATE_OF_FRAMES_HZ)
    if needs_body and rate_hz is None:
        notes.append(f"The poses do not say how many frames a second they are; {_RATE_OF_FRAMES_HZ:g} are assumed.")
    body = markers = None
    try:
        body = bodies.of(sequence)
    except GaitError as error:
        notes.append(str(error))
    try:
        markers = _markers(folder, sequence.frames)
    except GaitError as error:
        notes.append(f"No markers: {error}")
    return LoadedTrial(
        folder=folder,
        name=gait_name(folder),
        sequence=sequence,
        body=body,
        events=gait_events(sequence.joints_m, sequence.rate_hz),
        angles=joint_angles(sequence.joints_m, sequence.rate_hz),
        markers=markers,
        notes=tuple(notes),
    )


def _markers(folder: Path, frames: int) -> Markers | None:
    file = folder / RESIDUALS_FILE
    if not file.is_file():
        return None
    data = {key: np.asarray(value) for key, value in read_array_dict(file).items()}
    missing = sorted({"labels", "observed_m", "virtual_m"} - data.keys())
    if missing:
        raise GaitError(f"{file} lacks {', '.join(missing)}.")
    needed = (frames, len(data["labels"]), 3)
    for key in ("observed_m", "virtual_m"):
        if data[key].shape != needed or data[key].dtype.kind != "f":
            raise GaitError(f"{file}: {key} has the shape {data[key].shape}, {needed} is needed.")
    return Markers(
        tuple(map(str, data["labels"])), data["observed_m"].astype(np.float32), data["virtual_m"].astype(np.float32)
    )


@lru_cache(maxsize=4)
def _body(file: Path, *, constrained: bool) -> Body:
    return load_body(file, constrained=constrained)
