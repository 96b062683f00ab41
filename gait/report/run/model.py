"""All that the page of a whole run tells, before it is a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gait.explaining.attribution_files import SavedAttribution
from gait.report.run.fit_summary import CohortFitSummary
from gait.report.training.cross_validation_summary import CrossValidationSummary
from gait.report.training.display_names import judge_name


@dataclass(frozen=True, eq=False)
class TrialSection:
    """One person's walk, explained by the network that did not see this person."""

    label: str  # healthy or sick
    name: str  # "sick/P02/walk1"
    folder: Path  # of its poses
    network: Path
    explanation: SavedAttribution
    picture: Path
    lines: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class NetworkSection:
    """One kind of network: how well it told persons apart, and what was pivotal for it."""

    kind: str  # mlp or transformer
    folder: Path  # where the training saved
    summary: CrossValidationSummary
    single: tuple[CrossValidationSummary, ...]  # each fold alone
    report: Path | None  # its own page, if it is there
    cohort_picture: Path | None = None
    cohort_lines: tuple[str, ...] = ()
    walks: tuple[TrialSection, ...] = ()  # healthy before sick

    @property
    def title(self) -> str:
        """Its kind within a sentence."""
        name = judge_name(self.kind)
        return name if name.isupper() else name.lower()

    def file(self, fold: int) -> Path:
        """The trained network of a fold."""
        return self.folder / f"fold{fold}" / f"{self.kind}.ckpt"


@dataclass(frozen=True)
class ComparisonVideo:
    """Two persons side by side."""

    network: NetworkSection  # whose colours they have
    file: Path
    still: Path  # a picture of it
    width: int  # pixels
    height: int
    speed: float


@dataclass(frozen=True)
class RunReport:
    """All that the page tells."""

    fits: CohortFitSummary | None
    networks: tuple[NetworkSection, ...]
    films: tuple[ComparisonVideo, ...]  # the one of the network that told persons apart best is the first
    notes: tuple[str, ...]  # what a reader must know first
    problems: tuple[str, ...]  # what is missing, a plain line each
    remarks: tuple[str, ...]  # what is there, but not as it could be
    page: Path
    python: str  # how Python is called where the run was told
