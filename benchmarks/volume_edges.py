"""python benchmarks/volume_edges.py --json volume_edges.json

Fits of trials in which the markers come and go at both ends, as when a subject walks in and out of the volume that the
cameras see. Each seed takes one recorded trial of ``../shared/captures`` and hides markers near its ends: each segment
of the body enters on its own, within the first second, so that the recording begins with four to ten markers; some
markers flicker before they stay. The fit is compared with that of the whole trial.

Prints one JSON object. Per seed: ``max_frame_mm``, the largest mean residual of a kept frame with six or more visible
markers; ``joint_p99_mm`` and ``joint_max_mm``, distance of the observed joints of kept frames from the whole trial's
fit, ``kept`` (fraction of the frames of the whole trial's fit that are kept), ``complete_frames`` (frames in which no
marker is hidden; short recordings have none), and ``marker_errors`` that the whole trial does not have. ``worst`` has
the largest of each, and the largest ``joint_p99_mm`` of trials with complete frames.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import BodyArguments, run
from recorded_trials import CAPTURES, captures_available, is_walking_trial, recorded_subjects

from gait.body.joint_status import JointStatus
from gait.body.model_file import load_body
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.capture.marker_heights import visible_mask
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.cli.arguments import argument
from gait.fitting.fit_recordings import fit_recordings
from gait.fitting.subject_fit import TrialFit

MIN_VISIBLE = 6
ENTRY_S = 1.0
"""Time within which all markers have entered."""
MIN_ENTERED = 4
"""Frames before this many markers have entered have none."""
CENTRAL_PARTS = ("FHD BHD", "C7 T10 CLAV STRN RBAK SHO", "ASI PSI SACR")
PARTS = (*CENTRAL_PARTS, "UPA ELB FRM WRA WRB FIN", "THI KNE KNM TIB", "ANK MED HEE TOE")
"""Markers that enter together if the trial is cut by segments; arms, legs and feet enter per side."""


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    seeds: int = argument(30, "number of cut trials")
    threads: int = argument(2, "threads of torch")
    captures: Path = argument(CAPTURES, "folder of real recordings")


QUICK = {"seeds": 2}


def main(args: Arguments) -> dict[str, Any]:
    result: dict[str, Any] = {"trials": [], "worst": {}}
    if not captures_available(args.captures, "nothing is measured"):
        return result
    body = load_body(args.model)
    paths = [path for each in recorded_subjects(args.captures) for path in each.paths if is_walking_trial(path)]
    whole: dict[Path, TrialFit] = {}
    for seed in range(args.seeds):
        path = paths[seed % len(paths)]
        if path not in whole:
            whole[path] = fit_recordings([read_recording(path)], body).trials[0]
        # without the marker errors of the whole trial, which are harder to find in a part of it
        cut = hide_at_ends(whole[path].recording, np.random.default_rng(seed))
        one = compare(fit_recordings([cut], body).trials[0], whole[path])
        result["trials"].append({"seed": seed, "trial": path.relative_to(args.captures).as_posix(), **one})
    rows = result["trials"]
    result["worst"] = {
        "max_frame_mm": max(row["max_frame_mm"] for row in rows),
        "joint_p99_mm": max(row["joint_p99_mm"] for row in rows),
        "joint_p99_mm_with_complete_frames": max(
            (r["joint_p99_mm"] for r in rows if r["complete_frames"]), default=None
        ),
        "joint_max_mm": max(row["joint_max_mm"] for row in rows),
        "kept": min(row["kept"] for row in rows),
        "marker_errors": sum(len(row["marker_errors"]) for row in rows),
    }
    return result


def hide_at_ends(recording: Recording, rng: np.random.Generator) -> Recording:
    """Return the recording with markers hidden near both ends, of which some flicker before they stay visible.

    The markers enter through a plane across the walking direction, segment by segment, or one by one.
    """
    T, M = recording.visible.shape
    positions = recording.positions_m.copy()
    way = rng.choice(("plane", "segment", "marker"))
    for backward in (False, True):
        x = recording.positions_m[::-1] if backward else recording.positions_m
        second = round(ENTRY_S * recording.rate_hz)
        centre = np.nanmedian(x[: 2 * second], axis=1)  # (T', 3)
        ahead = centre[-1] - centre[0]
        ahead = ahead / np.linalg.norm(ahead)
        if way == "plane":  # as far as the trunk walks in half the time
            limit = centre[0] @ ahead + rng.uniform(0.2, 0.6) * float((centre[second] - centre[0]) @ ahead)
            hidden = np.nan_to_num(x @ ahead, nan=-np.inf) < limit
            hidden &= np.logical_or.accumulate(hidden[::-1], axis=0)[::-1]
        else:
            keys = [segment_of(label) if way == "segment" else label for label in recording.labels]
            entry = {key: rng.uniform(0, second) for key in dict.fromkeys(keys)}
            first = min(entry, key=lambda key: entry[key])
            enters = np.array([entry[key] * (key != first) for key in keys]) + rng.uniform(0, 0.1 * second, M)
            hidden = np.arange(T)[:, None] < enters
        flickering = rng.random(M) < 0.2
        hidden &= ~(flickering & (rng.random((T, M)) < 0.2))
        few = (~hidden & np.isfinite(x).all(axis=2)).sum(axis=1) < MIN_ENTERED
        begins = int(np.argmax(~few))
        hidden[:begins] = True
        positions[hidden[::-1] if backward else hidden] = np.nan
    return replace(recording, positions_m=positions, visible=visible_mask(positions))


def segment_of(label: str) -> str:
    """Return the part of the body that a marker enters with; arms, legs and feet enter per side."""
    side = label[0] if label[0] in "LR" and label != "RBAK" else ""
    part = next((part for part in PARTS if label.removeprefix(side) in part.split()), label)
    return part if part in CENTRAL_PARTS else side + part


def compare(cut: TrialFit, whole: TrialFit) -> dict[str, Any]:
    """Compare the fit of a cut trial with that of the whole trial."""
    segments = cut.valid_frames.segments
    both = np.zeros(cut.recording.num_frames, dtype=bool)
    for segment in segments:
        both[segment] = True
    kept = float(both.sum() / sum(segment.stop - segment.start for segment in whole.valid_frames.segments))
    for excluded in whole.valid_frames.excluded:
        both[excluded] = False
    visible = np.isfinite(cut.residual_m).sum(axis=1)
    frames = both & (visible >= MIN_VISIBLE)
    observed = np.zeros((cut.recording.num_frames, NUM_BODY_JOINTS), dtype=bool)
    for segment, sequence in zip(segments, cut.pose_sequences, strict=True):
        observed[segment] = sequence.joint_status == JointStatus.OBSERVED
    distance = np.linalg.norm(cut.joints_m - whole.joints_m, axis=2)[:, :NUM_BODY_JOINTS]
    distance = distance[observed & both[:, None]] * 1e3
    known = {(error.kind, error.marker) for error in whole.marker_errors}
    return {
        "max_frame_mm": float(np.nanmean(cut.residual_m[frames], axis=1).max() * 1e3),
        "joint_mean_mm": float(distance.mean()),
        "joint_p99_mm": float(np.quantile(distance, 0.99)),
        "joint_max_mm": float(distance.max()),
        "observed": float(observed[both].mean()),
        "kept": kept,
        "complete_frames": int((cut.recording.visible == whole.recording.visible).all(axis=1).sum()),
        "marker_errors": [
            f"{error.marker} {error.kind}" for error in cut.marker_errors if (error.kind, error.marker) not in known
        ],
    }


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
