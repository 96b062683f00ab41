"""python benchmarks/fit_speed.py --json fit_speed.json

How fast poses are fitted, beside the published method on the same walk, body, machine and threads, and how much memory
a long recording takes. Prints one JSON object:

 * ``frames_per_second``: the pose stage alone, the median of some runs; shape and placement of the person, found once
   before it, are ``calibration_s``.
 * ``residual_mm`` of that fit, and ``thorough_residual_mm`` of the same walk when every frame is solved until nothing
   is left to gain: what stopping early costs.
 * ``beside_opensim``: the pose stage on two recordings as they are, beside what inverse kinematics of OpenSim 4.6 (full
   body, scaled and with markers placed by the static trial, on two cores of such a machine) took for them:
   ``times_its_frames_per_second``, and ``part_of_its_rms``.
 * ``cuda``: frames a second of the pose stage on a graphics card, where there is one, and how far its joints are from
   the processor's.
 * ``published_frames_per_second``: the published method from its second frame on, when it starts from the frame before
   (``published_first_frame_s`` is what it takes before that). ``ratio`` is by this faster figure.
 * ``peak_memory_mb``: of a process that fits a long recording and does nothing else, all of it.

Run it on a machine that does nothing else: the two methods suffer differently from other load. ``load_average`` is the
machine's when the measurement starts.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_args import benchmark_parser, values
from bench_output import load_average, made_by, publish
from long_trial import one_walk
from recorded_trials import CAPTURES, MODEL, repeated
from reference_fit import fit_frames

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.capture import Recording, read_recording
from gait.errors import GaitError
from gait.fitting import pose_trajectory as pose_course
from gait.fitting.solver.levenberg_marquardt import SolverOptions
from gait.fitting.subject_fit import SubjectFit, fit_person

OPENSIM = {"healthy/HC033A/walk10.c3d": (33.0, 12.2), "cerebral_palsy/CP01/walk.c3d": (37.0, 9.6)}
"""Frames a second and RMS in mm of OpenSim 4.6's inverse kinematics, measured once; it is no part of the suite."""


@dataclass(frozen=True)
class Arguments:
    """Of the command line."""

    frames: int = 20_000
    """Of the recording that speed is measured on."""
    runs: int = 5
    """Of the pose stage."""
    published_frames: int = 4
    """Of the published method."""
    published_seconds: float = 180.0
    """A frame of the published method that takes longer is cut off there."""
    memory_frames: int = 20_000
    """Of the recording that memory is measured on."""
    threads: int = 2
    """That torch uses, for both methods."""
    model: Path = MODEL
    """Body model file."""
    captures: Path = CAPTURES
    """Real recordings; a synthetic walker takes their place."""
    json: Path | None = None
    """File for the result."""


QUICK: dict[str, Any] = {
    "frames": 500,
    "runs": 1,
    "published_frames": 2,
    "published_seconds": 5.0,
    "memory_frames": 1000,
}
"""What ``--quick`` changes: minutes become seconds, and the figures rough."""


def main(args: Arguments) -> None:
    torch.set_num_threads(args.threads)
    load = load_average()
    body = load_body(args.model)
    walk = one_walk(args.captures, body)
    long = repeated(walk, args.frames)
    ours = pose_speed(long, body, args.runs)
    # On a body of its own: what a fit in inference mode left cached in the other cannot be differentiated.
    published = published_speed(walk, load_body(args.model), args.published_frames, args.published_seconds)
    result = {
        **ours,
        **published,
        "ratio": ours["frames_per_second"] / published["published_frames_per_second"],
        "beside_opensim": beside_opensim(args.captures, body, args.runs),
        "cuda": speed_on_cuda(long, args),
        "peak_memory_mb": memory_of_a_fit(args),
        "markers": len(walk.labels),
        "walk": walk.path.name,
        "load_average": load,
        "made_by": made_by(args, body),
    }
    publish(result, args.json)


def pose_speed(recording: Recording, body: Body, runs: int) -> dict[str, Any]:
    """Fit a recording some times; a short fit before them wakes the threads."""
    layout = plug_in_gait_layout(body)
    fit_person([repeated(recording, 100)], body, layout)
    persons = [fit_person([recording], body, layout) for _ in range(runs)]
    rates = [recording.frames / person.gaits[0].seconds for person in persons]
    with solved_thoroughly():
        thorough = fit_person([repeated(recording, min(recording.frames, 1000))], body, layout)
    return {
        "frames_per_second": float(np.median(rates)),
        "frames_per_second_runs": rates,
        "residual_mm": mean_residual_mm(persons[0]),
        "thorough_residual_mm": mean_residual_mm(thorough),
        "calibration_s": float(np.median([person.seconds for person in persons])),
    }


def mean_residual_mm(person: SubjectFit) -> float:
    """Of a person's only recording."""
    return 1e3 * float(np.nanmean(person.gaits[0].residual_m))


@contextmanager
def solved_thoroughly() -> Iterator[None]:
    """Every frame is solved until nothing is left to gain."""
    stages = ("FROM_SCRATCH", "FROM_NEIGHBOURS", "ON_THE_COURSE")
    usual = [getattr(pose_course, stage) for stage in stages]
    for stage in stages:
        setattr(pose_course, stage, SolverOptions(most_iterations=60, tolerance=1e-6))
    try:
        yield
    finally:
        for stage, effort in zip(stages, usual, strict=True):
            setattr(pose_course, stage, effort)


def beside_opensim(captures: Path, body: Body, runs: int) -> dict[str, dict[str, float]]:
    """The pose stage on recordings that OpenSim was measured on; nothing where they are missing."""
    layout = plug_in_gait_layout(body)
    found = {}
    for name, (rate, rms_mm) in OPENSIM.items():
        if not (captures / name).is_file():
            continue
        recording = read_recording(captures / name)
        gaits = [fit_person([recording], body, layout).gaits[0] for _ in range(runs)]
        frames_per_second = float(np.median([recording.frames / gait.seconds for gait in gaits]))
        our_rms_mm = 1e3 * float(np.sqrt(np.nanmean(gaits[0].residual_m ** 2)))
        found[name] = {
            "frames": recording.frames,
            "frames_per_second": frames_per_second,
            "rms_mm": our_rms_mm,
            "times_its_frames_per_second": frames_per_second / rate,
            "part_of_its_rms": our_rms_mm / rms_mm,
        }
    return found


def speed_on_cuda(recording: Recording, args: Arguments) -> dict[str, float] | None:
    """The same on a graphics card; None where there is none."""
    if not torch.cuda.is_available():
        return None
    body = load_body(args.model)
    here = fit_person([recording], body, plug_in_gait_layout(body))
    there_body = body.to(device="cuda")
    layout = plug_in_gait_layout(body)
    fit_person([recording], there_body, layout)
    there = [fit_person([recording], there_body, layout).gaits[0] for _ in range(args.runs)]
    apart = np.linalg.norm(there[0].joints_m - here.gaits[0].joints_m, axis=-1)
    return {
        "frames_per_second": float(np.median([recording.frames / gait.seconds for gait in there])),
        "joints_apart_mm_mean": 1e3 * float(apart.mean()),
        "joints_apart_mm_most": 1e3 * float(apart.max()),
    }


def published_speed(recording: Recording, body: Body, frames: int, seconds_a_frame: float) -> dict[str, Any]:
    """Run the published method on the first frames, one after another."""
    fitted = fit_frames(body, plug_in_gait_layout(body), recording, range(frames), seconds_a_frame=seconds_a_frame)
    # One that follows a frame which was cut off has that one's work left to do, and says little of the method.
    warm = [frame for before, frame in pairwise(fitted) if before.converged] or fitted[1:]
    iterations = sum(frame.iterations for frame in fitted)
    seconds = sum(frame.seconds for frame in fitted)
    return {
        "published_frames_per_second": len(warm) / sum(frame.seconds for frame in warm),
        "published_frames_per_second_with_the_first": len(fitted) / seconds,
        "published_first_frame_s": fitted[0].seconds,
        "published_residual_mm": 1e3 * float(np.mean([np.nanmean(frame.residual_m) for frame in warm])),
        "published_iterations": [frame.iterations for frame in fitted],
        "published_iteration_ms": 1e3 * seconds / iterations,
        "published_frames_cut_off": sum(not frame.converged for frame in fitted),
    }


def memory_of_a_fit(args: Arguments) -> float:
    """Peak memory of a process that fits one long recording, MB."""
    options = {
        "--frames": args.memory_frames,
        "--threads": args.threads,
        "--model": args.model,
        "--captures": args.captures,
    }
    command = [sys.executable, str(Path(__file__).with_name("peak_memory.py"))]
    command += [str(word) for option in options.items() for word in option]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line."""
    parser = benchmark_parser(
        "Frames a second of the pose stage, beside the published method, and peak memory, as JSON.",
        "seconds rather than minutes, rough figures",
    )
    parser.add_argument("--frames", type=int, help="of the recording that speed is measured on")
    parser.add_argument("--runs", type=int, help="of the pose stage; the median counts")
    parser.add_argument("--published_frames", type=int, help="of the published method, two or more")
    parser.add_argument("--published_seconds", type=float, help="after which a frame of it is cut off")
    parser.add_argument("--memory_frames", type=int, help="of the recording that memory is measured on")
    parser.add_argument("--threads", type=int, help="that torch uses, for both methods")
    parser.add_argument("--model", type=Path, help="body model file")
    parser.add_argument("--captures", type=Path, help="folder of real recordings")
    arguments = Arguments(**values(parser, words, QUICK))
    if arguments.published_frames < 2:
        parser.error("--published_frames: two or more; the first one is not what the method's speed is measured on")
    return arguments


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except GaitError as error:
        sys.exit(str(error))
