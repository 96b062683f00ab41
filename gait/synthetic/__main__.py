"""``python -m gait.synthetic --cohort example_cohort.json`` writes the recordings listed in a cohort file."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from gait.body.model_file import load_body
from gait.errors import GaitError
from gait.synthetic.cohort import MODEL_FILE, write_recordings


def main(arguments: list[str] | None = None) -> int:
    """Return exit code 0, or 2 after a one-line error message."""
    parser = argparse.ArgumentParser(prog="python -m gait.synthetic", description="Write synthetic recordings.")
    parser.add_argument("--cohort", type=Path, required=True, help="cohort file of synthetic subjects")
    parser.add_argument("--model_folder", type=Path, default=Path("data"), help="folder with SUPR/" + MODEL_FILE)
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other subjects of the same names")
    parser.add_argument("--overwrite", action="store_true", help="rewrite recordings that exist already")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    torch.set_num_threads(1)  # the arrays are small: more threads only wait for each other
    try:
        body = load_body(options.model_folder / "SUPR" / MODEL_FILE)
        written = list(write_recordings(options.cohort, body=body, seed=options.seed, overwrite=options.overwrite))
    except GaitError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(written)} recordings written in {time.perf_counter() - start:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
