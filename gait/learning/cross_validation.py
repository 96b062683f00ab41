"""Cross-validation: train the requested folds, here or on a cluster, and report on them.

Exit code 0: every requested fold is trained, or was stopped by --timeout; 1: some folds failed, the others are trained;
2: nothing could be started; 130: interrupted.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

from tqdm import tqdm

from gait.cli.exit_codes import EXIT_INTERRUPTED, print_err
from gait.errors import GaitError
from gait.learning.confounder_check import check_confounders
from gait.learning.distributed import ProcessGroup, ReportedByMainProcessError, process_group_from_torchrun
from gait.learning.fold_result import read_result
from gait.learning.train_fold import FOLD_MODULE, EpochDone, FoldOutcome, FoldTask, run_fold
from gait.learning.training_arguments import TrainingArguments
from gait.motion.dataset_spec import dataset_hash
from gait.motion.folds import make_folds
from gait.parallel.dask_executor import DaskExecutor
from gait.parallel.device import check_device
from gait.parallel.process_pool import ProcessPool, allocate_cores
from gait.parallel.task_queue import Crashed, Executor, run_tasks
from gait.report.training.write_report import write_report
from gait.text import printable

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # clusters, and systems that shut down, send the latter


def run_training_script(parse: Callable[[], TrainingArguments]) -> int:
    """Run a training script, given its argument parser, and return the exit code."""
    for stop in _STOP_SIGNALS:
        signal.signal(stop, _raise_interrupt)
    try:
        return train_folds(parse())
    except GaitError as error:
        if not isinstance(error, ReportedByMainProcessError):
            print_err(str(error))
        return 2
    except KeyboardInterrupt:
        print_err("Stopped before any training began.")
        return EXIT_INTERRUPTED


def train_folds(arguments: TrainingArguments) -> int:
    """Train the requested folds, write the report, and return the exit code.

    Raises:
        GaitError: nothing could be started.
    """
    device = arguments.settings.device
    if arguments.scheduler is None:  # otherwise the cluster's workers check it
        check_device(device)
    with process_group_from_torchrun(device) as (processes, own_device):
        if processes.size > 1 and (arguments.workers or arguments.scheduler):
            raise GaitError("torchrun divides each fold among its processes; omit --workers and --scheduler.")
        arguments = replace(arguments, settings=replace(arguments.settings, device=own_device))
        tasks = processes.broadcast_from_main(lambda: _make_tasks(arguments))
        progress = _ProgressReporter(tasks, arguments.progress_bars and processes.is_main, processes.is_main)
        try:
            with progress:
                for event in _run_folds(tasks, arguments, processes, progress):
                    progress.show_event(event)
        except KeyboardInterrupt:
            progress.log(progress.interrupted_message())
            return EXIT_INTERRUPTED
        try:
            return _write_report(tasks, progress.outcomes) if processes.is_main else 0
        except KeyboardInterrupt:
            progress.log(progress.unreported_message())
            return EXIT_INTERRUPTED


def _make_tasks(arguments: TrainingArguments) -> list[FoldTask]:
    dataset = arguments.dataset.load()
    sick = {trial.subject_id: trial.sick for trial in dataset.trials}
    try:
        folds = make_folds(sick, arguments.k_folds)
    except GaitError:
        for line in dataset.problems:
            print_err(line)
        raise
    try:
        arguments.save_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GaitError(
            f"{arguments.save_folder}: cannot be created ({error.strerror}); name another save folder."
        ) from error
    confounders = check_confounders(dataset.trials).as_json()
    data_sha256, run_id = dataset_hash(dataset), uuid4().hex
    return [
        FoldTask(
            args=arguments,
            fold=fold,
            sick=sick,
            data_sha256=data_sha256,
            confounder_check=confounders,
            problems=dataset.problems,
            run_id=run_id,
            deadline=None if arguments.timeout_s is None else time.time() + arguments.timeout_s,
        )
        for fold in folds
        if arguments.fold in (None, fold.index)
    ]


def _run_folds(
    tasks: Sequence[FoldTask], arguments: TrainingArguments, processes: ProcessGroup, progress: _ProgressReporter
) -> Iterator[EpochDone | FoldOutcome]:
    """Train the folds, one after another or several at a time; yield each finished epoch and fold."""
    if processes.size > 1 or (len(tasks) == 1 and arguments.scheduler is None):
        yield from _run_in_this_process(tasks, processes, progress)
        return
    with _open_executor(arguments, len(tasks)) as executor:
        for task, result in run_tasks(tasks, executor, progress.log):
            yield (
                FoldOutcome(task.fold.index, "failed", f"{task.name}: {result.message}.")
                if isinstance(result, Crashed)
                else result
            )


def _run_in_this_process(
    tasks: Sequence[FoldTask], processes: ProcessGroup, progress: _ProgressReporter
) -> Iterator[EpochDone | FoldOutcome]:
    """Train the folds one after another, together with the other processes of torchrun."""
    for task in tasks:
        if task is not tasks[0] and processes.broadcast_from_main(lambda task=task: task.no_time_left):  # type: ignore[misc]
            yield task.skipped_outcome()
            continue
        try:
            yield from run_fold(task, processes, progress.show_windows)
        except Exception as error:
            if processes.size > 1 and not isinstance(error, GaitError):  # the other processes do not have this error
                raise
            yield task.failed_outcome(error)


@contextmanager
def _open_executor(arguments: TrainingArguments, num_folds: int) -> Iterator[Executor]:
    if arguments.scheduler is not None:
        with DaskExecutor(arguments.save_folder, arguments.scheduler, print_err) as executor:
            yield executor
    else:
        cores = allocate_cores(num_folds, arguments.workers, arguments.settings.device)
        with ProcessPool(cores, FOLD_MODULE) as pool:
            yield pool


class _ProgressReporter:
    """Shows the progress of all folds as a bar, or as one line per epoch."""

    def __init__(self, tasks: Sequence[FoldTask], bars: bool, prints: bool):
        self.outcomes: dict[int, FoldOutcome] = {}
        self._epochs = dict.fromkeys((task.fold.index for task in tasks), 0)  # finished ones, by fold
        self._task = tasks[0]
        self._max_epochs = tasks[0].args.settings.epochs
        self._prints = prints
        self._bar = tqdm(total=len(tasks) * self._max_epochs, unit="epoch", disable=None if bars else True, leave=False)

    def __enter__(self) -> _ProgressReporter:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show_event(self, event: EpochDone | FoldOutcome) -> None:
        """Show that an epoch or a fold is finished."""
        if isinstance(event, FoldOutcome):
            self.outcomes[event.fold] = event
            if event.message:
                self.log(event.message)
            return
        self._epochs[event.fold] = event.number
        train, evaluation = event.epoch["train"], event.epoch["eval"]
        if self._bar.disable:
            self.log(
                f"fold {event.fold}: epoch {event.number} of {self._max_epochs}: training loss {train['loss']:.4f}, "
                f"accuracy {train['accuracy']:.3f}; evaluation loss {evaluation['loss']:.4f}, accuracy "
                f"{evaluation['accuracy']:.3f}; {event.epoch['seconds']:.1f} s"
            )
            return
        self._bar.n = sum(self._epochs.values())
        metrics = f"loss {train['loss']:.3f}, evaluation accuracy {evaluation['accuracy']:.3f}"
        self._bar.set_description(f"fold {event.fold}: epoch {event.number}: {metrics}")

    def show_windows(self, done: int, total: int) -> None:
        """Show how many windows of the present epoch the network has been trained on."""
        self._bar.set_postfix_str(f"{done} of {total} windows", refresh=False)
        self._bar.n = round(sum(self._epochs.values()) + done / total, 2)
        self._bar.update(0)

    def log(self, line: str) -> None:
        """Print a line for the user, above the bar."""
        if self._prints:
            print_err(line) if self._bar.disable else self._bar.write(line, file=sys.stderr)

    def interrupted_message(self) -> str:
        """Return what is finished and how to resume."""
        finished = [
            f"fold {fold} has {done} of {self._max_epochs} epochs" for fold, done in self._epochs.items() if done
        ]
        return f"Stopped: {', '.join(finished) or 'no epoch is finished'}; to resume, give {self._task.resume_hint}."

    def unreported_message(self) -> str:
        """Return what to do if only the report is missing."""
        again = "the same command" + (" without --overwrite" if self._task.args.overwrite else "")
        if any(outcome.state == "timed out" for outcome in self.outcomes.values()):
            again = self._task.resume_hint
        return f"Stopped while the report was being written; the training is finished: {again} writes the report."


def _write_report(tasks: Sequence[FoldTask], outcomes: dict[int, FoldOutcome]) -> int:
    """Write the report on all folds in the save folder, print its summary, and return the exit code."""
    trained = [task for task in tasks if outcomes[task.fold.index].state not in ("failed", "skipped")]
    failed = [outcome for outcome in outcomes.values() if outcome.state == "failed"]
    if trained:
        first = trained[0]
        report = write_report(
            first.args.save_folder,
            first.args.network,
            read_result(first.result_file),
            confounder_check=first.confounder_check,
            problems=first.problems,
        )
        print("\n".join(report.lines))
        print("\n".join(printable(f"network: {task.checkpoint_file}") for task in trained))
    return 1 if failed else 0


def _raise_interrupt(*_: object) -> None:
    for stop in _STOP_SIGNALS:
        signal.signal(stop, signal.SIG_IGN)  # a second signal would interrupt the cleanup that the first one began
    raise KeyboardInterrupt
