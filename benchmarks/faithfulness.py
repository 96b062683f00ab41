"""python benchmarks/faithfulness.py --networks ./trained_mlp/fold0/mlp.ckpt --base_folder ./optimized_poses

Faithfulness of the attributions of trained networks of the published input, by method, on windows of subjects that the
networks were not trained on. Whether attributions name the cause of a pathology is measured by ``benchmarks/cause.py``.
Prints one JSON object; metrics are means over the networks, which must be of one kind (the folds of one training). For
each of the ``methods``:

 * ``deletion``: mean fall of the predicted class's logit while patches (one joint for 8 frames) are replaced by the
   mean training window, the most important first; ``random_deletion``: the same in random order; ``deletion_ratio``:
   their quotient. ``insertion``, ``random_insertion``: mean rise while patches are restored in the mean window. Larger
   is better. Caveat: integrated gradients and occlusion use the mean window as their baseline too, which favours them.
 * ``matched_deletion``, ``random_matched_deletion``: the same, with patches replaced by those of a training window of
   the other class at the same walking speed, so that speed does not discriminate.
 * ``randomization_correlation``: rank correlation with the attribution of the network with randomized weights; near 0
   if the method depends on what the network has learned.
 * ``stability``: rank correlation with the attribution of the same windows with 1 mm of noise; near 1.
 * ``conservation``: mean fraction of the logit that the attribution sums to; 1 if nothing is assigned to biases, CLS,
   positions or a baseline; null for attention.
 * ``seconds`` per window.

``problems`` lists in sentences where a method fails; ``most_faithful`` is the method with the largest ``deletion``
among those whose ``randomization_correlation`` is at most 0.2.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark import BenchmarkArguments, run
from perturbation import insertion_auc, insertion_curves, rank_correlation
from torch import Tensor, nn

from gait.body.skeleton import Joint
from gait.cli.arguments import argument
from gait.errors import GaitError
from gait.explaining.attribution import WindowAttribution
from gait.explaining.faithfulness import (
    deletion_curves,
    patch_scores,
    random_patch_scores,
    randomize_weights,
)
from gait.explaining.methods import METHODS, explain_windows, supported_methods
from gait.explaining.trained_network import TrainedNetwork, load_network
from gait.motion.dataset import Trial
from gait.motion.inputs import PUBLISHED
from gait.motion.read_dataset import read_dataset
from gait.motion.windows import WindowDataset

MAX_RANDOMIZATION_CORRELATION = 0.2
"""Methods with a larger rank correlation with a network of randomized weights fail."""
NOISE_M = 0.001
_BATCH_SIZE = 32  # windows


@dataclass(frozen=True, kw_only=True)
class Arguments(BenchmarkArguments):
    networks: tuple[Path, ...] = argument(help="checkpoints of one kind of network")
    base_folder: Path = argument(help="folder of the poses that they were trained and evaluated on")
    methods: tuple[str, ...] | None = argument(None, "names as in the result; None for all that the network supports")
    windows: int = argument(120, "windows of evaluation subjects, evenly distributed over all that exist")
    seed: int = argument(1, "seed of noise, randomized weights and orders")


QUICK = {"windows": 6}


@dataclass(frozen=True)
class MethodWithRule:
    """An explanation method with its LRP rule, if any."""

    method: str
    rule: str | None = None

    @property
    def name(self) -> str:
        """Name in the result."""
        return self.method if self.rule is None else f"{self.method}_{self.rule}"

    def __call__(self, network: nn.Module, windows: Tensor, baseline: Tensor) -> WindowAttribution:
        """Compute attributions in batches of windows."""
        parts = []
        for batch in torch.arange(len(windows)).split(_BATCH_SIZE):
            of_batch = baseline if baseline.ndim == 3 else baseline[batch]
            parts.append(explain_windows(network, windows[batch], self.method, baseline=of_batch, rule=self.rule))
        return WindowAttribution(
            torch.cat([part.values for part in parts]),
            parts[0].signed,
            torch.cat([part.logits for part in parts]),
            torch.cat([part.unattributed for part in parts]),
            self.method,
            parts[0].settings,
        )


@dataclass(frozen=True, eq=False)
class EvaluationData:
    """Windows that a network is evaluated on."""

    windows: Tensor  # (N, L, 22, 3)
    noisy: Tensor  # (N, L, 22, 3) the same with 1 mm of noise
    matched: Tensor  # (N, L, 22, 3) training windows of the other label at the same speed
    baseline: Tensor  # (L, 22, 3)


def main(args: Arguments) -> dict[str, Any]:
    networks = [load_network(path) for path in args.networks]
    if len({type(trained.network) for trained in networks}) > 1:
        raise GaitError("--networks: all must be of one kind, such as the folds of one training.")
    for trained in networks:
        if trained.input.name != PUBLISHED:
            kind = trained.input.name
            raise GaitError(
                f"{trained.file}: a network of {kind}, not of the published input; use benchmarks/cause.py."
            )
    trials = {rate: read_dataset(args.base_folder, rate).trials for rate in {trained.rate_hz for trained in networks}}
    selected = select_methods(networks[0].network, args.methods)
    data_by_network = [prepare_windows(trained, trials[trained.rate_hz], args) for trained in networks]
    found: dict[str, list[dict[str, Any]]] = {method.name: [] for method in selected}
    for trained, data in zip(networks, data_by_network, strict=True):
        for method in selected:
            found[method.name].append(measure_faithfulness(method, trained.network, data, args.seed))
    methods = {name: mean_over_networks(metrics) for name, metrics in found.items()}
    return {
        "network": networks[0].title,
        "networks": len(networks),
        "methods": methods,
        "default": default_name(networks[0].network),
        "most_faithful": most_faithful(methods),
        "problems": problems(methods, default_name(networks[0].network)),
    }


def select_methods(network: nn.Module, names: Sequence[str] | None) -> list[MethodWithRule]:
    """Return all methods that the network supports, LRP with each of its rules; or only those named."""
    supported = [
        MethodWithRule(name, rule) for name in supported_methods(network) for rule in METHODS[name].rules_for(network)
    ]
    unknown = sorted(set(names or ()) - {method.name for method in supported})
    if unknown:
        raise GaitError(
            f"--methods {' '.join(unknown)}: not supported by this network; "
            f"available: {', '.join(method.name for method in supported)}."
        )
    return [method for method in supported if names is None or method.name in names]


def default_name(network: nn.Module) -> str:
    """Return the default method's name in the result."""
    return select_methods(network, None)[0].name


def prepare_windows(trained: TrainedNetwork, trials: Sequence[Trial], args: Arguments) -> EvaluationData:
    """Prepare windows of the subjects that the network was not trained on."""
    if trained.checkpoint is None or trained.mean_window is None:
        raise GaitError(
            f"{trained.file}: a state dict without metadata; use a checkpoint, which lists the evaluation subjects."
        )
    evaluation, training = (set(trained.checkpoint.fold[part]) for part in ("evaluation", "training"))
    length = trained.window_length
    test_windows = WindowDataset([trial for trial in trials if trial.subject_id in evaluation], length)
    training_windows = WindowDataset([trial for trial in trials if trial.subject_id in training], length, stride=8)
    if not len(test_windows) or not len(training_windows):
        raise GaitError(
            f"{args.base_folder}: does not contain the subjects that {trained.file} was trained and evaluated on."
        )
    chosen = torch.linspace(0, len(test_windows) - 1, min(args.windows, len(test_windows))).round().long()
    random = np.random.default_rng([args.seed, 1])
    noisy = WindowDataset([add_noise(trial, random) for trial in test_windows.trials], length)
    windows = test_windows.batch(chosen)
    other = training_windows.batch(torch.arange(len(training_windows)))
    difference = (displacement(windows)[:, None] - displacement(other)[None]).abs()
    difference[test_windows.sick[chosen][:, None] == training_windows.sick[None]] = torch.inf
    return EvaluationData(windows, noisy.batch(chosen), other[difference.argmin(dim=1)], trained.mean_window)


def displacement(windows: Tensor) -> Tensor:
    """Return the pelvis displacement (N,) of windows (N, L, 22, 3) along the walking direction, in statures."""
    return windows[:, -1, Joint.PELVIS, 0] - windows[:, 0, Joint.PELVIS, 0]


def add_noise(trial: Trial, random: np.random.Generator) -> Trial:
    """Add 1 mm of noise to each coordinate of a trial."""
    noise = random.normal(0, NOISE_M, trial.joints_m.shape).astype(np.float32)
    return replace(trial, joints_m=trial.joints_m + noise)


def measure_faithfulness(method: MethodWithRule, network: nn.Module, data: EvaluationData, seed: int) -> dict[str, Any]:
    """Compute all metrics of a method on a network."""
    method(network, data.windows[:2], data.baseline)  # imports and warms up
    began = time.perf_counter()
    attribution = method(network, data.windows, data.baseline)
    seconds = (time.perf_counter() - began) / len(data.windows)
    scores = patch_scores(attribution.values, attribution.logits, signed=attribution.signed)
    random_scores = random_patch_scores(data.windows, seed)
    curves, random_curves, matched_curves, random_matched_curves = (
        deletion_curves(network, data.windows, replacement, order)
        for replacement in (data.baseline, data.matched)
        for order in (scores, random_scores)
    )
    inserted, random_inserted = (
        insertion_auc(insertion_curves(network, data.windows, data.baseline, order))
        for order in (scores, random_scores)
    )
    of_random_weights = method(randomize_weights(network, seed), data.windows, data.baseline)
    of_noisy_windows = method(network, data.noisy, data.baseline)
    return {
        "deletion": curves.deletion_auc,
        "random_deletion": random_curves.deletion_auc,
        "insertion": inserted,
        "random_insertion": random_inserted,
        "matched_deletion": matched_curves.deletion_auc,
        "random_matched_deletion": random_matched_curves.deletion_auc,
        "randomization_correlation": rank_correlation(attribution.values, of_random_weights.values),
        "stability": rank_correlation(attribution.values, of_noisy_windows.values),
        "conservation": float(1 - attribution.unattributed.mean()),
        "seconds": seconds,
    }


def mean_over_networks(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean over networks of each metric, and the ratio of the mean deletions."""
    mean = {name: float(np.mean([entry[name] for entry in metrics])) for name in metrics[0]}
    return {**mean, "deletion_ratio": mean["deletion"] / mean["random_deletion"]}


def most_faithful(methods: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the method with the largest deletion among those that depend on the network's weights."""
    dependent = {
        name: metrics["deletion"]
        for name, metrics in methods.items()
        if abs(metrics["randomization_correlation"]) <= MAX_RANDOMIZATION_CORRELATION
    }
    return max(dependent, key=lambda name: dependent[name]) if dependent else None


def problems(methods: Mapping[str, Mapping[str, Any]], default: str) -> list[str]:
    """Describe in sentences where methods fail, the default method first."""
    lines = []
    for name in sorted(methods, key=lambda name: (name != default, name)):
        metrics, title = methods[name], f"{name} (the default)" if name == default else name
        if abs(metrics["randomization_correlation"]) > MAX_RANDOMIZATION_CORRELATION:
            lines.append(
                f"{title} hardly changes when the network's weights are randomized (rank correlation "
                f"{metrics['randomization_correlation']:.2f}): it does not show what the network has learned."
            )
        if not metrics["deletion"] > metrics["random_deletion"]:
            lines.append(f"{title} is no better than a random order when patches are deleted.")
    return lines


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
