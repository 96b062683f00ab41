"""The fitted gaits of a cohort: everyone's joints at one rate, whose they are, and how they were recorded."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import BODY_JOINTS, Joint
from gait.errors import GaitError
from gait.motion.pose_files import pose_folders, read_poses
from gait.motion.resampling import check_rate, resampled
from gait.motion.trial_paths import HEALTHY, REPORT_FILE, SICK

_FARTHEST_M = 1e5  # from the origin
_MOST_NAMES = 10  # in one line
UNSEEN_M = 0.05
"""A joint whose place is known no better than this, with a probability of 68 %, has not been seen."""


@dataclass(frozen=True)
class AcquisitionInfo:
    """How a gait was recorded, from which nobody should be able to tell who is ill."""

    rate_hz: float
    frames: int  # at that rate
    missing_share: float  # of the samples of the markers below; NaN where poses do not say
    markers: tuple[str, ...]  # names of those that held the fit, sorted; () where no report says
    stature_m: float  # of the fitted body; NaN where no report says
    unseen_joints: tuple[Joint, ...] = ()  # the fit has guessed where they are: UNSEEN_M


@dataclass(frozen=True, eq=False)
class Trial:
    """One fitted gait, or one part of a gait that was split."""

    subject: str
    gait: str  # "walk1"; of a split one "walk1/part2"
    sick: bool
    joints_m: NDArray[np.float32]  # (T, 22, 3) metres, y up, at rate_hz
    rate_hz: float
    source: AcquisitionInfo
    folder: Path  # that holds the poses

    @property
    def person(self) -> str:
        """Label and subject, ``healthy/P01``: what folds and figures count by."""
        return f"{SICK if self.sick else HEALTHY}/{self.subject}"

    @property
    def name(self) -> str:
        """Person and gait, ``healthy/P01/walk1``."""
        return f"{self.person}/{self.gait}"


@dataclass(frozen=True)
class GaitDataset:
    """What a folder of fitted gaits holds."""

    gaits: tuple[Trial, ...]  # healthy ones first, then by subject, gait and part
    problems: tuple[str, ...]  # a plain line for all that is left out, or that one should know


def read_gaits(
    base_folder: Path, rate_hz: float = 100.0, *, body: Body | None = None, pose_rate_hz: float | None = None
) -> GaitDataset:
    """All fitted gaits in ``<base_folder>/<healthy|sick>/<subject>/<gait>/``, at one rate.

    Args:
        base_folder: the fit's save folder.
        rate_hz: that all gaits are brought to.
        body: for poses that come without joints (JSON and text frames); not needed for ``poses.npz``.
        pose_rate_hz: of the same, which do not say it.

    Raises:
        GaitError: no such folder, no gait in it that can be used, or a rate that shows no walk.
    """
    check_rate(rate_hz, "the frame rate asked for")
    base_folder = Path(base_folder)
    reader = _Reader(rate_hz, body, pose_rate_hz)
    with suppress(PermissionError):  # of which the reader tells
        if not base_folder.is_dir():
            raise GaitError(f"{base_folder}: no such folder; name the one that shape_optimizer.py saved in.")
    inside = reader.folders(base_folder)
    if inside is None:
        raise GaitError(reader.problems[0])
    labels = {folder.name: folder for folder in inside}
    if not labels.keys() & {HEALTHY, SICK}:
        there = _listed(sorted(labels)) if labels else "none"
        raise GaitError(
            f"{base_folder}: has no folder {HEALTHY} or {SICK}, its folders: {there}; name the folder that "
            "shape_optimizer.py saved in."
        )
    if others := sorted(labels.keys() - {HEALTHY, SICK}):
        reader.note(f"{base_folder}: only {HEALTHY} and {SICK} are read; left alone: {_listed(others)}.")
    known_before = len(reader.problems)
    for label in (HEALTHY, SICK):
        before = len(reader.gaits)
        if label in labels:
            reader.read_class(labels[label], sick=label == SICK)
        if len(reader.gaits) == before:
            reader.note(
                f"{base_folder / label}: holds no gait that can be used; fit recordings of "
                f"{'ill' if label == SICK else 'healthy'} persons into it."
            )
    if not reader.gaits:
        raise GaitError(
            f"{base_folder}: holds no gait that can be used; the first reason: {reader.problems[known_before]}"
        )
    both = {g.subject for g in reader.gaits if g.sick} & {g.subject for g in reader.gaits if not g.sick}
    for subject in sorted(both):
        reader.note(
            f"{subject}: stands under {HEALTHY} and under {SICK} and may be one person, so that both are always in the "
            "same fold; rename one of them if they are two."
        )
    return GaitDataset(tuple(reader.gaits), tuple(reader.problems))


class _Reader:
    """Gathers gaits, and a line for what is none."""

    def __init__(self, rate_hz: float, body: Body | None, pose_rate_hz: float | None):
        self.gaits: list[Trial] = []
        self.problems: list[str] = []
        self._rate_hz = rate_hz
        self._body = body
        self._pose_rate_hz = pose_rate_hz

    def note(self, line: str) -> None:
        self.problems.append(str(GaitError(line)))

    def note_closed(self, path: Path, error: OSError) -> None:
        self.note(f"{path}: cannot be read ({error.strerror or type(error).__name__}); check who may read it.")

    def folders(self, folder: Path) -> list[Path] | None:
        """The folders in a folder, by name, hidden ones left out: they are of runs at work or stopped.

        None where it cannot be looked into, which is noted.
        """
        try:
            inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
            folders = [path for path in inside if path.is_dir()]
        except OSError as error:
            self.note_closed(folder, error)
            return None
        if strays := [path.name for path in sorted({*inside} - {*folders})]:
            self.note(
                f"{folder}: only folders are expected here, <{HEALTHY}|{SICK}>/<subject>/<gait>/; left alone: "
                f"{_listed(strays)}."
            )
        return folders

    def read_class(self, folder: Path, *, sick: bool) -> None:
        for subject in self.folders(folder) or ():
            gaits = self.folders(subject)
            if gaits == []:
                self.note(f"{subject}: holds no folder of a gait, <gait>/poses.npz; fit this person again.")
            for gait in gaits or ():
                self._read_gait(subject.name, gait, sick=sick)

    def _read_gait(self, subject: str, gait: Path, *, sick: bool) -> None:
        report = None
        try:
            parts = pose_folders(gait) or (gait,)
        except OSError as error:
            self.note_closed(gait, error)
            return
        for part in parts:
            try:
                sequence = read_poses(part, body=self._body, rate_hz=self._pose_rate_hz)
                check_rate(sequence.rate_hz, f"{part}: its frame rate")
                if np.abs(sequence.joints_m).max() > _FARTHEST_M:
                    raise GaitError(f"{part}: its joints lie kilometres away, or are in another unit; fit it again.")
            except GaitError as error:
                self.note(str(error))
                continue
            except OSError as error:
                self.note_closed(part, error)
                continue
            report = report or self._report(gait)
            recording = Trial(
                subject=subject,
                gait=gait.name if part == gait else f"{gait.name}/{part.name}",
                sick=sick,
                joints_m=resampled(sequence.joints_m, sequence.rate_hz, self._rate_hz),
                rate_hz=self._rate_hz,
                source=_source(sequence, report),
                folder=part,
            )
            self.gaits.append(recording)

    def _report(self, gait: Path) -> dict[str, Any]:
        """``markers`` that held the fit and ``stature_m``, as far as the gait's report is there."""
        path = gait / REPORT_FILE
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
                f"{path}: is no fit report ({type(error).__name__}), so that markers and stature are unknown; "
                "the poses beside it are used."
            )
        return {"markers": [], "stature_m": math.nan}


def _source(sequence: PoseSequence, report: dict[str, Any]) -> AcquisitionInfo:
    markers = tuple(sorted(report["markers"]))
    seen = sequence.extra.get("markers_seen")
    missing_share = math.nan
    if seen is not None and seen.shape == (sequence.frames,) and seen.dtype.kind in "iu" and seen.max() > 0:
        missing_share = 1 - float(seen.mean()) / max(len(markers), int(seen.max()))
    sigma_m = sequence.joints_sigma_m
    unseen = [j for j in BODY_JOINTS if sigma_m is not None and np.median(sigma_m[:, j]) > UNSEEN_M]
    return AcquisitionInfo(
        sequence.rate_hz, sequence.frames, missing_share, markers, report["stature_m"], tuple(unseen)
    )


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
