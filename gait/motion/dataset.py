"""Reading the fitted trials of a cohort: joints at one frame rate, subject, label and acquisition conditions."""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gait.arrays import true_runs
from gait.body.joint_status import unobserved_joints
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import Joint
from gait.errors import GaitError
from gait.kinematics.gait_events import GaitEvents, detect_gait_events
from gait.kinematics.walking import Activity, find_activity, format_interruptions
from gait.motion.pose_files import find_pose_folders, read_poses
from gait.motion.resampling import check_rate, resample, resample_nearest
from gait.motion.rotation_samples import read_rotations
from gait.motion.trial_paths import HEALTHY, LABEL_NOUNS, REPORT_FILE, SICK
from gait.motion.window_placement import FRAMES, place_windows
from gait.text import join_names

if TYPE_CHECKING:  # it imports torch
    from gait.body.body import Body

_MAX_DISTANCE_M = 1e5  # of a joint from the origin


@dataclass(frozen=True)
class AcquisitionInfo:
    """Acquisition conditions of a trial. None should predict the label; the confounder check tests that."""

    rate_hz: float  # of the recording
    num_frames: int  # at rate_hz
    missing_fraction: float  # of the samples of the markers below; NaN if the poses do not store it
    markers: tuple[str, ...]  # names of the markers used in the fit, sorted; () without a fit report
    stature_m: float  # of the fitted body; NaN without a fit report


@dataclass(frozen=True, eq=False)
class Trial:
    """One fitted trial, or one segment of a trial that was split at gaps."""

    subject: str
    trial_name: str  # "walk1"; of a segment "walk1/segment2"
    sick: bool
    joints_m: NDArray[np.float32]  # (T, 22, 3) metres, y up, at rate_hz
    rate_hz: float
    acquisition: AcquisitionInfo
    folder: Path  # of the poses
    joint_status: NDArray[np.uint8] | None = None  # (T, 22) a ``JointStatus`` per joint; None if unknown
    activity: NDArray[np.uint8] | None = None  # (T,) an ``Activity`` per frame; None: every frame is used as walking
    # (T, 22, 4) quaternions against the parent, scalar last, continuous; None if unknown or not read
    rotations: NDArray[np.float32] | None = None

    @property
    def walking(self) -> NDArray[np.bool_]:
        """Mask (T,) of the frames in which the subject walks; windows lie within its runs."""
        everywhere = np.ones(len(self.joints_m), dtype=bool)
        return everywhere if self.activity is None else self.activity == Activity.WALKING

    @property
    def walks(self) -> tuple[slice, ...]:
        """Frames of each walk, in temporal order."""
        return true_runs(self.walking)

    @property
    def subject_id(self) -> str:
        """Label and subject, ``healthy/P01``: the unit of folds and of metrics."""
        return f"{SICK if self.sick else HEALTHY}/{self.subject}"

    @property
    def trial_id(self) -> str:
        """Label, subject and trial, ``healthy/P01/walk1``."""
        return f"{self.subject_id}/{self.trial_name}"

    @cached_property
    def unobserved_joints(self) -> tuple[Joint, ...]:
        """The joints that markers observe in less than half of the frames."""
        return unobserved_joints(self.joint_status)

    @cached_property
    def events(self) -> GaitEvents:
        """The gait events that the joints show, in frames: of one source for all trials, whatever else is known."""
        return detect_gait_events(self.joints_m, self.rate_hz, self.unobserved_joints)

    def reason_without_window(self, window_length: int) -> str | None:
        """Return one line if no walk is as long as a window, in frames; None if one is."""
        longest = max((walk.stop - walk.start for walk in self.walks), default=0)
        if longest >= window_length:
            return None
        if self.activity is None or longest == len(self.joints_m):
            return (
                f"{self.trial_id}: {longest} frames at {self.rate_hz:g} Hz are shorter than a window of "
                f"{window_length}; excluded, use shorter windows to keep it."
            )
        others = format_interruptions(self.activity, self.rate_hz)
        if not longest:
            return f"{self.trial_id}: no walking in it ({others}); excluded, --keep_standing keeps it."
        return (
            f"{self.trial_id}: its longest walk has {longest} frames at {self.rate_hz:g} Hz ({others}), shorter than a "
            f"window of {window_length}; excluded, use shorter windows or --keep_standing to keep it."
        )


@dataclass(frozen=True)
class GaitDataset:
    """The fitted trials of a folder, and the problems found."""

    trials: tuple[Trial, ...]  # healthy ones first, then by subject, trial and segment
    problems: tuple[str, ...]  # one line per excluded trial or other remark


def read_dataset(
    poses_folder: Path,
    rate_hz: float = 100.0,
    *,
    min_frames: int = 1,
    body: Body | Path | None = None,
    pose_rate_hz: float | None = None,
    keep_standing: bool = False,
    input: str = "published",
    windows: str = FRAMES,
) -> GaitDataset:
    """Read all fitted trials in ``<poses_folder>/<healthy|sick>/<subject>/<trial>/`` and resample them to one rate.

    Args:
        poses_folder: the save folder of the fit.
        rate_hz: frames per second of the result.
        min_frames: length of a window; trials without one are excluded.
        body: body model, or its file, for poses without joints (JSON and text frames); not needed for ``poses.npz``.
        pose_rate_hz: frames per second of JSON and text frames, which do not store it.
        keep_standing: use all frames as if the subject walked in them; otherwise standing, turning on the spot and
            sitting are found, and noted.
        input: one of ``INPUTS``; trials of which it cannot be made are excluded.
        windows: one of ``PLACEMENTS``, which decides where windows begin.

    Raises:
        GaitError: the folder does not exist or holds no usable trial, or the rate is out of range.
    """
    check_rate(rate_hz, "the requested frame rate")
    if isinstance(body, Path):
        from gait.body.model_file import load_body  # not needed for poses of this package

        body = load_body(body)
    poses_folder = Path(poses_folder)
    from gait.motion.inputs import INPUTS  # which are made of trials

    kind = INPUTS[input]
    reader = _DatasetReader(rate_hz, body, pose_rate_hz, keep_standing, kind.needs_rotations)
    with suppress(PermissionError):  # reported by the reader
        if not poses_folder.is_dir():
            raise GaitError(f"{poses_folder}: no such folder; name the folder that shape_optimizer.py saved in.")
    label_folders = reader.subfolders(poses_folder)
    if label_folders is None:
        raise GaitError(reader.problems[0])
    labels = {folder.name: folder for folder in label_folders}
    if not labels.keys() & {HEALTHY, SICK}:
        found = join_names(sorted(labels)) if labels else "none"
        raise GaitError(
            f"{poses_folder}: has no folder {HEALTHY} or {SICK}, its folders: {found}; name the folder that "
            "shape_optimizer.py saved in."
        )
    if others := sorted(labels.keys() - {HEALTHY, SICK}):
        reader.note(f"{poses_folder}: only {HEALTHY} and {SICK} are read; ignored: {join_names(others)}.")
    num_problems = len(reader.problems)
    for label in (HEALTHY, SICK):
        before = len(reader.trials)
        if label in labels:
            reader.read_label(labels[label], sick=label == SICK)
        if len(reader.trials) == before:
            reader.note(f"{poses_folder / label}: holds no usable trial; fit those of {LABEL_NOUNS[label]}s into it.")
    if not reader.trials:
        raise GaitError(f"{poses_folder}: holds no usable trial; the first reason: {reader.problems[num_problems]}")
    both = {g.subject for g in reader.trials if g.sick} & {g.subject for g in reader.trials if not g.sick}
    for subject in sorted(both):
        reader.note(
            f"{subject}: occurs under both {HEALTHY} and {SICK} and may be one subject, so both are kept in the same "
            "fold; rename one of them if they are two subjects."
        )
    long_enough = []
    for trial in reader.trials:
        if reason := kind.reason_to_exclude(trial) or place_windows(trial, min_frames, windows=windows).reason:
            reader.note(reason)
            continue
        long_enough.append(trial)
        if trial.activity is not None and trial.activity.any():
            interruptions = format_interruptions(trial.activity, rate_hz)
            reader.note(f"{trial.trial_id}: {interruptions}; not used, --keep_standing uses them as well.")
    if not long_enough:
        if windows == FRAMES and all(len(trial.joints_m) < min_frames for trial in reader.trials):
            window = f"a window of {min_frames} frames at {rate_hz:g} Hz"
            raise GaitError(f"{poses_folder}: every trial is shorter than {window}; use a smaller --interval_size.")
        none = "no trial has a walk as long as a window" if windows == FRAMES else "no trial has a window"
        raise GaitError(f"{poses_folder}: {none}; {reader.problems[-1]}")
    return GaitDataset(tuple(long_enough), tuple(reader.problems))


def dataset_hash(dataset: GaitDataset) -> str:
    """Return the SHA-256 of names, labels, rate, joints and walks of all trials: equal if training input is."""
    digest = hashlib.sha256()
    for trial in dataset.trials:
        digest.update(repr((trial.trial_id, trial.sick, trial.rate_hz, trial.joints_m.shape)).encode())
        digest.update(trial.joints_m.tobytes())
        if trial.rotations is not None:
            digest.update(trial.rotations.tobytes())
        if not trial.walking.all():  # otherwise as in earlier versions
            digest.update(repr(trial.walks).encode())
    return digest.hexdigest()


class _DatasetReader:
    """Collector of trials, and of one line per problem."""

    def __init__(
        self, rate_hz: float, body: Body | None, pose_rate_hz: float | None, keep_standing: bool, rotations: bool
    ):
        self.trials: list[Trial] = []
        self.problems: list[str] = []
        self._rate_hz = rate_hz
        self._body = body
        self._pose_rate_hz = pose_rate_hz
        self._keep_standing = keep_standing
        self._rotations = rotations

    def note(self, line: str) -> None:
        self.problems.append(str(GaitError(line)))

    def note_unreadable(self, path: Path, error: OSError) -> None:
        self.note(f"{path}: cannot be read ({error.strerror or type(error).__name__}); check its permissions.")

    def subfolders(self, folder: Path) -> list[Path] | None:
        """Return the folders in a folder by name, or None and note it if the folder cannot be read.

        Hidden folders belong to a run in progress or a stopped one, and are ignored.
        """
        try:
            entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
            folders = [path for path in entries if path.is_dir()]
        except OSError as error:
            self.note_unreadable(folder, error)
            return None
        if unexpected_files := [path.name for path in sorted({*entries} - {*folders})]:
            form, names = f"<{HEALTHY}|{SICK}>/<subject>/<trial>/", join_names(unexpected_files)
            self.note(f"{folder}: only folders are expected here, {form}; ignored: {names}.")
        return folders

    def read_label(self, folder: Path, *, sick: bool) -> None:
        for subject in self.subfolders(folder) or ():
            trials = self.subfolders(subject)
            if trials == []:
                self.note(f"{subject}: holds no folder of a trial, <trial>/poses.npz; fit this subject again.")
            for trial in trials or ():
                self._read_trial(subject.name, trial, sick=sick)

    def _read_trial(self, subject: str, folder: Path, *, sick: bool) -> None:
        report = None
        try:
            segments = find_pose_folders(folder) or (folder,)
        except OSError as error:
            self.note_unreadable(folder, error)
            return
        for segment in segments:
            try:
                sequence = read_poses(segment, body=self._body, rate_hz=self._pose_rate_hz)
                check_rate(sequence.rate_hz, f"{segment}: its frame rate")
                if np.abs(sequence.joints_m).max() > _MAX_DISTANCE_M:
                    raise GaitError(f"{segment}: joint positions are beyond 100 km, or in another unit; fit it again.")
            except GaitError as error:
                self.note(str(error))
                continue
            except OSError as error:
                self.note_unreadable(segment, error)
                continue
            report = report or self._read_report(folder)
            joints = resample(sequence.joints_m, sequence.rate_hz, self._rate_hz)
            trial = Trial(
                subject=subject,
                trial_name=folder.name if segment == folder else f"{folder.name}/{segment.name}",
                sick=sick,
                joints_m=joints,
                rate_hz=self._rate_hz,
                acquisition=_acquisition_info(sequence, report),
                folder=segment,
                joint_status=None
                if sequence.joint_status is None
                else resample_nearest(sequence.joint_status, sequence.rate_hz, self._rate_hz),
                activity=None if self._keep_standing else find_activity(joints, self._rate_hz),
                rotations=read_rotations(sequence, self._rate_hz) if self._rotations else None,
            )
            self.trials.append(trial)

    def _read_report(self, folder: Path) -> dict[str, Any]:
        """Read the names of the ``markers`` used in the fit, and ``stature_m``; empty and NaN without a fit report."""
        path = folder / REPORT_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return {
                "markers": [name for name, marker in content["markers"].items() if marker["mean_mm"] is not None],
                "stature_m": float(content["stature_m"]),
            }
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self.note(
                f"{path}: is not a fit report ({type(error).__name__}), so markers and stature are unknown; "
                "the poses beside it are used."
            )
        return {"markers": [], "stature_m": math.nan}


def _acquisition_info(sequence: PoseSequence, report: dict[str, Any]) -> AcquisitionInfo:
    markers = tuple(sorted(report["markers"]))
    visible = sequence.extra.get("num_visible_markers")
    missing_fraction = math.nan
    if (
        visible is not None
        and visible.shape == (sequence.num_frames,)
        and visible.dtype.kind in "iu"
        and visible.max() > 0
    ):
        missing_fraction = 1 - float(visible.mean()) / max(len(markers), int(visible.max()))
    return AcquisitionInfo(sequence.rate_hz, sequence.num_frames, missing_fraction, markers, report["stature_m"])
