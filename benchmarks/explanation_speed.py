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
from benchmark import BodyArguments, run

from gait.body.model_file import load_body
from gait.cli.arguments import argument
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


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    frames: int = argument(1000, "frames of the trial")
    runs: int = argument(3, "runs per method")
    threads: int = argument(2, "threads of torch")


QUICK = {"frames": LENGTH + 2, "runs": 1}


def main(args: Arguments) -> dict[str, Any]:
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
    return {"frames": len(joints), "networks": found}


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
