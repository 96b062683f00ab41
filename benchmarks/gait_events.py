"""python benchmarks/gait_events.py --json gait_events.json

Errors of initial contacts, foot offs, speed and cadence that are detected from joints: on synthetic subjects, healthy
and with each pathology, and on recorded trials whose laboratories marked the events (skipped if not available).
``false_positives`` are events near no true one; laboratories do not mark all events. Prints one JSON object; --quick
simulates one subject per kind and fits no recorded trial.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import BodyArguments, run
from fit_recorded_trials import fit_trials
from numpy.typing import NDArray
from recorded_trials import CAPTURES, captures_available, recorded_subjects

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.capture.recording import GaitEvent
from gait.cli.arguments import argument
from gait.kinematics.gait_events import SIDES, detect_gait_events
from gait.kinematics.gait_features import compute_gait_features
from gait.synthetic.pathologies import PATHOLOGY_NAMES, make_pathology
from gait.synthetic.subject import make_subject
from gait.synthetic.trial import make_trial

HEALTHY = "healthy"
NEAR_S = 0.15
"""Maximum distance between a detected event and the true one."""
END_S = 0.3
"""Events this close to an end of the trial do not count as missed, because their swing or stance is incomplete."""

LABELS = ("Foot Strike", "Foot Off")


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    subjects: int = argument(6, "synthetic subjects per kind")
    captures: Path = argument(CAPTURES, "folder of real recordings")


QUICK = {"subjects": 1}


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
        values: dict[str, float | None] = dict.fromkeys(("mean_ms", "sd_ms", "worst_ms"))
        if len(error):
            values = {"mean_ms": float(error.mean()), "sd_ms": float(error.std()), "worst_ms": float(abs(error).max())}
        return {**values, "events": len(error), "missed": self.missed, "false_positives": self.false_positives}


def event_errors(found_s: NDArray[np.float64], true_s: NDArray[np.float64], seconds: float) -> EventErrors:
    """Compare events of one label and one foot in one trial, seconds from the first frame."""
    distance = found_s[:, None] - true_s
    near = np.abs(distance) <= NEAR_S
    nearest = [float(row[np.abs(row).argmin()]) for row, hit in zip(distance, near, strict=True) if hit.any()]
    inside = (true_s > END_S) & (true_s < seconds - END_S)
    return EventErrors(tuple(nearest), int((inside & ~near.any(axis=0)).sum()), len(found_s) - len(nearest))


def trial_event_errors(
    joints_m: NDArray[np.floating], rate_hz: float, true_s: Mapping[tuple[str, str], Iterable[float]]
) -> dict[str, EventErrors]:
    """Compare the events of both feet in one trial, by label; ``true_s`` is by label and side."""
    events = detect_gait_events(joints_m, rate_hz)
    seconds = len(joints_m) / rate_hz
    return {
        label: sum(
            (
                event_errors(by_side[side] / rate_hz, np.array([*true_s[label, side]], dtype=np.float64), seconds)
                for side in SIDES
            ),
            EventErrors(),
        )
        for label, by_side in zip(LABELS, (events.initial_contacts, events.foot_offs), strict=True)
    }


def event_times(events: Sequence[GaitEvent], start_s: float = 0.0) -> dict[tuple[str, str], list[float]]:
    """Return the times, relative to ``start_s``, by label and side."""
    return {
        key: [event.time_s - start_s for event in events if (event.label, event.side) == key]
        for key in product(LABELS, SIDES)
    }


def evaluate_synthetic_trials(body: Body, subjects: int) -> dict[str, Any]:
    """Evaluate events, speed and cadence on true joints, by pathology."""
    result: dict[str, Any] = {}
    for kind in (HEALTHY, *PATHOLOGY_NAMES):
        total = dict.fromkeys(LABELS, EventErrors())
        relative_errors: dict[str, list[float]] = {"walking_speed": [], "cadence": []}
        for seed in range(subjects):
            pathology = None if kind == HEALTHY else make_pathology(kind)
            trial = make_trial(body, make_subject(body, seed, adult=True), pathology, seed=seed)
            truth = trial.ground_truth
            found = trial_event_errors(truth.joints_m, truth.rate_hz, event_times(trial.events))
            total = {label: total[label] + found[label] for label in LABELS}
            features = compute_gait_features(truth.joints_m, truth.rate_hz)
            stride_s, stride_m = trial.pattern.stride_time_s, trial.pattern.stride_length_m
            for name, is_true in (("walking_speed", stride_m / stride_s), ("cadence", 120 / stride_s)):
                relative_errors[name].append(abs(features[name] / is_true - 1))
        result[kind] = {label: errors.metrics() for label, errors in total.items()}
        result[kind] |= {f"{name}_worst_percent": 100 * max(values) for name, values in relative_errors.items()}
    return result


def evaluate_recorded_trials(body: Body, captures: Path) -> dict[str, Any] | None:
    """Evaluate events on fitted trials against the laboratories' events; None if the recordings are not available."""
    if not captures_available(captures, "recorded trials are skipped"):
        return None
    result = {}
    total = dict.fromkeys(LABELS, EventErrors())
    for trial in fit_trials(recorded_subjects(captures), captures, body):
        recording = trial.trial_fit.recording
        true = event_times(recording.events, recording.start_s)
        if not any(true.values()):
            continue
        found = trial_event_errors(trial.trial_fit.joints_m, recording.rate_hz, true)
        total = {label: total[label] + found[label] for label in LABELS}
        result[trial.name] = {label: errors.metrics() for label, errors in found.items()}
    return {"all": {label: errors.metrics() for label, errors in total.items()}, "by_trial": result}


def main(args: Arguments) -> dict[str, Any]:
    body = load_body(args.model)
    return {
        "synthetic": evaluate_synthetic_trials(body, args.subjects),
        "real": None if args.quick else evaluate_recorded_trials(body, args.captures),
    }


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
