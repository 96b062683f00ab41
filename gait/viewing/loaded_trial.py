"""A fitted trial as the viewer shows it: poses, body model, gait events, joint angles and markers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gait.body.open_body import OPEN_BODY, default_model_folder
from gait.body.pose_sequence import PoseSequence
from gait.cli.arguments import argument
from gait.errors import GaitError
from gait.explaining.attribution import explainable_mask
from gait.files.safe_pickle import read_array_dict
from gait.kinematics.event_sources import choose_events
from gait.kinematics.gait_events import GaitEvents, floor_height, progression_directions
from gait.kinematics.joint_angles import JointAngles, compute_joint_angles
from gait.kinematics.walking import ActivityInterval, activity_intervals, find_activity
from gait.motion.pose_files import find_pose_folders, read_poses
from gait.motion.pose_npz import POSES_FILE
from gait.motion.trial_paths import RESIDUALS_FILE, parse_trial_id

if TYPE_CHECKING:  # it imports torch
    from gait.body.body import Body

_DEFAULT_FRAME_RATE_HZ = 100.0  # of poses in JSON or text files, which do not store it


@dataclass(frozen=True, eq=False)
class MarkerTrajectories:
    """Measured markers, and the same markers on the fitted body."""

    observed_m: NDArray[np.float32]  # (T, M, 3), NaN where not visible
    virtual_m: NDArray[np.float32]  # (T, M, 3), on the fitted body


@dataclass(frozen=True, eq=False)
class LoadedTrial:
    """A trial with everything that the viewer draws."""

    folder: Path
    name: str  # "sick/P02/walk1"
    sequence: PoseSequence
    body: Body | None  # None: no mesh is drawn; the notes say why
    events: GaitEvents
    angles: JointAngles
    markers: MarkerTrajectories | None
    notes: tuple[str, ...] = ()  # one line per element that cannot be shown
    body_problem: str = ""  # the one of the notes that says why there is no body

    @property
    def num_frames(self) -> int:
        """Number of frames T."""
        return self.sequence.num_frames

    @property
    def rate_hz(self) -> float:
        """Frames per second."""
        return self.sequence.rate_hz

    @property
    def duration_s(self) -> float:
        """Duration in seconds, from the first frame to the end of the last one."""
        return self.num_frames / self.rate_hz

    @cached_property
    def observed(self) -> NDArray[np.bool_]:
        """(T, 22) the joints per frame that markers observe; all if that is unknown."""
        return explainable_mask(self.num_frames, self.sequence.joint_status, ())

    @cached_property
    def floor_m(self) -> float:
        """Height of the floor, metres."""
        return floor_height(self.sequence.joints_m)

    @cached_property
    def activity(self) -> tuple[ActivityInterval, ...]:
        """What the subject does, in temporal order."""
        return activity_intervals(find_activity(self.sequence.joints_m, self.rate_hz))

    @cached_property
    def directions(self) -> NDArray[np.float64]:
        """(T, 3) direction of progression in each frame."""
        return progression_directions(self.sequence.joints_m, self.rate_hz)


def is_fitted_trial(folder: Path) -> bool:
    """Return whether a folder holds the poses of a trial. Text files count as poses if their names end in a number."""
    segments = find_pose_folders(folder)
    if segments != (folder,) or any(next(folder.glob(kind), None) for kind in (POSES_FILE, "pose_*.json")):
        return bool(segments)
    return any(file.stem[-1:].isdecimal() for file in folder.glob("*.txt"))


@dataclass(frozen=True)
class BodyModelLocator:
    """Folder of the body models, and the body model of poses that do not name theirs."""

    model_folder: Path = argument(
        default_model_folder() / "SUPR", "folder of the body models", flag="--base_folder", aliases=("--model_folder",)
    )
    default_model: str = argument(
        OPEN_BODY, "body model of poses that do not name theirs", flag="--model", aliases=("--body_model",)
    )
    unconstrained: bool = argument(False, "free kinematic tree, even for poses of the constrained one")

    def load_default(self) -> Body:
        """Load the default model.

        Raises:
            GaitError: it cannot be read.
        """
        return _load_cached(self.model_folder / self.default_model, constrained=False)

    def load_for(self, sequence: PoseSequence) -> Body:
        """Load the body model that the poses were fitted with, or the default if they do not name one.

        Raises:
            GaitError: the model is missing, or the poses belong to another one.
        """
        name = Path(sequence.model_file).name or self.default_model
        beside = self.model_folder.parent.glob("smpl*/**/*")  # other families have folders beside data/SUPR
        others = sorted(path for path in beside if path.as_posix().endswith(f"/{sequence.model_file or name}"))
        file = next((path for path in (self.model_folder / name, *others) if path.is_file()), None)
        if file is None:
            raise GaitError(
                f"Body surface not shown: the poses belong to the body model {name}, which is not in "
                f"{self.model_folder}; put it there, or name its folder with --base_folder."
            )
        body = _load_cached(file, constrained=sequence.constrained and not self.unconstrained)
        if sequence.model_sha256 and body.sha256 != sequence.model_sha256:
            raise GaitError(
                f"Body surface not shown: {file} is not the file that the poses were fitted with; fit this trial again."
            )
        if sequence.poses.shape[1] != body.num_pose:
            raise GaitError(
                f"Body surface not shown: a pose has {sequence.poses.shape[1]} numbers, {name} needs {body.num_pose}"
                f"{'; leave --unconstrained out' if sequence.constrained and self.unconstrained else ''}."
            )
        return body


def load_trial(folder: Path, bodies: BodyModelLocator, rate_hz: float | None = None) -> LoadedTrial:
    """Load a fitted trial from its folder or a file in it. Of a trial that was split, its first segment is loaded.

    ``rate_hz`` is the frame rate of poses in JSON or text files, which do not store it.

    Raises:
        GaitError: there are no poses, or they are damaged. If the body model or the markers are missing, ``notes`` say
            so instead.
    """
    folder = Path(folder)
    if folder.is_file():
        folder = folder.parent
    notes: list[str] = []
    segments = find_pose_folders(folder)
    if len(segments) > 1 or (segments and segments[0] != folder):
        notes.append(f"This trial was split at gaps in its markers; shown is {segments[0].name} of {len(segments)}.")
        folder = segments[0]
    needs_body = not (folder / POSES_FILE).is_file()
    default_body = bodies.load_default() if needs_body else None
    sequence = read_poses(folder, body=default_body, rate_hz=rate_hz or _DEFAULT_FRAME_RATE_HZ)
    if needs_body and rate_hz is None:
        notes.append(f"These poses do not store their frame rate; {_DEFAULT_FRAME_RATE_HZ:g} Hz is assumed.")
    body = markers = None
    body_problem = ""
    try:
        body = bodies.load_for(sequence)
    except GaitError as error:
        body_problem = str(error)
        notes.append(body_problem)
    try:
        markers = _read_markers(folder, sequence.num_frames)
    except GaitError as error:
        notes.append(f"No markers: {error}")
    return LoadedTrial(
        folder=folder,
        name=parse_trial_id(folder),
        sequence=sequence,
        body=body,
        events=choose_events(sequence),
        angles=compute_joint_angles(sequence),
        markers=markers,
        notes=tuple(notes),
        body_problem=body_problem,
    )


def changed_trial(trial: LoadedTrial, sequence: PoseSequence, name: str = "changed walk") -> LoadedTrial:
    """Return a trial with other poses of the same body in as many frames, such as those of a counterfactual.

    The events stay those of the trial, so that both show the same phase.
    """
    angles = compute_joint_angles(sequence)
    return LoadedTrial(trial.folder, name, sequence, trial.body, trial.events, angles, markers=None)


def _read_markers(folder: Path, num_frames: int) -> MarkerTrajectories | None:
    file = folder / RESIDUALS_FILE
    if not file.is_file():
        return None
    data = {key: np.asarray(value) for key, value in read_array_dict(file, allow_pickle=False).items()}
    missing = sorted({"labels", "observed_m", "virtual_m"} - data.keys())
    if missing:
        raise GaitError(f"{file} lacks {', '.join(missing)}.")
    expected = (num_frames, len(data["labels"]), 3)
    for key in ("observed_m", "virtual_m"):
        if data[key].shape != expected or data[key].dtype.kind != "f":
            raise GaitError(f"{file}: {key} has the shape {data[key].shape}, not {expected}.")
    return MarkerTrajectories(data["observed_m"].astype(np.float32), data["virtual_m"].astype(np.float32))


@lru_cache(maxsize=4)
def _load_cached(file: Path, *, constrained: bool) -> Body:
    from gait.body.model_file import load_body  # imports torch

    return load_body(file, constrained=constrained)
