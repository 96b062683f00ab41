"""python benchmarks/end_to_end_speed.py --json whole_command.json

How long ``shape_optimizer.py`` takes for a cohort of short walks, as a person waits for it: from the start of the
process to the last file, reading, calibration, poses, reports and pictures included. Prints one JSON object:

 * ``whole_command_frames_per_s``: frames of all gaits by that time, the median of some runs.
 * ``to_the_first_gait_s``: until the first gait's folder is there.

Run it on a machine that does nothing else; ``load_average`` is the machine's when the measurement starts.
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
from bench_output import load_average, made_by, publish
from recorded_trials import MODEL
from synthetic_cohort import fit_command, fit_environment, write_cohort

from gait.body.model_file import load_body
from gait.errors import GaitError
from gait.motion.pose_files import pose_sequences


@dataclass(frozen=True)
class Arguments:
    """Of the command line."""

    persons: int = 8
    """In the cohort."""
    walks: int = 3
    """Of each person."""
    walk_s: float = 3.0
    """Length of a walk, at 100 frames a second."""
    runs: int = 3
    """Of the command."""
    workers: int | None = None
    """That the command is told to use; left to it by default."""
    model: Path = MODEL
    """Body model file, in a folder SUPR."""
    json: Path | None = None
    """File for the result."""


QUICK: dict[str, Any] = {"persons": 2, "walks": 2, "walk_s": 1.0, "runs": 1}
"""What ``--quick`` changes: the start of the process is most of the time then."""


def main(args: Arguments) -> None:
    load = load_average()
    body = load_body(args.model)
    with tempfile.TemporaryDirectory(prefix="whole_command_") as folder:
        cohort = write_cohort(Path(folder), body, persons=args.persons, walks=args.walks, seconds=args.walk_s)
        runs = [one_run(cohort, args, Path(folder) / f"out{k}") for k in range(args.runs)]
    result = {
        "whole_command_frames_per_s": float(np.median([run["frames"] / run["seconds"] for run in runs])),
        "frames": runs[0]["frames"],
        "gaits": args.persons * args.walks,
        "seconds": [run["seconds"] for run in runs],
        "to_the_first_gait_s": float(np.median([run["to_the_first_gait_s"] for run in runs])),
        "load_average": load,
        "made_by": made_by(args, body),
    }
    publish(result, args.json)


def one_run(cohort: Path, args: Arguments, save_folder: Path) -> dict[str, Any]:
    """Fit the cohort into a fresh folder."""
    words = [] if args.workers is None else ["--workers", str(args.workers)]
    command = fit_command(cohort, args.model, save_folder, *words)
    began = time.time()  # by the clock that dates the files
    done = subprocess.run(command, env=fit_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise GaitError(f"the command ended with code {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
    written = sorted(path.stat().st_mtime for path in save_folder.rglob("*.*") if path.is_file())
    folders = [path.parent for path in save_folder.rglob("poses.npz")]
    return {
        "frames": sum(sequence.frames for folder in folders for sequence in pose_sequences(folder)),
        "seconds": written[-1] - began,
        "to_the_first_gait_s": min(folder.stat().st_ctime for folder in folders) - began,
    }


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line."""
    parser = benchmark_parser("Frames a second of the whole command, as JSON.", "a tiny cohort, a rough figure")
    parser.add_argument("--persons", type=int, help="in the cohort")
    parser.add_argument("--walks", type=int, help="of each person")
    parser.add_argument("--walk_s", type=float, help="length of a walk, seconds")
    parser.add_argument("--runs", type=int, help="of the command; the median counts")
    parser.add_argument("--workers", type=int, help="that the command is told to use")
    parser.add_argument("--model", type=Path, help="body model file, in a folder SUPR")
    return Arguments(**values(parser, words, QUICK))


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except GaitError as error:
        sys.exit(str(error))
