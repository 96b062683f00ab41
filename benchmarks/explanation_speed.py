"""python benchmarks/explanation_speed.py --json explanation_speed.json

Time to explain a whole trial: a synthetic trial of 1,000 frames and all of its windows of 128 frames (some methods use
a larger ``stride`` by default), with networks of the README's flags, whose weights are those at the beginning of a
training. Prints one JSON object: per network and method ``seconds``, the minimum over several runs, their ``spread``
[minimum, maximum], and the ``stride`` of the explained windows.

``integrated_gradients`` has them beside a plain form, on the same windows in turn, in processor time: captum's, with 32
steps for each window and with gradients of the weights, as in version 0.1. ``gap`` is by how much values miss the
difference of the logits, as a fraction of it, or of 1 if it is smaller; ``distance`` that from the values of 256 steps,
as a fraction of their sum of magnitudes; both [median, 95th percentile, maximum] over windows. ``--network`` and
``--gait`` measure a trained transformer on its own trial.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import captum.attr
import numpy as np
import torch
from benchmark import BodyArguments, run
from torch import Tensor, nn

from gait.body.model_file import load_body
from gait.cli.arguments import ArgumentError, argument
from gait.explaining.explain_trial import explain_trial
from gait.explaining.methods import METHODS, explain_windows
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import TrainedNetwork, load_network
from gait.learning.ensemble import members_of
from gait.learning.initialization import initialize_from_data
from gait.learning.network import Architecture
from gait.learning.networks import find_network
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.networks.transformer import TransformerArchitecture
from gait.motion.dataset import AcquisitionInfo, Trial
from gait.motion.pose_files import read_poses
from gait.synthetic import make_subject, make_trial

LENGTH = 128
PLAIN_STEPS, REFERENCE_STEPS = 32, 256
BATCH_SIZE = 16  # windows, as ``explain_trial`` takes them
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
    beside: int = argument(64, "windows explained beside the plain form, spread over the trial")
    far_windows: int = argument(8, "of these, windows whose distance from many steps is measured")
    network: Path | None = argument(None, "checkpoint of a transformer in place of those", metavar="FILE")
    gait: Path | None = argument(None, "its trial", metavar="FOLDER")

    def __post_init__(self) -> None:
        if (self.network is None) != (self.gait is None):
            raise ArgumentError("--network and --gait belong together")


QUICK = {"frames": LENGTH + 2, "runs": 1, "beside": 2, "far_windows": 1}


def main(args: Arguments) -> dict[str, Any]:
    if args.network is not None and args.gait is not None:
        network = load_network(args.network)
        trial = prepare_trial(args.gait, read_poses(args.gait), network)
        return {"frames": len(trial.joints_m), "integrated_gradients": beside_plain_form(network, trial, args)}
    trial = synthetic_trial(args)
    networks = {name: initialized_network(architecture, trial) for name, architecture in NETWORKS.items()}
    return {
        "frames": len(trial.joints_m),
        "networks": {name: time_methods(network, trial, args.runs) for name, network in networks.items()},
        "integrated_gradients": beside_plain_form(networks["transformer"], trial, args),
    }


def synthetic_trial(args: Arguments) -> Trial:
    body = load_body(args.model)
    simulated = make_trial(body, make_subject(body, seed=0), seconds=args.frames / 100.0, seed=1)
    joints = simulated.ground_truth.joints_m[: args.frames]
    source = AcquisitionInfo(100.0, len(joints), 0.0, (), simulated.subject.stature_m)
    return Trial("subject", "trial", False, joints, 100.0, source, Path("trial"))


def initialized_network(architecture: Architecture, trial: Trial) -> TrainedNetwork:
    """Return a network at the beginning of its training; without that, it makes next to no difference of windows."""
    torch.manual_seed(0)
    network = TrainedNetwork(architecture.build().eval(), LENGTH, mean_window=torch.zeros(LENGTH, 22, 3))
    windows = network.windows_of(trial)
    initialize_from_data(network.network, windows, 0, find_network(network.network).initialize)
    network.network.requires_grad_(False)
    mean = windows.batch(torch.linspace(0, len(windows) - 1, min(len(windows), 64)).long()).mean(dim=0)
    return TrainedNetwork(network.network, LENGTH, mean_window=mean)


def time_methods(network: TrainedNetwork, trial: Trial, runs: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for method in network.methods:
        for rule in METHODS[method].rules_for(network.network):
            seconds = []
            for _ in range(runs):
                began = time.perf_counter()
                result = explain_trial(network, trial, method, rule=rule)
                seconds.append(time.perf_counter() - began)
            found[method if rule is None else f"{method}_{rule}"] = {
                "seconds": min(seconds),
                "spread": [min(seconds), max(seconds)],
                "stride": result.settings["stride"],
            }
    return found


def beside_plain_form(trained: TrainedNetwork, trial: Trial, args: Arguments) -> dict[str, Any]:
    """Explain some windows of a trial in both forms in turn; return processor times and how exact both are."""
    dataset, mean = trained.windows_of(trial), trained.mean_window
    assert mean is not None
    windows = dataset.batch(torch.linspace(0, len(dataset) - 1, min(args.beside, len(dataset))).round().long())
    network = members_of(trained.network)[0]
    with_weights = copy.deepcopy(network).requires_grad_(True)
    forms: dict[str, Callable[[Tensor], Tensor]] = {
        "shipped": lambda part: explain_windows(network, part, "integrated_gradients", baseline=mean).values,
        "plain": lambda part: plain_form(with_weights, part, mean, PLAIN_STEPS).sum(-1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    values: dict[str, Tensor] = {}
    for _ in range(args.runs):
        for name, explain in forms.items():
            began = time.process_time()
            values[name] = torch.cat([explain(part) for part in windows.split(BATCH_SIZE)])
            seconds[name].append(time.process_time() - began)
    with torch.inference_mode():
        difference = (network(windows) - network(mean[None])).double()
    few = torch.linspace(0, len(windows) - 1, min(args.far_windows, len(windows))).round().long()
    reference = plain_form(network, windows[few], mean, REFERENCE_STEPS).sum(-1).double()
    result: dict[str, Any] = {"windows": len(windows), "windows_of_trial": len(dataset)}
    for name, own in values.items():
        gap = (own.double().sum((1, 2)) - difference).abs() / difference.abs().clamp_min(1)
        far = (own[few].double() - reference).abs().sum((1, 2)) / reference.abs().sum((1, 2))
        result[name] = {"seconds": min(seconds[name]), "gap": spread(gap), "distance": spread(far)}
    ratios = [one / other for one, other in zip(seconds["shipped"], seconds["plain"], strict=True)]
    return result | {"fraction_of_plain": float(np.median(ratios)), "fractions": [min(ratios), max(ratios)]}


def plain_form(network: nn.Module, windows: Tensor, mean: Tensor, steps: int) -> Tensor:
    """Return integrated gradients (N, L, J, 3) with equally many steps for each window."""
    attribute = captum.attr.IntegratedGradients(network).attribute
    values: Tensor = attribute(windows, mean.expand_as(windows), n_steps=steps, internal_batch_size=64)
    return values


def spread(values: Tensor) -> list[float]:
    """Return median, 95th percentile and maximum."""
    return [float(value) for value in np.percentile(values.numpy(), [50, 95, 100])]


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
