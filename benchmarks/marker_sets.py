"""python benchmarks/marker_sets.py --json marker_sets.json

The fit of recordings of every marker set, on the open body. Prints one JSON object:

 * ``synthetic``: per marker set, of synthetic subjects whose files have only the names of that set: ``understood``,
   fraction of the names that are read as a marker; ``joints_mm``, mean error of the joints that the fit says are
   observed, over all frames; ``observed``, their fraction; ``by_joint_mm``. With a placement error of 10 mm, technical
   markers also shifted along their segment, 1 mm noise and 2 % gaps.
 * ``captures``: per recorded trial with a lateral and a medial marker on knees or ankles, mean distance of the fitted
   joint from the midpoint of the two, ``with`` the medial markers in the fit and ``without`` them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import BodyArguments, run
from recorded_trials import CAPTURES, captures_available
from synthetic_subjects import TYPICAL_ERRORS, drop_markers, subject_names

from gait.body.body import Body
from gait.body.joint_status import JointStatus
from gait.body.marker_placement import marker_set_layout
from gait.body.model_file import load_body
from gait.body.skeleton import BODY_JOINTS, NUM_BODY_JOINTS, Joint
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.cli.arguments import argument
from gait.fitting.fit_recordings import fit_recordings
from gait.fitting.subject_fit import TrialFit
from gait.marker_sets import MARKER_SETS, MARKERS
from gait.marker_sets.marker_set import MarkerSet
from gait.synthetic.cohort import parse_subject_name
from gait.synthetic.recording_files import read_ground_truth, write_recording
from gait.synthetic.subject import make_subject
from gait.synthetic.trial import make_trial

PAIRS = {
    "LEFT_KNEE": ("LKNE", "LKNM"), "RIGHT_KNEE": ("RKNE", "RKNM"),
    "LEFT_ANKLE": ("LANK", "LMED"), "RIGHT_ANKLE": ("RANK", "RMED"),
}  # fmt: skip
"""Lateral and medial marker of each joint."""

MAX_FRAMES = 600
"""Recorded trials are cut to this number of frames."""


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    sets: tuple[str, ...] | None = argument(None, "marker sets, by file name; all that can be recorded if None")
    healthy: int = argument(2, "healthy synthetic subjects per set")
    sick: int = argument(2, "synthetic subjects with a pathology per set")
    seconds: float = argument(2.0, "duration of a synthetic trial")
    threads: int = argument(2, "threads of torch")
    captures: Path = argument(CAPTURES, "folder of real recordings; without them, they are skipped")


QUICK = {"healthy": 1, "sick": 0, "seconds": 0.8, "sets": ("davis_bts",), "captures": Path("none")}


def main(args: Arguments) -> dict[str, Any]:
    body = load_body(args.model)
    names = args.sets or tuple(name for name, each in MARKER_SETS.items() if each.recorded)
    people = subject_names(args.healthy, args.sick)
    synthetic = {name: evaluate_set(MARKER_SETS[name], people, body, args.seconds) for name in names}
    result: dict[str, Any] = {"synthetic": synthetic}
    if captures_available(args.captures, "recorded trials are skipped"):
        result["captures"] = dict(compare_with_midpoints(args.captures, body))
    return result


def evaluate_set(marker_set: MarkerSet, subjects: tuple[str, ...], body: Body, seconds: float) -> dict[str, Any]:
    """Fit synthetic subjects whose recordings have the names of one marker set."""
    print(marker_set.title, file=sys.stderr)
    layout = marker_set_layout(body, marker_set)
    understood, errors, observed = [], [], []
    for name in subjects:
        spec = parse_subject_name(name)
        trial = make_trial(body, make_subject(body, spec.seed), spec.pathology, seconds=seconds, seed=1)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "walk1.c3d"
            write_recording(trial, body, layout, path, errors=TYPICAL_ERRORS, marker_set=marker_set)
            recording, truth = read_recording(path), read_ground_truth(path)
        understood.append(np.mean([label in MARKERS for label in recording.labels]))
        (fit,) = fit_recordings([recording], body).trials
        errors.append(np.linalg.norm(fit.joints_m[:, :NUM_BODY_JOINTS] - truth.joints_m, axis=-1))
        observed.append(fit.joint_status == JointStatus.OBSERVED)
    error = np.where(np.concatenate(observed), np.concatenate(errors), np.nan)  # (T, 22)
    return {
        "markers": layout.num_markers,
        "understood": float(np.mean(understood)),
        "joints_mm": 1e3 * float(np.nanmean(error)),
        "observed": float(np.mean(np.concatenate(observed))),
        "by_joint_mm": {
            joint.name.lower(): 1e3 * float(np.nanmean(error[:, joint])) if np.isfinite(error[:, joint]).any() else None
            for joint in BODY_JOINTS
        },
    }


def compare_with_midpoints(captures: Path, body: Body) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the distances of fitted knees and ankles from the midpoints of their markers, per recorded trial, mm."""
    medial = frozenset(inner for _, inner in PAIRS.values())
    for path in sorted(path for path in captures.rglob("*") if path.suffix.lower() in (".c3d", ".trc")):
        recording = first_frames(read_recording(path), MAX_FRAMES)
        if not any(set(pair) <= set(recording.labels) for pair in PAIRS.values()):
            continue
        print(path.name, file=sys.stderr)
        distances = {}
        for key, used in (("with", recording), ("without", drop_markers(recording, medial))):
            (fit,) = fit_recordings([used], body).trials
            distances[key] = midpoint_distances(fit, recording)
        yield path.relative_to(captures).as_posix(), distances


def midpoint_distances(fit: TrialFit, recording: Recording) -> dict[str, float]:
    """Return the mean distance of each joint from the midpoint of its markers in ``recording``, mm."""
    distances = {}
    for joint, pair in PAIRS.items():
        if set(pair) <= set(recording.labels):
            outer, inner = (recording.positions_m[:, recording.labels.index(label)] for label in pair)
            distance = np.linalg.norm(fit.joints_m[:, Joint[joint]] - (outer + inner) / 2, axis=-1)
            distances[joint.lower()] = 1e3 * float(np.nanmean(distance[fit.valid_frames.valid]))
    return distances


def first_frames(recording: Recording, count: int) -> Recording:
    """Return the part of a recording with the first frames in which most of its markers are visible."""
    seen = np.flatnonzero(recording.visible.mean(axis=1) > 0.5)
    start = int(seen[0]) if len(seen) else 0
    rows = slice(start, start + count)
    return replace(recording, positions_m=recording.positions_m[rows], visible=recording.visible[rows])


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
