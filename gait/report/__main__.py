"""Build the run report.

``python -m gait.report --poses demo_out/optimized_poses --trained demo_out/trained_mlp --export demo_out``
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from gait.cli.arguments import positive_number, whole_number
from gait.cli.exit_codes import print_err, run_main
from gait.report.run.build import RunSettings, build_run_report
from gait.viewing.loaded_trial import BodyModelLocator


def main(words: list[str] | None = None) -> int:
    """Return the exit code: 0 if the page is complete, 1 if it lists missing parts, 2 if there is nothing to report."""
    return run_main(lambda: _build(_settings(words)), "Interrupted; files already written are complete.")


def _settings(words: list[str] | None) -> RunSettings:
    parser = argparse.ArgumentParser(
        prog="python -m gait.report",
        description="Report a complete run on one page: marker residuals of the fits, classification results of each "
        "network, attributions by joint and gait phase, and a video of a control and a patient side by side.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--poses", type=Path, required=True, metavar="FOLDER", help="save folder of shape_optimizer.py")
    add(
        "--trained",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="save folders of train_multi_mlp.py and train_transformer.py",
    )
    add("--export", type=Path, required=True, metavar="DIR", help="folder for index.html and its files")
    add("--note", action="append", default=[], metavar="TEXT", help="note at the top of the page; may be repeated")
    add("--stride", type=whole_number, metavar="FRAMES", help="frames between explained windows of the cohort")
    add("--speed", type=positive_number, default=0.5, help="playback speed of the video (default 0.5, half real time)")
    add("--base_folder", type=Path, default=Path("data/SUPR"), help="folder of the body models (default ./data/SUPR)")
    add("--model", default="open_neutral.npz", help="body model of poses that do not name one")
    add("--overwrite", action="store_true", help="repeat finished steps")
    args = parser.parse_args(words)
    return RunSettings(
        args.poses,
        tuple(args.trained),
        args.export,
        BodyModelLocator(args.base_folder, args.model),
        tuple(args.note),
        args.stride,
        args.speed,
        args.overwrite,
    )


def _build(settings: RunSettings) -> int:
    start = time.perf_counter()
    result = build_run_report(settings, lambda line: print(line, flush=True))
    for line in result.problems:
        print_err(f"missing: {line}")
    if result.commands:
        print(f"Open a trial in the viewer: {result.commands[-1]}")
    print(f"{result.page}: run report, in {time.perf_counter() - start:.0f} s")
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
