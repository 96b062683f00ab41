"""The page of one decision's evidence: the data of ``templates/evidence.html.jinja``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gait.explaining.evidence.finding import CurveChange, Evidence, Finding, Verdict
from gait.kinematics.gait_events import SIDES
from gait.kinematics.norm_comparison import ERROR_FACTOR
from gait.report.evidence.concept_chart import concept_chart
from gait.report.evidence.curves import ChartRow, WalkCurves, chart_name
from gait.report.evidence.moments import Moment
from gait.report.evidence.sentences import (
    MEANINGS,
    changed_by,
    counterfactual_sentences,
    decision,
    describe_walk,
    detectable_deg,
    faithfulness_sentence,
    format_deg,
    format_percent,
    relied_on_sentence,
    remaining_evidence,
    summarize_findings,
)
from gait.report.evidence.summary import decision_sentence, summarize
from gait.report.render import png_url, render
from gait.text import capitalize, format_number, format_probability, with_true_minus

_CLASSES = {
    Verdict.REAL_DEVIATION: "real",
    Verdict.NO_DEVIATION: "none",
    Verdict.IGNORED: "ignored",
    Verdict.SPEED: "speed",
    Verdict.NOT_OBSERVED: "unobserved",
    Verdict.NO_NORM: "unobserved",
}
"""Classes of the style sheet."""


@dataclass(frozen=True, eq=False)
class EvidenceContent:
    """What the page of one trial shows."""

    evidence: Evidence
    network: str  # "MLP mlp.ckpt"
    method_title: str
    rate_hz: float  # of the trial
    curves: WalkCurves | None = None
    charts: tuple[ChartRow, ...] = ()  # of these curves
    band: str = ""  # of the charts: whose it is and what it promises
    colour_ends: tuple[str, str] = ("", "")  # of the scale along the curves: "−3.1", "+3.1"
    moments: tuple[Moment, ...] = ()
    changed: Moment | None = None  # the walk beside the counterfactual one
    axis_names: Sequence[Sequence[str]] = ()  # (22, 3) of the network's input, "left knee flexion"
    files: Mapping[str, str] = field(default_factory=dict)  # title of a file beside the page -> its link
    walk_page: str = ""  # link of the page that plays the walk; "" if there is none
    tested: str = ""  # how well the network classifies unseen subjects, one sentence
    parameters: str = ""  # speed, cadence and step length, one sentence
    no_pictures: str = ""  # why there is no picture of the body


@dataclass(frozen=True)
class VerdictRow:
    """One row of the verdict table, as text."""

    number: int
    motion: str
    curve: str  # link to its chart; "" without one
    phase: str
    percents: str
    time: str  # "1.42 s"
    moment: str  # link to the moment
    used_in: str  # the phase with the most evidence, if it is another one
    share: str
    without: str  # what P(sick) is without this finding and those before
    relied_on: bool
    speaks_for: str  # "sick" or "healthy"; "" if the network does not use the motion
    value: str
    at: str
    norm: str
    sds: str
    difference: str  # from the mean of the norm
    outside: str  # "9.1° outside the band"; "" inside it
    verdict: str
    verdict_class: str
    reason: str


@dataclass(frozen=True)
class ChangeRow:
    """One row of the table of a counterfactual, as text."""

    motion: str
    curve: str
    phase: str
    before: str
    after: str
    change: str
    norm: str
    detectable: str
    is_detectable: bool
    follows: bool  # adjusted to keep the feet on the floor


@dataclass(frozen=True)
class CounterfactualSection:
    """A counterfactual walk, as text."""

    title: str
    sentences: Sequence[str]
    rows: Sequence[ChangeRow]


def evidence_page(content: EvidenceContent) -> str:
    """Return the page as HTML."""
    evidence = content.evidence
    charts = frozenset(
        chart_name(row.curve, side)
        for row in content.charts
        for side, chart in zip(SIDES, row.charts, strict=True)
        if chart is not None
    )
    pictures = {number: moment for moment in content.moments for number in moment.numbers}
    counterfactual = evidence.counterfactual
    noticed, unnoticed = _blind_spots(content)
    return render(
        "evidence.html.jinja",
        content=content,
        evidence=evidence,
        decision=decision(evidence),
        headline=decision_sentence(evidence.probability),
        box=list(summarize(evidence, content.tested, content.parameters, content.axis_names)),
        subject=evidence.subject.partition("/")[2] or evidence.subject,
        label=evidence.subject.partition("/")[0] if "/" in evidence.subject else "",
        summary=[(verdict.value, _CLASSES[verdict], text) for verdict, text in summarize_findings(evidence.findings)],
        rows=[
            _row(number, finding, content, charts, has_picture=number in pictures)
            for number, finding in enumerate(evidence.findings, start=1)
        ],
        relied_on=relied_on_sentence(evidence),
        remaining=remaining_evidence(evidence),
        meanings=[
            (verdict.value, _CLASSES[verdict], MEANINGS[verdict])
            for verdict in Verdict
            if any(finding.verdict == verdict for finding in evidence.findings)
        ],
        counterfactual=counterfactual,
        answers=counterfactual_sentences(evidence),
        walks=list(_walks(content, charts)),
        noticed=noticed,
        unnoticed=unnoticed,
        pictures=[
            (
                moment,
                f"{moment.frame / content.rate_hz:.2f} s",
                png_url(moment.png),
                _captions(moment, evidence.findings),
            )
            for moment in content.moments
        ],
        changed=None if content.changed is None else png_url(content.changed.png),
        changed_time="" if content.changed is None else f"{content.changed.frame / content.rate_hz:.2f} s",
        concepts=concept_chart(evidence.concepts) if evidence.concepts else "",
        disagree=any(each.networks_agree is False for each in evidence.concepts),
        faithfulness=faithfulness_sentence(evidence),
    )


def _row(
    number: int, finding: Finding, content: EvidenceContent, charts: frozenset[str], *, has_picture: bool
) -> VerdictRow:
    seconds = f"{finding.frame / content.rate_hz:.2f}"
    observed = math.isfinite(finding.value_deg)
    used = finding.verdict != Verdict.IGNORED
    return VerdictRow(
        number=number,
        motion=capitalize(finding.motion),
        curve=_link(content, finding, charts),
        phase=finding.phase,
        percents=f"{finding.percents[0]}–{finding.percents[1]} %",
        time=f"{seconds} s",
        moment=f"{content.walk_page}#t={seconds}" if content.walk_page else f"#moment-{number}" if has_picture else "",
        used_in=f"most evidence in {finding.phases[0]}" if finding.phases[:1] not in ((), (finding.phase,)) else "",
        share=format_percent(finding.share) if used else "–",
        without=_without(number, finding),
        relied_on=finding.relied_on,
        speaks_for=("sick" if finding.attribution > 0 else "healthy") if used and finding.attribution else "",
        value=_with_error(finding.value_deg, ERROR_FACTOR * finding.error_deg),
        at=f"at {finding.percent} %" if observed else "",
        norm=_with_error(finding.norm_deg, finding.norm_sd_deg),
        sds=format_number(finding.sds, 1, signed=True),
        difference=format_deg(finding.value_deg - finding.norm_deg, signed=True),
        outside=f"{format_deg(finding.outside_deg)} outside the band" if finding.outside_deg > 0 else "",
        verdict=finding.verdict.value,
        verdict_class=_CLASSES[finding.verdict],
        reason=with_true_minus(finding.reason),
    )


def _without(number: int, finding: Finding) -> str:
    if not math.isfinite(finding.probability_without):
        return ""
    return (
        f"P(sick) {format_probability(finding.probability_without)} without {'it' if number == 1 else f'1 to {number}'}"
    )


def _walks(content: EvidenceContent, charts: frozenset[str]) -> list[CounterfactualSection]:
    counterfactual = content.evidence.counterfactual
    if counterfactual is None:
        return []
    sections = []
    for title, which, walk in (
        ("Across the border", "The smallest change", counterfactual.boundary),
        ("A larger change, until the output reaches the controls’ median", "The larger change", counterfactual.median),
    ):
        if walk is not None:
            rows = [
                ChangeRow(
                    motion=capitalize(change.motion),
                    curve=_link(content, change, charts),
                    phase=f"{change.phase}, {change.percent} %",
                    before=_with_error(change.from_deg, ERROR_FACTOR * change.error_deg),
                    after=format_deg(change.to_deg),
                    change=format_deg(changed_by(change), signed=True),
                    norm=_with_error(change.norm_deg, change.norm_sd_deg),
                    detectable=format_deg(detectable_deg(change)),
                    is_detectable=not abs(change.change_deg) <= detectable_deg(change),
                    follows=change.follows,
                )
                for change in walk.changes
            ]
            sections.append(CounterfactualSection(title, describe_walk(walk, counterfactual.probability, which), rows))
    return sections


def _blind_spots(content: EvidenceContent) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the motions of which a change alone changes the decision, the smallest change first, and all others."""
    found = content.evidence.counterfactual
    if found is None or not content.axis_names:
        return [], []
    named = [(content.axis_names[joint][axis], degrees) for (joint, axis), degrees in found.blind_spots_deg.items()]
    noticed = sorted((each for each in named if math.isfinite(each[1])), key=lambda each: each[1])
    return (
        [(capitalize(name), _up_to(degrees)) for name, degrees in noticed],
        [name for name, degrees in named if not math.isfinite(degrees)],
    )


def _up_to(degrees: float) -> str:
    return f"up to {format_deg(degrees, 0)}" if degrees >= 1 else "of less than 1°"


def _captions(moment: Moment, findings: Sequence[Finding]) -> list[tuple[int, str]]:
    return [(number, f"{findings[number - 1].motion}, {findings[number - 1].phase}") for number in moment.numbers]


def _with_error(value: float, error: float) -> str:
    """Return "38.1° ± 0.6°"; "not observed" without a value."""
    if not math.isfinite(value):
        return "–"
    return f"{format_deg(value)} ± {format_deg(error)}" if math.isfinite(error) else format_deg(value)


def _link(content: EvidenceContent, motion: Finding | CurveChange, charts: frozenset[str]) -> str:
    """Return the link to the chart of a motion; "" without one."""
    name = "" if content.curves is None else chart_name(content.curves.name_of(motion), motion.side)
    return f"#{name}" if name in charts else ""
