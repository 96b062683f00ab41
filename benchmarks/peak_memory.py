"""python benchmarks/peak_memory.py --frames 20000

Fits one long recording and nothing else, and prints the most memory that the process ever held, in MB (10⁶ bytes):
interpreter, libraries, reading and calibration included. ``fit_speed.py`` runs it as a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from long_trial import long_walk
from recorded_trials import CAPTURES, MODEL

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.errors import GaitError
from gait.fitting.subject_fit import fit_person


@dataclass(frozen=True)
class Arguments:
    """Of the command line."""

    frames: int = 20_000
    """Of the recording."""
    threads: int = 2
    """That torch uses."""
    model: Path = MODEL
    """Body model file."""
    captures: Path = CAPTURES
    """Real recordings; a synthetic walker takes their place."""


def main(args: Arguments) -> None:
    torch.set_num_threads(args.threads)
    body = load_body(args.model)
    fit_person([long_walk(args.captures, body, args.frames)], body, plug_in_gait_layout(body))
    print(peak_memory_mb())


def peak_memory_mb() -> float:
    """Most resident memory of this process so far.

    From ``VmHWM`` where there is one: ``getrusage`` counts what the parent process held before this one started.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes / 1e6


def parse_arguments(words: list[str] | None = None) -> Arguments:
    parser = argparse.ArgumentParser(description="Peak memory of fitting one long recording, in MB.")
    parser.add_argument("--frames", type=int, default=Arguments.frames, help="of the recording")
    parser.add_argument("--threads", type=int, default=Arguments.threads, help="that torch uses")
    parser.add_argument("--model", type=Path, default=Arguments.model, help="body model file")
    parser.add_argument("--captures", type=Path, default=Arguments.captures, help="folder of real recordings")
    return Arguments(**vars(parser.parse_args(words)))


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except GaitError as error:
        sys.exit(str(error))
