"""Cross-validation: train the requested folds, in this process, in several, or on a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from uuid import uuid4

from gait.errors import GaitError
from gait.learning.confounder_check import check_confounders
from gait.learning.distributed import ProcessGroup
from gait.learning.fold_result import to_strict_json
from gait.learning.fold_spec import OpenLog
from gait.learning.train_fold import FOLD_MODULE, EpochDone, FoldOutcome, FoldTask, run_fold
from gait.learning.trainer import Progress
from gait.learning.training_arguments import TrainingArguments
from gait.motion.dataset import dataset_hash
from gait.motion.folds import make_folds
from gait.motion.left_out import choose_left_out, leave_out_windows
from gait.motion.read_dataset import read_dataset
from gait.parallel.dask_executor import DaskExecutor
from gait.parallel.process_pool import ProcessPool, allocate_cores
from gait.parallel.task_queue import Crashed, Executor, run_tasks


def make_fold_tasks(
    arguments: TrainingArguments, log: Callable[[str], None], open_log: OpenLog | None = None
) -> list[FoldTask]:
    """Read the dataset, create the save folder, and return a task per requested fold.

    ``log`` takes one line per problem of a dataset that cannot be used.

    Raises:
        GaitError: there are too few trials, or the folder cannot be created.
    """
    dataset = read_dataset(**arguments.dataset)
    left_out = choose_left_out(dataset.trials, arguments.unobserved, mirror=arguments.mirrors, input=arguments.input)
    trials = left_out.select(dataset.trials)
    if not trials:
        raise GaitError(
            f"{arguments.poses}: no trial is left, each lacks a joint that markers observe in others; give "
            "--unobserved leave_out_joint."
        )
    length, stride = arguments.window_length, arguments.stride
    left_out = leave_out_windows(left_out, trials, length, stride, arguments.min_observed, arguments.windows)
    sick = {trial.subject_id: trial.sick for trial in trials}
    try:
        folds = make_folds(sick, arguments.k_folds)
    except GaitError:
        for line in dataset.problems:
            log(line)
        raise
    try:
        arguments.save_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GaitError(f"{arguments.save_folder}: cannot be created ({error.strerror}); name another.") from error
    confounders = to_strict_json(check_confounders(trials))
    data_sha256, run_id = dataset_hash(dataset), uuid4().hex
    return [
        FoldTask(
            args=arguments,
            fold=fold,
            sick=sick,
            data_sha256=data_sha256,
            left_out=left_out,
            confounder_check=confounders,
            problems=dataset.problems,
            run_id=run_id,
            open_log=open_log,
            deadline=None if arguments.timeout_s is None else time.time() + arguments.timeout_s,
        )
        for fold in folds
        if arguments.fold in (None, fold.index)
    ]


def run_folds(
    tasks: Sequence[FoldTask],
    arguments: TrainingArguments,
    processes: ProcessGroup,
    log: Callable[[str], None],
    progress: Progress | None = None,
) -> Iterator[EpochDone | FoldOutcome]:
    """Train the folds, one after another or several at a time; yield each finished epoch and fold.

    ``log`` takes lines for the user, e.g. about processes that crashed; ``progress`` is called after every batch if the
    folds are trained in this process.
    """
    if processes.size > 1 or (len(tasks) == 1 and arguments.scheduler is None):
        yield from _run_in_this_process(tasks, processes, progress)
        return
    with _open_executor(arguments, len(tasks), log) as executor:
        for task, result in run_tasks(tasks, executor, log):
            yield (
                FoldOutcome(task.fold.index, "failed", f"{task.name}: {result.message}.")
                if isinstance(result, Crashed)
                else result
            )


def _run_in_this_process(
    tasks: Sequence[FoldTask], processes: ProcessGroup, progress: Progress | None
) -> Iterator[EpochDone | FoldOutcome]:
    """Train the folds one after another, together with the other processes of torchrun."""
    for task in tasks:
        if task is not tasks[0] and processes.broadcast_from_main(lambda task=task: task.no_time_left):  # type: ignore[misc]
            yield task.skipped_outcome()
            continue
        try:
            yield from run_fold(task, processes, progress)
        except Exception as error:
            if processes.size > 1 and not isinstance(error, GaitError):  # the other processes do not have this error
                raise
            yield task.failed_outcome(error)


def _open_executor(
    arguments: TrainingArguments, num_folds: int, log: Callable[[str], None]
) -> AbstractContextManager[Executor]:
    if arguments.scheduler is not None:
        return DaskExecutor(arguments.save_folder, arguments.scheduler, log)
    return ProcessPool(allocate_cores(num_folds, arguments.workers, arguments.device), FOLD_MODULE)
