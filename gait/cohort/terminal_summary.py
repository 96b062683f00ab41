"""The summary that a run prints at its end: a table with one row per trial, counts, and problems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gait.cohort.trial_folder import TrialOutcome
from gait.fitting.fit_report import FitReport, format_frame_runs
from gait.motion.trial_paths import SEGMENT_PREFIX
from gait.report.unobserved_text import describe_unobserved

MAX_PLAUSIBLE_RESIDUAL_MM = 12.0
"""A larger mean residual means that a recording has wrong labels, units or subject."""

MAX_PLAUSIBLE_RESIDUAL_OF_CENTRES_MM = 30.0
"""The same of joint centres that cameras without markers estimate."""

_HEADER = ("subject", "trial", "frames", "mean mm", "worst frame mm", "offset mm", "worst markers", "frames/s")


def format_summary(outcomes: Sequence[TrialOutcome], save_folder: Path) -> list[str]:
    """Return the lines of the summary: table, counts, warnings, and the reason of each failure."""
    rows = [_HEADER, *(_row(outcome) for outcome in outcomes)]
    doubts = ["" if outcome.report is None else describe_unobserved(outcome.report) for outcome in outcomes]
    if any(doubts):
        rows = [(*row, doubt) for row, doubt in zip(rows, ("not known", *doubts), strict=True)]
    width = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    left = {0, 1, 6, 8}
    lines = [
        "  ".join(
            cell.ljust(w) if k in left else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, width, strict=True))
        )
        for row in rows
    ]
    count = {state: sum(o.state == state for o in outcomes) for state in ("fitted", "already finished", "failed")}
    counts = ", ".join(f"{number} {state}" for state, number in count.items())
    lines += ["", f"{counts}; results in {save_folder}"]
    reported = [(o, o.report) for o in outcomes if o.report is not None]
    lines += [
        _residual_warning(o, report)
        for o, report in reported
        if (report.residual_mm["mean"] or 0) > _max_plausible_residual_mm(report)
    ]
    lines += [f"warning: {o.subject}/{o.trial}: {text}" for o, report in reported for text in report.warnings]
    lines += [
        f"marker error: {o.subject}/{o.trial}: {error.message}"
        for o, report in reported
        for error in report.marker_errors
    ]
    lines += [_split_notice(o, report) for o, report in reported if len(report.segments) > 1]
    lines += [f"failed: {o.subject}/{o.trial}: {o.message}" for o in outcomes if o.state == "failed"]
    lines += list(dict.fromkeys(text for o in outcomes if o.state != "failed" for text in o.message.splitlines()))
    return [line.rstrip() for line in lines]


def _max_plausible_residual_mm(report: FitReport) -> float:
    centres = any(marker["kind"] == "joint_centre" for marker in report.markers.values())
    return MAX_PLAUSIBLE_RESIDUAL_OF_CENTRES_MM if centres else MAX_PLAUSIBLE_RESIDUAL_MM


def _residual_warning(outcome: TrialOutcome, report: FitReport) -> str:
    return (
        f"high residual: {outcome.subject}/{outcome.trial}: {report.residual_mm['mean']:.0f} mm mean residual, "
        f"worst {', '.join(report.worst_markers)}; check fit.png, the marker labels, and the notes in fit_report.json."
    )


def _split_notice(outcome: TrialOutcome, report: FitReport) -> str:
    return (
        f"split: {outcome.subject}/{outcome.trial}: the markers do not determine the body in frames "
        f"{format_frame_runs(report.excluded_frames)}; {SEGMENT_PREFIX}1 to {SEGMENT_PREFIX}{len(report.segments)} are "
        f"frames {format_frame_runs(report.segments)}."
    )


def _row(outcome: TrialOutcome) -> tuple[str, ...]:
    if outcome.report is None:
        return (outcome.subject, outcome.trial, "", "", "", "", outcome.state, "")
    report = outcome.report
    offset = report.placement_offset_mm["anatomical"]
    return (
        outcome.subject,
        outcome.trial,
        str(report.frames),
        *(
            _millimetres(length)
            for length in (report.residual_mm["mean"], report.residual_mm["max_frame_mean"], offset)
        ),
        " ".join(report.worst_markers[:3]),
        f"{report.frames_per_second:.0f}" if outcome.state == "fitted" else outcome.state,
    )


def _millimetres(length: float | None) -> str:
    return "" if length is None else f"{length:.1f}"
