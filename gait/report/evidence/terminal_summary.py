"""Sentences on the evidence beside a decision: what it relied on, and whether the subject really deviates there."""

from __future__ import annotations

from gait.explaining.evidence.finding import Evidence, Finding, Verdict
from gait.report.evidence.sentences import decision, format_deg, format_percent, speed_sentence
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
    findings = [each for each in evidence.findings if each.relied_on]
    named = [f"{each.motion} ({format_percent(each.share)})" for each in findings[:MAX_NAMED]]
    if len(findings) > MAX_NAMED:
        named.append(f"{len(findings) - MAX_NAMED} more")
    share = "share of the evidence" if len(named) == 1 else "shares of the evidence"
    return f"The decision {decision(evidence)} relies on {join_words(named)}; in brackets: {share}." if named else ""


def deviates(evidence: Evidence) -> str:
    """Return the sentence on whether the subject really deviates where the network looks; "" without a finding."""
    findings = [each for each in evidence.findings if each.relied_on]
    if not findings:
        return ""
    real = [each for each in findings if each.verdict == Verdict.REAL_DEVIATION]
    if not real:
        return "There, the walk is nowhere shown to be outside the controls' band at this walking speed."
    where = join_words([_numbers(each) for each in real[:MAX_NAMED]])
    return (
        "There, the walk is outside the controls' band at this walking speed, by more than the allowance for the error "
        f"of the fit: {where}."
    )


def against(evidence: Evidence) -> str:
    """Return the sentence on real deviations that speak against the decision; "" if there is none."""
    real = [each for each in evidence.findings if each.verdict == Verdict.REAL_DEVIATION and each.share < 0]
    where = join_words([_numbers(each) for each in real[:MAX_NAMED]])
    return f"A real deviation that speaks against the decision: {where}." if real else ""


def ignored(evidence: Evidence) -> str:
    """Return the sentence on deviations that the network ignores; "" if there is none."""
    found = [_numbers(each) for each in evidence.findings if each.verdict == Verdict.IGNORED]
    return f"Deviations that the network ignores: {join_words(found[:MAX_NAMED])}." if found else ""


def by_speed(evidence: Evidence) -> str:
    """Return the sentence on walking speed if findings have that verdict; "" otherwise."""
    if not any(each.verdict == Verdict.SPEED for each in evidence.findings):
        return ""
    return speed_sentence(evidence)


def _numbers(finding: Finding) -> str:
    outside = f", {format_deg(finding.outside_deg)} outside the band" if finding.outside_deg > 0 else ""
    norm = f"{format_deg(finding.norm_deg)} ± {format_deg(finding.norm_sd_deg)}"
    return (
        f"{finding.motion} in {finding.phase} ({format_deg(finding.value_deg)} against {norm} "
        f"at {finding.percent} % of the cycle{outside})"
    )
