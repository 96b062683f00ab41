"""python benchmarks/end_to_end_speed.py --json end_to_end_speed.json

How long ``shape_optimizer.py`` takes for a cohort of short trials, from the start of the process to the last file:
reading, calibration, poses, reports and figures. Prints one JSON object:

 * ``end_to_end_frames_per_second``: frames of all trials / total time, the median of several runs.
 * ``first_trial_s``: time until the folder of the first trial exists.

Run it on an idle machine; ``load_average`` is the machine's at the start.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_args import benchmark_parser, values
from bench_output import load_average, provenance, publish
from recorded_trials import MODEL
from synthetic_cohort import fit_command, fit_environment, write_cohort

from gait.body.model_file import load_body
from gait.errors import GaitError
from gait.motion.pose_files import read_pose_sequences


@dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    subjects: int = 8
    """Subjects of the cohort."""
    trials: int = 3
    """Trials per subject."""
    trial_s: float = 3.0
    """Length of a trial, seconds, at 100 frames per second."""
    runs: int = 3
    """Runs of the command, of which the median counts."""
    workers: int | None = None
    """Passed on to the command; its own default if None."""
    model: Path = MODEL
    """Body model file, in a folder SUPR."""
    json: Path | None = None
    """File for the result."""


QUICK: dict[str, Any] = {"subjects": 2, "trials": 2, "trial_s": 1.0, "runs": 1}
"""Values that ``--quick`` changes; starting the process then takes most of the time."""


def main(args: Arguments) -> None:
    load = load_average()
    body = load_body(args.model)
    with tempfile.TemporaryDirectory(prefix="end_to_end_speed_") as folder:
        cohort = write_cohort(Path(folder), body, subjects=args.subjects, trials=args.trials, seconds=args.trial_s)
        runs = [measure_run(cohort, args, Path(folder) / f"out{k}") for k in range(args.runs)]
    result = {
        "end_to_end_frames_per_second": float(np.median([run["frames"] / run["seconds"] for run in runs])),
        "frames": runs[0]["frames"],
        "trials": args.subjects * args.trials,
        "seconds": [run["seconds"] for run in runs],
        "first_trial_s": float(np.median([run["first_trial_s"] for run in runs])),
        "load_average": load,
        "provenance": provenance(args, body),
    }
    publish(result, args.json)


def measure_run(cohort: Path, args: Arguments, save_folder: Path) -> dict[str, Any]:
    """Fit the cohort into a new folder."""
    words = [] if args.workers is None else ["--workers", str(args.workers)]
    command = fit_command(cohort, args.model, save_folder, *words)
    began = time.time()  # the clock of the files' time stamps
    done = subprocess.run(command, env=fit_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise GaitError(f"the command ended with code {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
    written = sorted(path.stat().st_mtime for path in save_folder.rglob("*.*") if path.is_file())
    folders = [path.parent for path in save_folder.rglob("poses.npz")]
    return {
        "frames": sum(sequence.num_frames for folder in folders for sequence in read_pose_sequences(folder)),
        "seconds": written[-1] - began,
        "first_trial_s": min(folder.stat().st_ctime for folder in folders) - began,
    }


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line."""
    parser = benchmark_parser("Frames per second of the whole command, as JSON.", "a tiny cohort, for a rough figure")
    parser.add_argument("--subjects", type=int, help="subjects of the cohort")
    parser.add_argument("--trials", type=int, help="trials per subject")
    parser.add_argument("--trial_s", type=float, help="length of a trial, seconds")
    parser.add_argument("--runs", type=int, help="runs of the command; the median counts")
    parser.add_argument("--workers", type=int, help="passed on to the command")
    parser.add_argument("--model", type=Path, help="body model file, in a folder SUPR")
    return Arguments(**values(parser, words, QUICK))


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except GaitError as error:
        sys.exit(str(error))
