"""python shape_optimizer.py --cohort ./example_cohort.json --model_folder ./data/ --save_folder ./optimized_poses

Fits one body to every recording of a cohort: poses, a report and a picture for each gait, in
``<save_folder>/<healthy|sick>/<subject>/<gait>/``. Gaits finished before are skipped unless --overwrite is given.
Exit code 0: every gait is there; 1: some failed, the others are there; 2: nothing could be started.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from gait.capture import read_cohort
from gait.cohort.fit_cohort import FitSettings, GaitOutcome, check_settings, fit_cohort
from gait.cohort.summary import summary_lines
from gait.errors import GaitError


@dataclass(frozen=True)
class Arguments:
    """What the command line says."""

    cohort: Path
    settings: FitSettings


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line; argparse ends the program with code 2 where it makes no sense."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[1], epilog="example: " + __doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--cohort", type=Path, default=Path("example_cohort.json"), help="cohort file")
    parser.add_argument("--model_folder", type=Path, default=Path("data"), help="holds the folders SUPR and VPoser")
    parser.add_argument("--save_folder", type=Path, default=Path("out"), help="where the results go")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    parser.add_argument("--overwrite", action="store_true", help="fit again what is finished")
    parser.add_argument(
        "--pose_format", choices=("npz", "json"), default="npz", help="json: also one pose_00000.json a frame"
    )
    parser.add_argument("--no_pictures", action="store_true", help="leave the pictures out")
    given = parser.parse_args(words)
    if str(given.save_folder) == ".":
        parser.error("--save_folder is empty; name a folder for the results")
    settings = FitSettings(
        model_folder=given.model_folder,
        save_folder=given.save_folder,
        device=given.device,
        overwrite=given.overwrite,
        pose_format=given.pose_format,
        pictures=not given.no_pictures,
    )
    return Arguments(given.cohort, settings)


def main(arguments: Arguments) -> int:
    """Fit the cohort; returns the exit code."""
    subjects = read_cohort(arguments.cohort)
    check_settings(subjects, arguments.settings)
    total = sum(len(subject.gaits) for subject in subjects)
    outcomes: list[GaitOutcome] = []
    with tqdm(total=total, unit="gait", disable=None, file=sys.stderr) as bar:
        for outcome in fit_cohort(subjects, arguments.settings):
            outcomes.append(outcome)
            bar.set_description(f"{outcome.subject}/{outcome.gait}")
            bar.update()
            if bar.disable:  # no terminal: a line a gait in place of the bar
                print(f"{len(outcomes)} of {total}: {outcome.subject}/{outcome.gait} {outcome.state}", file=sys.stderr)
    print("\n".join(summary_lines(outcomes, arguments.settings.save_folder)))
    return 1 if any(outcome.state == "failed" for outcome in outcomes) else 0


if __name__ == "__main__":
    try:
        sys.exit(main(parse_arguments()))
    except GaitError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped. What is finished stays; the same command goes on from there.", file=sys.stderr)
        sys.exit(130)
