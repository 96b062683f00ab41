"""python benchmarks/training_speed.py --json training_speed.json

Training speed of the networks, compared with the readable reference form of the transformer, which passes every token
through the whole layer, on the same windows, threads and optimizer. A step is forward pass, loss, backward pass and
optimizer, with dropout. The two forms run alternately. Prints one JSON object:

 * ``seconds_per_step`` and ``reference_seconds_per_step``: medians. ``ratio``: median over the repeats of reference
   time / our time.
 * ``forward``, ``backward``, ``optimizer``: seconds of the parts of our step.
 * ``subsampled``: a step as in ``train_transformer.py``, with one of ``frame_subsampling`` frames: another computation
   than that of the reference form, and not part of ``ratio``; its ``seconds_per_step`` and its own ``ratio``.
 * ``evaluation_seconds_per_batch``: our form, without gradients.
 * ``logit_difference``: maximum difference between the two forms with the same weights, without dropout.
 * ``mlp_seconds_per_step``: the perceptron with the README's flags, same batch.
 * ``recommended``: by network, a step of each network of the ensemble with the flags that ``docs/training.md``
   recommends for rotations, same batch: processor seconds, as the machine may be busy; without its augmentation.

The reference form of full size needs about 8 GB. Run it on an idle machine; ``load_average`` is the machine's at the
start.
"""

from __future__ import annotations

import shlex
import sys
import time
import warnings
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, NamedTuple

import torch
from adopt import ADOPT
from benchmark import BenchmarkArguments, measure_seconds, run
from cause_networks import CONFIGURATIONS
from torch import Tensor, nn

from gait.cli.arguments import argument
from gait.learning.networks import NETWORKS
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.networks.transformer import TransformerArchitecture
from gait.learning.reference_transformer import ReferenceTransformer
from gait.learning.training_arguments import parse_training_arguments


@dataclass(frozen=True, kw_only=True)
class Arguments(BenchmarkArguments):
    batch_size: int = argument(64, "")
    interval_size: int = argument(128, "")
    pfe_dim: int = argument(64, "")
    fc_dim: int = argument(32, "")
    pfe_head: int = argument(2, "")
    fc_head: int = argument(4, "")
    ffn_dim: int = argument(2048, "")
    frame_subsampling: int = argument(4, "used for ``subsampled`` only; the training script's default")
    repeats: int = argument(4, "alternating measurements of both forms")
    steps: int = argument(5, "our steps per repeat, of which the median counts; the reference form makes one")
    threads: int = argument(2, "threads of torch")


QUICK = {"batch_size": 8, "interval_size": 32, "repeats": 2, "steps": 3}


class StepSeconds(NamedTuple):
    """Durations of the parts of one training step."""

    forward: float  # with the loss
    backward: float
    optimizer: float

    @property
    def total(self) -> float:
        """Duration of the step."""
        return sum(self)


class TrainableNetwork:
    """A network with its optimizer."""

    def __init__(self, network: nn.Module):
        self.network = network.train()
        self.optimizer = ADOPT(network.parameters(), lr=1e-4)

    def step(self, windows: Tensor, sick: Tensor) -> StepSeconds:
        """Make one training step and measure it."""
        times = [time.perf_counter()]
        loss = nn.functional.binary_cross_entropy_with_logits(self.network(windows), sick)
        times.append(time.perf_counter())
        self.optimizer.zero_grad()
        loss.backward()
        times.append(time.perf_counter())
        self.optimizer.step()
        times.append(time.perf_counter())
        return StepSeconds(times[1] - times[0], times[2] - times[1], times[3] - times[2])


def main(args: Arguments) -> dict[str, Any]:
    warnings.filterwarnings("ignore", module=r"adopt\.adopt")  # it uses a deprecated name of torch
    torch.manual_seed(0)
    windows = 2 * torch.rand(args.batch_size, args.interval_size, 22, 3) - 1
    sick = (torch.rand(args.batch_size) > 0.5).float()
    return {
        **measure_transformer(args, windows, sick),
        "mlp_seconds_per_step": measure_mlp(args, windows, sick),
        "recommended": {name: measure_recommended(name, windows, sick, args.steps) for name in CONFIGURATIONS["cause"]},
    }


def measure_transformer(args: Arguments, windows: Tensor, sick: Tensor) -> dict[str, Any]:
    """Measure both forms alternately."""
    architecture = TransformerArchitecture(args.pfe_dim, args.fc_dim, args.pfe_head, args.fc_head, args.ffn_dim)
    ours, reference = TrainableNetwork(architecture.build()), TrainableNetwork(ReferenceTransformer(architecture))
    some = TrainableNetwork(replace(architecture, frame_subsampling=args.frame_subsampling).build())
    reference.network.load_state_dict(ours.network.state_dict())
    difference = max_difference(ours.network, reference.network, windows[:2])
    for form in (ours, reference, some):  # the optimizer's first step does not update
        form.step(windows[:2], sick[:2])
    reference_seconds, some_seconds, our_steps = [], [], []
    for _ in range(args.repeats):
        reference_seconds.append(reference.step(windows, sick).total)
        steps = [ours.step(windows, sick) for _ in range(args.steps)]
        our_steps.append(sorted(steps, key=lambda step: step.total)[len(steps) // 2])
        some_seconds.append(median(some.step(windows, sick).total for _ in range(args.steps)))
    seconds = [turn.total for turn in our_steps]
    typical = sorted(our_steps, key=lambda turn: turn.total)[len(our_steps) // 2]
    return {
        "ratio": median(reference / our for reference, our in zip(reference_seconds, seconds, strict=True)),
        "seconds_per_step": median(seconds),
        "reference_seconds_per_step": median(reference_seconds),
        "seconds_of_repeats": seconds,
        "reference_seconds_of_repeats": reference_seconds,
        **typical._asdict(),
        "subsampled": {
            "frame_subsampling": args.frame_subsampling,
            "seconds_per_step": median(some_seconds),
            "ratio": median(reference / one for reference, one in zip(reference_seconds, some_seconds, strict=True)),
        },
        "evaluation_seconds_per_batch": measure_evaluation(ours.network, windows, args.steps),
        "logit_difference": difference,
    }


def max_difference(one: nn.Module, other: nn.Module, windows: Tensor) -> float:
    """Return the maximum difference between the logits of two networks without dropout."""
    with torch.no_grad():
        first, second = (network.eval()(windows) for network in (one, other))
    one.train()
    other.train()
    return float((first - second).abs().max())


def measure_evaluation(network: nn.Module, windows: Tensor, runs: int) -> float:
    """Return the median seconds per batch."""
    network.eval()
    with torch.no_grad():
        return median(measure_seconds(lambda: network(windows)) for _ in range(runs))


def measure_mlp(args: Arguments, windows: Tensor, sick: Tensor) -> float:
    """Return the median seconds per step of the README's perceptron."""
    sizes = (16, 32, 64, 32, 16), (32, 64, 128, 64, 32)
    trained = TrainableNetwork(MLPArchitecture("multi_mlp", args.interval_size, *sizes).build())
    trained.step(windows, sick)
    return median(trained.step(windows, sick).total for _ in range(4 * args.steps))


def measure_recommended(name: str, windows: Tensor, sick: Tensor, steps: int) -> float:
    """Return the median processor seconds per step of one network with the recommended flags."""
    words = [*shlex.split(CONFIGURATIONS["cause"][name]), "--interval_size", str(windows.shape[1])]
    trained = TrainableNetwork(parse_training_arguments(NETWORKS[name], "", words).architecture.build())
    trained.step(windows, sick)
    seconds = []
    for _ in range(4 * steps):
        start = time.process_time()
        trained.step(windows, sick)
        seconds.append(time.process_time() - start)
    return median(seconds)


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
