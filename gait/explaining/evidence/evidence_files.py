"""Evidence on disk: ``evidence.csv``, one row per finding, ``evidence.json``, all of it as plain data, and the poses of
counterfactual walks."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import Joint
from gait.explaining.attribution_files import write_table
from gait.explaining.evidence.finding import Counterfactual, Evidence, Finding
from gait.files.atomic_write import atomic_directory, atomic_file
from gait.motion.pose_npz import write_npz

EVIDENCE_TABLE, EVIDENCE_JSON = "evidence.csv", "evidence.json"
BOUNDARY_FOLDER, MEDIAN_FOLDER = "counterfactual", "counterfactual_median"
"""Folders of the poses of the walks at the boundary of the decision, and at the controls' median."""
COLUMNS = (
    "subject", "trial", "method", "probability_sick", "number", "joint", "axis", "motion", "side", "phase",
    "first_percent", "last_percent", "attribution", "share", "angle", "value_deg", "norm_deg", "norm_sd_deg",
    "error_deg", "sds", "outside_fraction", "percent", "frame", "verdict", "reason", "relied_on", "probability_without",
    "phases",
)  # fmt: skip
"""Columns of ``evidence.csv``; ``docs/evidence.md`` describes them. Empty cells are unknown."""


def write_evidence(folder: Path, evidence: Evidence) -> tuple[Path, Path]:
    """Write both files into a folder atomically, and return their paths.

    Raises:
        GaitError: a file cannot be written; an existing one stays.
    """
    table, plain = Path(folder) / EVIDENCE_TABLE, Path(folder) / EVIDENCE_JSON
    write_table(table, COLUMNS, (_row(evidence, k + 1, each) for k, each in enumerate(evidence.findings)))
    with atomic_file(plain) as partial:
        partial.write_text(json.dumps(to_plain(evidence), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return table, plain


def write_counterfactual(folder: Path, counterfactual: Counterfactual) -> tuple[Path, ...]:
    """Write the poses of the changed walks into folders of a folder, and return these; those of former runs go.

    Raises:
        GaitError: a folder cannot be written.
    """
    written = []
    for name, walk in ((BOUNDARY_FOLDER, counterfactual.boundary), (MEDIAN_FOLDER, counterfactual.median)):
        path = Path(folder) / name
        if walk is None:
            shutil.rmtree(path, ignore_errors=True)
            continue
        with atomic_directory(path) as partial:
            partial.mkdir()
            write_npz(partial, walk.sequence)
        written.append(path)
    return tuple(written)


def to_plain(value: Any) -> Any:
    """Return evidence as data that JSON can hold: unknown numbers are null; poses are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        kept = (field.name for field in fields(value) if not isinstance(getattr(value, field.name), PoseSequence))
        return {name: to_plain(getattr(value, name)) for name in kept}
    if isinstance(value, Joint):
        return value.name.lower()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {_key(key): to_plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [to_plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _key(key: Any) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return " ".join(str(to_plain(part)) for part in parts)


def _row(evidence: Evidence, number: int, finding: Finding) -> list[Any]:
    return [
        evidence.subject, evidence.trial, evidence.method, evidence.probability, number, finding.joint.name.lower(),
        "" if finding.axis is None else finding.axis, finding.motion, finding.side, finding.phase, *finding.percents,
        finding.attribution, finding.share, finding.angle or "", finding.value_deg, finding.norm_deg,
        finding.norm_sd_deg, finding.error_deg, finding.sds, finding.outside_fraction, finding.percent, finding.frame,
        finding.verdict.value, finding.reason, int(finding.relied_on), finding.probability_without,
        "; ".join(finding.phases),
    ]  # fmt: skip
