"""python benchmarks/classification.py --json classification.json

Classification of synthetic subjects that the networks were not trained on, and the time it takes: a synthetic cohort
is recorded, fitted with ``shape_optimizer.py``, and both training scripts are run on it with the flags of the README,
on all folds. Prints one JSON object:

 * ``networks``: per network the metrics over all folds by ``subjects`` and by ``windows``, each {value, low, high};
   the ``baselines``; the ``misclassified`` subjects; the ``confounders``; ``seconds`` of the process; the flags.
 * ``fit_seconds`` of the cohort.

The subjects and their pathologies are synthetic: the result shows that the networks learn, and nothing about patients.
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
from bench_output import load_average, provenance, publish
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
    """Command-line arguments."""

    healthy: int = 20
    """Healthy subjects."""
    sick: int = 20
    """Sick subjects; they cycle through the pathologies."""
    trials: int = 2
    """Trials per subject."""
    cohort_seed: int = 0
    """Another seed gives other subjects."""
    k_folds: int = 5
    """Folds of the cross-validation."""
    transformer_stride: int = 4
    """Frames from one window to the next."""
    mlp_stride: int = 4
    """Frames from one window to the next."""
    epochs: int | None = None
    """Instead of the README's."""
    seed: int = 42
    """Seed of the training."""
    networks: tuple[str, ...] = ("mlp", "transformer")
    """Networks to train."""
    poses: Path | None = None
    """Folder of fitted poses to use instead of a new cohort."""
    model: Path = MODEL
    """Body model file, in a folder SUPR."""
    json: Path | None = None
    """File for the result."""


QUICK: dict[str, Any] = {
    "healthy": 3,
    "sick": 3,
    "trials": 1,
    "k_folds": 3,
    "transformer_stride": 200,
    "mlp_stride": 64,
    "epochs": 1,
}
"""Values that ``--quick`` changes; the networks then learn nothing."""


def main(args: Arguments) -> None:
    load = load_average()
    body = load_body(args.model)
    with tempfile.TemporaryDirectory(prefix="classification_") as name:
        folder = Path(name)
        fit_seconds = None
        if args.poses is None:
            cohort = make_cohort(folder, args.healthy, args.sick, args.trials, args.cohort_seed, body=body)
            fit_seconds = timed(fit_command(cohort, args.model, folder / "poses", "--no_pictures"))
        poses = args.poses or folder / "poses"
        networks = {name: train_and_evaluate(name, poses, folder / name, args) for name in args.networks}
    publish(
        {"networks": networks, "fit_seconds": fit_seconds, "load_average": load, "provenance": provenance(args, body)},
        args.json,
    )


def train_and_evaluate(network: str, poses: Path, save_folder: Path, args: Arguments) -> dict[str, Any]:
    """Train all folds of a network; return metrics from its summary file."""
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
        "subjects": summary["subjects"],
        "windows": summary["windows"],
        "baselines": {name: baseline.get("subjects", baseline) for name, baseline in summary["baselines"].items()},
        "confounders": summary["confounder_check"]["confounded"],
        "misclassified": sorted(
            name
            for name, subject in summary["probability_by_subject"].items()
            if (subject["probability"] > 0.5) != subject["sick"]
        ),
        "seconds": seconds,
        "flags": " ".join(flags),
    }


def timed(command: list[str]) -> float:
    """Run a command; return the seconds from the start of the process to its end."""
    began = time.monotonic()
    done = subprocess.run(command, env=fit_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]
        raise GaitError(f"{Path(command[1]).name} ended with code {done.returncode}: {last}")
    return time.monotonic() - began


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line."""
    parser = benchmark_parser(
        "Classification of synthetic subjects, as JSON.", "a tiny cohort and one epoch, to test the benchmark"
    )
    for flag, what in (
        ("healthy", "healthy subjects"),
        ("sick", "sick subjects"),
        ("trials", "trials per subject"),
        ("cohort_seed", "another seed gives other subjects"),
        ("k_folds", "folds of the cross-validation"),
        ("transformer_stride", "frames from one window to the next"),
        ("mlp_stride", "frames from one window to the next"),
        ("epochs", "instead of the README's"),
        ("seed", "seed of the training"),
    ):
        parser.add_argument(f"--{flag}", type=int, help=what)
    parser.add_argument("--networks", nargs="+", choices=sorted(SCRIPTS), help="networks to train")
    parser.add_argument("--poses", type=Path, help="folder of fitted poses to use instead of a new cohort")
    parser.add_argument("--model", type=Path, help="body model file, in a folder SUPR")
    return Arguments(**values(parser, words, QUICK))


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except GaitError as error:
        sys.exit(str(error))
