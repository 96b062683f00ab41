"""python shape_optimizer.py --cohort ./example_cohort.json --model_folder ./data/ --save_folder ./optimized_poses

Fits one body to every recording of a cohort: poses, a report and a picture for each gait, in
``<save_folder>/<healthy|sick>/<subject>/<gait>/``. Gaits finished before are skipped unless --overwrite is given, so
the same command goes on after a stop; two runs on one save folder share the work.
Exit code 0: every gait is there; 1: some failed, the others are there; 2: nothing could be started.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from gait.cli.exit_codes import STOPPED, exit_code, say
from gait.cohort.cohort_file import read_cohort
from gait.cohort.fit_settings import FitSettings, check_settings
from gait.cohort.run_cohort import FIT_MODULE, run_cohort
from gait.cohort.terminal_summary import summary_lines
from gait.cohort.trial_outcome import TrialOutcome
from gait.errors import GaitError
from gait.parallel.dask_executor import DaskExecutor
from gait.parallel.process_pool import ProcessPool, share_of_cores
from gait.parallel.task_queue import Executor


@dataclass(frozen=True)
class Arguments:
    """What the command line says."""

    cohort: Path
    settings: FitSettings
    workers: int | None = None  # None: as many as cores, memory and persons allow
    scheduler: str | None = None  # a Dask cluster's, in place of processes here


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line; argparse ends the program with code 2 where it makes no sense."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[1], epilog="example: " + __doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--cohort", type=Path, default=Path("example_cohort.json"), help="cohort file")
    parser.add_argument(
        "--model_folder", type=Path, default=Path("data"), help="holds the folders SUPR, smplx, smplh and VPoser"
    )
    parser.add_argument("--save_folder", type=Path, default=Path("out"), help="where the results go")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    parser.add_argument("--overwrite", action="store_true", help="fit again what is finished")
    parser.add_argument(
        "--pose_format", choices=("npz", "json"), default="npz", help="json: also one pose_00000.json a frame"
    )
    parser.add_argument("--no_pictures", action="store_true", help="leave the pictures out")
    parser.add_argument("--repair", action="store_true", help="put bad data right where that can be done")
    parser.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="persons fitted at a time, each in a process (default: by the cores)",
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="fit on a Dask cluster, such as tcp://10.0.0.5:8786")
    given = parser.parse_args(words)
    if given.scheduler is not None and given.workers is not None:
        parser.error("--workers is for processes here; a cluster's workers are started by whoever runs it")
    if str(given.save_folder) == ".":
        parser.error("--save_folder is empty; name a folder for the results")
    settings = FitSettings(
        model_folder=given.model_folder,
        save_folder=given.save_folder,
        device=given.device,
        overwrite=given.overwrite,
        pose_format=given.pose_format,
        pictures=not given.no_pictures,
        repair=given.repair,
    )
    return Arguments(given.cohort, settings, given.workers, given.scheduler)


def _count(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on is needed, not {word!r}")
    return int(word)


def main(arguments: Arguments) -> int:
    """Fit the cohort; returns the exit code."""
    subjects = read_cohort(arguments.cohort)
    check_settings(subjects, arguments.settings)
    gaits = [(subject.name, gait.stem) for subject in subjects for gait in subject.gaits]
    outcomes: dict[tuple[str, str], TrialOutcome] = {}
    try:
        with _crew(arguments, len(subjects)) as crew, tqdm(total=len(gaits), unit="gait", disable=None) as bar:
            for outcome in run_cohort(subjects, arguments.settings, crew, bar.write if not bar.disable else say):
                outcomes[outcome.subject, outcome.gait] = outcome
                bar.set_description(f"{outcome.subject}/{outcome.gait}")
                bar.update()
                if bar.disable:  # no terminal: a line a gait in place of the bar
                    say(f"{len(outcomes)} of {len(gaits)}: {outcome.subject}/{outcome.gait} {outcome.state}")
    except GaitError as error:
        if not outcomes:  # nothing could be started
            raise
        say(str(error))
        return 1
    except KeyboardInterrupt:
        finished = sum(outcome.state != "failed" for outcome in outcomes.values())
        say(f"Stopped: {finished} of {len(gaits)} gaits are finished and stay; the same command goes on from there.")
        return STOPPED
    print("\n".join(summary_lines([outcomes[gait] for gait in gaits], arguments.settings.save_folder)))
    return 1 if any(outcome.state == "failed" for outcome in outcomes.values()) else 0


@contextmanager
def _crew(arguments: Arguments, persons: int) -> Iterator[Executor]:
    """Who does the work."""
    settings = arguments.settings
    if arguments.scheduler is not None:
        with DaskExecutor(settings.save_folder, arguments.scheduler, say) as cluster:
            yield cluster
    else:
        with ProcessPool(share_of_cores(persons, arguments.workers, settings.device), FIT_MODULE) as crew:
            yield crew


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(parse_arguments()), "Stopped before anything was begun."))
