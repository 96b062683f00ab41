"""python benchmarks/unknown_markers.py --json unknown_markers.json

Whether markers of unknown names help: synthetic subjects with Plug-in Gait's 39 markers, of which only a dozen keep
their names. Each trial is fitted with the others under unknown names, and without them. Prints one JSON object:

 * ``joints`` and ``hidden_marker``: mean error of the body joints, and of each of the dozen markers as the fit predicts
   it without that marker, in mm: ``with`` the others, ``without`` them, and ``not_worse``, the fraction of trials.
 * ``used``: fraction of the unknown markers that joined the fit; ``by_trial``: the errors of each.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import BodyArguments, run
from fit_recorded_trials import FittedTrial
from leave_one_marker_out import mean_mm, predict_left_out_markers
from synthetic_subjects import TYPICAL_ERRORS, drop_markers, simulate_trials, subject_names

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.capture.recording import Recording
from gait.cli.arguments import argument
from gait.fitting.fit_recordings import fit_recordings
from gait.fitting.subject_fit import SubjectFit

KNOWN = ("LASI", "RASI", "LPSI", "RPSI", "LKNE", "RKNE", "LANK", "RANK", "LTOE", "RTOE", "C7", "CLAV")


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    healthy: int = argument(20, "healthy synthetic subjects")
    sick: int = argument(20, "synthetic subjects with a pathology")
    frames: int = argument(200, "frames of each trial that are fitted")


QUICK = {"healthy": 1, "sick": 0, "frames": 60}


def main(args: Arguments) -> dict[str, Any]:
    body = load_body(args.model)
    trials = {name: compare(name, body, args.frames) for name in subject_names(args.healthy, args.sick)}
    result: dict[str, Any] = {}
    for what in ("joints", "hidden_marker"):
        pairs = np.array([[trial[f"{what}_{key}"] for key in ("with", "without")] for trial in trials.values()])
        result[what] = {
            "with": float(pairs[:, 0].mean()),
            "without": float(pairs[:, 1].mean()),
            "not_worse": float((pairs[:, 0] <= pairs[:, 1]).mean()),
        }
    return {**result, "used": float(np.mean([trial["used"] for trial in trials.values()])), "by_trial": trials}


def compare(name: str, body: Body, frames: int) -> dict[str, float]:
    """Fit one trial of a synthetic subject with and without its unknown markers; return the errors in mm."""
    print(name, file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        (simulated,) = simulate_trials(name, body, TYPICAL_ERRORS, Path(folder), trials=1)
    recording, truth = simulated.recording, simulated.ground_truth
    recording = replace(recording, positions_m=recording.positions_m[:frames], visible=recording.visible[:frames])
    others = [label for label in recording.labels if label not in KNOWN]
    unknown = {label: f"X{k:02d}" for k, label in enumerate(others)}
    renamed = replace(recording, labels=tuple(unknown.get(label, label) for label in recording.labels), marker_set="")
    found: dict[str, float] = {}
    for key, used in (("with", renamed), ("without", drop_markers(renamed, frozenset(unknown.values())))):
        fit = fit_recordings([used], body)
        found[f"joints_{key}"] = joint_error_mm(fit, truth)
        found[f"hidden_marker_{key}"] = hidden_marker_error_mm(fit, used, body)
        if key == "with":
            found["used"] = len(fit.technical) / len(unknown)
    return found


def joint_error_mm(fit: SubjectFit, truth: PoseSequence) -> float:
    (trial,) = fit.trials
    error = np.linalg.norm(trial.joints_m[:, :NUM_BODY_JOINTS] - truth.joints_m[: len(trial.joints_m)], axis=-1)
    return 1e3 * float(error[trial.valid_frames.kept].mean())


def hidden_marker_error_mm(fit: SubjectFit, recording: Recording, body: Body) -> float:
    """Return the mean error with which the fit predicts each of the known markers without it."""
    (trial,) = fit.trials
    distances = predict_left_out_markers(FittedTrial(recording.path.stem, fit, trial), body, labels=KNOWN)
    error = mean_mm([*distances.values()])
    assert error is not None
    return error


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
