"""``python -m gait.report --poses demo_out/optimized_poses --trained demo_out/trained_mlp --export demo_out``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from gait.cli.exit_codes import exit_code, say
from gait.learning.training_arguments import count, positive
from gait.report.run.build import RunSettings, tell_run
from gait.viewing.loaded_trial import BodyModelLocator


def main(words: list[str] | None = None) -> int:
    """Exit code 0: all is on the page; 1: the page says what is missing; 2: there is nothing to tell of."""
    return exit_code(lambda: _tell(_settings(words)), "Stopped; files that are there are whole.")


def _settings(words: list[str] | None) -> RunSettings:
    parser = argparse.ArgumentParser(
        prog="python -m gait.report",
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
    return RunSettings(
        given.poses,
        tuple(given.trained),
        given.export,
        BodyModelLocator(given.base_folder, given.model),
        tuple(given.note),
        given.stride,
        given.speed,
        given.overwrite,
    )


def _tell(settings: RunSettings) -> int:
    start = time.perf_counter()
    done = tell_run(settings, lambda line: print(line, flush=True))
    for line in done.problems:
        say(f"missing: {line}")
    if done.commands:
        print(f"The viewer on one of them: {done.commands[-1]}")
    print(f"{done.page}: the whole run on one page, in {time.perf_counter() - start:.0f} s")
    return 1 if done.problems else 0


if __name__ == "__main__":
    sys.exit(main())
