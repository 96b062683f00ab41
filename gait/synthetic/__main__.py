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
from gait.body.open_body import OPEN_BODY, default_model_folder
from gait.cli.arguments import ArgumentError, argument, parse
from gait.cli.exit_codes import run_main
from gait.synthetic.cohort import SEVERITIES, Variety, write_recordings


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Flags of the command."""

    cohort: Path = argument(help="cohort file of synthetic subjects")
    model_folder: Path = argument(default_model_folder(), "folder with SUPR/" + OPEN_BODY)
    seed: int = argument(0, "another seed gives other subjects of the same names")
    variety: bool = argument(False, "subjects differ as real persons do, and some have harmless peculiarities")
    severity: tuple[float, float] = argument(
        SEVERITIES,
        "with --variety: range of pathologies' severity, 0 to 1",
        nargs=2,
        metavar=("LOW", "HIGH"),
    )
    control_pace: tuple[float, float] = argument(
        (1.0, 1.0), "with --variety: range of controls' speed / their own", nargs=2, metavar=("LOW", "HIGH")
    )
    peculiarity_draw: int = argument(0, "with --variety: another number gives the same subjects other peculiarities")
    overwrite: bool = argument(False, "rewrite recordings that exist already")

    def __post_init__(self) -> None:
        """Refuse flags that have no effect."""
        if not self.variety and (self.severity, self.control_pace, self.peculiarity_draw) != (SEVERITIES, (1, 1), 0):
            raise ArgumentError("--severity, --control_pace and --peculiarity_draw need --variety")


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    args = parse(Arguments, __doc__, argv, prog="python -m gait.synthetic")

    def write() -> int:
        start = time.perf_counter()
        torch.set_num_threads(1)  # the arrays are small: more threads only wait for each other
        body = load_body(args.model_folder / "SUPR" / OPEN_BODY)
        variety = Variety(args.severity, args.control_pace, peculiarity_draw=args.peculiarity_draw)
        recordings = write_recordings(
            args.cohort,
            body=body,
            seed=args.seed,
            overwrite=args.overwrite,
            variety=variety if args.variety else None,
        )
        written = list(recordings)
        print(f"{len(written)} recordings written in {time.perf_counter() - start:.1f} s.")
        return 0

    return run_main(write, "interrupted; the recordings written so far are complete")


if __name__ == "__main__":
    sys.exit(main())
