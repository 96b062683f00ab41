"""What a run report computes of trained networks: the attribution of a cohort, and explained trials that walk."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gait.explaining.cohort_paths import cohort_files
from gait.explaining.evidence.counterfactual import find_counterfactual
from gait.explaining.evidence.export_evidence import SegmentEvidence, export_evidence
from gait.explaining.explain_cohort import explain_cohort
from gait.explaining.export_trial import TrialExport, export_trial
from gait.explaining.methods import METHODS
from gait.explaining.options import EvidenceOptions, ExplainOptions
from gait.explaining.trained_network import load_network
from gait.files.atomic_write import atomic_file
from gait.files.step_cache import StepOutput
from gait.report.cohort_figure import write_cohort_figure
from gait.report.evidence.sentences import counterfactual_headline
from gait.report.evidence.write_page import PAGE_FILE as EVIDENCE_PAGE
from gait.report.evidence.write_page import write_evidence_pages
from gait.report.run.model import WalkFiles
from gait.report.run.steps import StepResult
from gait.report.walk_page.curve_section import curve_section
from gait.report.walk_page.export import add_evidence, drawn_norm, write_page
from gait.report.walk_page.still_picture import still_picture
from gait.report.walk_page.walk_data import WalkPage
from gait.report.write_explanation_figures import write_explanation_figures
from gait.text import with_true_minus
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.loaded_trial import BodyModelLocator, load_trial


@dataclass(frozen=True)
class CohortStep:
    """Explain a cohort, each subject by the network that was not trained on it, and draw the means."""

    trained: Path  # save folder of the training
    kind: str  # of the network
    poses: Path
    export: Path
    stride: int | None

    def __call__(self) -> StepResult:
        """Return the ``CohortSummary`` as plain data."""
        options = ExplainOptions(stride=self.stride)
        cohort = explain_cohort(self.trained, self.kind, self.poses, options, self.export, EvidenceOptions())
        summary = write_cohort_figure(cohort, cohort_files(self.export, self.kind)[0])
        return StepResult(StepOutput(asdict(summary), cohort.notes), cohort.problems)


@dataclass(frozen=True)
class TrialStep:
    """Explain one trial: figure, evidence with what would change the decision, and the page on which it walks."""

    network: Path  # checkpoint
    trial: Path  # folder
    folder: Path  # for its files
    walk: WalkFiles | None  # None: without a page
    beside: Path | None  # trial that walks beside it if no change changes the decision
    stride: int
    bodies: BodyModelLocator

    def __call__(self) -> StepResult:
        """Return the evidence pages, the sentence on what would change the decision, and the second body's name."""
        options = ExplainOptions(stride=self.stride)
        result = export_trial(load_network(self.network), self.trial, self.folder, options)
        notes = list(write_explanation_figures(result, self.bodies))
        found = export_evidence(result, options, find_counterfactual=find_counterfactual)
        page = None if self.walk is None else self.walk.page
        notes += write_evidence_pages(found, self.bodies, page)
        first = found.segments[0] if found.segments else None
        walk = None if self.walk is None else _write_walk(self, self.walk, result, first)
        change = None if first is None else first.evidence.counterfactual
        plain = {
            "evidence": [str((each.folder / EVIDENCE_PAGE).relative_to(self.folder)) for each in found.segments],
            "change": "" if change is None else with_true_minus(counterfactual_headline(change)),
            "beside": "" if walk is None or walk.beside is None else walk.beside.name,
        }
        # A repetition may succeed in rendering what failed now.
        remarks = tuple(dict.fromkeys((*notes, *found.notes)))
        return StepResult(StepOutput(plain, remarks), result.problems, not notes)


def _write_walk(step: TrialStep, files: WalkFiles, result: TrialExport, found: SegmentEvidence | None) -> WalkPage:
    """Write the page of a trial, or of its first segment, and its picture."""
    segment = result.segments[0]
    loaded = load_trial(segment.pose_folder, step.bodies)
    overlays = tuple(
        AttributionOverlay(loaded, result.network, METHODS[each.method], each, None)
        for each in segment.attributions.values()
    )
    page = WalkPage(loaded, overlays)
    if found is None:
        page = replace(page, curves=curve_section(loaded, drawn_norm(None)))
    else:
        page = add_evidence(page, found.walk, found.evidence)
    if page.beside is None and step.beside is not None:
        page = replace(page, beside=load_trial(step.beside, step.bodies))
    still = still_picture(page)
    write_page(files.page, page, still)
    with atomic_file(files.picture) as partial:
        partial.write_bytes(still)
    return page
