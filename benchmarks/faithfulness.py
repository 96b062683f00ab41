"""python benchmarks/faithfulness.py --networks ./trained_mlp/fold0/mlp.ckpt --base_folder ./optimized_poses --json mlp.json

How far the explanations of trained networks can be believed, method by method: on windows of persons whom the networks
never saw, and on synthetic walkers, where it is known what is wrong and where. Prints one JSON object; figures are
means over the networks, which must be of one kind (the folds of one training). Of each of the ``methods``:

 * ``deletion``: mean fall of the logit of what the network said, while cells (a joint for 8 frames) are replaced by the
   training set's mean window, the most important first; ``random_deletion``: the same in random order;
   ``deletion_ratio``: the one over the other; ``insertion``, ``random_insertion``: mean rise while they come back into
   the mean window. More is better.
 * ``matched_deletion``, ``random_matched_deletion``: the same, with cells replaced by those of a training window of the
   other label whose person walks as fast, so that walking speed tells nothing.
 * ``randomisation_correlation``: rank correlation with the explanation of the network with shuffled weights; near 0,
   or the method does not look at the network.
 * ``stability``: rank correlation with the explanation of the same windows under 1 mm of noise; near 1.
 * ``conservation``: mean share of the logit that the values make up, 1 if nothing went to biases, CLS, positions or a
   baseline; null for attention.
 * ``top_joint``, ``right_side``: localisation, the share of synthetic persons for whom a joint whose position the
   disorder changes is first, and of one-sided disorders for which the true side is told. ``at_fault``: the share for
   whom one is first whose own turning is disordered. ``by_disorder``: ``top_joint`` of each.
 * ``seconds`` for a window.

Localisation compares a walk with the same person's at the same pace without the disorder: methods with a baseline are
given it as their baseline, of the others the explanations of both are subtracted; a joint's score is the mean of what
is left without its sign. ``subtracted_top_joint``, ``subtracted_right_side``: explanations subtracted for methods with
a baseline too. ``shuffled_top_joint``, ``shuffled_right_side``: the same as the first of a network with shuffled
weights. Where that is as good, finding the place shows where the two walks differ, and not what the network knows.
``chance`` is the ``top_joint`` of a joint drawn at random; ``called_sick``: the share of these walks that the networks
call sick, with the disorder, and without it at the same pace: where both are alike, they go by walking speed.

``problems`` says in plain sentences where a method fails; ``most_faithful`` is the method with the largest
``deletion`` among those whose ``randomisation_correlation`` is at most 0.2.
"""  # noqa: E501

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_args import benchmark_parser, values
from bench_output import load_average, made_by, publish
from numpy.typing import NDArray
from paired_pathology_trials import PairOfWalks, pairs_of_walks
from recorded_trials import MODEL
from torch import Tensor, nn

from gait.body.model_file import load_body
from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.errors import GaitError
from gait.explaining.attribution import WindowAttribution
from gait.explaining.faithfulness import (
    cell_scores,
    curves,
    first_is_true,
    random_scores,
    rank_correlation,
    shuffled,
    side_is_true,
)
from gait.explaining.methods import METHODS, default_method, explain_windows, lrp_rules, methods_of
from gait.explaining.trained_network import TrainedNetwork, open_network
from gait.motion.dataset import Trial, read_gaits
from gait.motion.windows import WindowDataset

MOST_RANDOMISATION = 0.2
"""Rank correlation with a network of shuffled weights from which on an explanation fails."""
MOST_OF_PERSONS = 0.5
NOISE_M = 0.001
_AT_A_TIME = 32  # windows

Score = Callable[["AskedMethod", nn.Module, Tensor, Tensor, Tensor], NDArray[np.float64]]
"""Of each joint, of a method, a network, windows with and without a disorder, and the mean window."""


@dataclass(frozen=True)
class Arguments:
    """Of the command line."""

    networks: tuple[Path, ...]
    """Checkpoints of one kind of network."""
    base_folder: Path
    """Poses that they were trained and evaluated on."""
    methods: tuple[str, ...] | None = None
    """Names as in the result; None: all that explain the network."""
    windows: int = 120
    """Of persons that a network never saw, evenly over all there are."""
    walkers: int = 40
    """Synthetic persons with a disorder; 0: no localisation."""
    seed: int = 1
    """Of the walkers, of noise, shuffling and random orders; 0 is that of the walkers of benchmarks/classification.py."""
    model: Path = MODEL
    """Body model file, in a folder SUPR."""
    json: Path | None = None
    """File for the result."""


QUICK: dict[str, Any] = {"windows": 6, "walkers": 2}
"""What ``--quick`` changes."""


@dataclass(frozen=True)
class AskedMethod:
    """A method with its rule."""

    method: str
    rule: str | None = None

    @property
    def name(self) -> str:
        """As the result has it."""
        return self.method if self.rule is None else f"{self.method}_{self.rule}"

    def __call__(self, network: nn.Module, windows: Tensor, baseline: Tensor) -> WindowAttribution:
        """Ask, some windows at a time."""
        said = []
        for some in torch.arange(len(windows)).split(_AT_A_TIME):
            own = baseline if baseline.ndim == 3 else baseline[some]
            said.append(explain_windows(network, windows[some], self.method, baseline=own, rule=self.rule))
        values, logits, absorbed = (
            torch.cat([getattr(one, part) for one in said]) for part in ("values", "logits", "absorbed")
        )
        return WindowAttribution(values, said[0].signed, logits, absorbed, self.method, said[0].settings)


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network is asked about."""

    windows: Tensor  # (N, L, 22, 3)
    noisy: Tensor  # (N, L, 22, 3) the same under 1 mm of noise
    matched: Tensor  # (N, L, 22, 3) windows of the other label at the same speed
    baseline: Tensor  # (L, 22, 3)


def main(args: Arguments) -> None:
    load = load_average()
    body = load_body(args.model)
    networks = [open_network(path) for path in args.networks]
    if len({type(one.network) for one in networks}) > 1:
        raise GaitError("--networks: all of them must be of one kind, such as the folds of one training.")
    gaits = {rate: read_gaits(args.base_folder, rate).gaits for rate in {one.rate_hz for one in networks}}
    asked = asked_methods(networks[0].network, args.methods)
    seen_by = [seen_windows(one, gaits[one.rate_hz], args) for one in networks]
    walks: tuple[PairOfWalks, ...] = ()
    if args.walkers:
        with tempfile.TemporaryDirectory(prefix="faithfulness_") as folder:
            walks = pairs_of_walks(Path(folder), body, args.model, persons=args.walkers, seed=args.seed)
    found: dict[str, list[dict[str, Any]]] = {how.name: [] for how in asked}
    for one, seen in zip(networks, seen_by, strict=True):
        for how in asked:
            place = located(how, one, walks, args.seed) if walks else {}
            found[how.name].append({**measured(how, one.network, seen, args.seed), **place})
    methods = {name: mean_of(figures) for name, figures in found.items()}
    publish(
        {
            "network": networks[0].title,
            "networks": len(networks),
            "methods": methods,
            "chance": chance(walks),
            "called_sick": called_sick(networks, walks),
            "default": default_name(networks[0].network),
            "most_faithful": most_faithful(methods),
            "problems": problems(methods, default_name(networks[0].network)),
            "load_average": load,
            "made_by": made_by(args, body),
        },
        args.json,
    )


def asked_methods(network: nn.Module, names: Sequence[str] | None) -> list[AskedMethod]:
    """All that explain the network, LRP by each of its rules; or those named."""
    every = [
        AskedMethod(name, rule)
        for name in methods_of(network)
        for rule in (lrp_rules(network) if name == "lrp" else (None,))
    ]
    unknown = sorted(set(names or ()) - {how.name for how in every})
    if unknown:
        raise GaitError(
            f"--methods {' '.join(unknown)}: unknown here; there are {', '.join(how.name for how in every)}."
        )
    return [how for how in every if names is None or how.name in names]


def default_name(network: nn.Module) -> str:
    """The default method's name in the result."""
    method = default_method(network)
    return AskedMethod(method, lrp_rules(network)[0] if method == "lrp" else None).name


def seen_windows(one: TrainedNetwork, gaits: Sequence[Trial], args: Arguments) -> Seen:
    """Windows of persons that the network never saw."""
    if one.checkpoint is None or one.mean_window is None:
        raise GaitError(f"{one.file}: bare weights; only a checkpoint of this suite says whom the network never saw.")
    evaluation, training = (set(one.checkpoint.fold[part]) for part in ("evaluation", "training"))
    plain = WindowDataset([gait for gait in gaits if gait.person in evaluation], one.window_length)
    known = WindowDataset([gait for gait in gaits if gait.person in training], one.window_length, stride=8)
    if not len(plain) or not len(known):
        raise GaitError(f"{args.base_folder}: does not hold the persons that {one.file} was trained and evaluated on.")
    chosen = torch.linspace(0, len(plain) - 1, min(args.windows, len(plain))).round().long()
    random = np.random.default_rng([args.seed, 1])
    noisy = WindowDataset([with_noise(gait, random) for gait in plain.gaits], one.window_length)
    windows = plain.batch(chosen)
    other = known.batch(torch.arange(len(known)))
    away = (way(windows)[:, None] - way(other)[None]).abs()
    away[plain.sick[chosen][:, None] == known.sick[None]] = torch.inf
    return Seen(windows, noisy.batch(chosen), other[away.argmin(dim=1)], one.mean_window)


def way(windows: Tensor) -> Tensor:
    """(N,) how far the pelvis of windows (N, L, 22, 3) goes along its heading, in statures."""
    return windows[:, -1, Joint.PELVIS, 0] - windows[:, 0, Joint.PELVIS, 0]


def with_noise(gait: Trial, random: np.random.Generator) -> Trial:
    """The same gait, each coordinate with 1 mm of noise."""
    noise = random.normal(0, NOISE_M, gait.joints_m.shape).astype(np.float32)
    return replace(gait, joints_m=gait.joints_m + noise)


def measured(how: AskedMethod, network: nn.Module, seen: Seen, seed: int) -> dict[str, Any]:
    """All figures of a method on a network but localisation."""
    how(network, seen.windows[:2], seen.baseline)  # loads what it needs
    began = time.perf_counter()
    said = how(network, seen.windows, seen.baseline)
    seconds = (time.perf_counter() - began) / len(seen.windows)
    scores = cell_scores(said.values, said.logits, signed=said.signed)
    at_random = random_scores(seen.windows, seed)
    by_method, by_chance = (curves(network, seen.windows, seen.baseline, order) for order in (scores, at_random))
    matched, matched_by_chance = (curves(network, seen.windows, seen.matched, order) for order in (scores, at_random))
    of_shuffled = how(shuffled(network, seed), seen.windows, seen.baseline)
    of_noisy = how(network, seen.noisy, seen.baseline)
    return {
        "deletion": by_method.deletion_area,
        "random_deletion": by_chance.deletion_area,
        "insertion": by_method.insertion_area,
        "random_insertion": by_chance.insertion_area,
        "matched_deletion": matched.deletion_area,
        "random_matched_deletion": matched_by_chance.deletion_area,
        "randomisation_correlation": rank_correlation(said.values, of_shuffled.values),
        "stability": rank_correlation(said.values, of_noisy.values),
        "conservation": float(1 - said.absorbed.mean()),
        "seconds": seconds,
    }


def located(how: AskedMethod, one: TrainedNetwork, walks: Sequence[PairOfWalks], seed: int) -> dict[str, Any]:
    """Whether a method finds the places of the synthetic disorders, and and whether it does in a shuffled network."""
    assert one.mean_window is not None
    ways: dict[str, Score] = {"": against_own_walk, "subtracted_": subtracted, "shuffled_": against_own_walk}
    if not METHODS[how.method].needs_baseline:
        del ways["subtracted_"]  # which is what the first does then
    other = shuffled(one.network, seed)
    figures: dict[str, Any] = {}
    for way, score in ways.items():
        first, at_fault, sides = [], [], []
        of_disorder: dict[str, list[bool]] = {}
        for pair in walks:
            ill, well = pair.windows(one.window_length)
            if not len(ill):
                raise GaitError(f"{pair.name}: no window of {one.window_length} frames begins with a heel strike.")
            scores = score(how, other if way == "shuffled_" else one.network, ill, well, one.mean_window)
            first.append(first_is_true(scores, pair.places))
            at_fault.append(first_is_true(scores, pair.disorder.joints))
            of_disorder.setdefault(pair.disorder.name, []).append(first[-1])
            if pair.other_places is not None:
                sides.append(side_is_true(scores, pair.places, pair.other_places))
        figures[f"{way}top_joint"] = float(np.mean(first))
        figures[f"{way}right_side"] = float(np.mean(sides)) if sides else float("nan")
        if not way:
            figures["at_fault"] = float(np.mean(at_fault))
            figures["by_disorder"] = {name: float(np.mean(hits)) for name, hits in of_disorder.items()}
    return figures


def against_own_walk(
    how: AskedMethod, network: nn.Module, ill: Tensor, well: Tensor, mean_window: Tensor
) -> NDArray[np.float64]:
    """(J,) score of each joint: the healthy walk as the baseline, window by window, or else explanations subtracted."""
    if not METHODS[how.method].needs_baseline:
        return subtracted(how, network, ill, well, mean_window)
    return how(network, ill, well).values.abs().double().mean(dim=(0, 1)).numpy()


def subtracted(
    how: AskedMethod, network: nn.Module, ill: Tensor, well: Tensor, mean_window: Tensor
) -> NDArray[np.float64]:
    """(J,) score of each joint: how far the explanations of both walks differ, window by window."""
    values = how(network, ill, mean_window).values - how(network, well, mean_window).values
    return values.abs().double().mean(dim=(0, 1)).numpy()


def chance(walks: Sequence[PairOfWalks]) -> float:
    """``top_joint`` of a joint drawn at random."""
    return float(np.mean([len(pair.places) / NUM_BODY_JOINTS for pair in walks])) if walks else float("nan")


def called_sick(networks: Sequence[TrainedNetwork], walks: Sequence[PairOfWalks]) -> dict[str, float]:
    """The share of the walks that the networks call sick, with the disorder and without it at the same pace."""
    said: dict[str, list[bool]] = {"with_disorder": [], "without_at_the_same_pace": []}
    for one in networks:
        for pair in walks:
            for windows, found in zip(pair.windows(one.window_length), said.values(), strict=True):
                with torch.inference_mode():
                    found.append(float(one.network(windows).sigmoid().mean()) > 0.5)
    return {name: float(np.mean(found)) if found else float("nan") for name, found in said.items()}


def mean_of(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean over networks, figure by figure; and the ratio of the mean deletions."""
    mean: dict[str, Any] = {}
    for name, first in figures[0].items():
        if isinstance(first, Mapping):
            mean[name] = mean_of([one[name] for one in figures])
        else:
            mean[name] = float(np.mean([one[name] for one in figures]))
    if "random_deletion" in mean:
        mean["deletion_ratio"] = mean["deletion"] / mean["random_deletion"]
    return mean


def most_faithful(methods: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The method with the largest deletion among those that look at the network."""
    looking = {
        name: figures["deletion"]
        for name, figures in methods.items()
        if abs(figures["randomisation_correlation"]) <= MOST_RANDOMISATION
    }
    return max(looking, key=lambda name: looking[name]) if looking else None


def problems(methods: Mapping[str, Mapping[str, Any]], default: str) -> list[str]:
    """Plain sentences on methods that fail, the default one's first."""
    lines = []
    for name in sorted(methods, key=lambda name: (name != default, name)):
        figures, title = methods[name], f"{name} (the default)" if name == default else name
        if abs(figures["randomisation_correlation"]) > MOST_RANDOMISATION:
            lines.append(
                f"{title} hardly changes when the network's weights are shuffled (rank correlation "
                f"{figures['randomisation_correlation']:.2f}): it does not show what the network has learnt."
            )
        if not figures["deletion"] > figures["random_deletion"]:
            lines.append(f"{title} is no better than a random order when cells are taken away.")
        if figures.get("shuffled_top_joint", -1.0) >= figures.get("top_joint", 0.0) > MOST_OF_PERSONS:
            lines.append(
                f"{title} finds the place of a disorder as often when the network's weights are shuffled: it is found "
                "because the two walks differ there, and tells nothing of what the network knows."
            )
    return lines


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line."""
    parser = benchmark_parser("How far explanations can be believed, as JSON.", "few windows and walkers: that it runs")
    parser.add_argument("--networks", type=Path, nargs="+", required=True, help="checkpoints of one kind of network")
    parser.add_argument("--base_folder", type=Path, required=True, help="poses that they were trained on")
    parser.add_argument("--methods", nargs="+", help="some of the methods (default: all)")
    for flag, what in (
        ("windows", "of persons that a network never saw"),
        ("walkers", "synthetic persons, 0 for no localisation"),
        ("seed", "of walkers, noise, shuffling and random orders"),
    ):
        parser.add_argument(f"--{flag}", type=int, help=what)
    parser.add_argument("--model", type=Path, help="body model file, in a folder SUPR")
    return Arguments(**values(parser, words, QUICK))


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except GaitError as error:
        sys.exit(str(error))
