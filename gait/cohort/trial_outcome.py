"""What became of one gait of a cohort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gait.fitting.fit_report import FitReport


@dataclass(frozen=True)
class TrialOutcome:
    """What became of one gait."""

    subject: str
    gait: str
    state: Literal["fitted", "finished before", "failed"]
    line: str = ""  # what went wrong, or what the user should know
    report: FitReport | None = None
