"""Train a network on one fold, evaluate it on the held-out subjects, and save everything that a report needs.

``<save_folder>/fold<k>/<network>.ckpt`` is written atomically after every epoch, so an interruption costs at most one
epoch.
"""

from __future__ import annotations

import copy
import csv
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gait.body.skeleton import BODY_JOINTS
from gait.errors import GaitError, error_message
from gait.files.atomic_write import atomic_file
from gait.files.folder_lock import LockedError
from gait.files.package_versions import package_versions
from gait.learning.baselines import baseline_predictions, dimensionless_speeds
from gait.learning.checkpoint import Checkpoint, save_checkpoint
from gait.learning.distributed import ProcessGroup
from gait.learning.ensemble import Ensemble, with_threshold
from gait.learning.fold_result import (
    Epoch,
    FoldResult,
    fold_as_dict,
    left_out_as_dict,
    read_result,
    save_result,
    to_strict_json,
)
from gait.learning.fold_spec import EpochLog, FoldSpec
from gait.learning.initialization import initialize_from_data
from gait.learning.matched_speed import matched_auc
from gait.learning.metrics import estimate_metrics
from gait.learning.networks import NETWORKS
from gait.learning.predictions import Predictions, subject_means
from gait.learning.threshold import Threshold, find_threshold, pooled_logits
from gait.learning.trainer import Progress, Trainer, mean_window, window_logits, window_probabilities
from gait.learning.training_arguments import TrainingArguments
from gait.motion.dataset import GaitDataset, Trial, dataset_hash
from gait.motion.folds import split_validation
from gait.motion.inputs import PUBLISHED
from gait.motion.read_dataset import read_dataset
from gait.motion.window_input import InputReference
from gait.motion.windows import WindowDataset, fit_reference
from gait.parallel.device import check_device

FOLD_MODULE = "gait.learning.train_fold"
"""The module that a training process loads."""

VALIDATION_FRACTION = 0.2
"""Fraction of the training subjects that are held out for early stopping."""


@dataclass(frozen=True)
class EpochDone:
    """An epoch of a fold is finished, and its checkpoint is saved."""

    fold: int
    number: int  # from 1
    epoch: Epoch


@dataclass(frozen=True)
class FoldOutcome:
    """Outcome of the training of a fold."""

    fold: int
    state: Literal["trained", "already finished", "timed out", "skipped", "failed"]
    message: str = ""  # one line for the user; empty if there is no message


@dataclass(frozen=True)
class FoldTask(FoldSpec):
    """The training of one fold as a task of ``gait.parallel``."""

    def run(self) -> Iterator[EpochDone | FoldOutcome]:
        """Train the fold in this process unless --timeout has passed; yield errors as a ``FoldOutcome``."""
        try:
            if self.no_time_left:
                yield self.skipped_outcome()
            else:
                yield from run_fold(self)
        except LockedError:
            raise
        except Exception as error:  # an error in one fold must not stop the others
            yield self.failed_outcome(error)

    def failed_outcome(self, error: Exception) -> FoldOutcome:
        """Return the outcome for an error."""
        memory_hint = "use fewer --workers, or a smaller --batch_size"
        line = error_message(error, self.name, "the training", memory_hint)
        return FoldOutcome(self.fold.index, "failed", line if line.startswith(self.name) else f"{self.name}: {line}")

    def skipped_outcome(self) -> FoldOutcome:
        """Return the outcome if --timeout has passed before the fold began."""
        return FoldOutcome(self.fold.index, "skipped", f"{self.name}: skipped, because --timeout had passed.")

    def cleanup(self) -> None:
        """Remove the temporary files of a process that was killed during this task."""
        with suppress(GaitError), self.lock() as locked:
            if locked:
                self.remove_stale_temporaries()

    def absolute(self) -> FoldTask:
        """Return the same task with absolute paths."""
        names = ("poses", "save_folder", "body_file")
        paths = {name: path.resolve() for name in names if (path := getattr(self.args, name)) is not None}
        return replace(self, args=replace(self.args, **paths))


def run_fold(
    task: FoldSpec, processes: ProcessGroup | None = None, progress: Progress | None = None
) -> Iterator[EpochDone | FoldOutcome]:
    """Train a fold and save its results; yield each epoch and, at the end, the outcome.

    A fold that is already finished with the same settings and data is not trained again; only its missing baselines are
    computed. Every process of the group must call this function; the main process writes the files.

    Raises:
        LockedError: another run is training this fold.
        GaitError: the fold cannot be trained, or the results cannot be written.
    """
    processes = processes or ProcessGroup()
    if processes.broadcast_from_main(task.is_finished):
        processes.broadcast_from_main(lambda: _add_missing_baselines(task))
        yield FoldOutcome(task.fold.index, "already finished")
        return
    with ExitStack() as stack:

        def lock() -> None:
            if stack.enter_context(task.lock()):
                task.remove_stale_temporaries()

        processes.broadcast_from_main(lock)
        yield from FoldTraining(task, processes).run(progress)


def _add_missing_baselines(task: FoldSpec) -> None:
    """Add missing baselines to a finished fold: a package that they need may have been installed since."""

    def missing(result: FoldResult) -> set[str]:
        return {name for name, found in result.baselines.items() if isinstance(found, str)}

    if not missing(read_result(task.result_file)):
        return
    with suppress(LockedError), task.lock():
        result = read_result(task.result_file)
        found = _baselines(task, task.left_out.select(_read_verified(task.data_sha256, **task.args.dataset).trials))
        if any(isinstance(found[name], Predictions) for name in missing(result)):
            baselines = found | {name: result.baselines[name] for name in result.baselines.keys() - missing(result)}
            save_result(replace(result, baselines=baselines), task.args.save_folder)


class FoldTraining:
    """A fold in training: its windows, its network, and the files that it writes."""

    def __init__(self, task: FoldSpec, processes: ProcessGroup) -> None:
        """Read the trials, and build the network or restore it from the checkpoint of an interrupted training.

        Raises:
            GaitError: the device or the trials are missing, or --resume cannot continue the earlier training.
        """
        args = task.args
        self._task, self._processes = task, processes
        processes.run_on_all(lambda: check_device(args.device))
        dataset = processes.run_on_all(lambda: _read_verified(task.data_sha256, **args.dataset))
        self._trials = task.left_out.select(dataset.trials)
        training, self._validation = task.fold.training, tuple[str, ...]()
        if args.patience is not None:
            training, self._validation = split_validation(task.fold, task.sick, VALIDATION_FRACTION)
        self._training = self._training_windows(training)
        self._evaluation = self._windows(task.fold.evaluation, self._training.reference)
        self._trainer = Trainer(
            _new_network(args, self._training),
            self._training,
            self._evaluation,
            args,
            validation=self._windows(self._validation, self._training.reference) if self._validation else None,
            processes=processes,
        )
        resumed = processes.broadcast_from_main(
            lambda: task.resumable_checkpoint() if args.resume else task.own_checkpoint()
        )
        if resumed is not None and resumed.training_state is not None:
            self._trainer.restore(resumed.training_state)
        self._mean: Tensor | None
        if self._training.reference.mean_window is not None:  # the controls' mean window, from which all deviate
            self._mean = torch.zeros_like(self._training.reference.mean_window)
        else:
            self._mean = mean_window(self._training, args.batch_size) if resumed is None else resumed.mean_window
        self._threshold: Threshold | None = None

    def run(self, progress: Progress | None) -> Iterator[EpochDone | FoldOutcome]:
        """Train until the last epoch or --timeout, write the results; yield each epoch and the outcome."""
        task, trainer, processes = self._task, self._trainer, self._processes
        with ExitStack() as stack:
            log = processes.run_on_all(lambda: self._open_log(stack))
            while not trainer.finished:
                epoch = trainer.run_epoch(progress)
                processes.broadcast_from_main(self._write_checkpoint)
                if log is not None:
                    log.epoch(len(trainer.epochs) - 1, epoch)
                yield EpochDone(task.fold.index, len(trainer.epochs), epoch)
                if processes.broadcast_from_main(lambda: task.timed_out):
                    break
            if trainer.finished:
                self._threshold = self._find_threshold()
        chosen = copy.deepcopy(trainer.network)  # the trainer's own network stays as it is
        chosen.load_state_dict(trainer.chosen_weights)
        args = task.args
        chosen = with_threshold(chosen, self._threshold.logit if self._threshold else 0.0)
        probability = window_probabilities(chosen, self._evaluation, args.batch_size, args.device, processes)
        processes.broadcast_from_main(lambda: self._write_results(probability))
        if self._finished:
            yield FoldOutcome(task.fold.index, "trained")
        else:
            line = f"{task.name}: stopped by --timeout after epoch {len(trainer.epochs)} of {args.epochs}"
            yield FoldOutcome(task.fold.index, "timed out", f"{line}; to resume, give {task.resume_hint}.")

    @property
    def _finished(self) -> bool:
        """True if all epochs are done, and the threshold is found if it is to be."""
        return self._trainer.finished and (self._threshold is not None or self._task.args.threshold_folds is None)

    def _own_trials(self, subjects: Collection[str]) -> list[Trial]:
        return [trial for trial in self._trials if trial.subject_id in set(subjects)]

    @property
    def _window_options(self) -> dict[str, Any]:
        args = self._task.args
        options = {"input": args.input, "windows": args.windows, "min_observed": args.min_observed}
        return {**options, "left_out": self._task.left_out.joints}

    def _windows(self, subjects: Collection[str], reference: InputReference | None = None) -> WindowDataset:
        args = self._task.args
        return WindowDataset(
            self._own_trials(subjects), args.window_length, args.stride, reference=reference, **self._window_options
        )

    def _training_windows(self, subjects: Collection[str]) -> WindowDataset:
        """Return the windows of training subjects, relative to the controls among them."""
        args, trials = self._task.args, self._own_trials(subjects)
        options = {**self._window_options, "mirror": args.mirror, "training": True}
        reference = None
        if args.input != PUBLISHED:
            reference = fit_reference(trials, args.window_length, args.stride, factor=args.deviation_factor, **options)
        return WindowDataset(trials, args.window_length, args.stride, reference=reference, **options)

    def _find_threshold(self) -> Threshold | None:
        """Return the threshold from training subjects; None without --threshold_folds, or if --timeout passes."""
        task, processes = self._task, self._processes
        if task.args.threshold_folds is None:
            return None
        args = replace(task.args, epochs=self._trainer.chosen_epoch + 1, patience=None, ensemble=1)

        def judge(subjects: tuple[str, ...], judged: tuple[str, ...]) -> dict[str, float]:
            training = self._training_windows(subjects)
            windows = self._windows(judged, training.reference)
            not_evaluated = self._windows((), training.reference)  # only after the last epoch
            trainer = Trainer(_new_network(args, training), training, not_evaluated, args, processes=processes)
            while not trainer.finished:
                if processes.broadcast_from_main(lambda: task.timed_out):
                    raise _TimeoutPassedError
                trainer.run_epoch()
            logits = window_logits(trainer.network, windows, args.batch_size, args.device, processes)
            return subject_means(windows, logits)

        try:
            logits, sick = pooled_logits(
                {name: task.sick[name] for name in task.fold.training}, task.args.threshold_folds, judge
            )
        except _TimeoutPassedError:
            return None
        return find_threshold(logits, sick, task.args.specificity)

    def _open_log(self, stack: ExitStack) -> EpochLog | None:
        task = self._task
        if task.open_log is None or not self._processes.is_main:
            return None
        log = task.open_log(task.args.save_folder, task.args.network, task.fold.index, self._trainer.epochs)
        return stack.enter_context(log)

    def _write_checkpoint(self, finished: int | None = None, metrics: Mapping[str, Any] | None = None) -> None:
        task, args = self._task, self._task.args
        state = {**self._trainer.state(), "inputs": task.inputs(), "run_id": task.run_id, "finished": finished}
        reference = self._training.reference
        checkpoint = Checkpoint(
            architecture=args.architecture,
            weights=self._trainer.chosen_weights,
            window_length=args.window_length,
            frame_rate_hz=args.rate_hz,
            normalisation=args.normalization,
            joints=tuple(joint.name for joint in BODY_JOINTS),
            fold=fold_as_dict(task.fold) | {"validation": self._validation},
            arguments=args.flags,
            versions=_versions(),
            metrics=metrics or {},
            mean_window=self._mean,
            training_state=state,
            left_out_joints=tuple(joint.name for joint in task.left_out.joints),
            input=args.input,
            windows=args.windows,
            reference=reference,
            ensemble=args.ensemble,
            threshold=self._threshold.logit if self._threshold else 0.0,
            control_logit=self._threshold.control_logit if self._threshold else None,
        )
        save_checkpoint(task.checkpoint_file, checkpoint)

    def _write_results(self, probability: Tensor) -> None:
        task, trainer = self._task, self._trainer
        predictions = Predictions.from_windows(self._evaluation, probability.numpy())
        result = FoldResult(
            network=task.args.network,
            architecture=task.args.architecture.as_dict(),
            arguments=task.args.flags,
            command=task.args.command,
            fold=task.fold,
            sick=dict(task.sick),
            epochs=tuple(trainer.epochs),
            evaluation=predictions,
            baselines=_baselines(task, self._trials),
            confounder_check=dict(task.confounder_check),
            training_windows=len(self._training),
            evaluation_windows=len(self._evaluation),
            normalisation=task.args.normalization,
            seconds=sum(epoch["seconds"] for epoch in trainer.epochs),
            versions=_versions(),
            problems=task.problems,
            validation=self._validation,
            chosen_epoch=trainer.chosen_epoch,
            timed_out=not self._finished,
            data_sha256=task.data_sha256,
            left_out=left_out_as_dict(task.left_out),
            threshold={} if self._threshold is None else vars(self._threshold),
            speeds=_speeds(task, self._own_trials(task.fold.evaluation)),
        )
        _write_predictions(task.predictions_file, predictions)
        save_result(result, task.args.save_folder)
        metrics = to_strict_json({by: estimate_metrics(predictions, by=by) for by in ("windows", "subjects")})
        if matched := matched_auc(predictions.by_subject(), result.speeds):
            metrics["matched_speed"] = to_strict_json(matched)
        self._write_checkpoint(task.args.epochs if self._finished else None, metrics)


class _TimeoutPassedError(Exception):
    """--timeout has passed."""


def _new_network(args: TrainingArguments, training: WindowDataset) -> nn.Module:
    """Return an untrained network, initialized from training windows; each member of an ensemble has its own seed."""
    members = []
    for number in range(args.ensemble):
        torch.manual_seed(args.seed + number)
        member = args.architecture.build()
        initialize_from_data(member, training, args.seed + number, NETWORKS[args.network].initialize)
        members.append(member)
    return members[0] if args.ensemble == 1 else Ensemble(members)


@lru_cache(maxsize=1)  # a process that trains several folds reads the trials once
def _read_verified(sha256: str, **dataset: Any) -> GaitDataset:
    """Read the dataset; raise GaitError if its ``dataset_hash`` is not ``sha256``."""
    found = read_dataset(**dataset)
    if dataset_hash(found) != sha256:
        folder = dataset["poses_folder"]
        raise GaitError(f"{folder}: its poses changed after the start, or differ on this computer; run it again.")
    return found


def _baselines(task: FoldSpec, trials: Sequence[Trial]) -> dict[str, Predictions | str]:
    """Return the baselines for the same subjects; subjects held out for early stopping count as training subjects."""
    training, evaluation = (
        [trial for trial in trials if trial.subject_id in subjects]
        for subjects in (task.fold.training, task.fold.evaluation)
    )
    args = task.args
    return baseline_predictions(
        training,
        evaluation,
        window_length=args.window_length,
        stride=args.stride,
        seed=args.seed,
        left_out=task.left_out.joints,
        min_observed=args.min_observed,
        windows=args.windows,
    )


def _speeds(task: FoldSpec, trials: Sequence[Trial]) -> dict[str, float | None]:
    """Return the dimensionless speed of each subject, None if unknown; nothing if it cannot be computed.

    Then the baseline of the walking speed is missing, too, and says why.
    """
    with suppress(Exception):  # it must not discard the trained network
        speeds = dimensionless_speeds(trials, task.left_out.joints)
        return {subject: speed if math.isfinite(speed) else None for subject, speed in speeds.items()}
    return {}


def _write_predictions(path: Path, predictions: Predictions) -> None:
    """Write one line per window; ``first_frame`` counts from 0 at the network's frame rate."""
    with atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8", errors="replace") as stream:
        table = csv.writer(stream)
        table.writerow(("subject", "trial", "first_frame", "label", "probability_sick"))
        columns = ("subject_index", "trial_index", "first_frame", "sick", "probability")
        for subject, trial, first, sick, probability in zip(*(getattr(predictions, c) for c in columns), strict=True):
            label = "sick" if sick else "healthy"
            table.writerow(
                (predictions.subjects[subject], predictions.trials[trial], first, label, f"{probability:.6f}")
            )


def _versions() -> dict[str, str]:
    return package_versions("torch", "numpy", "torch-adopt")
