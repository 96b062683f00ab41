"""The training command: train the requested folds of one network, then report on them.

Exit code 0: every requested fold is trained, or was stopped by --timeout; 1: some folds failed, the others are trained;
2: nothing could be started; 130: interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tqdm import tqdm

from gait.cli.exit_codes import EXIT_INTERRUPTED, print_err, run_main
from gait.errors import GaitError
from gait.learning.cross_validation import make_fold_tasks, run_folds
from gait.learning.distributed import process_group_from_torchrun
from gait.learning.fold_result import left_out_as_dict, read_result
from gait.learning.networks import NETWORKS
from gait.learning.train_fold import EpochDone, FoldOutcome, FoldTask
from gait.learning.training_arguments import TrainingArguments, parse_training_arguments
from gait.parallel.device import check_device
from gait.report.training.tensorboard import TensorBoardLogger
from gait.report.training.text_summary import left_out_sentences
from gait.report.training.write_report import write_report
from gait.text import printable


def train_network(name: str, about: str, argv: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """Run the training command of a registered network; return the exit code.

    ``about`` is the text of --help: an example command, an empty line, a description. ``prog`` is the command's name if
    it is not the script's.
    """
    return run_main(
        lambda: train_and_report(parse_training_arguments(NETWORKS[name], about, argv, prog=prog)),
        "Stopped before any training began.",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m gait.learning NAME ...``; return the exit code."""
    prog = "python -m gait.learning"
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog=prog, description="Train a network. Its flags: NAME --help.", formatter_class=argparse.RawTextHelpFormatter
    )
    known = "\n".join(f"{network.name}: {network.description}" for network in NETWORKS.values())
    parser.add_argument("network", metavar="NAME", choices=tuple(NETWORKS), help=known)
    name = parser.parse_args(argv[:1]).network
    prog = f"{prog} {name}"
    about = f"{prog} --base_folder ./optimized_poses --save_folder ./trained_{name}\n\n{NETWORKS[name].description}"
    return train_network(name, about, argv[1:], prog=prog)


def train_and_report(arguments: TrainingArguments) -> int:
    """Train the requested folds, write the report, and return the exit code.

    Raises:
        GaitError: nothing could be started.
    """
    if arguments.scheduler is None:  # otherwise the cluster's workers check it
        check_device(arguments.device)
    with process_group_from_torchrun(arguments.device) as (processes, own_device):
        if processes.size > 1 and (arguments.workers or arguments.scheduler):
            raise GaitError("torchrun divides each fold among its processes; omit --workers and --scheduler.")
        arguments = replace(arguments, device=own_device)
        tasks = processes.broadcast_from_main(lambda: make_fold_tasks(arguments, print_err, TensorBoardLogger))
        if processes.is_main:
            for line in left_out_sentences(left_out_as_dict(tasks[0].left_out)):
                print_err(line)
        progress = _ProgressReporter(tasks, arguments.progress_bars and processes.is_main, processes.is_main)
        try:
            with progress:
                for event in run_folds(tasks, arguments, processes, progress.log, progress.show_windows):
                    progress.show_event(event)
        except KeyboardInterrupt:
            progress.log(progress.interrupted_message())
            return EXIT_INTERRUPTED
        try:
            return _write_report(tasks, progress.outcomes) if processes.is_main else 0
        except KeyboardInterrupt:
            progress.log(progress.unreported_message())
            return EXIT_INTERRUPTED


class _ProgressReporter:
    """Shows the progress of all folds as a bar, or as one line per epoch."""

    def __init__(self, tasks: Sequence[FoldTask], bars: bool, prints: bool):
        self.outcomes: dict[int, FoldOutcome] = {}
        self._epochs = dict.fromkeys((task.fold.index for task in tasks), 0)  # finished ones, by fold
        self._task = tasks[0]
        self._max_epochs = tasks[0].args.epochs
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
        """Show the number of windows of the present epoch on which the network has been trained."""
        self._bar.set_postfix_str(f"{done} of {total} windows", refresh=False)
        self._bar.n = round(sum(self._epochs.values()) + done / total, 2)
        self._bar.update(0)

    def log(self, line: str) -> None:
        """Print a line for the user, above the bar."""
        if self._prints:
            print_err(line) if self._bar.disable else self._bar.write(line, file=sys.stderr)

    def interrupted_message(self) -> str:
        """Return a message on the finished epochs and on how to resume."""
        finished = [
            f"fold {fold} has {done} of {self._max_epochs} epochs" for fold, done in self._epochs.items() if done
        ]
        return f"Stopped: {', '.join(finished) or 'no epoch is finished'}; to resume, give {self._task.resume_hint}."

    def unreported_message(self) -> str:
        """Return the message if only the report is missing."""
        again = "the same command" + (" without --overwrite" if self._task.args.overwrite else "")
        if any(outcome.state == "timed out" for outcome in self.outcomes.values()):
            again = self._task.resume_hint
        return f"Stopped while the report was being written; the training is finished: {again} writes the report."


def _write_report(tasks: Sequence[FoldTask], outcomes: Mapping[int, FoldOutcome]) -> int:
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
