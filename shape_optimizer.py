"""python shape_optimizer.py --cohort ./example_cohort.json --model_folder ./data/ --save_folder ./optimized_poses

Fit a body model to all trials of a cohort. Poses, a report and a figure of each trial are saved in
``<save_folder>/<healthy|sick>/<subject>/<trial>/``. Finished trials are skipped unless --overwrite is given, so the
same command continues after an interruption; two runs with one save folder share the work.
Exit code 0: all trials are fitted; 1: some failed, the others are saved; 2: nothing could be started.
"""

from __future__ import annotations

import sys

from gait.cohort import FIT_MODULE
from gait.parallel.fork_server import start_fork_server

if __name__ == "__main__" and "--scheduler" not in sys.argv:
    start_fork_server(FIT_MODULE)  # first of all: its imports take longer than what this process does meanwhile

from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from gait.capture.pose_formats import trial_name
from gait.cli.arguments import ArgumentError, argument, parse, select_fields, whole_number
from gait.cli.exit_codes import EXIT_INTERRUPTED, print_err, run_main
from gait.cohort.cohort_file import read_cohort
from gait.cohort.fit_settings import FitSettings, check_settings, label_warnings
from gait.cohort.run_cohort import read_ahead, run_cohort
from gait.cohort.terminal_summary import format_summary
from gait.cohort.trial_folder import TrialOutcome
from gait.errors import GaitError
from gait.parallel.dask_executor import DaskExecutor
from gait.parallel.process_pool import ProcessPool, allocate_cores


@dataclass(frozen=True)
class Arguments(FitSettings):
    """Arguments of the command line: the settings of the fit, the cohort and the computers."""

    cohort: Path = argument(Path("example_cohort.json"), "cohort file")
    workers: int | None = argument(
        None,
        "number of subjects fitted in parallel, one process each (default: by the number of cores)",
        type=whole_number,
        metavar="N",
    )
    pose_format: str = argument("npz", "json: the same as --export_as pose_json", choices=("npz", "json"))
    scheduler: str | None = argument(None, "fit on a Dask cluster, e.g. tcp://10.0.0.5:8786", metavar="ADDRESS")

    def __post_init__(self) -> None:
        if self.scheduler is not None and self.workers is not None:
            raise ArgumentError("--workers is for local processes; with --scheduler the cluster has its own workers")

    @property
    def settings(self) -> FitSettings:
        """Picklable settings without this script's class, which other processes cannot import."""
        settings = select_fields(self, FitSettings)
        return (
            replace(settings, export_as=(*settings.export_as, "pose_json")) if self.pose_format == "json" else settings
        )


def main(args: Arguments) -> int:
    """Fit the cohort and return the exit code."""
    subjects, settings = read_cohort(args.cohort), args.settings
    check_settings(subjects, settings)
    for warning in label_warnings(subjects, settings):
        print_err(warning)
    trials = [(subject.name, trial_name(trial)) for subject in subjects for trial in subject.trials]
    outcomes: dict[tuple[str, str], TrialOutcome] = {}
    try:
        with (
            _executor(args, len(subjects)) as executor,
            tqdm(total=len(trials), unit="trial", disable=None) as bar,
        ):
            log = bar.write if not bar.disable else print_err
            for outcome in run_cohort(subjects, settings, executor, log):
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
    print("\n".join(format_summary([outcomes[trial] for trial in trials], settings.save_folder)))
    return 1 if any(outcome.state == "failed" for outcome in outcomes.values()) else 0


def _executor(args: Arguments, num_subjects: int) -> DaskExecutor | ProcessPool:
    if args.scheduler is not None:
        return DaskExecutor(args.save_folder, args.scheduler, print_err)
    return ProcessPool(allocate_cores(num_subjects, args.workers, args.device), FIT_MODULE, read_ahead)


if __name__ == "__main__":
    sys.exit(run_main(lambda: main(parse(Arguments, __doc__)), "Stopped before the first fit."))
