"""python shape_optimizer.py --cohort ./example_cohort.json --model_folder ./data/ --save_folder ./optimized_poses

Fit a body model to all trials of a cohort. Poses, a report and a figure of each trial are saved in
``<save_folder>/<healthy|sick>/<subject>/<trial>/``. Finished trials are skipped unless --overwrite is given, so the
same command continues after an interruption; two runs with one save folder share the work.
Exit code 0: all trials are fitted; 1: some failed, the others are saved; 2: nothing could be started.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from gait.cli.exit_codes import EXIT_INTERRUPTED, print_err, run_main
from gait.cohort.cohort_file import read_cohort
from gait.cohort.fit_settings import FitSettings, check_settings
from gait.cohort.run_cohort import FIT_MODULE, run_cohort
from gait.cohort.terminal_summary import format_summary
from gait.cohort.trial_folder import TrialOutcome
from gait.errors import GaitError
from gait.parallel.dask_executor import DaskExecutor
from gait.parallel.process_pool import ProcessPool, allocate_cores
from gait.parallel.task_queue import Executor


@dataclass(frozen=True)
class Arguments:
    """Arguments of the command line."""

    cohort: Path
    settings: FitSettings
    workers: int | None = None  # None: as many as cores, memory and subjects allow
    scheduler: str | None = None  # address of a Dask cluster, instead of local processes


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line; argparse ends the program with exit code 2 if it is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[1], epilog="example: " + __doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--cohort", type=Path, default=Path("example_cohort.json"), help="cohort file")
    parser.add_argument(
        "--model_folder", type=Path, default=Path("data"), help="has the folders SUPR, smplx, smplh and VPoser"
    )
    parser.add_argument("--save_folder", type=Path, default=Path("out"), help="folder for the results")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    parser.add_argument("--overwrite", action="store_true", help="fit finished trials again")
    parser.add_argument(
        "--pose_format", choices=("npz", "json"), default="npz", help="json: also one pose_00000.json per frame"
    )
    parser.add_argument("--no_pictures", action="store_true", help="do not draw figures")
    parser.add_argument("--repair", action="store_true", help="correct swapped labels and mirrored recordings")
    parser.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="number of subjects fitted in parallel, one process each (default: by the number of cores)",
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="fit on a Dask cluster, e.g. tcp://10.0.0.5:8786")
    given = parser.parse_args(words)
    if given.scheduler is not None and given.workers is not None:
        parser.error("--workers is for local processes; with --scheduler the cluster has its own workers")
    if str(given.save_folder) == ".":
        parser.error("--save_folder is empty; name a folder for the results")
    settings = FitSettings(
        model_folder=given.model_folder,
        save_folder=given.save_folder,
        device=given.device,
        overwrite=given.overwrite,
        pose_format=given.pose_format,
        figures=not given.no_pictures,
        repair=given.repair,
    )
    return Arguments(given.cohort, settings, given.workers, given.scheduler)


def _count(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer from 1, not {word!r}")
    return int(word)


def main(arguments: Arguments) -> int:
    """Fit the cohort and return the exit code."""
    subjects = read_cohort(arguments.cohort)
    check_settings(subjects, arguments.settings)
    trials = [(subject.name, trial.stem) for subject in subjects for trial in subject.trials]
    outcomes: dict[tuple[str, str], TrialOutcome] = {}
    try:
        with (
            _executor(arguments, len(subjects)) as executor,
            tqdm(total=len(trials), unit="trial", disable=None) as bar,
        ):
            log = bar.write if not bar.disable else print_err
            for outcome in run_cohort(subjects, arguments.settings, executor, log):
                outcomes[outcome.subject, outcome.trial] = outcome
                bar.set_description(f"{outcome.subject}/{outcome.trial}")
                bar.update()
                if bar.disable:  # no terminal: one line per trial instead of the bar
                    print_err(f"{len(outcomes)} of {len(trials)}: {outcome.subject}/{outcome.trial} {outcome.state}")
    except GaitError as error:
        if not outcomes:  # nothing could be started
            raise
        print_err(str(error))
        return 1
    except KeyboardInterrupt:
        finished = sum(outcome.state != "failed" for outcome in outcomes.values())
        print_err(f"Stopped: {finished} of {len(trials)} trials are finished; run the same command again to continue.")
        return EXIT_INTERRUPTED
    print("\n".join(format_summary([outcomes[trial] for trial in trials], arguments.settings.save_folder)))
    return 1 if any(outcome.state == "failed" for outcome in outcomes.values()) else 0


@contextmanager
def _executor(arguments: Arguments, num_subjects: int) -> Iterator[Executor]:
    """Start the executor: a Dask cluster or local processes."""
    settings = arguments.settings
    if arguments.scheduler is not None:
        with DaskExecutor(settings.save_folder, arguments.scheduler, print_err) as cluster:
            yield cluster
    else:
        with ProcessPool(allocate_cores(num_subjects, arguments.workers, settings.device), FIT_MODULE) as pool:
            yield pool


if __name__ == "__main__":
    sys.exit(run_main(lambda: main(parse_arguments()), "Stopped before the first fit."))
