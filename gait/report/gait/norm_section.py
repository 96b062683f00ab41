"""What a page says of norms: where curves leave them, scores, what speed explains, and whose the norms are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gait.kinematics.gait_events import SIDES
from gait.kinematics.joint_angles import ANGLES
from gait.kinematics.norm_comparison import (
    ERROR_FACTOR,
    MIN_PERCENTS,
    SDS_OF_FINDINGS,
    Deviation,
    NormComparison,
    describe_nearest_speed,
)
from gait.kinematics.norms import GDI_ANGLES, NormSource
from gait.kinematics.scores import THRESHOLDS, SpeedSplit
from gait.report.gait.curve_grid import AXES
from gait.report.gait.norm_set import NormResults, NormSet
from gait.report.gait.svg_chart import Bar, BarGroup, bar_chart
from gait.text import format_number

_WHOLE = {"left": "Left", "right": "Right", "overall": "Both sides"}


@dataclass(frozen=True)
class ScoreTable:
    """Scores against one norm, as text."""

    title: str
    of_whom: str
    chart: Markup
    rows: tuple[tuple[str, ...], ...]  # angle, left, right, the norm's persons
    gps: tuple[tuple[str, str], ...]  # "Left", "Right", "Both sides" and the score
    missing: str  # angles without a score
    split: tuple[tuple[str, ...], ...]  # side; total, explained by speed, beyond; empty if not by speed
    notes: tuple[str, ...]


def describe_band(comparison: NormComparison) -> str:
    """Return whose band the curves are beside, and what it promises."""
    norm = comparison.curves
    if norm.band == "prediction" and norm.coverage is not None:
        promise = (
            "a new person’s whole curve of an angle lies inside the band with a probability of "
            f"{100 * norm.coverage:.0f} %; darker: mean ± 1 SD"
        )
    else:
        promise = "mean ± 1 SD at each percent; about half of healthy persons leave it somewhere"
    source = norm.source
    return f"{source.title}: {source.of_whom}, {describe_persons(source)}{describe_speed(comparison)}; {promise}."


def describe_persons(source: NormSource) -> str:
    """Return how many persons a norm is of."""
    return "number of persons not stated" if source.persons is None else f"{source.persons} persons"


def describe_speed(comparison: NormComparison) -> str:
    """Return at which walking speed the curves of a norm hold, as the rest of a sentence; empty if not by speed."""
    if comparison.norm.speed_range is None:
        return ""
    if comparison.at_own_speed:
        return ", at this subject’s speed"
    if math.isnan(comparison.speed):
        return ", at their own pace, because this subject’s speed or leg length is unknown"
    return f", {describe_nearest_speed(comparison.norm, comparison.speed)}"


def describe_rule(comparison: NormComparison) -> str:
    """Return when a deviation from the norm is marked."""
    limit = (
        f"mean ± {SDS_OF_FINDINGS:g} SD of the norm" if comparison.curves.band == "one_sd" else "the band of the norm"
    )
    return (
        f"Marked is where a mean curve is beyond {limit} by more than its own 95 % error ({ERROR_FACTOR:g} standard "
        f"errors of the fit), for at least {MIN_PERCENTS} % of the cycle. Each curve is judged by itself, so that "
        "of all curves of a healthy person some may be marked."
    )


def describe_untested(comparison: NormComparison) -> str:
    """Return which curves cannot be marked, as their error is unknown; empty if there is none."""
    if not comparison.untested:
        return ""
    if len(comparison.untested) == len(comparison.compared):
        return "The fit stores no error of these curves, so nothing is marked. Fit the trials again to have it."
    return f"Not marked, because their error is unknown: {_angle_names(comparison.untested)}."


def describe_deviation(deviation: Deviation) -> str:
    """Return one finding as a sentence without its subject: the part of the cycle, direction, size and error."""
    definition = next(each for each in ANGLES if each.name == deviation.angle)
    above = deviation.largest_deg > 0
    direction = definition.positive if above else definition.negative
    return (
        f"{AXES[deviation.angle].title}, {deviation.first_percent} to {deviation.last_percent} % of the cycle: "
        f"{'above' if above else 'below'} the norm (direction: {direction}), up to "
        f"{abs(deviation.largest_deg):.1f}° beyond its limit at {deviation.largest_percent} %; 95 % error ± "
        f"{deviation.error_deg:.1f}°"
    )


def score_tables(results: NormResults, norms: NormSet) -> list[ScoreTable]:
    """Return the scores of a subject against each norm."""
    return [_score_table(comparison, results, norms) for comparison in results.comparisons]


def norm_rows(norms: NormSet) -> list[tuple[str, str, str, str, str]]:
    """Return title, of whom, number of persons, source with licence, and notes of each reference."""
    sources = [norm.source for norm in norms.norms]
    sources += [reference.source for reference in norms.gdi]
    return [
        (each.title, each.of_whom, "not stated" if each.persons is None else str(each.persons),
         f"{each.source}. Licence: {each.licence}", " ".join(filter(None, (each.changes, each.notes))))
        for each in sources
    ]  # fmt: skip


def threshold_lines() -> list[str]:
    """Return the published limits of scores, with whom they hold for."""
    return [
        f"{each.score} {each.value:g}{each.unit}: {each.meaning}. Holds for {each.holds_for} ({each.source})."
        for each in THRESHOLDS
    ]


def _score_table(comparison: NormComparison, results: NormResults, norms: NormSet) -> ScoreTable:
    profile, reference = comparison.profile, comparison.reference_gvs_deg
    shown = [angle for angle in GDI_ANGLES if any(math.isfinite(profile.gvs_deg[angle, side]) for side in SIDES)]
    split = comparison.split
    source = comparison.curves.source
    return ScoreTable(
        title=source.title,
        of_whom=f"{source.of_whom}, {describe_persons(source)}{describe_speed(comparison)}",
        chart=_profile_chart(comparison),
        rows=tuple(
            (AXES[angle].title, *(format_number(profile.gvs_deg[angle, side], 1) for side in SIDES),
             format_number(reference.get(angle, math.nan), 1))
            for angle in shown
        ),
        gps=tuple((_WHOLE[side], format_number(profile.gps_deg[side], 1)) for side in (*SIDES, "overall")),
        missing=_angle_names(profile.missing),
        split=() if split is None else _split_rows(split),
        notes=tuple(_notes(comparison, results, norms)),
    )  # fmt: skip


def _split_rows(split: SpeedSplit) -> tuple[tuple[str, ...], ...]:
    parts = split.gps_total_deg, split.gps_explained_deg, split.gps_beyond_deg
    return tuple((_WHOLE[side], *(format_number(gps[side], 1) for gps in parts)) for side in (*SIDES, "overall"))


def _notes(comparison: NormComparison, results: NormResults, norms: NormSet) -> Iterator[str]:
    without = comparison.profile.gps_without_offsets_deg["overall"]
    if math.isfinite(without):
        yield (
            "Without the mean difference of each angle over the cycle, which depends on landmarks most, the overall "
            f"GPS is {without:.1f}°."
        )
    norm, split = norms.controls, comparison.split
    if norm is None or comparison.norm is not norms.controls:
        return
    persons = f"{100 * norm.coverage:.0f} % of persons like the controls"
    low, high = norm.gps_range()
    if math.isfinite(low):
        total = (split.gps_total_deg if split is not None else comparison.profile.gps_deg)["overall"]
        yield (
            f"{persons}, at their own pace, have an overall GPS from {low:.1f}° to {high:.1f}°; against that norm this "
            f"subject has {format_number(total, 1)}°."
        )
    if split is not None:
        low, high = norm.gps_range(speed=split.speed)
        if math.isfinite(low):
            speed = "this subject’s speed" if comparison.at_own_speed else f"dimensionless speed {split.speed:.2f}"
            beyond = format_number(split.gps_beyond_deg["overall"], 1)
            yield (
                f"{persons} who walk at {speed} have one from {low:.1f}° to {high:.1f}°; against the norm at this "
                f"speed the subject has {beyond}°."
            )
    if results.own_profile is not None:
        gps = format_number(results.own_profile.gps_deg["overall"], 1)
        yield (
            "This subject is one of these controls, so the scores above are partly against itself. Against the other "
            f"controls its overall GPS is {gps}°."
        )


def _profile_chart(comparison: NormComparison) -> Markup:
    """Return the Movement Analysis Profile: GVS of each angle and side, then GPS (Baker et al. 2009)."""
    profile, reference = comparison.profile, comparison.reference_gvs_deg
    groups = [
        BarGroup(
            AXES[angle].title,
            [Bar(side, profile.gvs_deg[angle, side], reference.get(angle, math.nan)) for side in SIDES],
        )
        for angle in GDI_ANGLES
    ]
    whole = comparison.reference_gps_deg
    gps = [Bar(side, profile.gps_deg[side], whole) for side in SIDES]
    groups.append(BarGroup("GPS", [*gps, Bar("both", profile.gps_deg["overall"], whole)]))
    return bar_chart(groups, "°", f"Movement Analysis Profile against {comparison.curves.source.title}")


def _angle_names(keys: Sequence[tuple[str, str]]) -> str:
    """Return angles in words, with the side if it is one alone: "knee flexion, foot progression (left)"."""
    sides: dict[str, list[str]] = {}
    for angle, side in keys:
        sides.setdefault(AXES[angle].title.lower(), []).append(side)
    return ", ".join(title if len(own) == len(SIDES) else f"{title} ({own[0]})" for title, own in sides.items())


def gdi_lines(results: NormResults) -> list[str]:
    """Return the Gait Deviation Index of both sides against each reference, one sentence each."""
    lines = []
    for each in results.gdi:
        sides = ", ".join(f"{side} {format_number(value, 0)}" for side, value in each.gdi.items())
        missing = "" if all(map(math.isfinite, each.gdi.values())) else " It needs nine angles, all observed."
        lines.append(f"{each.source.title} ({each.source.of_whom}): {sides}.{missing}")
    return lines


def scores_line(results: NormResults) -> str:
    """Return the overall GPS and the first GDI with those of the norm, for the head of a page; "" without both."""
    parts = []
    if (drawn := results.drawn) is not None and math.isfinite(gps := drawn.profile.gps_deg["overall"]):
        norm = format_number(drawn.reference_gps_deg, 1)
        parts.append(f"Gait Profile Score of both sides {gps:.1f}° (persons of the norm {norm}°)")
    if results.gdi and any(map(math.isfinite, results.gdi[0].gdi.values())):
        sides = ", ".join(f"{side} {format_number(value, 0)}" for side, value in results.gdi[0].gdi.items())
        parts.append(f"Gait Deviation Index {sides} (norm 100)")
    return "; ".join(parts)
