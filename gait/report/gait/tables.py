"""Gait analyses as tidy tables (one value a row) and as JSON.

Unknown values are empty in CSV and null in JSON. Units stand in the columns' names, or in a column ``unit``.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gait.arrays import Vector
from gait.files.atomic_write import atomic_file
from gait.files.package_versions import package_versions
from gait.kinematics.gait_events import SIDES
from gait.kinematics.norm_comparison import NormComparison
from gait.kinematics.spatiotemporal import PARAMETERS, scale_factor
from gait.kinematics.trial_analysis import SubjectAnalysis, TrialAnalysis
from gait.report.gait.measured_subject import MeasuredSubject
from gait.report.gait.norm_set import NormResults
from gait.report.gait.subject_summary import SubjectSummary

CURVES_FILE, PARAMETERS_FILE, EVENTS_FILE = "curves.csv", "parameters.csv", "events.csv"
SCORES_FILE = "scores.csv"
ANALYSIS_FILE = "analysis.json"
SUBJECTS_FILE, MEAN_CURVES_FILE = "subjects.csv", "mean_curves.csv"
SUBJECT_COLUMNS = ("subject", "side", "name", "unit", "value")
MEAN_CURVE_COLUMNS = ("subject", "side", "angle", "percent", "degrees", "standard_error")
CURVE_COLUMNS = ("subject", "trial", "side", "stride", "counts", "angle", "percent", "degrees", "standard_error")
PARAMETER_COLUMNS = ("subject", "trial", "side", "stride", "counts", "parameter", "unit", "value", "scaled_value")
EVENT_COLUMNS = ("subject", "trial", "side", "event", "source", "frame", "time_s")
SCORE_COLUMNS = ("subject", "norm", "at_own_speed", "score", "side", "angle", "unit", "value", "norm_persons")
_PERCENTS = [str(percent) for percent in range(101)]


def write_subject_tables(subject: MeasuredSubject, results: NormResults, folder: Path) -> tuple[Path, ...]:
    """Write curves, parameters, events and scores of a subject as CSV, and all as JSON; return the paths.

    Raises:
        GaitError: the disk is full or not writable.
    """
    analysis = subject.analysis
    paths = tuple(folder / name for name in (CURVES_FILE, PARAMETERS_FILE, EVENTS_FILE, SCORES_FILE, ANALYSIS_FILE))
    with atomic_file(paths[0]) as partial:
        _write_curves(subject, partial)
    write_csv(paths[1], PARAMETER_COLUMNS, parameter_rows(analysis))
    write_csv(paths[2], EVENT_COLUMNS, (row for trial in analysis.trials for row in event_rows(trial)))
    write_csv(paths[3], SCORE_COLUMNS, score_rows(subject.subject_id, results))
    write_json(paths[4], subject_summary(subject, results))
    return paths


def write_cohort_tables(subjects: Sequence[SubjectSummary], folder: Path) -> tuple[Path, ...]:
    """Write ``subjects.csv`` and ``mean_curves.csv`` of all subjects; return their paths."""
    paths = folder / SUBJECTS_FILE, folder / MEAN_CURVES_FILE
    write_csv(paths[0], SUBJECT_COLUMNS, (row for subject in subjects for row in _summary_rows(subject)))
    with atomic_file(paths[1]) as partial, partial.open("w", encoding="utf-8", errors="replace", newline="") as file:
        file.write(",".join(MEAN_CURVE_COLUMNS) + "\r\n")
        for subject in subjects:
            for (name, side), degrees in subject.curves.items():
                errors = subject.mean_errors_deg.get((name, side))
                file.write(_curve_lines(f"{_cell(subject.subject_id)},{side},{name}", degrees, errors))
    return paths


def _summary_rows(subject: SubjectSummary) -> Iterator[tuple[Any, ...]]:
    """Yield each value of a subject: of the sides, and of both together."""
    name = subject.subject_id
    yield name, "both", "trials", "", subject.num_trials
    yield from ((name, side, "strides", "", count) for side, count in subject.num_strides.items())
    yield name, "both", "residual_mean", "mm", _rounded(subject.residual_mean_mm, 3)
    yield name, "both", "leg_length", "m", _rounded(subject.leg_length_m, 5)
    yield name, "both", "dimensionless_speed", "", _rounded(subject.dimensionless_speed, 5)
    yield from ((name, side, "gps", "deg", _rounded(value, 4)) for side, value in subject.gps_deg.items())
    yield from ((name, side, "gdi", "", _rounded(value, 3)) for side, value in subject.gdi.items())
    for parameter in PARAMETERS:
        for side in (*SIDES, "both"):
            yield name, side, parameter.name, parameter.unit, _rounded(subject.parameters[parameter.name, side], 5)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows below the names of their columns; unknown numbers are empty."""
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([["" if _is_unknown(value) else value for value in row] for row in rows])


def write_json(path: Path, content: Any) -> None:
    """Write plain data; numbers that are not finite are null."""
    with atomic_file(path) as partial:
        text = json.dumps(_plain(content), ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8", errors="replace")


def parameter_rows(analysis: SubjectAnalysis) -> Iterator[tuple[Any, ...]]:
    """Yield each parameter of each stride; ``scaled_value`` is dimensionless, by leg length (Hof 1996)."""
    parameters = analysis.parameters
    for side in SIDES:
        for k, (stride, counts) in enumerate(
            zip(analysis.curves.strides[side], analysis.curves.used(side), strict=True)
        ):
            for parameter in PARAMETERS:
                value = float(parameters.values[parameter.name, side][k])
                yield (
                    analysis.subject, stride.trial, side, stride.number, int(counts), parameter.name, parameter.unit,
                    _rounded(value, 5), _rounded(value * scale_factor(parameter.unit, parameters.leg_length_m), 5),
                )  # fmt: skip


def event_rows(trial: TrialAnalysis) -> Iterator[tuple[Any, ...]]:
    """Yield each event in temporal order: its frame number in the recording, and its time in the file's clock.

    The clock is that of C3D: frame f is at (f - 1) / rate.
    """
    found = []
    for event, frames, sources in (
        ("initial contact", trial.events.initial_contacts, trial.events.contact_sources),
        ("foot off", trial.events.foot_offs, trial.events.off_sources),
    ):
        for side in SIDES:
            own = sources.get(side) or ("kinematics",) * len(frames[side])
            found += [(float(frame), side, event, source) for frame, source in zip(frames[side], own, strict=True)]
    for frame, side, event, source in sorted(found):
        number = trial.first_frame + frame
        time_s = (number - 1) / trial.rate_hz
        yield trial.subject, trial.trial, side, event, source, _rounded(number, 3), _rounded(time_s, 5)


def score_rows(subject_id: str, results: NormResults) -> Iterator[tuple[Any, ...]]:
    """Yield each score against each norm; ``norm_persons`` is the root mean square of the norm's persons themselves.

    ``at_own_speed`` is 0 if the norm holds for another speed than the subject's: the nearest that it covers, or its
    persons' own pace where the subject's speed is unknown.
    """
    for comparison in results.comparisons:
        profile, norm = comparison.profile, comparison.curves.source.name
        head = subject_id, norm, int(comparison.at_own_speed)
        for (angle, side), value in profile.gvs_deg.items():
            persons = comparison.reference_gvs_deg.get(angle, math.nan)
            yield *head, "GVS", side, angle, "deg", _rounded(value, 4), _rounded(persons, 4)
        for side, value in profile.gps_deg.items():
            persons = comparison.reference_gps_deg
            yield *head, "GPS", side, "", "deg", _rounded(value, 4), _rounded(persons, 4)
        if comparison.split is not None:
            for score, gps in (
                ("GPS at own pace", comparison.split.gps_total_deg),
                ("GPS explained by speed", comparison.split.gps_explained_deg),
                ("GPS beyond speed", comparison.split.gps_beyond_deg),
            ):
                for side, value in gps.items():
                    yield subject_id, norm, "", score, side, "", "deg", _rounded(value, 4), math.nan
    for each in results.gdi:
        for side, value in each.gdi.items():
            yield subject_id, each.source.name, "", "GDI", side, "", "", _rounded(value, 3), 100.0


def subject_summary(subject: MeasuredSubject, results: NormResults) -> dict[str, Any]:
    """Return the analysis of a subject as plain data: quality, curves, parameters, scores, symmetry, repeatability."""
    analysis = subject.analysis
    curves, parameters = analysis.curves, analysis.parameters
    return {
        "subject": subject.subject_id,
        "versions": package_versions(),
        "units": {"angles": "degrees", "percent": "of the gait cycle"},
        "leg_length_m": parameters.leg_length_m,
        "dimensionless_speed": subject.dimensionless_speed,
        "trials": [_trial_summary(trial) for trial in analysis.trials],
        "excluded_strides": [
            {"trial": e.stride.trial, "side": e.stride.side, "stride": e.stride.number, "reason": e.reason,
             "value": e.value, "limit": e.limit}
            for e in curves.excluded
        ],
        "strides": subject.num_strides,
        "curves": [
            {"angle": name, "side": side, "mean": curves.mean(name, side), "sd": curves.sd(name, side),
             "standard_error": analysis.mean_errors_deg.get((name, side))}
            for name, side in curves.curves
            if np.isfinite(curves.used_curves(name, side)).any()
        ],
        "not_observed": [
            {"angle": name, "side": side}
            for name, side in curves.curves
            if not np.isfinite(curves.used_curves(name, side)).any()
        ],
        "parameters": [
            {"parameter": p.name, "unit": p.unit, "side": side, "mean": parameters.mean(p.name, side),
             "sd": parameters.sd(p.name, side), "strides": parameters.count(p.name, side),
             "scaled_mean": parameters.mean(p.name, side, scaled=True)}
            for p in PARAMETERS
            for side in (*SIDES, "both")
        ],
        "curve_symmetry": [asdict(each) for each in analysis.curve_symmetry],
        "parameter_symmetry": [asdict(each) for each in analysis.parameter_symmetry],
        "repeatability": [
            {"angle": each.name, "side": each.side, "strides": each.num_strides, "trials": each.num_trials,
             "within_trial_sd": each.within_trial_rms_deg, "between_trials_sd": each.between_trials_rms_deg}
            for each in analysis.repeatability
        ],
        "norms": [_norm_summary(comparison) for comparison in results.comparisons],
        "gdi": [{"norm": each.source.name, **each.gdi} for each in results.gdi],
        "problems": list(subject.problems),
    }  # fmt: skip


def _norm_summary(comparison: NormComparison) -> dict[str, Any]:
    curves, profile = comparison.curves, comparison.profile
    return {
        "source": asdict(curves.source),
        "band": curves.band,
        "coverage": curves.coverage,
        "at_own_speed": comparison.at_own_speed,
        "speed_range": curves.speed_range,
        "gps_deg": dict(profile.gps_deg),
        "gvs_deg": [{"angle": angle, "side": side, "value": value} for (angle, side), value in profile.gvs_deg.items()],
        "deviations": [asdict(deviation) for deviation in comparison.deviations],
        "error_unknown": [{"angle": angle, "side": side} for angle, side in comparison.untested],
        "bands": [
            {
                "angle": angle,
                "mean": curves.mean_deg[angle],
                "low": curves.low_deg[angle],
                "high": curves.high_deg[angle],
            }
            for angle in curves.mean_deg
        ],
    }


def _trial_summary(trial: TrialAnalysis) -> dict[str, Any]:
    quality = trial.quality
    return {
        "trial": trial.trial,
        "rate_hz": trial.rate_hz,
        "first_frame": trial.first_frame,
        "frames": quality.num_frames,
        "walking_fraction": quality.walking_fraction,
        "gap_filled_fraction": quality.gap_filled_fraction,
        "residual_mean_mm": quality.residual_mean_mm,
        "strides": dict(quality.num_strides),
        "not_observed_joints": [joint.name.lower() for joint in quality.unobserved],
        "event_notes": list(trial.events.notes),
    }


def _write_curves(subject: MeasuredSubject, path: Path) -> None:
    """Write all strides of all angles; this table is long, so its lines are put together here."""
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        file.write(",".join(CURVE_COLUMNS) + "\r\n")
        for trial in subject.analysis.trials:
            errors = subject.stride_errors_deg.get(trial.trial)
            for side in SIDES:
                counts, strides = trial.curves.used(side), trial.curves.strides[side]
                for name in (name for name, own in trial.curves.curves if own == side):
                    curves = trial.curves.curves[name, side]
                    own = None if errors is None else errors[name, side]
                    for k, stride in enumerate(strides):
                        head = (
                            f"{_cell(subject.subject_id)},{_cell(trial.trial)},{side},{stride.number},{int(counts[k])}"
                        )
                        file.write(_curve_lines(f"{head},{name}", curves[k], None if own is None else own[k]))


def _curve_lines(head: str, degrees: Vector, errors: Vector | None) -> str:
    columns = [
        _numbers(degrees),
        [""] * 101 if errors is None else _numbers(np.where(np.isfinite(degrees), errors, np.nan)),
    ]
    return "".join(
        [f"{head},{percent},{value},{error}\r\n" for percent, value, error in zip(_PERCENTS, *columns, strict=True)]
    )


def _numbers(values: Vector) -> list[str]:
    """Return numbers with three decimals; unknown ones are empty."""
    known = np.isfinite(values).tolist()
    return [f"{value:.3f}" if k else "" for value, k in zip(values.tolist(), known, strict=True)]


def _cell(text: str) -> str:
    """Return text as one cell of a CSV file."""
    return f'"{text.replace(chr(34), 2 * chr(34))}"' if set(text) & set(',"\r\n') else text


def _rounded(value: float, digits: int) -> float:
    return round(value, digits) if math.isfinite(value) else math.nan


def _is_unknown(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _plain(value: Any) -> Any:
    """Return data of JSON: arrays as lists with four decimals, numbers with six digits, not finite ones as None."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.ndarray):
        numbers = np.round(value, 4).tolist()
        return numbers if np.isfinite(value).all() else _plain(numbers)
    if isinstance(value, float | np.floating):
        number = float(value)
        return float(f"{number:.6g}") if math.isfinite(number) else None
    return value.item() if isinstance(value, np.generic) else value
