"""python benchmarks/classification.py --json told_apart.json

How well both networks tell walkers apart whom they never saw, and how long that takes: a synthetic cohort is
recorded, fitted with ``shape_optimizer.py``, and both training scripts run on it with the README's flags, all folds.
Prints one JSON object:

 * ``networks``: by name the ``persons`` and ``windows`` figures of all folds together, each {value, low, high}; the
   ``baselines`` beside it; who was told ``wrong``; ``leaks``; ``seconds`` from the start of the process to its end; the
   flags.
 * ``fit_seconds`` of the cohort.

Made-up walkers with seven made-up disorders: the figure shows that the networks learn, and nothing about patients.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_args import benchmark_parser, values
from bench_output import load_average, made_by, publish
from recorded_trials import MODEL
from synthetic_cohort import REPOSITORY, fit_command, fit_environment

from gait.body.model_file import load_body
from gait.errors import GaitError
from gait.synthetic import make_cohort

README_FLAGS = {
    "transformer": "--batch_size 64 --interval_size 128 --epochs 25 --lr 0.0001 "
    "--pfe_dim 64 --fc_dim 32 --pfe_head 2 --fc_head 4",
    "mlp": "--batch_size 64 --interval_size 128 --epochs 25 --lr 0.0001 "
    "--pfe_layers 16 32 64 32 16 --fc_layers 32 64 128 64 32 --lrp",
}
SCRIPTS = {"transformer": "train_transformer.py", "mlp": "train_multi_mlp.py"}


@dataclass(frozen=True)
class Arguments:
    """Of the command line."""

    healthy: int = 20
    """Persons."""
    ill: int = 20
    """Persons, the disorders in turn."""
    walks: int = 2
    """Of each person."""
    cohort_seed: int = 0
    """Other persons."""
    k_folds: int = 5
    """Every person is judged in one of them."""
    transformer_stride: int = 4
    """Frames from one window to the next."""
    mlp_stride: int = 4
    """Frames from one window to the next."""
    epochs: int | None = None
    """In place of the README's."""
    seed: int = 42
    """Of the training."""
    networks: tuple[str, ...] = ("mlp", "transformer")
    """That are trained."""
    poses: Path | None = None
    """Poses that were fitted before, in place of a new cohort."""
    model: Path = MODEL
    """Body model file, in a folder SUPR."""
    json: Path | None = None
    """File for the result."""


QUICK: dict[str, Any] = {
    "healthy": 3,
    "ill": 3,
    "walks": 1,
    "k_folds": 3,
    "transformer_stride": 200,
    "mlp_stride": 64,
    "epochs": 1,
}
"""What ``--quick`` changes: the networks learn nothing then."""


def main(args: Arguments) -> None:
    load = load_average()
    body = load_body(args.model)
    with tempfile.TemporaryDirectory(prefix="told_apart_") as name:
        folder = Path(name)
        fit_seconds = None
        if args.poses is None:
            cohort = make_cohort(folder, args.healthy, args.ill, args.walks, args.cohort_seed, body=body)
            fit_seconds = timed(fit_command(cohort, args.model, folder / "poses", "--no_pictures"))
        poses = args.poses or folder / "poses"
        networks = {name: told_apart(name, poses, folder / name, args) for name in args.networks}
    publish(
        {"networks": networks, "fit_seconds": fit_seconds, "load_average": load, "made_by": made_by(args, body)},
        args.json,
    )


def told_apart(network: str, poses: Path, save_folder: Path, args: Arguments) -> dict[str, Any]:
    """Train all folds of a network; what its own summary says."""
    stride = args.transformer_stride if network == "transformer" else args.mlp_stride
    flags = [
        *README_FLAGS[network].split(),
        *(["--epochs", str(args.epochs)] if args.epochs is not None else []),
        *("--stride", str(stride), "--seed", str(args.seed)),
        *("--k_folds", str(args.k_folds), "--cross", "all", "--cluster"),
    ]
    script = str(REPOSITORY / SCRIPTS[network])
    folders = ["--base_folder", str(poses.resolve()), "--save_folder", str(save_folder)]
    seconds = timed([sys.executable, script, *flags, *folders])
    summary = json.loads((save_folder / f"metrics_{network}_all.json").read_text(encoding="utf-8"))
    return {
        "persons": summary["persons"],
        "windows": summary["windows"],
        "baselines": {name: judge.get("persons", judge) for name, judge in summary["baselines"].items()},
        "leaks": summary["leak_check"]["leaks"],
        "wrong": sorted(
            name
            for name, person in summary["probability_by_person"].items()
            if (person["probability"] > 0.5) != person["sick"]
        ),
        "seconds": seconds,
        "flags": " ".join(flags),
    }


def timed(command: list[str]) -> float:
    """Seconds that a command takes, from the start of the process to its end."""
    began = time.monotonic()
    done = subprocess.run(command, env=fit_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]
        raise GaitError(f"{Path(command[1]).name} ended with code {done.returncode}: {last}")
    return time.monotonic() - began


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line."""
    parser = benchmark_parser(
        "How well the networks tell walkers apart, as JSON.", "a tiny cohort and one epoch: that it runs"
    )
    for flag, what in (
        ("healthy", "persons"),
        ("ill", "persons"),
        ("walks", "of each person"),
        ("cohort_seed", "other persons"),
        ("k_folds", "folds"),
        ("transformer_stride", "frames from one window to the next"),
        ("mlp_stride", "frames from one window to the next"),
        ("epochs", "in place of the README's"),
        ("seed", "of the training"),
    ):
        parser.add_argument(f"--{flag}", type=int, help=what)
    parser.add_argument("--networks", nargs="+", choices=sorted(SCRIPTS), help="that are trained")
    parser.add_argument("--poses", type=Path, help="fitted before, in place of a new cohort")
    parser.add_argument("--model", type=Path, help="body model file, in a folder SUPR")
    return Arguments(**values(parser, words, QUICK))


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except GaitError as error:
        sys.exit(str(error))
