"""The flags that both training scripts have, and what they ask for."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gait.learning.architecture import Architecture
from gait.learning.trainer import TrainingSettings
from gait.motion.dataset_spec import DatasetSpec

ALL = "all"
PATIENCE = 5
JOINT_OFFSET_M = 0.03


@dataclass(frozen=True)
class TrainingArguments:
    """What the command line of a training script says."""

    network: str  # transformer or mlp: the files' name
    architecture: Architecture
    settings: TrainingSettings
    source: DatasetSpec
    window_length: int  # frames
    stride: int  # frames
    mirror: bool
    k_folds: int
    cross: int | None  # None: all folds
    save_folder: Path
    timeout_s: float | None
    resume: bool
    overwrite: bool
    bars: bool  # progress bars, where there is a terminal
    workers: int | None  # None: as many as cores, memory and folds allow
    scheduler: str | None  # a Dask cluster's, in place of processes here
    flags: dict[str, Any]  # every one, without its dashes
    command: str  # as typed


def training_parser(
    about: str, *, batch_size: int, interval_size: int, epochs: int, learning_rate: float
) -> argparse.ArgumentParser:
    """A parser of the shared flags; a script adds its network's.

    Args:
        about: the script's docstring: first a command that runs, then what it does.
        batch_size: its default, as those that follow.
        interval_size: frames.
        epochs: how many.
        learning_rate: of ADOPT.
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
        help="holds fitted poses, in healthy/ and sick/ (default ./)",
    )
    add(
        "--save_folder",
        type=_folder,
        default=Path("./out"),
        help="for networks, figures and the report (default ./out)",
    )
    number("--batch_size", count, batch_size, "windows of a training step")
    number("--interval_size", count, interval_size, "frames of a window")
    number("--stride", count, 1, "frames from one window to the next")
    number("--frame_rate", positive, 100.0, "Hz that all recordings are brought to")
    number("--epochs", count, epochs, "times that every training window is learnt from")
    number("--lr", positive, learning_rate, "learning rate of ADOPT")
    add("--use_pos_ratio", action="store_true", help="weigh sick windows by the ratio of healthy to sick ones")
    number("--joint_offset", _metres, JOINT_OFFSET_M, "metres by which each joint of a window is moved in training")
    add("--no_mirror", action="store_true", help="do not learn from mirrored windows too")
    add(
        "--early_stopping",
        type=count,
        nargs="?",
        const=PATIENCE,
        metavar="EPOCHS",
        help=f"stop after so many epochs ({PATIENCE}) in which a fifth of the training persons, held back, were told "
        "apart no better; the best epoch counts",
    )
    number("--k_folds", count, 5, "folds that the persons are divided into")
    add("--cross", type=_cross, default=0, help="the fold to train, from 0 (default), or all")
    number("--seed", _seed, 42, "of weights, order, dropout and offsets")
    add("--timeout", type=positive, metavar="SECONDS", help="stop after the epoch in which they have passed")
    add("--resume", action="store_true", help="go on after the last epoch of a run that was stopped")
    add("--overwrite", action="store_true", help="train again what is finished")
    add("--cluster", action="store_true", help="no progress bars: a line an epoch")
    add("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    add("--workers", type=count, metavar="N", help="folds trained at a time, each in a process; else by the cores")
    add("--scheduler", metavar="ADDRESS", help="train on a Dask cluster, such as tcp://10.0.0.5:8786")
    add("--body", type=Path, metavar="FILE", help="body model of poses that come as JSON or text frames")
    add("--pose_rate", type=positive, metavar="HZ", help="frame rate of such poses")
    return parser


def training_arguments(
    parser: argparse.ArgumentParser,
    words: list[str] | None,
    given: argparse.Namespace,
    network: str,
    architecture: Architecture,
) -> TrainingArguments:
    """What was asked for; argparse ends the program with code 2 where it makes no sense."""
    if given.scheduler is not None and given.workers is not None:
        parser.error("--workers is for processes here; a cluster's workers are started by whoever runs it")
    if given.overwrite and given.resume:
        parser.error("--overwrite trains anew, --resume goes on; give one of them")
    if given.cross is not None and given.cross >= given.k_folds:
        parser.error(
            f"--cross {given.cross}: of {given.k_folds} folds, 0 to {given.k_folds - 1} can be trained, or all"
        )
    if (given.body is None) != (given.pose_rate is None):
        parser.error("--body and --pose_rate belong together: poses without joints lack both")
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
            weigh_classes=given.use_pos_ratio,
            patience=given.early_stopping,
            device=given.device,
        ),
        source=DatasetSpec(given.base_folder, given.frame_rate, given.interval_size, given.body, given.pose_rate),
        window_length=given.interval_size,
        stride=given.stride,
        mirror=not given.no_mirror,
        k_folds=given.k_folds,
        cross=given.cross,
        save_folder=given.save_folder,
        timeout_s=given.timeout,
        resume=given.resume,
        overwrite=given.overwrite,
        bars=not given.cluster,
        workers=given.workers,
        scheduler=given.scheduler,
        flags=flags,
        command=shlex.join([parser.prog, *(sys.argv[1:] if words is None else words)]),
    )


def count(word: str) -> int:
    """A whole number from 1 on."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on is needed, not {word!r}")
    return int(word)


def _seed(word: str) -> int:
    """As numpy and MiniRocket take it."""
    if not word.isdecimal() or int(word) >= 2**32:
        raise argparse.ArgumentTypeError(f"a whole number from 0 on, up to {2**32 - 1}, is needed, not {word!r}")
    return int(word)


def _folder(word: str) -> Path:
    if not word.strip():
        raise argparse.ArgumentTypeError("is empty; name a folder for the results")
    return Path(word)


def positive(word: str) -> float:
    """A finite number above 0."""
    number = number_or_nan(word)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"a number above 0 is needed, not {word!r}")
    return number


def _metres(word: str) -> float:
    number = number_or_nan(word)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"metres from 0 on are needed, not {word!r}")
    return number


def number_or_nan(word: str) -> float:
    """What a word says, or NaN, which no bound lets pass."""
    try:
        return float(word)
    except ValueError:
        return math.nan


def _cross(word: str) -> int | None:
    if word == ALL:
        return None
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"the number of a fold, from 0 on, or {ALL} is needed, not {word!r}")
    return int(word)
