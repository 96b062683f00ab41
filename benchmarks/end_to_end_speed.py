"""python benchmarks/end_to_end_speed.py --json end_to_end_speed.json

Duration of ``shape_optimizer.py`` for a cohort of short trials, from the start of the process to the folder of the
last trial: reading, calibration, poses, reports and figures. Prints one JSON object:

 * ``end_to_end_frames_per_second``: frames of all trials / total time, the median of several runs.
 * ``first_trial_s``: time until the folder of the first trial exists.

Run it on an idle machine; ``load_average`` is the machine's at the start.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import BodyArguments, run
from script_runs import fit_command, run_script

from gait.body.model_file import load_body
from gait.cli.arguments import argument
from gait.motion.pose_files import read_pose_sequences
from gait.synthetic import make_cohort


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    subjects: int = argument(8, "subjects of the cohort")
    trials: int = argument(3, "trials per subject")
    trial_s: float = argument(3.0, "length of a trial, seconds, at 100 frames per second")
    runs: int = argument(3, "runs of the command, of which the median counts")
    workers: int | None = argument(None, "passed on to the command; its own default if None")


QUICK = {"subjects": 2, "trials": 2, "trial_s": 1.0, "runs": 1}


def main(args: Arguments) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="end_to_end_speed_") as folder:
        subjects = (args.subjects + 1) // 2, args.subjects // 2
        cohort = make_cohort(folder, *subjects, args.trials, seconds=args.trial_s, body=load_body(args.model))
        runs = [measure_run(cohort, args, Path(folder) / f"out{k}") for k in range(args.runs)]
    return {
        "end_to_end_frames_per_second": float(np.median([run["frames"] / run["seconds"] for run in runs])),
        "frames": runs[0]["frames"],
        "trials": args.subjects * args.trials,
        "seconds": [run["seconds"] for run in runs],
        "first_trial_s": float(np.median([run["first_trial_s"] for run in runs])),
    }


def measure_run(cohort: Path, args: Arguments, save_folder: Path) -> dict[str, Any]:
    """Fit the cohort into a new folder."""
    words = [] if args.workers is None else ["--workers", str(args.workers)]
    command = fit_command(cohort, args.model, save_folder, *words)
    began = time.time()  # the clock of the files' time stamps
    run_script(command)
    folders = [path.parent for path in save_folder.rglob("poses.npz")]
    finished = [folder.stat().st_ctime for folder in folders]  # a folder gets its name when all its files are written
    return {
        "frames": sum(sequence.num_frames for folder in folders for sequence in read_pose_sequences(folder)),
        "seconds": max(finished) - began,
        "first_trial_s": min(finished) - began,
    }


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
