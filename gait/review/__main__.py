"""``python -m gait.review --poses demo_out/optimized_poses --trained demo_out/trained_mlp --export demo_out``."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from gait.errors import GaitError
from gait.learning.training_flags import count, positive
from gait.review.whole_run import RunSettings, tell_run
from gait.viewing.shown_gait import BodyFiles

STOPPED = 130
"""Exit code after Ctrl-C."""


def main(words: list[str] | None = None) -> int:
    """Exit code 0: all is on the page; 1: the page says what is missing; 2: there is nothing to tell of."""
    parser = argparse.ArgumentParser(
        prog="python -m gait.review",
        description="Tell a whole run on one page: how well bodies wore the markers, who was told apart by each "
        "network, what was pivotal for it, and a film of a healthy and a sick walker side by side.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--poses", type=Path, required=True, metavar="FOLDER", help="the fit's save folder")
    add("--trained", type=Path, nargs="+", default=[], metavar="FOLDER", help="save folders of trainings")
    add("--export", type=Path, required=True, metavar="DIR", help="where index.html goes, and what it shows")
    add("--note", action="append", default=[], metavar="TEXT", help="what a reader must know first; may be repeated")
    add("--stride", type=count, metavar="FRAMES", help="from one explained window to the next, over everybody")
    add("--speed", type=positive, default=0.5, help="of the film: 0.5, the default, is half as fast as life")
    add("--base_folder", type=Path, default=Path("data/SUPR"), help="holds body models (default ./data/SUPR)")
    add("--model", default="open_neutral.npz", help="the body where poses do not name theirs")
    add("--overwrite", action="store_true", help="do again what is finished")
    given = parser.parse_args(words)
    settings = RunSettings(
        given.poses,
        tuple(given.trained),
        given.export,
        BodyFiles(given.base_folder, given.model),
        tuple(given.note),
        given.stride,
        given.speed,
        given.overwrite,
    )
    start = time.perf_counter()
    try:
        done = tell_run(settings, lambda line: print(line, flush=True))
    except GaitError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; files that are there are whole.", file=sys.stderr)
        return STOPPED
    for line in done.problems:
        print(f"missing: {line}", file=sys.stderr)
    if done.commands:
        print(f"The viewer on one of them: {done.commands[-1]}")
    print(f"{done.page}: the whole run on one page, in {time.perf_counter() - start:.0f} s")
    return 1 if done.problems else 0


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)  # what a cluster or a system that shuts down sends
    sys.exit(main())
