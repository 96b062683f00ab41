"""Reading the fitted trials of a cohort, of which windows can be made."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.kinematics.walking import find_activity, format_interruptions
from gait.motion.dataset import AcquisitionInfo, GaitDataset, Trial
from gait.motion.inputs import INPUTS, PUBLISHED
from gait.motion.pose_files import find_pose_folders, read_poses
from gait.motion.resampling import check_rate, resample, resample_nearest
from gait.motion.rotation_samples import read_rotations
from gait.motion.trial_paths import HEALTHY, LABEL_NOUNS, REPORT_FILE, SICK
from gait.motion.window_input import WindowInput
from gait.motion.window_placement import FRAMES, place_windows
from gait.text import join_names

if TYPE_CHECKING:  # it imports torch
    from gait.body.body import Body

_MAX_DISTANCE_M = 1e5  # of a joint from the origin


def read_dataset(
    poses_folder: Path,
    rate_hz: float = 100.0,
    *,
    min_frames: int = 1,
    body: Body | Path | None = None,
    pose_rate_hz: float | None = None,
    keep_standing: bool = False,
    input: str = PUBLISHED,
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
    kind = INPUTS[input]
    reader = _DatasetReader(rate_hz, body, pose_rate_hz, keep_standing, kind.needs_rotations)
    reader.read_labels(Path(poses_folder))
    reader.note_subjects_of_both_labels()
    trials = reader.trials_with_windows(kind, min_frames, windows)
    if trials:
        return GaitDataset(tuple(trials), tuple(reader.problems))
    if windows == FRAMES and all(len(trial.joints_m) < min_frames for trial in reader.trials):
        window = f"a window of {min_frames} frames at {rate_hz:g} Hz"
        raise GaitError(f"{poses_folder}: every trial is shorter than {window}; use a smaller --interval_size.")
    none = "no trial has a walk as long as a window" if windows == FRAMES else "no trial has a window"
    raise GaitError(f"{poses_folder}: {none}; {reader.problems[-1]}")


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

    def read_labels(self, poses_folder: Path) -> None:
        """Read the trials of both labels.

        Raises:
            GaitError: the folder does not exist, or holds no usable trial.
        """
        with suppress(PermissionError):  # noted below
            if not poses_folder.is_dir():
                raise GaitError(f"{poses_folder}: no such folder; name the folder that shape_optimizer.py saved in.")
        label_folders = self._subfolders(poses_folder)
        if label_folders is None:
            raise GaitError(self.problems[0])
        labels = {folder.name: folder for folder in label_folders}
        if not labels.keys() & {HEALTHY, SICK}:
            found = join_names(sorted(labels)) if labels else "none"
            raise GaitError(
                f"{poses_folder}: has no folder {HEALTHY} or {SICK}, its folders: {found}; name the folder that "
                "shape_optimizer.py saved in."
            )
        if others := sorted(labels.keys() - {HEALTHY, SICK}):
            self._note(f"{poses_folder}: only {HEALTHY} and {SICK} are read; ignored: {join_names(others)}.")
        num_problems = len(self.problems)
        for label in (HEALTHY, SICK):
            before = len(self.trials)
            if label in labels:
                self._read_label(labels[label], sick=label == SICK)
            if len(self.trials) == before:
                self._note(
                    f"{poses_folder / label}: holds no usable trial; fit those of {LABEL_NOUNS[label]}s into it."
                )
        if not self.trials:
            raise GaitError(f"{poses_folder}: holds no usable trial; the first reason: {self.problems[num_problems]}")

    def note_subjects_of_both_labels(self) -> None:
        """Note subjects whose name occurs under both labels."""
        both = {t.subject for t in self.trials if t.sick} & {t.subject for t in self.trials if not t.sick}
        for subject in sorted(both):
            self._note(
                f"{subject}: occurs under both {HEALTHY} and {SICK} and may be one subject, so both are kept in the "
                "same fold; rename one of them if they are two subjects."
            )

    def trials_with_windows(self, kind: WindowInput, min_frames: int, windows: str) -> list[Trial]:
        """Return the trials that have a window of an input; note why others have none, and what is not walking."""
        kept = []
        for trial in self.trials:
            if reason := kind.reason_to_exclude(trial) or place_windows(trial, min_frames, windows=windows).reason:
                self._note(reason)
                continue
            kept.append(trial)
            if trial.activity is not None and trial.activity.any():
                interruptions = format_interruptions(trial.activity, self._rate_hz)
                self._note(f"{trial.trial_id}: {interruptions}; not used, --keep_standing uses them as well.")
        return kept

    def _note(self, line: str) -> None:
        self.problems.append(str(GaitError(line)))

    def _note_unreadable(self, path: Path, error: OSError) -> None:
        self._note(f"{path}: cannot be read ({error.strerror or type(error).__name__}); check its permissions.")

    def _subfolders(self, folder: Path) -> list[Path] | None:
        """Return the folders in a folder by name, or None and note it if the folder cannot be read.

        Hidden folders belong to a run in progress or a stopped one, and are ignored.
        """
        try:
            entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
            folders = [path for path in entries if path.is_dir()]
        except OSError as error:
            self._note_unreadable(folder, error)
            return None
        if unexpected_files := [path.name for path in sorted({*entries} - {*folders})]:
            form, names = f"<{HEALTHY}|{SICK}>/<subject>/<trial>/", join_names(unexpected_files)
            self._note(f"{folder}: only folders are expected here, {form}; ignored: {names}.")
        return folders

    def _read_label(self, folder: Path, *, sick: bool) -> None:
        for subject in self._subfolders(folder) or ():
            trials = self._subfolders(subject)
            if trials == []:
                self._note(f"{subject}: holds no folder of a trial, <trial>/poses.npz; fit this subject again.")
            for trial in trials or ():
                self._read_trial(subject.name, trial, sick=sick)

    def _read_trial(self, subject: str, folder: Path, *, sick: bool) -> None:
        report = None
        try:
            segments = find_pose_folders(folder) or (folder,)
        except OSError as error:
            self._note_unreadable(folder, error)
            return
        for segment in segments:
            try:
                sequence = read_poses(segment, body=self._body, rate_hz=self._pose_rate_hz)
                check_rate(sequence.rate_hz, f"{segment}: its frame rate")
                if np.abs(sequence.joints_m).max() > _MAX_DISTANCE_M:
                    raise GaitError(f"{segment}: joint positions are beyond 100 km, or in another unit; fit it again.")
            except GaitError as error:
                self._note(str(error))
                continue
            except OSError as error:
                self._note_unreadable(segment, error)
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
            self._note(
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
