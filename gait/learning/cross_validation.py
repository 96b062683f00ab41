"""What both training scripts do: folds trained, here or elsewhere, and what they say together.

Exit code 0: every fold that was asked for is there, or --timeout ended it; 1: some failed, the others are there;
2: nothing could be started; 130: stopped.
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

from gait.cli.exit_codes import STOPPED, say
from gait.errors import GaitError
from gait.learning.confounder_check import leak_check
from gait.learning.distributed import ProcessGroup, ReportedByMainProcessError, ranks_of_torchrun
from gait.learning.fold_result import read_result
from gait.learning.train_fold import FOLD_MODULE, EpochDone, FoldOutcome, FoldTask, run_fold
from gait.learning.training_arguments import TrainingArguments
from gait.motion.dataset_spec import sha256_of
from gait.motion.folds import person_folds
from gait.parallel.dask_executor import DaskExecutor
from gait.parallel.device import check_device
from gait.parallel.process_pool import ProcessPool, share_of_cores
from gait.parallel.task_queue import Crashed, Executor, run_tasks
from gait.report.training.display_names import printable
from gait.report.training.write_report import write_report

_STOPS = (signal.SIGINT, signal.SIGTERM)  # the latter is what a cluster or a system that shuts down sends


def training_script(parse: Callable[[], TrainingArguments]) -> int:
    """All of a script but its flags; returns the exit code."""
    for stop in _STOPS:
        signal.signal(stop, _stop)
    try:
        return train_folds(parse())
    except GaitError as error:
        if not isinstance(error, ReportedByMainProcessError):
            say(str(error))
        return 2
    except KeyboardInterrupt:
        say("Stopped before anything was begun.")
        return STOPPED


def train_folds(arguments: TrainingArguments) -> int:
    """Train the folds that are asked for and report on them; returns the exit code.

    Raises:
        GaitError: nothing could be started.
    """
    device = arguments.settings.device
    if arguments.scheduler is None:  # else its workers look
        check_device(device)
    with ranks_of_torchrun(device) as (ranks, own_device):
        if ranks.count > 1 and (arguments.workers or arguments.scheduler):
            raise GaitError("torchrun divides each fold among its processes; leave --workers and --scheduler out.")
        arguments = replace(arguments, settings=replace(arguments.settings, device=own_device))
        tasks = ranks.agreed(lambda: _tasks(arguments))
        watch = _Watch(tasks, arguments.bars and ranks.first, ranks.first)
        try:
            with watch:
                for news in _news(tasks, arguments, ranks, watch):
                    watch.tell(news)
        except KeyboardInterrupt:
            watch.say(watch.stopped_line())
            return STOPPED
        try:
            return _report(tasks, watch.outcomes) if ranks.first else 0
        except KeyboardInterrupt:
            watch.say(watch.unreported_line())
            return STOPPED


def _tasks(arguments: TrainingArguments) -> list[FoldTask]:
    found = arguments.source.gaits()
    sick = {one.person: one.sick for one in found.gaits}
    try:
        folds = person_folds(sick, arguments.k_folds)
    except GaitError:
        for line in found.problems:
            say(line)
        raise
    try:
        arguments.save_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GaitError(
            f"{arguments.save_folder}: cannot be made ({error.strerror}); name another save folder."
        ) from error
    leaks = leak_check(found.gaits).as_json()
    data_sha256, run_id = sha256_of(found), uuid4().hex
    return [
        FoldTask(
            asked=arguments,
            fold=fold,
            sick=sick,
            data_sha256=data_sha256,
            leak_check=leaks,
            problems=found.problems,
            run_id=run_id,
            deadline=None if arguments.timeout_s is None else time.time() + arguments.timeout_s,
        )
        for fold in folds
        if arguments.cross in (None, fold.index)
    ]


def _news(
    tasks: Sequence[FoldTask], arguments: TrainingArguments, ranks: ProcessGroup, watch: _Watch
) -> Iterator[EpochDone | FoldOutcome]:
    """Everything that happens, fold by fold or of several at a time."""
    if ranks.count > 1 or (len(tasks) == 1 and arguments.scheduler is None):
        yield from _one_by_one(tasks, ranks, watch)
        return
    with _crew(arguments, len(tasks)) as crew:
        for task, what in run_tasks(tasks, crew, watch.say):
            yield (
                FoldOutcome(task.fold.index, "failed", f"{task.name}: {what.line}.")
                if isinstance(what, Crashed)
                else what
            )


def _one_by_one(tasks: Sequence[FoldTask], ranks: ProcessGroup, watch: _Watch) -> Iterator[EpochDone | FoldOutcome]:
    """In this process, and those that torchrun has started beside it."""
    for task in tasks:
        if task is not tasks[0] and ranks.agreed(lambda task=task: task.too_late):  # type: ignore[misc]
            yield task.not_begun()
            continue
        try:
            yield from run_fold(task, ranks, watch.windows)
        except Exception as error:
            if ranks.count > 1 and not isinstance(error, GaitError):  # the others know nothing of it
                raise
            yield task.failed(error)


@contextmanager
def _crew(arguments: TrainingArguments, folds: int) -> Iterator[Executor]:
    """Who does the work."""
    if arguments.scheduler is not None:
        with DaskExecutor(arguments.save_folder, arguments.scheduler, say) as cluster:
            yield cluster
    else:
        with ProcessPool(share_of_cores(folds, arguments.workers, arguments.settings.device), FOLD_MODULE) as crew:
            yield crew


class _Watch:
    """What a person sees while folds are trained: a bar, or a line an epoch."""

    def __init__(self, tasks: Sequence[FoldTask], bars: bool, speaks: bool):
        self.outcomes: dict[int, FoldOutcome] = {}
        self._epochs = dict.fromkeys((task.fold.index for task in tasks), 0)  # behind each fold
        self._task = tasks[0]
        self._of = tasks[0].asked.settings.epochs
        self._speaks = speaks
        self._bar = tqdm(total=len(tasks) * self._of, unit="epoch", disable=None if bars else True, leave=False)

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def tell(self, news: EpochDone | FoldOutcome) -> None:
        """An epoch or a fold is over."""
        if isinstance(news, FoldOutcome):
            self.outcomes[news.fold] = news
            if news.line:
                self.say(news.line)
            return
        self._epochs[news.fold] = news.number
        train, held_out = news.epoch["train"], news.epoch["eval"]
        if self._bar.disable:
            self.say(
                f"fold {news.fold}: epoch {news.number} of {self._of}: training loss {train['loss']:.4f}, accuracy "
                f"{train['accuracy']:.3f}; evaluation loss {held_out['loss']:.4f}, accuracy "
                f"{held_out['accuracy']:.3f}; {news.epoch['seconds']:.1f} s"
            )
            return
        self._bar.n = sum(self._epochs.values())
        said = f"loss {train['loss']:.3f}, evaluation accuracy {held_out['accuracy']:.3f}"
        self._bar.set_description(f"fold {news.fold}: epoch {news.number}: {said}")

    def windows(self, done: int, of: int) -> None:
        """Some windows of the epoch have been learnt from."""
        self._bar.set_postfix_str(f"{done} of {of} windows", refresh=False)
        self._bar.n = round(sum(self._epochs.values()) + done / of, 2)
        self._bar.update(0)

    def say(self, line: str) -> None:
        """A line for the user, beside the bar."""
        if self._speaks:
            say(line) if self._bar.disable else self._bar.write(line, file=sys.stderr)

    def stopped_line(self) -> str:
        """How to go on."""
        behind = [f"fold {fold} has {done} of {self._of} epochs" for fold, done in self._epochs.items() if done]
        there = ", ".join(behind) or "no epoch is finished"
        return f"Stopped: {there}; {self._task.going_on} goes on from there."

    def unreported_line(self) -> str:
        """What to do where only the report is missing."""
        again = "the same command" + (" without --overwrite" if self._task.asked.overwrite else "")
        if any(outcome.state == "timed out" for outcome in self.outcomes.values()):
            again = self._task.going_on
        return f"Stopped while the report was written; training is finished: {again} writes the report."


def _report(tasks: Sequence[FoldTask], outcomes: dict[int, FoldOutcome]) -> int:
    """Print what the folds say together; returns the exit code."""
    there = [task for task in tasks if outcomes[task.fold.index].state not in ("failed", "not begun")]
    failed = [outcome for outcome in outcomes.values() if outcome.state == "failed"]
    if there:
        one = there[0]
        report = write_report(
            one.asked.save_folder,
            one.asked.network,
            read_result(one.result_file),
            leak_check=one.leak_check,
            problems=one.problems,
        )
        print("\n".join(report.lines))
        print("\n".join(printable(f"network: {task.checkpoint_file}") for task in there))
    return 1 if failed else 0


def _stop(*_: object) -> None:
    for stop in _STOPS:
        signal.signal(stop, signal.SIG_IGN)  # a second one would break what the first one has begun to tidy
    raise KeyboardInterrupt
