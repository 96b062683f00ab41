"""The fitted trials of a cohort: joints at one frame rate, subject, label and acquisition conditions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.arrays import true_runs
from gait.body.joint_status import unobserved_joints
from gait.body.skeleton import Joint
from gait.kinematics.gait_events import GaitEvents, detect_gait_events
from gait.kinematics.walking import Activity, format_interruptions
from gait.motion.trial_paths import HEALTHY, SICK


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
