"""The page of one subject's gait analysis: the data of ``templates/subject.html.jinja``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gait.body.skeleton import display_names
from gait.kinematics.gait_events import SIDES, GaitEvents
from gait.kinematics.joint_angles import ANGLES
from gait.kinematics.spatiotemporal import PARAMETERS
from gait.kinematics.strides import ExcludedStride
from gait.report.gait.curve_grid import AXES, PLANES, subject_grids
from gait.report.gait.measured_subject import MeasuredSubject
from gait.report.gait.norm_section import (
    describe_band,
    describe_deviation,
    describe_rule,
    describe_untested,
    gdi_lines,
    norm_rows,
    score_tables,
    scores_line,
    threshold_lines,
)
from gait.report.gait.norm_set import NormResults, NormSet, ParameterReference
from gait.report.gait.numbers import format_value, shown_unit
from gait.report.render import render
from gait.report.unobserved_text import describe_unobserved
from gait.text import format_number, with_true_minus


def subject_page(
    subject: MeasuredSubject, results: NormResults, norms: NormSet, cohort_page: str, tables: Sequence[str]
) -> str:
    """Return the page as HTML.

    Args:
        subject: the analysis.
        results: what the norms say of the subject.
        norms: the norms.
        cohort_page: link to the page of the cohort.
        tables: names of the files of tables beside the page.
    """
    analysis, drawn = subject.analysis, results.drawn
    return render(
        "subject.html.jinja",
        subject=subject,
        analysis=analysis,
        cohort_page=cohort_page,
        tables=tables,
        speed=_value(subject, "walking_speed"),
        cadence=_value(subject, "cadence"),
        leg_length=format_number(analysis.parameters.leg_length_m, 2),
        dimensionless_speed=format_number(subject.dimensionless_speed, 2),
        not_observed=list(_not_observed(subject)),
        excluded=[_excluded_line(each) for each in analysis.curves.excluded],
        event_notes=[
            (trial.trial, _sources(trial.events), [with_true_minus(note) for note in trial.events.notes])
            for trial in analysis.trials
            if any(trial.quality.num_strides.values())
        ],
        planes=PLANES,
        grids=subject_grids(analysis, drawn) if any(subject.num_strides.values()) else (),
        band="" if drawn is None else describe_band(drawn),
        rule="" if drawn is None else describe_rule(drawn),
        untested="" if drawn is None else describe_untested(drawn),
        is_control_of_norm=results.own_profile is not None and norms.controls is not None
        and drawn is not None and drawn.norm is norms.controls,
        any_tested=drawn is not None and len(drawn.untested) < len(drawn.compared),
        deviations={
            side: [describe_deviation(each) for each in drawn.deviations if each.side == side] for side in SIDES
        } if drawn is not None else {},
        scores=score_tables(results, norms),
        has_errors=bool(analysis.mean_errors_deg),
        gdi=gdi_lines(results),
        scores_line=scores_line(results),
        thresholds=threshold_lines(),
        norms=norm_rows(norms),
        signs=[(AXES[each.name].title, each.positive, each.negative) for each in ANGLES],
        parameter_title=norms.parameter_title,
        parameters=_parameter_rows(subject, norms),
        differences=list(_difference_rows(subject)),
        num_trials=len(analysis.trials),
    )  # fmt: skip


@dataclass(frozen=True)
class ParameterRow:
    """One row of the table of parameters, as text."""

    title: str
    unit: str
    description: str
    cells: tuple[tuple[str, str, int], ...]  # mean, SD and number of strides, by side or of both sides
    symmetry: str  # percent
    norm: str  # mean ± SD and number of own controls; empty without them


def _parameter_rows(subject: MeasuredSubject, norms: NormSet) -> list[ParameterRow]:
    parameters = subject.analysis.parameters
    symmetry = {each.name: each.index_percent for each in subject.analysis.parameter_symmetry}
    rows = []
    for each in PARAMETERS:
        cells = tuple(
            (
                format_value(each.name, parameters.mean(each.name, side)),
                format_value(each.name, parameters.sd(each.name, side)),
                parameters.count(each.name, side),
            )
            for side in SIDES
        )
        if any(count for _, _, count in cells):
            index = format_number(symmetry.get(each.name, math.nan), 0, signed=True)
            norm = _norm(each.name, norms.parameters.get(each.name))
            rows.append(ParameterRow(each.title, shown_unit(each.name), each.description, cells, index, norm))
    return rows


def _difference_rows(subject: MeasuredSubject) -> Iterator[tuple[str, ...]]:
    """Yield the asymmetry of each angle, and its standard deviations between strides and between trials."""
    analysis = subject.analysis
    symmetry = {each.name: each for each in analysis.curve_symmetry}
    repeatability = {(each.name, each.side): each for each in analysis.repeatability}
    for name, axis in AXES.items():
        own = [repeatability.get((name, side)) for side in SIDES]
        within = [math.nan if each is None else each.within_trial_rms_deg for each in own]
        between = [math.nan if each is None else each.between_trials_rms_deg for each in own]
        found = symmetry.get(name)
        if found is None and not np.isfinite([*within, *between]).any():
            continue
        differences = ["–"] * 4
        if found is not None:
            differences = [
                format_number(found.rms_deg, 1),
                format_number(found.offset_deg, 1, signed=True),
                format_number(found.range_difference_deg, 1, signed=True),
                f"{format_number(found.max_difference_deg, 1, signed=True)} at {found.max_difference_percent} %",
            ]
        spreads = [", ".join(format_number(value, 1) for value in values) for values in (within, between)]
        if len(analysis.trials) < 2:
            spreads.pop()  # the one between trials
        yield axis.title, *differences, *spreads


def _norm(parameter: str, reference: ParameterReference | None) -> str:
    if reference is None:
        return ""
    mean, sd = (format_value(parameter, value) for value in (reference.mean, reference.sd))
    return f"{mean} ± {sd} ({reference.persons})"


def _value(subject: MeasuredSubject, name: str) -> str:
    return f"{format_value(name, subject.analysis.parameters.mean(name, 'both'))} {shown_unit(name)}"


def _not_observed(subject: MeasuredSubject) -> Iterator[tuple[str, str]]:
    """Yield what the markers of trials do not observe, and the trials; trials with the same text together."""
    texts: dict[str, list[str]] = {}
    for trial in subject.analysis.trials:
        report = subject.reports.get(trial.trial)
        text = describe_unobserved(report) if report is not None else display_names(trial.quality.unobserved)
        if text:
            texts.setdefault(text, []).append(trial.trial)
    for text, trials in texts.items():
        yield text, "all trials" if len(trials) == len(subject.analysis.trials) else ", ".join(trials)


def _excluded_line(excluded: ExcludedStride) -> str:
    """Return why a stride does not count, in words."""
    name, value, limit = excluded.stride.name, excluded.value, excluded.limit
    if excluded.reason == "turn":
        return f"{name}: turns by {value:.0f}°; straight walking turns by at most {limit:.0f}°"
    if excluded.reason == "rise":
        return f"{name}: rises or sinks by {100 * value:.0f} cm; a level floor allows {100 * limit:.0f} cm"
    if excluded.reason == "stride_time":
        bound = "most" if value > limit else "least"
        return f"{name}: lasts {value:.2f} s; the others of this side at {bound} {limit:.2f} s"
    title = AXES[excluded.reason].title if excluded.reason in AXES else excluded.reason.replace("_", " ")
    angle = title[:1].lower() + title[1:]
    return f"{name}: differs in {angle} by {value:.1f}° from the median stride; the limit is {limit:.1f}°"


def _sources(events: GaitEvents) -> str:
    """Return how many events are of which source, in words."""
    counts = Counter(
        source
        for frames, sources in (
            (events.initial_contacts, events.contact_sources),
            (events.foot_offs, events.off_sources),
        )
        for side in SIDES
        for source in (sources.get(side) or ("kinematics",) * len(frames[side]))
    )
    return ", ".join(f"{source} {count}" for source, count in counts.most_common()) or "none"
