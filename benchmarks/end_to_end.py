"""python benchmarks/end_to_end.py --json end_to_end.json

The whole ``shape_optimizer.py``, from the start of the command to its end: reading, calibration, poses, checks, reports
and figures of a cohort of short synthetic trials, beside the published method. Prints one JSON object:

 * ``whole``, ``without_pictures``: the command on the cohort with as many cores as ``cores`` has last, without and with
   ``--no_pictures``: ``seconds`` of each run, ``frames_per_second`` (the median), ``ratio`` to the published method,
   ``processor_seconds`` of all its processes, ``peak_memory_mb`` of all its processes.
 * ``first_trial_s``: time until the folder of the first trial exists.
 * ``published_frames_per_second``: the published method (``reference_fit.py``) on a trial of the same cohort, on as
   many threads, from its second frame on, which starts from the result of the first.
 * ``cores``: the whole command on each number of cores, and the ``speedup`` from the first to the last.
 * ``subjects``, ``frames``, ``marker_sets``: processor time and peak memory on cohorts that differ in the number of
   subjects (of one trial), of frames (one subject) and of markers; ``exponent``: processor time grows as this power.
 * ``static_and_walk``: the whole command on one static trial and one walk of a real subject, and the solve alone on one
   core and with one walk on each of two, beside OpenSim 4.6 (scaling, marker placement, inverse kinematics) on the same
   recordings. Left out without ``--opensim_python``, a Python that has the package ``opensim``.

The runs of all commands are interleaved. Run it on an idle machine, for an hour with its default sizes;
``load_average`` is the machine's at the start. It needs Linux.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark import REPOSITORY, BodyArguments, run
from fit_speed import measure_reference_speed
from process_tree import TreeUsage, measure_command
from recorded_trials import CAPTURES, extend_recording
from recording_writer import C3dContent
from script_runs import ENVIRONMENT, fit_command

from gait.body.marker_placement import marker_set_layout, plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.open_body import OPEN_BODY
from gait.capture.read_recording import read_recording
from gait.cli.arguments import argument
from gait.fitting.fit_recordings import fit_recordings
from gait.marker_sets import MARKER_SETS
from gait.motion.pose_files import read_pose_sequences
from gait.synthetic import make_cohort
from gait.synthetic.cohort import build_subject, parse_subject_name
from gait.synthetic.recording_files import write_recording
from gait.synthetic.trial import make_trial

OPENSIM = REPOSITORY.parent / "shared" / "peers" / "opensim"


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    subjects: int = argument(50, "subjects of the cohort, half of them healthy")
    trials: int = argument(4, "trials per subject")
    trial_s: float = argument(3.0, "length of a trial, seconds, at 100 frames per second")
    runs: int = argument(5, "runs of each command, of which the median counts")
    cores: tuple[int, ...] = argument((1, 2), "numbers of cores", type=int)
    reference_frames: int = argument(4, "frames that are fitted with the published method in each run")
    reference_timeout_s: float = argument(180.0, "time limit per frame of the published method, seconds")
    against_subjects: tuple[int, ...] = argument((10, 100, 1000), "numbers of subjects", type=int)
    against_frames: tuple[int, ...] = argument((300, 3000, 30_000), "numbers of frames", type=int)
    against_marker_sets: tuple[str, ...] = argument(
        ("helen_hayes", "plug_in_gait", "cgm24"), "marker sets, which differ in the number of markers"
    )
    opensim: Path = argument(OPENSIM, "folder of the set-up of OpenSim and its timer run.py")
    opensim_python: Path | None = argument(None, "Python with the package opensim")
    captures: Path = argument(CAPTURES, "folder of real recordings, for the comparison with OpenSim")


QUICK = {
    "subjects": 2,
    "trials": 1,
    "trial_s": 0.5,
    "runs": 1,
    "cores": (2,),
    "reference_frames": 2,
    "reference_timeout_s": 0.3,
    "against_subjects": (),
    "against_frames": (),
    "against_marker_sets": (),
}


def main(args: Arguments) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="end_to_end_") as name:
        folder = Path(name)
        body = load_body(args.model)
        healthy, sick = (args.subjects + 1) // 2, args.subjects // 2
        cohort = make_cohort(folder / "cohort", healthy, sick, args.trials, seconds=args.trial_s, body=body)
        result = measure_cohort(cohort, args, folder)
        recordings = sorted(cohort.parent.rglob("*.c3d"))
        return {
            **result,
            "subjects": against([many_subjects(recordings, n, folder) for n in args.against_subjects], args, folder),
            "frames": against([long_trial(recordings[0], n, folder) for n in args.against_frames], args, folder),
            "marker_sets": against([markers_of(each, args, folder) for each in args.against_marker_sets], args, folder),
            "static_and_walk": compare_with_opensim(args, folder),
        }


@dataclass(frozen=True)
class FitRun:
    """One run of the command on a cohort."""

    usage: TreeUsage
    frames: int
    first_trial_s: float


def run_command(cohort: Path, args: Arguments, folder: Path, *words: str, cores: int | None = None) -> FitRun:
    """Fit a cohort into a new folder, which is removed afterwards."""
    with tempfile.TemporaryDirectory(dir=folder) as save_folder:
        began = time.time()  # the clock of the files' time stamps
        command = fit_command(cohort, args.model, Path(save_folder), *words)
        usage = measure_command(command, ENVIRONMENT, cores or args.cores[-1])
        folders = [path.parent for path in Path(save_folder).rglob("poses.npz")]
        # A folder gets its name when all its files are written.
        first = min(each.stat().st_ctime for each in folders) - began
        frames = sum(sequence.num_frames for each in folders for sequence in read_pose_sequences(each))
        assert "--no_pictures" in words or all((each / "fit.png").is_file() for each in folders)
    return FitRun(usage, frames, first)


def measure_cohort(cohort: Path, args: Arguments, folder: Path) -> dict[str, Any]:
    """Run the command with and without pictures and on fewer cores, and the published method, in turn."""
    runs: dict[str, list[FitRun]] = {}
    published: list[float] = []
    walk = read_recording(next(cohort.parent.rglob("*.c3d")))
    for _ in range(args.runs):
        for cores in args.cores:
            runs.setdefault(f"{cores} cores", []).append(run_command(cohort, args, folder, cores=cores))
        runs.setdefault("no pictures", []).append(run_command(cohort, args, folder, "--no_pictures"))
        torch.set_num_threads(args.cores[-1])
        reference = measure_reference_speed(
            walk, load_body(args.model), args.reference_frames, args.reference_timeout_s
        )
        published.append(reference["reference_frames_per_second"])
    rate = float(np.median(published))
    whole = {cores: summarize(runs[f"{cores} cores"], rate) for cores in args.cores}
    return {
        "trials": args.subjects * args.trials,
        "whole": whole[args.cores[-1]],
        "without_pictures": summarize(runs["no pictures"], rate),
        "published_frames_per_second": rate,
        "published_runs": published,
        "cores": {
            **{str(cores): found["frames_per_second"] for cores, found in whole.items()},
            "speedup": whole[args.cores[-1]]["frames_per_second"] / whole[args.cores[0]]["frames_per_second"],
        },
    }


def summarize(runs: Sequence[FitRun], published: float) -> dict[str, Any]:
    rate = float(np.median([each.frames / each.usage.seconds for each in runs]))
    return {
        "fitted_frames": runs[0].frames,
        "seconds": [each.usage.seconds for each in runs],
        "frames_per_second": rate,
        "ratio": rate / published,
        "first_trial_s": float(np.median([each.first_trial_s for each in runs])),
        "processor_seconds": float(np.median([each.usage.processor_seconds for each in runs])),
        "peak_memory_mb": float(np.median([each.usage.peak_memory_mb for each in runs])),
    }


# --- cost against size -----------------------------------------------------------------------------------------------


def against(cohorts: Sequence[tuple[int, Path]], args: Arguments, folder: Path) -> dict[str, Any] | None:
    """Fit cohorts of growing size (size, cohort file) once each; None without cohorts."""
    if not cohorts:
        return None
    found = []
    for size, cohort in cohorts:
        usage = run_command(cohort, args, folder).usage
        found.append({"size": size, **asdict(usage)})
    sizes = np.log([each["size"] for each in found])
    seconds = np.log([each["processor_seconds"] for each in found])
    exponent = float(np.polyfit(sizes, seconds, 1)[0]) if len(found) > 1 else None
    return {"runs": found, "exponent": exponent}


def write_cohort(file: Path, recordings: Mapping[str, Sequence[Path]]) -> Path:
    """Write a cohort file of healthy subjects."""
    content = {
        name: {"trials": [str(path) for path in paths], "healthy": True, "constrained_model": False}
        | {"model_file": OPEN_BODY}
        for name, paths in recordings.items()
    }
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def many_subjects(recordings: Sequence[Path], count: int, folder: Path) -> tuple[int, Path]:
    """Return (count, cohort of that many subjects), each with one trial; the recordings repeat."""
    trials = {f"subject_{k}": [recordings[k % len(recordings)]] for k in range(count)}
    return count, write_cohort(folder / f"subjects_{count}.json", trials)


def long_trial(recording: Path, frames: int, folder: Path) -> tuple[int, Path]:
    """Return (frames, cohort of one subject with one trial), which plays a recording forward and backward."""
    extended = extend_recording(read_recording(recording), frames)
    positions_mm = 1000 * extended.positions_m[..., [2, 0, 1]].astype(np.float32)
    path = folder / f"frames_{frames}.c3d"
    path.write_bytes(C3dContent(list(extended.labels), positions_mm, extended.rate_hz).to_bytes())
    return frames, write_cohort(path.with_suffix(".json"), {"subject": [path]})


def markers_of(name: str, args: Arguments, folder: Path) -> tuple[int, Path]:
    """Return (number of markers, cohort of ten subjects who wear the markers of a marker set)."""
    body, marker_set, trials = load_body(args.model), MARKER_SETS[name], {}
    for k in range(10):
        spec = parse_subject_name(f"healthy_{k + 1}")
        path = folder / name / spec.name / "walk.c3d"
        trial = make_trial(body, build_subject(spec, body), None, seconds=args.trial_s, seed=1)
        markers = write_recording(trial, body, marker_set_layout(body, marker_set), path, marker_set=marker_set)
        trials[spec.name] = [path]
    return len(markers.labels), write_cohort(folder / f"{name}.json", trials)


# --- beside OpenSim --------------------------------------------------------------------------------------------------

SUBJECTS = {"HC033A": ("healthy/HC033A", "walk10.c3d"), "CP01": ("cerebral_palsy/CP01", "walk.c3d")}
"""Name of each subject in OpenSim's set-up -> folder among the captures, walk; the other trial is static.c3d."""


def compare_with_opensim(args: Arguments, folder: Path) -> dict[str, Any] | None:
    """Measure both on one static trial and one walk of each subject; None where OpenSim or the captures are missing."""
    trials = {name: args.captures / place / walk for name, (place, walk) in SUBJECTS.items()}
    if args.opensim_python is None or not all(each.is_file() for each in (args.opensim / "run.py", *trials.values())):
        print("OpenSim or the captures are not available; the comparison is left out.", file=sys.stderr)
        return None
    cores = range(1, 1 + min(2, len(os.sched_getaffinity(0))))
    found = {}
    for name, walk in trials.items():
        cohort = write_cohort(folder / f"{name}.json", {name: [walk.with_name("static.c3d"), walk]})
        ours_s, theirs_s = [], []
        ours_per_s: dict[int, list[float]] = {n: [] for n in cores}
        theirs_per_s: dict[int, list[float]] = {n: [] for n in cores}
        for _ in range(args.runs):
            ours_s.append(run_command(cohort, args, folder, cores=cores[-1]).usage.seconds)
            theirs_s.append(run_opensim(args, name, "--whole")["wall_s"])
            for n in cores:
                ours_per_s[n].append(solve_together(walk, args.model, n))
                theirs_per_s[n].append(run_opensim(args, name, "--together", str(n))["per_s"])
        solve = {n: (np.median(ours_per_s[n]), np.median(theirs_per_s[n])) for n in cores}
        found[name] = {
            "command_s": ours_s,
            "opensim_s": theirs_s,
            "fraction_of_time": float(np.median(ours_s) / np.median(theirs_s)),
            "solve_frames_per_second": {str(n): ours for n, (ours, _) in solve.items()},
            "opensim_frames_per_second": {str(n): theirs for n, (_, theirs) in solve.items()},
            "solve_ratio": {str(n): ours / theirs for n, (ours, theirs) in solve.items()},
        }
    return found


def run_opensim(args: Arguments, name: str, *words: str) -> dict[str, float]:
    """Run OpenSim's timer on one trial once."""
    command = [str(args.opensim_python), str(args.opensim / "run.py"), "--trial", name, "--runs", "1", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def solve_together(walk: Path, model: Path, processes: int) -> float:
    """Solve a walk in several processes at once, each on one core; return the frames per second of all."""
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        return sum(pool.map(solve, [walk] * processes, [model] * processes))


def solve(walk: Path, model: Path) -> float:
    """Return the frames per second of the pose stage on one core, as the median of three fits after a first one."""
    torch.set_num_threads(1)
    body, recording = load_body(model), read_recording(walk)
    layout = plug_in_gait_layout(body)
    seconds = [fit_recordings([recording], body, layout).trials[0].seconds for _ in range(4)]
    return recording.num_frames / float(np.median(seconds[1:]))


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
