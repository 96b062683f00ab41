"""The fitted gaits of a cohort: joints of every one at the same rate, whose they are, and how they were recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.motion.pose_files import pose_folders, read_poses
from gait.motion.resampling import resampled

CLASSES = {"healthy": False, "sick": True}
"""The two folders that are read, and whether those in them are ill."""


@dataclass(frozen=True)
class RecordingSource:
    """How a gait was recorded, which should not tell who is ill."""

    rate_hz: float
    frames: int  # at that rate
    missing_share: float  # of the markers' samples; NaN where the poses do not say
    markers: tuple[str, ...]  # names of those that held the fit, sorted; () where no report says
    stature_m: float  # of the fitted body; NaN where no report says


@dataclass(frozen=True)
class GaitRecording:
    """One fitted gait, or a part of one that was split."""

    subject: str
    gait: str  # "walk1"; of a split one "walk1/part2"
    sick: bool
    joints_m: NDArray[np.float32]  # (T, 22, 3) metres, y up, at rate_hz
    rate_hz: float
    source: RecordingSource
    folder: Path  # that holds its poses

    @property
    def person(self) -> str:
        """Label and subject, "healthy/P01"; no two persons share it."""
        return f"{'sick' if self.sick else 'healthy'}/{self.subject}"

    @property
    def name(self) -> str:
        """ "healthy/P01/walk1"."""
        return f"{self.person}/{self.gait}"


@dataclass(frozen=True)
class GaitSet:
    """What a folder of results holds."""

    gaits: tuple[GaitRecording, ...]  # sorted: healthy ones first, then by names
    problems: tuple[str, ...]  # a plain line for each gait or folder that could not be used


def read_gaits(
    base_folder: Path, rate_hz: float = 100.0, *, body: Body | None = None, pose_rate_hz: float | None = None
) -> GaitSet:
    """All fitted gaits in ``<base_folder>/<healthy|sick>/<subject>/<gait>/``, at one rate.

    Args:
        base_folder: the fit's save folder.
        rate_hz: that all gaits are brought to.
        body: for poses that come without joints (JSON and text frames).
        pose_rate_hz: for the same.

    Raises:
        GaitError: there is no such folder, or no gait in it that can be used.
    """
    base_folder = Path(base_folder)
    if not base_folder.is_dir():
        raise GaitError(f"{base_folder}: no such folder; name the one that shape_optimizer.py wrote into.")
    problems: list[str] = []
    gaits: list[GaitRecording] = []
    there = _folders(base_folder, problems)
    if ignored := [folder.name for folder in there if folder.name not in CLASSES]:
        problems.append(f"{base_folder}: left alone, as only healthy/ and sick/ are read: {', '.join(ignored)}.")
    for label, sick in CLASSES.items():
        before = len(gaits)
        for subject in _folders(base_folder / label, problems) if (base_folder / label).is_dir() else ():
            for gait in _folders(subject, problems):
                for folder in pose_folders(gait) or (gait,):
                    try:
                        gaits.append(_recording(folder, gait, subject.name, sick, rate_hz, body, pose_rate_hz))
                    except GaitError as error:
                        problems.append(str(error))
        if len(gaits) == before:
            problems.append(f"{base_folder / label}: no gait in it that can be used; fit some, or name another folder.")
    if not gaits:
        raise GaitError(f"{base_folder}: no gait in it that can be used; {problems[0]}")
    return GaitSet(tuple(gaits), tuple(problems))


def _folders(folder: Path, problems: list[str]) -> Iterator[Path]:
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        problems.append(f"{folder}: cannot be looked into ({error.strerror}).")
        return iter(())
    for stray in (path for path in paths if not path.is_dir()):
        problems.append(f"{stray}: a file where a folder is expected; left alone.")
    return iter([path for path in paths if path.is_dir()])


def _recording(
    folder: Path, gait: Path, subject: str, sick: bool, rate_hz: float, body: Body | None, pose_rate_hz: float | None
) -> GaitRecording:
    sequence = read_poses(folder, body=body, rate_hz=pose_rate_hz)
    return GaitRecording(
        subject=subject,
        gait=gait.name if folder == gait else f"{gait.name}/{folder.name}",
        sick=sick,
        joints_m=resampled(sequence.joints_m, sequence.rate_hz, rate_hz),
        rate_hz=rate_hz,
        source=_source(sequence, gait),
        folder=folder,
    )


def _source(sequence: PoseSequence, gait: Path) -> RecordingSource:
    try:
        report: dict[str, Any] = json.loads((gait / "fit_report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        report = {}
    markers = tuple(sorted(name for name, marker in report.get("markers", {}).items() if marker["visible"] > 0))
    seen = sequence.extra.get("markers_seen")
    missing = math.nan if seen is None else 1 - float(np.mean(seen)) / max(1, len(markers) or int(np.max(seen)))
    return RecordingSource(
        sequence.rate_hz, sequence.frames, missing, markers, float(report.get("stature_m", math.nan))
    )
