"""The command-line flags that both training scripts share, and the arguments that they give."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gait.cli.arguments import number_or_nan, positive_number, result_folder, whole_number
from gait.learning.network import Architecture
from gait.learning.trainer import TrainingSettings
from gait.motion.dataset_spec import DatasetSpec

ALL = "all"
PATIENCE = 5
JOINT_OFFSET_M = 0.03


@dataclass(frozen=True)
class TrainingArguments:
    """The arguments of a training script."""

    network: str  # transformer or mlp: a part of file names
    architecture: Architecture
    settings: TrainingSettings
    dataset: DatasetSpec
    window_length: int  # frames
    stride: int  # frames from one window to the next
    mirror: bool  # also train on mirrored windows
    k_folds: int
    fold: int | None  # index of the fold to train; None: all folds
    save_folder: Path
    timeout_s: float | None
    resume: bool
    overwrite: bool
    progress_bars: bool  # if the output is a terminal
    workers: int | None  # None: as many as cores, memory and folds allow
    scheduler: str | None  # address of a Dask cluster; None: processes on this computer
    flags: dict[str, Any]  # every flag without its dashes, and its value
    command: str  # as typed


def make_training_parser(
    about: str, *, batch_size: int, interval_size: int, epochs: int, learning_rate: float
) -> argparse.ArgumentParser:
    """Return a parser of the shared flags, to which a script adds the flags of its network.

    Args:
        about: the script's docstring: an example command, an empty line, a description.
        batch_size: default, in windows.
        interval_size: default window length, in frames.
        epochs: default number of epochs.
        learning_rate: default, of ADOPT.
    """
    parser = argparse.ArgumentParser(
        description=about.split("\n\n")[1],
        epilog="example: " + about.split("\n")[0],
        allow_abbrev=False,
    )
    add = parser.add_argument

    def number(flag: str, kind: Callable[[str], float], default: float, about: str) -> None:
        add(flag, type=kind, default=default, help=f"{about} (default {default:g})")

    add(
        "--base_folder",
        type=Path,
        default=Path("./"),
        help="folder of the fitted poses, with subfolders healthy/ and sick/ (default ./)",
    )
    add(
        "--save_folder",
        type=result_folder,
        default=Path("./out"),
        help="folder for networks, metrics and the report (default ./out)",
    )
    number("--batch_size", whole_number, batch_size, "windows per training step")
    number("--interval_size", whole_number, interval_size, "window length in frames")
    number("--stride", whole_number, 1, "frames from the start of one window to the start of the next")
    number("--frame_rate", positive_number, 100.0, "frame rate in Hz to which all trials are resampled")
    number("--epochs", whole_number, epochs, "passes over all training windows")
    number("--lr", positive_number, learning_rate, "learning rate of the ADOPT optimizer")
    add("--use_pos_ratio", action="store_true", help="weight sick windows by the ratio of healthy to sick windows")
    number(
        "--joint_offset",
        _metres,
        JOINT_OFFSET_M,
        "augmentation: standard deviation, in metres, of a random constant offset of each joint of a window",
    )
    add("--no_mirror", action="store_true", help="do not train on mirrored windows as well")
    add(
        "--early_stopping",
        type=whole_number,
        nargs="?",
        const=PATIENCE,
        metavar="EPOCHS",
        help=f"stop after this many epochs ({PATIENCE} if no number is given) without a lower loss on a fifth of the "
        "training subjects, which are held out; the network of the best epoch is kept",
    )
    number("--k_folds", whole_number, 5, "number of cross-validation folds")
    add("--cross", type=_fold_index, default=0, help="index of the fold to train, from 0 (default 0), or all")
    number("--seed", _seed, 42, "random seed of weights, window order, dropout and joint offsets")
    add("--timeout", type=positive_number, metavar="SECONDS", help="stop after the epoch in which this time has passed")
    add("--resume", action="store_true", help="continue after the last epoch of an interrupted run")
    add("--overwrite", action="store_true", help="train finished folds again")
    add("--cluster", action="store_true", help="no progress bars: print one line per epoch")
    add("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    add(
        "--workers",
        type=whole_number,
        metavar="N",
        help="folds trained at the same time, each in its own process (default: by the number of cores)",
    )
    add("--scheduler", metavar="ADDRESS", help="train on a Dask cluster, for example tcp://10.0.0.5:8786")
    add("--body", type=Path, metavar="FILE", help="body model of poses that are stored as JSON or text files")
    add("--pose_rate", type=positive_number, metavar="HZ", help="frame rate of such poses")
    return parser


def to_training_arguments(
    parser: argparse.ArgumentParser,
    words: list[str] | None,
    given: argparse.Namespace,
    network: str,
    architecture: Architecture,
) -> TrainingArguments:
    """Return the parsed flags as ``TrainingArguments``; contradicting flags end the program with exit code 2."""
    if given.scheduler is not None and given.workers is not None:
        parser.error(
            "--workers starts processes on this computer, --scheduler uses those of a cluster; give one of them"
        )
    if given.overwrite and given.resume:
        parser.error("--overwrite trains from the start, --resume continues; give one of them")
    if given.cross is not None and given.cross >= given.k_folds:
        parser.error(
            f"--cross {given.cross}: must be 0 to {given.k_folds - 1}, as there are {given.k_folds} folds, or all"
        )
    if (given.body is None) != (given.pose_rate is None):
        parser.error("--body and --pose_rate must be given together, for poses that are stored without joints")
    flags = {name: str(value) if isinstance(value, Path) else value for name, value in vars(given).items()}
    flags["cross"] = ALL if given.cross is None else given.cross
    return TrainingArguments(
        network=network,
        architecture=architecture,
        settings=TrainingSettings(
            batch_size=given.batch_size,
            epochs=given.epochs,
            learning_rate=given.lr,
            seed=given.seed,
            joint_offset_m=given.joint_offset,
            use_class_weights=given.use_pos_ratio,
            patience=given.early_stopping,
            device=given.device,
        ),
        dataset=DatasetSpec(given.base_folder, given.frame_rate, given.interval_size, given.body, given.pose_rate),
        window_length=given.interval_size,
        stride=given.stride,
        mirror=not given.no_mirror,
        k_folds=given.k_folds,
        fold=given.cross,
        save_folder=given.save_folder,
        timeout_s=given.timeout,
        resume=given.resume,
        overwrite=given.overwrite,
        progress_bars=not given.cluster,
        workers=given.workers,
        scheduler=given.scheduler,
        flags=flags,
        command=shlex.join([parser.prog, *(sys.argv[1:] if words is None else words)]),
    )


def _seed(word: str) -> int:
    """Parse a seed in the range of numpy and MiniRocket."""
    if not word.isdecimal() or int(word) >= 2**32:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {2**32 - 1}, not {word!r}")
    return int(word)


def _metres(word: str) -> float:
    number = number_or_nan(word)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of metres, 0 or more, not {word!r}")
    return number


def _fold_index(word: str) -> int | None:
    if word == ALL:
        return None
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"must be the index of a fold, from 0, or {ALL}, not {word!r}")
    return int(word)
