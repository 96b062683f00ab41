"""Names of the folders and files that a fit writes and a training reads; this module imports nothing heavy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from gait.errors import GaitError

HEALTHY, SICK = "healthy", "sick"
"""Names of the label folders, which hold one folder per subject."""

LABEL_NOUNS = {HEALTHY: "control", SICK: "patient"}
"""Noun for a subject of each label, for text."""

REPORT_FILE = "fit_report.json"
RESIDUALS_FILE = "residuals.npz"
FIT_FIGURE_FILE = "fit.png"
"""In the folder of each trial, beside its poses."""

SEGMENT_PREFIX = "segment"
"""Prefix of the folders of a split trial: ``segment1``, ``segment2``, …"""

_SEGMENT_NAME = re.compile(r"(?:segment|part)(\d+)", re.ASCII)  # "part" was written by earlier versions


def parse_segment_number(folder: Path) -> int | None:
    """Return the number of a split trial's segment from its folder's name, or None if it is no segment."""
    match = _SEGMENT_NAME.fullmatch(folder.name)
    return int(match[1]) if match else None


def parse_trial_id(folder: Path) -> str:
    """Return the id of a folder of poses, "sick/P02/walk1" or "sick/P02/walk1/segment2"; unlabelled, "P02/walk1"."""
    return "/".join(_id_parts(folder))


def parse_subject_id(folder: Path) -> str:
    """Return the id of the subject of a folder of poses, "sick/P02"; unlabelled, "P02"."""
    parts = _id_parts(folder)
    return "/".join(parts[: 1 + (parts[0] in (HEALTHY, SICK))])


def read_fit_report(folder: Path) -> dict[str, Any]:
    """Return the fit report of a trial's folder as plain data.

    Raises:
        GaitError: it is missing or damaged.
    """
    path = folder / REPORT_FILE
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GaitError(f"{path}: cannot be read ({error}); fit this trial again with --overwrite.") from error
    if not isinstance(report, dict):
        raise GaitError(f"{path}: is not a fit report; fit this trial again with --overwrite.")
    return report


def _id_parts(folder: Path) -> tuple[str, ...]:
    """Return label (if there is one), subject, trial, and segment (if the trial was split)."""
    path = Path(folder).resolve()
    parts = path.parts[1:] or ("",)  # without the root
    count = 2 if parse_segment_number(path) is None else 3
    labelled = len(parts) > count and parts[-1 - count] in (HEALTHY, SICK)
    return parts[-(count + labelled) :]
