"""python benchmarks/explanation_speed.py --json explanation_speed.json

Time to explain a whole trial: a synthetic trial of 1,000 frames and all of its windows of 128 frames (some methods use
a larger ``stride`` by default), with networks of the README's flags and random weights, which take as long as trained
ones. Prints one JSON object: per network and method ``seconds``, the minimum over several runs, their ``spread``
[minimum, maximum], and the ``stride`` of the explained windows.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bench_args import benchmark_parser, values
from bench_output import load_average, provenance, publish
from recorded_trials import MODEL

from gait.body.model_file import load_body
from gait.errors import GaitError
from gait.explaining.explain_trial import explain_trial
from gait.explaining.methods import METHODS
from gait.explaining.trained_network import TrainedNetwork
from gait.learning.network import Architecture
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.networks.transformer import TransformerArchitecture
from gait.motion.dataset import AcquisitionInfo, Trial
from gait.synthetic import make_subject, make_trial

LENGTH = 128
NETWORKS: dict[str, Architecture] = {
    "mlp": MLPArchitecture("sequential_mlp", LENGTH, (16, 32, 64, 32, 16), (32, 64, 128, 64, 32)),
    "transformer": TransformerArchitecture(64, 32, 2, 4),
}
"""Architectures of the README."""


@dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    frames: int = 1000
    """Frames of the trial."""
    runs: int = 3
    """Runs per method."""
    threads: int = 2
    """Threads of torch."""
    model: Path = MODEL
    """Body model file, in a folder SUPR."""
    json: Path | None = None
    """File for the result."""


QUICK: dict[str, Any] = {"frames": LENGTH + 2, "runs": 1}
"""Values that ``--quick`` changes."""


def main(args: Arguments) -> None:
    load = load_average()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    body = load_body(args.model)
    simulated = make_trial(body, make_subject(body, seed=0), seconds=args.frames / 100.0, seed=1)
    joints = simulated.ground_truth.joints_m[: args.frames]
    source = AcquisitionInfo(100.0, len(joints), 0.0, (), simulated.subject.stature_m)
    trial = Trial("subject", "trial", False, joints, 100.0, source, Path("trial"))
    found: dict[str, Any] = {}
    for name, architecture in NETWORKS.items():
        network = TrainedNetwork(architecture.build().eval(), LENGTH, mean_window=torch.zeros(LENGTH, 22, 3))
        found[name] = {}
        for method in network.methods:
            for rule in METHODS[method].rules_for(network.network):
                seconds = []
                for _ in range(args.runs):
                    began = time.perf_counter()
                    result = explain_trial(network, trial, method, rule=rule)
                    seconds.append(time.perf_counter() - began)
                found[name][method if rule is None else f"{method}_{rule}"] = {
                    "seconds": min(seconds),
                    "spread": [min(seconds), max(seconds)],
                    "stride": result.settings["stride"],
                }
    publish(
        {"frames": len(joints), "networks": found, "load_average": load, "provenance": provenance(args, body)},
        args.json,
    )


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line."""
    parser = benchmark_parser("Time to explain a trial, as JSON.", "a short trial and one run, to test the benchmark")
    for flag, what in (("frames", "frames of the trial"), ("runs", "runs per method"), ("threads", "threads of torch")):
        parser.add_argument(f"--{flag}", type=int, help=what)
    parser.add_argument("--model", type=Path, help="body model file, in a folder SUPR")
    return Arguments(**values(parser, words, QUICK))


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except GaitError as error:
        sys.exit(str(error))
