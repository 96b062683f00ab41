"""The head of a page, in words: the decision, where the network sees it, where curves deviate, how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from gait.explaining.evidence.finding import Evidence, Finding, Verdict
from gait.kinematics.norm_comparison import ERROR_FACTOR
from gait.kinematics.related_angle import moved_joint
from gait.learning.metrics import THRESHOLD
from gait.motion.trial_paths import HEALTHY, LABEL_NOUNS, SICK, parse_subject_id
from gait.report.evidence.sentences import (
    MEANINGS,
    counterfactual_headline,
    decision,
    faithfulness_sentence,
    format_deg,
    format_percent,
    summarize_findings,
)
from gait.report.evidence.summary import (
    NARROW,
    RELIABLE_DEG,
    decision_sentence,
    measured_sentence,
    parameters_sentence,
    tested_sentence,
    tested_subjects,
)
from gait.report.walk_page.curve_section import CurveSection, describe, describe_largest, frame_at
from gait.report.walk_page.walk_data import WalkPage
from gait.text import join_words, pluralize, with_true_minus
from gait.viewing.attribution_overlay import AttributionOverlay

_TRAINED = "The network was trained on this subject, so its prediction is not valid evidence."
MAX_DEVIATIONS = 5
"""So many curves that deviate are in the head of a page; all are beside the curves."""


@dataclass(frozen=True)
class Statement:
    """A sentence, and the frame and the joint that it is of; None if it is of the whole trial."""

    text: str
    frame: int | None = None
    joint: int | None = None


@dataclass(frozen=True)
class FindingRow:
    """One row of the table of verdicts, as text."""

    motion: str
    relied_on: bool
    phase: str
    share: str
    value: str
    norm: str
    verdict: str
    reason: str
    frame: int
    joint: int


@dataclass(frozen=True)
class Answer:
    """What the head of a page says."""

    headline: str
    farthest: str  # the curve that is farthest from the norm, and whether the decision is uncertain; "" if neither
    warning: str  # "" without
    network: str  # where the network looks; "" without a network
    sure: str  # what makes the decision uncertain; "" if nothing known does
    walk: str  # speed, cadence and step length; "" without strides
    curves: str  # what the comparison with the norm comes to; "" without a norm
    deviations: tuple[Statement, ...]
    trust: tuple[str, ...]


def answer_of(page: WalkPage) -> Answer:
    """Return the head of a page."""
    overlay = page.overlays[0] if page.overlays else None
    trained = overlay is not None and parse_subject_id(page.trial.folder) in overlay.network.training_subjects
    curves = page.curves if page.curves is not None and page.curves.has_strides else None
    trust: list[str] = []
    if page.evidence is not None:
        trust.append(measured_sentence(page.evidence.findings))
        trust += verdict_summary(page.evidence)
        trust += page.evidence.notes
        if page.evidence.counterfactual is not None:
            trust.append(counterfactual_headline(page.evidence.counterfactual))
    if overlay is not None:
        trust += _trust(overlay, page.evidence, trained=trained)
    sure = "" if overlay is None else how_sure(overlay, page.evidence, trained=trained)
    return Answer(
        headline(overlay, page.label),
        " ".join(farthest(curves, is_uncertain=bool(sure))),
        _TRAINED if trained else "",
        "" if overlay is None else where_the_network_looks(overlay),
        sure,
        "" if curves is None else parameters_sentence(curves.analysis),
        "" if curves is None else curve_summary(curves),
        () if curves is None else tuple(deviations(curves))[:MAX_DEVIATIONS],
        tuple(trust),
    )


def farthest(section: CurveSection | None, *, is_uncertain: bool) -> Iterator[str]:
    """Yield which curve is farthest from the norm, and that the decision is uncertain: the whole page in short."""
    if section is not None and section.deviations:
        yield f"Farthest from the norm is {describe_largest(section.deviations[0])}."
    if is_uncertain:
        yield "The decision is uncertain, see below."


def how_sure(overlay: AttributionOverlay, evidence: Evidence | None, *, trained: bool) -> str:
    """Return what makes the decision uncertain, one sentence; "" if nothing known does."""
    doubts = []
    if abs(overlay.attribution.trial_probability - THRESHOLD) < NARROW:
        doubts.append("the output is close to the border")
    if trained:
        doubts.append("the network was trained on this subject")
    elif (tested := tested_subjects(overlay.network.checkpoint)) is not None and tested.interval[0] <= THRESHOLD:
        doubts.append(
            f"the network is not shown to be better than guessing ({pluralize(tested.total, 'unseen subject')})"
        )
    counterfactual, names = None if evidence is None else evidence.counterfactual, overlay.network.input.axis_names
    if counterfactual is not None and names and counterfactual.blind_spots_deg:
        (joint, axis), degrees = min(counterfactual.blind_spots_deg.items(), key=lambda each: each[1])
        if degrees < RELIABLE_DEG:
            size = f"more than {format_deg(degrees, 0)}" if degrees >= 1 else "less than 1°"
            doubts.append(f"a change of {names[joint][axis]} alone by {size} changes the decision")
    return f"The network's decision is uncertain: {join_words(doubts)}." if doubts else ""


def _trust(overlay: AttributionOverlay, evidence: Evidence | None, *, trained: bool) -> Iterator[str]:
    """Yield what limits the decision and its explanation."""
    if not trained and overlay.network.training_subjects:
        yield "The network was not trained on this subject."
    if tested := tested_sentence(overlay.network.checkpoint):
        yield tested
    if evidence is not None:
        yield faithfulness_sentence(evidence)
    elif overlay.faithfulness_summary:
        yield overlay.faithfulness_summary
    yield "An attribution shows what the network uses, not what is wrong with the person."


def headline(overlay: AttributionOverlay | None, label: str) -> str:
    """Return the decision of the network in one sentence; ``label`` is that of the folder, or ""."""
    recorded = f" Recorded label: {LABEL_NOUNS[label]}." if label in (HEALTHY, SICK) else ""
    if overlay is None:
        return f"A walk without the decision of a network.{recorded}"
    probability = overlay.attribution.trial_probability
    if not math.isfinite(probability):
        return f"The network gives no output for this walk.{recorded}"
    return f"{decision_sentence(probability)}{recorded}"


def where_the_network_looks(overlay: AttributionOverlay) -> str:
    """Return the joints, or the axes of joints, that the decision rests on most."""
    attribution = overlay.attribution
    names = attribution.largest_axes() or attribution.largest_joints()
    word = "sick" if attribution.trial_probability >= THRESHOLD else "healthy"
    what = f"Most evidence for {word}" if attribution.ranks_evidence else "Largest attribution"
    return f"{what}, by {_in_sentence(overlay.method.title)}: {', '.join(names)}."


def _with_error(finding: Finding) -> str:
    if not math.isfinite(finding.value_deg):
        return "not observed"
    value = format_deg(finding.value_deg)
    return f"{value} ± {format_deg(ERROR_FACTOR * finding.error_deg)}" if math.isfinite(finding.error_deg) else value


def _norm(finding: Finding) -> str:
    if not math.isfinite(finding.norm_deg):
        return "–"
    return f"{format_deg(finding.norm_deg)} ± {format_deg(finding.norm_sd_deg)}"


def deviations(section: CurveSection) -> Iterator[Statement]:
    """Yield the curves that leave their band by more than their error, the largest in SD of the norm first."""
    for (angle, side), found in section.deviations_by_curve.items():
        frame = frame_at(section.analysis, side, found[0].largest_percent)
        yield Statement(describe(found), frame, int(moved_joint(angle, side)))


def curve_summary(section: CurveSection) -> str:
    """Return one sentence on what was compared with the norm; "" without a norm."""
    reference = section.reference
    if reference is None:
        return ""
    if not reference.num_tested:
        return "No curve is in the norm and has a known error, so no deviation is stated."
    found = len({(each.angle, each.side) for each in reference.deviations})
    counted = f"{found or 'None'} of {reference.num_tested} curves {'leaves' if found == 1 else 'leave'} the norm"
    return f"{counted} ({reference.title}) by more than the error of the fit."


def verdict_summary(evidence: Evidence) -> Iterator[str]:
    """Yield what the findings come to, one sentence per verdict."""
    for verdict, text in summarize_findings(evidence.findings):
        yield f"{text}: {verdict.value}. {MEANINGS[verdict]}"


def finding_rows(evidence: Evidence) -> Iterator[FindingRow]:
    """Yield the rows of the table of verdicts."""
    towards = decision(evidence)
    other = "healthy" if towards == "sick" else "sick"
    for finding in evidence.findings:
        share = f"{format_percent(abs(finding.share))}, for {towards if finding.share >= 0 else other}"
        yield FindingRow(
            motion=finding.motion,
            relied_on=finding.relied_on,
            phase=f"{finding.phase}, {finding.percents[0]}–{finding.percents[1]} % {finding.side}",
            share="not used" if finding.verdict == Verdict.IGNORED else share,
            value=_with_error(finding),
            norm=_norm(finding),
            verdict=finding.verdict.value,
            reason=with_true_minus(finding.reason),
            frame=finding.frame,
            joint=int(finding.joint),
        )


def _in_sentence(title: str) -> str:
    """Return a title with a small initial, except of an abbreviation."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]
