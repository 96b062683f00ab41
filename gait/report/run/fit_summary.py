"""How well bodies wore the markers of a whole cohort: the reports of all fits in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gait.cohort.trial_folder import PICTURE_FILE, read_report
from gait.errors import GaitError
from gait.fitting.fit_report import FitReport
from gait.motion.trial_paths import HEALTHY, REPORT_FILE, SICK
from gait.report.training.display_names import in_order


@dataclass(frozen=True)
class TrialFitSummary:
    """One fitted gait."""

    folder: Path
    person: str  # "sick/P02"
    gait: str
    report: FitReport
    made_by: dict[str, Any]  # body model, layout of the markers, versions

    @property
    def name(self) -> str:
        """As explanations name it: "sick/P02/walk1"."""
        return f"{self.person}/{self.gait}"

    @property
    def picture(self) -> Path | None:
        """The fit's picture, if it is there."""
        file = self.folder / PICTURE_FILE
        return file if file.is_file() else None

    @property
    def mean_mm(self) -> float:
        """Mean residual; NaN if no marker was seen."""
        return _number(self.report.residual_mm["mean"])

    @property
    def worst_frame_mm(self) -> float:
        """Mean residual of the worst frame."""
        return _number(self.report.residual_mm["max_frame_mean"])


@dataclass(frozen=True)
class CohortFitSummary:
    """All fitted gaits of a folder."""

    gaits: tuple[TrialFitSummary, ...]  # by person and name; at least one
    problems: tuple[str, ...]  # a plain line on each report that cannot be read

    @property
    def persons(self) -> dict[str, tuple[TrialFitSummary, ...]]:
        """By person."""
        return {
            person: tuple(gait for gait in self.gaits if gait.person == person)
            for person in dict.fromkeys(gait.person for gait in self.gaits)
        }

    @property
    def mean_mm(self) -> float:
        """Mean residual, every frame counting alike."""
        return mean_residual_mm(self.gaits)

    @property
    def worst_gait(self) -> TrialFitSummary:
        """The one of the largest mean residual."""
        return max(self.gaits, key=lambda gait: np.nan_to_num(gait.mean_mm, nan=-1.0))

    @property
    def worst_marker(self) -> tuple[str, float, TrialFitSummary] | None:
        """The marker of the largest mean residual in any gait, in mm, and the gait; None if no marker was seen."""
        found = [(label, _number(marker["mean_mm"]), gait) for gait in self.gaits for label, marker in _seen(gait)]
        return max(found, key=lambda one: one[1], default=None)


def fitted_cohort(poses: Path) -> CohortFitSummary:
    """Read all reports of a fit's save folder.

    Raises:
        GaitError: there is none that can be read.
    """
    gaits, problems = [], []
    poses = Path(poses)
    for label in (HEALTHY, SICK):
        for file in sorted((poses / label).glob(f"*/*/{REPORT_FILE}")):
            try:
                content = read_report(file.parent)
                person = f"{label}/{file.parent.parent.name}"
                report = FitReport.from_dict(content)
                gaits.append(TrialFitSummary(file.parent, person, file.parent.name, report, _made_by(content)))
            except GaitError as error:
                line = str(error)
                problems.append(line if str(file.parent) in line else f"{file}: {line}")
    if not gaits:
        raise GaitError(
            problems[0]
            if problems
            else f"{poses}: no {REPORT_FILE} in its folders {HEALTHY} and {SICK}; name the folder that "
            "shape_optimizer.py saved in."
        )
    gaits.sort(key=lambda gait: in_order(gait.name))
    return CohortFitSummary(tuple(gaits), tuple(problems))


def _made_by(content: Mapping[str, Any]) -> dict[str, Any]:
    versions = content.get("versions")
    return {
        "body": content.get("model_file"),
        "markers": content.get("layout"),
        **(versions if isinstance(versions, dict) else {}),
    }


def mean_residual_mm(gaits: Sequence[TrialFitSummary]) -> float:
    """Mean residual of some gaits, every frame counting alike; NaN where no marker was seen."""
    known = [gait for gait in gaits if np.isfinite(gait.mean_mm)]
    if not known:
        return float("nan")
    return float(np.average([gait.mean_mm for gait in known], weights=[gait.report.frames for gait in known]))


def worst_marker_of(gaits: Sequence[TrialFitSummary]) -> tuple[str, float] | None:
    """The marker with the largest mean residual in any of these gaits, in mm; None if no marker was seen."""
    found = [(label, _number(marker["mean_mm"])) for gait in gaits for label, marker in _seen(gait)]
    return max(found, key=lambda one: one[1], default=None)


def _seen(gait: TrialFitSummary) -> list[tuple[str, dict[str, Any]]]:
    return [(label, marker) for label, marker in gait.report.markers.items() if marker["mean_mm"] is not None]


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
