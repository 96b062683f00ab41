"""Definition of one exporter: an entry of ``gait.exporting.EXPORTERS``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait.body.joint_status import JointStatus
from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.files.safe_pickle import read_array_dict
from gait.motion.trial_paths import REPORT_FILE, RESIDUALS_FILE


class NotExportableError(GaitError):
    """A format cannot hold a trial; the text gives the reason, without the trial's name."""


@dataclass(frozen=True)
class TrialMarkers:
    """The recording's markers in the frames of a pose sequence."""

    labels: tuple[str, ...]  # (M,)
    observed_m: NDArray[np.float32]  # (T, M, 3) metres, y up; NaN where not visible
    virtual_m: NDArray[np.float32]  # (T, M, 3) their positions on the fitted body


@dataclass(frozen=True)
class FittedTrial:
    """A fitted trial, or a segment of one that was split at gaps."""

    name: str  # "walk1", "walk1_segment2"
    folder: Path  # of the trial's results
    sequence: PoseSequence

    @property
    def observed_joints_m(self) -> NDArray[np.float32]:
        """The joints (T, 22, 3) in metres, NaN where a joint is not observed."""
        joints_m, status = self.sequence.joints_m, self.sequence.joint_status
        if status is None:
            return joints_m
        return np.where((status == JointStatus.NOT_OBSERVED)[..., None], np.float32(np.nan), joints_m)

    @property
    def report(self) -> dict[str, Any]:
        """The fit report of the whole trial; empty if there is none."""
        file = self.folder / REPORT_FILE
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    @property
    def markers(self) -> Mapping[str, NDArray[Any]]:
        """``residuals.npz`` of the whole trial: labels (M,), residual_mm (T, M), observed_m and virtual_m (T, M, 3)."""
        file = self.folder / RESIDUALS_FILE
        return {key: np.asarray(value) for key, value in read_array_dict(file).items()} if file.is_file() else {}

    def markers_in_sequence(self) -> TrialMarkers | None:
        """Return the markers in the frames of ``sequence``; None if the trial has none, as poses of other tools.

        Raises:
            GaitError: ``residuals.npz`` does not belong to the poses.
        """
        if not (markers := self.markers):
            return None
        first, end = self.sequence.first_frame, self.sequence.first_frame + self.sequence.num_frames
        runs = [*self.report.get("segments", ()), *self.report.get("excluded_frames", ())] or [(first, end - 1)]
        first_recorded, last_recorded = min(run[0] for run in runs), max(run[1] for run in runs)
        labels = tuple(map(str, markers.get("labels", ())))
        shape = (last_recorded - first_recorded + 1, len(labels), 3)
        if not first_recorded <= first < end <= last_recorded + 1 or any(
            markers.get(key, np.empty(0)).shape != shape for key in ("observed_m", "virtual_m")
        ):
            raise GaitError(f"{self.folder / RESIDUALS_FILE}: is not of the poses beside it; fit this trial again.")
        frames = slice(first - first_recorded, end - first_recorded)
        observed, virtual = (markers[key][frames].astype(np.float32) for key in ("observed_m", "virtual_m"))
        return TrialMarkers(labels, observed, virtual)


@dataclass(frozen=True)
class Exporter:
    """A file format of another tool to which fitted trials are written."""

    name: str  # value of --export_as
    title: str  # display name
    suffix: str  # of the file, e.g. ".trc"; of a folder of files, the pattern of their names, e.g. "pose_*.json"
    write: Callable[[FittedTrial, Path], object]
    """Writes a trial to a path: the file, or the folder for the files. May raise ``NotExportableError``."""

    def path(self, folder: Path, trial: str) -> Path:
        """Return the path to write to."""
        return folder if "*" in self.suffix else folder / f"{trial}{self.suffix}"

    def is_written(self, folder: Path, trial: str) -> bool:
        """Return whether the files exist."""
        return any(folder.glob(self.suffix)) if "*" in self.suffix else self.path(folder, trial).is_file()
