"""python benchmarks/marker_error_detection.py --json marker_error_detection.json

Detection of marker errors that are injected into recorded trials. Every kind is injected many times
(``gait.synthetic.inject_errors``; marker, frames and size are drawn from a seed), each time into one trial, which is
fitted as on the command line, together with the subject's static trial if there is one. An injected error is detected
if one reported marker error has its kind, its markers and its frames: the reported and the injected frames overlap by
at least 0.8 of their union, or differ by at most three frames at both ends; errors of the whole recording are reported
as such, and linear fills of several markers as one per marker. Recordings that are wrong as a whole (left and right
swapped, an axis reversed) are fitted with ``--repair``, all others without. Injected frames are those in which the
marker is displaced by more than 20 mm, so that the imperceptible beginning of a drift does not count.

Prints one JSON object with ``passed``, ``evaluate_kind`` and ``failures`` over all kinds. ``kinds`` has the same per
kind, and ``joints_mm``: mean error of the 22 joints in the injected frames against the fit of the original recording,
its mean over all injections and the worst (if an axis is reversed, after a rigid alignment of the trial, because a
mirrored trial has another orientation); ``additional`` counts reported errors that were not injected. ``clean`` lists
the marker errors reported for the original trials.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import BodyArguments, run
from numpy.typing import NDArray
from recorded_trials import CAPTURES, captures_available, is_walking_trial, recorded_subjects
from scipy.spatial.transform import Rotation

from gait.body.body import Body
from gait.body.marker_layout import MarkerLayout
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.cli.arguments import argument
from gait.fitting.fit_recordings import fit_recordings
from gait.fitting.marker_quality.marker_error import MarkerError
from gait.fitting.subject_fit import TrialFit
from gait.synthetic.inject_errors import FILE_INJECTORS, FILLS, INJECTORS, InjectedError, inject_error

MIN_OVERLAP = 0.8
MAX_END_DIFFERENCE = 3
KINDS = (*(kind for kind in INJECTORS if kind not in FILLS), *FILE_INJECTORS, *FILLS)
WITH_REPAIR = ("left_right_swap", "mirrored")
REPORTED_KINDS = {"pair_swap": "label_swap"}
"""Kinds under which injected errors are reported, if different."""


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    kinds: tuple[str, ...] = argument(KINDS, "kinds of marker errors", choices=KINDS)
    injections: int = argument(30, "injections per kind")
    seed: int = argument(1, "seed of the injections")
    threads: int = argument(2, "threads of torch")
    captures: Path = argument(CAPTURES, "folder of real recordings")


QUICK = {"injections": 3}


@dataclass(frozen=True)
class CleanTrial:
    """A trial without injected errors, the static trials of its subject, and the fit of the trial."""

    name: str  # path relative to the captures folder
    recordings: tuple[Recording, ...]  # the static trials, then the trial
    fit: TrialFit


def main(args: Arguments) -> dict[str, Any]:
    body = load_body(args.model)
    layout = plug_in_gait_layout(body)
    result: dict[str, Any] = {}
    if captures_available(args.captures, "no errors can be injected"):
        trials = list(islice(fit_clean_trials(args, body, layout), args.injections))
        kinds = {kind: evaluate_kind(kind, trials, args, body, layout) for kind in args.kinds}
        result = {
            "passed": sum(k["passed"] for k in kinds.values()),
            "tried": sum(k["tried"] for k in kinds.values()),
            "failures": [f for k in kinds.values() for f in k["failures"]],
            "kinds": {name: {**k, "failures": len(k["failures"])} for name, k in kinds.items()},
            "clean": {trial.name: [error.message for error in trial.fit.marker_errors] for trial in trials},
        }
    return result


def fit_clean_trials(args: Arguments, body: Body, layout: MarkerLayout) -> Iterator[CleanTrial]:
    """Fit each trial without injected errors."""
    for subject in recorded_subjects(args.captures):
        print(f"fitting {subject.name}", file=sys.stderr)
        static = [read_recording(path) for path in subject.paths if not is_walking_trial(path)]
        for path in filter(is_walking_trial, subject.paths):
            recordings = (*static, read_recording(path))
            fit = fit_recordings(recordings, body, layout).trials[-1]
            yield CleanTrial(path.relative_to(args.captures).as_posix(), recordings, fit)


def evaluate_kind(
    kind: str, trials: Sequence[CleanTrial], args: Arguments, body: Body, layout: MarkerLayout
) -> dict[str, Any]:
    """Inject one kind of error many times, each time into the next trial."""
    failures, distances, additional = [], [], 0
    for number in range(args.injections):
        clean = trials[number % len(trials)]
        random = np.random.default_rng([args.seed, KINDS.index(kind), number])
        bad, truth = inject_error(clean.recordings[-1], kind, layout.labels, random)
        fit = fit_recordings((*clean.recordings[:-1], bad), body, layout, repair=kind in WITH_REPAIR).trials[-1]
        in_clean_trial = {(f.kind, f.marker, f.other) for f in clean.fit.marker_errors}
        found = [f for f in fit.marker_errors if (f.kind, f.marker, f.other) not in in_clean_trial]
        expected = [replace(truth, markers=(name,)) for name in truth.markers] if kind in FILLS else [truth]
        detected = [next((f for f in found if is_detected(each, f)), None) for each in expected]
        additional += len(found) - len(detected) + detected.count(None)
        rows = slice(truth.first_frame - bad.first_frame, truth.last_frame - bad.first_frame + 1)
        distance = joint_error_mm(fit, clean.fit, rows, align=kind == "mirrored")
        distances.append(distance)
        description = (
            f"{kind} {number}: {clean.name} {', '.join(truth.markers)} {truth.first_frame} to {truth.last_frame}"
        )
        print(f"{description}: {[f.message for f in found]}, joints {distance:.1f} mm", file=sys.stderr, flush=True)
        if None in detected:
            failures.append({"kind": kind, "injected": description, "found": [f.message for f in found]})
    return {
        "passed": args.injections - len(failures),
        "tried": args.injections,
        "failures": failures,
        "additional": additional,
        "joints_mm": {"mean": float(np.mean(distances)), "worst": float(np.max(distances))},
    }


def is_detected(truth: InjectedError, error: MarkerError) -> bool:
    """Return whether a reported marker error is the injected one: its kind, its markers, its frames."""
    markers = {name for name in (error.marker, error.other) if name is not None}
    if error.kind != REPORTED_KINDS.get(truth.kind, truth.kind) or markers != set(truth.markers):
        return False
    overlap = min(error.last_frame, truth.last_frame) - max(error.first_frame, truth.first_frame) + 1
    union = max(error.last_frame, truth.last_frame) - min(error.first_frame, truth.first_frame) + 1
    end_difference = max(abs(error.first_frame - truth.first_frame), abs(error.last_frame - truth.last_frame))
    return overlap >= MIN_OVERLAP * union or end_difference <= MAX_END_DIFFERENCE


def joint_error_mm(fit: TrialFit, clean: TrialFit, rows: slice, *, align: bool) -> float:
    """Return the mean distance of the body joints from those of the clean fit in some frames of the trial."""
    joints: list[NDArray[np.float64]] = [f.joints_m[rows, :NUM_BODY_JOINTS] for f in (fit, clean)]
    if align:
        a, b = (j.reshape(-1, 3) - j.reshape(-1, 3).mean(axis=0) for j in joints)
        rotation, _ = Rotation.align_vectors(b, a)
        return float(np.linalg.norm(rotation.apply(a) - b, axis=-1).mean() * 1e3)
    return float(np.linalg.norm(joints[0] - joints[1], axis=-1).mean() * 1e3)


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
