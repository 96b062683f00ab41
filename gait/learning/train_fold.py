"""One fold of a network: trained, measured on persons it never saw, and written down.

``<save_folder>/fold<k>/<network>.ckpt`` is written after every epoch, whole, so that a stop costs one epoch at most.
"""

from __future__ import annotations

import copy
import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

import gait
from gait.body.skeleton import BODY_JOINTS
from gait.error_message import failure_line
from gait.errors import GaitError
from gait.files.atomic_write import replacing_file
from gait.files.folder_lock import folder_lock
from gait.files.package_versions import versions_of
from gait.learning.baselines import baseline_predictions
from gait.learning.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from gait.learning.distributed import ProcessGroup
from gait.learning.fold_result import Epoch, FoldResult, read_result, result_file, save_result
from gait.learning.initialization import settle
from gait.learning.metrics import as_json, metric_estimates
from gait.learning.predictions import Predictions
from gait.learning.trainer import Progress, Trainer, mean_window, window_probabilities
from gait.learning.training_arguments import TrainingArguments
from gait.motion.common_frame import NORMALISATION
from gait.motion.dataset import Trial
from gait.motion.folds import Fold, validation_split
from gait.motion.windows import WindowDataset
from gait.parallel.device import check_device
from gait.parallel.task_queue import LockedError
from gait.report.training.tensorboard import TensorBoardLogger

FOLD_MODULE = "gait.learning.train_fold"
"""What a process that trains has to load."""
VALIDATION_SHARE = 0.2
"""Of the training persons, held back for early stopping."""


@dataclass(frozen=True)
class EpochDone:
    """An epoch of a fold is over, and on the disk."""

    fold: int
    number: int  # from 1
    epoch: Epoch


@dataclass(frozen=True)
class FoldOutcome:
    """What became of a fold."""

    fold: int
    state: Literal["trained", "finished before", "timed out", "not begun", "failed"]
    line: str = ""  # what went wrong, or what the user should know


@dataclass(frozen=True)
class FoldTask:
    """Everything that decides how a fold is trained, and where its results go."""

    asked: TrainingArguments  # of the command
    fold: Fold
    sick: Mapping[str, bool]  # by person
    data_sha256: str  # of the poses
    leak_check: Mapping[str, Any]
    problems: tuple[str, ...]  # of reading the poses
    run_id: str  # of the command: a process that takes over from one that died goes on from its last epoch
    deadline: float | None = None  # seconds since 1970: begin no epoch after it

    @property
    def name(self) -> str:
        """As the user's lines have it."""
        return f"fold {self.fold.index}"

    @property
    def checkpoint_file(self) -> Path:
        """Where the network is kept."""
        return self.asked.save_folder / f"fold{self.fold.index}" / f"{self.asked.network}.ckpt"

    @property
    def result_file(self) -> Path:
        """Where all that a report needs is kept."""
        return result_file(self.asked.save_folder, self.asked.network, self.fold.index)

    @property
    def predictions_file(self) -> Path:
        """Where each evaluation window's probability is written."""
        return self.checkpoint_file.with_name(f"predictions_{self.asked.network}.csv")

    def run(self) -> Iterator[EpochDone | FoldOutcome]:
        """Train the fold in this process, unless its time is over before it began; an error is an outcome."""
        try:
            if self.too_late:
                yield self.not_begun()
            else:
                yield from run_fold(self)
        except LockedError:
            raise
        except Exception as error:  # the other folds go on
            yield self.failed(error)

    def failed(self, error: Exception) -> FoldOutcome:
        """The outcome of an error."""
        less = "use fewer --workers, or a smaller --batch_size"
        line = failure_line(error, self.name, "the training", less)
        return FoldOutcome(self.fold.index, "failed", line if line.startswith(self.name) else f"{self.name}: {line}")

    @property
    def late(self) -> bool:
        """Whether --timeout has passed."""
        return self.deadline is not None and time.time() >= self.deadline

    @property
    def too_late(self) -> bool:
        """Whether there is something to train, and no time left for it."""
        return self.late and not self.is_finished()

    def not_begun(self) -> FoldOutcome:
        """The outcome where it is too late."""
        return FoldOutcome(self.fold.index, "not begun", f"{self.name}: not begun, as --timeout had passed.")

    @property
    def going_on(self) -> str:
        """What to give where it was stopped, in the user's words."""
        return f"the same command with --resume{' in place of --overwrite' if self.asked.overwrite else ''}"

    def is_finished(self) -> bool:
        """Whether an earlier run has left all of it, with the same settings and poses."""
        if self.asked.overwrite or not self.checkpoint_file.is_file():
            return False
        try:
            state = load_checkpoint(self.checkpoint_file).training_state or {}
            read_result(self.result_file)
        except GaitError:
            return False
        return state.get("inputs") == self.inputs() and state.get("finished") == self.asked.settings.epochs

    def tidy(self) -> None:
        """Remove what a process that is gone was writing."""
        with suppress(GaitError), self.lock() as held:
            if held:
                self.clear_left_over()

    def clear_left_over(self) -> None:
        """Remove what a run that was killed was writing; only with the lock."""
        for path in (self.checkpoint_file, self.predictions_file, self.result_file):
            for partial in path.parent.glob(f".{path.name}.partial-*"):
                partial.unlink(missing_ok=True)

    def lock(self) -> AbstractContextManager[bool]:
        """One run at a time for this fold of this network."""
        place = self.asked.save_folder / f"fold{self.fold.index}-{self.asked.network}"
        return folder_lock(place, "training this fold", self.name)

    def absolute(self) -> FoldTask:
        """The same with absolute paths."""
        asked = self.asked
        absolute = replace(asked, source=asked.source.absolute(), save_folder=asked.save_folder.resolve())
        return replace(self, asked=absolute)

    def inputs(self) -> dict[str, Any]:
        """What two trainings must share for one to stand for the other, but for the number of epochs."""
        asked = self.asked
        settings = asdict(asked.settings)
        del settings["epochs"], settings["device"]
        return {
            **{f"network's {name}": value for name, value in asked.architecture.as_dict().items()},
            **settings,
            "window": asked.window_length,
            "stride": asked.stride,
            "frame_rate": asked.source.rate_hz,
            "mirrored windows": asked.mirror,
            "folds": self.fold.count,
            "evaluation persons": list(self.fold.evaluation),
            "poses": self.data_sha256,
            "suite": gait.__version__,
        }


def run_fold(
    task: FoldTask, ranks: ProcessGroup | None = None, progress: Progress | None = None
) -> Iterator[EpochDone | FoldOutcome]:
    """Train a fold and write it down; tells of each epoch, and last of the fold.

    One that is finished with the same settings and poses is not trained again; a baseline that is missing there is
    tried again. Every process of ``ranks`` must run it; the first one writes.

    Args:
        task: what to train.
        ranks: the processes that train together.
        progress: told of an epoch's windows as they are trained on.

    Raises:
        TakenError: another run is training this fold.
        GaitError: it cannot be trained, or not be written.
    """
    ranks = ranks or ProcessGroup()
    if ranks.agreed(task.is_finished):
        ranks.agreed(lambda: _add_missing_baselines(task))
        yield FoldOutcome(task.fold.index, "finished before")
        return
    with ExitStack() as opened:

        def begin() -> None:
            if opened.enter_context(task.lock()):
                task.clear_left_over()

        ranks.agreed(begin)
        yield from _train(task, ranks, progress)


def _add_missing_baselines(task: FoldTask) -> None:
    """To a finished fold: what one of them needs may have been installed since."""

    def missing(result: FoldResult) -> set[str]:
        return {name for name, said in result.baselines.items() if isinstance(said, str)}

    if not missing(read_result(task.result_file)):
        return
    with suppress(LockedError), task.lock():
        result = read_result(task.result_file)
        found = _baselines(task, task.asked.source.same_gaits(task.data_sha256).gaits)
        if any(isinstance(found[name], Predictions) for name in missing(result)):
            baselines = found | {name: result.baselines[name] for name in result.baselines.keys() - missing(result)}
            save_result(replace(result, baselines=baselines), task.asked.save_folder)


def _train(
    task: FoldTask,
    ranks: ProcessGroup,
    progress: Progress | None,
) -> Iterator[EpochDone | FoldOutcome]:
    fold, asked, settings, inputs = task.fold, task.asked, task.asked.settings, task.inputs()
    ranks.each(lambda: check_device(settings.device))
    gaits = ranks.each(lambda: asked.source.same_gaits(task.data_sha256)).gaits
    learners, validators = fold.training, tuple[str, ...]()
    if settings.patience is not None:
        learners, validators = validation_split(fold, task.sick, VALIDATION_SHARE)

    def windows(persons: tuple[str, ...], mirrored: bool = False) -> WindowDataset:
        mine = [one for one in gaits if one.person in set(persons)]
        return WindowDataset(mine, asked.window_length, asked.stride, mirrored=mirrored)

    training, evaluation = windows(learners, asked.mirror), windows(fold.evaluation)
    torch.manual_seed(settings.seed)
    start = asked.architecture.build()
    settle(start, training, settings.seed)
    course = Trainer(
        start,
        training,
        evaluation,
        settings,
        validation=windows(validators) if validators else None,
        ranks=ranks,
    )
    before = ranks.agreed(lambda: _interrupted(task, inputs) if asked.resume else _begun(task))
    if before is not None and before.training_state is not None:
        course.restore(before.training_state)
    mean = before.mean_window if before is not None else mean_window(training, settings.batch_size)

    def keep(finished: int | None = None, metrics: Mapping[str, Any] | None = None) -> None:
        if not ranks.first:
            return
        checkpoint = Checkpoint(
            architecture=asked.architecture,
            weights=course.chosen_weights,
            window_length=asked.window_length,
            frame_rate_hz=asked.source.rate_hz,
            normalisation=NORMALISATION,
            joints=tuple(joint.name for joint in BODY_JOINTS),
            fold=asdict(fold) | {"validation": validators},
            arguments=asked.flags,
            versions=_versions(),
            metrics=metrics or {},
            mean_window=mean,
            training_state={**course.state(), "inputs": inputs, "run": task.run_id, "finished": finished},
        )
        save_checkpoint(task.checkpoint_file, checkpoint)

    with ExitStack() as opened:

        def drawn() -> TensorBoardLogger | None:
            if not ranks.first:
                return None
            return opened.enter_context(TensorBoardLogger(asked.save_folder, asked.network, fold.index, course.epochs))

        board = ranks.each(drawn)
        while not course.finished:
            epoch = course.epoch(progress)
            ranks.agreed(keep)
            if board is not None:
                board.epoch(len(course.epochs) - 1, epoch)
            yield EpochDone(fold.index, len(course.epochs), epoch)
            if ranks.agreed(lambda: task.late):
                break
    network = copy.deepcopy(course.network)  # training may go on from the other one
    network.load_state_dict(course.chosen_weights)
    probability = window_probabilities(network, evaluation, settings.batch_size, settings.device, ranks)

    def write() -> None:
        said = Predictions.of_windows(evaluation, probability.numpy())
        result = FoldResult(
            network=asked.network,
            architecture=asked.architecture.as_dict(),
            arguments=dict(asked.flags),
            command=asked.command,
            fold=fold,
            sick=dict(task.sick),
            epochs=tuple(course.epochs),
            evaluation=said,
            baselines=_baselines(task, gaits),
            leak_check=dict(task.leak_check),
            training_windows=len(training),
            evaluation_windows=len(evaluation),
            window_length=asked.window_length,
            frame_rate_hz=asked.source.rate_hz,
            stride=asked.stride,
            normalisation=NORMALISATION,
            seed=settings.seed,
            seconds=sum(epoch["seconds"] for epoch in course.epochs),
            versions=_versions(),
            problems=task.problems,
            validation=validators,
            chosen_epoch=course.chosen_epoch,
            timed_out=not course.finished,
            data_sha256=task.data_sha256,
        )
        _write_predictions(task.predictions_file, said)
        save_result(result, asked.save_folder)
        metrics = {by: as_json(metric_estimates(said, by=by)) for by in ("windows", "persons")}
        keep(settings.epochs if course.finished else None, metrics)

    ranks.agreed(write)
    if course.finished:
        yield FoldOutcome(fold.index, "trained")
    else:
        line = f"{task.name}: stopped by --timeout after epoch {len(course.epochs)} of {settings.epochs}"
        yield FoldOutcome(fold.index, "timed out", f"{line}; {task.going_on} goes on from there.")


def _begun(task: FoldTask) -> Checkpoint | None:
    """The checkpoint of this very run, whose process died; None if there is none."""
    with suppress(GaitError):
        if task.checkpoint_file.is_file():
            checkpoint = load_checkpoint(task.checkpoint_file)
            if (checkpoint.training_state or {}).get("run") == task.run_id:
                return checkpoint
    return None


def _interrupted(task: FoldTask, inputs: Mapping[str, Any]) -> Checkpoint | None:
    """The checkpoint of an earlier run that this one continues; None if there is none."""
    path = task.checkpoint_file
    if not path.is_file():
        return None
    checkpoint = load_checkpoint(path)
    state = checkpoint.training_state or {}
    before = state.get("inputs", {})
    other = [name for name in inputs.keys() | before.keys() if inputs.get(name) != before.get(name)]
    if other:
        raise GaitError(
            f"{path}: was trained otherwise ({', '.join(sorted(other))} changed), so --resume cannot go on from it; "
            "give the settings of then, or leave --resume out to train anew."
        )
    asked = task.asked.settings.epochs
    if len(state["epochs"]) > asked:
        raise GaitError(
            f"{path}: has {len(state['epochs'])} epochs behind it, more than --epochs {asked}; ask for more, or "
            "leave --resume out to train anew."
        )
    return checkpoint


def _baselines(task: FoldTask, gaits: Sequence[Trial]) -> dict[str, Predictions | str]:
    """On the same persons; those held back for early stopping are learnt from."""
    learners, judged = (
        [one for one in gaits if one.person in persons] for persons in (task.fold.training, task.fold.evaluation)
    )
    asked = task.asked
    return baseline_predictions(
        learners, judged, window_length=asked.window_length, stride=asked.stride, seed=asked.settings.seed
    )


def _write_predictions(path: Path, said: Predictions) -> None:
    """One line a window: person, gait, first frame (from 0, at the network's rate), label, probability of sick."""
    with replacing_file(path) as partial, partial.open("w", newline="", encoding="utf-8", errors="replace") as stream:
        table = csv.writer(stream)
        table.writerow(("person", "gait", "first_frame", "label", "probability"))
        rows = zip(said.person, said.gait, said.first_frame, said.sick, said.probability, strict=True)
        for person, gait_index, first, sick, probability in rows:
            label = "sick" if sick else "healthy"
            table.writerow((said.persons[person], said.gaits[gait_index], first, label, f"{probability:.6f}"))


def _versions() -> dict[str, str]:
    return versions_of("torch", "numpy", "torch-adopt")
