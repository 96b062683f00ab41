"""The command line of a training: flags that all networks share, beside the flags of one network's architecture."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gait.body.joint_status import MIN_OBSERVED_FRACTION
from gait.cli.arguments import (
    ArgumentError,
    add_flags,
    argument,
    bounded,
    command_of,
    flag_values,
    flag_words,
    parse_given,
    parser_of,
    positive_number,
    result_folder,
    whole_number,
)
from gait.learning.network import Architecture, Network
from gait.motion.inputs import INPUTS, PUBLISHED
from gait.motion.left_out import AUTO, KEEP, RULES
from gait.motion.window_placement import CYCLES, FRAMES, PLACEMENTS

CONSTANT, COSINE = "constant", "cosine"
SCHEDULES = (CONSTANT, COSINE)
"""Of the learning rate: always the same, or rising over the first tenth of the epochs and falling along a cosine."""

_ALL = "all"
_RECOMMENDED = "recommended"
_PATIENCE = 5
_THRESHOLD_FOLDS = 3


_seed = bounded(0, 2**32 - 1, f"a whole number from 0 to {2**32 - 1}", int)  # the range of numpy and MiniRocket
_metres = bounded(0, sys.float_info.max, "a number of metres, 0 or more")
_not_negative = bounded(0, sys.float_info.max, "a number, 0 or more")


def _fold_index(text: str) -> int | None:
    if text == _ALL:
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be the index of a fold, from 0, or {_ALL}, not {text!r}")
    return int(text)


def _defaults_by_input(name: str) -> str:
    """Return the default of a flag for each input that has one, for the flag's help."""
    defaults = {kind.name: getattr(kind, name) for kind in INPUTS.values()}
    return f"(default {', '.join(f'{kind} {value:g}' for kind, value in defaults.items() if value)})"


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The hyperparameters of a training. A network's ``defaults`` replace some of these defaults."""

    batch_size: int = argument(64, "windows per training step", type=whole_number)
    epochs: int = argument(25, "passes over all training windows", type=whole_number)
    learning_rate: float = argument(
        1e-4, "learning rate of the ADOPT optimizer", flag="--lr", aliases=["--learning_rate"], type=positive_number
    )
    schedule: str = argument(
        CONSTANT,
        "learning rate over the epochs: constant, or (cosine) rising over the first tenth, then falling to nearly 0",
        flag="--lr_schedule",
        choices=SCHEDULES,
    )
    use_class_weights: bool = argument(
        False,
        "weight sick windows by the ratio of healthy to sick windows",
        flag="--use_pos_ratio",
        aliases=["--class_weights"],
    )
    joint_offset_m: float = argument(
        0.03,
        "augmentation: standard deviation, in metres, of a random constant offset of each joint of a window",
        flag="--joint_offset",
        aliases=["--joint_jitter_m"],
        type=_metres,
    )
    patience: int | None = argument(
        None,
        f"stop after this many epochs ({_PATIENCE} if no number is given) without a lower loss on a fifth of the "
        "training subjects, which are held out; the network of the best epoch is kept",
        flag="--early_stopping",
        type=whole_number,
        nargs="?",
        const=_PATIENCE,
        metavar="EPOCHS",
    )
    pace: tuple[float, float] | None = argument(
        None,
        "augmentation of --input rotations and bones: bring the excursion of each training window, of controls and "
        "patients alike, to a random fraction between LO and HI of the controls' mean",
        type=positive_number,
        nargs=2,
        metavar=("LO", "HI"),
    )
    offset: float | None = argument(
        None,
        "augmentation of --input rotations (in radians) and bones: standard deviation of a random constant offset of "
        "each joint and axis of a window; --joint_offset is that of --input published " + _defaults_by_input("offset"),
        type=_not_negative,
    )
    individuality: float | None = argument(
        None,
        "augmentation of --input rotations and bones: add to each window the deviation of a random training window of "
        "a control, times a random number between -B and B (0: none)",
        type=_not_negative,
        metavar="B",
    )
    ensemble: int = argument(1, "number of networks whose mean logit counts, in one checkpoint", type=whole_number)
    threshold_folds: int | None = argument(
        None,
        f"move the decision threshold to where it separates training subjects best that a network has not seen: train "
        f"so many further networks ({_THRESHOLD_FOLDS} if no number is given), each without a part of them",
        type=bounded(2, sys.maxsize, "a whole number of at least 2", int),
        nargs="?",
        const=_THRESHOLD_FOLDS,
        metavar="N",
    )
    specificity: float | None = argument(
        None,
        "with --threshold_folds: put the threshold where this fraction of the controls is below it, as 0.95, instead "
        "of where balanced accuracy is highest",
        flag="--threshold_specificity",
        type=bounded(0.5, 1, "a number from 0.5 to 1"),
        metavar="FRACTION",
    )
    seed: int = argument(42, "random seed of weights, window order, dropout and augmentation", type=_seed)
    device: str = argument("cpu", "cpu (default), cuda or cuda:N")
    # ADOPT's β2. With its default of 0.9999 the step size of each weight depends on the magnitude of its first
    # gradient, which is random, for thousands of steps: longer than many trainings.
    beta2: float = 0.99


@dataclass(frozen=True, kw_only=True)
class TrainingArguments(TrainingSettings):
    """The arguments of a training command.

    Raises:
        ArgumentError: arguments contradict each other.
    """

    poses: Path = argument(
        Path(),
        "folder of the fitted poses, with subfolders healthy/ and sick/ (default ./)",
        flag="--base_folder",
        aliases=["--poses"],
    )
    save_folder: Path = argument(
        Path("out"), "folder for networks, metrics and the report (default ./out)", type=result_folder
    )
    window_length: int = argument(
        128, "window length in frames", flag="--interval_size", aliases=["--window_length"], type=whole_number
    )
    input: str = argument(
        PUBLISHED,
        "what the networks see of a window: published (joints in the common frame), rotations (of each joint against "
        "its parent) or bones (direction of each joint from its parent)",
        choices=tuple(INPUTS),
    )
    windows: str = argument(
        FRAMES,
        "where windows begin: every --stride frames, or (cycles) at initial contacts, with 100 frames per stride and "
        "windows that begin with the right foot mirrored",
        choices=PLACEMENTS,
    )
    deviation: float | None = argument(
        None,
        "with --input rotations or bones, the network sees this multiple of the difference from the controls' mean "
        "window; 0: the window itself " + _defaults_by_input("deviation"),
        type=_not_negative,
    )
    stride: int = argument(
        1,
        "frames from the start of one window to the start of the next, with --windows frames",
        aliases=["--window_stride"],
        type=whole_number,
    )
    rate_hz: float = argument(
        100.0,
        "frame rate in Hz to which all trials are resampled",
        flag="--frame_rate",
        aliases=["--network_frame_rate"],
        type=positive_number,
    )
    mirror: bool = argument(
        True, "do not train on mirrored windows as well", flag="--no_mirror", aliases=["--no_mirror_augmentation"]
    )
    keep_standing: bool = argument(
        False, "train and evaluate on standing, turning on the spot and sitting, too, instead of walking alone"
    )
    unobserved: str = argument(
        AUTO,
        "joints that markers do not observe in some trials: leave_out_joint leaves them out of all trials, "
        "leave_out_trial leaves these trials out, auto leaves out joints until at most a tenth of the trials lacks "
        "another, and these trials; keep trains on the positions that the pose prior gives them",
        choices=RULES,
    )
    k_folds: int = argument(5, "number of cross-validation folds", type=whole_number)
    fold: int | None = argument(
        0,
        "index of the fold to train, from 0 (default 0), or all",
        flag="--cross",
        aliases=["--fold"],
        type=_fold_index,
    )
    timeout_s: float | None = argument(
        None,
        "stop after the epoch in which this time has passed",
        flag="--timeout",
        type=positive_number,
        metavar="SECONDS",
    )
    resume: bool = argument(False, "continue after the last epoch of an interrupted run")
    overwrite: bool = argument(False, "train finished folds again")
    progress_bars: bool = argument(
        True, "no progress bars: print one line per epoch", flag="--cluster", aliases=["--no_progress"]
    )
    workers: int | None = argument(
        None,
        "folds trained at the same time, each in its own process (default: by the number of cores)",
        type=whole_number,
        metavar="N",
    )
    scheduler: str | None = argument(
        None, "train on a Dask cluster, for example tcp://10.0.0.5:8786", metavar="ADDRESS"
    )
    body_file: Path | None = argument(
        None, "body model of poses that are stored as JSON or text files", flag="--body", metavar="FILE"
    )
    pose_rate_hz: float | None = argument(
        None,
        "frame rate of such poses",
        flag="--pose_rate",
        aliases=["--pose_frame_rate"],
        type=positive_number,
        metavar="HZ",
    )
    network: str  # name in NETWORKS: a part of file names
    architecture: Architecture
    command: str = ""  # as typed

    def __post_init__(self) -> None:
        if self.scheduler is not None and self.workers is not None:
            raise ArgumentError(
                "--workers starts processes here, --scheduler uses those of a cluster; give one of them"
            )
        if self.overwrite and self.resume:
            raise ArgumentError("--overwrite trains from the start, --resume continues; give one of them")
        if self.fold is not None and self.fold >= self.k_folds:
            raise ArgumentError(
                f"--cross {self.fold}: must be 0 to {self.k_folds - 1}, with {self.k_folds} folds, or all"
            )
        if (self.body_file is None) != (self.pose_rate_hz is None):
            raise ArgumentError("--body and --pose_rate belong together: poses without joints need both")
        for name in ("pace", "offset", "individuality", "deviation"):
            if self.input == PUBLISHED and getattr(self, name) is not None:
                raise ArgumentError(f"--{name} needs --input rotations or bones")
        if self.individuality and not self.deviation_factor:
            raise ArgumentError("--individuality needs a --deviation above 0: it adds deviations from the mean window")
        if self.pace is not None and self.pace[0] > self.pace[1]:
            raise ArgumentError(f"--pace {self.pace[0]:g} {self.pace[1]:g}: give the smaller number first")

    @property
    def deviation_factor(self) -> float:
        """The factor on the difference from the controls' mean window; 0: none."""
        return INPUTS[self.input].deviation if self.deviation is None else self.deviation

    @property
    def mirrors(self) -> bool:
        """True if joints of one side can take the place of those of the other one."""
        return self.mirror or self.windows == CYCLES

    @property
    def normalization(self) -> str:
        """What the windows hold, for checkpoints and reports."""
        kind = INPUTS[self.input].normalization
        kind += f", {self.deviation_factor:g} times the deviation from the controls' mean" * bool(self.deviation_factor)
        return kind + ", from initial contacts, 100 frames per stride" * (self.windows == CYCLES)

    @property
    def flags(self) -> dict[str, Any]:
        """Every flag without its dashes, and its value."""
        shared = flag_values(self) | {"cross": _ALL if self.fold is None else self.fold}
        return shared | flag_values(self.architecture)

    @property
    def min_observed(self) -> float:
        """Fraction of a window's frames in which each joint is observed, for ``window_starts``."""
        return 0.0 if self.unobserved == KEEP else MIN_OBSERVED_FRACTION

    @property
    def dataset(self) -> dict[str, Any]:
        """The arguments of ``read_dataset``."""
        return {
            "poses_folder": self.poses,
            "rate_hz": self.rate_hz,
            "min_frames": self.window_length,
            "body": self.body_file,
            "pose_rate_hz": self.pose_rate_hz,
            "keep_standing": self.keep_standing,
            "input": self.input,
            "windows": self.windows,
        }


def recommended_flags(network: Network) -> str:
    """Return the flags that --recommended of a network's training stands for, as they are typed; "" if it has none."""
    declared = {each.name: each for kind in (network.architecture, TrainingArguments) for each in fields(kind)}
    return " ".join(flag_words(declared[name], value) for name, value in network.recommended.items())


def parse_training_arguments(
    network: Network, about: str, argv: Sequence[str] | None = None, *, prog: str | None = None
) -> TrainingArguments:
    """Parse the command line of a network's training; ``about``, ``argv`` and ``prog`` are those of ``parse``.

    Raises:
        GaitError: the network cannot have such sizes.
    """
    parser = parser_of(TrainingArguments, about, prog=prog, defaults=network.defaults)
    add_flags(parser, network.architecture, network.defaults)
    if network.recommended:
        about = "the settings that the README recommends for own recordings; flags beside it take precedence: "
        parser.add_argument(f"--{_RECOMMENDED}", action="store_true", help=about + recommended_flags(network))
    typed = parse_given(parser, argv)
    chosen = network.recommended if typed.pop(_RECOMMENDED, False) else {}
    given = {"window_length": TrainingArguments.window_length, **network.defaults, **chosen, **typed}
    length, limit = given["window_length"], network.max_window_length
    if limit is not None and length > limit:
        parser.error(f"--interval_size {length}: the {network.title} accepts at most {limit} frames")
    shared, sizes = (
        {field.name: given[field.name] for field in fields(kind) if field.name in given}
        for kind in (TrainingArguments, network.architecture)
    )
    try:
        return TrainingArguments(
            network=network.name,
            architecture=network.architecture(**sizes),
            command=command_of(argv, prog=parser.prog),
            **shared,
        )
    except ArgumentError as error:
        parser.error(str(error))
