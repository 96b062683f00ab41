"""Outcome of fitting one trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gait.fitting.fit_report import FitReport


@dataclass(frozen=True)
class TrialOutcome:
    """Outcome of fitting one trial."""

    subject: str
    trial: str
    state: Literal["fitted", "already finished", "failed"]
    message: str = ""  # the error, or a warning
    report: FitReport | None = None
