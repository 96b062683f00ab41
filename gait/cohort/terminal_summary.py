"""What a person reads at the end of a run: a table, one line a gait, and what to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gait.cohort.trial_outcome import TrialOutcome
from gait.fitting.fit_report import FitReport, frame_list

DOUBTFUL_MM = 12.0
"""A mean residual beyond which something is wrong with a recording: names, units or the person."""

_HEADER = ("subject", "gait", "frames", "mean mm", "worst frame mm", "offset mm", "worst markers", "frames/s")


def summary_lines(outcomes: Sequence[TrialOutcome], save_folder: Path) -> list[str]:
    """The closing table and the counts; failures once more, each with its reason."""
    rows = [_HEADER, *(_row(outcome) for outcome in outcomes)]
    width = [max(len(row[k]) for row in rows) for k in range(len(_HEADER))]
    left = {0, 1, 6}
    lines = [
        "  ".join(
            cell.ljust(w) if k in left else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, width, strict=True))
        )
        for row in rows
    ]
    count = {state: sum(o.state == state for o in outcomes) for state in ("fitted", "finished before", "failed")}
    lines.append("")
    lines.append(
        f"{count['fitted']} fitted, {count['finished before']} finished before, {count['failed']} failed; "
        f"results in {save_folder}"
    )
    reported = [(o, o.report) for o in outcomes if o.report is not None]
    lines += [_doubt(o, report) for o, report in reported if (report.residual_mm["mean"] or 0) > DOUBTFUL_MM]
    lines += [f"bad data: {o.subject}/{o.gait}: {fault['line']}" for o, report in reported for fault in report.faults]
    lines += [_split(o, report) for o, report in reported if len(report.parts) > 1]
    lines += [f"failed: {o.subject}/{o.gait}: {o.line}" for o in outcomes if o.state == "failed"]
    lines += list(dict.fromkeys(o.line for o in outcomes if o.state == "fitted" and o.line))
    return [line.rstrip() for line in lines]


def _doubt(outcome: TrialOutcome, report: FitReport) -> str:
    return (
        f"doubtful: {outcome.subject}/{outcome.gait}: {report.residual_mm['mean']:.0f} mm mean residual, "
        f"worst {', '.join(report.worst_markers)}; look at its fit.png, its markers' names, its report's notes."
    )


def _split(outcome: TrialOutcome, report: FitReport) -> str:
    return (
        f"split: {outcome.subject}/{outcome.gait}: no body is held by the markers of frames "
        f"{frame_list(report.left_out_frames)}; part1 to part{len(report.parts)} are frames {frame_list(report.parts)}."
    )


def _row(outcome: TrialOutcome) -> tuple[str, ...]:
    if outcome.report is None:
        return (outcome.subject, outcome.gait, "", "", "", "", outcome.state, "")
    r = outcome.report
    offset = r.offset_mm["anatomical"]
    return (
        outcome.subject,
        outcome.gait,
        str(r.frames),
        f"{r.residual_mm['mean']:.1f}",
        f"{r.residual_mm['max_frame_mean']:.1f}",
        "" if offset is None else f"{offset:.1f}",
        " ".join(r.worst_markers[:3]),
        f"{r.frames_per_second:.0f}" if outcome.state == "fitted" else outcome.state,
    )
