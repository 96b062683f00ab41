"""Figure of cohort attributions: group means, representative and most uncertain subjects, and all predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gait.body.skeleton import BODY_JOINTS, HEAD_TO_FEET, display_names
from gait.explaining.explain_cohort import CohortAttribution, CohortSummary
from gait.explaining.group_attribution import GroupAttribution, GroupComparison, SubjectAttribution
from gait.explaining.methods import METHODS
from gait.files.atomic_write import atomic_file
from gait.learning.metrics import THRESHOLD
from gait.learning.networks import NETWORKS
from gait.motion.inputs import INPUTS, PUBLISHED
from gait.motion.trial_paths import LABEL_NOUNS
from gait.report.figure_style import INK, MUTED
from gait.report.heatmaps import (
    FOR_HEALTHY,
    FOR_SICK,
    STYLE,
    draw_colorbar,
    draw_heatmap,
    figure_png,
    label_joints,
)
from gait.text import format_probability, pluralize, truncate
from gait.viewing.colours import Scale, attribution_scale

_INCHES = (17.0, 11.6)
_DPI = 100
_LEFT, _STEP, _WIDTH = 0.104, 0.166, 0.156
_ROWS = (0.502, 0.060)  # bottoms
_HEIGHT = 0.338
_NUM_LINES = 3  # below the title; more are set more closely
_MAX_NAMES = 12
MAX_RECURRING = 5
"""Findings that recur and are stated; tables have all."""
_MAX_NAME_LENGTH = 22
_TITLES = {
    "healthy": "Controls",
    "sick": "Patients",
    "correct": "Classified correctly",
    "incorrect": "Misclassified",
}
_UNIT = "× mean |attribution| of the network"


def write_cohort_figure(cohort: CohortAttribution, file: Path) -> CohortSummary:
    """Draw the attributions of a cohort, and return the representative and most uncertain subjects.

    Raises:
        GaitError: the file cannot be written.
    """
    summary = CohortSummary.of(cohort)
    title, correct = cohort_title(cohort)
    lines = [
        correct,
        f"{METHODS[cohort.method].title}, mean by joint and phase of the gait cycle: joints of the left side and the "
        "trunk over the cycle of the left foot, joints of the right side over that of the right foot.",
        "Attributions describe the network; they are no diagnosis, and few subjects give weak evidence.",
    ]
    if observation := _observation_lines(cohort):
        lines.append(" ".join(observation))
    with atomic_file(file) as partial:
        partial.write_bytes(draw_cohort_figure(cohort.comparison, cohort.signed, title, lines, cohort.input))
    return summary


def cohort_title(cohort: CohortAttribution) -> tuple[str, str]:
    """Return a title, and a sentence on the number of correctly classified subjects."""
    summary = CohortSummary.of(cohort)
    return (
        f"Attribution of the {NETWORKS[cohort.network].title}, {summary.num_subjects} subjects",
        f"{summary.num_correct} of {summary.num_subjects} classified correctly, each by the network of the fold that "
        "was not trained on the subject.",
    )


def cohort_sentences(summary: CohortSummary) -> tuple[str, ...]:
    """Return the representative and most uncertain subjects, one sentence per subject."""
    found = {f"representative {LABEL_NOUNS[label]}": one for label, one in summary.representative.items()}
    found["uncertain subject"] = summary.most_uncertain
    return (
        *(
            f"Most {what}: {one['subject']}, P(sick) {format_probability(one['probability'])}."
            for what, one in found.items()
        ),
        *recurrence_sentences(summary),
    )


def recurrence_sentences(summary: CohortSummary) -> tuple[str, ...]:
    """Return which findings recur in patients and not in controls, one sentence each; none without evidence."""
    if summary.recurrences is None:
        return ()
    if not summary.recurrences:
        return ("No decision relies on a real deviation from the norm.",)
    found = [row for row in summary.recurrences if row["recurs"]]
    if not found:
        return (
            f"Of {pluralize(len(summary.recurrences), 'real deviation')} on which decisions rely, none is more "
            "frequent in patients than in controls (Fisher’s exact test, corrected p below 0.05).",
        )
    return tuple(
        f"Recurs in patients: {row['motion']} in {row['phase']}, {row['direction']} the norm: "
        f"{format_proportion(row, 'patients')} of the patients, {format_proportion(row, 'controls')} of the controls; "
        f"corrected p = {row['p_corrected']:.2g}."
        for row in found[:MAX_RECURRING]
    )


def format_proportion(row: Mapping[str, Any], group: str) -> str:
    """Return "7 of 8 (95 % CI 53 to 98 %)"; ``row`` is one of ``CohortSummary.recurrences``."""
    low, high = (100 * row[f"{group}_{end}"] for end in ("low", "high"))
    return f"{row[group]} of {row[f'num_{group}']} (95 % CI {low:.0f} to {high:.0f} %)"


def draw_cohort_figure(
    comparison: GroupComparison, signed: bool, title: str, lines: Sequence[str], input: str = PUBLISHED
) -> bytes:
    """Draw the figure of a cohort, with lines below its title, as a PNG file.

    ``signed`` is True if the attribution has a sign (evidence for either class); ``input`` is that of the network.
    """
    groups = [group.attribution for group in comparison.groups.values()]
    scale = attribution_scale(groups, signed)
    with rc_context(STYLE):
        fig = Figure(figsize=_INCHES, dpi=_DPI, facecolor="white")
        fig.text(0.02, 0.976, title, fontsize=19, fontweight="bold", va="top")
        for k, line in enumerate(lines):
            y = (0.938 - 0.020 * k) if len(lines) <= _NUM_LINES else (0.944 - 0.0175 * k)
            fig.text(0.02, y, line, fontsize=11, color=INK if k == 0 else MUTED, va="top")

        def add_panel(row: int, column: float, width: float = _WIDTH) -> Axes:
            return fig.add_axes((_LEFT + column * _STEP, _ROWS[row], width, _HEIGHT))

        def leave_empty(axes: Axes, heading: str) -> None:
            axes.axis("off")
            axes.text(0.5, 0.5, f"{heading}:\nnone", ha="center", va="center", color=MUTED, fontsize=11)

        def draw_panel(
            axes: Axes,
            attribution: NDArray[np.float64],
            heading: str,
            subtitle: str,
            show_joints: bool,
            own_scale: Scale = scale,
        ) -> None:
            known = np.isfinite(attribution).any(axis=0) | np.isnan(attribution).all()  # or has no stride at all
            explainable = np.tile(known, (len(attribution), 1))
            draw_heatmap(axes, attribution, own_scale, (0.0, 100.0), explainable=explainable)
            label_joints(axes, shown=show_joints, names=INPUTS[input].part_names)
            axes.set_xticks([0, 25, 50, 75])
            axes.set_title(f"{heading}\n", fontweight="bold")
            axes.text(0, 1.012, subtitle, transform=axes.transAxes, fontsize=9.5, color=MUTED, va="bottom")

        for column, group in enumerate(_TITLES):
            axes = add_panel(0, column)
            if group in comparison.groups:
                own = comparison.groups[group]
                count = len(own.subjects)
                draw_panel(axes, own.attribution, _TITLES[group], f"mean of {pluralize(count, 'subject')}", column == 0)
                _label_counts(axes, own)
            else:
                leave_empty(axes, _TITLES[group])
        if "healthy" in comparison.groups and "sick" in comparison.groups:
            difference = comparison.groups["sick"].attribution - comparison.groups["healthy"].attribution
            difference_scale = attribution_scale([difference], signed=True)
            draw_panel(
                add_panel(0, 4),
                difference,
                "Patients minus controls",
                f"orange: higher in patients; scale ±{difference_scale.high:.2g}",
                False,
                difference_scale,
            )
        chosen = [("Representative control", comparison.representative.get("healthy"))]
        chosen += [("Representative patient", comparison.representative.get("sick"))]
        chosen += [("Most uncertain subject", comparison.most_uncertain)]
        for column, (heading, subject) in enumerate(chosen):
            axes = add_panel(1, column)
            if subject is None:
                leave_empty(axes, heading)
            else:
                name = truncate(subject.subject.partition("/")[2], _MAX_NAME_LENGTH)
                about = f"{name}, P(sick) {format_probability(subject.probability)}"
                draw_panel(axes, subject.attribution, heading, about, column == 0)
                axes.set_xlabel("% of the gait cycle")
        _draw_predictions(add_panel(1, 3.25, 1.7 * _STEP), comparison.subjects)
        draw_colorbar(fig, (0.958, _ROWS[0] + 0.04, 0.011, _HEIGHT - 0.08), scale, signed, _UNIT)
        return figure_png(fig)


def _label_counts(axes: Axes, group: GroupAttribution) -> None:
    """Write into the row of each joint that not all subjects observe how many do."""
    for row, joint in enumerate(HEAD_TO_FEET):
        if 0 < group.num_subjects[joint] < group.num_subjects.max():
            label = axes.text(99, row, f"n = {group.num_subjects[joint]}", ha="right", va="center", fontsize=7)
            label.set_bbox({"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75})


def _observation_lines(cohort: CohortAttribution) -> list[str]:
    """Return sentences on joints that the network leaves out or that some subjects do not observe; usually none."""
    left_out, everyone = {*cohort.left_out_joints}, cohort.comparison.all_subjects.num_subjects
    fewer = {joint for joint in BODY_JOINTS if everyone[joint] < everyone.max() and joint not in left_out}
    lines = []
    if left_out:
        lines.append(f"Not used by this network, as some trials do not observe them: {display_names(left_out)}.")
    if fewer:
        lines.append(f"Means of {display_names(fewer)} are over the n subjects whose trials observe them.")
    return lines


def _draw_predictions(axes: Axes, subjects: Sequence[SubjectAttribution]) -> None:
    """Draw P(sick) of all subjects, and list the misclassified ones by name."""
    axes.plot([THRESHOLD] * 2, [-0.5, 1.5], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    for row, (sick, colour) in enumerate(((False, FOR_HEALTHY), (True, FOR_SICK))):
        own = sorted((one for one in subjects if one.sick == sick), key=lambda one: one.subject)
        spread = np.linspace(-0.28, 0.28, len(own)) if len(own) > 1 else np.zeros(1)
        for offset, one in zip(spread, own, strict=False):
            axes.plot(
                one.probability, row + offset, "o", markersize=5.5, markeredgecolor=colour,
                markerfacecolor=colour if one.correct else "white", clip_on=False,
            )  # fmt: skip
    wrong = [
        f"{truncate(one.subject, _MAX_NAME_LENGTH + 8)}, {one.probability:.2f}" for one in subjects if not one.correct
    ]
    more = len(wrong) - _MAX_NAMES
    listed = wrong[:_MAX_NAMES] + ([f"and {more} more"] if more > 0 else [])
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(3.4, -0.6)
    axes.set_yticks([0, 1], ["controls", "patients"])
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    axes.set_xlabel("P(sick); open markers: misclassified")
    axes.set_title("All subjects\n", fontweight="bold")
    note = "misclassified:\n" + "\n".join(listed) if listed else "no subject was misclassified"
    axes.text(0.0, 1.62, note, fontsize=9, va="top", color=INK)
