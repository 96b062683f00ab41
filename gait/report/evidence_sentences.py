"""Sentences on the evidence beside a decision: what it relied on, and whether the subject really deviates there."""

from __future__ import annotations

import math

from gait.explaining.evidence.compute_evidence import MIN_SHARE
from gait.explaining.evidence.finding import Evidence, Finding, Verdict
from gait.text import join_words

MAX_NAMED = 3


def evidence_sentences(evidence: Evidence) -> tuple[str, ...]:
    """Return what the decision relied on, whether the subject deviates there, and what is ignored, one sentence each.

    The sentence on a counterfactual is that of its own module. Nothing here is a diagnosis.
    """
    return tuple(
        sentence
        for sentence in (
            relied_on(evidence),
            deviates(evidence),
            against(evidence),
            ignored(evidence),
            by_speed(evidence),
        )
        if sentence
    )


def relied_on(evidence: Evidence) -> str:
    """Return the sentence on what the network relied on; "" without a finding."""
    findings = [each for each in evidence.findings if each.share >= MIN_SHARE]
    named = [f"{each.motion} in {each.phase} ({each.share:.0%})" for each in findings[:MAX_NAMED]]
    label = "sick" if evidence.probability >= 0.5 else "healthy"
    return f"The network's evidence for {label} is mostly {join_words(named)}." if named else ""


def deviates(evidence: Evidence) -> str:
    """Return the sentence on whether the subject really deviates where the network looks; "" without a finding."""
    findings = [each for each in evidence.findings if each.share >= MIN_SHARE]
    if not findings:
        return ""
    real = [each for each in findings if each.verdict == Verdict.REAL_DEVIATION]
    if not real:
        return "There, the subject deviates nowhere from the norm at this walking speed beyond the error."
    where = join_words([_numbers(each) for each in real[:MAX_NAMED]])
    return f"There, the subject deviates beyond speed and error in {where}."


def against(evidence: Evidence) -> str:
    """Return the sentence on real deviations that speak against the decision; "" if there is none."""
    real = [each for each in evidence.findings if each.verdict == Verdict.REAL_DEVIATION and each.share < 0]
    where = join_words([_numbers(each) for each in real[:MAX_NAMED]])
    return f"Against the decision speaks a real deviation in {where}." if real else ""


def ignored(evidence: Evidence) -> str:
    """Return the sentence on deviations that the network ignores; "" if there is none."""
    found = [_numbers(each) for each in evidence.findings if each.verdict == Verdict.IGNORED]
    return f"The network ignores: {join_words(found[:MAX_NAMED])}." if found else ""


def by_speed(evidence: Evidence) -> str:
    """Return the sentence on walking speed if findings have that verdict; "" otherwise."""
    if not any(each.verdict == Verdict.SPEED for each in evidence.findings) or math.isnan(evidence.speed_logit):
        return ""
    predicted = f"The walking speed alone predicts a logit of {evidence.speed_logit:+.1f}"
    return f"{predicted}; that of the network is {evidence.logit:+.1f}."


def _numbers(finding: Finding) -> str:
    return (
        f"{finding.motion} in {finding.phase} ({finding.value_deg:.0f}° against {finding.norm_deg:.0f} ± "
        f"{finding.norm_sd_deg:.0f}°)"
    )
