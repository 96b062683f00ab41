"""python benchmarks/peak_memory.py --frames 20000

Fits one long recording and prints the peak memory of the process in MB (10⁶ bytes), including interpreter, libraries,
reading and calibration. ``fit_speed.py`` runs it in a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from long_trial import make_long_recording
from recorded_trials import CAPTURES, MODEL

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.errors import GaitError
from gait.fitting.subject_fit import fit_recordings


@dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    frames: int = 20_000
    """Length of the recording."""
    threads: int = 2
    """Threads of torch."""
    model: Path = MODEL
    """Body model file."""
    captures: Path = CAPTURES
    """Folder of real recordings; without them a synthetic trial is used."""


def main(args: Arguments) -> None:
    torch.set_num_threads(args.threads)
    body = load_body(args.model)
    fit_recordings([make_long_recording(args.captures, body, args.frames)], body, plug_in_gait_layout(body))
    print(peak_memory_mb())


def peak_memory_mb() -> float:
    """Return the peak resident memory of this process.

    Uses ``VmHWM`` if available, because ``getrusage`` includes memory of the parent process before the fork.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes / 1e6


def parse_arguments(words: list[str] | None = None) -> Arguments:
    parser = argparse.ArgumentParser(description="Peak memory of fitting one long recording, in MB.")
    parser.add_argument("--frames", type=int, default=Arguments.frames, help="length of the recording")
    parser.add_argument("--threads", type=int, default=Arguments.threads, help="threads of torch")
    parser.add_argument("--model", type=Path, default=Arguments.model, help="body model file")
    parser.add_argument("--captures", type=Path, default=Arguments.captures, help="folder of real recordings")
    return Arguments(**vars(parser.parse_args(words)))


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except GaitError as error:
        sys.exit(str(error))
