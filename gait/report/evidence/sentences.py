"""What findings, counterfactuals and the faithfulness of an explanation come to, as sentences with their numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from gait.explaining.evidence.finding import (
    Counterfactual,
    CounterfactualWalk,
    CurveChange,
    Evidence,
    Finding,
    Verdict,
)
from gait.explaining.evidence.verdicts import speed_explains
from gait.learning.metrics import THRESHOLD
from gait.text import format_number, format_probability, join_words, pluralize, with_true_minus

MEANINGS = {
    Verdict.REAL_DEVIATION: "The network uses this motion, and the motion leaves the norm's band at this speed by more "
    "than the allowance for the error of the fit (placement of markers and soft tissue are not in it).",
    Verdict.NO_DEVIATION: "The network uses this motion, but it is not shown to deviate: it is inside the norm's band "
    "at this speed. The band is wide; a difference of 2 SD or more is named unusual, which proves nothing.",
    Verdict.IGNORED: "The motion leaves the norm's band at this speed by more than the allowance for the error of the "
    "fit, but the network does not use it.",
    Verdict.SPEED: "The evidence is what the walking speed alone predicts.",
    Verdict.NO_NORM: "The norm does not have this motion, so nothing is stated of it.",
    Verdict.NOT_OBSERVED: "Markers do not observe this motion, so nothing is stated of it.",
}
"""What each verdict means, one sentence."""
MAX_CHANGES = 3
_DETECTABLE = 1.96 * math.sqrt(2)
"""Smallest detectable change in standard errors of measurement (Weir 2005, J. Strength Cond. Res. 19:231)."""


def decision(evidence: Evidence) -> str:
    """Return the decision: "sick" or "healthy"."""
    return "sick" if evidence.probability >= THRESHOLD else "healthy"


def summarize_findings(findings: Iterable[Finding]) -> Iterator[tuple[Verdict, str]]:
    """Yield each verdict that occurs, with the number of its findings and their share of the evidence."""
    findings = tuple(findings)
    for verdict in Verdict:
        own = [finding for finding in findings if finding.verdict == verdict]
        if own:
            share = sum(max(finding.share, 0.0) for finding in own)
            text = pluralize(len(own), "finding")
            yield verdict, text if verdict == Verdict.IGNORED else f"{text}, {format_percent(share)} of the evidence"


def relied_on_sentence(evidence: Evidence) -> str:
    """Return what the findings that the decision relies on do to it, one sentence; "" without a finding."""
    found = [each for each in evidence.findings if each.relied_on]
    if not found:
        return ""
    which, they = ("this motion", "it is") if len(found) == 1 else (f"these {len(found)} motions", "they are")
    without = found[-1].probability_without
    if math.isfinite(without):
        other = (without >= THRESHOLD) != (evidence.probability >= THRESHOLD)
        result = "the decision is another" if other else "the decision is the same, since more motions count"
        return (
            f"With {which} as in the mean walk, in the phases in which {they} evidence for {decision(evidence)}, the "
            f"network, run anew, has P(sick) {format_probability(without)}: {result}."
        )
    return f"Most of the evidence for {decision(evidence)} is of {which}."


def remaining_evidence(evidence: Evidence) -> str:
    """Return the sentence on the evidence of motions that have no finding; "" if there is none."""
    rest = 1 - sum(max(finding.share, 0.0) for finding in evidence.findings)
    if not evidence.findings or round(100 * rest) <= 0:
        return ""
    return f"The remaining {format_percent(rest)} is of motions with less evidence each, which are not listed."


def format_percent(fraction: float, *, signed: bool = False) -> str:
    """Return a fraction in percent, with a true minus sign; "–" if it is unknown."""
    text = format_number(100 * fraction, 0, signed=signed)
    return text if text == "–" else f"{text} %"


def format_deg(value: float, digits: int = 1, *, signed: bool = False) -> str:
    """Return degrees, with a true minus sign; "–" if they are unknown."""
    text = format_number(value, digits, signed=signed)
    return text if text == "–" else f"{text}°"


def changed_by(change: CurveChange) -> float:
    """Return a change in degrees as the difference of the rounded angles that stand beside it."""
    return round(change.to_deg, 1) - round(change.from_deg, 1)


def describe_change(change: CurveChange) -> str:
    """Return one change: "left knee flexion in initial swing +13.9° (from 38.1° to 52.0° at 71 % of the cycle; …)"."""
    size = f"{change.motion} in {change.phase} {format_deg(changed_by(change), signed=True)}"
    if change.follows:
        return f"{size} (adjusted to keep the feet on the floor)"
    norm = ""
    if math.isfinite(change.norm_deg):
        norm = f"; norm at this speed {format_deg(change.norm_deg)} ± {format_deg(change.norm_sd_deg)}"
    where = f"from {format_deg(change.from_deg)} to {format_deg(change.to_deg)} at {change.percent} % of the cycle"
    return f"{size} ({where}{norm})"


def describe_changes(walk: CounterfactualWalk) -> str:
    """Return the changes of a counterfactual walk, after the first one the largest first."""
    rest = sorted(walk.changes[1:], key=lambda change: -abs(change.change_deg))
    named = [describe_change(change) for change in (walk.changes[0], *rest)[:MAX_CHANGES]]
    more = len(walk.changes) - MAX_CHANGES
    others = [*named[1:], *([f"{more} more"] if more > 0 else [])]
    return f"{named[0]}, together with {join_words(others)}" if others else named[0]


def detectable_deg(change: CurveChange) -> float:
    """Return the smallest change in degrees that is not within the error of two measurements; NaN if unknown."""
    return _DETECTABLE * change.error_deg


def describe_walk(walk: CounterfactualWalk, probability: float, which: str) -> list[str]:
    """Return sentences on a counterfactual walk: its decision, and whether a body can walk so.

    ``which`` names it, "The smallest change".
    """
    return [
        f"{which}: P(sick) goes from {format_probability(probability)} to {format_probability(walk.probability)}, by a "
        "new run of the network on the changed walk.",
        f"The feet on the floor slide by up to {walk.foot_slide_mm:.0f} mm more than in the trial.",
        "All joints stay within the limits of the body."
        if walk.within_limits
        else "At least one joint is beyond the limits of the body, so no person walks exactly so.",
    ]


def counterfactual_headline(counterfactual: Counterfactual) -> str:
    """Return what would change the decision, one sentence."""
    walk = counterfactual.boundary
    if walk is None:
        return counterfactual.reason or "No plausible change of the joint angles changes the decision."
    crossed = f"P(sick) {format_probability(counterfactual.probability)} → {format_probability(walk.probability)}"
    if not walk.changes:
        return f"A change takes the decision across the border ({crossed})."
    towards = "towards the controls " if counterfactual.probability >= THRESHOLD else ""
    return (
        f"The smallest change {towards}that takes the decision across the border ({crossed}): {describe_changes(walk)}."
    )


def counterfactual_sentences(evidence: Evidence) -> tuple[str, ...]:
    """Return what would change the decision, and what would reach the controls' median."""
    found = evidence.counterfactual
    if found is None:
        return ()
    lines = [counterfactual_headline(found)]
    if found.median is not None and found.median.changes:
        lines.append(
            f"To reach the median output of the controls (P(sick) {format_probability(found.median.probability)}): "
            f"{describe_changes(found.median)}."
        )
    elif found.boundary is not None and found.reason:
        lines.append(found.reason)
    return tuple(with_true_minus(line) for line in lines)


def speed_sentence(evidence: Evidence) -> str:
    """Return the cohort's logit at this walking speed beside the trial's, and how far speed predicts; "" if unknown."""
    if not math.isfinite(evidence.speed_logit):
        return ""
    own, by_speed = (format_number(value, 2, signed=True) for value in (evidence.logit, evidence.speed_logit))
    sentence = (
        f"From the walking speed alone ({format_number(evidence.dimensionless_speed, 2)}, dimensionless), an output "
        f"(logit) of {by_speed} is expected (class {'sick' if evidence.speed_logit > 0 else 'healthy'}); that of this "
        f"walk is {own}."
    )
    speed, label = (max(value, 0) for value in (evidence.speed_variance, evidence.label_variance))
    if not math.isfinite(speed + label):
        return sentence
    alone = speed_explains(evidence.speed_variance, evidence.label_variance)
    return (
        f"{sentence} Between the persons of the cohort, each predicted from the others, speed explains "
        f"{format_percent(speed)} of the output's variance, the label {format_percent(label)}"
        f"{'' if alone else ': not enough to call this a decision by speed alone'}."
    )


def faithfulness_sentence(evidence: Evidence) -> str:
    """Return how far deletion on this trial supports the explanation, with a judgement, one sentence."""
    found = evidence.faithfulness
    if not math.isfinite(found.share * found.whole_fall):
        return "Nothing was measured of whether the network uses what the explanation names."
    own, random, randomized = (
        found.whole_fall * share for share in (found.share, found.random_share, found.randomized_share)
    )
    uses = own > 0 and own > random and own > randomized
    judgement = (
        "the explanation names what the network uses"
        if uses
        else "the explanation does not name what the network uses, so do not rely on it"
    )
    output = f"the network's output for {decision(evidence)} (logit)"
    return (
        "Putting controls' motion in place of the tenth of this walk that the explanation ranks first "
        f"{_change_of_output(own, output)}; a random tenth {_change_of_output(random, 'it')}; the tenth that the same "
        f"network with random weights ranks first {_change_of_output(randomized, 'it')}: {judgement}."
    )


def _change_of_output(fall: float, output: str) -> str:
    """Return "lowers it by 7.1"."""
    if not math.isfinite(fall):
        return f"changes {output} by an unknown amount"
    return f"{'lowers' if fall >= 0 else 'raises'} {output} by {format_number(abs(fall), 1)}"
