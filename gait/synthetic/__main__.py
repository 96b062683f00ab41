"""python -m gait.synthetic --cohort example_cohort.json

Write the recordings listed in a cohort file of synthetic subjects.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gait.body.model_file import load_body
from gait.body.open_body import default_model_folder
from gait.cli.arguments import argument, parse
from gait.cli.exit_codes import run_main
from gait.synthetic.cohort import MODEL_FILE, write_recordings


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Flags of the command."""

    cohort: Path = argument(help="cohort file of synthetic subjects")
    model_folder: Path = argument(default_model_folder(), "folder with SUPR/" + MODEL_FILE)
    seed: int = argument(0, "another seed gives other subjects of the same names")
    overwrite: bool = argument(False, "rewrite recordings that exist already")


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    args = parse(Arguments, __doc__, argv, prog="python -m gait.synthetic")

    def write() -> int:
        start = time.perf_counter()
        torch.set_num_threads(1)  # the arrays are small: more threads only wait for each other
        body = load_body(args.model_folder / "SUPR" / MODEL_FILE)
        written = list(write_recordings(args.cohort, body=body, seed=args.seed, overwrite=args.overwrite))
        print(f"{len(written)} recordings written in {time.perf_counter() - start:.1f} s.")
        return 0

    return run_main(write, "interrupted; the recordings written so far are complete")


if __name__ == "__main__":
    sys.exit(main())
