"""python benchmarks/spatiotemporal_parameters.py --json parameters.json

Spatio-temporal parameters against those that laboratories stored in their recordings (the group ANALYSIS of C3D files;
skipped if the recordings are not available), of the same stride, with the events that an analysis chooses, with the
laboratory's and with those of kinematics. Where the stored value does not follow from the file's own events and toe
markers, it is marked. And against true steps of synthetic subjects, healthy and with each pathology, on true joints;
with ``--poses`` and ``--recordings``, on the fits of a synthetic cohort, where outlier strides are counted too, as they
are and with a contact found too late. Prints one JSON object; --quick simulates one subject per kind and fits no
recording.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import BodyArguments, run
from recorded_trials import CAPTURES, captures_available

from gait.arrays import Vector
from gait.body.anatomy import read_anatomy
from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.capture.parse_c3d import parse_c3d
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.cli.arguments import argument
from gait.fitting.subject_fit import fit_shape_and_poses
from gait.kinematics.event_sources import choose_events, with_recorded_events
from gait.kinematics.gait_events import SIDES, EventSource, GaitEvents
from gait.kinematics.strides import MIN_STRIDES_FOR_OUTLIERS, Stride
from gait.kinematics.trial_analysis import TrialAnalysis, analyse_subject, analyse_trial
from gait.motion.pose_files import read_poses
from gait.motion.pose_npz import POSES_FILE
from gait.motion.subject_trials import find_subject_folders, read_subject_trials
from gait.synthetic import PATHOLOGY_NAMES, make_pathology, make_subject, make_trial
from gait.synthetic.recording_files import ground_truth_path, read_ground_truth

HEALTHY = "healthy"
STORED = {
    "Walking Speed": "walking_speed",
    "Cadence": "cadence",
    "Stride Length": "stride_length",
    "Stride Time": "stride_time",
    "Step Length": "step_length",
    "Step Time": "step_time",
    "Step Width": "step_width",
    "Single Support": "single_support_time",
    "Double Support": "double_support_time",
    "Foot Off": "stance",
    "Opposite Foot Off": "opposite_foot_off",
    "Opposite Foot Contact": "opposite_contact",
}
"""Names of the group ANALYSIS -> our parameters."""
WITHIN_2_PERCENT = ("walking_speed", "cadence", "stride_length", "stride_time")
EVENTS: Mapping[str, EventSource | None] = {
    "chosen_events": None,
    "laboratory_events": "laboratory",
    "kinematic_events": "kinematics",
}
MAX_PERCENT = 2.0
LATE_S = 0.1  # by which a contact is found too late
NEAR_FRAMES = 30  # a stride whose contacts are together farther from the true ones is another one


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    subjects: int = argument(6, "synthetic subjects per kind")
    captures: Path = argument(CAPTURES, "folder of real recordings")
    poses: Path | None = argument(None, "save folder with fits of synthetic recordings")
    recordings: Path | None = argument(None, "folder of these recordings, with their ground truth files")


QUICK = {"subjects": 1}


def stored_parameters(path: Path) -> dict[tuple[str, str], float]:
    """Return the parameters stored in a C3D file, (our name, side) -> value; none if the group is missing or empty."""
    group = parse_c3d(path).parameters.get("ANALYSIS", {})
    if not {"NAMES", "CONTEXTS", "VALUES"} <= group.keys():
        return {}
    columns = (group["NAMES"].value, group["CONTEXTS"].value, np.ravel(np.asarray(group["VALUES"].value)))
    return {
        (STORED[str(name).strip()], str(side).strip().lower()): float(value)
        for name, side, value in zip(*columns, strict=False)
        if str(name).strip() in STORED
    }


def parameters_of_file(recording: Recording, stride: Stride, shift: int) -> dict[str, float]:
    """Return what follows from a stride's events and the recorded toe markers, as Vicon's software computes it.

    ``shift`` is the recording's frame at which the stride's frames begin.
    """
    side, other = (stride.side, "right" if stride.side == "left" else "left")
    duration = stride.end - stride.start
    values = {
        "stride_time": duration / recording.rate_hz,
        "cadence": 120 * recording.rate_hz / duration,
        "step_time": (stride.end - stride.opposite_contact) / recording.rate_hz,
        "single_support_time": (stride.opposite_contact - stride.opposite_foot_off) / recording.rate_hz,
        "double_support_time": (stride.opposite_foot_off - stride.start + stride.foot_off - stride.opposite_contact)
        / recording.rate_hz,
        "stance": stride.percent(stride.foot_off),
        "opposite_foot_off": stride.percent(stride.opposite_foot_off),
        "opposite_contact": stride.percent(stride.opposite_contact),
    }
    start, end = (_marker_at(recording, f"{side[0].upper()}TOE", frame + shift) for frame in (stride.start, stride.end))
    between = _marker_at(recording, f"{other[0].upper()}TOE", stride.opposite_contact + shift)
    length = float(np.linalg.norm(end - start))
    ahead = (end - start) / length
    values |= {
        "stride_length": length,
        "walking_speed": length / duration * recording.rate_hz,
        "step_length": float((end - between) @ ahead),
        "step_width": float(np.linalg.norm((between - start) - (between - start) @ ahead * ahead)),
    }
    return values


def _marker_at(recording: Recording, label: str, frame: float) -> Vector:
    """Return the position (3,) of a marker on the floor plane, at a time in frames."""
    path = recording.positions_m[:, recording.labels.index(label)] * [1, 0, 1]
    return np.array([np.interp(frame, np.arange(len(path)), path[:, axis]) for axis in range(3)])


def compare_recording(path: Path, body: Body) -> dict[str, Any]:
    """Return our parameters of the stride of each side that a laboratory stored, beside the stored ones."""
    stored = stored_parameters(path)
    recording = read_recording(path)
    (trial,) = fit_shape_and_poses([recording], body, plug_in_gait_layout(body)).trials
    (sequence,) = trial.pose_sequences
    shift = sequence.first_frame - recording.first_frame
    sequence = with_recorded_events(sequence, recording)
    analyses = {
        kind: analyse_trial(sequence, subject="", trial="", events=choose_events(sequence, source))
        for kind, source in EVENTS.items()
    }
    rows: dict[str, Any] = {}
    for side in SIDES:
        if not any(own == side for _, own in stored):
            continue
        first = analyses["laboratory_events"].curves.strides[side][0]  # which Vicon's software stores
        own_file = parameters_of_file(recording, first, shift)
        for (name, own), value in stored.items():
            if own != side:
                continue
            row: dict[str, float | bool | None] = {
                "stored": value,
                "follows_from_file": agrees(name, own_file[name], value, first, recording.rate_hz),
            }
            for kind, analysis in analyses.items():
                found = nearest_value(analysis, name, first)
                row[kind] = found
                row[f"{kind}_percent"] = 100 * (found / value - 1)
                row[f"{kind}_frames"] = frames_off(name, found, value, first, recording.rate_hz)
            rows[f"{side} {name}"] = row
    return rows


def nearest_value(analysis: TrialAnalysis, name: str, stride: Stride) -> float:
    """Return a parameter of the analysed stride that is nearest to another one of its side; NaN without one."""
    strides = analysis.curves.strides[stride.side]
    distances = [abs(own.start - stride.start) + abs(own.end - stride.end) for own in strides]
    if not distances or min(distances) > NEAR_FRAMES:
        return math.nan
    return float(analysis.parameters.values[name, stride.side][int(np.argmin(distances))])


def frames_off(name: str, found: float, value: float, stride: Stride, rate_hz: float) -> float | None:
    """Return the difference of a time, or of a percentage of the cycle, in frames; None of other parameters."""
    if name.endswith("_time"):
        return (found - value) * rate_hz
    if name in ("stance", "opposite_foot_off", "opposite_contact"):
        return (found - value) / 100 * (stride.end - stride.start)
    return None


def agrees(name: str, found: float, value: float, stride: Stride, rate_hz: float) -> bool:
    """Return whether a value equals another within a frame, or, if it is no time, within 2 %."""
    off = frames_off(name, found, value, stride, rate_hz)
    return bool(abs(found / value - 1) * 100 <= MAX_PERCENT if off is None else abs(off) <= 1.0)


def summarize_recordings(files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the largest deviation by parameter and kind of events, of all values and of those the file bears out."""
    worst: dict[str, Any] = defaultdict(dict)
    for rows in files.values():
        for key, row in rows.items():
            name = key.split(" ", 1)[1]
            for kind in EVENTS:
                unit = "frames" if name not in WITHIN_2_PERCENT and row[f"{kind}_frames"] is not None else "percent"
                off = abs(row[f"{kind}_{unit}"])
                for label in ("all", "borne_out")[: 1 + row["follows_from_file"]]:
                    entry = f"{kind}_{unit}_{label}"
                    worst[name][entry] = float(np.nanmax([worst[name].get(entry, 0.0), off]))
    return dict(worst)


def true_parameters(truth: PoseSequence, events: GaitEvents, stride: Stride) -> dict[str, float]:
    """Return parameters of a true stride, from where the heels are at 30 % of each stance."""
    rate_hz, other = truth.rate_hz, "right" if stride.side == "left" else "left"

    def stands_at(side: str, contact: float) -> Vector:
        offs = events.foot_offs[side]
        later = offs[offs > contact]
        off = float(later[0]) if len(later) else math.inf
        frame = contact + 0.3 * (off - contact)
        heel = truth.landmark_m(f"{side[0].upper()}HEE")
        assert heel is not None
        return np.full(3, np.nan) if frame > len(heel) - 1 else heel[round(frame)] * [1, 0, 1]

    start, end = stands_at(stride.side, stride.start), stands_at(stride.side, stride.end)
    between = (
        stands_at(other, stride.opposite_contact) if math.isfinite(stride.opposite_contact) else np.full(3, np.nan)
    )
    length, duration = float(np.linalg.norm(end - start)), (stride.end - stride.start) / rate_hz
    ahead = (end - start) / length
    return {
        "walking_speed": length / duration,
        "cadence": 120 / duration,
        "stride_length": length,
        "stride_time": duration,
        "step_length": float((end - between) @ ahead),
        "step_time": (stride.end - stride.opposite_contact) / rate_hz,
        "step_width": float(np.linalg.norm((between - start) - (between - start) @ ahead * ahead)),
        "stance_time": (stride.foot_off - stride.start) / rate_hz,
    }


def true_events(labels: Vector, sides: Vector, frames: Vector) -> GaitEvents:
    """Return events from their labels, sides and frames (E,)."""
    by_label = [
        {side: np.sort(frames[(labels == label) & (sides == side)]) for side in SIDES}
        for label in ("Foot Strike", "Foot Off")
    ]
    return GaitEvents(by_label[0], by_label[1])


def stride_errors(found: TrialAnalysis, truth: PoseSequence, events: GaitEvents) -> Iterator[dict[str, float]]:
    """Yield found minus true parameters of each true stride that was found."""
    true = analyse_trial(truth, subject="", trial="", events=events)
    for side in SIDES:
        for stride in true.curves.strides[side]:
            expected = true_parameters(truth, events, stride)
            errors = {name: nearest_value(found, name, stride) - value for name, value in expected.items()}
            if math.isfinite(errors["stride_time"]):
                yield {**errors, **{f"{name}_percent": 100 * errors[name] / expected[name] for name in expected}}


def summarize_errors(errors: list[dict[str, float]]) -> dict[str, Any]:
    """Return mean absolute error, its 95th percentile, and bias of each parameter over strides."""
    result: dict[str, Any] = {"strides": len(errors)}
    for name in ("walking_speed", "cadence", "stride_length", "stride_time", "step_length"):
        values = np.array([each[f"{name}_percent"] for each in errors])
        values = values[np.isfinite(values)]
        result[f"{name}_percent"] = {
            "mean_absolute": float(np.abs(values).mean()),
            "p95": float(np.percentile(np.abs(values), 95)),
            "bias": float(values.mean()),
        }
    for name, unit in (("step_time", "ms"), ("stance_time", "ms"), ("step_width", "mm")):
        values = 1e3 * np.array([each[name] for each in errors])
        values = values[np.isfinite(values)]
        result[f"{name}_{unit}"] = {"mean_absolute": float(np.abs(values).mean()), "bias": float(values.mean())}
    return result


def evaluate_synthetic(body: Body, subjects: int) -> dict[str, Any]:
    """Evaluate parameters on true joints, by pathology."""
    result = {}
    for kind in (HEALTHY, *PATHOLOGY_NAMES):
        errors: list[dict[str, float]] = []
        for seed in range(subjects):
            pathology = None if kind == HEALTHY else make_pathology(kind)
            trial = make_trial(body, make_subject(body, seed, adult=True), pathology, seed=seed)
            truth = trial.ground_truth
            events = true_events(
                np.array([event.label for event in trial.events]),
                np.array([event.side for event in trial.events]),
                np.array([event.time_s for event in trial.events]) * truth.rate_hz,
            )
            errors += stride_errors(analyse_trial(truth, subject="", trial=""), truth, events)
        result[kind] = summarize_errors(errors)
    return result


def evaluate_fits(body: Body, poses: Path, recordings: Path) -> dict[str, Any]:
    """Evaluate parameters on the fits of synthetic recordings, by label."""
    errors: dict[str, list[dict[str, float]]] = defaultdict(list)
    for file in sorted(poses.glob(f"*/*/*/{POSES_FILE}")):
        label, subject, trial = file.parts[-4:-1]
        truth = read_ground_truth(ground_truth_path(recordings / subject / f"{trial}.c3d"))
        truth = replace(truth, anatomy=read_anatomy(body, truth.betas))
        names = ("event_label", "event_side", "event_time_s")
        labels, sides, times = (np.asarray(truth.extra[name]) for name in names)
        events = true_events(labels, sides, times * truth.rate_hz)
        sequence = read_poses(file.parent)
        analysis = analyse_trial(sequence, subject="", trial="", events=choose_events(sequence, "kinematics"))
        errors[label] += stride_errors(analysis, truth, events)
    return {label: summarize_errors(each) for label, each in errors.items()}


def evaluate_outliers(poses: Path) -> dict[str, Any]:
    """Count outlier strides of the fits of synthetic recordings as they are, and with one contact found too late."""
    counts = {"strides": 0, "outliers": 0, "late_contacts": 0, "late_contacts_found": 0, "other_outliers": 0}
    for folder in find_subject_folders(poses):
        trials = list(read_subject_trials(folder))
        analyses = [trial.analyse() for trial in trials]
        subject = analyse_subject(analyses)
        counts["strides"] += sum(len(strides) for strides in subject.curves.strides.values())
        counts["outliers"] += len(subject.curves.excluded)
        if len(subject.curves.strides["left"]) < MIN_STRIDES_FOR_OUTLIERS:
            continue
        first, events = analyses[0], analyses[0].events
        contacts = {side: frames.copy() for side, frames in events.initial_contacts.items()}
        before, after = first.curves.strides["left"][:2]
        contacts["left"][contacts["left"] == before.end] += LATE_S * first.rate_hz
        late = analyse_trial(
            trials[0].sequence,
            subject=first.subject,
            trial=first.trial,
            events=replace(events, initial_contacts=contacts),
        )
        excluded = analyse_subject([late, *analyses[1:]]).curves.excluded
        changed = {(first.trial, "left", stride.number) for stride in (before, after)}
        found = {(each.stride.trial, each.stride.side, each.stride.number) for each in excluded}
        counts["late_contacts"] += 1
        counts["late_contacts_found"] += bool(found & changed)
        counts["other_outliers"] += len(found - changed)
    return counts


def main(args: Arguments) -> dict[str, Any]:
    body = load_body(args.model)
    recorded = None
    if not args.quick and captures_available(args.captures, "laboratories' parameters are skipped"):
        paths = sorted(path for path in args.captures.rglob("*") if path.suffix.lower() == ".c3d")
        files = {
            path.relative_to(args.captures).with_suffix("").as_posix(): compare_recording(path, body)
            for path in paths
            if stored_parameters(path)
        }
        recorded = {"worst": summarize_recordings(files), "files": files}
    fits = evaluate_fits(body, args.poses, args.recordings) if args.poses and args.recordings else None
    outliers = evaluate_outliers(args.poses) if args.poses else None
    synthetic = evaluate_synthetic(body, args.subjects)
    return {"synthetic": synthetic, "fits": fits, "outliers": outliers, "recorded": recorded}


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
