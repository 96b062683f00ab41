"""python benchmarks/gait_events.py --json gait_events.json

Errors of initial contacts and foot offs that kinematics finds: against true events of synthetic subjects, healthy and
with each pathology, on true joints and soles, on true joints alone, and on fits; against the events that laboratories
marked in their recordings, by laboratory, and against clean contacts of single feet with their force plates (skipped if
the recordings are not available). Where both are there, the laboratories' marks are compared with the plates too.
Contacts with synthetic force plates of each type, and double hits. Speed and cadence on true joints. ``bias_ms`` is
found minus true; ``false_positives`` are events near no true one; laboratories do not mark all events. Prints one JSON
object; --quick simulates one subject per kind and fits nothing.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import BodyArguments, run
from recorded_trials import CAPTURES, captures_available, is_walking_trial

from gait.arrays import Vector
from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.capture.event_labels import FOOT_OFF, INITIAL_CONTACT
from gait.capture.read_recording import read_recording
from gait.capture.recording import GaitEvent
from gait.cli.arguments import argument
from gait.fitting.fit_recordings import fit_recordings
from gait.kinematics.event_sources import choose_events, with_recorded_events
from gait.kinematics.gait_events import SIDES, GaitEvents, detect_gait_events
from gait.kinematics.gait_features import compute_gait_features
from gait.motion.pose_files import read_pose_sequences
from gait.motion.trial_paths import REPORT_FILE
from gait.synthetic import PATHOLOGY_NAMES, SyntheticTrial, make_pathology, make_subject, make_trial, write_recording
from gait.synthetic.force_plates import PlatePlan, record_plates, step_centres

HEALTHY = "healthy"
NEAR_S = 0.15
"""Maximum distance between a detected event and the true one."""
END_S = 0.3
"""Events this close to an end of the trial do not count as missed, because their swing or stance is incomplete."""
NOT_STRAIGHT = ("turn", "stairs")
ANALOG_HZ = 1000.0

LABELS = {INITIAL_CONTACT: "Foot Strike", FOOT_OFF: "Foot Off"}


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    subjects: int = argument(6, "synthetic subjects per kind")
    fitted: int = argument(3, "synthetic subjects per kind whose recordings are fitted")
    captures: Path = argument(CAPTURES, "folder of real recordings")
    fits: Path | None = argument(None, "save folder with finished fits of these; without it they are fitted here")


QUICK = {"subjects": 1, "fitted": 0}


@dataclass(frozen=True)
class EventErrors:
    """Errors of detected events of one label, over some trials."""

    error_s: tuple[float, ...] = ()  # detected minus true
    missed: int = 0
    false_positives: int = 0

    def __add__(self, other: EventErrors) -> EventErrors:
        return EventErrors(
            self.error_s + other.error_s, self.missed + other.missed, self.false_positives + other.false_positives
        )

    def metrics(self) -> dict[str, Any]:
        """Return errors in milliseconds, and counts."""
        error = 1e3 * np.array(self.error_s)
        values: dict[str, float | None] = dict.fromkeys(("bias_ms", "mean_absolute_ms", "sd_ms", "worst_ms"))
        if len(error):
            values = {
                "bias_ms": round(float(error.mean()), 1),
                "mean_absolute_ms": round(float(abs(error).mean()), 1),
                "sd_ms": round(float(error.std()), 1),
                "worst_ms": round(float(abs(error).max()), 1),
            }
        return {**values, "events": len(error), "missed": self.missed, "false_positives": self.false_positives}


ErrorsByLabel = Mapping[str, EventErrors]


def event_errors(found_s: Vector, true_s: Vector, seconds: float) -> EventErrors:
    """Compare events of one label and one foot in one trial, seconds from the first frame."""
    distance = found_s[:, None] - true_s
    near = np.abs(distance) <= NEAR_S
    nearest = [float(row[np.abs(row).argmin()]) for row, hit in zip(distance, near, strict=True) if hit.any()]
    inside = (true_s > END_S) & (true_s < seconds - END_S)
    return EventErrors(tuple(nearest), int((inside & ~near.any(axis=0)).sum()), len(found_s) - len(nearest))


def trial_event_errors(
    events: GaitEvents, true_s: Mapping[tuple[str, str], Iterable[float]], seconds: float, rate_hz: float
) -> ErrorsByLabel:
    """Compare the events of both feet in one trial, by label; ``true_s`` is by label and side."""
    return {
        label: sum(
            (
                event_errors(by_side[side] / rate_hz, np.array([*true_s[label, side]], dtype=np.float64), seconds)
                for side in SIDES
            ),
            EventErrors(),
        )
        for label, by_side in zip(LABELS.values(), (events.initial_contacts, events.foot_offs), strict=True)
    }


def event_times(events: Sequence[GaitEvent], start_s: float = 0.0) -> dict[tuple[str, str], list[float]]:
    """Return the times, relative to ``start_s``, by label and side."""
    return {
        (label, side): [event.time_s - start_s for event in events if (event.kind, event.side) == (kind, side)]
        for (kind, label), side in product(LABELS.items(), SIDES)
    }


def add_errors(total: dict[str, EventErrors], errors: ErrorsByLabel) -> None:
    """Add the errors of a trial to those of others."""
    for label, error in errors.items():
        total[label] = total.get(label, EventErrors()) + error


def metrics_of(total: Mapping[str, ErrorsByLabel]) -> dict[str, Any]:
    """Return the metrics by name and label."""
    return {name: {label: error.metrics() for label, error in errors.items()} for name, errors in total.items()}


def synthetic_trials(body: Body, kind: str, subjects: int) -> Iterator[SyntheticTrial]:
    """Simulate one trial of each subject."""
    for seed in range(subjects):
        pathology = None if kind == HEALTHY else make_pathology(kind)
        yield make_trial(body, make_subject(body, seed, adult=True), pathology, seed=seed)


def evaluate_synthetic_trials(body: Body, subjects: int) -> dict[str, Any]:
    """Evaluate events, speed and cadence on true joints, by pathology."""
    result: dict[str, Any] = {}
    for kind in (HEALTHY, *PATHOLOGY_NAMES):
        total: dict[str, dict[str, EventErrors]] = {"joints_and_soles": {}, "joints_alone": {}}
        relative_errors: dict[str, list[float]] = {"walking_speed": [], "cadence": []}
        for trial in synthetic_trials(body, kind, subjects):
            truth, true_s = trial.ground_truth, event_times(trial.events)
            seconds = truth.num_frames / truth.rate_hz
            for name, events in (
                ("joints_and_soles", choose_events(truth)),
                ("joints_alone", detect_gait_events(truth.joints_m, truth.rate_hz)),
            ):
                add_errors(total[name], trial_event_errors(events, true_s, seconds, truth.rate_hz))
            features = compute_gait_features(truth.joints_m, truth.rate_hz)
            stride_s, stride_m = trial.pattern.stride_time_s, trial.pattern.stride_length_m
            for name, is_true in (("walking_speed", stride_m / stride_s), ("cadence", 120 / stride_s)):
                relative_errors[name].append(abs(features[name] / is_true - 1))
        result[kind] = metrics_of(total)
        result[kind] |= {f"{name}_worst_percent": 100 * max(values) for name, values in relative_errors.items()}
    return result


def evaluate_synthetic_fits(body: Body, subjects: int) -> dict[str, Any]:
    """Evaluate events on fits of simulated recordings, by pathology."""
    total: dict[str, dict[str, EventErrors]] = defaultdict(dict)
    layout = plug_in_gait_layout(body)
    with tempfile.TemporaryDirectory() as folder:
        for kind in (HEALTHY, *PATHOLOGY_NAMES):
            for trial in synthetic_trials(body, kind, subjects):
                print(f"fitting {kind} {trial.subject.seed}", file=sys.stderr)
                path = Path(folder) / f"{kind}_{trial.subject.seed}.c3d"
                write_recording(trial, body, layout, path)
                (sequence,) = fit_recordings([read_recording(path)], body).trials[0].pose_sequences
                shift_s = (sequence.first_frame - 1) / sequence.rate_hz
                seconds = sequence.num_frames / sequence.rate_hz
                true_s = event_times(trial.events, shift_s)
                add_errors(total[kind], trial_event_errors(choose_events(sequence), true_s, seconds, sequence.rate_hz))
    return metrics_of(total)


def recorded_fits(body: Body, captures: Path, fits: Path | None) -> Iterator[tuple[str, str, PoseSequence]]:
    """Yield laboratory, file and fitted poses of the straight walks that have events or force plates."""
    finished = {
        json.loads(report.read_text(encoding="utf-8")).get("recording_sha256"): report.parent
        for report in (fits.glob(f"*/*/*/{REPORT_FILE}") if fits is not None else ())
    }
    for path in sorted(path for path in captures.rglob("*") if path.suffix.lower() == ".c3d"):
        if not is_walking_trial(path) or any(word in path.stem for word in (*NOT_STRAIGHT, "static")):
            continue
        recording = read_recording(path)
        if not recording.force_plates and not any(event.kind for event in recording.events):
            continue
        name = path.relative_to(captures).as_posix()
        laboratory = {"healthy": "healthy", "cerebral_palsy": path.parent.name}.get(name.partition("/")[0], path.stem)
        if fits is not None:
            folder = finished.get(hashlib.sha256(path.read_bytes()).hexdigest())
            sequences = read_pose_sequences(folder) if folder is not None else ()
        else:
            print(f"fitting {name}", file=sys.stderr)
            sequences = fit_recordings([recording], body).trials[0].pose_sequences
        for sequence in sequences:
            yield laboratory, name, with_recorded_events(sequence, recording)


def evaluate_recorded_trials(body: Body, captures: Path, fits: Path | None) -> dict[str, Any] | None:
    """Evaluate events on fitted trials against other sources; None if the recordings are not available."""
    if not captures_available(captures, "recorded trials are skipped"):
        return None
    against: dict[str, dict[str, dict[str, EventErrors]]] = {
        name: defaultdict(dict) for name in ("laboratory", "force plate", "laboratory against force plate")
    }
    chosen: dict[str, Any] = {}
    for laboratory, name, sequence in recorded_fits(body, captures, fits):
        rate_hz, seconds = sequence.rate_hz, sequence.num_frames / sequence.rate_hz
        kinematic = choose_events(sequence, "kinematics")
        marked, on_plates = (choose_events(sequence, source) for source in ("laboratory", "force plate"))
        for comparison, found, true in (
            ("laboratory", kinematic, marked),
            ("force plate", kinematic, on_plates),
            ("laboratory against force plate", marked, on_plates),
        ):
            by_label = zip(LABELS.values(), (true.initial_contacts, true.foot_offs), strict=True)
            true_s = {(label, side): by_side[side] / rate_hz for label, by_side in by_label for side in SIDES}
            if any(len(times) for times in true_s.values()):
                errors = trial_event_errors(found, true_s, seconds, rate_hz)
                add_errors(against[comparison][laboratory], errors)
                add_errors(against[comparison]["all"], errors)
        chosen[name] = choose_events(sequence).notes
    return {**{name: metrics_of(errors) for name, errors in against.items()}, "notes": chosen}


def evaluate_force_plates(body: Body) -> dict[str, Any]:
    """Measure contacts with synthetic plates of each type, written into C3D files, and hits that must be refused."""
    trial = make_trial(body, make_subject(body, 2, adult=True), seconds=5.0, seed=1)
    layout, steps = plug_in_gait_layout(body), step_centres(trial)[1:-1]
    worst_s: dict[str, float] = {}
    events, double_hits, refused = 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:

        def sources(name: str, plans: Sequence[PlatePlan]) -> PoseSequence:
            path = Path(folder) / f"{name}.c3d"
            write_recording(trial, body, layout, path, plates=record_plates(trial, plans, ANALOG_HZ))
            return with_recorded_events(trial.ground_truth, replace(read_recording(path), events=()))

        for kind, reaction in product((1, 2, 3, 4), (False, True)):
            plans = [PlatePlan(kind, step[3], reaction=reaction) for step in steps]
            recorded = sources(f"clean_{kind}_{reaction}", plans).recorded_events
            assert recorded is not None
            true = sorted(time_s for _, contact, off, _ in steps for time_s in (contact, off))
            assert len(recorded.time_s) == len(true), recorded.notes
            events += len(true)
            error = float(np.abs(np.sort(recorded.time_s) - true).max())
            worst_s[f"type {kind}"] = max(worst_s.get(f"type {kind}", 0.0), error)
            long_plates = [PlatePlan(kind, step[3], length_m=1.6, width_m=0.8, reaction=reaction) for step in steps]
            recorded = sources(f"double_{kind}_{reaction}", long_plates).recorded_events
            assert recorded is not None
            double_hits += len(long_plates)
            refused += len(long_plates) if not len(recorded.time_s) else 0
    return {
        "events": events,
        "worst_samples": {name: ANALOG_HZ * value for name, value in worst_s.items()},
        "plates_with_double_hits": double_hits,
        "refused": refused,
    }


def main(args: Arguments) -> dict[str, Any]:
    body = load_body(args.model)
    return {
        "synthetic": evaluate_synthetic_trials(body, args.subjects),
        "synthetic_fits": evaluate_synthetic_fits(body, args.fitted) if args.fitted else None,
        "force_plates": None if args.quick else evaluate_force_plates(body),
        "real": None if args.quick else evaluate_recorded_trials(body, args.captures, args.fits),
    }


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
