"""python benchmarks/marker_error_detection.py --json bad_data.json

Whether bad data planted in real walks is found and named. Every kind is planted so many times (marker, frames and size
from a seed, ``gait.synthetic.inject_errors``), each time into one walk of one person, which is then fitted as the
command line does, together with the person's static trial if there is one. A plant is passed if one finding has its
kind, its marker (of an exchange both) and its frames: the frames named and those planted, first to last, share at
least 0.8 of their union, or differ by three frames at most at either end; what befalls a whole recording is named as
such. Recordings that are wrong as a whole (all sides exchanged, an axis reversed) are fitted with ``--repair``, all
others without it. Planted frames are those in which the marker is more than 20 mm from where it was, so that the
unseen beginning of a slide does not count.

Prints one JSON object with ``passed``, ``tried`` and ``failures`` over all kinds; ``kinds`` has the same of each with
``joints_mm``: the 22 joints against the fit of the recording as it was, mean over joints and planted frames, the mean
over all plants and the worst (where an axis is reversed after one turn of the whole walk, which nothing tells);
``others`` counts findings about anything else than what was planted. ``clean`` lists what is found in the walks as
they are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_args import benchmark_parser, values
from bench_output import made_by, publish
from numpy.typing import NDArray
from recorded_trials import CAPTURES, MODEL, RecordedPerson, is_walk, recorded_persons, there_or_told
from scipy.spatial.transform import Rotation

from gait.body.body import Body
from gait.body.marker_layout import MarkerLayout
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.errors import GaitError
from gait.fitting.marker_quality.fit_with_qc import CheckedSubjectFit, fit_checked
from gait.fitting.marker_quality.marker_error import MarkerError
from gait.synthetic.inject_errors import PLANTS, PLANTS_IN_FILES, Planted, plant

FRAMES_SHARED = 0.8
ENDS_WITHIN = 3
KINDS = (*PLANTS, *PLANTS_IN_FILES)
REPAIRED = ("all sides exchanged", "mirrored")
CALLED = {"pair exchanged": "exchanged"}
"""What a plant is called where its kind has another name."""


@dataclass(frozen=True)
class Arguments:
    """Of the command line."""

    kinds: tuple[str, ...] = KINDS
    """Of bad data."""
    plants: int = 30
    """Of each kind."""
    seed: int = 1
    """Of the plants."""
    threads: int = 2
    """That torch uses."""
    model: Path = MODEL
    """Body model file."""
    captures: Path = CAPTURES
    """Real recordings."""
    json: Path | None = None
    """File for the result."""


QUICK: dict[str, Any] = {"plants": 3}
"""What ``--quick`` changes."""


@dataclass(frozen=True)
class CleanWalk:
    """A walk as it is, after the static trials of its person, and their fit."""

    name: str  # the file, from the captures' folder on
    recordings: tuple[Recording, ...]  # the walk is the last
    fit: CheckedSubjectFit


def main(args: Arguments) -> None:
    torch.set_num_threads(args.threads)
    body = load_body(args.model)
    layout = plug_in_gait_layout(body)
    result: dict[str, Any] = {}
    if there_or_told(args.captures, "nothing can be planted"):
        persons = recorded_persons(args.captures)
        walks = [walk for person in persons for walk in clean_walks(person, args.captures, body, layout)]
        kinds = {kind: tried(kind, walks, args, body, layout) for kind in args.kinds}
        result = {
            "passed": sum(k["passed"] for k in kinds.values()),
            "tried": sum(k["tried"] for k in kinds.values()),
            "failures": [f for k in kinds.values() for f in k["failures"]],
            "kinds": {name: {**k, "failures": len(k["failures"])} for name, k in kinds.items()},
            "clean": {walk.name: [fault.line for fault in walk.fit.faults[-1]] for walk in walks},
        }
    result["made_by"] = made_by(args, body)
    publish(result, args.json)


def clean_walks(person: RecordedPerson, captures: Path, body: Body, layout: MarkerLayout) -> list[CleanWalk]:
    """Fit each of a person's walks as it is."""
    print(f"fitting {person.name}", file=sys.stderr)
    static = [read_recording(path) for path in person.paths if not is_walk(path)]
    walks = []
    for path in filter(is_walk, person.paths):
        recordings = (*static, read_recording(path))
        walks.append(
            CleanWalk(path.relative_to(captures).as_posix(), recordings, fit_checked(recordings, body, layout))
        )
    return walks


def tried(kind: str, walks: Sequence[CleanWalk], args: Arguments, body: Body, layout: MarkerLayout) -> dict[str, Any]:
    """Plant one kind of fault again and again, each time into another walk."""
    failures, distances, others = [], [], 0
    for number in range(args.plants):
        clean = walks[number % len(walks)]
        random = np.random.default_rng([args.seed, KINDS.index(kind), number])
        bad, truth = plant(clean.recordings[-1], kind, layout.labels, random)
        fit = fit_checked((*clean.recordings[:-1], bad), body, layout, repair=kind in REPAIRED)
        usual = {(f.kind, f.marker, f.other) for f in clean.fit.faults[-1]}
        found = [f for f in fit.faults[-1] if (f.kind, f.marker, f.other) not in usual]
        right = [f for f in found if is_named(truth, f)]
        others += len(found) - len(right[:1])
        rows = slice(truth.first_frame - bad.first_frame, truth.last_frame - bad.first_frame + 1)
        distance = joint_distance_mm(fit, clean.fit, rows, turned=kind == "mirrored")
        distances.append(distance)
        told = f"{kind} {number}: {clean.name} {', '.join(truth.markers)} {truth.first_frame} to {truth.last_frame}"
        print(f"{told}: {[f.line for f in found]}, joints {distance:.1f} mm", file=sys.stderr, flush=True)
        if not right:
            failures.append({"kind": kind, "plant": told, "found": [f.line for f in found]})
    return {
        "passed": args.plants - len(failures),
        "tried": args.plants,
        "failures": failures,
        "others": others,
        "joints_mm": {"mean": float(np.mean(distances)), "worst": float(np.max(distances))},
    }


def is_named(truth: Planted, fault: MarkerError) -> bool:
    """Whether a finding is the planted fault: its kind, its markers, its frames."""
    markers = {name for name in (fault.marker, fault.other) if name is not None}
    if fault.kind != CALLED.get(truth.kind, truth.kind) or markers != set(truth.markers):
        return False
    shared = min(fault.last_frame, truth.last_frame) - max(fault.first_frame, truth.first_frame) + 1
    union = max(fault.last_frame, truth.last_frame) - min(fault.first_frame, truth.first_frame) + 1
    ends = max(abs(fault.first_frame - truth.first_frame), abs(fault.last_frame - truth.last_frame))
    return shared >= FRAMES_SHARED * union or ends <= ENDS_WITHIN


def joint_distance_mm(fit: CheckedSubjectFit, clean: CheckedSubjectFit, rows: slice, *, turned: bool) -> float:
    """Mean distance of the body joints in some frames of the walk from the clean fit's."""
    joints: list[NDArray[np.float64]] = [f.person.gaits[-1].joints_m[rows, :NUM_BODY_JOINTS] for f in (fit, clean)]
    if turned:
        a, b = (j.reshape(-1, 3) - j.reshape(-1, 3).mean(axis=0) for j in joints)
        rotation, _ = Rotation.align_vectors(b, a)
        return float(np.linalg.norm(rotation.apply(a) - b, axis=-1).mean() * 1e3)
    return float(np.linalg.norm(joints[0] - joints[1], axis=-1).mean() * 1e3)


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line."""
    parser = benchmark_parser("Whether bad data planted in real walks is named, as JSON.", "fewer plants")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="of bad data; all by default")
    parser.add_argument("--plants", type=int, help="of each kind")
    parser.add_argument("--seed", type=int, help="of the plants")
    parser.add_argument("--threads", type=int, help="that torch uses")
    parser.add_argument("--model", type=Path, help="body model file")
    parser.add_argument("--captures", type=Path, help="folder of real recordings")
    return Arguments(**values(parser, words, QUICK))


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except GaitError as error:
        sys.exit(str(error))
