"""python benchmarks/explanation_speed.py --json explanation_speed.json

How long a whole recording takes to explain: a synthetic walk of 1,000 frames, every window of 128 frames that there is
(``stride`` says which methods explain fewer by default), networks with the README's flags and random weights,
which take as long as trained ones. Prints one JSON object: of each network and method ``seconds``, the best of some
runs with their ``spread`` [least, most], and the ``stride`` of the explained windows.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bench_args import benchmark_parser, values
from bench_output import load_average, made_by, publish
from recorded_trials import MODEL

from gait.body.model_file import load_body
from gait.errors import GaitError
from gait.explaining.explain_trial import explain_gait
from gait.explaining.methods import lrp_rules, methods_of
from gait.learning.architecture import Architecture, MLPArchitecture, TransformerArchitecture
from gait.motion.dataset import AcquisitionInfo, Trial
from gait.synthetic import make_person, make_walk

LENGTH = 128
NETWORKS: dict[str, Architecture] = {
    "mlp": MLPArchitecture("sequential_mlp", LENGTH, (16, 32, 64, 32, 16), (32, 64, 128, 64, 32)),
    "transformer": TransformerArchitecture(64, 32, 2, 4),
}
"""The README's."""


@dataclass(frozen=True)
class Arguments:
    """Of the command line."""

    frames: int = 1000
    """Of the recording."""
    runs: int = 3
    """Of each method."""
    threads: int = 2
    """Of torch."""
    model: Path = MODEL
    """Body model file, in a folder SUPR."""
    json: Path | None = None
    """File for the result."""


QUICK: dict[str, Any] = {"frames": LENGTH + 2, "runs": 1}
"""What ``--quick`` changes."""


def main(args: Arguments) -> None:
    load = load_average()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    body = load_body(args.model)
    walk = make_walk(body, make_person(body, seed=0), seconds=args.frames / 100.0, seed=1)
    joints = walk.truth.joints_m[: args.frames]
    source = AcquisitionInfo(100.0, len(joints), 0.0, (), walk.person.stature_m)
    gait = Trial("walker", "walk", False, joints, 100.0, source, Path("walk"))
    found: dict[str, Any] = {}
    for name, architecture in NETWORKS.items():
        network = architecture.build().eval()
        found[name] = {}
        for method in methods_of(network):
            for rule in lrp_rules(network) if method == "lrp" else (None,):
                seconds = []
                for _ in range(args.runs):
                    began = time.perf_counter()
                    said = explain_gait(network, gait, LENGTH, method, baseline=torch.zeros(LENGTH, 22, 3), rule=rule)
                    seconds.append(time.perf_counter() - began)
                found[name][method if rule is None else f"{method}_{rule}"] = {
                    "seconds": min(seconds),
                    "spread": [min(seconds), max(seconds)],
                    "stride": said.settings["stride"],
                }
    publish({"frames": len(joints), "networks": found, "load_average": load, "made_by": made_by(args, body)}, args.json)


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line."""
    parser = benchmark_parser(
        "How long a recording takes to explain, as JSON.", "a short recording, once: that it runs"
    )
    for flag, what in (("frames", "of the recording"), ("runs", "of each method"), ("threads", "of torch")):
        parser.add_argument(f"--{flag}", type=int, help=what)
    parser.add_argument("--model", type=Path, help="body model file, in a folder SUPR")
    return Arguments(**values(parser, words, QUICK))


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except GaitError as error:
        sys.exit(str(error))
