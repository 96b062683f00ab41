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
from gait.learning.metrics import THRESHOLD
from gait.report.gait.numbers import format_number
from gait.report.training.text_summary import pluralize

MEANINGS = {
    Verdict.REAL_DEVIATION: "The network uses this motion, and the motion leaves the norm at this speed by more than "
    "the error of its measurement.",
    Verdict.NO_DEVIATION: "The network uses this motion, but the motion is within the norm at this speed.",
    Verdict.IGNORED: "The motion leaves the norm at this speed, but the network does not use it.",
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


def format_percent(fraction: float, *, signed: bool = False) -> str:
    """Return a fraction in percent, with a true minus sign; "–" if it is unknown."""
    text = format_number(100 * fraction, 0, signed=signed)
    return text if text == "–" else f"{text} %"


def format_deg(value: float, digits: int = 1, *, signed: bool = False) -> str:
    """Return degrees, with a true minus sign; "–" if they are unknown."""
    text = format_number(value, digits, signed=signed)
    return text if text == "–" else f"{text}°"


def describe_change(change: CurveChange) -> str:
    """Return one change: "left knee flexion in initial swing: +14° (from 38° to 52°; norm at this speed 58 ± 6°)"."""
    norm = ""
    if math.isfinite(change.norm_deg):
        norm = f"; norm at this speed {format_number(change.norm_deg, 0)} ± {format_deg(change.norm_sd_deg, 0)}"
    return (
        f"{change.motion} in {change.phase}: {format_deg(change.change_deg, 0, signed=True)} "
        f"(from {format_deg(change.from_deg, 0)} to {format_deg(change.to_deg, 0)}{norm})"
    )


def detectable_deg(change: CurveChange) -> float:
    """Return the smallest change in degrees that is not within the error of two measurements; NaN if unknown."""
    return _DETECTABLE * change.error_deg


def describe_walk(walk: CounterfactualWalk, probability: float, which: str) -> list[str]:
    """Return sentences on a counterfactual walk: its decision, and whether a body can walk so.

    ``which`` names it, "The smallest change".
    """
    return [
        f"{which} takes P(sick) from {probability:.2f} to {walk.probability:.2f}, by a new run of the network on the "
        "changed walk.",
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
    sought = [change for change in walk.changes if not change.follows]
    changes = "; ".join(describe_change(change) for change in sought[:MAX_CHANGES])
    more = "" if len(sought) <= MAX_CHANGES else f"; and {len(sought) - MAX_CHANGES} smaller ones"
    return (
        f"The network decides otherwise after this change: {changes}{more}. "
        f"P(sick) is then {walk.probability:.2f} in place of {counterfactual.probability:.2f}."
    )


def counterfactual_sentences(evidence: Evidence) -> tuple[str, ...]:
    """Return what would change the decision, and what its first change would be at the controls' median."""
    found = evidence.counterfactual
    if found is None:
        return ()
    lines = [counterfactual_headline(found)]
    if found.median is not None and found.median.changes:
        lines.append(
            f"At the controls' median logit it would be {describe_change(found.median.changes[0])}: "
            f"P(sick) {found.median.probability:.2f}."
        )
    elif found.boundary is not None and found.reason:
        lines.append(found.reason)
    return tuple(lines)


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
