"""python benchmarks/classification.py --json classification.json

Classification of synthetic subjects that the networks were not trained on, and the time it takes: a synthetic cohort
is recorded, fitted with ``shape_optimizer.py``, and both training scripts are run on it with flags of the
published input, on all folds. Prints one JSON object:

 * ``networks``: per network the metrics over all folds by ``subjects`` and by ``windows``, each {value, low, high};
   the ``baselines``; the ``misclassified`` subjects; the ``confounders``; ``seconds`` of the process; the flags.
 * ``fit_seconds`` of the cohort.

The subjects and their pathologies are synthetic: the result shows that the networks learn, and nothing about patients.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import BodyArguments, run
from script_runs import REPOSITORY, fit_command, run_script

from gait.body.model_file import load_body
from gait.cli.arguments import argument
from gait.synthetic import make_cohort

PUBLISHED_FLAGS = {
    "transformer": "--batch_size 64 --interval_size 128 --epochs 25 --lr 0.0001 "
    "--pfe_dim 64 --fc_dim 32 --pfe_head 2 --fc_head 4",
    "mlp": "--batch_size 64 --interval_size 128 --epochs 25 --lr 0.0001 "
    "--pfe_layers 16 32 64 32 16 --fc_layers 32 64 128 64 32 --lrp",
}
"""Flags of the published input, with which ``docs/training.md`` begins."""

SCRIPTS = {"transformer": "train_transformer.py", "mlp": "train_multi_mlp.py"}


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    healthy: int = argument(20, "healthy subjects")
    sick: int = argument(20, "sick subjects; they cycle through the pathologies")
    trials: int = argument(2, "trials per subject")
    cohort_seed: int = argument(0, "another seed gives other subjects")
    k_folds: int = argument(5, "folds of the cross-validation")
    transformer_stride: int = argument(4, "frames from one window to the next")
    mlp_stride: int = argument(4, "frames from one window to the next")
    epochs: int | None = argument(None, "instead of those of the flags")
    seed: int = argument(42, "seed of the training")
    networks: tuple[str, ...] = argument(("mlp", "transformer"), "networks to train", choices=sorted(SCRIPTS))
    poses: Path | None = argument(None, "folder of fitted poses to use instead of a new cohort")


QUICK = {"healthy": 3, "sick": 3, "trials": 1, "k_folds": 3, "transformer_stride": 200, "mlp_stride": 64, "epochs": 1}


def main(args: Arguments) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="classification_") as name:
        folder = Path(name)
        fit_seconds = None
        if args.poses is None:
            cohort = make_cohort(
                folder, args.healthy, args.sick, args.trials, args.cohort_seed, body=load_body(args.model)
            )
            fit_seconds = run_script(fit_command(cohort, args.model, folder / "poses", "--no_pictures"))
        poses = args.poses or folder / "poses"
        networks = {name: train_and_evaluate(name, poses, folder / name, args) for name in args.networks}
    return {"networks": networks, "fit_seconds": fit_seconds}


def train_and_evaluate(network: str, poses: Path, save_folder: Path, args: Arguments) -> dict[str, Any]:
    """Train all folds of a network; return metrics from its summary file."""
    flags = [
        *PUBLISHED_FLAGS[network].split(),
        *(["--epochs", str(args.epochs)] if args.epochs is not None else []),
        *("--stride", str(getattr(args, f"{network}_stride")), "--seed", str(args.seed)),
        *("--k_folds", str(args.k_folds), "--cross", "all", "--cluster"),
    ]
    script = str(REPOSITORY / SCRIPTS[network])
    folders = ["--base_folder", str(poses.resolve()), "--save_folder", str(save_folder)]
    seconds = run_script([sys.executable, script, *flags, *folders])
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


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
