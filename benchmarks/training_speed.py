"""python benchmarks/training_speed.py --json training_speed.json

How fast the networks train, beside the published form of the transformer, in which every token goes through the whole
layer, on the same windows, threads and optimiser. A step is forward, loss, backward and optimiser, with dropout.
The two take turns. Prints one JSON object:

 * ``seconds_a_step`` and ``plain_seconds_a_step``: medians; ``ratio``: the median over the turns of one over the other.
 * ``forward``, ``backward``, ``optimiser``: what a step of ours is made of, seconds.
 * ``some_frames``: a step as ``train_transformer.py`` makes it, which looks at one of ``one_frame_in`` frames: another
   step than the plain form's, and no part of the ``ratio``; its ``seconds_a_step`` and how many times as fast it is.
 * ``evaluation_seconds_a_batch``: of ours, without gradients.
 * ``logit_difference``: the greatest between the two forms of the same weights, without dropout.
 * ``mlp_seconds_a_step``: the perceptron of the README's flags, same batch.

The plain form of the full size needs about 8 GB. Run it on a machine that does nothing else; ``load_average`` is the
machine's when the measurement starts.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from adopt import ADOPT
from bench_args import benchmark_parser, values
from bench_output import load_average, made_by, publish
from torch import Tensor, nn

from gait.learning.architecture import MLPArchitecture, TransformerArchitecture
from gait.learning.reference_transformer import PublishedTransformer


@dataclass(frozen=True)
class Arguments:
    """Of the command line."""

    batch_size: int = 64
    interval_size: int = 128
    pfe_dim: int = 64
    fc_dim: int = 32
    pfe_head: int = 2
    fc_head: int = 4
    ffn_dim: int = 2048
    one_frame_in: int = 4
    """In ``some_frames`` alone; the script's default."""
    turns: int = 4
    """Of both forms."""
    steps: int = 5
    """Of ours a turn, of which the median counts; the plain form has one."""
    threads: int = 2
    """That torch uses."""
    json: Path | None = None
    """File for the result."""


QUICK: dict[str, Any] = {"batch_size": 8, "interval_size": 32, "turns": 2, "steps": 3}
"""What ``--quick`` changes."""


class StepSeconds(NamedTuple):
    """What one training step took."""

    forward: float  # with the loss
    backward: float
    optimiser: float

    @property
    def whole(self) -> float:
        """All of it."""
        return sum(self)


class Trained:
    """A network with its optimiser."""

    def __init__(self, network: nn.Module):
        self.network = network.train()
        self.optimiser = ADOPT(network.parameters(), lr=1e-4)

    def step(self, windows: Tensor, sick: Tensor) -> StepSeconds:
        """One step."""
        times = [time.perf_counter()]
        loss = nn.functional.binary_cross_entropy_with_logits(self.network(windows), sick)
        times.append(time.perf_counter())
        self.optimiser.zero_grad()
        loss.backward()
        times.append(time.perf_counter())
        self.optimiser.step()
        times.append(time.perf_counter())
        return StepSeconds(times[1] - times[0], times[2] - times[1], times[3] - times[2])


def main(args: Arguments) -> None:
    """Measure and print."""
    warnings.filterwarnings("ignore", module=r"adopt\.adopt")  # it asks torch by an older name
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    load = load_average()
    windows = 2 * torch.rand(args.batch_size, args.interval_size, 22, 3) - 1
    sick = (torch.rand(args.batch_size) > 0.5).float()
    publish(
        {
            **transformer_seconds(args, windows, sick),
            "mlp_seconds_a_step": mlp_seconds(args, windows, sick),
            "load_average": load,
            "made_by": made_by(args),
        },
        args.json,
    )


def transformer_seconds(args: Arguments, windows: Tensor, sick: Tensor) -> dict[str, Any]:
    """Both forms, in turns."""
    architecture = TransformerArchitecture(args.pfe_dim, args.fc_dim, args.pfe_head, args.fc_head, args.ffn_dim)
    ours, plain = Trained(architecture.build()), Trained(PublishedTransformer(architecture))
    some = Trained(replace(architecture, one_frame_in=args.one_frame_in).build())
    plain.network.load_state_dict(ours.network.state_dict())
    difference = greatest_difference(ours.network, plain.network, windows[:2])
    for form in (ours, plain, some):  # the optimiser's first step is another one
        form.step(windows[:2], sick[:2])
    plain_seconds, some_seconds, our_turns = [], [], []
    for _ in range(args.turns):
        plain_seconds.append(plain.step(windows, sick).whole)
        steps = [ours.step(windows, sick) for _ in range(args.steps)]
        our_turns.append(sorted(steps, key=lambda step: step.whole)[len(steps) // 2])
        some_seconds.append(median(some.step(windows, sick).whole for _ in range(args.steps)))
    seconds = [turn.whole for turn in our_turns]
    typical = sorted(our_turns, key=lambda turn: turn.whole)[len(our_turns) // 2]
    return {
        "ratio": median(plain / our for plain, our in zip(plain_seconds, seconds, strict=True)),
        "seconds_a_step": median(seconds),
        "plain_seconds_a_step": median(plain_seconds),
        "seconds_of_turns": seconds,
        "plain_seconds_of_turns": plain_seconds,
        **typical._asdict(),
        "some_frames": {
            "one_frame_in": args.one_frame_in,
            "seconds_a_step": median(some_seconds),
            "ratio": median(plain / one for plain, one in zip(plain_seconds, some_seconds, strict=True)),
        },
        "evaluation_seconds_a_batch": evaluation_seconds(ours.network, windows, args.steps),
        "logit_difference": difference,
    }


def greatest_difference(one: nn.Module, other: nn.Module, windows: Tensor) -> float:
    """Of the logits of two networks without dropout."""
    with torch.no_grad():
        first, second = (network.eval()(windows) for network in (one, other))
    one.train()
    other.train()
    return float((first - second).abs().max())


def evaluation_seconds(network: nn.Module, windows: Tensor, runs: int) -> float:
    """Median seconds of a batch."""
    seconds = []
    network.eval()
    with torch.no_grad():
        for _ in range(runs):
            start = time.perf_counter()
            network(windows)
            seconds.append(time.perf_counter() - start)
    return median(seconds)


def mlp_seconds(args: Arguments, windows: Tensor, sick: Tensor) -> float:
    """Median seconds of a step of the README's perceptron."""
    sizes = (16, 32, 64, 32, 16), (32, 64, 128, 64, 32)
    trained = Trained(MLPArchitecture("multi_mlp", args.interval_size, *sizes).build())
    trained.step(windows, sick)
    return median(trained.step(windows, sick).whole for _ in range(4 * args.steps))


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line."""
    parser = benchmark_parser(
        "Seconds of a training step of both networks, beside the plain transformer, as JSON.",
        "a small batch of short windows, rough figures",
    )
    parser.add_argument("--batch_size", type=int, help="windows a step")
    parser.add_argument("--interval_size", type=int, help="frames a window")
    for level, of in (("pfe", "frames"), ("fc", "windows")):
        parser.add_argument(f"--{level}_dim", type=int, help=f"numbers that describe {of}")
        parser.add_argument(f"--{level}_head", type=int, help=f"heads of the attention that describes {of}")
    parser.add_argument("--ffn_dim", type=int, help="hidden values of the feed-forward")
    parser.add_argument("--one_frame_in", type=int, help="of so many frames one is looked at, in some_frames")
    parser.add_argument("--turns", type=int, help="of both forms")
    parser.add_argument("--steps", type=int, help="of ours a turn")
    parser.add_argument("--threads", type=int, help="that torch uses")
    return Arguments(**values(parser, words, QUICK))


if __name__ == "__main__":
    main(parse_arguments())
