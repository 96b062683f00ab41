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
the marker errors reported for the original trials. ``unusual`` lists those reported for error-free synthetic trials of
unusual movement, of 1 or 1.3 times the usual speed, half of them with the markers of the lower body alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
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
from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.cli.arguments import argument
from gait.fitting.fit_recordings import fit_recordings
from gait.fitting.marker_quality.marker_error import MarkerError
from gait.fitting.subject_fit import TrialFit
from gait.synthetic.inject_errors import (
    FILE_INJECTORS,
    FILLS,
    INJECTORS,
    LEG_LANDMARKS,
    InjectedError,
    inject_error,
)
from gait.synthetic.subject import make_subject
from gait.synthetic.trial import RATE_HZ, make_trial
from gait.synthetic.virtual_markers import PLUG_IN_GAIT_39, MeasurementErrors, record_markers

Movement = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.floating]]
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
    synthetic: int = argument(12, "synthetic trials per unusual movement")
    seed: int = argument(1, "seed of the injections")
    threads: int = argument(2, "threads of torch")
    captures: Path = argument(CAPTURES, "folder of real recordings")


QUICK = {"injections": 3, "synthetic": 1}


@dataclass(frozen=True)
class CleanTrial:
    """A trial without injected errors, the static trials of its subject, and the fit of the trial."""

    name: str  # path relative to the captures folder
    recordings: tuple[Recording, ...]  # the static trials, then the trial
    fit: TrialFit


def main(args: Arguments) -> dict[str, Any]:
    body = load_body(args.model)
    layout = plug_in_gait_layout(body)
    result: dict[str, Any] = {"unusual": fit_unusual_movements(args, body, layout)}
    if captures_available(args.captures, "no errors can be injected"):
        trials = list(islice(fit_clean_trials(args, body, layout), args.injections))
        kinds = {kind: evaluate_kind(kind, trials, args, body, layout) for kind in args.kinds}
        result |= {
            "passed": sum(k["passed"] for k in kinds.values()),
            "tried": sum(k["tried"] for k in kinds.values()),
            "failures": [f for k in kinds.values() for f in k["failures"]],
            "kinds": {name: {**k, "failures": len(k["failures"])} for name, k in kinds.items()},
            "clean": {trial.name: [error.message for error in trial.fit.marker_errors] for trial in trials},
        }
    return result


def fit_unusual_movements(args: Arguments, body: Body, layout: MarkerLayout) -> dict[str, dict[str, list[str]]]:
    """Return the marker errors reported for synthetic trials without any, by movement and trial."""
    return {
        f"{name}, speed {speed:g}": {
            f"trial {seed}": [error.message for error in fit.marker_errors]
            for seed in range(args.synthetic)
            for fit in fit_recordings([unusual_trial(body, layout, move, speed, seed)], body, layout).trials
        }
        for name, move in (("walk", None), ("kick", kick), ("toe bend", bend_toes))
        for speed in (1.0, 1.3)
    }


def unusual_trial(body: Body, layout: MarkerLayout, move: Movement | None, speed: float, seed: int) -> Recording:
    """Record a synthetic trial of 1.5 or 3 s at 100 Hz, played at another speed, with a movement added to its poses."""
    random = np.random.default_rng([7, seed])
    seconds = speed * (1.5 if seed % 3 == 0 else 3.0)
    subject = make_subject(body, 100 + seed)
    truth = make_trial(body, subject, seconds=seconds, rate_hz=RATE_HZ / speed, seed=seed).ground_truth
    if move is not None:
        truth = replace(truth, poses=move(truth.poses, random).astype(np.float32))
    labels = [name for name in PLUG_IN_GAIT_39 if seed % 2 or name[1:] in ("ASI", "PSI", *LEG_LANDMARKS)]
    markers = record_markers(
        body, truth, layout.select(labels), MeasurementErrors(), subject_seed=subject.seed, trial_seed=seed
    )
    visible = np.asarray(np.isfinite(markers.positions_m).all(axis=-1))
    return Recording(Path(f"trial{seed}.c3d"), markers.labels, markers.positions_m, visible, RATE_HZ)


def kick(poses: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.floating]:
    """Add a kick of one leg, within 0.24 to 0.7 s, to poses (T, P)."""
    middle, width = random.uniform(0.3, 0.7) * len(poses), random.uniform(0.12, 0.35) * RATE_HZ
    side = random.choice(["LEFT", "RIGHT"])
    poses = rotate_joint(poses, Joint[f"{side}_HIP"], -random.uniform(40, 110), middle, width)
    return rotate_joint(poses, Joint[f"{side}_KNEE"], random.uniform(20, 60), middle - 0.7 * width, 0.6 * width)


def bend_toes(poses: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.floating]:
    """Add a movement of ankles and toes, within 0.2 to 1.6 s, to poses (T, P)."""
    middle, width = random.uniform(0.3, 0.7) * len(poses), random.uniform(0.1, 0.8) * RATE_HZ
    for side in (("LEFT",), ("RIGHT",), ("LEFT", "RIGHT"))[random.integers(3)]:
        poses = rotate_joint(poses, Joint[f"{side}_ANKLE"], random.uniform(-20, 40), middle, width)
        poses = rotate_joint(poses, Joint[f"{side}_FOOT"], -random.uniform(20, 60), middle, width)
    return poses


def rotate_joint(
    poses: NDArray[np.floating], joint: Joint, degrees: float, middle: float, width: float
) -> NDArray[np.floating]:
    """Rotate a joint of poses (T, P) about its x axis and back, within ``width`` frames before and after a middle."""
    t = np.clip(np.abs(np.arange(len(poses)) - middle) / width, 0, 1)
    angle = np.radians(degrees) * (0.5 + 0.5 * np.cos(np.pi * t))
    columns = slice(3 * joint, 3 * joint + 3)
    added = Rotation.from_rotvec(angle[:, None] * [1.0, 0.0, 0.0])
    moved = poses.astype(np.float64)
    moved[:, columns] = (Rotation.from_rotvec(poses[:, columns]) * added).as_rotvec()
    return moved


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
        filled = changed_markers(clean.recordings[-1], bad) if kind in FILLS else set()
        additional += sum(f.marker not in filled for f in found if not any(f is each for each in detected))
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


def changed_markers(recording: Recording, bad: Recording) -> set[str]:
    """Return the labels of the markers whose positions differ, also of filled ones that hardly moved."""
    pairs = zip(recording.positions_m.swapaxes(0, 1), bad.positions_m.swapaxes(0, 1), strict=True)
    same = [np.array_equal(before, after, equal_nan=True) for before, after in pairs]
    return {label for label, unchanged in zip(bad.labels, same, strict=True) if not unchanged}


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
