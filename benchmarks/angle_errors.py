"""python benchmarks/angle_errors.py --json angle_errors.json

Do the standard errors of joint angles hold? Synthetic walkers of any age, half of them with a pathology, are fitted and
compared with their true angles. An error is the fitted angle minus the true one, with the landmarks where they are on
the true body, and the markers where they really were: palpation is not part of the error.

Prints one JSON object: ``within``, the fraction of errors within one standard error (nominally 0.68), and ``rms_z``,
the root mean square of error over standard error (nominally 1): of all angles, sides and frames together, of each angle
(with the RMS ``error_deg`` and ``standard_error_deg``), and of groups of subjects. ``means`` has the same of the mean
over each trial's frames, ``differences`` of the differences between frames a quarter of a second apart.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import BodyArguments, run
from numpy.typing import NDArray
from synthetic_subjects import TYPICAL_ERRORS, simulate_trials, subject_names

from gait.arrays import Vector
from gait.body.anatomy import read_anatomy
from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.cli.arguments import argument
from gait.fitting.fit_recordings import fit_recordings
from gait.kinematics.angle_errors import compute_angle_errors
from gait.kinematics.joint_angles import ANGLES, compute_joint_angles
from gait.synthetic.cohort import parse_subject_name
from gait.synthetic.subject import MIN_ADULT_STATURE_M, make_subject

APART_S = 0.25
FRAME_STEP = 10
"""Errors of neighbouring frames are nearly equal: every tenth is evaluated."""


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    healthy: int = argument(52, "healthy subjects")
    sick: int = argument(52, "subjects with a pathology; they cycle through the pathologies")
    trials: int = argument(2, "trials per subject")


QUICK = {"healthy": 1, "sick": 1, "trials": 1}


@dataclass(frozen=True)
class Errors:
    """Errors of one angle of one trial and their standard errors, degrees."""

    angle: str
    error: Vector  # (N,) of single frames
    standard: Vector  # (N,)
    mean: NDArray[np.float64]  # (1, 2) of the mean over the frames: error and standard error
    difference: Vector  # (D, 2) of differences between two frames: error and standard error


def main(args: Arguments) -> dict[str, Any]:
    body = load_body(args.model)
    found: dict[str, list[Errors]] = {}
    for name in subject_names(args.healthy, args.sick):
        print(f"fitting {name}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            known = simulate_trials(name, body, TYPICAL_ERRORS, Path(folder), trials=args.trials)
        fits = fit_recordings([trial.recording for trial in known], body).trials
        found[name] = [
            errors
            for fit, trial in zip(fits, known, strict=True)
            for errors in trial_errors(fit.pose_sequences, true_sequence(trial.ground_truth, body))
        ]
    return summarize(found, body)


def true_sequence(truth: PoseSequence, body: Body) -> PoseSequence:
    """Return the true poses with the true body's landmarks and the true places of the recorded markers."""
    anatomy = read_anatomy(body, truth.betas)
    assert anatomy is not None
    offsets = dict(zip(truth.extra["marker_labels"].tolist(), truth.extra["marker_offsets_m"], strict=True))
    own = dict(zip(anatomy.landmarks, anatomy.landmarks_m, strict=True))
    places = {name: own[name] + offset for name, offset in offsets.items() if name in own}
    return replace(truth, anatomy=anatomy.with_markers(places))


def trial_errors(fitted: tuple[PoseSequence, ...], truth: PoseSequence) -> Iterator[Errors]:
    """Yield the errors of each angle and side of one trial; midline angles, which are the same on both, once."""
    true_angles = compute_joint_angles(truth)
    for sequence in fitted:
        angles, standard_errors = compute_joint_angles(sequence), compute_angle_errors(sequence)
        assert standard_errors is not None
        frames = np.arange(0, sequence.num_frames, FRAME_STEP)
        apart = round(APART_S * sequence.rate_hz)
        for definition in ANGLES:
            for side in ("left",) if definition.midline else ("left", "right"):
                key = (definition.name, side)
                true = true_angles[key][sequence.first_frame - 1 :][: sequence.num_frames]
                error = (angles[key] - true + 180) % 360 - 180
                of_angle = partial(standard_errors.of_sum, *key)
                seen = frames[np.isfinite(error[frames])].astype(np.float64)
                pairs = np.stack([frames, frames + apart], axis=1)[::3]
                pairs = pairs[pairs[:, 1] < len(error)]
                pairs = pairs[np.isfinite(error[pairs]).all(axis=1)]
                if not len(seen):
                    continue
                differences = [
                    (error[second] - error[first], standard_errors.of_difference(*key, first, second))
                    for first, second in pairs.tolist()
                ]
                equal = np.full(len(seen), 1 / len(seen))
                yield Errors(
                    definition.name,
                    error[frames],
                    standard_errors.of_frames(*key)[frames],
                    np.array([(np.nanmean(error[frames]), of_angle(seen, equal))]),
                    np.array(differences).reshape(-1, 2),
                )


def summarize(found: Mapping[str, list[Errors]], body: Body) -> dict[str, Any]:
    """Return the result of the benchmark from the errors of each subject."""
    every = [errors for subject in found.values() for errors in subject]

    def of(chosen: list[Errors]) -> dict[str, float]:
        error, standard = (np.concatenate([getattr(e, name) for e in chosen]) for name in ("error", "standard"))
        return coverage(error, standard)

    seeds = {name: parse_subject_name(name).seed for name in found}
    adult = {name: make_subject(body, seed).stature_m >= MIN_ADULT_STATURE_M for name, seed in seeds.items()}
    groups = {
        "healthy": [e for name, errors in found.items() if name.startswith("healthy") for e in errors],
        "pathological": [e for name, errors in found.items() if not name.startswith("healthy") for e in errors],
        "adults": [e for name, errors in found.items() if adult[name] for e in errors],
        "children": [e for name, errors in found.items() if not adult[name] for e in errors],
    }
    return {
        "subjects": len(found),
        "all": of(every),
        "angles": {a.name: of([e for e in every if e.angle == a.name]) for a in ANGLES},
        "groups": {name: of(chosen) for name, chosen in groups.items() if chosen},
        "means": by_angle([(e.angle, e.mean) for e in every]),
        "differences": by_angle([(e.angle, e.difference) for e in every]),
    }


def by_angle(values: list[tuple[str, NDArray[np.float64]]]) -> dict[str, dict[str, float]]:
    """Return the coverage of pairs (N, 2) of error and standard error, of all and by angle."""
    both = {"all": np.concatenate([pairs for _, pairs in values])}
    both |= {a.name: np.concatenate([pairs for name, pairs in values if name == a.name]) for a in ANGLES}
    return {name: coverage(pairs[:, 0], pairs[:, 1]) for name, pairs in both.items()}


def coverage(error: Vector, standard: Vector) -> dict[str, float]:
    """Return how errors compare with their standard errors."""
    known = np.isfinite(error) & np.isfinite(standard)
    error, standard = error[known], standard[known]
    return {
        "within": float((np.abs(error) <= standard).mean()),
        "rms_z": float(np.sqrt(((error / standard) ** 2).mean())),
        "error_deg": float(np.sqrt((error**2).mean())),
        "standard_error_deg": float(np.sqrt((standard**2).mean())),
    }


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
