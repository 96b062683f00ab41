"""The head of a page of evidence, in words: what is measured, how sure the decision is, and how fragile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from gait.body.skeleton import Joint
from gait.explaining.evidence.explained_walk import ExplainedWalk
from gait.explaining.evidence.finding import Evidence, Finding, Verdict
from gait.explaining.evidence.recurrence import Proportion
from gait.kinematics.gait_events import SIDES
from gait.kinematics.norm_comparison import ERROR_FACTOR
from gait.kinematics.speed_norm import SpeedNorm
from gait.kinematics.trial_analysis import SubjectAnalysis, TrialAnalysis
from gait.learning.checkpoint import Checkpoint
from gait.learning.metrics import THRESHOLD
from gait.motion.trial_paths import HEALTHY, SICK
from gait.report.evidence.sentences import format_deg, format_percent, speed_sentence
from gait.report.gait.numbers import TITLES, format_value, shown_unit
from gait.text import capitalize, format_probability, pluralize

NARROW = 0.1
"""A probability is called narrow if it is nearer to the border between the classes than this."""
RELIABLE_DEG = 5.0
"""Errors of repeated gait analyses are up to about so many degrees (McGinley et al. 2009, Gait & Posture 29:360)."""
FEW_CONTROLS = 40
"""Limits of the norm of fewer persons are imprecise (Friedrichs et al. 2012, Vet. Clin. Pathol. 41:441)."""
_PARAMETERS = ("walking_speed", "cadence", "step_length")


def decision_sentence(probability: float) -> str:
    """Return the class to which a network assigns a walk by its P(sick), and how narrowly, one sentence."""
    word = SICK if probability >= THRESHOLD else HEALTHY
    narrowly = ", narrowly" if abs(probability - THRESHOLD) < NARROW else ""
    return (
        f"The network assigns this walk to the class {word}{narrowly}: P(sick) {format_probability(probability)} "
        f"({THRESHOLD} is the border; it is no probability of disease)."
    )


def tested_subjects(checkpoint: Checkpoint | None) -> Proportion | None:
    """Return how many unseen subjects of its fold a network classifies correctly; None if it is unknown."""
    fold = None if checkpoint is None else checkpoint.fold
    metrics = {} if checkpoint is None else checkpoint.metrics.get("subjects", {})
    accuracy = metrics.get("accuracy", {}).get("value")
    if not fold or accuracy is None:
        return None
    return Proportion(round(accuracy * len(fold["evaluation"])), len(fold["evaluation"]))


def tested_sentence(checkpoint: Checkpoint | None) -> str:
    """Return how well a network classifies the subjects of its fold that it had not seen; "" if it is unknown."""
    tested = tested_subjects(checkpoint)
    if tested is None:
        return ""
    low, high = tested.interval
    chance = ": too few to show that it is better than guessing" if low <= THRESHOLD <= high else ""
    return (
        f"The network was tested on {tested.total} unseen subjects: {tested.count} correct, 95 % interval "
        f"{format_percent(low).removesuffix(' %')}–{format_percent(high)} (guessing: 50 %){chance}."
    )


def summarize(
    evidence: Evidence, tested: str, parameters: str, axis_names: Sequence[Sequence[str]]
) -> Iterator[tuple[str, str]]:
    """Yield title and text of each part of the summary.

    ``tested`` and ``parameters`` are those of ``tested_sentence`` and ``parameters_sentence``; ``axis_names`` (22, 3)
    those of the network's input.
    """
    yield "Measured", measured_sentence(evidence.findings)
    border = "near" if abs(evidence.probability - THRESHOLD) < NARROW else "not near"
    sure = f"P(sick) {format_probability(evidence.probability)} is {border} the border of {THRESHOLD}."
    yield "How sure", f"{sure} {tested}".strip()
    counterfactual = evidence.counterfactual
    if counterfactual is not None and axis_names and counterfactual.blind_spots_deg:
        yield "How fragile", fragile_sentence(counterfactual.blind_spots_deg, axis_names)
    if speed := " ".join(part for part in (parameters, speed_sentence(evidence)) if part):
        yield "Walking speed", speed


def measured_sentence(findings: Sequence[Finding]) -> str:
    """Return the largest deviation of the findings with its error and the controls' band."""
    deviating = [
        each for each in findings if each.verdict in (Verdict.REAL_DEVIATION, Verdict.IGNORED) or each.outside_deg > 0
    ]
    if not deviating:
        return "No motion here is shown to be outside the controls' band at this walking speed."
    largest = max(deviating, key=lambda each: abs(each.sds))
    error = ""
    if math.isfinite(largest.error_deg):
        error = f" ± {format_deg(ERROR_FACTOR * largest.error_deg)} (95 % error of the fit)"
    outside = f", {format_deg(largest.outside_deg)} outside its band" if largest.outside_deg > 0 else ""
    others = {(each.joint, each.axis) for each in deviating} - {(largest.joint, largest.axis)}
    verb = "is" if len(others) == 1 else "are"
    more = f" {pluralize(len(others), 'other motion')} among the findings {verb} outside, too." if others else ""
    motion = capitalize(largest.motion)
    return (
        f"{motion} in {largest.phase} is {format_deg(largest.value_deg)}{error} "
        f"at {largest.percent} % of the cycle. Norm at this speed: {format_deg(largest.norm_deg)} ± "
        f"{format_deg(largest.norm_sd_deg)} (SD). That is {format_deg(abs(largest.value_deg - largest.norm_deg))} from "
        f"its mean{outside}: it is shown to deviate.{more}"
    )


def fragile_sentence(blind_spots_deg: Mapping[tuple[Joint, int], float], axis_names: Sequence[Sequence[str]]) -> str:
    """Return after which change of one motion alone the decision changes first."""
    (joint, axis), degrees = min(blind_spots_deg.items(), key=lambda each: each[1])
    if not math.isfinite(degrees):
        return "No change of one motion alone, by the same angle over the whole cycle, changes the decision."
    size = f"more than {format_deg(degrees, 0)}" if degrees >= 1 else "less than 1°"
    fragile = (
        f" Repeated gait analyses have errors of up to about {RELIABLE_DEG:.0f}° (McGinley et al. 2009), so do not "
        "rely on this decision."
    )
    return (
        f"The decision changes if {axis_names[joint][axis]} alone changes by {size} over the whole cycle; it is the "
        f"most sensitive motion.{fragile if degrees < RELIABLE_DEG else ''}"
    )


def parameters_sentence(analysis: TrialAnalysis | SubjectAnalysis) -> str:
    """Return speed, cadence and step length of a walk, with the number of its strides."""
    values = [(name, analysis.parameters.mean(name, "both")) for name in _PARAMETERS]
    words = [
        f"{TITLES[name].lower()} {format_value(name, value)} {shown_unit(name)}"
        for name, value in values
        if math.isfinite(value)
    ]
    if not words:
        return ""
    strides = pluralize(sum(int(analysis.curves.used(side).sum()) for side in SIDES), "stride")
    text = f"{', '.join(words)} ({strides} of both sides)."
    return capitalize(text)


def norm_size(walk: ExplainedWalk) -> str:
    """Return the number of controls behind the bands, "24 controls"; "" of a published norm."""
    norm = walk.controls.norm
    if not isinstance(norm, SpeedNorm):
        return ""
    count = len({control.person for control in norm.controls})
    few = ", which are few: the bands are wide and imprecise" if count < FEW_CONTROLS else ""
    return f"{count} controls{few}"
