"""Content of the run report, before it is rendered as a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gait.explaining.attribution_files import SavedAttribution
from gait.explaining.explain_cohort import CohortSummary
from gait.learning.cross_validation_summary import CrossValidationSummary
from gait.learning.networks import NETWORKS
from gait.report.run.fit_summary import CohortFitSummary


class WalkFiles(NamedTuple):
    """Files of the page on which an explained trial walks."""

    page: Path
    picture: Path  # the body at four times


@dataclass(frozen=True, eq=False)
class TrialSection:
    """One explained trial, with the network that was not trained on its subject."""

    label: str  # healthy or sick
    name: str  # "sick/P02/walk1"
    folder: Path  # of the trial
    network: Path
    explanation: SavedAttribution
    figure: Path
    evidence_pages: tuple[Path, ...] = ()  # one per segment of the trial
    change: str = ""  # the sentence on what would change the decision; "" if it is unknown
    walk: WalkFiles | None = None  # the page on which it walks
    beside: str = ""  # name of the second body on that page; "" without one


@dataclass(frozen=True, eq=False)
class NetworkSection:
    """One kind of network: its classification results and its attributions."""

    kind: str  # name of the network
    folder: Path  # save folder of the training
    summary: CrossValidationSummary
    per_fold: tuple[CrossValidationSummary, ...]  # the folds one by one
    report: Path | None  # the training report, if there is one
    cohort_figure: Path | None = None
    cohort: CohortSummary | None = None
    trials: tuple[TrialSection, ...] = ()  # control before patient

    @property
    def title(self) -> str:
        """Name of the network within a sentence."""
        return NETWORKS[self.kind].title

    def file(self, fold: int) -> Path:
        """Return the path of the trained network of a fold."""
        return self.folder / f"fold{fold}" / f"{self.kind}.ckpt"


@dataclass(frozen=True)
class WalkSection:
    """An explained trial that walks on a page of its own."""

    network: NetworkSection  # whose attributions colour the body
    trial: TrialSection  # with a ``walk``


@dataclass(frozen=True)
class RunReport:
    """Content of the run report."""

    fits: CohortFitSummary | None
    networks: tuple[NetworkSection, ...]
    walks: tuple[WalkSection, ...]  # sorted by the balanced accuracy of the network, highest first
    notes: tuple[str, ...]  # shown at the top of the page
    problems: tuple[str, ...]  # one message per missing part
    remarks: tuple[str, ...]  # parts that are present but incomplete
    page: Path
    python: str  # command that starts Python
    gait_page: Path | None = None  # the gait analysis of the same subjects
    chosen: bool = False  # whether the user named the explained subjects; else they are the most representative ones
