"""The head of a page, in words: the decision, where the network sees it, where curves deviate, how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from gait.explaining.evidence.finding import Evidence, Finding, Verdict
from gait.kinematics.joint_angles import ANGLES
from gait.kinematics.norm_comparison import ERROR_FACTOR, Deviation
from gait.kinematics.related_angle import moved_joint
from gait.learning.metrics import THRESHOLD
from gait.motion.trial_paths import HEALTHY, LABEL_NOUNS, SICK, parse_subject_id
from gait.report.evidence.sentences import (
    MEANINGS,
    counterfactual_headline,
    decision,
    format_deg,
    format_percent,
    summarize_findings,
)
from gait.report.gait.curve_grid import AXES
from gait.report.walk_page.curve_section import CurveSection, frame_at
from gait.report.walk_page.walk_data import WalkPage
from gait.viewing.attribution_overlay import AttributionOverlay

_TRAINED = "The network was trained on this subject, so its prediction is not valid evidence."
MAX_DEVIATIONS = 5
"""So many deviations are in the head of a page; all are beside the curves."""
_ANGLES = {angle.name: angle for angle in ANGLES}


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
    warning: str  # "" without
    network: str  # where the network looks; "" without a network
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
        trust += verdict_summary(page.evidence)
        if page.evidence.counterfactual is not None:
            trust.append(counterfactual_headline(page.evidence.counterfactual))
    if overlay is not None:
        trust += _trust(overlay, trained=trained)
    return Answer(
        headline(overlay, page.label),
        _TRAINED if trained else "",
        "" if overlay is None else where_the_network_looks(overlay),
        "" if curves is None else curve_summary(curves),
        () if curves is None else tuple(deviations(curves))[:MAX_DEVIATIONS],
        tuple(trust),
    )


def _trust(overlay: AttributionOverlay, *, trained: bool) -> Iterator[str]:
    """Yield what limits the decision and its explanation."""
    if not trained and overlay.network.training_subjects:
        yield "The network was not trained on this subject."
    if (measured := _accuracy(overlay)) is not None:
        yield measured
    if overlay.faithfulness_summary:
        yield overlay.faithfulness_summary
    yield "An attribution shows what the network uses, not what is wrong with the person."


def _accuracy(overlay: AttributionOverlay) -> str | None:
    """Return how well the network classifies the subjects of its fold that it had not seen; None if it is unknown."""
    checkpoint = overlay.network.checkpoint
    fold = None if checkpoint is None else checkpoint.fold
    metrics = {} if checkpoint is None else checkpoint.metrics.get("subjects", {})
    found = [metrics.get(name, {}).get("value") for name in ("accuracy", "balanced_accuracy")]
    if not fold or None in found:
        return None
    count = len(fold["evaluation"])
    correct = f"{round(found[0] * count)} of {count}"
    return (
        f"It classified {correct} subjects correctly that it had not seen (balanced accuracy {found[1]:.2f}; chance is "
        "0.50)."
    )


def headline(overlay: AttributionOverlay | None, label: str) -> str:
    """Return the decision of the network in one sentence; ``label`` is that of the folder, or ""."""
    group = f" The subject is one of the {LABEL_NOUNS[label]}s." if label in (HEALTHY, SICK) else ""
    if overlay is None:
        return f"A walk without the decision of a network.{group}"
    probability = overlay.attribution.trial_probability
    if not math.isfinite(probability):
        return f"The {overlay.network.title} gives no decision for this walk.{group}"
    word = "sick" if probability >= THRESHOLD else "healthy"
    return (
        f"The {overlay.network.title} classifies this walk as {word}: P(sick) {format_probability(probability)}.{group}"
    )


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
    """Yield where curves leave their band by more than their error, the largest in SD of the norm first."""
    for each in section.deviations:
        frame = frame_at(section.analysis, each.side, each.largest_percent)
        yield Statement(describe(each), frame, int(moved_joint(each.angle, each.side)))


def describe(deviation: Deviation) -> str:
    """Return a deviation in words, "left knee flexion: 19.9° below the norm at 74 %…; allowance for error 3.5°"."""
    angle = _ANGLES[deviation.angle]
    above = deviation.largest_deg > 0
    side = "" if angle.midline else f"{deviation.side} "
    whose = f"the {deviation.side}" if angle.midline else "its"
    direction = (angle.positive if above else angle.negative).partition(" (")[0]
    return (
        f"{side}{AXES[deviation.angle].title.lower()}: {format_deg(abs(deviation.largest_deg))} "
        f"{'above' if above else 'below'} the norm ({direction}) at "
        f"{deviation.largest_percent} % of {whose} cycle; allowance for error {format_deg(deviation.error_deg)}"
    )


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
            phase=f"{finding.phase}, {finding.percents[0]}–{finding.percents[1]} % {finding.side}",
            share="not used" if finding.verdict == Verdict.IGNORED else share,
            value=_with_error(finding),
            norm=_norm(finding),
            verdict=finding.verdict.value,
            reason=finding.reason,
            frame=finding.frame,
            joint=int(finding.joint),
        )


def format_probability(value: float) -> str:
    """Return a probability with two digits, never exactly 0 or 1."""
    return "> 0.99" if value > 0.99 else "< 0.01" if value < 0.01 else f"{value:.2f}"


def _in_sentence(title: str) -> str:
    """Return a title with a small initial, except of an abbreviation."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]
