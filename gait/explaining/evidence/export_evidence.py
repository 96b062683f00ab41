"""Export of the evidence beside the attributions of one trial."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gait.errors import GaitError
from gait.explaining.evidence.compute_evidence import FindCounterfactual, compute_evidence
from gait.explaining.evidence.controls import read_cohort
from gait.explaining.evidence.evidence_files import write_counterfactual, write_evidence
from gait.explaining.evidence.explained_walk import ExplainedWalk, explain_walk
from gait.explaining.evidence.find_cohort import find_cohort
from gait.explaining.evidence.finding import Evidence
from gait.explaining.export_trial import TrialExport
from gait.explaining.options import ExplainOptions


@dataclass(frozen=True, eq=False)
class SegmentEvidence:
    """The evidence of a trial, or of a segment of a split trial, that was written."""

    evidence: Evidence
    walk: ExplainedWalk  # that it was computed from
    folder: Path  # of its files


@dataclass(frozen=True, eq=False)
class EvidenceExport:
    """The evidence that was written, and what is missing."""

    segments: tuple[SegmentEvidence, ...]
    notes: tuple[str, ...]  # one sentence each

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The evidence of each segment."""
        return tuple(segment.evidence for segment in self.segments)


def export_evidence(
    export: TrialExport,
    options: ExplainOptions,
    norms: str | None = None,
    *,
    find_counterfactual: FindCounterfactual | None = None,
) -> EvidenceExport:
    """Write the evidence beside the attributions of a trial, of the first method that is signed.

    Raises:
        GaitError: the norm cannot be read, or a file cannot be written.
    """
    network = export.network
    try:
        cohort = find_cohort(network, export.segments[0].pose_folder, norms, options)
    except GaitError:
        if norms is not None:
            raise
        cohort = read_cohort(network, None)
    found: list[SegmentEvidence] = []
    notes = [*cohort.problems]
    for segment in export.segments:
        signed = [(folder, each) for folder, each in segment.attributions.items() if each.signed]
        if not signed:
            notes.append("No evidence: this method does not say for which class a joint speaks; use another --method.")
            continue
        folder, attribution = signed[0]
        try:
            with_method = options.with_method(attribution.method)
            walk = explain_walk(network, segment.pose_folder, cohort, with_method, segment.sequence, attribution)
            evidence = compute_evidence(walk, with_method, find_counterfactual=find_counterfactual)
        except GaitError as error:
            notes.append(f"No evidence: {error}")
            continue
        write_evidence(folder, evidence)
        if evidence.counterfactual is not None:
            write_counterfactual(folder, evidence.counterfactual)
        found.append(SegmentEvidence(evidence, walk, folder))
    return EvidenceExport(tuple(found), tuple(notes))
