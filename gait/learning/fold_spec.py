"""One fold that is to be trained: its settings and data, their fingerprint, and the files of its results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from gait.cli.arguments import fields_by_flag
from gait.errors import GaitError
from gait.files.fingerprint import Stage, changed_inputs, fingerprint
from gait.files.folder_lock import folder_lock
from gait.learning.checkpoint import Checkpoint, load_checkpoint
from gait.learning.fold_result import LATER_FLAGS, Epoch, read_result, result_file
from gait.learning.training_arguments import CONSTANT, TrainingArguments, TrainingSettings
from gait.motion.folds import Fold
from gait.motion.inputs import PUBLISHED
from gait.motion.left_out import LeftOut
from gait.motion.window_placement import FRAMES

_FIELDS = fields_by_flag(TrainingArguments)
_LATER_SETTINGS = {_FIELDS[flag]: value for flag, value in LATER_FLAGS.items()}


class EpochLog(Protocol):
    """Takes the metrics of a fold, epoch by epoch."""

    def epoch(self, index: int, epoch: Epoch) -> None:
        """Log an epoch; ``index`` starts at 0."""


OpenLog = Callable[[Path, str, int, Sequence[Epoch]], AbstractContextManager[EpochLog]]
"""Opens the log of a fold, given the save folder, the network's name, the fold's index and the epochs already done."""


@dataclass(frozen=True)
class FoldSpec:
    """All inputs to the training of one fold, and the files of its results."""

    args: TrainingArguments  # of the command
    fold: Fold
    sick: Mapping[str, bool]  # by subject
    data_sha256: str  # of the dataset
    confounder_check: Mapping[str, Any]
    problems: tuple[str, ...]  # found when the dataset was read
    left_out: LeftOut  # of the dataset
    run_id: str  # of the command; a process that replaces a crashed one continues after the last epoch of this run
    deadline: float | None = None  # seconds since 1970, after which no epoch begins
    open_log: OpenLog | None = None

    @property
    def name(self) -> str:
        """The beginning of every message about this task."""
        return f"fold {self.fold.index}"

    @property
    def checkpoint_file(self) -> Path:
        """The file of the network."""
        return self.args.save_folder / f"fold{self.fold.index}" / f"{self.args.network}.ckpt"

    @property
    def result_file(self) -> Path:
        """The file of the ``FoldResult``."""
        return result_file(self.args.save_folder, self.args.network, self.fold.index)

    @property
    def predictions_file(self) -> Path:
        """The table of the probabilities of all evaluation windows."""
        return self.checkpoint_file.with_name(f"predictions_{self.args.network}.csv")

    @property
    def resume_hint(self) -> str:
        """Description of the command that resumes an interrupted training."""
        return f"the same command with --resume{' instead of --overwrite' if self.args.overwrite else ''}"

    @property
    def timed_out(self) -> bool:
        """True if --timeout has passed."""
        return self.deadline is not None and time.time() >= self.deadline

    @property
    def no_time_left(self) -> bool:
        """True if --timeout has passed and the fold is not finished yet."""
        return self.timed_out and not self.is_finished()

    def is_finished(self) -> bool:
        """Return whether an earlier run has finished this fold with the same settings and data."""
        if self.args.overwrite or not self.checkpoint_file.is_file():
            return False
        try:
            state = load_checkpoint(self.checkpoint_file).training_state or {}
            read_result(self.result_file)
        except GaitError:
            return False
        return not changed_inputs(state.get("inputs"), self.inputs()) and state.get("finished") == self.args.epochs

    def own_checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint of this same run, whose process crashed; None if there is none."""
        with suppress(GaitError):
            if self.checkpoint_file.is_file():
                checkpoint = load_checkpoint(self.checkpoint_file)
                if (checkpoint.training_state or {}).get("run_id") == self.run_id:
                    return checkpoint
        return None

    def resumable_checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint of an earlier run, from which --resume continues; None if there is none.

        Raises:
            GaitError: it cannot be continued, as the settings differ or it has more epochs.
        """
        path = self.checkpoint_file
        if not path.is_file():
            return None
        checkpoint = load_checkpoint(path)
        state = checkpoint.training_state or {}
        if changed := changed_inputs(state.get("inputs", {}), self.inputs()):
            raise GaitError(
                f"{path}: was trained with other settings ({', '.join(changed)} changed), so --resume cannot "
                "continue it; give the same settings, or omit --resume to train from the start."
            )
        epochs = self.args.epochs
        if len(state["epochs"]) > epochs:
            raise GaitError(
                f"{path}: has {len(state['epochs'])} finished epochs, more than --epochs {epochs}; give a larger "
                "number, or omit --resume to train from the start."
            )
        return checkpoint

    def lock(self) -> AbstractContextManager[bool]:
        """Lock this fold of this network against other runs."""
        folder = self.args.save_folder / f"fold{self.fold.index}-{self.args.network}"
        return folder_lock(folder, "training this fold", self.name)

    def remove_stale_temporaries(self) -> None:
        """Remove temporary files of a killed run; call it only while holding the lock."""
        for path in (self.checkpoint_file, self.predictions_file, self.result_file):
            for partial in path.parent.glob(f".{path.name}.partial-*"):
                partial.unlink(missing_ok=True)

    def inputs(self) -> dict[str, Any]:
        """Return the fingerprint of everything that decides the result of a training, except the number of epochs."""
        args = self.args
        names = {setting.name for setting in fields(TrainingSettings)} - {"epochs", "device", *_LATER_SETTINGS}
        published = args.input == PUBLISHED and args.windows == FRAMES
        stages: tuple[Stage, ...] = ("windows", "training") if published else ("windows", "inputs", "training")
        return fingerprint(
            *stages,
            **{f"architecture.{name}": value for name, value in args.architecture.as_dict().items()},
            **{name: getattr(args, name) for name in names},
            window_length=args.window_length,
            stride=args.stride,
            frame_rate_hz=args.rate_hz,
            mirror=args.mirror,
            k_folds=self.fold.count,
            evaluation_subjects=list(self.fold.evaluation),
            data_sha256=self.data_sha256,
            **self._left_out_input(),
            **self._later_inputs(),
        )

    def _later_inputs(self) -> dict[str, Any]:
        """Return the settings that earlier versions did not have, unless they are as in earlier versions."""
        values = {name: getattr(self.args, name) for name in _LATER_SETTINGS}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value != _LATER_SETTINGS[name]
        } | ({} if self.args.schedule == CONSTANT else {"epochs": self.args.epochs})  # on which the rates depend

    def _left_out_input(self) -> dict[str, Any]:
        """Return what is left out as an input of the training; nothing if nothing is, as in earlier versions."""
        names: dict[str, Any] = {"joints": [joint.name for joint in self.left_out.joints]}
        names |= {"trials": list(self.left_out.trials), "windows": self.left_out.windows_sha256}
        return {"left_out": names} if any(names.values()) else {}
